//! How often what was answered.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use asm_core::{Change, Driver};

use super::seen::Seen;
use crate::{Facet, Verb};

/// How often each verb was answered with each outcome.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    counts: BTreeMap<(&'static str, Cow<'static, str>), u64>,
    calls: u64,
}

impl Tally {
    /// How many answers were compared.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls
    }

    /// How often this verb (`"save"`) had this outcome (`"Done"`).
    #[must_use]
    pub fn of(&self, verb: &str, outcome: &str) -> u64 {
        let counts = self.counts.iter();
        counts
            .filter(|((counted, seen), _)| *counted == verb && seen == outcome)
            .map(|(_, count)| count)
            .sum()
    }

    pub(super) fn count(&mut self, verb: Verb, answer: &Seen, note: Option<&str>) {
        let outcome = match note {
            Some(note) if !answer.outcome.starts_with("Err") => {
                Cow::Owned(format!("{}, {note}", answer.outcome))
            }
            _ => answer.outcome.clone(),
        };
        *self.counts.entry((verb.name(), outcome)).or_default() += 1;
        self.calls += 1;
    }

    pub(super) fn count_change(&mut self, change: &Change) {
        let outcome = match change {
            Change::Saved(_) => "Saved",
            Change::Rotated(_) => "Rotated",
            Change::Ended => "Ended",
            Change::Lagged(_) => "Lagged",
            _ => "?",
        };
        let outcome = ("change", Cow::Borrowed(outcome));
        *self.counts.entry(outcome).or_default() += 1;
    }

    pub(super) fn add(&mut self, other: Self) {
        for (outcome, count) in other.counts {
            *self.counts.entry(outcome).or_default() += count;
        }
        self.calls += other.calls;
    }

    /// The outcomes that a driver with these facets must have shown and did not, so often.
    pub(super) fn rarer_than(&self, least: u64, facets: &[Facet]) -> Vec<String> {
        OUTCOMES
            .iter()
            .filter(|(facet, ..)| facet.is_none_or(|facet| facets.contains(&facet)))
            .flat_map(|(_, verb, outcomes)| outcomes.iter().map(move |outcome| (*verb, *outcome)))
            .filter(|(verb, outcome)| self.of(verb, outcome) < least)
            .map(|(verb, outcome)| format!("{verb} {outcome}: {}", self.of(verb, outcome)))
            .collect()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((verb, outcome), count) in &self.counts {
            writeln!(f, "{verb:<12} {outcome:<32} {count:>8}")?;
        }
        write!(f, "{:<45} {:>8}", "in all", self.calls)
    }
}

/// The facets of a driver.
pub(super) fn facets(driver: &dyn Driver) -> Vec<Facet> {
    let facets = Facet::ALL.into_iter();
    facets.filter(|facet| facet.is_in(driver)).collect()
}

/// Every outcome of every verb that a history can lead to. (Room cannot run out in one.)
const OUTCOMES: &[(Option<Facet>, &str, &[&str])] = &[
    (
        None,
        "create",
        &[
            "Done",
            "Done, locked",
            "Taken",
            "Done, resent",
            "Done, locked, resent",
            "Taken, resent",
            "Err(Unknown)",
            "Err(TooLarge)",
        ],
    ),
    (
        None,
        "open",
        &[
            "Found",
            "Found, held",
            "Found, busy",
            "Found, unproven",
            "Missing",
        ],
    ),
    (
        None,
        "save",
        &[
            "Done",
            "Conflict",
            "Locked",
            "LockLost",
            "Missing",
            "Ended",
            "Done, resent",
            "Conflict, resent",
            "Locked, resent",
            "LockLost, resent",
            "Missing, resent",
            "Ended, resent",
            "Err(Unknown)",
            "Err(TooLarge)",
        ],
    ),
    (None, "touch", &["Done", "Missing", "Ended"]),
    (
        None,
        "delete",
        &["Done", "Nothing", "Conflict", "Locked", "LockLost", "Ended"],
    ),
    (
        None,
        "acquire",
        &[
            "Held",
            "Held, with the record",
            "Busy",
            "QueueFull",
            "Missing",
            "Ended",
            "Held, waited",
            "Held, with the record, waited",
            "Busy, waited",
            "Missing, waited",
            "Ended, waited",
            "given up",
        ],
    ),
    (None, "renew", &["Done", "Lost", "Missing"]),
    (None, "release", &["Done", "Withdrawn", "NotHeld"]),
    (None, "abandon", &["abandoned"]),
    (None, "break_lock", &["Done", "NotHeld"]),
    (None, "inspect", &["Free", "Held", "Held, with a queue"]),
    (
        Some(Facet::Fields),
        "read_field",
        &["Bytes", "Number", "List", "Absent", "Missing", "Ended"],
    ),
    (
        Some(Facet::Fields),
        "write_field",
        &[
            "Done",
            "Number",
            "Length",
            "Taken",
            "Taken, nothing",
            "WrongKind",
            "Overflow",
            "Missing",
            "Ended",
            "Done, resent",
            "Number, resent",
            "Length, resent",
            "Taken, resent",
            "Taken, nothing, resent",
            "WrongKind, resent",
            "Err(Unknown)",
            "Err(TooLarge)",
        ],
    ),
    (
        Some(Facet::Changes),
        "subscribe",
        &["Live", "Missing", "Ended"],
    ),
    (
        Some(Facet::Changes),
        "change",
        &["Saved", "Rotated", "Ended", "Lagged"],
    ),
    (Some(Facet::Subjects), "reserve", &["Done", "Full"]),
    (Some(Facet::Subjects), "list", &["Sessions", "Nothing"]),
    (Some(Facet::Subjects), "revoke", &["Sessions", "Nothing"]),
    (Some(Facet::Subjects), "forget", &["Some", "Nothing"]),
    (Some(Facet::Sweeper), "sweep", &["Swept"]),
];
