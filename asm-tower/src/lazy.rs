//! A session that is opened when it is asked for.

use std::{ops::Deref, sync::Arc};

use asm_session::{LockMode, Sessions};
use http::Extensions;

use crate::{ReadSession, Result, Session, SessionError, lease::Lease};

/// The session of a request, not opened yet: for middleware that needs it sometimes, and for
/// handlers that choose the mode themselves. As long as nobody opens it, it costs no call of the
/// store, and no header.
///
/// It is in the extensions of each request, so it serves without axum, too.
///
/// ```
/// use asm_tower::{LazySession, Result};
///
/// async fn is_logged_in(session: &LazySession) -> Result<bool> {
///     Ok(session.has_id() && session.read().await?.contains_key("user")?)
/// }
/// ```
#[derive(Clone, Debug)]
pub struct LazySession {
    pub(crate) lease: Arc<Lease>,
}

impl LazySession {
    pub(crate) const fn new(lease: Arc<Lease>) -> Self {
        Self { lease }
    }

    /// That of the innermost layer around, from the extensions of a request.
    #[must_use]
    pub fn of(extensions: &Extensions) -> Option<Self> {
        extensions.get().cloned()
    }

    /// That of the layer whose cookie has this name, when several layers are around.
    ///
    /// # Errors
    /// `NoLayer` when there is none.
    pub fn named(&self, name: &str) -> Result<Self> {
        let lease = self.lease.named(name);
        lease.map(Self::new).ok_or(SessionError::NoLayer)
    }

    /// Whether the client brought something that may be an id: without it there is no session to
    /// read. The store is not asked.
    #[must_use]
    pub fn has_id(&self) -> bool {
        self.lease.has_id()
    }

    /// Whether somebody opened it already.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lease.is_open()
    }

    /// Opens it in the mode of the route, of the method or of the layer. When it is open already,
    /// it is that one; one that was opened for reading only can be changed from now on.
    ///
    /// # Errors
    /// `LockTimeout` or `QueueFull` when the mode takes the lock; `Conflict` when it does so late,
    /// and what was read before has changed; `Rejected` when the application refuses an invalid id;
    /// `Store`.
    pub async fn open(&self) -> Result<Session> {
        self.lease.open(None).await?;
        Ok(self.session())
    }

    /// Opens it in this mode. When it is open already, it keeps its mode, unless more is wanted:
    /// to change what was opened for reading, or the lock from here on.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_in(&self, mode: LockMode) -> Result<Session> {
        self.lease.open(Some(mode)).await?;
        Ok(self.session())
    }

    /// Opens it for reading. It never waits for a lock.
    ///
    /// # Errors
    /// `Rejected`; `Store`.
    pub async fn read(&self) -> Result<ReadSession> {
        Ok(self.open_in(LockMode::ReadOnly).await?.0)
    }

    /// Opens it with its lock: no other request of this session runs beside this one.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn lock(&self) -> Result<LockedSession> {
        Ok(LockedSession(self.open_in(LockMode::OnOpen).await?))
    }

    /// The application's sessions.
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.lease.config.sessions
    }

    fn session(&self) -> Session {
        Session(ReadSession {
            lease: Arc::clone(&self.lease),
        })
    }
}

/// A [`Session`] that was opened with its lock: no other request of this session runs beside this
/// one, whatever the mode of the route.
#[derive(Clone, Debug)]
pub struct LockedSession(pub(crate) Session);

impl Deref for LockedSession {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.0
    }
}
