//! The lock of one session, as its holder sees it.

use std::{
    fmt::{self, Debug},
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_core::{Acquired, Driver, Fence, Key, LockToken, LockWish, Released, Renewed, Result};
use futures_util::future::{Either, select};

use crate::{Event, OnLockTimeout, sessions::Shared};

/// How locks are taken and kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LockSettings {
    /// How long a grant lasts unless renewed.
    pub(crate) hold: Duration,
    /// How often it is renewed by those who keep it.
    pub(crate) renewal: Duration,
    /// How long to wait for one.
    pub(crate) wait: Duration,
    /// How many may wait.
    pub(crate) queue: Option<u32>,
    pub(crate) on_timeout: OnLockTimeout,
}

impl Default for LockSettings {
    fn default() -> Self {
        Self {
            hold: Duration::from_secs(10),
            renewal: Duration::from_secs(3),
            wait: Duration::from_secs(15),
            queue: Some(6),
            on_timeout: OnLockTimeout::default(),
        }
    }
}

/// The lock of one session, as far as one holder has it.
///
/// The session owns it, and gives it up when it is dropped; those who keep it alive share it.
pub(crate) struct Lock {
    shared: Arc<Shared>,
    place: Mutex<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    key: Key,
    state: State,
    /// Whether its release is under way. Then the store's saying that it is not held tells nothing
    /// new.
    leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// We do not hold it.
    Free,
    /// It is ours.
    Held { token: LockToken, fence: Fence },
    /// It was ours and ended before its release. Nothing may be written that was meant to be
    /// written under it.
    Lost,
}

impl Lock {
    pub(crate) fn new(shared: Arc<Shared>, key: Key) -> Self {
        let place = Mutex::new(Place {
            key,
            state: State::Free,
            leaving: false,
        });
        Self { shared, place }
    }

    /// From now on it is that of another session. It is not held.
    pub(crate) fn moves_to(&self, key: Key) {
        self.set(State::Free);
        self.place().key = key;
    }

    pub(crate) fn granted(&self, token: LockToken, fence: Fence) {
        self.set(State::Held { token, fence });
    }

    /// It ended together with something else: a save that released it, the session itself.
    pub(crate) fn ended(&self) {
        self.set(State::Free);
    }

    /// A call that releases it is under way, or has not released it.
    pub(crate) fn leaves(&self, leaving: bool) {
        self.place().leaving = leaving;
    }

    /// This grant is not ours any more. Says so once.
    pub(crate) fn lost(&self, lost: LockToken) {
        let mut place = self.place();
        if !matches!(place.state, State::Held { token, .. } if token == lost) {
            return;
        }
        place.state = State::Lost;
        let handle = place.key;
        drop(place);
        self.shared.counting.lost_locks.add();
        tracing::warn!(%handle, "the session's lock was lost");
        self.shared
            .announcer
            .announce(|| Event::LockLost { handle });
    }

    pub(crate) fn token(&self) -> Option<LockToken> {
        match self.place().state {
            State::Held { token, .. } => Some(token),
            State::Free | State::Lost => None,
        }
    }

    pub(crate) fn fence(&self) -> Option<Fence> {
        match self.place().state {
            State::Held { fence, .. } => Some(fence),
            State::Free | State::Lost => None,
        }
    }

    pub(crate) fn is_held(&self) -> bool {
        self.token().is_some()
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.place().state == State::Lost
    }

    /// Asks for it. What is granted is ours from then on, and what nobody knows about is given up.
    pub(crate) async fn acquire(&self, wish: LockWish) -> Result<Acquired> {
        let (key, token) = (self.place().key, wish.claim.token);
        let acquired = self.driver().acquire(&key, wish).await;
        let acquired = acquired.inspect_err(|_| self.driver().abandon(&key, &token))?;
        if let Acquired::Held { fence, .. } = acquired {
            self.granted(token, fence);
        }
        Ok(acquired)
    }

    /// Makes the grant last for `hold` from now. `Ok(false)`: it is not ours.
    pub(crate) async fn renew(&self, hold: Duration) -> Result<bool> {
        let Some((key, token)) = self.grant() else {
            return Ok(false);
        };
        let renewed = self.driver().renew(&key, &token, hold).await?;
        let held = matches!(renewed, Renewed::Done { .. });
        if !held && !self.place().leaving {
            self.lost(token);
        }
        Ok(held)
    }

    /// Hands it on. `Ok(false)`: it was lost before. A dropped future has handed it on as well as
    /// [`abandon`](Self::abandon).
    pub(crate) async fn release(&self) -> Result<bool> {
        let Some((key, token)) = self.grant() else {
            return Ok(!self.is_lost());
        };
        let abandoned = Abandoned(self);
        self.leaves(true);
        let held = self.driver().release(&key, &token).await? != Released::NotHeld;
        if held {
            self.ended();
        } else {
            self.lost(token);
        }
        drop(abandoned);
        Ok(held)
    }

    /// Hands it on as well as it can, later, without blocking.
    pub(crate) fn abandon(&self) {
        if let Some((key, token)) = self.grant() {
            self.ended();
            self.driver().abandon(&key, &token);
        }
    }

    /// What is held, and of which session.
    fn grant(&self) -> Option<(Key, LockToken)> {
        let place = *self.place();
        match place.state {
            State::Held { token, .. } => Some((place.key, token)),
            State::Free | State::Lost => None,
        }
    }

    fn set(&self, state: State) {
        let mut place = self.place();
        (place.state, place.leaving) = (state, false);
    }

    fn driver(&self) -> &dyn Driver {
        &*self.shared.driver
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Debug for Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.place().state, f)
    }
}

/// Abandons the lock when it is dropped while the lock is held.
struct Abandoned<'a>(&'a Lock);

impl Drop for Abandoned<'_> {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// The one owner of a lock: dropping it hands the lock on.
#[derive(Debug)]
pub(crate) struct OwnedLock(Arc<Lock>);

impl OwnedLock {
    pub(crate) fn new(shared: &Arc<Shared>, key: Key) -> Self {
        Self(Arc::new(Lock::new(Arc::clone(shared), key)))
    }

    pub(crate) fn share(&self) -> Arc<Lock> {
        Arc::clone(&self.0)
    }

    pub(crate) fn keeper(&self) -> LockKeeper {
        LockKeeper(Arc::clone(&self.0))
    }
}

impl std::ops::Deref for OwnedLock {
    type Target = Lock;

    fn deref(&self) -> &Lock {
        &self.0
    }
}

impl Drop for OwnedLock {
    fn drop(&mut self) {
        self.0.abandon();
    }
}

/// Keeps the lock of a session alive while something else is done, whoever holds the session.
///
/// It never takes a lock, and holds none: when the session lets go of its lock, there is nothing to
/// keep, and when the session takes it again, it is kept again. So it is for a session that an
/// insert began after a delete.
///
/// Whoever drives a request wraps it: the web layer does.
#[derive(Clone, Debug)]
pub struct LockKeeper(Arc<Lock>);

impl LockKeeper {
    /// Does this, and renews the lock meanwhile: each 3 s, unless the application set another
    /// interval.
    ///
    /// A renewal that fails is tried again after the interval. A lock that turns out to be lost is
    /// told of once, and the next write is `LockLost`.
    pub async fn keep_alive<F: Future>(&self, work: F) -> F::Output {
        let renewals = pin!(self.renew_for_ever());
        match select(pin!(work), renewals).await {
            Either::Left((output, _)) => output,
            Either::Right((never, _)) => match never {},
        }
    }

    async fn renew_for_ever(&self) -> std::convert::Infallible {
        let shared = &self.0.shared;
        loop {
            shared.time.sleep(shared.locks.renewal).await;
            let Some((handle, _)) = self.0.grant() else {
                continue;
            };
            if let Err(error) = self.0.renew(shared.locks.hold).await {
                tracing::warn!(%handle, %error, "the session's lock could not be renewed");
            }
        }
    }
}
