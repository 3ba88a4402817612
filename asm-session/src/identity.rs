//! The id of an open session: when it is replaced, and what its client is told.

use std::time::Duration;

use crate::{Result, Rotation, Session, SessionError, SessionId, head::Head, session::Life};

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

impl Session {
    /// Replaces the id, with the next save. It is journaled as any change is, and needs no lock.
    ///
    /// A session on an id that was replaced already, or a second renewal in parallel, renews
    /// nothing: the save answers [`IdRotation::AlreadyRotated`](crate::IdRotation).
    ///
    /// # Errors
    /// `ReadOnly`; `NoRandomness`; `Usage` in a [`Sessions::transact`](crate::Sessions::transact),
    /// or when it [keeps its id](Self::keep_id); `Deleted` or `Invalid` when the session is over.
    #[doc(alias = "cycle_id")]
    #[doc(alias = "renew")]
    #[doc(alias = "rotate")]
    pub fn regenerate(&mut self, rotation: Rotation) -> Result<()> {
        self.check_alive()?;
        if self.sessions.keeps_ids {
            let why = "nobody is there to be given a new id: rotate it in a request";
            return Err(SessionError::Usage(why));
        }
        if self.life == Life::New && self.in_flight.is_none() {
            // Nobody has its id yet.
            if rotation == Rotation::Authenticate {
                self.authenticate_unsaved()?;
            }
            return Ok(());
        }
        self.rotate(rotation)
    }

    /// Keeps the id from now on: there is no way any more to give the client another one, because
    /// the headers of its answer are gone, say. What the session changes is saved as ever.
    ///
    /// A rotation that a policy or a decision wants is not lost: it waits for the next request that
    /// can be given an id. One that a save carried already stands.
    ///
    /// ```
    /// # use asm_memory::MemoryDriver;
    /// # use asm_session::{Client, Result, Sessions};
    /// use asm_session::{Rotation, SessionError};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<()> {
    /// # let sessions = Sessions::builder(MemoryDriver::new()).build()?;
    /// # let (client, id) = (Client::default(), asm_session::docs::example(&sessions).await?);
    /// let mut session = sessions.open(&id, &client).await?;
    /// session.keep_id();
    /// session.insert("progress", &50)?;
    /// let refused = session.regenerate(Rotation::renew());
    /// assert!(matches!(refused, Err(SessionError::Usage(_))));
    /// session.close().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub const fn keep_id(&mut self) {
        self.sessions.keeps_ids = true;
    }

    /// Gives the session its own idle time ("remember me"), or with `None` the usual one again.
    /// Stored with the next save; the application's shortest, longest and absolute times hold. What
    /// it has already is no change.
    ///
    /// # Errors
    /// `ReadOnly`; `Deleted` or `Invalid` when the session is over.
    pub fn set_lifetime(&mut self, idle: impl Into<Option<Duration>>) -> Result<()> {
        self.check_alive()?;
        let stored = self.record.head.lifetime;
        self.changes.set_lifetime(stored, idle.into());
        self.touched();
        Ok(())
    }

    /// The idle time of its own that the session has, if it was given one.
    #[must_use]
    pub fn lifetime(&self) -> Option<Duration> {
        self.changes.lifetime(self.record.head.lifetime)
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
}

impl Session {
    /// Renews the id with the save that is about to happen, if the application's policy says so.
    pub(crate) fn rotate_by_policy(&mut self) -> Result<()> {
        let replaced = self.issued.is_some() || self.changes.next.is_some();
        if self.zombie || self.life != Life::Stored || replaced || self.sessions.keeps_ids {
            return Ok(());
        }
        match self
            .shared()
            .rotation
            .fires(&self.info(), self.profile_changed)
        {
            Some(rotation) => self.rotate(rotation),
            None => Ok(()),
        }
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
        let (ids, envelope) = (&*self.shared().ids, &self.shared().envelope);
        let secret = match rotation {
            // Until it is confirmed, both ids open the body.
            Rotation::Renew { .. } => ids.secret_after(self.id.secret())?,
            Rotation::Authenticate => ids.secret(envelope.splits_keys())?,
        };
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
        for change in self.changes.before_rotation() {
            let _ = head.apply(change, self.record.at);
        }
        head
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
}
