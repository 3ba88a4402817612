//! Changing the session of a request.

use std::{num::NonZeroUsize, ops::Deref, time::Duration};

use asm_session::{Rotation, Saved, Session as Inner, Watch};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Fields, ReadSession, Result};

/// The session of a request.
///
/// It is open, and in memory: reading and changing entries is not asynchronous, asks no store, and
/// goes through `&self`. What was changed is saved when the handler is done, before the headers of
/// its response leave; a save that fails is the response. All that is extracted from one request is
/// one session, and a clone is the same session again.
///
/// ```
/// use asm_tower::{Result, Session};
///
/// async fn hello(session: Session) -> Result<String> {
///     let visits = session.add("visits", 1)?;
///     Ok(format!("This is your visit number {visits}."))
/// }
/// ```
///
/// # After the headers
///
/// A body that is streamed may keep the session. Its lock is gone with the headers, and so is the
/// way to tell the client a new id: changes are saved by [`save`](Self::save) alone, what would
/// give the client another id is an error, and a rotation that a policy or a decision wants waits for
/// the next request. A lock that is taken then is renewed as long as the body is sent.
///
/// # Errors
/// Every method may answer `Busy` while another future of the same request opens, saves or locks the
/// session at this moment, and `RequestOver` when the client has gone. Else they are those of the
/// method of the same name of [`asm_session::Session`].
#[derive(Clone, Debug)]
pub struct Session(pub(crate) ReadSession);

impl Deref for Session {
    type Target = ReadSession;

    fn deref(&self) -> &ReadSession {
        &self.0
    }
}

/// Entries.
impl Session {
    /// Sets an entry, whatever its value was. After [`delete`](Self::delete) it begins a new session
    /// under a new id.
    ///
    /// # Errors
    /// `Value` when the format has no form for it; `ReadOnly`, `NotLocked` or `LockLost` by the
    /// mode; `Deleted` or `Invalid` when the session is over.
    #[doc(alias = "set")]
    #[doc(alias = "put")]
    pub fn insert<T: Serialize + ?Sized>(&self, key: &str, value: &T) -> Result<()> {
        Ok(self.lease.with(|session| session.insert(key, value))??)
    }

    /// Removes an entry. Answers whether there was one.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    #[doc(alias = "unset")]
    #[doc(alias = "forget")]
    #[doc(alias = "remove_value")]
    pub fn remove(&self, key: &str) -> Result<bool> {
        Ok(self.lease.with(|session| session.remove(key))??)
    }

    /// Changes an entry by its value: `None` is an absent one. Answers what it is now. When somebody
    /// else changed the entry meanwhile, the closure runs again, on the newer value, during the
    /// save.
    ///
    /// # Errors
    /// `Value` when it is not a `T`; else as [`insert`](Self::insert).
    #[doc(alias = "update_or")]
    pub fn update<T, F>(&self, key: &str, change: F) -> Result<Option<T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> Option<T> + Send + 'static,
    {
        Ok(self.lease.with(|session| session.update(key, change))??)
    }

    /// As [`update`](Self::update), with a closure that may fail. When it fails during the save,
    /// nothing is saved.
    ///
    /// # Errors
    /// That of the closure; [`asm_session::SessionError::app`] makes one. Else as
    /// [`update`](Self::update).
    pub fn try_update<T, F>(&self, key: &str, change: F) -> Result<Option<T>>
    where
        T: Serialize + DeserializeOwned,
        F: FnMut(Option<T>) -> asm_session::Result<Option<T>> + Send + 'static,
    {
        Ok(self
            .lease
            .with(|session| session.try_update(key, change))??)
    }

    /// Adds to a number; an absent one is 0. Answers the sum. However many requests add at the same
    /// time, the stored sum is exact.
    ///
    /// # Errors
    /// `Overflow` when the sum does not fit; else as [`update`](Self::update).
    #[doc(alias = "incr")]
    pub fn add(&self, key: &str, by: i64) -> Result<i64> {
        Ok(self.lease.with(|session| session.add(key, by))??)
    }

    /// Removes all entries, also those that others add before the save.
    ///
    /// # Errors
    /// As [`insert`](Self::insert).
    pub fn clear(&self) -> Result<()> {
        Ok(self.lease.with(Inner::clear)??)
    }

    /// Takes a value out: of all requests that take it at the same time, exactly one gets it. For
    /// nonces, and the state of a login.
    ///
    /// # Errors
    /// `Value` when it is not a `T`: then it stays. Else as [`save`](Self::save).
    #[doc(alias = "pull")]
    #[doc(alias = "remove_as")]
    pub async fn take<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>> {
        Ok(self.lease.turn().await?.take(key).await?)
    }

    /// Forgets all changes that were not saved and everything that was read, and gives the lock
    /// away.
    ///
    /// # Errors
    /// As all methods here.
    #[doc(alias = "rollback")]
    pub fn discard(&self) -> Result<()> {
        self.lease.with(Inner::discard)
    }
}

/// Its id, its life, its user.
impl Session {
    /// Replaces the id, with the next save. [`Rotation::Authenticate`] belongs to every login and
    /// every change of privileges.
    ///
    /// # Errors
    /// `HeadersSent` after the headers. `ReadOnly`; `Deleted` or `Invalid` when the session is over.
    #[doc(alias = "cycle_id")]
    #[doc(alias = "renew")]
    #[doc(alias = "rotate")]
    pub fn regenerate(&self, rotation: Rotation) -> Result<()> {
        let rotate = |session: &mut Inner| session.regenerate(rotation);
        Ok(self.lease.with_new_id(rotate)??)
    }

    /// Gives the session its own idle time ("remember me"), or with `None` the usual one again. Its
    /// cookie outlives the browser then.
    ///
    /// # Errors
    /// `ReadOnly`; `Deleted` or `Invalid` when the session is over.
    #[doc(alias = "set_expiry")]
    pub fn set_lifetime(&self, idle: impl Into<Option<Duration>>) -> Result<()> {
        Ok(self.lease.with(|session| session.set_lifetime(idle))??)
    }

    /// Makes the session one of this user's: to be listed, capped and revoked with the others. See
    /// [`Sessions::subject`](asm_session::Sessions::subject).
    ///
    /// # Errors
    /// `Unsupported` when the driver has no index; `TooManySessions`; else as [`save`](Self::save).
    pub async fn bind_subject(&self, name: &str) -> Result<()> {
        Ok(self.lease.storing_turn().await?.bind_subject(name).await?)
    }

    /// Ends the session, for everybody and at once. Its cookie is removed with the response. An
    /// [`insert`](Self::insert) after it begins a new session under a new id.
    ///
    /// # Errors
    /// `ReadOnly`; `Store`, and it may be over or not: call it again.
    #[doc(alias = "flush")]
    #[doc(alias = "destroy")]
    #[doc(alias = "purge")]
    #[doc(alias = "invalidate")]
    pub async fn delete(&self) -> Result<()> {
        Ok(self.lease.turn().await?.delete().await?)
    }
}

/// Saving and locking.
impl Session {
    /// Stores all changes as one version, and keeps the session and its lock. The layer does so when
    /// the handler is done: this is for what is to last whatever becomes of the rest.
    ///
    /// # Errors
    /// `HeadersSent` for a new session after the headers. `Conflict`, `LockLost`, `LockTimeout`,
    /// `QueueFull`, `Deleted`, `Invalid`, those of closures: nothing was written, and the changes
    /// are still there. `Store`: calling it again resolves what is unknown.
    pub async fn save(&self) -> Result<Saved> {
        Ok(self.lease.storing_turn().await?.save().await?)
    }

    /// Stores all changes and releases the lock, in one step: before something that takes long and
    /// needs the session no more. The session can be used on.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    #[doc(alias = "commit")]
    pub async fn close(&self) -> Result<Saved> {
        Ok(self.lease.storing_turn().await?.close().await?)
    }

    /// Makes ready for changes, in any mode but `ReadOnly`: takes the lock if the mode wants one and
    /// it is not held.
    ///
    /// ```
    /// # async fn example(session: &asm_tower::Session) -> asm_tower::Result<()> {
    /// session.write().await?.insert("seen", &true)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub async fn write(&self) -> Result<&Self> {
        self.lease.turn().await?.write().await?;
        Ok(self)
    }

    /// Takes the lock, and goes on from the newest version. Does nothing when it is held.
    ///
    /// # Errors
    /// `Conflict` when something that was read has changed since: the lock **is** held then.
    /// `LockTimeout`, `QueueFull`; `ReadOnly`, `Deleted`, `Invalid` as for any change.
    pub async fn lock(&self) -> Result<()> {
        Ok(self.lease.turn().await?.lock().await?)
    }

    /// Gives the lock up. Changes that were not saved are saved without it.
    ///
    /// # Errors
    /// `LockLost` when it was not held any more; `Store`.
    pub async fn unlock(&self) -> Result<()> {
        Ok(self.lease.turn().await?.unlock().await?)
    }

    /// Makes the lock last for another hold from now. The layer does so while the handler runs.
    ///
    /// # Errors
    /// `LockLost` when it is not held any more; `Store`.
    pub async fn renew_lock(&self) -> Result<()> {
        Ok(self.lease.turn().await?.renew_lock().await?)
    }

    /// Asks the store whether the lock is still held.
    ///
    /// # Errors
    /// `LockLost` when it is not; `Store`.
    pub async fn validate_lock(&self) -> Result<()> {
        Ok(self.lease.turn().await?.validate_lock().await?)
    }
}

/// What others do.
impl Session {
    /// Begins anew from the stored record: forgets all changes and all that was read.
    ///
    /// # Errors
    /// `Deleted` or `Invalid` when the session is over; `Store`.
    #[doc(alias = "load")]
    #[doc(alias = "reload")]
    pub async fn refresh(&self) -> Result<()> {
        Ok(self.lease.turn().await?.refresh().await?)
    }

    /// Goes on from the stored record: what others changed is seen in entries that were not changed
    /// here.
    ///
    /// # Errors
    /// `Deleted` or `Invalid` when the session is over; those of updates; `Store`.
    pub async fn follow(&self) -> Result<()> {
        Ok(self.lease.turn().await?.follow().await?)
    }

    /// What others do to this session, as it happens: for a stream of server-sent events, say. At
    /// most `buffer` changes wait for a slow reader.
    ///
    /// # Errors
    /// `Unsupported` when the driver has no feed; `Usage` before the first save; `Deleted` or
    /// `Invalid` when the session is over; `Store`.
    pub async fn watch(&self, buffer: NonZeroUsize) -> Result<Watch> {
        Ok(self.lease.turn().await?.watch(buffer).await?)
    }

    /// Values beside the entries, which are changed without the lock and without a save.
    #[must_use]
    pub const fn fields(&self) -> Fields<'_> {
        Fields { session: self }
    }
}
