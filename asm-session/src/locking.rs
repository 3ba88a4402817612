//! Taking and giving up the lock of an open session.

use std::sync::Arc;

use asm_core::{Acquired, LockWish, Snapshot};

use crate::{
    Event, LockMode, OnConflict, OnLockTimeout, Result, Session, SessionError, in_flight::strange,
    session::Life,
};

impl Session {
    /// Makes ready for changes, in any mode but `ReadOnly`: takes the lock if the mode wants one
    /// for them and it is not held.
    ///
    /// What was read before and has changed since is told here.
    ///
    /// ```
    /// # async fn example(session: &mut asm_session::Session) -> asm_session::Result<()> {
    /// session.write().await?.insert("seen", &true)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`lock`](Self::lock).
    pub async fn write(&mut self) -> Result<&mut Self> {
        self.check_alive()?;
        if self.mode.changes_need_lock() {
            self.lock().await?;
        }
        Ok(self)
    }

    /// Takes the lock, waiting for it as long as the application set, and goes on from the newest
    /// version. Does nothing when it is held.
    ///
    /// # Errors
    /// `Conflict` when something that was read has changed since: the lock **is** held, so that
    /// the caller can read again and go on. `LockLost` when it was held and lost, and there are
    /// changes that were to be saved under it: they are to be [discarded](Self::discard) first.
    /// `LockTimeout` or `QueueFull`; with [`OnLockTimeout::ReadOnly`] they become `ReadOnly`, and
    /// the session is. `ReadOnly`, `Deleted`, `Invalid` as for any change.
    pub async fn lock(&mut self) -> Result<()> {
        self.check_alive()?;
        if self.life == Life::New {
            self.lock_at_birth = true;
            return Ok(());
        }
        if self.lock.is_held() {
            return Ok(());
        }
        self.settle_in_flight().await?;
        if self.lock.is_lost() && self.is_modified() {
            return Err(SessionError::LockLost);
        }
        let newer = match self.acquire().await {
            Ok(newer) => newer,
            Err(error) => return Err(self.timed_out(error)),
        };
        if let Some(newer) = newer
            && let Err(error) = self.adopt(newer)
        {
            self.lock.abandon();
            return Err(error);
        }
        self.check_reads()
    }

    /// Goes on in another mode, when it turns out late what is needed: a page that only reads has
    /// something to store after all. [`OnOpen`](LockMode::OnOpen) takes the lock here. A lock that
    /// is held stays held.
    ///
    /// ```
    /// # use asm_memory::MemoryDriver;
    /// # use asm_session::{Client, Result, Sessions};
    /// use asm_session::LockMode;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let sessions = Sessions::builder(MemoryDriver::new()).build()?;
    /// # let (client, id) = (Client::default(), asm_session::docs::example(&sessions).await?);
    /// let mut session = sessions.with_mode(LockMode::ReadOnly).open(&id, &client).await?;
    /// if session.get_or("n", 0)? == 0 {
    ///     session.set_mode(LockMode::OnOpen).await?;
    ///     session.insert("n", &1)?;
    /// }
    /// session.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// `ReadOnly` when a decision or a lock time-out made it read-only; as [`lock`](Self::lock).
    /// Unless the lock is held, the mode is as it was.
    pub async fn set_mode(&mut self, mode: LockMode) -> Result<()> {
        if mode != LockMode::ReadOnly {
            self.check_life()?;
            if self.confined {
                return Err(SessionError::ReadOnly);
            }
        }
        let before = self.mode;
        self.mode = mode;
        self.sessions = self.sessions.with_mode(mode);
        if mode == LockMode::OnOpen
            && let Err(error) = self.lock().await
        {
            if !self.confined && !self.lock.is_held() {
                self.mode = before;
                self.sessions = self.sessions.with_mode(before);
            }
            return Err(error);
        }
        let rotates = mode != LockMode::ReadOnly && !self.sessions.keeps_ids;
        match self.postponed.take_if(|_| rotates) {
            Some(rotation) => self.regenerate(rotation),
            None => Ok(()),
        }
    }

    /// Gives the lock up. Changes that were not saved stay in the journal, and are saved without
    /// it.
    ///
    /// # Errors
    /// `LockLost` when it was not held any more: what was to be saved under it is refused until it
    /// is [discarded](Self::discard). `Store`; the lock is given up as well as it can be then.
    pub async fn unlock(&mut self) -> Result<()> {
        self.lock_at_birth = false;
        if self.lock.release().await? {
            Ok(())
        } else {
            Err(SessionError::LockLost)
        }
    }

    /// Makes the lock last for another hold from now.
    ///
    /// # Errors
    /// `LockLost` when it is not held any more; `Store`.
    pub async fn renew_lock(&self) -> Result<()> {
        let hold = self.shared().locks.hold;
        if self.lock.renew(hold).await? {
            Ok(())
        } else {
            Err(SessionError::LockLost)
        }
    }

    /// Asks the store whether the lock is still held.
    ///
    /// # Errors
    /// `LockLost` when it is not; `Store`.
    pub async fn validate_lock(&self) -> Result<()> {
        // A renewal never shortens, so one by nothing only asks.
        if self.lock.renew(std::time::Duration::ZERO).await? {
            Ok(())
        } else {
            Err(SessionError::LockLost)
        }
    }

    /// What a decision about a lock that did not come in time says.
    pub(crate) fn timed_out(&mut self, error: SessionError) -> SessionError {
        let late = matches!(error, SessionError::LockTimeout | SessionError::QueueFull);
        if late && self.shared().locks.on_timeout == OnLockTimeout::ReadOnly {
            self.mode = LockMode::ReadOnly;
            self.confined = true;
            return SessionError::ReadOnly;
        }
        error
    }

    /// Takes the lock, and answers the record if it is newer than ours.
    pub(crate) async fn acquire(&mut self) -> Result<Option<Snapshot>> {
        let shared = Arc::clone(&self.sessions.shared);
        let wish = LockWish {
            claim: self.sessions.claim()?,
            epoch: self.record.head.epoch,
            wait: shared.locks.wait,
            queue: shared.locks.queue,
            known: self.record.version,
        };
        let began = shared.time.own();
        match self.lock.acquire(wish).await? {
            Acquired::Held { snapshot, .. } => {
                let waited = shared.time.own().since(began);
                shared.counting.lock_waits.add();
                let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
                shared.counting.lock_wait_micros.add_many(micros);
                shared.announcer.announce(|| Event::LockWait {
                    handle: self.handle(),
                    waited,
                });
                Ok(snapshot)
            }
            Acquired::Busy => {
                shared.counting.lock_timeouts.add();
                Err(SessionError::LockTimeout)
            }
            Acquired::QueueFull => {
                shared.counting.lock_timeouts.add();
                Err(SessionError::QueueFull)
            }
            Acquired::Missing => Err(self.gone()),
            Acquired::Ended => Err(self.stale()),
            _ => Err(strange().into()),
        }
    }

    /// That nothing changed of what was read, if anybody minds.
    fn check_reads(&self) -> Result<()> {
        if self.shared().on_conflict != OnConflict::Fail || self.mode == LockMode::Off {
            return Ok(());
        }
        let checked = self.journal.check_reads();
        checked.map_err(|conflict| {
            let error = SessionError::Conflict(conflict);
            self.tell_conflict(&error);
            error
        })
    }

    /// A write did not happen, as far as is known.
    pub(crate) fn tell_refused(&self, error: &SessionError) {
        let (shared, handle) = (self.shared(), self.handle());
        if self.in_flight.is_some() || error.is_unknown() {
            shared.counting.unknown_writes.add();
            tracing::warn!(%handle, mode = ?self.mode, reason = %error, "whether a write happened is not known");
            return;
        }
        shared.counting.refused_writes.add();
        tracing::warn!(%handle, mode = ?self.mode, reason = %error, "a write did not happen");
        shared.announcer.announce(|| Event::WriteRefused {
            handle,
            reason: error.to_string(),
        });
        self.tell_conflict(error);
    }

    fn tell_conflict(&self, error: &SessionError) {
        let SessionError::Conflict(conflict) = error else {
            return;
        };
        let (shared, handle) = (self.shared(), self.handle());
        shared.counting.conflicts.add();
        tracing::debug!(%handle, mode = ?self.mode, keys = ?conflict.keys(), "a conflict");
        shared.announcer.announce(|| Event::Conflict {
            handle,
            keys: conflict.keys().to_vec(),
        });
    }
}
