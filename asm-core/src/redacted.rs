//! Bytes that are carried and not shown.

use std::{fmt, ops::Deref};

use bytes::Bytes;

/// Payload bytes, whose `Debug` shows their length only. A clone shares them.
///
/// ```
/// use asm_core::Redacted;
///
/// let data = Redacted::from("card=4111");
/// assert_eq!(format!("{data:?}"), "9 bytes");
/// assert_eq!(&data[..4], b"card");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Redacted(Bytes);

impl Redacted {
    /// The bytes themselves.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl<T: Into<Bytes>> From<T> for Redacted {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

impl Deref for Redacted {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.0
    }
}

impl fmt::Debug for Redacted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}
