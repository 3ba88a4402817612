//! The driver under the sessions, which times those who wait for locks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use asm_core::{Acquired, Driver, Key, LockWish, Result};
use async_trait::async_trait;

use super::tally::Gauge;
use crate::observed::Observer;

/// What is noted of one task's handle on the driver.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) queues: Arc<Queues>,
    pub(super) waits: Arc<Waits>,
}

/// Those who wait for each session's lock, over all tasks.
#[derive(Debug, Default)]
pub(super) struct Queues(Mutex<HashMap<Key, Arc<Gauge>>>);

/// How long one task waited for locks, since it was last asked.
#[derive(Debug, Default)]
pub(super) struct Waits(Mutex<Vec<Duration>>);

impl Queues {
    /// The most that waited for one lock at once.
    pub(super) fn most(&self) -> usize {
        locked(&self.0)
            .values()
            .map(|queue| queue.most())
            .max()
            .unwrap_or(0)
    }

    fn of(&self, key: &Key) -> Arc<Gauge> {
        Arc::clone(locked(&self.0).entry(*key).or_default())
    }
}

impl Waits {
    /// Hands them out, and begins anew.
    pub(super) fn take(&self) -> Vec<Duration> {
        std::mem::take(&mut locked(&self.0))
    }
}

#[async_trait]
impl Observer for Watched {
    /// The one call that may wait.
    async fn acquire(&self, driver: &dyn Driver, key: &Key, wish: LockWish) -> Result<Acquired> {
        let queue = self.queues.of(key);
        let began = Instant::now();
        let acquired = {
            let _waiting = queue.enter();
            driver.acquire(key, wish).await?
        };
        locked(&self.waits.0).push(began.elapsed());
        Ok(acquired)
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
