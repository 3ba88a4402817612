//! Where records live: create, open, save, touch, delete.

use std::{fmt::Debug, time::Duration};

use async_trait::async_trait;

use crate::{
    Claim, Epoch, Fence, Key, LockToken, OpId, Proof, Redacted, Result, Stamp, Timestamp, Version,
};

/// Where records live.
///
/// Under each method stands what every driver keeps; `asm-testkit` has a case of the same wording
/// for each sentence.
#[async_trait]
pub trait SessionStore: Debug + Send + Sync + 'static {
    /// Stores a first record, unless the key is taken; optionally born locked.
    ///
    /// - A created record reads back byte for byte.
    /// - Creating on a taken key is refused and changes nothing; of n concurrent creators exactly
    ///   one wins.
    /// - The version's number is 1.
    /// - A dropped future leaves no lock behind.
    /// - A resend after the session was deleted creates it again: nothing tells it from one whose
    ///   first sending never arrived. So nobody is told a new id before its create is answered.
    ///
    /// # Errors
    /// `TooLarge` over the record limit, before a byte is written; `Full` when the store has no
    /// room; `Unknown` for a resend that cannot be resolved any more.
    async fn create(&self, key: &Key, req: Create) -> Result<Created>;

    /// Reads a record and, if asked, tries the lock in the same step.
    ///
    /// - Opening a missing or expired key is `Missing`, not an error, and creates nothing.
    /// - A read changes nothing: neither the lifetime nor the version.
    /// - Open with lock has the same effect as acquire then open, but never waits or queues.
    /// - The lock is granted only to a proof that the head accepts; otherwise record, lock and
    ///   queue are left as they are.
    /// - A busy open still answers the record.
    /// - A dropped future leaves no lock behind.
    ///
    /// # Errors
    /// `Corrupt` when the store holds something else under this key. After a
    /// [retryable](crate::Error::is_retryable) error a lock that was asked for may be ours: open
    /// again with the same token, or release it.
    async fn open(&self, key: &Key, req: Open) -> Result<Opened>;

    /// Writes a new version, if the guard holds.
    ///
    /// The checks come in this order: the op id is known (`Done`, as the first time); the session
    /// is missing; the resend cannot be resolved (`Unknown`); the epoch; the lock; the version.
    ///
    /// - A save answers a new version: the number one higher, the op id its own.
    /// - A save under a stale guard is refused and changes nothing, its lock included.
    /// - Nothing but the holder saves while a lock is held.
    /// - A save on a deleted or expired session never brings it back.
    /// - The lifetime becomes the one given; a refused or failed save leaves it.
    /// - With `release`, the lock ends in the same step, as if released just after.
    ///
    /// # Errors
    /// `TooLarge` and `Full` as for create, the old record stays; `Unknown` for a resend when more
    /// than [`OpId::REMEMBERED`] saves may have come after its first sending.
    async fn save(&self, key: &Key, req: Save) -> Result<Written>;

    /// Extends the lifetime.
    ///
    /// - Touch never lowers it, never creates, and changes neither data nor version.
    /// - It needs no lock and disturbs none.
    ///
    /// # Errors
    /// Only those of the store.
    async fn touch(&self, key: &Key, req: Touch) -> Result<Touched>;

    /// Removes the record, its lock, its queue and its fields.
    ///
    /// - Without a guard it wins at once over locks, versions and queues.
    /// - It is idempotent: a second one answers `Nothing`.
    /// - Waiters are told `Missing`; so is the holder at its next call.
    ///
    /// # Errors
    /// Only those of the store.
    async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted>;
}

/// A record as a driver answers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// Its version.
    pub version: Version,
    /// Its epoch and proofs, as last written.
    pub stamp: Stamp,
    /// Its bytes. What is in them is not the driver's business.
    pub data: Redacted,
    /// What is left of its lifetime. `None` when the store lost the lifetime of this record (it
    /// gets one at the next save); drivers count that.
    pub left: Option<Duration>,
    /// The store's time of this answer.
    pub now: Timestamp,
}

/// Stores a first record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    /// This write's name.
    pub op: OpId,
    /// Whether this very request was sent before.
    pub resend: bool,
    /// The epoch and proofs of the new record.
    pub stamp: Stamp,
    /// The bytes.
    pub data: Redacted,
    /// The lifetime, from now.
    pub ttl: Duration,
    /// The lock that the record is born with.
    pub lock: Option<Claim>,
}

/// What became of a [`Create`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Created {
    /// It is stored.
    Done {
        /// Its version.
        version: Version,
        /// The grant, when a lock was asked for and (in the answer to a resend) still holds.
        fence: Option<Fence>,
        /// The store's time.
        now: Timestamp,
    },
    /// The key is in use by another session; nothing was changed.
    Taken,
}

/// Reads a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// Try the lock in the same step.
    pub lock: Option<OpenLock>,
}

/// The wish for the lock in the same step as an open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLock {
    /// Who wants it, for how long.
    pub claim: Claim,
    /// That the id's secret is the session's.
    pub proof: Proof,
}

/// What became of an [`Open`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Opened {
    /// The session lives.
    Found {
        /// Its record.
        snapshot: Snapshot,
        /// What became of the wish for the lock.
        lock: OpenedLock,
    },
    /// There is no such session, or its life is over.
    Missing,
}

/// What became of the wish for the lock in an [`Open`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OpenedLock {
    /// There was none.
    NotAsked,
    /// It is ours.
    Held(Fence),
    /// Another holds it, or others wait for it.
    Busy,
    /// The proof is not the session's: lock and queue were not touched. Whoever may open with a
    /// former secret acquires in a second call.
    Unproven,
}

/// What must be true for a guarded write to happen, checked in the same atomic step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guard {
    /// The epoch that the session was opened under.
    pub epoch: Epoch,
    /// The version that the write is based on.
    pub version: Version,
    /// `Some`: the lock is ours, under this token. `None`: nobody holds it.
    pub held: Option<LockToken>,
}

impl Guard {
    /// Nobody wrote since this snapshot, and nobody holds the lock.
    #[must_use]
    pub fn unchanged(since: &Snapshot) -> Self {
        Self {
            epoch: since.stamp.epoch,
            version: since.version,
            held: None,
        }
    }

    /// Nobody wrote since this snapshot, and the lock is ours.
    #[must_use]
    pub fn held(token: LockToken, since: &Snapshot) -> Self {
        Self {
            held: Some(token),
            ..Self::unchanged(since)
        }
    }
}

/// Writes a new version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Save {
    /// This write's name.
    pub op: OpId,
    /// Whether this very request was sent before.
    pub resend: bool,
    /// What must be true.
    pub guard: Guard,
    /// The epoch and proofs from this write on: the old ones, unless it rotates the id.
    pub stamp: Stamp,
    /// The bytes.
    pub data: Redacted,
    /// The lifetime, from now.
    pub ttl: Duration,
    /// End our lock in the same step. Without a held lock there is nothing to end.
    pub release: bool,
}

/// What became of a [`Save`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Written {
    /// It is stored.
    Done {
        /// The version that it made.
        version: Version,
        /// The store's time.
        now: Timestamp,
    },
    /// Somebody else wrote; this is what.
    Conflict(Snapshot),
    /// Another holds the lock, and the guard says nobody.
    Locked,
    /// The guard says that the lock is ours, and it is not any more.
    LockLost,
    /// The session was deleted or has expired.
    Missing,
    /// Another epoch has begun; nothing of it is shown.
    Ended,
}

/// Extends a lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Touch {
    /// The epoch that the session was opened under.
    pub epoch: Epoch,
    /// The lifetime, from now. Shorter than what is left changes nothing.
    pub ttl: Duration,
}

/// What became of a [`Touch`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Touched {
    /// It lives on.
    Done {
        /// What is left of its lifetime.
        left: Duration,
        /// The store's time.
        now: Timestamp,
    },
    /// The session was deleted or has expired.
    Missing,
    /// Another epoch has begun.
    Ended,
}

/// Removes a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delete {
    /// What must be true. `None` (log out, revoke) wins at once.
    pub only_if: Option<Guard>,
}

/// What became of a [`Delete`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Deleted {
    /// It is gone.
    Done,
    /// There was none.
    Nothing,
    /// Somebody else wrote; this is what.
    Conflict(Snapshot),
    /// Another holds the lock, and the guard says nobody.
    Locked,
    /// The guard says that the lock is ours, and it is not any more.
    LockLost,
    /// Another epoch has begun.
    Ended,
}
