//! Reading the session of a request.

use std::{sync::Arc, time::Duration};

use asm_core::{Fence, Key, Timestamp};
use asm_session::{LockMode, Origin, SessionInfo, Sessions};
use serde::de::DeserializeOwned;

use crate::{Result, lease::Lease};

/// The session of a request, for reading. As an extractor it opens the session in the mode
/// `ReadOnly`: it never waits for a lock.
///
/// A [`Session`](crate::Session) is one, too.
///
/// All that is extracted from one request is one session. Reading it is not asynchronous, and asks
/// no store.
///
/// # Errors
/// Every method may answer `Busy` while another future of the same request opens, saves or locks the
/// session at this moment, and `RequestOver` when the client has gone.
#[derive(Clone, Debug)]
pub struct ReadSession {
    pub(crate) lease: Arc<Lease>,
}

/// Entries.
impl ReadSession {
    /// The value of an entry. It counts as read: a later change of this entry is a conflict if
    /// somebody else changed it in between.
    ///
    /// # Errors
    /// `Value` when it is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        Ok(self.lease.with(|session| session.get(key))??)
    }

    /// The value of an entry, or `default` when there is none. It counts as read.
    ///
    /// # Errors
    /// `Value` when it is not a `T`.
    pub fn get_or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// Whether there is such an entry. That it is there or not counts as read.
    ///
    /// # Errors
    /// As all methods here.
    pub fn contains_key(&self, key: &str) -> Result<bool> {
        self.lease.with(|session| session.contains_key(key))
    }

    /// The keys of all entries, in order. Which there are counts as read.
    ///
    /// # Errors
    /// As all methods here.
    #[doc(alias = "entries")]
    pub fn keys(&self) -> Result<Vec<String>> {
        let owned =
            |session: &mut asm_session::Session| session.keys().map(str::to_owned).collect();
        self.lease.with(owned)
    }

    /// The number of entries. Which there are counts as read.
    ///
    /// # Errors
    /// As all methods here.
    pub fn len(&self) -> Result<usize> {
        self.lease.with(|session| session.len())
    }

    /// Whether there is no entry. Which there are counts as read.
    ///
    /// # Errors
    /// As all methods here.
    pub fn is_empty(&self) -> Result<bool> {
        self.lease.with(|session| session.is_empty())
    }
}

/// The session itself.
impl ReadSession {
    /// The public half of its id: the same for its whole life, and no secret. Logs may show it.
    ///
    /// # Errors
    /// As all methods here.
    #[doc(alias = "id")]
    pub fn handle(&self) -> Result<Key> {
        self.lease.with(|session| session.handle())
    }

    /// Where it came from: whether it was resumed, or is new, and why.
    ///
    /// # Errors
    /// As all methods here.
    pub fn origin(&self) -> Result<Origin> {
        self.lease.with(|session| session.origin())
    }

    /// How it is locked.
    ///
    /// # Errors
    /// As all methods here.
    pub fn mode(&self) -> Result<LockMode> {
        self.lease.with(|session| session.mode())
    }

    /// Whether it runs on an id that was replaced and is still good: its client has, or is about to
    /// get, a newer one.
    ///
    /// # Errors
    /// As all methods here.
    pub fn is_zombie(&self) -> Result<bool> {
        self.lease.with(|session| session.is_zombie())
    }

    /// Whether it was never stored.
    ///
    /// # Errors
    /// As all methods here.
    pub fn is_new(&self) -> Result<bool> {
        self.lease.with(|session| session.is_new())
    }

    /// Whether a save would write anything that was changed.
    ///
    /// # Errors
    /// As all methods here.
    #[doc(alias = "status")]
    pub fn is_modified(&self) -> Result<bool> {
        self.lease.with(|session| session.is_modified())
    }

    /// Whether it holds the lock, as far as it knows.
    ///
    /// # Errors
    /// As all methods here.
    pub fn is_locked(&self) -> Result<bool> {
        self.lease.with(|session| session.is_locked())
    }

    /// The number of its lock's grant, by which other resources can refuse a holder that was
    /// overtaken.
    ///
    /// # Errors
    /// As all methods here.
    pub fn fence(&self) -> Result<Option<Fence>> {
        self.lease.with(|session| session.fence())
    }

    /// When it was created, by the store's clock.
    ///
    /// # Errors
    /// As all methods here.
    pub fn created_at(&self) -> Result<Timestamp> {
        self.lease.with(|session| session.created_at())
    }

    /// When its user authenticated last, by the store's clock.
    ///
    /// # Errors
    /// As all methods here.
    pub fn authenticated_at(&self) -> Result<Option<Timestamp>> {
        self.lease.with(|session| session.authenticated_at())
    }

    /// That its user authenticated within this time.
    ///
    /// # Errors
    /// `NotFresh`, also when nobody ever did: 403.
    pub fn require_fresh(&self, within: Duration) -> Result<()> {
        Ok(self.lease.with(|session| session.require_fresh(within))??)
    }

    /// What is left of its life if it is not used again.
    ///
    /// # Errors
    /// As all methods here.
    #[doc(alias = "expiry_age")]
    #[doc(alias = "expiry_date")]
    pub fn expires_in(&self) -> Result<Duration> {
        self.lease.with(|session| session.expires_in())
    }

    /// What there is to know about it besides its entries.
    ///
    /// # Errors
    /// As all methods here.
    pub fn info(&self) -> Result<SessionInfo> {
        self.lease.with(|session| session.info())
    }

    /// The application's sessions: for what is about others, or about all of a user.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.lease.config.sessions
    }
}
