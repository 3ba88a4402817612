//! A driver whose calls somebody watches.

use std::{fmt::Debug, sync::Arc, time::Duration};

use asm_core::{
    Acquired, Broken, ChangeFeed, Create, Created, Delete, Deleted, Driver, DriverInfo, Fence,
    FieldFound, FieldRead, FieldWrite, FieldWritten, Inventory, Key, Listing, LockState, LockStore,
    LockToken, LockWish, LocklessFields, Open, Opened, Released, Renewed, Reserve, Reserved,
    Result, Revoked, Save, SessionStore, Subject, SubjectIndex, Sweep, Touch, Touched, Written,
};
use async_trait::async_trait;

/// Makes the calls that it watches closely, and takes notes around them. Of each call it is told.
#[async_trait]
pub(crate) trait Observer: Debug + Send + Sync + 'static {
    /// A call is about to be made.
    fn calls(&self) {}

    async fn open(&self, driver: &dyn Driver, key: &Key, req: Open) -> Result<Opened> {
        driver.open(key, req).await
    }

    async fn save(&self, driver: &dyn Driver, key: &Key, req: Save) -> Result<Written> {
        driver.save(key, req).await
    }

    async fn delete(&self, driver: &dyn Driver, key: &Key, req: Delete) -> Result<Deleted> {
        driver.delete(key, req).await
    }

    async fn acquire(&self, driver: &dyn Driver, key: &Key, wish: LockWish) -> Result<Acquired> {
        driver.acquire(key, wish).await
    }

    async fn release(&self, driver: &dyn Driver, key: &Key, token: &LockToken) -> Result<Released> {
        driver.release(key, token).await
    }
}

/// A handle on a driver, under the eyes of an observer.
#[derive(Debug)]
pub(crate) struct Observed<O> {
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) observer: O,
}

impl<O: Observer> Observed<O> {
    fn called(&self) -> &dyn Driver {
        self.observer.calls();
        &*self.driver
    }

    /// What only a driver with fields is asked for.
    fn with_fields(&self) -> Result<&dyn LocklessFields> {
        self.called().fields().ok_or_else(missing)
    }

    /// What only a driver with an index is asked for.
    fn with_subjects(&self) -> Result<&dyn SubjectIndex> {
        self.called().subjects().ok_or_else(missing)
    }
}

fn missing() -> asm_core::Error {
    asm_core::Error::new(
        asm_core::ErrorKind::Unsupported,
        "this driver has no such facet",
    )
}

#[async_trait]
impl<O: Observer> SessionStore for Observed<O> {
    async fn create(&self, key: &Key, req: Create) -> Result<Created> {
        self.called().create(key, req).await
    }

    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        self.observer.open(self.called(), key, req).await
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        self.observer.save(self.called(), key, req).await
    }

    async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
        self.called().touch(key, req).await
    }

    async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
        self.observer.delete(self.called(), key, req).await
    }
}

#[async_trait]
impl<O: Observer> LockStore for Observed<O> {
    async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
        self.observer.acquire(self.called(), key, wish).await
    }

    async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
        self.called().renew(key, token, hold).await
    }

    async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
        self.observer.release(self.called(), key, token).await
    }

    async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
        self.called().break_lock(key, fence).await
    }

    async fn inspect(&self, key: &Key) -> Result<LockState> {
        self.called().inspect(key).await
    }

    fn abandon(&self, key: &Key, token: &LockToken) {
        self.called().abandon(key, token);
    }
}

#[async_trait]
impl<O: Observer> LocklessFields for Observed<O> {
    async fn read_field(&self, key: &Key, req: FieldRead) -> Result<FieldFound> {
        self.with_fields()?.read_field(key, req).await
    }

    async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten> {
        self.with_fields()?.write_field(key, req).await
    }
}

#[async_trait]
impl<O: Observer> SubjectIndex for Observed<O> {
    async fn reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved> {
        self.with_subjects()?.reserve(subject, req).await
    }

    async fn list(&self, subject: &Subject) -> Result<Listing> {
        self.with_subjects()?.list(subject).await
    }

    async fn revoke(&self, subject: &Subject, keep: Option<Key>) -> Result<Revoked> {
        self.with_subjects()?.revoke(subject, keep).await
    }

    async fn forget(&self, subject: &Subject, keys: Vec<Key>) -> Result<usize> {
        self.with_subjects()?.forget(subject, keys).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<O: Observer> Driver for Observed<O> {
    fn info(&self) -> DriverInfo {
        self.driver.info()
    }

    fn fields(&self) -> Option<&dyn LocklessFields> {
        self.driver.fields().map(|_| self as &dyn LocklessFields)
    }

    fn changes(&self) -> Option<&dyn ChangeFeed> {
        self.driver.changes()
    }

    fn subjects(&self) -> Option<&dyn SubjectIndex> {
        self.driver.subjects().map(|_| self as &dyn SubjectIndex)
    }

    fn sweeper(&self) -> Option<&dyn Sweep> {
        self.driver.sweeper()
    }

    fn inventory(&self) -> Option<&dyn Inventory> {
        self.driver.inventory()
    }
}
