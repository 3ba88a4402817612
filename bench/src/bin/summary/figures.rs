//! The file of figures: medians, and whether they are what they should be.

use asm_bench::{Gap, Row, Spread, Verdict};
use serde::Serialize;

use crate::{of, run::Run};

/// The rows of the table of figures, in its order.
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
    #[serde(skip_serializing_if = "Option::is_none")]
    wanted: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    date: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    commit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
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
            met: row.is_met(),
            n: row.n,
            wanted: row.wanted,
            date: row.made.as_ref().map(|made| &*made.date),
            commit: row.made.as_ref().map(|made| &*made.commit),
            reason: (row.verdict() == Verdict::TooFew).then_some("fewer tries than asked for"),
        }
    }

    /// Of a row that there is no figure of.
    fn missing(gap: &'a Gap) -> Self {
        Self {
            id: &gap.id,
            what: gap.what.clone(),
            value: None,
            yardstick: None,
            ratio: None,
            goal: None,
            met: false,
            n: 0,
            wanted: None,
            date: None,
            commit: None,
            reason: Some(&gap.why),
        }
    }
}

/// Where a row stands: those of the table of figures first, then by their ids.
pub(crate) fn place(id: &str) -> (usize, &str) {
    let place = ORDER.iter().position(|known| *known == id);
    (place.unwrap_or(ORDER.len()), id)
}

/// An array with an object a line.
pub(crate) fn json(run: &Run) -> serde_json::Result<String> {
    let rows = run.rows.iter().map(Figure::of);
    let figures = rows.chain(run.gaps.iter().map(Figure::missing));
    let lines: Result<Vec<String>, _> = figures.map(|one| serde_json::to_string(&one)).collect();
    Ok(format!("[\n{}\n]\n", lines?.join(",\n")))
}

/// In one line.
pub(crate) fn verdict(run: &Run) -> String {
    let those = |is: &dyn Fn(&str) -> bool| -> Vec<&str> {
        ORDER.iter().copied().filter(|id| is(id)).collect()
    };
    let any = |id: &str, verdict| of(&run.rows, id).any(|row| row.verdict() == verdict);
    let missed = those(&|id| any(id, Verdict::Missed));
    let few = those(&|id| any(id, Verdict::TooFew) && !missed.contains(&id));
    let left = those(&|id| {
        let is_left =
            run.gaps.iter().any(|gap| gap.id == *id) || of(&run.rows, id).next().is_none();
        is_left && !missed.contains(&id) && !few.contains(&id)
    });
    let met = ORDER.len() - missed.len() - few.len() - left.len();
    let mut words = format!("{met} of {} rows are met", ORDER.len());
    for (what, ids) in [
        ("not, or not in all parts", missed),
        (
            "without a violation, but tried less often than asked for",
            few,
        ),
        ("not measured, or not in all parts", left),
    ] {
        if !ids.is_empty() {
            words += &format!("; {what}: {}", ids.join(", "));
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_a_figure_that_is_not_met() {
        let gap = Gap {
            id: "Z2".into(),
            what: "back".into(),
            why: "left out".into(),
        };
        let run = Run {
            rows: vec![
                Row::zero("Z1", "lost", 0, 7).wanted(Some(8)),
                Row::zero("Z3", "left", 0, 7).wanted(Some(7)),
                Row::zero("Z4", "wrong", 1, 7),
            ],
            gaps: vec![gap],
            ..Run::default()
        };
        let json = json(&run).expect("JSON");
        let figures: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        let met: Vec<_> = (0..4).map(|place| &figures[place]["met"]).collect();
        assert_eq!(met, [false, true, false, false]);
        assert_eq!(figures[0]["wanted"], 8);
        assert_eq!(figures[0]["reason"], "fewer tries than asked for");
        assert_eq!(figures[3]["reason"], "left out");
        assert!(figures[3]["value"].is_null());
        let words = verdict(&run);
        let begin = format!(
            "1 of {} rows are met; not, or not in all parts: Z4;",
            ORDER.len()
        );
        assert!(words.starts_with(&begin), "{words}");
        assert!(words.contains("asked for: Z1;"), "{words}");
        assert!(words.contains("R1") && words.contains("Z2"), "{words}");
    }
}
