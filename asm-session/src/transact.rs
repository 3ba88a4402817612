//! Open, change, close; again on conflict.

use crate::{Client, LockMode, Result, Session, SessionError, Sessions};

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
    /// The id stays what it is for the client: replace ids in a session that the request holds.
    ///
    /// # Errors
    /// That of the closure, with nothing saved; [`SessionError::app`] makes one. As
    /// [`open`](Self::open) and [`Session::close`].
    pub async fn transact<T, F>(&self, id: &str, client: &Client, mut work: F) -> Result<T>
    where
        F: FnMut(&mut Session) -> Result<T>,
    {
        let mut sessions = self.with_lock_on_open();
        for left in (0..TRANSACTIONS).rev() {
            let mut session = sessions.open(id, client).await?;
            let value = match work(&mut session) {
                Ok(value) => value,
                Err(error) => {
                    session.discard();
                    return Err(error);
                }
            };
            match session.store(true).await {
                Ok(_) => return Ok(value),
                Err(SessionError::Conflict(_) | SessionError::LockLost) if left > 0 => {
                    session.discard();
                }
                Err(error) => {
                    session.tell_refused(&error);
                    return Err(error);
                }
            }
            if sessions.mode == LockMode::Optimistic {
                sessions = sessions.with_mode(LockMode::OnOpen);
            }
        }
        Err(SessionError::LockLost)
    }
}

/// How often a transaction runs at most. Under the lock the first one succeeds, unless the lock is
/// lost each time.
const TRANSACTIONS: u32 = 4;
