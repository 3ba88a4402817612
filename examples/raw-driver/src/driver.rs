//! The driver: every verb is one step under one mutex, and `acquire` sleeps in between.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_core::{
    Acquired, Broken, Clock, Create, Created, Delete, Deleted, Driver, DriverInfo, Error,
    ErrorKind, Fence, Key, LockState, LockStore, LockToken, LockWish, Open, Opened, Released,
    Renewed, Result, Save, SessionStore, Shared, Timestamp, Touch, Touched, Written,
};
use async_trait::async_trait;

use crate::{
    lock::RECHECK,
    session::{Session, Step},
};

const NAME: &str = "raw";

/// Sessions in a map. A clone is a further handle on the same map.
#[derive(Clone, Debug)]
pub struct RawDriver {
    clock: Arc<dyn Clock>,
    sessions: Arc<Mutex<HashMap<Key, Session>>>,
}

impl RawDriver {
    /// How often a waiter looks again when nothing wakes it.
    pub const RECHECK: Duration = RECHECK;

    /// An empty map, on the time of this clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            sessions: Arc::default(),
        }
    }

    /// How many sessions live.
    pub fn sessions(&self) -> usize {
        let (mut sessions, now) = self.begin();
        sessions.retain(|_, session| session.settle(now));
        sessions.len()
    }

    /// Runs a verb on a session that lives. `None` when there is none; the verb may end it.
    fn on<R>(&self, key: &Key, verb: impl FnOnce(&mut Session, Timestamp) -> R) -> Option<R> {
        let (mut sessions, now) = self.begin();
        let Entry::Occupied(mut place) = sessions.entry(*key) else {
            return None;
        };
        let session = place.get_mut();
        let answer = session.settle(now).then(|| verb(session, now));
        if !session.settle(now) {
            place.remove();
        }
        answer
    }

    /// The map and the time. The time is taken under the mutex: no session ever sees it go back.
    fn begin(&self) -> (MutexGuard<'_, HashMap<Key, Session>>, Timestamp) {
        // A panic elsewhere does not end the sessions of everybody.
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.now();
        (sessions, now)
    }

    fn check_size(&self, data: &[u8]) -> Result<()> {
        let (len, limit) = (data.len(), self.info().max_record);
        if len <= limit {
            return Ok(());
        }
        let message = format!("the record has {len} bytes, the limit is {limit}");
        Err(Error::new(ErrorKind::TooLarge, message))
    }

    fn try_create(&self, key: &Key, req: Create) -> Result<Created> {
        self.check_size(&req.data)?;
        let (mut sessions, now) = self.begin();
        // There is no sweeper: before the map grows, the dead make room.
        if sessions.len() == sessions.capacity() {
            sessions.retain(|_, session| session.settle(now));
        }
        if let Some(session) = sessions.get_mut(key)
            && session.settle(now)
        {
            return session.create_again(now, &req);
        }
        let (session, created) = Session::create(now, req);
        sessions.insert(*key, session);
        Ok(created)
    }

    fn try_save(&self, key: &Key, req: Save) -> Result<Written> {
        self.check_size(&req.data)?;
        let written = self.on(key, |session, now| session.save(now, req));
        written.unwrap_or(Ok(Written::Missing))
    }
}

// No verb of the record awaits anything: a future of it that is dropped was never begun, or is over.
#[async_trait]
impl SessionStore for RawDriver {
    async fn create(&self, key: &Key, req: Create) -> Result<Created> {
        let created = self.try_create(key, req);
        created.map_err(|error| error.during("create").by(NAME))
    }

    async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
        let opened = self.on(key, |session, now| session.open(now, &req));
        Ok(opened.unwrap_or(Opened::Missing))
    }

    async fn save(&self, key: &Key, req: Save) -> Result<Written> {
        let written = self.try_save(key, req);
        written.map_err(|error| error.during("save").by(NAME))
    }

    async fn touch(&self, key: &Key, req: Touch) -> Result<Touched> {
        let touched = self.on(key, |session, now| session.touch(now, &req));
        Ok(touched.unwrap_or(Touched::Missing))
    }

    async fn delete(&self, key: &Key, req: Delete) -> Result<Deleted> {
        let deleted = self.on(key, |session, now| session.delete(now, &req));
        Ok(deleted.unwrap_or(Deleted::Nothing))
    }
}

#[async_trait]
impl LockStore for RawDriver {
    async fn acquire(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
        let (began, patience) = (self.clock.now(), wish.wait);
        let mut attempt = Attempt {
            driver: self,
            key,
            token: Some(wish.claim.token),
        };
        let acquired = loop {
            let (bell, look_again) = match self.on(key, |session, now| session.acquire(now, &wish))
            {
                None => break Acquired::Missing,
                Some(Step::Over(acquired)) => break acquired,
                Some(Step::Wait(bell, look_again)) => (bell, look_again),
            };
            let nap = look_again.min(RECHECK).min(wish.wait);
            tokio::select! {
                () = bell.notified() => {}
                () = self.clock.sleep(nap) => {}
            }
            wish.wait = patience.saturating_sub(self.clock.now().since(began));
        };
        attempt.token = None;
        Ok(acquired)
    }

    async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
        let renewed = self.on(key, |session, now| session.lock.renew(now, token, hold));
        Ok(renewed.unwrap_or(Renewed::Missing))
    }

    async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
        let released = self.on(key, |session, _| session.lock.release(token));
        Ok(released.unwrap_or(Released::NotHeld))
    }

    async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
        let broken = self.on(key, |session, _| session.lock.break_grant(fence));
        Ok(broken.unwrap_or(Broken::NotHeld))
    }

    async fn inspect(&self, key: &Key) -> Result<LockState> {
        let state = self.on(key, |session, now| session.lock.inspect(now));
        Ok(state.unwrap_or_default())
    }

    /// A release in memory waits for nobody, so it is done at once. One that needs a connection is
    /// handed to a task here.
    fn abandon(&self, key: &Key, token: &LockToken) {
        self.on(key, |session, _| session.lock.release(token));
    }
}

/// An acquisition under way. Dropped in its sleep, it leaves neither ticket nor lock.
struct Attempt<'a> {
    driver: &'a RawDriver,
    key: &'a Key,
    token: Option<LockToken>,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if let Some(token) = &self.token {
            self.driver.abandon(self.key, token);
        }
    }
}

/// No facet: all accessors keep their default, `None`.
impl Driver for RawDriver {
    fn info(&self) -> DriverInfo {
        DriverInfo::new(NAME, Shared::Process)
    }
}
