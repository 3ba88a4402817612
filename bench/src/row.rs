//! A figure, and what it is to reach.

use serde::{Deserialize, Serialize};

use crate::Spread;

/// One figure against its yardstick.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Row {
    /// That of the table of figures.
    pub id: String,
    /// What was measured, and against what.
    pub what: String,
    /// What value and yardstick are counted in.
    pub unit: Unit,
    /// Ours, round by round.
    pub value: Spread,
    /// Theirs, if there is anything to be compared with.
    pub yardstick: Option<Spread>,
    /// Ours by theirs, within each round.
    pub ratio: Option<Spread>,
    /// What is to be reached.
    pub goal: Goal,
    /// Whether it was.
    pub met: bool,
    /// How many rounds there were; of what is counted, how many tries.
    pub n: u64,
    /// Of which curve this is a point, and where on it.
    pub point: Option<Point>,
}

/// A point on a curve.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Point {
    /// The name of the curve.
    pub curve: String,
    /// What grows along it, as "sessions".
    pub along: String,
    /// How many of those there are here.
    pub at: u64,
}

/// What a value is counted in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// Parts of a hundred.
    Percent,
    /// What must not happen, and did.
    Violations,
}

/// What the median is to reach.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
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
        id: &str,
        what: impl Into<String>,
        unit: Unit,
        ours: &[f64],
        yardstick: &[f64],
        goal: Goal,
    ) -> Self {
        let value = Spread::of(ours);
        let compared = !yardstick.is_empty();
        let ratio = compared.then(|| Spread::of_ratios(ours, yardstick));
        Self {
            id: id.into(),
            what: what.into(),
            unit,
            value,
            yardstick: compared.then(|| Spread::of(yardstick)),
            ratio,
            goal,
            met: goal.is_met(value, ratio),
            n: ours.len() as u64,
            point: None,
        }
    }

    /// So many violations in so many tries, where there should be none.
    #[must_use]
    pub fn zero(id: &str, what: impl Into<String>, violations: u64, tries: u64) -> Self {
        let (violations, none) = ([violations as f64], Goal::AtMost(0.0));
        Self::new(id, what, Unit::Violations, &violations, &[], none).tries(tries)
    }

    /// Out of so many tries, whatever the rounds.
    #[must_use]
    pub fn tries(mut self, tries: u64) -> Self {
        self.n = tries;
        self
    }

    /// A point of this curve, where there are so many of what grows along it.
    #[must_use]
    pub fn point(mut self, curve: &str, along: &str, at: u64) -> Self {
        self.point = Some(Point {
            curve: curve.into(),
            along: along.into(),
            at,
        });
        self
    }

    /// What a table says of it.
    #[must_use]
    pub fn cells(&self) -> [String; 8] {
        let show = |value: f64| self.unit.show(value);
        let times = |ratio: f64| format!("{ratio:.2}");
        let met = match (self.goal, self.met) {
            (Goal::None, _) => "-",
            (_, true) => "yes",
            (_, false) => "NO",
        };
        [
            self.id.clone(),
            self.what.clone(),
            spread(Some(self.value), &show),
            spread(self.yardstick, &show),
            spread(self.ratio, &times),
            self.goal.show(self.unit).unwrap_or_else(|| "-".into()),
            met.into(),
            self.n.to_string(),
        ]
    }
}

/// The heads of the [cells](Row::cells).
pub const HEADS: [&str; 8] = [
    "id",
    "what",
    "value",
    "yardstick",
    "ratio",
    "goal",
    "met",
    "n",
];

fn spread(spread: Option<Spread>, show: &dyn Fn(f64) -> String) -> String {
    match spread {
        None => "-".into(),
        Some(Spread { min, median, max }) if min == max => show(median),
        Some(Spread { min, median, max }) => {
            format!("{} ({} .. {})", show(median), show(min), show(max))
        }
    }
}

impl Goal {
    fn is_met(self, value: Spread, ratio: Option<Spread>) -> bool {
        match self {
            Self::RatioAtLeast(least) => ratio.is_some_and(|ratio| ratio.median >= least),
            Self::RatioAtMost(most) => ratio.is_some_and(|ratio| ratio.median <= most),
            Self::AtMost(most) => value.median <= most,
            Self::None => true,
        }
    }

    /// In words; nothing when there is none.
    #[must_use]
    pub fn show(self, unit: Unit) -> Option<String> {
        match self {
            Self::RatioAtLeast(least) => Some(format!(">= {least} x")),
            Self::RatioAtMost(most) => Some(format!("<= {most} x")),
            Self::AtMost(most) => Some(format!("<= {}", unit.show(most))),
            Self::None => None,
        }
    }
}

impl Unit {
    /// What a bare number is to be read as.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PerSecond => "per second",
            Self::Bytes => "bytes",
            Self::Milliseconds => "ms",
            Self::Times => "times",
            Self::Percent => "percent",
            Self::Violations => "violations",
        }
    }

    /// A value as people read it.
    #[must_use]
    pub fn show(self, value: f64) -> String {
        match self {
            Self::PerSecond if value >= 1e6 => format!("{:.2} M/s", value / 1e6),
            Self::PerSecond => format!("{:.1} k/s", value / 1e3),
            Self::Bytes => format!("{value:.0} B"),
            Self::Milliseconds if value < 0.1 => format!("{:.2} µs", value * 1e3),
            Self::Milliseconds => format!("{value:.3} ms"),
            Self::Times => format!("{value:.3} x"),
            Self::Percent => format!("{value:.1} %"),
            Self::Violations => format!("{value}"),
        }
    }
}
