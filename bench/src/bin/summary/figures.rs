//! The file of figures: medians, and whether they are what they should be.

use asm_bench::{Row, Spread};
use serde::Serialize;

use crate::of;

/// The rows of the table of figures, in its order: none may be left out.
pub(crate) const ORDER: &[&str] = &[
    "R1", "R2", "R3", "R4", "R5", "R6", "R7", "R8", "H1", "H2", "H3", "H4", "L2", "L3", "L4", "L5",
    "M1", "M2", "M3", "M4", "F1", "F2", "C1", "C2", "C3", "S1", "Z1", "Z2", "Z3", "Z4", "Z5", "Z6",
    "Z7", "Z8", "Z9", "Z10",
];

/// A row as other programs read it.
#[derive(Serialize)]
struct Figure<'a> {
    id: &'a str,
    what: String,
    value: Option<f64>,
    yardstick: Option<f64>,
    ratio: Option<f64>,
    goal: Option<String>,
    met: bool,
    n: u64,
}

impl<'a> Figure<'a> {
    fn of(row: &'a Row) -> Self {
        let median = |spread: Spread| spread.median;
        Self {
            id: &row.id,
            what: format!("{}, in {}", row.what, row.unit.name()),
            value: Some(row.value.median),
            yardstick: row.yardstick.map(median),
            ratio: row.ratio.map(median),
            goal: row.goal.show(row.unit),
            met: row.met,
            n: row.n,
        }
    }

    /// Of a row that a bench owes.
    fn missing(id: &'a str) -> Self {
        Self {
            id,
            what: "not measured".into(),
            value: None,
            yardstick: None,
            ratio: None,
            goal: None,
            met: false,
            n: 0,
        }
    }
}

/// Where a row stands: those of the table of figures first, then by their ids.
pub(crate) fn place(id: &str) -> (usize, &str) {
    let place = ORDER.iter().position(|known| *known == id);
    (place.unwrap_or(ORDER.len()), id)
}

/// An array with an object a line.
pub(crate) fn json(rows: &[Row]) -> serde_json::Result<String> {
    let mut figures: Vec<Figure<'_>> = rows.iter().map(Figure::of).collect();
    figures.extend(missing(rows).into_iter().map(Figure::missing));
    let lines: Result<Vec<String>, _> = figures.iter().map(serde_json::to_string).collect();
    Ok(format!("[\n{}\n]\n", lines?.join(",\n")))
}

/// The rows of the table of figures that nobody measured.
pub(crate) fn missing(rows: &[Row]) -> Vec<&'static str> {
    let ids = ORDER.iter().copied();
    ids.filter(|id| of(rows, id).next().is_none()).collect()
}

/// In one line.
pub(crate) fn verdict(rows: &[Row]) -> String {
    let is_missed = |id: &&&str| {
        let mut parts = of(rows, id).peekable();
        parts.peek().is_none() || parts.any(|row| !row.met)
    };
    let missed: Vec<&str> = ORDER.iter().filter(is_missed).copied().collect();
    let met = ORDER.len() - missed.len();
    match missed[..] {
        [] => format!("{met} of {} rows are met", ORDER.len()),
        _ => format!(
            "{met} of {} rows are met; not, or not in all parts: {}",
            ORDER.len(),
            missed.join(", ")
        ),
    }
}
