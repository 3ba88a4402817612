//! What operators see of one session, and do to it, by its handle alone.

use std::time::Duration;

use asm_core::{
    Broken, Delete, Deleted, Fence, Guard, Key, LockState, Open, Opened, Snapshot, Timestamp,
};

use crate::{
    EndReason, Result, SessionError, SessionInfo, Sessions, envelope::Place, once::is_flight,
};

impl Sessions {
    /// One session by its handle, for operators: no id is needed, and no entry is shown.
    ///
    /// ```
    /// # use asm_session::{Key, Sessions};
    /// # async fn example(sessions: Sessions, handle: Key) -> asm_session::Result<()> {
    /// for waiter in sessions.by_handle(handle).inspect().await?.waiters {
    ///     println!("{:?} waits for {:?} at most", waiter.label, waiter.left);
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn by_handle(&self, handle: Key) -> SessionHandle {
        SessionHandle {
            sessions: self.clone(),
            handle,
        }
    }
}

/// What there is to know about a session as it lies in the store.
#[derive(Clone, Debug)]
pub struct StoredSession {
    info: SessionInfo,
    stored_len: usize,
    left: Option<Duration>,
    saves: u64,
    now: Timestamp,
}

impl StoredSession {
    /// What there is to know about it besides its entries.
    #[must_use]
    pub const fn info(&self) -> &SessionInfo {
        &self.info
    }

    /// Bytes of its record, after all codecs. Its lockless fields are beside it.
    #[must_use]
    pub const fn stored_len(&self) -> usize {
        self.stored_len
    }

    /// What is left of its life if it is not used again. `None` when the store lost that.
    #[must_use]
    pub const fn expires_in(&self) -> Option<Duration> {
        self.left
    }

    /// How often it was stored, the first time included.
    #[must_use]
    pub const fn saves(&self) -> u64 {
        self.saves
    }

    /// When it was read, by the store's clock.
    #[must_use]
    pub const fn seen_at(&self) -> Timestamp {
        self.now
    }
}

/// One session, as operators see it.
#[derive(Clone, Debug)]
pub struct SessionHandle {
    sessions: Sessions,
    handle: Key,
}

impl SessionHandle {
    /// What there is to know about it. `None` when it is not there, or its life is over.
    ///
    /// # Errors
    /// `Store`.
    pub async fn info(&self) -> Result<Option<SessionInfo>> {
        let stored = self.stored().await?;
        Ok(stored.map(|stored| stored.info))
    }

    /// What there is to know about it as it lies in the store. `None` when it is not there, or its
    /// life is over.
    ///
    /// # Errors
    /// `Store`.
    pub async fn stored(&self) -> Result<Option<StoredSession>> {
        let shared = &self.sessions.shared;
        let Opened::Found { snapshot, .. } = shared
            .driver
            .open(&self.handle, Open { lock: None })
            .await?
        else {
            return Ok(None);
        };
        if is_flight(&snapshot.stamp) {
            return Ok(None);
        }
        let (place, now) = (Place::of(&self.handle), snapshot.now);
        let (saves, left) = (snapshot.version.number, snapshot.left);
        let record = snapshot.data.into_bytes();
        let (head, _) = shared.envelope.decode_head(place, &record, now)?;
        Ok(
            (!shared.lifetimes.is_over(&head, now)).then(|| StoredSession {
                info: SessionInfo::new(self.handle, &head, now),
                stored_len: record.len(),
                left,
                saves,
                now,
            }),
        )
    }

    /// Who holds its lock, and who waits for it.
    ///
    /// # Errors
    /// `Store`.
    pub async fn inspect(&self) -> Result<LockState> {
        Ok(self.sessions.driver().inspect(&self.handle).await?)
    }

    /// Ends a grant of its lock by force: the one of this number, or whichever there is. Its holder
    /// writes nothing any more.
    ///
    /// # Errors
    /// `Store`.
    pub async fn break_lock(&self, fence: Option<Fence>) -> Result<Broken> {
        let broken = self
            .sessions
            .driver()
            .break_lock(&self.handle, fence)
            .await?;
        if let Broken::Done { fence, label } = &broken {
            tracing::warn!(handle = %self.handle, %fence, label = label.as_str(), "a lock was broken");
        }
        Ok(broken)
    }

    /// Ends it. Answers whether there was one.
    ///
    /// # Errors
    /// `Store`.
    pub async fn delete(&self) -> Result<bool> {
        self.end(EndReason::Deleted).await
    }

    pub(crate) async fn end(&self, reason: EndReason) -> Result<bool> {
        let ended = self.delete_if(None, reason).await?;
        ended.ok_or_else(|| SessionError::from(crate::in_flight::strange()))
    }

    /// Ends it, whoever holds its lock, if it still is what this snapshot shows. `None`: somebody
    /// has changed it.
    pub(crate) async fn end_as(&self, seen: &Snapshot, reason: EndReason) -> Result<Option<bool>> {
        self.delete_if(Some(Guard::unchanged(seen)), reason).await
    }

    async fn delete_if(&self, only_if: Option<Guard>, reason: EndReason) -> Result<Option<bool>> {
        let driver = self.sessions.driver();
        let mut deleted = driver.delete(&self.handle, Delete { only_if }).await?;
        if deleted == Deleted::Locked {
            deleted = driver
                .delete(&self.handle, Delete { only_if: None })
                .await?;
        }
        match deleted {
            Deleted::Done => {
                self.sessions.tell_ended(self.handle, reason);
                Ok(Some(true))
            }
            Deleted::Nothing => Ok(Some(false)),
            _ => Ok(None),
        }
    }
}
