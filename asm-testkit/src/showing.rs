//! A driver that lies about its records.

use std::sync::{Arc, Mutex, PoisonError};

use asm_core::{Driver, Key, Open, Opened, Redacted, Result};
use async_trait::async_trait;
use bytes::Bytes;

use crate::{Layer, Layered};

/// A driver that shows what it is told to instead of a record, to whoever opens one: for tests of
/// what is believed of a store that somebody else can write.
///
/// ```
/// # use std::sync::Arc;
/// # use asm_core::Driver;
/// use asm_testkit::Showing;
///
/// fn lying(driver: Arc<dyn Driver>) -> Arc<dyn Driver> {
///     let shown = Showing::over(driver);
///     shown.layer().show(Some("no record of ours".into()));
///     shown
/// }
/// ```
#[derive(Debug)]
pub struct Showing {
    inner: Arc<dyn Driver>,
    instead: Mutex<Option<Redacted>>,
}

impl Showing {
    /// Over this one, and showing what that has.
    #[must_use]
    pub fn over(inner: Arc<dyn Driver>) -> Arc<Layered<Self>> {
        Arc::new(Layered::new(Self {
            inner,
            instead: Mutex::default(),
        }))
    }

    /// Shows this from now on, or with `None` what there is. What is missing stays missing.
    pub fn show(&self, instead: Option<Bytes>) {
        let mut shown = self.instead.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = instead.map(Redacted::from);
    }
}

#[async_trait]
impl Layer for Showing {
    fn inner(&self) -> &dyn Driver {
        &self.inner
    }

    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        let mut opened = self.inner.open(key, req).await?;
        let instead = self.instead.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Opened::Found { snapshot, .. }, Some(instead)) = (&mut opened, &*instead) {
            snapshot.data = instead.clone();
        }
        Ok(opened)
    }
}
