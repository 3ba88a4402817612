//! The sessions of a user.

use std::{fmt::Debug, num::NonZeroU32, time::Duration};

use async_trait::async_trait;

use crate::{Key, Result, Subject, Timestamp};

/// The sessions of a user: an index beside the sessions, and a hint that is verified on use.
///
/// An index and a session are two places, and no step changes both. So the order of steps carries
/// the promise: a session is stored first, then *reserved* in the index, then saved with its
/// subject and the generation it was reserved under. A revocation starts a new generation, and
/// deletes of what the index lists the sessions that are the subject's. Whoever is between reserving
/// and saving is listed, too: its session is given a newer version, and its save finds that its
/// place is of an older generation.
#[async_trait]
pub trait SubjectIndex: Debug + Send + Sync + 'static {
    /// Lists a session under a subject, unless that would be one too many.
    ///
    /// - Entries whose session is gone do not count.
    /// - A cap holds under parallel calls.
    /// - Reserving an entry again refreshes its lifetime and generation and keeps its place.
    ///
    /// # Errors
    /// Only those of the store.
    async fn reserve(&self, subject: &Subject, req: Reserve) -> Result<Reserved>;

    /// The sessions of a subject that can be opened, the one bound first standing first.
    ///
    /// - A listing never shows a session that cannot be opened; it drops such entries for good.
    ///
    /// # Errors
    /// Only those of the store.
    async fn list(&self, subject: &Subject) -> Result<Listing>;

    /// Starts a new generation and answers all entries but the one to keep, which moves into the
    /// new generation. The entries stay until they are forgotten, so that a crash loses none.
    ///
    /// # Errors
    /// Only those of the store.
    async fn revoke(&self, subject: &Subject, keep: Option<Key>) -> Result<Revoked>;

    /// Drops entries; answers how many there were.
    ///
    /// # Errors
    /// Only those of the store.
    async fn forget(&self, subject: &Subject, keys: Vec<Key>) -> Result<usize>;
}

/// Lists a session under a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reserve {
    /// The session.
    pub key: Key,
    /// How long the entry may stay at most: the longest that the session can live.
    pub ttl: Duration,
    /// How many sessions the subject may have, this one included.
    pub cap: Option<NonZeroU32>,
}

/// What became of a [`Reserve`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reserved {
    /// It is listed.
    Done {
        /// The generation that it is listed under.
        generation: u64,
    },
    /// The subject has as many sessions as it may. Whoever wants to make room deletes one, forgets
    /// it and tries again.
    Full,
}

/// The sessions of a subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listing {
    /// The present generation. An entry of an older one was revoked and not deleted yet.
    pub generation: u64,
    /// The entries.
    pub sessions: Vec<Bound>,
    /// The store's time.
    pub now: Timestamp,
}

/// One entry of a subject's index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bound {
    /// The session.
    pub key: Key,
    /// When it was first reserved.
    pub since: Timestamp,
    /// The generation that it was last reserved under.
    pub generation: u64,
    /// What is left of the session's lifetime, `None` when the store lost it.
    pub left: Option<Duration>,
}

/// What a revocation found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revoked {
    /// The new generation.
    pub generation: u64,
    /// The sessions to delete, then to forget.
    pub keys: Vec<Key>,
}
