//! The table, and the JSON.

use std::{
    fs,
    io::{self, Write},
};

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::{Options, Spread};

/// One figure against its yardstick.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    id: &'static str,
    what: String,
    unit: Unit,
    value: Spread,
    yardstick: Option<Spread>,
    ratio: Option<Spread>,
    goal: Goal,
    met: bool,
}

/// What a value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Operations a second.
    PerSecond,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// A ratio of its own.
    Times,
}

/// What the median is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// At least this times the yardstick.
    RatioAtLeast(f64),
    /// At most this times the yardstick.
    RatioAtMost(f64),
    /// At most this, whatever the yardstick.
    AtMost(f64),
    /// None: it is there to be compared with.
    None,
}

impl Row {
    /// Our figures and the yardstick's, round by round. No yardstick is an empty one.
    ///
    /// # Panics
    /// When there was no round.
    #[must_use]
    pub fn new(
        id: &'static str,
        what: impl Into<String>,
        unit: Unit,
        ours: &[f64],
        yardstick: &[f64],
        goal: Goal,
    ) -> Self {
        let value = Spread::of(ours);
        let compared = !yardstick.is_empty();
        let ratio = compared.then(|| Spread::of_ratios(ours, yardstick));
        let met = match goal {
            Goal::RatioAtLeast(least) => ratio.is_some_and(|ratio| ratio.median >= least),
            Goal::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio.median <= most),
            Goal::AtMost(most) => value.median <= most,
            Goal::None => true,
        };
        Self {
            id,
            what: what.into(),
            unit,
            value,
            yardstick: compared.then(|| Spread::of(yardstick)),
            ratio,
            goal,
            met,
        }
    }

    fn cells(&self) -> [String; 7] {
        let show = |value: f64| self.unit.show(value);
        let spread = |spread: Option<Spread>, show: &dyn Fn(f64) -> String| {
            spread.map_or_else(
                || "-".into(),
                |Spread { min, median, max }| {
                    format!("{} ({} .. {})", show(median), show(min), show(max))
                },
            )
        };
        let times = |ratio: f64| format!("{ratio:.2}");
        let goal = match self.goal {
            Goal::RatioAtLeast(least) => format!(">= {least} x"),
            Goal::RatioAtMost(most) => format!("<= {most} x"),
            Goal::AtMost(most) => format!("<= {}", show(most)),
            Goal::None => "-".into(),
        };
        let met = match (self.goal, self.met) {
            (Goal::None, _) => "-",
            (_, true) => "yes",
            (_, false) => "NO",
        };
        [
            self.id.into(),
            self.what.clone(),
            spread(Some(self.value), &show),
            spread(self.yardstick, &show),
            spread(self.ratio, &times),
            goal,
            met.into(),
        ]
    }
}

impl Unit {
    fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Self::PerSecond => format!("{:.1} k/s", value / 1e3),
            Self::Bytes => format!("{value:.0} B"),
            Self::Milliseconds if value < 0.1 => format!("{:.2} us", value * 1e3),
            Self::Milliseconds => format!("{value:.3} ms"),
            Self::Times => format!("{value:.3} x"),
        }
    }
}

/// Rows on their way to their reader.
#[derive(Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
}

impl Report {
    /// One more row.
    pub fn add(&mut self, row: Row) {
        eprintln!("{}", row.cells().join(" | "));
        self.rows.push(row);
    }

    /// Prints the table, and writes the JSON if that is wished.
    ///
    /// # Errors
    /// Those of writing.
    pub fn end(&self, options: &Options) -> io::Result<()> {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN).set_header([
            "id",
            "what",
            "value",
            "yardstick",
            "ratio",
            "goal",
            "met",
        ]);
        for row in &self.rows {
            table.add_row(row.cells());
        }
        writeln!(io::stdout(), "{table}")?;
        let Some(path) = &options.json else {
            return Ok(());
        };
        let mut lines = String::new();
        for row in &self.rows {
            lines.push_str(&serde_json::to_string(row)?);
            lines.push('\n');
        }
        fs::write(path, lines)
    }
}
