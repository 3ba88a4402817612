//! What went wrong, where, and whether trying again can help.

use std::{borrow::Cow, error::Error as StdError, fmt};

/// The result of every fallible verb.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure: the state is unknown, or the request impossible.
///
/// It names its kind, the verb, the driver, and keeps the error that caused it as a live
/// [`source`](StdError::source). It holds no id, token, key or payload, and whoever makes one puts
/// none into its message.
///
/// ```
/// use asm_core::{Error, ErrorKind};
///
/// let error = Error::new(ErrorKind::TooLarge, "the record has 9 bytes, the limit is 8")
///     .during("save")
///     .by("memory");
/// assert_eq!(error.kind(), ErrorKind::TooLarge);
/// assert!(!error.is_retryable());
/// assert_eq!(
///     error.to_string(),
///     "memory: save: too large: the record has 9 bytes, the limit is 8"
/// );
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    op: &'static str,
    driver: &'static str,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What kind of failure an [`Error`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The store cannot be reached, or has no connection to spare.
    Unavailable,
    /// No answer came before the call's deadline. The verb may have happened.
    Timeout,
    /// The verb may have happened, and the store can no longer tell. Nothing may be applied again.
    Unknown,
    /// The store is there and takes no writes now: a replica, or a failover under way.
    ReadOnly,
    /// The store is there and not ready: loading its data, moving a slot, running a long script.
    NotReady,
    /// The store has no room for more.
    Full,
    /// The record or item is over the limit. Nothing was written.
    TooLarge,
    /// The store does not accept who we are.
    Unauthenticated,
    /// The store knows who we are and does not allow the command.
    Denied,
    /// What the store holds is not a record of ours.
    Corrupt,
    /// The record was made by an envelope version, codec or key that this process does not know.
    Unreadable,
    /// The record was changed, moved or unsealed by somebody else.
    Tampered,
    /// The request itself is impossible: a bad name, a bad configuration.
    Invalid,
    /// The server, or the platform, lacks what the driver needs.
    Unsupported,
    /// Anything else; the source tells.
    Other,
}

impl ErrorKind {
    /// Whether a verb that fails so has done nothing. A driver says it only of a call none of whose
    /// sendings may have arrived; else it answers [`ErrorKind::Unavailable`] or
    /// [`ErrorKind::Timeout`], and the caller sends the verb again under its op id or token.
    ///
    /// ```
    /// use asm_core::ErrorKind;
    ///
    /// assert!(ErrorKind::Full.is_refusal());
    /// assert!(!ErrorKind::Timeout.is_refusal());
    /// ```
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::ReadOnly
                | Self::Full
                | Self::TooLarge
                | Self::Unauthenticated
                | Self::Denied
                | Self::Invalid
                | Self::Unsupported
        )
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Unavailable => "unavailable",
            Self::Timeout => "timed out",
            Self::Unknown => "outcome unknown",
            Self::ReadOnly => "read only",
            Self::NotReady => "not ready",
            Self::Full => "full",
            Self::TooLarge => "too large",
            Self::Unauthenticated => "not authenticated",
            Self::Denied => "denied",
            Self::Corrupt => "corrupt",
            Self::Unreadable => "unreadable",
            Self::Tampered => "tampered",
            Self::Invalid => "invalid",
            Self::Unsupported => "unsupported",
            Self::Other => "failed",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Error {
    /// A failure of this kind. The message says what, without ids, tokens, keys or payloads.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Inner {
            kind,
            op: "",
            driver: "",
            message: message.into(),
            source: None,
        }))
    }

    /// Names the verb that failed, unless one is named already.
    #[must_use]
    pub fn during(mut self, op: &'static str) -> Self {
        if self.0.op.is_empty() {
            self.0.op = op;
        }
        self
    }

    /// Names the driver, unless one is named already.
    #[must_use]
    pub fn by(mut self, driver: &'static str) -> Self {
        if self.0.driver.is_empty() {
            self.0.driver = driver;
        }
        self
    }

    /// Keeps what caused it.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// What kind of failure this is.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The verb that failed, `""` when it is not known.
    #[must_use]
    pub fn op(&self) -> &'static str {
        self.0.op
    }

    /// The driver that failed, `""` when it is not known.
    #[must_use]
    pub fn driver(&self) -> &'static str {
        self.0.driver
    }

    /// Whether sending the same request again, marked as a resend, can succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::Unavailable | ErrorKind::Timeout | ErrorKind::ReadOnly | ErrorKind::NotReady
        )
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for place in [self.0.driver, self.0.op] {
            if !place.is_empty() {
                write!(f, "{place}: ")?;
            }
        }
        write!(f, "{}: {}", self.0.kind, self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("op", &self.0.op)
            .field("driver", &self.0.driver)
            .field("message", &self.0.message)
            .field("source", &self.0.source)
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_place_named_stays_and_the_source_lives() {
        let error = Error::new(ErrorKind::Unavailable, "refused")
            .during("open")
            .during("save")
            .by("redis")
            .by("wrapper")
            .because(std::io::Error::other("port closed"));
        assert_eq!(error.op(), "open");
        assert_eq!(error.driver(), "redis");
        assert!(error.is_retryable());
        let source = StdError::source(&error).expect("kept");
        assert!(source.downcast_ref::<std::io::Error>().is_some());
    }
}
