//! What is measured.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use serde::{Deserialize, Serialize};

/// What one mode's race came to, in one process or in all.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    /// Increments that the driver said are stored.
    pub(crate) acknowledged: u64,
    /// Increments that are there at the end.
    pub(crate) found: u64,
    /// Saves refused because somebody else had saved.
    pub(crate) conflicts: u64,
    /// Saves that were laid over what somebody else had saved.
    pub(crate) merges: u64,
    /// How long each that queued for a lock waited, the shortest first.
    pub(crate) waits: Vec<Duration>,
    /// The most that waited for one lock at once.
    pub(crate) longest_queue: usize,
    /// The most requests that were under way at once.
    pub(crate) overlap: usize,
}

/// What one task saw.
#[derive(Debug, Default)]
pub(crate) struct Notes {
    pub(crate) acknowledged: u64,
    pub(crate) conflicts: u64,
    pub(crate) merges: u64,
    pub(crate) waits: Vec<Duration>,
}

impl Tally {
    /// Adds what one task saw.
    pub(crate) fn add(&mut self, notes: Notes) {
        self.acknowledged += notes.acknowledged;
        self.conflicts += notes.conflicts;
        self.merges += notes.merges;
        self.waits.extend(notes.waits);
    }

    /// Adds what another process saw, which was held at the same start: all were under way there
    /// together.
    pub(crate) fn join(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.conflicts += other.conflicts;
        self.merges += other.merges;
        self.waits.extend(other.waits);
        self.longest_queue = self.longest_queue.max(other.longest_queue);
        self.overlap += other.overlap;
    }

    /// The wait that this percentage of waits did not exceed, by nearest rank.
    pub(crate) fn wait(&self, percent: usize) -> Option<Duration> {
        let rank = (self.waits.len() * percent).div_ceil(100);
        self.waits.get(rank.saturating_sub(1)).copied()
    }
}

/// How many are inside, and the most that ever were.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    inside: AtomicUsize,
    most: AtomicUsize,
}

/// Somebody inside, until dropped.
#[derive(Debug)]
pub(crate) struct Inside<'a>(&'a Gauge);

impl Gauge {
    /// One more is inside.
    #[must_use = "it is inside until dropped"]
    pub(crate) fn enter(&self) -> Inside<'_> {
        let inside = self.inside.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(inside, Ordering::Relaxed);
        Inside(self)
    }

    /// The most that ever were inside at once.
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_go_by_nearest_rank() {
        let mut tally = Tally::default();
        assert_eq!(tally.wait(50), None);
        tally.waits = (1..=10).map(Duration::from_millis).collect();
        assert_eq!(tally.wait(50), Some(Duration::from_millis(5)));
        assert_eq!(tally.wait(99), Some(Duration::from_millis(10)));
        assert_eq!(tally.wait(0), Some(Duration::from_millis(1)));
    }

    #[test]
    fn a_gauge_remembers_the_most() {
        let gauge = Gauge::default();
        let both = (gauge.enter(), gauge.enter());
        drop(both);
        let _third = gauge.enter();
        assert_eq!(gauge.most(), 2);
    }
}
