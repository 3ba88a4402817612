//! One exclusive, expiring, fenced lock per session, with a fair queue.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use async_trait::async_trait;

use crate::{Epoch, Key, Result, Snapshot, Version, opaque::opaque};

/// One exclusive, expiring, fenced lock per session, with a fair queue.
///
/// A *grant* lasts for its *hold* unless it is renewed. A release hands the lock to the head of the
/// queue in the same step; that grant is *provisional* until the waiter's next call, so that a
/// waiter who has died delays nobody for a whole hold.
#[async_trait]
pub trait LockStore: Debug + Send + Sync + 'static {
    /// Takes the lock, waiting for it up to `wish.wait`.
    ///
    /// - Grants follow arrival order among live waiters; a newcomer never passes a live queue.
    /// - A wait of zero is a try, and `Busy` when it fails, however full the queue is. So is a wait
    ///   that is over before the lock comes.
    /// - Waiter n + 1 of a queue limit n fails at once with `QueueFull`.
    /// - Acquiring with a token that already holds answers `Held`.
    /// - A token that was released is never granted again.
    /// - Locking an unknown or expired session leaves nothing behind. A session that ends while its
    ///   waiters wait is reported to them as `Missing`, an epoch that ends as `Ended`.
    /// - The answer carries the record when it is newer than the one known.
    /// - A waiter asks the store for nothing else than its recheck. One that gives up, is dropped,
    ///   dies or is stopped delays nobody beyond the confirm time and one recheck.
    /// - A dropped future leaves no lock and no ticket behind.
    ///
    /// # Errors
    /// Only those of the store. After a [retryable](crate::Error::is_retryable) one the lock may be
    /// ours: acquire again with the same token, or release it. After any other it is not.
    async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired>;

    /// Makes our grant last for `hold` from now, if that is longer than what is left.
    ///
    /// - Only the holder's grant is extended; an expired one cannot be renewed.
    /// - Renewal never shortens.
    ///
    /// # Errors
    /// Only those of the store.
    async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed>;

    /// Ends our grant and hands the lock on, or withdraws our ticket.
    ///
    /// - Release by a stranger, or by a holder whose lock was lost, changes nothing and says so.
    /// - A retry of a release that worked answers `Done`, as far as the store remembers (the last
    ///   four tokens at least).
    /// - One release wakes exactly one waiter.
    ///
    /// # Errors
    /// Only those of the store.
    async fn release(&self, key: &Key, token: &LockToken) -> Result<Released>;

    /// Ends a grant by force: the one of this fence, or whichever there is.
    ///
    /// - The former holder's next save is `LockLost`, and `inspect` does not show it any more.
    /// - Of two that name the same grant exactly one breaks it; a later grant is never broken by
    ///   it.
    ///
    /// # Errors
    /// Only those of the store.
    async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken>;

    /// Who holds the lock and who waits, in order. Empty for an unknown session.
    ///
    /// # Errors
    /// Only those of the store.
    async fn inspect(&self, key: &Key) -> Result<LockState>;

    /// Releases as well as it can, later, without blocking: what `Drop` calls.
    fn abandon(&self, key: &Key, token: &LockToken);
}

opaque! {
    /// Who a grant or a ticket belongs to: 16 random bytes, chosen before the first send, new for
    /// every attempt to take a lock.
    LockToken, 16
}

/// The number of a grant. It grows with each grant of a session and never comes back, so that
/// other resources can refuse a holder that was overtaken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fence(u64);

impl Fence {
    /// The fence of this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Fence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What an operator sees of a holder or waiter: the request line without its query, the process.
///
/// At most [`Label::MAX`] bytes; control characters become spaces, so that a label cannot forge a
/// log line.
///
/// ```
/// use asm_core::Label;
///
/// assert_eq!(Label::new("POST /cart\r\n").as_str(), "POST /cart  ");
/// assert_eq!(Label::new(&"é".repeat(100)).as_str().len(), Label::MAX);
/// assert_eq!(Label::default().as_str(), "");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Label(Option<Arc<str>>);

impl Label {
    /// The longest label in bytes.
    pub const MAX: usize = 128;

    /// A label of this text, cut to [`Label::MAX`] bytes at a character's edge.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(Self::MAX);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        let clean: String = text[..end]
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        Self((!clean.is_empty()).then(|| clean.into()))
    }

    /// The text, `""` when there is none.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }
}

impl Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(self.as_str(), f)
    }
}

/// Who wants the lock, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The claimant.
    pub token: LockToken,
    /// How long a grant lasts unless renewed.
    pub hold: Duration,
    /// What an operator sees.
    pub label: Label,
}

/// The wish for the lock of a session that was opened before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockWish {
    /// Who wants it, for how long.
    pub claim: Claim,
    /// The epoch that the session was opened under.
    pub epoch: Epoch,
    /// How long to wait for it at most. Zero is a try.
    pub wait: Duration,
    /// How many may wait at most, this one included. `Some(0)` means never wait, `None` no limit.
    pub queue: Option<u32>,
    /// The version that the caller has; a newer record comes with the grant. `None` asks for it in
    /// any case.
    pub known: Option<Version>,
}

/// What became of a [`LockWish`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Acquired {
    /// The lock is ours.
    Held {
        /// The number of the grant.
        fence: Fence,
        /// The record, when it is not the version that the caller knew.
        snapshot: Option<Snapshot>,
    },
    /// The wait was over first. Nothing is left of the wish.
    Busy,
    /// As many wait as may.
    QueueFull,
    /// The session was deleted or has expired.
    Missing,
    /// Another epoch has begun; or the token was released before.
    Ended,
}

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Renewed {
    /// The grant is ours for this long, if it is not renewed again.
    Done {
        /// What is left of it.
        left: Duration,
    },
    /// It is not ours any more.
    Lost,
    /// The session was deleted or has expired.
    Missing,
}

/// What became of a release.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Released {
    /// The grant of this token is over.
    Done,
    /// The token was waiting, and waits no more.
    Withdrawn,
    /// The token neither holds nor waits.
    NotHeld,
}

/// What became of a forced release.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Broken {
    /// The grant is over.
    Done {
        /// Its number.
        fence: Fence,
        /// Whose it was.
        label: Label,
    },
    /// There is no such grant (any more).
    NotHeld,
}

/// Who holds a session's lock, and who waits for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockState {
    /// The present grant.
    pub holder: Option<Holder>,
    /// Those who wait, the next first.
    pub waiters: Vec<Waiter>,
}

/// A grant, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its number.
    pub fence: Fence,
    /// Whose it is.
    pub label: Label,
    /// What is left of it.
    pub left: Duration,
    /// Whether the holder knows: `false` between a hand-off and the waiter's next call.
    pub confirmed: bool,
}

/// A ticket in the queue, as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiter {
    /// Whose it is.
    pub label: Label,
    /// How much longer it waits.
    pub left: Duration,
}
