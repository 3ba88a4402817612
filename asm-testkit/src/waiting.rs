//! Requests that wait for a lock, each in a task of its own.

use std::{future::Future, sync::Arc};

use asm_core::{Acquired, Driver, Fence, Key, LockState, LockToken, LockWish, Result};
use futures_util::future::join;
use tokio::task::{JoinHandle, yield_now};

use crate::{Harness, clock::turns, expect};

/// An acquire under way. Dropping it drops the acquire's future.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) token: LockToken,
    task: JoinHandle<Result<Acquired>>,
}

impl Waiting {
    /// Begins to wait, in a place of the queue that is left to chance.
    pub(crate) fn begin(driver: &Arc<dyn Driver>, key: &Key, wish: LockWish) -> Self {
        let (driver, key, token) = (Arc::clone(driver), *key, wish.claim.token);
        let task = tokio::spawn(async move { driver.acquire(&key, wish).await });
        Self { token, task }
    }

    /// Waits, and is the last in the queue.
    pub(crate) async fn queued(driver: &Arc<dyn Driver>, key: &Key, wish: LockWish) -> Self {
        let before = waiters(&**driver, key).await;
        let waiting = Self::begin(driver, key, wish);
        until(async || waiters(&**driver, key).await == before + 1).await;
        waiting
    }

    /// Whether it has its answer.
    pub(crate) fn is_over(&self) -> bool {
        self.task.is_finished()
    }

    /// Its answer, when it comes.
    pub(crate) async fn answer(mut self, h: &dyn Harness) -> Result<Acquired> {
        answered(h, || self.is_over()).await;
        (&mut self.task)
            .await
            .expect("an acquire that does not panic")
    }

    /// Its grant, when it comes.
    pub(crate) async fn held(self, h: &dyn Harness) -> Fence {
        expect::held(self.answer(h).await)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Who holds the lock and who waits.
pub(crate) async fn lock(driver: &dyn Driver, key: &Key) -> LockState {
    driver.inspect(key).await.expect("a look at the lock")
}

/// The present grant.
pub(crate) async fn holder(driver: &dyn Driver, key: &Key) -> Option<Fence> {
    lock(driver, key).await.holder.map(|holder| holder.fence)
}

/// How many wait.
pub(crate) async fn waiters(driver: &dyn Driver, key: &Key) -> usize {
    lock(driver, key).await.waiters.len()
}

/// Nobody holds the lock, nobody waits for it.
pub(crate) async fn is_free(driver: &dyn Driver, key: &Key) -> bool {
    lock(driver, key).await == LockState::default()
}

/// Lets that come to its end which a waiter waits for, with a recheck where the driver needs one.
pub(crate) async fn answered(h: &dyn Harness, is_over: impl Fn() -> bool) {
    turns().await;
    if !is_over() && !h.wakes_waiters() {
        h.advance(h.recheck()).await;
    }
    until(async || is_over()).await;
}

/// Goes on with an acquire that nobody polled for a while, to its grant.
pub(crate) async fn resumed(
    h: &dyn Harness,
    acquire: impl Future<Output = Result<Acquired>>,
) -> Fence {
    expect::held(if h.wakes_waiters() {
        acquire.await
    } else {
        join(acquire, h.advance(h.recheck())).await.0
    })
}

/// Asks until the answer is yes, and lets the other tasks go on in between. Time stands still; the
/// watchdog ends it when the answer never comes.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    while !condition().await {
        yield_now().await;
    }
}
