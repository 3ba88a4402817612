//! One open session.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use asm_core::{Fence, Key, Timestamp, Version};
use bytes::Bytes;

use crate::{
    InvalidReason, LockKeeper, LockMode, Result, Rotation, SessionError, SessionId, SessionInfo,
    Sessions, entries::Entries, head::Head, head_journal::HeadJournal, id::SecretHash,
    in_flight::InFlight, journal::Journal, lock::OwnedLock, sessions::Shared,
    subjects::Reservation,
};

/// One open session.
///
/// It is in memory: reading and changing entries is not asynchronous and asks no store. Changes are
/// a journal until [`save`](Self::save) or [`close`](Self::close); a session that is dropped saves
/// nothing, and gives its lock away.
///
/// Every value is stored encoded, and decoded when it is asked for.
///
/// ```
/// # use asm_session::{Client, Sessions};
/// # async fn example(sessions: Sessions, cookie: Option<&str>) -> asm_session::Result<()> {
/// let mut session = sessions.open_or_create(cookie, &Client::default()).await?;
/// let visits = session.add("visits", 1)?;
/// if visits == 10 {
///     session.insert("regular", &true)?;
/// }
/// session.close().await?;
/// # Ok(())
/// # }
/// ```
pub struct Session {
    pub(crate) sessions: Sessions,
    pub(crate) mode: LockMode,
    pub(crate) id: SessionId,
    /// Of the secret that this session runs on.
    pub(crate) secret: SecretHash,
    pub(crate) origin: Origin,
    pub(crate) life: Life,
    /// Whether it runs on an id that was replaced: its client gets no new one.
    pub(crate) zombie: bool,
    /// Whether a decision or a lock time-out made it read-only, for good.
    pub(crate) confined: bool,
    /// What a decision asked for while it was open for reading only.
    pub(crate) postponed: Option<Rotation>,
    pub(crate) record: Record,
    pub(crate) changes: HeadJournal,
    pub(crate) journal: Journal,
    pub(crate) lock: OwnedLock,
    /// Of a session that is not stored: whether it is to be born locked.
    pub(crate) lock_at_birth: bool,
    pub(crate) in_flight: Option<InFlight>,
    /// Values that were taken by a call that did not live to see it.
    pub(crate) taken: Vec<(String, Bytes)>,
    /// The id that the client is to be given.
    pub(crate) issued: Option<SessionId>,
    pub(crate) profile_changed: bool,
    /// Whether its unsaved changes were told of already.
    pub(crate) told: bool,
    /// The place among a subject's sessions that no save has made good yet.
    pub(crate) reservation: Option<Reservation>,
    /// Whether there is a newer version than the one that it was bound over: the place may have
    /// been given back, or revoked.
    pub(crate) place_in_doubt: bool,
}

/// Where a session came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// It was stored, and opened with its id.
    Resumed,
    /// It is new: the client brought no id.
    New,
    /// It is new: the id that the client brought was not valid.
    Replaced(InvalidReason),
}

/// Whether there is a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Life {
    /// Not yet in the store.
    New,
    Stored,
    /// We deleted it. An insert begins another one.
    Deleted,
    /// It is over, by others or by time.
    Gone,
    /// It lives, and our id does not open it any more.
    Stale,
}

/// What is known of the stored record.
pub(crate) struct Record {
    pub(crate) head: Head,
    /// `None` when it is not stored.
    pub(crate) version: Option<Version>,
    /// What was left of its life at `at`.
    pub(crate) left: Option<Duration>,
    /// The store's time of its last answer.
    pub(crate) at: Timestamp,
    /// As stored. What the session shows lies in its journal.
    pub(crate) entries: Arc<Entries>,
    /// Whether the base may be older than a write of our own.
    pub(crate) outdated: bool,
}

impl Record {
    /// How many saves came before.
    pub(crate) fn saves(&self) -> u64 {
        self.version.map_or(0, |version| version.number)
    }
}

/// Asking about it.
impl Session {
    /// The public half of its id: the same for its whole life, and no secret. Logs may show it.
    #[must_use]
    pub const fn handle(&self) -> Key {
        self.id.handle()
    }

    /// Where it came from.
    #[must_use]
    pub const fn origin(&self) -> Origin {
        self.origin
    }

    /// How it is locked: the mode of its `Sessions`, or `ReadOnly` when a decision or a lock
    /// time-out made it so.
    #[must_use]
    pub const fn mode(&self) -> LockMode {
        self.mode
    }

    /// Whether it runs on an id that was replaced and is still good: its client has, or is about to
    /// get, a newer one.
    #[must_use]
    pub const fn is_zombie(&self) -> bool {
        self.zombie
    }

    /// Whether it was never stored.
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.life == Life::New
    }

    /// Whether a save would write anything that the application changed.
    #[must_use]
    #[doc(alias = "is_dirty")]
    pub fn is_modified(&self) -> bool {
        self.journal.is_modified() || self.changes.is_modified()
    }

    /// Whether it holds the lock, as far as it knows.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_held() || (self.life == Life::New && self.lock_at_birth)
    }

    /// The number of its lock's grant, by which other resources can refuse a holder that was
    /// overtaken.
    #[must_use]
    pub fn fence(&self) -> Option<Fence> {
        self.lock.fence()
    }

    /// When it was created, by the store's clock.
    #[must_use]
    pub const fn created_at(&self) -> Timestamp {
        self.record.head.created
    }

    /// When its user authenticated last, by the store's clock: the last saved
    /// [`Rotation::Authenticate`](crate::Rotation::Authenticate).
    #[must_use]
    pub const fn authenticated_at(&self) -> Option<Timestamp> {
        self.record.head.authenticated
    }

    /// That its user authenticated within this time.
    ///
    /// # Errors
    /// `NotFresh`, also when nobody ever did.
    pub fn require_fresh(&self, within: Duration) -> Result<()> {
        let now = self.shared().time.now();
        match self.authenticated_at() {
            Some(at) if now.since(at) <= within => Ok(()),
            _ => Err(SessionError::NotFresh),
        }
    }

    /// What is left of its life if it is not used again, as of the store's last answer. Of a
    /// session that was never stored, the life that it will get.
    #[must_use]
    pub fn expires_in(&self) -> Duration {
        let now = self.shared().time.now();
        match (self.record.version, self.record.left) {
            (Some(_), Some(left)) => left.saturating_sub(now.since(self.record.at)),
            _ => self
                .shared()
                .lifetimes
                .ttl(&self.view(), self.record.saves(), now),
        }
    }

    /// What there is to know about it besides its entries.
    #[must_use]
    pub fn info(&self) -> SessionInfo {
        SessionInfo::new(self.handle(), &self.view(), self.shared().time.now())
    }

    /// What keeps its lock alive while something else is done.
    #[must_use]
    pub fn keeper(&self) -> LockKeeper {
        self.lock.keeper()
    }

    /// Does this, and keeps the lock alive meanwhile. For work that needs the session too, take a
    /// [`keeper`](Self::keeper) first.
    pub async fn keep_alive<F: Future>(&self, work: F) -> F::Output {
        self.keeper().keep_alive(work).await
    }
}

impl Session {
    pub(crate) fn shared(&self) -> &Shared {
        &self.sessions.shared
    }

    /// The head as it will be.
    pub(crate) fn view(&self) -> Head {
        let mut head = self.record.head.clone();
        for change in self.changes.iter() {
            let _ = head.apply(change, self.record.at);
        }
        head
    }

    /// That there is a session, and that it may be changed.
    pub(crate) fn check_alive(&self) -> Result<()> {
        self.check_life()?;
        if self.mode == LockMode::ReadOnly {
            return Err(SessionError::ReadOnly);
        }
        Ok(())
    }

    pub(crate) fn check_life(&self) -> Result<()> {
        match self.life {
            Life::New => Ok(()),
            Life::Stored if !self.is_over() => Ok(()),
            Life::Stale => Err(InvalidReason::Stale.into()),
            Life::Stored | Life::Deleted | Life::Gone => Err(SessionError::Deleted),
        }
    }

    /// Whether its absolute deadline has come, whatever its store has kept.
    fn is_over(&self) -> bool {
        let shared = self.shared();
        let now = shared.time.now();
        shared.lifetimes.is_over(&self.record.head, now)
    }
}

impl Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("mode", &self.mode)
            .field("origin", &self.origin)
            .field("life", &self.life)
            .field("lock", &*self.lock)
            .field("is_modified", &self.is_modified())
            .finish_non_exhaustive()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if self.is_modified() && !self.told {
            self.shared().counting.dropped_changes.add();
            tracing::warn!(
                handle = %self.handle(),
                mode = ?self.mode,
                "a session was dropped with changes that were not saved"
            );
        }
    }
}
