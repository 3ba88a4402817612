//! What a driver has met so far.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// What a driver has met since it was made, and what it has to do now. Made by
/// [`RedisDriver::counters`](crate::RedisDriver::counters).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Calls that were sent, those that were sent again included. Each is one round trip.
    pub calls: u64,
    /// Calls that were sent again because their connection failed.
    pub resends: u64,
    /// Calls that ended at their deadline.
    pub timeouts: u64,
    /// Calls that another node of a cluster was named for.
    pub redirects: u64,
    /// Calls that took their script along, because the server did not know it.
    pub scripts: u64,
    /// Connections that were made, those to listen included.
    pub connections: u64,
    /// Waiters that were woken by a message.
    pub wakes: u64,
    /// Waiters that were woken by a call of this process.
    pub wakes_next_door: u64,
    /// Records without a lifetime that were read.
    pub lost_lifetimes: u64,
    /// Waiters of this process.
    pub waiting: usize,
    /// Subscribers of this process.
    pub following: usize,
    /// Tasks of the driver that are under way: what goes on without its caller.
    pub under_way: usize,
}

/// The same, being counted.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) calls: Count,
    pub(crate) resends: Count,
    pub(crate) timeouts: Count,
    pub(crate) redirects: Count,
    pub(crate) scripts: Count,
    pub(crate) connections: Count,
    pub(crate) wakes: Count,
    pub(crate) wakes_next_door: Count,
    pub(crate) lost_lifetimes: Count,
    pub(crate) under_way: Count,
}

#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more; answers how many there were before.
    pub(crate) fn add(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn subtract(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Tally {
    /// Something is under way until the answer is dropped.
    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.under_way.add();
        Busy(Arc::clone(self))
    }
}

/// That something is under way.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Tally>);

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.under_way.subtract();
    }
}
