//! Who sends a request, as far as the session layer asks.

use std::{
    fmt::{self, Debug},
    net::IpAddr,
};

/// Who sends a request. An input: whoever speaks HTTP finds it out.
///
/// ```
/// use asm_session::{Client, ClientKind};
///
/// let client = Client {
///     ip: Some([192, 0, 2, 7].into()),
///     user_agent: Some("Mozilla/5.0".into()),
///     kind: ClientKind::Human,
///     ..Client::default()
/// };
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Client {
    /// Its address, behind all proxies that are trusted.
    pub ip: Option<IpAddr>,
    /// What it says it is.
    pub user_agent: Option<String>,
    /// What it is taken for.
    pub kind: ClientKind,
    /// Whatever else belongs to its profile: a device's name, a fingerprint of its TLS hello.
    pub extra: Option<String>,
}

impl Debug for Client {
    /// Shows the kind alone: the rest is personal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

/// What a client is taken for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientKind {
    /// Nobody looked. Treated as a human.
    #[default]
    Unknown,
    /// A person's browser or application.
    Human,
    /// A crawler, a monitor, a script.
    Bot,
}

/// What becomes of the sessions of bots.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Bots {
    /// They are stored, with the short lifetimes of bots.
    #[default]
    ShortLife,
    /// They are not stored at all: a bot gets a session for the time of one request.
    NoStore,
    /// They are treated as everybody's.
    AsHuman,
}
