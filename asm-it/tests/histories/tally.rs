//! What came of it, counted.

use std::{collections::BTreeMap, fmt};

use asm_testkit::history::{
    Outcome, Refusal, Request, Switch, Violation, check, check_across, check_set_across,
};

use crate::{place::LEASE, worker::List};

/// Requests by what they were answered, troubles by name, and whatever cannot have been right.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    outcomes: BTreeMap<Outcome, u64>,
    /// Requests of processes that were killed, and such as were dropped.
    unheard: u64,
    troubles: BTreeMap<&'static str, u64>,
    sessions: u64,
    /// Whether another became the master.
    switched: bool,
    /// Acknowledged, and not there after a failover.
    lost: u64,
    wrong: Vec<Violation>,
}

/// Whether another became the master meanwhile.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Masters {
    One,
    /// The same, and its wall clock was stepped, by which locks end.
    OneWithoutClock,
    Two(Switch),
    /// Nobody knows when, so the order tells nothing.
    Several(Switch),
}

impl Tally {
    /// Adds the requests to one list, which is now this one.
    pub(crate) fn list(
        &mut self,
        which: List,
        requests: &[Request],
        list: &[u64],
        masters: Masters,
    ) {
        self.sessions += u64::from(matches!(which, List::Entry(_)));
        self.switched |= matches!(masters, Masters::Two(_) | Masters::Several(_));
        for request in requests {
            *self.outcomes.entry(request.outcome).or_default() += 1;
            self.unheard += u64::from(request.ended.is_none());
        }
        let survived = match (masters, which) {
            (Masters::One, _) => return self.wrong.extend(check(requests, list, LEASE)),
            (Masters::OneWithoutClock, _) => {
                return self.wrong.extend(check(requests, list, 0));
            }
            (Masters::Two(switch), List::Entry(_)) => check_across(requests, list, switch, LEASE),
            (Masters::Two(switch), List::Field(_)) | (Masters::Several(switch), _) => {
                check_set_across(requests, list, switch)
            }
        };
        self.lost += survived.lost.len() as u64;
        self.wrong.extend(survived.wrong);
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
        self.unheard += other.unheard;
        self.sessions += other.sessions;
        self.switched |= other.switched;
        self.lost += other.lost;
        self.wrong.extend(other.wrong);
    }

    pub(crate) fn acknowledged(&self) -> u64 {
        self.count(Outcome::Acknowledged)
    }

    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    pub(crate) fn violations(&self) -> &[Violation] {
        &self.wrong
    }

    /// # Panics
    /// When something is wrong, when fewer were acknowledged, when a trouble never happened, or when
    /// none cost a lock: a round without a failover goes on until one has.
    pub(crate) fn must_be_right(&self, acknowledged: u64) {
        println!("{self}");
        assert_eq!(self.wrong, []);
        assert!(self.acknowledged() >= acknowledged);
        let missed = self.troubles.iter().find(|(_, times)| **times == 0);
        assert_eq!(missed, None, "a trouble that never came");
        assert!(
            self.switched || self.count(LOST_LOCK) > 0,
            "no lock was lost"
        );
        assert!(self.count(CONFLICT) > 0, "nobody met another");
    }

    fn count(&self, outcome: Outcome) -> u64 {
        self.outcomes.get(&outcome).copied().unwrap_or(0)
    }
}

pub(crate) const LOST_LOCK: Outcome = Outcome::Refused(Refusal::LockLost);

const CONFLICT: Outcome = Outcome::Refused(Refusal::Conflict);

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            outcomes,
            sessions,
            unheard,
            ..
        } = self;
        writeln!(f, "{sessions} sessions, requests {outcomes:?}")?;
        writeln!(f, "troubles {:?}", self.troubles)?;
        let (locks, conflicts) = (self.count(LOST_LOCK), self.count(CONFLICT));
        writeln!(
            f,
            "{locks} locks lost, {conflicts} conflicts, {unheard} requests that nobody heard the end of"
        )?;
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
