//! The driver under the sessions, which times those who wait for locks.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use asm_core::{
    Acquired, Broken, ChangeFeed, Create, Created, Delete, Deleted, Driver, DriverInfo, Fence, Key,
    LockState, LockStore, LockToken, LockWish, LocklessFields, Open, Opened, Released, Renewed,
    Result, Save, SessionStore, SubjectIndex, Sweep, Touch, Touched, Written,
};
use async_trait::async_trait;

use super::tally::Gauge;

/// One task's handle on the driver.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) driver: Arc<dyn Driver>,
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
impl LockStore for Watched {
    /// The one call that may wait.
    async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
        let queue = self.queues.of(key);
        let began = Instant::now();
        let acquired = {
            let _waiting = queue.enter();
            self.driver.acquire(key, wish).await?
        };
        locked(&self.waits.0).push(began.elapsed());
        Ok(acquired)
    }

    async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
        self.driver.renew(key, token, hold).await
    }

    async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
        self.driver.release(key, token).await
    }

    async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
        self.driver.break_lock(key, fence).await
    }

    async fn inspect(&self, key: &Key) -> Result<LockState> {
        self.driver.inspect(key).await
    }

    fn abandon(&self, key: &Key, token: &LockToken) {
        self.driver.abandon(key, token);
    }
}

#[async_trait]
impl SessionStore for Watched {
    async fn create(&self, key: &Key, req: Create) -> Result<Created> {
        self.driver.create(key, req).await
    }

    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        self.driver.open(key, req).await
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        self.driver.save(key, req).await
    }

    async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
        self.driver.touch(key, req).await
    }

    async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
        self.driver.delete(key, req).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl Driver for Watched {
    fn info(&self) -> DriverInfo {
        self.driver.info()
    }

    fn fields(&self) -> Option<&dyn LocklessFields> {
        self.driver.fields()
    }

    fn changes(&self) -> Option<&dyn ChangeFeed> {
        self.driver.changes()
    }

    fn subjects(&self) -> Option<&dyn SubjectIndex> {
        self.driver.subjects()
    }

    fn sweeper(&self) -> Option<&dyn Sweep> {
        self.driver.sweeper()
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
