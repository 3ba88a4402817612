//! What can go wrong with a server of a test.

use std::{io, path::PathBuf, time::Duration};

/// The result of every fallible function.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with a server of a test.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Neither `redis-server` nor `valkey-server` is installed.
    #[error(
        "neither redis-server nor valkey-server is installed (7.0 or newer). On Debian and Ubuntu: \
         apt-get install redis-server; on Fedora: dnf install valkey; with Homebrew: brew install \
         redis; else see https://redis.io/docs/latest/operate/oss_and_stack/install/"
    )]
    Missing,

    /// A file or process could not be handled.
    #[error("{what} {}", path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// With which file or program.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// A server refused a command, or cannot be reached.
    #[error("{server}: {command}")]
    Refused {
        /// Which server.
        server: String,
        /// The command's name.
        command: String,
        /// Its answer.
        source: redis::RedisError,
    },

    /// A server ended by itself.
    #[error("{server} ended by itself; the end of its log:\n{log}")]
    Ended {
        /// Which server.
        server: String,
        /// The last lines of its log.
        log: String,
    },

    /// What was waited for did not come.
    #[error("{what} did not come within {patience:?}; last seen: {seen}")]
    Patience {
        /// What was waited for.
        what: String,
        /// How long.
        patience: Duration,
        /// What was there instead.
        seen: String,
    },

    /// The certificates could not be made.
    #[error("certificates for a test")]
    Certificates(#[from] rcgen::Error),

    /// The server is not one to which this can be done.
    #[error("{0}")]
    Impossible(String),
}

impl Error {
    /// An operation on a path that failed, as a `map_err` wants it.
    pub(crate) fn io(
        what: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { what, path, source }
    }
}
