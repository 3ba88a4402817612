//! Values beside the entries.

use std::ops::Range;

use asm_session::Field;
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Result, Session};

/// Values beside the entries of a session, which are changed without its lock and without a save:
/// counters, logs, lists. Each call is one step in the store.
///
/// The first call on a session that was never stored stores it.
///
/// ```
/// # async fn example(session: asm_tower::Session) -> asm_tower::Result<()> {
/// let clicks = session.fields().incr("clicks", 1).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// `Unsupported` when the driver has no fields; `HeadersSent` for a new session after the headers;
/// `WrongKind` when the field holds something of another kind; else as [`Session::save`].
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    pub(crate) session: &'a Session,
}

impl Fields<'_> {
    /// Adds to a number; an absent one is 0. Answers the sum.
    ///
    /// # Errors
    /// `Overflow`; as all methods here.
    pub async fn incr(&self, name: &str, by: i64) -> Result<i64> {
        let mut session = self.session.lease.storing_turn().await?;
        Ok(session.fields()?.incr(name, by).await?)
    }

    /// Sets a value.
    ///
    /// # Errors
    /// As all methods here.
    pub async fn set<T: Serialize + Sync + ?Sized>(&self, name: &str, value: &T) -> Result<()> {
        let mut session = self.session.lease.storing_turn().await?;
        Ok(session.fields()?.set(name, value).await?)
    }

    /// Appends bytes.
    ///
    /// # Errors
    /// As all methods here.
    pub async fn append(&self, name: &str, bytes: impl Into<Bytes>) -> Result<()> {
        let bytes = bytes.into();
        let mut session = self.session.lease.storing_turn().await?;
        Ok(session.fields()?.append(name, bytes).await?)
    }

    /// Pushes an item to a list. Answers how many there are.
    ///
    /// # Errors
    /// As all methods here.
    pub async fn push<T: Serialize + Sync + ?Sized>(&self, name: &str, item: &T) -> Result<usize> {
        let mut session = self.session.lease.storing_turn().await?;
        Ok(session.fields()?.push(name, item).await?)
    }

    /// What a field holds.
    ///
    /// # Errors
    /// As all methods here.
    pub async fn get(&self, name: &str) -> Result<Option<Field>> {
        let mut session = self.session.lease.turn().await?;
        Ok(session.fields()?.get(name).await?)
    }

    /// Some items of a list.
    ///
    /// # Errors
    /// `Value` when one is not a `T`; as all methods here.
    pub async fn list<T: DeserializeOwned>(
        &self,
        name: &str,
        items: Range<usize>,
    ) -> Result<Vec<T>> {
        let mut session = self.session.lease.turn().await?;
        Ok(session.fields()?.list(name, items).await?)
    }

    /// Takes a field out: of all that take it at the same time, exactly one gets it.
    ///
    /// # Errors
    /// As all methods here.
    pub async fn take(&self, name: &str) -> Result<Option<Field>> {
        let mut session = self.session.lease.turn().await?;
        Ok(session.fields()?.take(name).await?)
    }

    /// Removes a field.
    ///
    /// # Errors
    /// As all methods here.
    pub async fn clear(&self, name: &str) -> Result<()> {
        let mut session = self.session.lease.turn().await?;
        Ok(session.fields()?.clear(name).await?)
    }
}
