//! Requests that wait for a lock, each in a task of its own.

use std::sync::Arc;

use asm_core::{Acquired, Driver, Fence, Key, LockState, LockToken, LockWish, Result};
use tokio::task::{JoinHandle, yield_now};

use crate::expect;

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
    pub(crate) async fn answer(mut self) -> Result<Acquired> {
        (&mut self.task)
            .await
            .expect("an acquire that does not panic")
    }

    /// Its grant, when it comes.
    pub(crate) async fn held(self) -> Fence {
        expect::held(self.answer().await)
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

/// Asks until the answer is yes, and lets the other tasks go on in between. Time stands still; the
/// watchdog ends it when the answer never comes.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    while !condition().await {
        yield_now().await;
    }
}
