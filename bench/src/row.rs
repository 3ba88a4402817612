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
    /// How many rounds there were; of what is counted, how many tries.
    pub n: u64,
    /// Of what must not happen: how many tries are asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub wanted: Option<u64>,
    /// Of a run that was made before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made: Option<Made>,
    /// Of which curve this is a point, and where on it.
    pub point: Option<Point>,
    #[serde(skip)]
    rounds: Vec<f64>,
}

/// When a run was made, and of what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Made {
    /// As `2026-11-26`.
    pub date: String,
    /// The commit that was run; with a `+` behind it there were changes to it.
    pub commit: String,
}

/// How a row stands to its goal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It has none.
    NoGoal,
    /// It is reached.
    Met,
    /// It is not.
    Missed,
    /// Nothing happened that must not, but it was tried less often than is asked for.
    TooFew,
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
    /// A count of its own.
    Count,
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
    /// Our figures, round by round.
    ///
    /// # Panics
    /// When there was no round.
    #[must_use]
    pub fn new(id: &str, what: impl Into<String>, unit: Unit, ours: &[f64], goal: Goal) -> Self {
        Self {
            id: id.into(),
            what: what.into(),
            unit,
            value: Spread::of(ours),
            yardstick: None,
            ratio: None,
            goal,
            n: ours.len() as u64,
            wanted: None,
            made: None,
            point: None,
            rounds: ours.to_vec(),
        }
    }

    /// Beside the figures of a yardstick, which had the same rounds.
    ///
    /// # Panics
    /// When it had none.
    #[must_use]
    pub fn against(mut self, yardstick: &[f64]) -> Self {
        self.yardstick = Some(Spread::of(yardstick));
        self.ratio = Some(Spread::of_ratios(&self.rounds, yardstick));
        self
    }

    /// So many violations in so many tries, where there should be none.
    #[must_use]
    pub fn zero(id: &str, what: impl Into<String>, violations: u64, tries: u64) -> Self {
        let (violations, none) = ([violations as f64], Goal::AtMost(0.0));
        Self::new(id, what, Unit::Violations, &violations, none).tries(tries)
    }

    /// Out of so many tries, whatever the rounds.
    #[must_use]
    pub fn tries(mut self, tries: u64) -> Self {
        self.n = tries;
        self
    }

    /// Where so many tries are asked for.
    #[must_use]
    pub fn wanted(mut self, tries: Option<u64>) -> Self {
        self.wanted = tries;
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

    /// How it stands to its goal.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match self.goal {
            Goal::None => Verdict::NoGoal,
            goal if !goal.is_met(self.value, self.ratio) => Verdict::Missed,
            _ if self.wanted.is_some_and(|wanted| self.n < wanted) => Verdict::TooFew,
            _ => Verdict::Met,
        }
    }

    /// Whether its goal is reached, if it has one.
    #[must_use]
    pub fn is_met(&self) -> bool {
        matches!(self.verdict(), Verdict::NoGoal | Verdict::Met)
    }

    /// Whether something happened that must not, however seldom: no matter of speed.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        let counted = matches!(self.unit, Unit::Violations | Unit::Percent);
        counted && self.verdict() == Verdict::Missed
    }

    /// What a table says of it.
    #[must_use]
    pub fn cells(&self) -> [String; 8] {
        let show = |value: f64| self.unit.show(value);
        let times = |ratio: f64| format!("{ratio:.2}");
        let met = match self.verdict() {
            Verdict::NoGoal => "-",
            Verdict::Met => "yes",
            Verdict::Missed => "NO",
            Verdict::TooFew => "0 so far: fewer tries than asked for",
        };
        let goal = self.goal.show(self.unit).unwrap_or_else(|| "-".into());
        let goal = match self.wanted {
            Some(wanted) => format!("{goal} in {wanted}"),
            None => goal,
        };
        let n = match &self.made {
            Some(Made { date, commit }) => format!("{} ({date}, {commit})", self.n),
            None => self.n.to_string(),
        };
        [
            self.id.clone(),
            self.what.clone(),
            spread(Some(self.value), &show),
            spread(self.yardstick, &show),
            spread(self.ratio, &times),
            goal,
            met.into(),
            n,
        ]
    }
}

/// The heads of the [cells](Row::cells).
pub const HEADS: [&str; 8] = [
    "row",
    "what",
    "ours",
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
            Self::Count => "count",
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
            Self::Violations | Self::Count => format!("{value}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_of_too_few_is_not_enough() {
        let row = |violations, tries| Row::zero("Z1", "lost", violations, tries).wanted(Some(10));
        for (row, verdict, met) in [
            (row(0, 10), Verdict::Met, "yes"),
            (
                row(0, 9),
                Verdict::TooFew,
                "0 so far: fewer tries than asked for",
            ),
            (row(1, 9), Verdict::Missed, "NO"),
            (row(1, 1000), Verdict::Missed, "NO"),
            (Row::zero("R1", "round trips", 0, 1), Verdict::Met, "yes"),
        ] {
            assert_eq!((row.verdict(), &*row.cells()[6]), (verdict, met), "{row:?}");
            assert_eq!(row.is_met(), verdict == Verdict::Met);
            assert_eq!(row.is_broken(), verdict == Verdict::Missed);
        }
        assert_eq!(row(0, 9).cells()[5], "<= 0 in 10");
    }

    #[test]
    fn what_is_too_slow_is_missed_and_not_broken() {
        let row = |goal| Row::new("R3", "cycles", Unit::PerSecond, &[1.0], goal).against(&[2.0]);
        let slow = row(Goal::RatioAtLeast(0.85));
        assert_eq!(slow.verdict(), Verdict::Missed);
        assert!(!slow.is_broken() && !slow.is_met());
        assert_eq!(row(Goal::None).verdict(), Verdict::NoGoal);
        assert!(row(Goal::None).is_met());
        let lost = |goal| Row::new("P3", "lost", Unit::Percent, &[0.2], goal);
        assert!(lost(Goal::AtMost(0.0)).is_broken() && !lost(Goal::None).is_broken());
    }

    #[test]
    fn a_row_is_read_as_it_was_written() {
        let mut row = Row::zero("Z1", "lost", 0, 10).wanted(Some(10));
        row.made = Some(Made {
            date: "2026-11-26".into(),
            commit: "0123abc".into(),
        });
        let line = serde_json::to_string(&row).expect("JSON");
        let read: Row = serde_json::from_str(&line).expect("a row");
        assert_eq!(read.cells(), row.cells());
        assert_eq!(read.cells()[7], "10 (2026-11-26, 0123abc)");
    }
}
