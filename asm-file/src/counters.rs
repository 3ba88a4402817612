//! What an operator wants to know about a driver.

use std::sync::atomic::{AtomicU64, Ordering};

/// What one driver has met since it was opened, and what it has to do. Each number is exact by
/// itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Times that a file was torn, or not ours, where one of ours should have been. It counts as
    /// no session.
    pub foreign: u64,
    /// Files that writers who died had left behind, and that were removed.
    pub leftovers: u64,
    /// Times that a lock was taken from processes that had died.
    pub buried: u64,
    /// Calls, tasks and notifications that are under way on threads of the driver's own.
    pub under_way: usize,
    /// Those that were, and are not any more.
    pub done: u64,
    /// Sessions for whose locks somebody waits here.
    pub waited_for: usize,
    /// How many follow the changes of a session here.
    pub followed: usize,
}

/// The ones that grow.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) foreign: AtomicU64,
    pub(crate) leftovers: AtomicU64,
    pub(crate) buried: AtomicU64,
}

impl Tally {
    /// A file that is torn, or not ours. It is left where it is.
    pub(crate) fn foreign(&self, what: &'static str, shard: u8) {
        self.foreign.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(
            what,
            shard,
            "a file is torn, or not ours: it counts as none"
        );
    }

    /// Something that a dead writer left, and that was removed.
    pub(crate) fn leftover(&self, shard: u8) {
        self.leftovers.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(shard, "removed what a writer that died had left");
    }

    /// A lock whose holder or waiters have died.
    pub(crate) fn buried(&self, shard: u8) {
        self.buried.fetch_add(1, Ordering::Relaxed);
        tracing::info!(shard, "took a lock from processes that have died");
    }

    pub(crate) fn show(&self) -> Counters {
        Counters {
            foreign: self.foreign.load(Ordering::Relaxed),
            leftovers: self.leftovers.load(Ordering::Relaxed),
            buried: self.buried.load(Ordering::Relaxed),
            ..Counters::default()
        }
    }
}
