//! What is stored, for operators.

use std::{fmt::Debug, num::NonZeroUsize};

use async_trait::async_trait;

use crate::{Cursor, FieldName, Key, Result};

/// Lists what a backend stores: for those who count sessions, copy them, or look for one.
///
/// It answers names, never contents, and changes nothing that a user of a session could see.
#[async_trait]
pub trait Inventory: Debug + Send + Sync + 'static {
    /// One batch. Start without a cursor and go on with the one answered, until there is none.
    ///
    /// - Every session that is there from the first batch to the last is listed, once or more often.
    /// - One that begins or ends meanwhile may be listed or not; one that was over before the first
    ///   batch is not.
    /// - It goes in batches, and continues after an error, which it counts.
    ///
    /// # Errors
    /// `Invalid` for a cursor that this driver did not make.
    async fn list_sessions(&self, step: ListStep) -> Result<Listed>;

    /// The names of a session's lockless fields, in no order; none of a session that is not there.
    ///
    /// # Errors
    /// Only those of the store.
    async fn field_names(&self, key: &Key) -> Result<Vec<FieldName>>;

    /// Which part of a list lies behind a cursor, from 0 to 1; about, for those who watch it. `None`
    /// when the driver cannot tell.
    fn progress(&self, at: &Cursor) -> Option<f64> {
        let _ = at;
        None
    }
}

/// One batch of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListStep {
    /// Where to go on. `None` starts.
    pub from: Option<Cursor>,
    /// How many records to look at, about.
    pub batch: NonZeroUsize,
}

/// What one batch found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    /// The sessions.
    pub keys: Vec<Key>,
    /// Records that could not be read.
    pub failed: u64,
    /// Where to go on. `None` when the list is through.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[derive(Debug)]
    struct Shelf;

    #[async_trait]
    impl Inventory for Shelf {
        async fn list_sessions(&self, _: ListStep) -> Result<Listed> {
            Ok(Listed::default())
        }

        async fn field_names(&self, _: &Key) -> Result<Vec<FieldName>> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn who_cannot_tell_how_far_it_is_says_nothing() {
        assert_eq!(Shelf.progress(&Cursor(Bytes::new())), None);
    }
}
