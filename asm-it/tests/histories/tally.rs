//! What came of it, counted.

use std::{collections::BTreeMap, fmt};

use asm_testkit::history::{Outcome, Request, Switch, Violation, check, check_across};

/// Requests by what they were answered, troubles by name, and whatever cannot have been right.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    outcomes: BTreeMap<Outcome, u64>,
    troubles: BTreeMap<&'static str, u64>,
    sessions: u64,
    /// Acknowledged, and not there after a failover.
    lost: u64,
    wrong: Vec<Violation>,
}

impl Tally {
    /// Adds the requests to one session, whose list is now this one, and the failover that there
    /// was meanwhile.
    pub(crate) fn session(&mut self, requests: &[Request], list: &[u64], switch: Option<Switch>) {
        self.sessions += 1;
        for request in requests {
            *self.outcomes.entry(request.outcome).or_default() += 1;
        }
        match switch {
            None => self.wrong.extend(check(requests, list)),
            Some(switch) => {
                let survived = check_across(requests, list, switch);
                self.lost += survived.lost.len() as u64;
                self.wrong.extend(survived.wrong);
            }
        }
    }

    pub(crate) fn trouble(&mut self, name: &'static str, times: u64) {
        *self.troubles.entry(name).or_default() += times;
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (outcome, times) in other.outcomes {
            *self.outcomes.entry(outcome).or_default() += times;
        }
        for (name, times) in other.troubles {
            self.trouble(name, times);
        }
        self.sessions += other.sessions;
        self.lost += other.lost;
        self.wrong.extend(other.wrong);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.outcomes
            .get(&Outcome::Acknowledged)
            .copied()
            .unwrap_or(0)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn violations(&self) -> usize {
        self.wrong.len()
    }

    /// # Panics
    /// When something is wrong, when fewer were acknowledged, or when a trouble never happened.
    pub(crate) fn must_be_right(&self, acknowledged: u64) {
        println!("{self}");
        assert_eq!(self.violations(), 0);
        assert!(self.acknowledged() >= acknowledged);
        let missed = self.troubles.iter().find(|(_, times)| **times == 0);
        assert_eq!(missed, None, "a trouble that never came");
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            outcomes, sessions, ..
        } = self;
        writeln!(f, "{sessions} sessions, requests {outcomes:?}")?;
        writeln!(f, "troubles {:?}", self.troubles)?;
        for violation in self.wrong.iter().take(10) {
            writeln!(f, "{violation}")?;
        }
        if self.lost > 0 {
            writeln!(f, "{} acknowledged that no replica had", self.lost)?;
        }
        write!(
            f,
            "{} violations in {} acknowledged requests",
            self.wrong.len(),
            self.acknowledged()
        )
    }
}
