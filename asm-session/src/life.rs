//! What happens to an open session besides saves: its end, and what others make of it.

use std::{
    fmt::{self, Debug},
    num::NonZeroUsize,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use asm_core::{Change, ChangeStream, Delete, Open, Opened, Subscribe, Subscribed};
use futures_core::Stream;

use crate::{
    EndReason, LockMode, Result, Session, SessionError, head_journal::HeadJournal,
    in_flight::strange, journal::Journal, session::Life,
};

impl Session {
    /// Ends the session, for everybody and at once: it wins over locks, saves and versions. All its
    /// ids are invalid then.
    ///
    /// An [`insert`](Self::insert) after it begins a new session under a new id.
    ///
    /// # Errors
    /// `ReadOnly`; `Store`, and it may be over or not: call it again.
    #[doc(alias = "destroy")]
    #[doc(alias = "flush")]
    #[doc(alias = "invalidate")]
    pub async fn delete(&mut self) -> Result<()> {
        if self.mode == LockMode::ReadOnly {
            return Err(SessionError::ReadOnly);
        }
        let handle = self.handle();
        let unanswered = self.in_flight.is_some();
        if self.life != Life::New || unanswered {
            let driver = Arc::clone(&self.shared().driver);
            driver.delete(&handle, Delete { only_if: None }).await?;
            self.sessions.tell_ended(handle, EndReason::Deleted);
        }
        self.lock.ended();
        self.in_flight = None;
        self.issued = None;
        self.journal = Journal::default();
        self.changes = HeadJournal::default();
        if let Some(reservation) = self.reservation.take() {
            reservation.made_good();
        }
        self.life = Life::Deleted;
        Ok(())
    }

    /// Begins anew from the stored record: forgets all changes and all that was read.
    ///
    /// # Errors
    /// `Deleted` or `Invalid` when the session is over; `Store`.
    #[doc(alias = "reload")]
    pub async fn refresh(&mut self) -> Result<()> {
        self.settle_in_flight().await?;
        self.forget_changes();
        self.read_again().await
    }

    /// Goes on from the stored record: what others changed is seen in entries that were not changed
    /// here. Changes stay, and updates run again on what is there now.
    ///
    /// # Errors
    /// `Deleted` or `Invalid` when the session is over; those of updates; `Store`.
    pub async fn follow(&mut self) -> Result<()> {
        self.settle_in_flight().await?;
        self.read_again().await
    }

    /// What others do to this session, and what this one does, as it happens: from the moment that
    /// this is answered. [`follow`](Self::follow) shows what came of it. At most `buffer` changes
    /// wait for a slow reader.
    ///
    /// # Errors
    /// `Unsupported` when the driver has no feed; `Deleted` or `Invalid` when the session is over;
    /// `Usage` before the first save; `Store`.
    pub async fn watch(&mut self, buffer: NonZeroUsize) -> Result<Watch> {
        self.check_life()?;
        if self.life == Life::New {
            return Err(SessionError::Usage(
                "a session is watched after its first save",
            ));
        }
        let driver = Arc::clone(&self.shared().driver);
        let feed = driver.changes();
        let feed = feed.ok_or(SessionError::Unsupported("feed of changes"))?;
        let epoch = self.record.head.epoch;
        match feed
            .subscribe(&self.handle(), Subscribe { epoch, buffer })
            .await?
        {
            Subscribed::Live(changes) => Ok(Watch(changes)),
            Subscribed::Missing => Err(self.gone()),
            Subscribed::Ended => Err(self.stale()),
            _ => Err(strange().into()),
        }
    }

    /// Forgets what the application changed and read, but not what the open has to change.
    pub(crate) fn forget_changes(&mut self) {
        self.journal.discard();
        self.changes.forget_modifications();
        self.reservation = None;
    }

    /// Reads the record again when it is not known what is in it.
    pub(crate) async fn bring_up_to_date(&mut self) -> Result<()> {
        if self.record.outdated {
            self.read_again().await?;
        }
        Ok(())
    }

    async fn read_again(&mut self) -> Result<()> {
        self.check_life()?;
        if self.life == Life::New && !self.record.outdated {
            return Ok(());
        }
        let driver = Arc::clone(&self.shared().driver);
        match driver.open(&self.handle(), Open { lock: None }).await? {
            Opened::Found { snapshot, .. } => {
                self.catch_up(snapshot)?;
                if self.life == Life::New {
                    self.born(None, None);
                }
                Ok(())
            }
            _ if self.life == Life::New => {
                self.record.outdated = false;
                Ok(())
            }
            _ => Err(self.gone()),
        }
    }
}

/// The changes of one session. It ends after [`Change::Ended`]; dropping it ends it, too.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Watch(ChangeStream);

impl Stream for Watch {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        self.0.as_mut().poll_next(context)
    }
}

impl Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch(..)")
    }
}
