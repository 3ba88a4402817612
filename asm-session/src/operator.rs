//! What operators see of one session, and do to it, by its handle alone.

use asm_core::{Broken, Delete, Deleted, Fence, Key, LockState, Open, Opened};

use crate::{EndReason, Result, SessionError, SessionInfo, Sessions, envelope::Place};

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
        let shared = &self.sessions.shared;
        let Opened::Found { snapshot, .. } = shared
            .driver
            .open(&self.handle, Open { lock: None })
            .await?
        else {
            return Ok(None);
        };
        let (place, now) = (Place::of(&self.handle), snapshot.now);
        let record = snapshot.data.into_bytes();
        let (head, _) = shared.envelope.decode_head(place, &record, now)?;
        let over = shared
            .lifetimes
            .deadline(&head)
            .is_some_and(|end| end <= now);
        Ok((!over).then(|| SessionInfo::new(self.handle, &head, now)))
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
        let driver = self.sessions.driver();
        let deleted = driver
            .delete(&self.handle, Delete { only_if: None })
            .await?;
        match deleted {
            Deleted::Done => {
                self.sessions.tell_ended(self.handle, reason);
                Ok(true)
            }
            Deleted::Nothing => Ok(false),
            _ => Err(SessionError::from(crate::in_flight::strange())),
        }
    }
}
