//! What a case is given: storage of its own, and a hand on the clock.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use asm_core::{Clock, Driver};
use async_trait::async_trait;

/// A fresh storage for one case: what a driver's author writes to run the suite.
///
/// A case gets handles from it and nothing else; it never learns which driver it tests.
#[async_trait]
pub trait Harness: Debug + Send + Sync + 'static {
    /// A further handle on the same storage, as another process would have it.
    async fn connect(&self) -> Arc<dyn Driver>;

    /// A handle on the same server in another namespace: another prefix, another directory.
    async fn neighbour(&self) -> Arc<dyn Driver>;

    /// A handle of a client whose wall clock is wrong by that much, ahead or behind: see
    /// [`WrongClock`](crate::WrongClock). The default is for drivers that are given no clock of a
    /// client: theirs is that of the store.
    async fn connect_with_clock_off(&self, by: Duration, ahead: bool) -> Arc<dyn Driver> {
        let _ = (by, ahead);
        self.connect().await
    }

    /// A handle whose wake-ups all get lost. The default is for drivers whose waiters learn of a
    /// grant by their recheck alone, or in a way that loses nothing.
    async fn connect_deaf(&self) -> Arc<dyn Driver> {
        self.connect().await
    }

    /// Whether a waiter learns of a grant, and of the end of what it waits for, when it happens.
    /// `false` is for drivers whose waiters learn of it by their recheck alone: for them cases let a
    /// recheck pass.
    fn wakes_waiters(&self) -> bool {
        true
    }

    /// How long a waiter of this driver goes without looking at the store itself, at most.
    ///
    /// A grant that was handed on stays unconfirmed for at most [`Harness::confirm`].
    fn recheck(&self) -> Duration;

    /// How long a grant that was handed on waits for its waiter's next call.
    fn confirm(&self) -> Duration {
        2 * self.recheck()
    }

    /// Store time, as the session layer of an application would see it whose clock is right:
    /// [`Harness::advance`] moves it and ends its sleeps.
    fn clock(&self) -> Arc<dyn Clock>;

    /// Moves store time, and lets every timer that came due run, and everything come to its end
    /// that was under way: wake-ups, and what subscribers are told. Moving it by nothing does only
    /// that.
    ///
    /// Time stands still otherwise, or runs so slowly that no case of some milliseconds of real
    /// time can tell.
    async fn advance(&self, by: Duration);

    /// How many things the storage holds in all: records, locks, queues, fields, index entries,
    /// those of every namespace of this harness. 0 on a fresh one. What has expired may be counted
    /// until it is swept, if the driver has a sweeper.
    async fn holdings(&self) -> usize;

    /// Ends it and removes what is left, also after a case that failed.
    ///
    /// Panics when the driver left something behind that it should not have: a task, a waiter, a
    /// staged write. That fails the case.
    async fn stop(&self);
}

/// A driver made of another one: a pointer around it, a layer, a broken copy.
pub(crate) type Wrap = Arc<dyn Fn(Arc<dyn Driver>) -> Arc<dyn Driver> + Send + Sync>;

/// A harness whose drivers are each wrapped.
pub(crate) struct Through {
    pub(crate) harness: Box<dyn Harness>,
    pub(crate) wrap: Wrap,
}

impl Debug for Through {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.harness.fmt(f)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Harness for Through {
    async fn connect(&self) -> Arc<dyn Driver> {
        (self.wrap)(self.harness.connect().await)
    }
    async fn neighbour(&self) -> Arc<dyn Driver> {
        (self.wrap)(self.harness.neighbour().await)
    }
    async fn connect_with_clock_off(&self, by: Duration, ahead: bool) -> Arc<dyn Driver> {
        (self.wrap)(self.harness.connect_with_clock_off(by, ahead).await)
    }
    async fn connect_deaf(&self) -> Arc<dyn Driver> {
        (self.wrap)(self.harness.connect_deaf().await)
    }
    fn wakes_waiters(&self) -> bool {
        self.harness.wakes_waiters()
    }
    fn recheck(&self) -> Duration {
        self.harness.recheck()
    }
    fn confirm(&self) -> Duration {
        self.harness.confirm()
    }
    fn clock(&self) -> Arc<dyn Clock> {
        self.harness.clock()
    }
    async fn advance(&self, by: Duration) {
        self.harness.advance(by).await;
    }
    async fn holdings(&self) -> usize {
        self.harness.holdings().await
    }
    async fn stop(&self) {
        self.harness.stop().await;
    }
}
