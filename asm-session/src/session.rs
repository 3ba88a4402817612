//! One open session.

use std::{
    fmt::{self, Debug},
    sync::Arc,
    time::Duration,
};

use asm_core::{Fence, Key, Timestamp, Version};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    InvalidReason, LockKeeper, LockMode, Result, Rotation, SessionError, SessionId, SessionInfo,
    Sessions, ValueAction, entries::Entries, head::Head, id::SecretHash, in_flight::InFlight,
    journal::Journal, lock::OwnedLock, rotation::HeadChange, sessions::Shared,
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

/// What a client's id is to become after a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum IdUpdate<'a> {
    /// What it is.
    Keep,
    /// This one.
    Issue(&'a SessionId),
    /// None.
    Remove,
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

/// Changes of the head that are not saved.
#[derive(Default)]
pub(crate) struct HeadJournal {
    /// In order. The first [`sealed`](Self::sealed) ones are in a save without an answer.
    pub(crate) changes: Vec<HeadChange>,
    pub(crate) sealed: usize,
    /// The id that the rotation among them makes.
    pub(crate) next: Option<SessionId>,
    /// Whether a renewal was asked for that a former id is not given.
    pub(crate) already_rotated: bool,
}

impl HeadJournal {
    /// Whether the application asked for any of them.
    pub(crate) fn is_modified(&self) -> bool {
        self.changes.iter().any(is_modification)
    }

    /// Whether any of them is to be saved also when nothing else is.
    pub(crate) fn is_due(&self) -> bool {
        self.changes
            .iter()
            .any(|change| matches!(change, HeadChange::Confirm(_) | HeadChange::Profile(_)))
    }

    /// Forgets what the application asked for.
    pub(crate) fn forget_modifications(&mut self) {
        self.changes.retain(|change| !is_modification(change));
        self.next = None;
        self.sealed = 0;
    }

    pub(crate) fn rotates(&self) -> bool {
        self.changes.iter().any(is_rotation)
    }

    pub(crate) fn authenticates(&self) -> bool {
        self.changes
            .iter()
            .any(|change| matches!(change, HeadChange::Authenticate { .. }))
    }

    fn rotate(&mut self, change: HeadChange, id: SessionId) {
        let sealed = self.sealed;
        let mut place = 0..;
        self.changes
            .retain(|change| place.next() < Some(sealed) || !is_rotation(change));
        self.changes.push(change);
        self.next = Some(id);
    }
}

/// Reading.
impl Session {
    /// The value of an entry. It counts as read: a later change of this entry is a conflict if
    /// somebody else changed it in between.
    ///
    /// # Errors
    /// `Value` when it is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        let Some(value) = self.journal.read(key) else {
            return Ok(None);
        };
        self.decode(key, value).map(Some)
    }

    /// The value of an entry, or `default` when there is none. It counts as read.
    ///
    /// # Errors
    /// `Value` when it is not a `T`.
    pub fn get_or<T: DeserializeOwned>(&self, key: &str, default: T) -> Result<T> {
        Ok(self.get(key)?.unwrap_or(default))
    }

    /// Whether there is such an entry. That it is there or not counts as read.
    #[must_use]
    pub fn contains_key(&self, key: &str) -> bool {
        self.journal.contains(key)
    }

    /// The keys of all entries, in order. Which there are counts as read.
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.journal.keys().into_iter()
    }

    /// The number of entries. Which there are counts as read.
    #[must_use]
    pub fn len(&self) -> usize {
        self.journal.keys().len()
    }

    /// Whether there is no entry. Which there are counts as read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Changing.
impl Session {
    /// Sets an entry, whatever its value was.
    ///
    /// An equal value set back is no change. After [`delete`](Self::delete) it begins a new
    /// session, under a new id.
    ///
    /// # Errors
    /// `Value` when the format has no form for it; `ReadOnly`, `NotLocked` or `LockLost` by the
    /// mode; `Deleted` or `Invalid` when the session is over.
    #[doc(alias = "set")]
    #[doc(alias = "put")]
    pub fn insert<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<()> {
        if self.life == Life::Deleted {
            self.begin_again()?;
        }
        self.check_writable()?;
        let value = self.encode(key, value)?;
        self.journal.put(key, Some(value));
        self.touched();
        Ok(())
    }

    /// Removes an entry, whatever its value was. Answers whether there was one; that alone does not
    /// count as read.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    #[doc(alias = "unset")]
    #[doc(alias = "forget")]
    pub fn remove(&mut self, key: &str) -> Result<bool> {
        self.check_writable()?;
        let was = self.journal.has(key);
        if was {
            self.journal.put(key, None);
            self.touched();
        }
        Ok(was)
    }

    /// Changes an entry by its value: `None` is an absent one. Answers what it is now.
    ///
    /// When somebody else changed the entry meanwhile, the closure runs again, on the newer value,
    /// during the save. So it may run several times; what else it does is done as often. It owns
    /// what it captures, and clones what it hands out.
    ///
    /// ```
    /// # fn example(session: &mut asm_session::Session) -> asm_session::Result<()> {
    /// let item = String::from("book");
    /// session.update("cart", move |cart: Option<Vec<String>>| {
    ///     let mut cart = cart.unwrap_or_default();
    ///     cart.push(item.clone());
    ///     Some(cart)
    /// })?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `Value` when it is not a `T`; else as [`insert`](Self::insert).
    pub fn update<T, F>(&mut self, key: &str, mut change: F) -> Result<Option<T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> Option<T> + Send + 'static,
    {
        self.try_update(key, move |value| Ok(change(value)))
    }

    /// As [`update`](Self::update), with a closure that may fail. When it fails during a save,
    /// nothing is saved.
    ///
    /// # Errors
    /// That of the closure; [`SessionError::app`] makes one. Else as [`update`](Self::update).
    pub fn try_update<T, F>(&mut self, key: &str, mut change: F) -> Result<Option<T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> Result<Option<T>> + Send + 'static,
    {
        self.check_writable()?;
        let (formats, name) = (self.shared().formats.clone(), key.to_owned());
        let value = self.journal.update(
            key,
            Box::new(move |old| {
                let old = old.map(|old| formats.decode(old)).transpose();
                let old = old.map_err(|error| failed(&name, ValueAction::Decoded, error))?;
                let new = change(old)?.map(|new| formats.encode(&new)).transpose();
                new.map_err(|error| failed(&name, ValueAction::Encoded, error))
            }),
        )?;
        self.touched();
        value.map(|value| self.decode(key, &value)).transpose()
    }

    /// Adds to a number; an absent one is 0. Answers the sum.
    ///
    /// However many add at the same time, the stored sum is exact.
    ///
    /// # Errors
    /// `Overflow` when the sum does not fit, at once or during the save; else as
    /// [`update`](Self::update).
    #[doc(alias = "incr")]
    pub fn add(&mut self, key: &str, by: i64) -> Result<i64> {
        let name = key.to_owned();
        let sum = self.try_update(key, move |number: Option<i64>| {
            let sum = number.unwrap_or(0).checked_add(by);
            let overflow = || SessionError::Overflow { key: name.clone() };
            sum.map(Some).ok_or_else(overflow)
        })?;
        Ok(sum.unwrap_or(0))
    }

    /// Removes all entries, also those that others add before the save.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn clear(&mut self) -> Result<()> {
        self.check_writable()?;
        self.journal.clear();
        self.touched();
        Ok(())
    }

    /// Forgets all changes that were not saved and everything that was read, and gives the lock
    /// away.
    ///
    /// The session can be used on: after a conflict its entries are those that the conflict was
    /// with.
    #[doc(alias = "rollback")]
    pub fn discard(&mut self) {
        self.in_flight = None;
        self.journal.discard();
        self.changes = HeadJournal::default();
        self.lock.abandon();
        self.lock.ended();
    }

    /// Replaces the id, with the next save. It is journaled as any change is, and needs no lock.
    ///
    /// A session on an id that was replaced already, or a second renewal in parallel, renews
    /// nothing: the save answers [`IdRotation::AlreadyRotated`](crate::IdRotation).
    ///
    /// # Errors
    /// `ReadOnly`; `Randomness`; `Deleted` or `Invalid` when the session is over.
    #[doc(alias = "cycle_id")]
    #[doc(alias = "renew")]
    #[doc(alias = "rotate")]
    pub fn regenerate(&mut self, rotation: Rotation) -> Result<()> {
        self.check_alive()?;
        if self.life == Life::New {
            // Nobody has its id yet.
            if rotation == Rotation::Authenticate {
                self.authenticate_unsaved()?;
            }
            return Ok(());
        }
        self.rotate(rotation)
    }

    /// Gives the session its own idle time ("remember me"), or with `None` the usual one again.
    /// Stored with the next save; the application's shortest, longest and absolute times hold.
    ///
    /// # Errors
    /// `ReadOnly`; `Deleted` or `Invalid` when the session is over.
    pub fn set_lifetime(&mut self, idle: impl Into<Option<Duration>>) -> Result<()> {
        self.check_alive()?;
        self.changes.changes.push(HeadChange::Lifetime(idle.into()));
        self.touched();
        Ok(())
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
    /// [`Rotation::Authenticate`].
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

    /// What the client's id is to become. To be asked after the session was closed.
    ///
    /// A request on an id that was replaced already changes nothing at its client, unless it
    /// authenticated: the client has, or is about to get, the newer one.
    #[must_use]
    pub fn id_update(&self) -> IdUpdate<'_> {
        match (&self.issued, self.life) {
            (Some(id), Life::Stored) => IdUpdate::Issue(id),
            (_, Life::Deleted) if !self.zombie => IdUpdate::Remove,
            _ => IdUpdate::Keep,
        }
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
        for change in &self.changes.changes {
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
            Life::New | Life::Stored => Ok(()),
            Life::Deleted | Life::Gone => Err(SessionError::Deleted),
            Life::Stale => Err(InvalidReason::Stale.into()),
        }
    }

    /// That entries may be changed.
    fn check_writable(&self) -> Result<()> {
        self.check_alive()?;
        if self.lock.is_lost() {
            return Err(SessionError::LockLost);
        }
        if self.mode.changes_need_lock() && !self.is_locked() {
            return Err(SessionError::NotLocked);
        }
        Ok(())
    }

    /// Something was changed that nobody was told of.
    fn touched(&mut self) {
        self.told = false;
    }

    fn rotate(&mut self, rotation: Rotation) -> Result<()> {
        if rotation != Rotation::Authenticate {
            if self.zombie {
                self.changes.already_rotated = true;
                return Ok(());
            }
            if self.changes.authenticates() {
                return Ok(());
            }
        }
        let ids = &*self.shared().ids;
        let secret = ids.secret()?;
        let to = secret.hash();
        let view = self.view_before_rotation();
        let change = match rotation {
            Rotation::Renew { grace } => view.renewal(self.secret, to, grace),
            Rotation::Authenticate => view.authentication(to, ids.epoch()?),
        };
        let id = SessionId::new(self.handle(), secret);
        self.changes.rotate(change, id);
        self.touched();
        Ok(())
    }

    /// The head as it will be, but for rotations that no save carries yet: a new one takes their
    /// place.
    fn view_before_rotation(&self) -> Head {
        let mut head = self.record.head.clone();
        for (place, change) in self.changes.changes.iter().enumerate() {
            if place < self.changes.sealed || !is_rotation(change) {
                let _ = head.apply(change, self.record.at);
            }
        }
        head
    }

    /// Renews the id with the save that is about to happen, if the application's policy says so.
    pub(crate) fn rotate_by_policy(&mut self) -> Result<()> {
        let replaced = self.issued.is_some() || self.changes.next.is_some();
        if self.zombie || self.life != Life::Stored || replaced {
            return Ok(());
        }
        match self
            .shared()
            .rotation
            .fires(&self.info(), self.profile_changed)
        {
            Some(rotation) => {
                self.profile_changed = false;
                self.rotate(rotation)
            }
            None => Ok(()),
        }
    }

    /// An authentication before the first save: there is no former id to end.
    fn authenticate_unsaved(&mut self) -> Result<()> {
        let epoch = self.shared().ids.epoch()?;
        let change = self.record.head.authentication(self.secret, epoch);
        let now = self.shared().time.now();
        let _ = self.record.head.apply(&change, now);
        self.record.head.former.clear();
        self.touched();
        Ok(())
    }

    /// A new session in place of the deleted one.
    fn begin_again(&mut self) -> Result<()> {
        let next = self.sessions.begin(self.record.head.kind, Origin::New)?;
        let profiles = std::mem::take(&mut self.record.head.profiles);
        let zombie = self.zombie;
        *self = next;
        self.record.head.profiles = profiles;
        self.zombie = zombie;
        Ok(())
    }

    pub(crate) fn encode<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<Bytes> {
        let encoded = self.shared().formats.encode(value);
        encoded.map_err(|error| failed(key, ValueAction::Encoded, error))
    }

    pub(crate) fn decode<T: DeserializeOwned>(&self, key: &str, value: &Bytes) -> Result<T> {
        let decoded = self.shared().formats.decode(value);
        decoded.map_err(|error| failed(key, ValueAction::Decoded, error))
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

fn is_modification(change: &HeadChange) -> bool {
    is_rotation(change) || matches!(change, HeadChange::Lifetime(_) | HeadChange::Membership(_))
}

fn is_rotation(change: &HeadChange) -> bool {
    matches!(
        change,
        HeadChange::Renew { .. } | HeadChange::Authenticate { .. }
    )
}

pub(crate) fn failed(key: &str, action: ValueAction, source: crate::ValueError) -> SessionError {
    SessionError::Value {
        key: key.to_owned(),
        action,
        source,
    }
}
