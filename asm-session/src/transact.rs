//! Change and store; again on conflict.

use asm_core::{Error, ErrorKind};

use crate::{Client, LockMode, Result, Saved, Session, SessionError, Sessions};

impl Sessions {
    /// Opens the session of this id, does this and closes it; when somebody else changed what was
    /// read, does it again, under the lock from then on. So it may run several times, and answers
    /// once. It may borrow.
    ///
    /// ```
    /// # use asm_session::{Client, Sessions};
    /// # async fn example(sessions: Sessions, id: &str, client: Client) -> asm_session::Result<()> {
    /// let visits = sessions
    ///     .transact(id, &client, |session| {
    ///         let visits = session.get_or("visits", 0)? + 1;
    ///         session.insert("visits", &visits)?;
    ///         Ok(visits)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The id stays what it is: there is nobody here to give another one to. The closure cannot
    /// [`regenerate`](Session::regenerate) it, a [`RotationPolicy`](crate::RotationPolicy) waits for
    /// another request, and a decision that asks for a new id is asked again then. Whoever can give
    /// its client an id opens the session and calls [`Session::transact`].
    ///
    /// # Errors
    /// As [`open`](Self::open) and [`Session::transact`].
    pub async fn transact<T, F>(&self, id: &str, client: &Client, work: F) -> Result<T>
    where
        F: FnMut(&mut Session) -> Result<T>,
    {
        let sessions = self.with_lock_on_open().with_kept_ids();
        let mut session = sessions.open(id, client).await?;
        session.run(work, true).await
    }
}

impl Session {
    /// Does this and saves; when somebody else changed what was read, does it again on what is
    /// there now, under the lock from then on. So it may run several times, and answers once. It
    /// may borrow.
    ///
    /// Changes that were made before are saved first, and what was read before does not count. The
    /// session can be used on: it has its lock after that if it had it before, and
    /// [`id_update`](Self::id_update) tells what became of its id.
    ///
    /// ```
    /// # use asm_session::Session;
    /// # async fn example(session: &mut Session) -> asm_session::Result<()> {
    /// let visits = session
    ///     .transact(|session| {
    ///         let visits = session.get_or("visits", 0)? + 1;
    ///         session.insert("visits", &visits)?;
    ///         Ok(visits)
    ///     })
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// That of the closure, with nothing of it saved; [`SessionError::app`] makes one. As
    /// [`lock`](Self::lock) and [`save`](Self::save). A `Store` error
    /// [whose outcome is unknown](SessionError::is_unknown) when the store did not answer whether
    /// it has the changes, although it was asked again: calling it again may apply them twice.
    /// After any other error nothing of the closure was saved.
    pub async fn transact<T, F>(&mut self, work: F) -> Result<T>
    where
        F: FnMut(&mut Self) -> Result<T>,
    {
        if self.is_modified() || self.in_flight.is_some() {
            self.save().await?;
        }
        let release = !self.is_locked();
        self.run(work, release).await
    }

    async fn run<T, F>(&mut self, mut work: F, release: bool) -> Result<T>
    where
        F: FnMut(&mut Self) -> Result<T>,
    {
        let mut needs_lock = self.mode.changes_need_lock();
        for left in (0..TRANSACTIONS).rev() {
            self.start_over();
            if needs_lock {
                self.lock().await?;
            }
            let value = match work(self) {
                Ok(value) => value,
                Err(error) => {
                    self.give_up_all(release);
                    return Err(error);
                }
            };
            match self.store_for_certain(release).await {
                Ok(_) => return Ok(value),
                Err(error) if left > 0 && is_passing(&error) => {}
                Err(error) => {
                    self.tell_refused(&error);
                    self.told = true;
                    if self.in_flight.is_none() {
                        self.give_up_all(release);
                    }
                    return Err(error);
                }
            }
            needs_lock |= self.mode == LockMode::Optimistic;
        }
        Err(SessionError::LockLost)
    }

    /// Nothing of the closure is to be saved, also not by a later save.
    fn give_up_all(&mut self, release: bool) {
        self.start_over();
        if release {
            self.lock.abandon();
        }
    }

    /// Forgets what the closure did, and that its lock was lost.
    fn start_over(&mut self) {
        self.forget_changes();
        if self.lock.is_lost() {
            self.lock.ended();
        }
    }

    /// Stores, and asks again what became of it as long as that is not known: nobody but this
    /// session can find it out.
    async fn store_for_certain(&mut self, release: bool) -> Result<Saved> {
        let mut stored = self.store(release).await;
        for _ in 1..SENDINGS {
            if self.in_flight.is_none() {
                return stored;
            }
            stored = self.store(release).await;
        }
        match stored {
            Err(SessionError::Store(error)) if self.in_flight.is_some() => {
                let why = "the store did not answer whether a transaction is stored";
                Err(Error::new(ErrorKind::Unknown, why).because(error).into())
            }
            stored => stored,
        }
    }
}

/// Whether doing it again can help.
fn is_passing(error: &SessionError) -> bool {
    match error {
        SessionError::Conflict(conflict) => !conflict.is_authentication(),
        SessionError::LockLost => true,
        _ => false,
    }
}

/// How often a transaction runs at most. Under the lock the first one succeeds, unless the lock is
/// lost each time.
const TRANSACTIONS: u32 = 4;

/// How often a save is sent at most whose answer is lost each time.
const SENDINGS: u32 = 4;
