//! The parts of an entry, and how they are stored.

use std::{fmt, ops::BitOr};

use asm_core::{Error, ErrorKind, Redacted, Result};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{Entry, entry::StoredHead, fields::StoredFields, lock::StoredLock};

/// A set of the parts of an entry, so that a store loads and writes no more than it must.
///
/// ```
/// use asm_entry::Parts;
///
/// let wanted = Parts::HEAD | Parts::LOCK;
/// assert!(wanted.contains(Parts::HEAD));
/// assert!(!wanted.contains(Parts::BODY));
/// assert!(Parts::ALL.contains(wanted));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts(u8);

impl Parts {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// Version, op ids, epoch, proofs, deadline. An entry without a head is vacant.
    pub const HEAD: Self = Self(1);
    /// The bytes of the record.
    pub const BODY: Self = Self(2);
    /// Fence, grant, queue.
    pub const LOCK: Self = Self(4);
    /// The lockless fields.
    pub const FIELDS: Self = Self(8);
    /// All of them.
    pub const ALL: Self = Self(15);

    /// Both sets together.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether all of the others are in it.
    #[must_use]
    pub const fn contains(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }
}

impl BitOr for Parts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.and(other)
    }
}

/// What a store has to write back after a step. Clearing comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Remove everything that is stored for this key.
    pub clear: bool,
    /// Store these parts anew; what [`Entry::part`] answers `None` for is removed.
    pub write: Parts,
}

impl Changes {
    /// Whether there is nothing to do.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// The parts of an entry as a store has them. `None` is a part that is not there, or was not
/// loaded.
#[derive(Clone, Default)]
pub struct StoredParts {
    /// [`Parts::HEAD`].
    pub head: Option<Bytes>,
    /// [`Parts::BODY`].
    pub body: Option<Bytes>,
    /// [`Parts::LOCK`].
    pub lock: Option<Bytes>,
    /// [`Parts::FIELDS`].
    pub fields: Option<Bytes>,
}

impl fmt::Debug for StoredParts {
    /// Shows how many bytes each part has, and none of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let len = |part: &Option<Bytes>| part.as_ref().map(Bytes::len);
        f.debug_struct("StoredParts")
            .field("head", &len(&self.head))
            .field("body", &len(&self.body))
            .field("lock", &len(&self.lock))
            .field("fields", &len(&self.fields))
            .finish()
    }
}

impl Entry {
    /// An entry of its stored parts. `loaded` says which of them were looked for; the head always
    /// must be.
    ///
    /// ```
    /// use asm_entry::{Entry, Parts, StoredParts};
    ///
    /// let entry = Entry::decode(Parts::HEAD | Parts::LOCK, StoredParts::default()).unwrap();
    /// assert!(entry.is_vacant());
    /// ```
    ///
    /// # Errors
    /// `Corrupt` when a part is not what [`part`](Self::part) wrote, or when a body is missing.
    /// Nothing is allocated beyond a small multiple of the stored bytes.
    pub fn decode(loaded: Parts, stored: StoredParts) -> Result<Self> {
        let Some(head) = &stored.head else {
            return Ok(Self::vacant());
        };
        let head: StoredHead = decode(head)?;
        let lock = stored
            .lock
            .as_deref()
            .map(decode::<StoredLock>)
            .transpose()?;
        let fields = stored
            .fields
            .as_deref()
            .map(decode::<StoredFields>)
            .transpose()?;
        let fields = fields
            .map(StoredFields::restore)
            .transpose()
            .map_err(corrupt)?;
        if loaded.contains(Parts::BODY) && stored.body.is_none() {
            return Err(Error::new(ErrorKind::Corrupt, "a stored head has no body"));
        }
        let body = stored.body.map(Redacted::from);
        let lock = lock.map(StoredLock::restore);
        Self::restore(loaded | Parts::HEAD, &head, body, lock, fields)
    }

    /// One part in its stored form; `None` when there is nothing to store.
    /// So does a set of none or of several.
    #[must_use]
    pub fn part(&self, part: Parts) -> Option<Bytes> {
        if self.is_vacant() {
            return None;
        }
        match part {
            Parts::HEAD => Some(encode(&self.store_head()).into()),
            Parts::BODY => self.body().cloned().map(Redacted::into_bytes),
            Parts::LOCK => self.lock().map(|lock| encode(&StoredLock::of(lock)).into()),
            Parts::FIELDS => self
                .fields()
                .map(|fields| encode(&StoredFields::of(fields)).into()),
            _ => None,
        }
    }
}

/// Serialization into memory fails for no value of ours: none has an unknown length or a foreign
/// `Serialize`.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_default()
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T> {
    match postcard::take_from_bytes(bytes) {
        Ok((value, [])) => Ok(value),
        Ok(_) => Err(corrupt("bytes after the end")),
        Err(error) => Err(corrupt(error)),
    }
}

fn corrupt(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::Corrupt, "a stored part is not ours").because(source)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_much_is_stored_shows_and_not_what() {
        let parts = StoredParts {
            body: Some(Bytes::from_static(b"4111")),
            ..StoredParts::default()
        };
        assert_eq!(
            format!("{parts:?}"),
            "StoredParts { head: None, body: Some(4), lock: None, fields: None }"
        );
    }
}
