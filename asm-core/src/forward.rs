//! A driver behind a pointer, or inside of a wrapper, is a driver.

use std::sync::Arc;

use crate::Driver;

/// Implements [`SessionStore`](crate::SessionStore), [`LockStore`](crate::LockStore) and
/// [`Driver`](crate::Driver) for a type by handing every call to a driver inside of it.
///
/// Every method is forwarded, those with a default included, and
/// `clippy::missing_trait_methods` is denied: a forgotten one would lose a facet without a word.
///
/// ```
/// use asm_core::{Driver, forward_driver};
///
/// /// A driver under a name of its own.
/// #[derive(Debug)]
/// pub struct Named<D>(D);
///
/// forward_driver!([D: Driver] Named<D>, |this| &this.0);
/// ```
#[macro_export]
macro_rules! forward_driver {
    ([$($generics:tt)*] $type:ty, |$this:ident| $inner:expr) => {
        #[$crate::__async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<$($generics)*> $crate::SessionStore for $type {
            async fn create(
                &self,
                key: &$crate::Key,
                req: $crate::Create,
            ) -> $crate::Result<$crate::Created> {
                let $this = self;
                $crate::SessionStore::create($inner, key, req).await
            }
            async fn open(
                &self,
                key: &$crate::Key,
                req: $crate::Open,
            ) -> $crate::Result<$crate::Opened> {
                let $this = self;
                $crate::SessionStore::open($inner, key, req).await
            }
            async fn save(
                &self,
                key: &$crate::Key,
                req: $crate::Save,
            ) -> $crate::Result<$crate::Written> {
                let $this = self;
                $crate::SessionStore::save($inner, key, req).await
            }
            async fn touch(
                &self,
                key: &$crate::Key,
                req: $crate::Touch,
            ) -> $crate::Result<$crate::Touched> {
                let $this = self;
                $crate::SessionStore::touch($inner, key, req).await
            }
            async fn delete(
                &self,
                key: &$crate::Key,
                req: $crate::Delete,
            ) -> $crate::Result<$crate::Deleted> {
                let $this = self;
                $crate::SessionStore::delete($inner, key, req).await
            }
        }

        #[$crate::__async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<$($generics)*> $crate::LockStore for $type {
            async fn acquire(
                &self,
                key: &$crate::Key,
                wish: $crate::LockWish,
            ) -> $crate::Result<$crate::Acquired> {
                let $this = self;
                $crate::LockStore::acquire($inner, key, wish).await
            }
            async fn renew(
                &self,
                key: &$crate::Key,
                token: &$crate::LockToken,
                hold: ::std::time::Duration,
            ) -> $crate::Result<$crate::Renewed> {
                let $this = self;
                $crate::LockStore::renew($inner, key, token, hold).await
            }
            async fn release(
                &self,
                key: &$crate::Key,
                token: &$crate::LockToken,
            ) -> $crate::Result<$crate::Released> {
                let $this = self;
                $crate::LockStore::release($inner, key, token).await
            }
            async fn break_lock(
                &self,
                key: &$crate::Key,
                fence: ::std::option::Option<$crate::Fence>,
            ) -> $crate::Result<$crate::Broken> {
                let $this = self;
                $crate::LockStore::break_lock($inner, key, fence).await
            }
            async fn inspect(&self, key: &$crate::Key) -> $crate::Result<$crate::LockState> {
                let $this = self;
                $crate::LockStore::inspect($inner, key).await
            }
            fn abandon(&self, key: &$crate::Key, token: &$crate::LockToken) {
                let $this = self;
                $crate::LockStore::abandon($inner, key, token);
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<$($generics)*> $crate::Driver for $type {
            fn info(&self) -> $crate::DriverInfo {
                let $this = self;
                $crate::Driver::info($inner)
            }
            fn fields(&self) -> ::std::option::Option<&dyn $crate::LocklessFields> {
                let $this = self;
                $crate::Driver::fields($inner)
            }
            fn changes(&self) -> ::std::option::Option<&dyn $crate::ChangeFeed> {
                let $this = self;
                $crate::Driver::changes($inner)
            }
            fn subjects(&self) -> ::std::option::Option<&dyn $crate::SubjectIndex> {
                let $this = self;
                $crate::Driver::subjects($inner)
            }
            fn sweeper(&self) -> ::std::option::Option<&dyn $crate::Sweep> {
                let $this = self;
                $crate::Driver::sweeper($inner)
            }
        }
    };
}

forward_driver!([T: Driver + ?Sized] Arc<T>, |this| &**this);
forward_driver!([T: Driver + ?Sized] Box<T>, |this| &**this);
