//! Values beside the record that are changed without the lock: counters, logs, lists.

use std::{fmt, ops::Range, time::Duration};

use async_trait::async_trait;

use crate::{Epoch, Error, ErrorKind, Key, OpId, Redacted, Result};

/// Values beside the record that are changed without the lock.
///
/// - Fields exist only with their session, share its lifetime, follow a rotation, go with a
///   delete. A write never brings a session back.
/// - Each change is atomic by itself; n parallel callers lose nothing.
/// - No call waits for a lock or disturbs one, none changes the record or its version.
#[async_trait]
pub trait LocklessFields: fmt::Debug + Send + Sync + 'static {
    /// Reads one field.
    ///
    /// # Errors
    /// Only those of the store.
    async fn read_field(&self, key: &Key, req: FieldRead) -> Result<FieldFound>;

    /// Changes one field.
    ///
    /// - A resent change counts once and answers as the first time.
    ///
    /// # Errors
    /// `TooLarge` when the session's fields together would pass the record limit, nothing is
    /// changed then; `Unknown` for a resend that cannot be resolved any more.
    async fn write_field(&self, key: &Key, req: FieldWrite) -> Result<FieldWritten>;
}

/// The name of a field: 1 to [`FieldName::MAX`] bytes of any text. A driver takes care that no
/// name leaves its session.
///
/// ```
/// use asm_core::FieldName;
///
/// assert!(FieldName::new("visits").is_ok());
/// assert!(FieldName::new("}:other\0/..").is_ok());
/// assert!(FieldName::new("").is_err());
/// assert!(FieldName::new("x".repeat(64 * 1024)).is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FieldName(Box<str>);

impl FieldName {
    /// The longest name in bytes.
    pub const MAX: usize = 128;

    /// A field of this name.
    ///
    /// # Errors
    /// `Invalid` when it is empty or longer than [`FieldName::MAX`].
    pub fn new(name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        if name.is_empty() || name.len() > Self::MAX {
            let length = name.len();
            return Err(Error::new(
                ErrorKind::Invalid,
                format!("a field name has 1 to {} bytes, not {length}", Self::MAX),
            ));
        }
        Ok(Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldName(..)")
    }
}

/// What a field holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldValue {
    /// Bytes, from `Set` or `Append`.
    Bytes(Redacted),
    /// A number, from `Incr`.
    Number(i64),
    /// Items, from `Push`, the oldest first.
    List(Vec<Redacted>),
}

/// Reads one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldRead {
    /// Which.
    pub name: FieldName,
    /// The epoch that the session was opened under.
    pub epoch: Epoch,
    /// Of a list, only the items of these positions (cut to those that are there). `None` reads
    /// all. Other values are read whole.
    pub items: Option<Range<usize>>,
}

/// What a [`FieldRead`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldFound {
    /// The value.
    Value(FieldValue),
    /// The session has no such field.
    Absent,
    /// The session was deleted or has expired.
    Missing,
    /// Another epoch has begun.
    Ended,
}

/// Changes one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldWrite {
    /// Which.
    pub name: FieldName,
    /// The epoch that the session was opened under.
    pub epoch: Epoch,
    /// This change's name.
    pub op: OpId,
    /// `None` at the first sending; in a resend, how long ago the first was at most when the resend
    /// arrives: the time since then, and the deadline of this call. A store that has forgotten op
    /// ids younger than that answers `Unknown` instead of applying it again.
    pub resend: Option<Duration>,
    /// What to do.
    pub change: FieldChange,
}

/// What a [`FieldWrite`] does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldChange {
    /// Puts these bytes in place of whatever is there.
    Set(Redacted),
    /// Adds to a number; an absent one is 0. Answers `Number`.
    Incr(i64),
    /// Appends to bytes; absent ones are empty. Answers `Length` in bytes.
    Append(Redacted),
    /// Appends an item to a list; an absent one is empty. Answers `Length` in items.
    Push(Redacted),
    /// Removes the field and answers what it held: `Taken`.
    Take,
    /// Removes the field.
    Clear,
}

/// What became of a [`FieldWrite`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FieldWritten {
    /// It is done.
    Done,
    /// It is done, and this is the number now.
    Number(i64),
    /// It is done, and this is the length now.
    Length(usize),
    /// It is done, and this was there.
    Taken(Option<FieldValue>),
    /// The field holds something of another kind; nothing was changed.
    WrongKind,
    /// The sum does not fit; nothing was changed.
    Overflow,
    /// The session was deleted or has expired.
    Missing,
    /// Another epoch has begun.
    Ended,
}
