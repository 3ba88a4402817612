//! A driver behind a pointer, or inside of a wrapper, is a driver.

use std::{future::Future, pin::Pin, sync::Arc};

use crate::{Driver, Result};

/// What a method under `async_trait` answers.
pub type Answer<'answer, T> = Pin<Box<dyn Future<Output = Result<T>> + Send + 'answer>>;

/// Implements [`SessionStore`](crate::SessionStore), [`LockStore`](crate::LockStore) and
/// [`Driver`](crate::Driver) for a type by handing every call to a driver inside of it.
///
/// A call costs nothing more: what is answered is the future of the driver inside.
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
        #[deny(clippy::missing_trait_methods)]
        impl<$($generics)*> $crate::SessionStore for $type {
            fn create<'this, 'key, 'answer>(
                &'this self,
                key: &'key $crate::Key,
                req: $crate::Create,
            ) -> $crate::__Answer<'answer, $crate::Created>
            where
                'this: 'answer,
                'key: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::SessionStore::create($inner, key, req)
            }
            fn open<'this, 'key, 'answer>(
                &'this self,
                key: &'key $crate::Key,
                req: $crate::Open,
            ) -> $crate::__Answer<'answer, $crate::Opened>
            where
                'this: 'answer,
                'key: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::SessionStore::open($inner, key, req)
            }
            fn save<'this, 'key, 'answer>(
                &'this self,
                key: &'key $crate::Key,
                req: $crate::Save,
            ) -> $crate::__Answer<'answer, $crate::Written>
            where
                'this: 'answer,
                'key: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::SessionStore::save($inner, key, req)
            }
            fn touch<'this, 'key, 'answer>(
                &'this self,
                key: &'key $crate::Key,
                req: $crate::Touch,
            ) -> $crate::__Answer<'answer, $crate::Touched>
            where
                'this: 'answer,
                'key: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::SessionStore::touch($inner, key, req)
            }
            fn delete<'this, 'key, 'answer>(
                &'this self,
                key: &'key $crate::Key,
                req: $crate::Delete,
            ) -> $crate::__Answer<'answer, $crate::Deleted>
            where
                'this: 'answer,
                'key: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::SessionStore::delete($inner, key, req)
            }
        }

        #[deny(clippy::missing_trait_methods)]
        impl<$($generics)*> $crate::LockStore for $type {
            fn acquire<'this, 'key, 'answer>(
                &'this self,
                key: &'key $crate::Key,
                wish: $crate::LockWish,
            ) -> $crate::__Answer<'answer, $crate::Acquired>
            where
                'this: 'answer,
                'key: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::LockStore::acquire($inner, key, wish)
            }
            fn renew<'this, 'key, 'token, 'answer>(
                &'this self,
                key: &'key $crate::Key,
                token: &'token $crate::LockToken,
                hold: ::std::time::Duration,
            ) -> $crate::__Answer<'answer, $crate::Renewed>
            where
                'this: 'answer,
                'key: 'answer,
                'token: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::LockStore::renew($inner, key, token, hold)
            }
            fn release<'this, 'key, 'token, 'answer>(
                &'this self,
                key: &'key $crate::Key,
                token: &'token $crate::LockToken,
            ) -> $crate::__Answer<'answer, $crate::Released>
            where
                'this: 'answer,
                'key: 'answer,
                'token: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::LockStore::release($inner, key, token)
            }
            fn break_lock<'this, 'key, 'answer>(
                &'this self,
                key: &'key $crate::Key,
                fence: ::std::option::Option<$crate::Fence>,
            ) -> $crate::__Answer<'answer, $crate::Broken>
            where
                'this: 'answer,
                'key: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::LockStore::break_lock($inner, key, fence)
            }
            fn inspect<'this, 'key, 'answer>(
                &'this self,
                key: &'key $crate::Key,
            ) -> $crate::__Answer<'answer, $crate::LockState>
            where
                'this: 'answer,
                'key: 'answer,
                Self: 'answer,
            {
                let $this = self;
                $crate::LockStore::inspect($inner, key)
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
            fn inventory(&self) -> ::std::option::Option<&dyn $crate::Inventory> {
                let $this = self;
                $crate::Driver::inventory($inner)
            }
        }
    };
}

forward_driver!([T: Driver + ?Sized] Arc<T>, |this| &**this);
forward_driver!([T: Driver + ?Sized] Box<T>, |this| &**this);
