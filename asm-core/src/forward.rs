//! A driver behind a pointer is a driver.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;

use crate::{
    Acquired, Broken, ChangeFeed, Create, Created, Delete, Deleted, Driver, DriverInfo, Fence, Key,
    LockState, LockStore, LockToken, LockWish, LocklessFields, Open, Opened, Released, Renewed,
    Result, Save, SessionStore, SubjectIndex, Sweep, Touch, Touched, Written,
};

/// Forwards every method, those with a default included: a forgotten one would lose a facet.
macro_rules! forward {
    ($pointer:ident) => {
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: SessionStore + ?Sized> SessionStore for $pointer<T> {
            async fn create(&self, key: &Key, req: Create) -> Result<Created> {
                (**self).create(key, req).await
            }
            async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
                (**self).open(key, req).await
            }
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                (**self).save(key, req).await
            }
            async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
                (**self).touch(key, req).await
            }
            async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
                (**self).delete(key, req).await
            }
        }

        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<T: LockStore + ?Sized> LockStore for $pointer<T> {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                (**self).acquire(key, wish).await
            }
            async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
                (**self).renew(key, token, hold).await
            }
            async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
                (**self).release(key, token).await
            }
            async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
                (**self).break_lock(key, fence).await
            }
            async fn inspect(&self, key: &Key) -> Result<LockState> {
                (**self).inspect(key).await
            }
            fn abandon(&self, key: &Key, token: &LockToken) {
                (**self).abandon(key, token);
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<T: Driver + ?Sized> Driver for $pointer<T> {
            fn info(&self) -> DriverInfo {
                (**self).info()
            }
            fn fields(&self) -> Option<&dyn LocklessFields> {
                (**self).fields()
            }
            fn changes(&self) -> Option<&dyn ChangeFeed> {
                (**self).changes()
            }
            fn subjects(&self) -> Option<&dyn SubjectIndex> {
                (**self).subjects()
            }
            fn sweeper(&self) -> Option<&dyn Sweep> {
                (**self).sweeper()
            }
        }
    };
}

forward!(Arc);
forward!(Box);
