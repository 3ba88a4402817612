//! What an application is told when something did not happen.

use std::fmt;

use asm_core::ErrorKind;

/// The result of every fallible call.
pub type Result<T, E = SessionError> = std::result::Result<T, E>;

/// Why something did not happen. Except for [`Store`](Self::Store), nothing was written.
///
/// It names entries of the session by their keys, and never holds an id, a secret, a token or a
/// value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The id opens no session, or none any more.
    #[error("the session id is not valid: {0}")]
    Invalid(InvalidReason),
    /// The session was deleted or has expired since it was opened.
    #[error("the session was deleted or has expired")]
    Deleted,
    /// The session was opened for reading only.
    #[error("the session was opened for reading only")]
    ReadOnly,
    /// This mode changes a session only under its lock: call `write()` or `lock()` first.
    #[error("the session is not locked, and its mode asks for the lock before a change")]
    NotLocked,
    /// Our lock ended before the write: its hold was over, or somebody broke it.
    #[error("the lock was lost before the write")]
    LockLost,
    /// Another one held the lock for as long as we were to wait.
    #[error("another one holds the lock")]
    LockTimeout,
    /// As many wait for the lock as may.
    #[error("too many wait for the lock")]
    QueueFull,
    /// Somebody else changed what this session read, then wrote.
    #[error("{0}")]
    Conflict(Conflict),
    /// The session is not recent enough for what it is asked for.
    #[error("the user has to authenticate again")]
    NotFresh,
    /// The subject has as many sessions as it may.
    #[error("the subject has as many sessions as it may")]
    TooManySessions,
    /// The sum does not fit.
    #[error("the sum for {key:?} does not fit")]
    Overflow {
        /// The entry.
        key: String,
    },
    /// A value could not be encoded, or is not of the type asked for.
    #[error("the value of {key:?} could not be {action}")]
    Value {
        /// The entry.
        key: String,
        /// What failed.
        action: ValueAction,
        /// Why.
        source: ValueError,
    },
    /// The operating system gave no randomness.
    #[error("there is no randomness to be had")]
    NoRandomness(#[from] getrandom::Error),
    /// What the application's own closure failed with.
    #[error("the application's closure failed")]
    App(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A lockless field holds something of another kind.
    #[error("the field holds something of another kind")]
    WrongKind,
    /// The driver lacks what this call needs.
    #[error("the driver has no {0}")]
    Unsupported(&'static str),
    /// The call, or the configuration, makes no sense; the text says why.
    #[error("{0}")]
    Usage(&'static str),
    /// The store failed. Whether a write happened may be unknown: see
    /// [`is_unknown`](Self::is_unknown).
    #[error("the session store failed: {}", .0.kind())]
    Store(#[from] asm_core::Error),
}

impl SessionError {
    /// The failure of an application's own closure.
    #[must_use]
    pub fn app(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::App(error.into())
    }

    /// Whether calling the same again can help, without anything else being changed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::LockTimeout | Self::QueueFull => true,
            Self::Store(error) => error.is_retryable(),
            _ => false,
        }
    }

    /// Whether the write may have happened, and nobody can tell any more.
    #[must_use]
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Store(error) if error.kind() == ErrorKind::Unknown)
    }
}

impl From<InvalidReason> for SessionError {
    fn from(reason: InvalidReason) -> Self {
        Self::Invalid(reason)
    }
}

/// Why an id opens no session. To a client they all look the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidReason {
    /// It is not an id; the store was not asked.
    Malformed,
    /// No session was ever known under it, or none remembers it.
    Unknown,
    /// The session's life is over.
    Expired,
    /// It was replaced by a newer one, which was used. Whoever brings it has a copy.
    Stale,
    /// The record was changed by somebody else than this application.
    Tampered,
    /// A decision of the application refused it.
    Refused,
}

impl fmt::Display for InvalidReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed",
            Self::Unknown => "unknown",
            Self::Expired => "expired",
            Self::Stale => "stale",
            Self::Tampered => "tampered",
            Self::Refused => "refused",
        })
    }
}

/// The entries that this session read and then wrote, and somebody else changed in between; or that
/// it wrote, and somebody else removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    keys: Vec<String>,
    authentication: bool,
}

impl Conflict {
    pub(crate) fn on(keys: impl IntoIterator<Item = String>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            authentication: false,
        }
    }

    pub(crate) fn of_authentications() -> Self {
        Self {
            keys: Vec::new(),
            authentication: true,
        }
    }

    /// The entries, in order.
    #[must_use]
    pub fn keys(&self) -> &[String] {
        &self.keys
    }

    /// Whether it is about the id: somebody else authenticated first, and there is never a second
    /// session.
    #[must_use]
    pub const fn is_authentication(&self) -> bool {
        self.authentication
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.authentication {
            return f.write_str("another authentication of this session came first");
        }
        write!(f, "somebody else changed {:?} since it was read", self.keys)
    }
}

/// What failed about a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueAction {
    /// Encoding it.
    Encoded,
    /// Decoding it.
    Decoded,
}

impl fmt::Display for ValueAction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Encoded => "encoded",
            Self::Decoded => "decoded",
        })
    }
}

/// Why a value could not be encoded or decoded. What the format said is left out of it: parsers
/// like to quote what they read.
#[derive(Debug)]
pub struct ValueError(pub(crate) String);

impl fmt::Display for ValueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ValueError {}

#[cfg(test)]
mod tests {
    use asm_core::Error;

    use super::*;

    fn store(kind: ErrorKind) -> SessionError {
        Error::new(kind, "why").into()
    }

    #[test]
    fn a_retry_helps_against_those_who_wait_and_a_store_that_is_away() {
        for (error, helps) in [
            (SessionError::LockTimeout, true),
            (SessionError::QueueFull, true),
            (store(ErrorKind::Unavailable), true),
            (store(ErrorKind::Corrupt), false),
            (store(ErrorKind::Unknown), false),
            (SessionError::LockLost, false),
            (SessionError::Deleted, false),
        ] {
            assert_eq!(error.is_retryable(), helps, "{error:?}");
            let unknown =
                matches!(&error, SessionError::Store(it) if it.kind() == ErrorKind::Unknown);
            assert_eq!(error.is_unknown(), unknown, "{error:?}");
        }
    }

    #[test]
    fn a_conflict_says_about_what_it_is() {
        let conflict = |it: Conflict| SessionError::Conflict(it).to_string();
        let about = Conflict {
            keys: vec!["cart".to_owned()],
            authentication: false,
        };
        let expected = "somebody else changed [\"cart\"] since it was read";
        assert_eq!(conflict(about), expected);
        let expected = "another authentication of this session came first";
        assert_eq!(conflict(Conflict::of_authentications()), expected);
    }

    #[test]
    fn a_value_that_failed_is_named_and_not_shown() {
        let error = |action| SessionError::Value {
            key: "cart".to_owned(),
            action,
            source: ValueError("why".to_owned()),
        };
        let shown = [ValueAction::Encoded, ValueAction::Decoded].map(|it| error(it).to_string());
        let expected = [
            "the value of \"cart\" could not be encoded",
            "the value of \"cart\" could not be decoded",
        ];
        assert_eq!(shown, expected);
    }
}
