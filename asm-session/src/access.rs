//! Reading and changing the entries of an open session.

use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    Origin, Result, Session, SessionError, ValueAction, ValueError, head_journal::HeadJournal,
    session::Life,
};

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
        self.reservation = None;
        self.lock.abandon();
        self.lock.ended();
    }
}

impl Session {
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
    pub(crate) fn touched(&mut self) {
        self.told = false;
    }

    /// A new session in place of the deleted one.
    fn begin_again(&mut self) -> Result<()> {
        let mut next = self.sessions.begin(self.record.head.kind, Origin::New)?;
        let profiles = std::mem::take(&mut self.record.head.profiles);
        let zombie = self.zombie;
        // Whoever keeps the lock of this session alive keeps that of the new one.
        std::mem::swap(&mut self.lock, &mut next.lock);
        next.lock.moves_to(next.handle());
        *self = next;
        self.record.head.profiles = profiles;
        self.zombie = zombie;
        // Nobody else knows it: as good as locked.
        self.lock_at_birth = self.mode.changes_need_lock();
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

pub(crate) fn failed(key: &str, action: ValueAction, source: ValueError) -> SessionError {
    SessionError::Value {
        key: key.to_owned(),
        action,
        source,
    }
}
