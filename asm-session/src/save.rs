//! From a journal to an acknowledged version.
//!
//! A save is *prepared* (op id, guard, bytes) and kept until its answer is known: when the answer
//! was lost, or the caller was cancelled, the next save first sends exactly that again. So nothing
//! is ever applied twice.
//!
//! A refusal carries the newer record. The journal is laid over it, and the save is tried again: a
//! few times as it is, then under the lock, where nobody else can come first. Whoever meets a
//! lock of another one queues for it.

use std::{mem, sync::Arc};

use asm_core::{Touch, Touched};

use crate::{
    LockMode, Result, Session, SessionError,
    in_flight::{InFlight, Sent},
    lock::Lock,
    session::Life,
};

/// What a save did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Saved {
    /// Whether anything was written. Nothing is when nothing was changed.
    pub written: bool,
    /// What became of the replacement of the id, if there was to be one.
    pub id: Option<IdRotation>,
}

/// What became of the replacement of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdRotation {
    /// There is a new one: see [`Session::id_update`].
    Rotated,
    /// Somebody else replaced it, or this request runs on one that was replaced: nothing changed.
    AlreadyRotated,
}

/// How often a save is tried again on a newer version before it takes the lock.
const MERGES: u32 = 3;

/// How often a save is tried in all. Under the lock the first one succeeds, unless that lock is
/// lost each time.
const ATTEMPTS: u32 = 16;

impl Session {
    /// Stores all changes as one version, and keeps the session and its lock.
    ///
    /// When nothing was changed, nothing is written; the session's life is extended when that is
    /// due.
    ///
    /// # Errors
    /// `Conflict`, `LockLost`, `LockTimeout`, `QueueFull`, `Deleted`, `Invalid`, those of closures:
    /// nothing was written, and the changes are still there. `Store`: as the driver says; calling
    /// it again resolves what is unknown.
    pub async fn save(&mut self) -> Result<Saved> {
        self.commit(false).await
    }

    /// Stores all changes and releases the lock, in one step.
    ///
    /// The session can be used on. A failed close can be tried again.
    ///
    /// # Errors
    /// As [`save`](Self::save).
    #[doc(alias = "commit")]
    pub async fn close(&mut self) -> Result<Saved> {
        self.commit(true).await
    }

    async fn commit(&mut self, release: bool) -> Result<Saved> {
        let modified = self.is_modified();
        let saved = self.store(release).await;
        if let Err(error) = &saved
            && modified
        {
            self.told = true;
            self.tell_refused(error);
        }
        saved
    }

    /// As [`commit`](Self::commit), without telling anybody of a refusal.
    pub(crate) async fn store(&mut self, release: bool) -> Result<Saved> {
        let before = self.settle_in_flight().await?;
        let mut saved = if self.is_modified() {
            self.check_alive()?;
            self.write_out(release).await?
        } else {
            self.keep_house(release).await
        };
        if let Some(before) = before {
            saved.written = true;
            saved.id = saved.id.or(before.id);
        }
        if mem::take(&mut self.changes.already_rotated) {
            saved.id = saved.id.or(Some(IdRotation::AlreadyRotated));
        }
        Ok(saved)
    }

    /// Writes what the application changed.
    async fn write_out(&mut self, release: bool) -> Result<Saved> {
        if self.lock.is_lost() {
            return Err(SessionError::LockLost);
        }
        if self.life == Life::New && !self.stores() {
            self.told = true;
            return Ok(Saved::default());
        }
        self.bring_up_to_date().await?;
        self.renew_membership().await?;
        self.rotate_by_policy()?;
        let prepare = |session: &mut Self, release| session.prepare(release).map(Some);
        let saved = self.write_by_all_means(release, prepare).await?;
        if self.changes.is_due() {
            self.write_due(release).await;
        }
        Ok(saved.unwrap_or_default())
    }

    /// Stores a session that something else is about to hang on, changed or not.
    pub(crate) async fn record_birth(&mut self) -> Result<()> {
        if !self.stores() {
            return Err(SessionError::Usage("the sessions of bots are not stored"));
        }
        self.settle_in_flight().await?;
        if self.life == Life::New {
            self.write_out(false).await?;
        }
        Ok(())
    }

    /// Tries until it is written or can not be. `prepare` is asked anew for each try, and answers
    /// `None` when there is nothing to write any more.
    pub(crate) async fn write_by_all_means<P>(
        &mut self,
        release: bool,
        mut prepare: P,
    ) -> Result<Option<Saved>>
    where
        P: FnMut(&mut Self, bool) -> Result<Option<InFlight>> + Send,
    {
        let mut borrowed = BorrowedLock::not_yet();
        for attempt in 1..=ATTEMPTS {
            if self.lock.is_lost() {
                if !borrowed.is_taken() {
                    return Err(SessionError::LockLost);
                }
                self.lock.ended();
            }
            self.look_for_place().await?;
            let Some(prepared) = prepare(self, release || borrowed.is_taken())? else {
                return Ok(None);
            };
            match self.send(prepared).await? {
                Sent::Done(saved) => return Ok(Some(saved)),
                Sent::Conflict(newer) => {
                    self.merge(newer)?;
                    if attempt >= MERGES && !self.lock.is_held() {
                        self.borrow_lock(&mut borrowed).await?;
                    }
                }
                Sent::Locked => self.borrow_lock(&mut borrowed).await?,
                Sent::LockLost if borrowed.is_taken() => self.lock.ended(),
                Sent::LockLost => return Err(SessionError::LockLost),
                Sent::Taken => self.draw_another_id(attempt < ATTEMPTS)?,
            }
        }
        Err(SessionError::LockTimeout)
    }

    async fn borrow_lock(&mut self, borrowed: &mut BorrowedLock) -> Result<()> {
        borrowed.0 = Some(self.lock.share());
        if let Some(newer) = self.acquire().await? {
            self.merge(newer)?;
        }
        Ok(())
    }

    /// When the application changed nothing: what is due anyway, and the end of the lock. None of
    /// it fails a request, nor waits for anybody.
    async fn keep_house(&mut self, release: bool) -> Saved {
        let mut saved = Saved::default();
        if self.life != Life::Stored {
            self.lock.abandon();
            return saved;
        }
        if self.changes.is_due() && !self.lock.is_lost() {
            saved.written = self.write_due(release).await;
        }
        if !saved.written {
            self.extend_life().await;
        }
        if release {
            if let Err(error) = self.lock.release().await {
                tracing::warn!(handle = %self.handle(), %error, "the session's lock was not released");
            }
            self.lock.ended();
        }
        saved
    }

    /// As [`write_head`](Self::write_head), and no error. Answers whether it is written.
    async fn write_due(&mut self, release: bool) -> bool {
        let written = self.write_head(release).await;
        written.unwrap_or_else(|error| {
            tracing::warn!(handle = %self.handle(), %error, "what was due was not written");
            false
        })
    }

    /// Writes changes of the head alone: a confirmed id, an accepted profile. Another request does
    /// it if this one can not.
    async fn write_head(&mut self, release: bool) -> Result<bool> {
        if self.mode == LockMode::ReadOnly {
            self.changes.forget_profile();
            if !self.changes.is_due() {
                return Ok(false);
            }
        }
        for _ in 0..MERGES {
            if self.next_head(self.record.at)?.0 == self.record.head {
                // Another request has done it.
                return Ok(false);
            }
            let prepared = self.prepare(release)?;
            match self.send(prepared).await? {
                Sent::Done(saved) => return Ok(saved.written),
                Sent::Conflict(newer) => self.merge(newer)?,
                Sent::Locked | Sent::LockLost | Sent::Taken => return Ok(false),
            }
        }
        Ok(false)
    }

    /// Touches the session when enough of its idle time is used up.
    async fn extend_life(&mut self) {
        let shared = Arc::clone(&self.sessions.shared);
        if !shared.touch_reads && self.mode == LockMode::ReadOnly {
            return;
        }
        let now = shared.time.now();
        let left = self.record.left;
        let left = left.map(|left| left.saturating_sub(now.since(self.record.at)));
        let due = shared
            .lifetimes
            .touch(&self.view(), self.record.saves(), left, now);
        let Some(ttl) = due else {
            return;
        };
        let epoch = self.record.head.epoch;
        match shared
            .driver
            .touch(&self.handle(), Touch { epoch, ttl })
            .await
        {
            Ok(Touched::Done { left, now }) => {
                (self.record.left, self.record.at) = (Some(left), now);
                shared.time.learn(now);
            }
            Ok(Touched::Missing) => drop(self.gone()),
            Ok(Touched::Ended) => drop(self.stale()),
            Ok(_) => {}
            Err(error) => {
                tracing::warn!(handle = %self.handle(), %error, "the session's life was not extended");
            }
        }
    }

    /// Whether a session of this client is stored at all.
    fn stores(&self) -> bool {
        self.shared().lifetimes.stores(self.record.head.kind)
    }
}

/// The lock, when it was taken for one save only: it ends with it, however that ends.
struct BorrowedLock(Option<Arc<Lock>>);

impl BorrowedLock {
    const fn not_yet() -> Self {
        Self(None)
    }

    const fn is_taken(&self) -> bool {
        self.0.is_some()
    }
}

impl Drop for BorrowedLock {
    fn drop(&mut self) {
        if let Some(lock) = &self.0 {
            lock.abandon();
        }
    }
}
