//! What cases on the session layer begin with: sessions over the driver under test, on the time of
//! its harness.

use std::{
    future::Future,
    panic,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_core::{Clock, Driver, Key, Timestamp};
use asm_session::{
    Client, ClientKind, Event, Events, IdUpdate, InvalidReason, Lifetimes, LockMode, Result,
    Rotation, Saved, Session, SessionError, SessionId, Sessions, SessionsBuilder,
};
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use tokio::task::JoinHandle;

use crate::{
    Chaos, Harness, Layered,
    canaries::{Canaries, Drawn},
    clock::turns,
    together::together,
    waiting::{answered, until, waiters},
};

/// Sessions over this driver, on the time of the harness, with everything else still to be set.
pub fn over(h: &dyn Harness, driver: impl Driver) -> SessionsBuilder {
    Sessions::builder(driver)
        .clock(h.clock())
        .id_source(Drawn(Canaries::here()))
        .label("case")
}

/// Sessions over a further handle.
pub async fn builder(h: &dyn Harness) -> SessionsBuilder {
    over(h, h.connect().await)
}

/// Sessions over a further handle, in this mode.
pub async fn sessions(h: &dyn Harness, mode: LockMode) -> Sessions {
    built(builder(h).await.lock_mode(mode))
}

/// Sessions over two handles on one storage, as two processes have them.
pub async fn two(h: &dyn Harness, mode: LockMode) -> (Sessions, Sessions) {
    (sessions(h, mode).await, sessions(h, mode).await)
}

/// The sessions that these settings make.
#[track_caller]
pub fn built(builder: SessionsBuilder) -> Sessions {
    builder.build().expect("settings that make sense")
}

/// A person's browser, always the same.
#[must_use]
pub fn client() -> Client {
    Client {
        ip: Some([192, 0, 2, 7].into()),
        user_agent: Some("Mozilla/5.0".to_owned()),
        kind: ClientKind::Human,
        extra: None,
    }
}

/// A session that this fills and stores, and the id that its client has.
pub async fn stored(
    sessions: &Sessions,
    fill: impl FnOnce(&mut Session) -> Result<()>,
) -> SessionId {
    let sessions = sessions.with_mode(LockMode::Optimistic);
    let mut session = sessions.create(&client()).expect("a new session");
    fill(&mut session).expect("changes of a new session");
    saved(&mut session).await;
    issued(&session)
}

/// A stored session without entries but one, `place`, and the id that its client has.
pub async fn plain(sessions: &Sessions) -> SessionId {
    stored(sessions, |session| session.insert("place", "here")).await
}

/// The session of this id, which opens it.
pub async fn open(sessions: &Sessions, id: &SessionId) -> Session {
    match sessions.open(&id.expose(), &client()).await {
        Ok(session) => session,
        Err(error) => panic!("an open session was expected, and the answer was {error:?}"),
    }
}

/// That this id opens no session, for this reason.
pub async fn invalid(sessions: &Sessions, id: &SessionId, reason: InvalidReason) {
    match sessions.open(&id.expose(), &client()).await {
        Err(SessionError::Invalid(answered)) if answered == reason => {}
        other => panic!("expected the id to be {reason}, and the answer was {other:?}"),
    }
}

/// Stores the changes of a session, which works, and releases its lock.
pub async fn saved(session: &mut Session) -> Saved {
    match session.close().await {
        Ok(saved) => saved,
        Err(error) => panic!("a saved session was expected, and the answer was {error:?}"),
    }
}

/// The id that the client is to be given.
#[track_caller]
#[must_use]
pub fn issued(session: &Session) -> SessionId {
    match session.id_update() {
        IdUpdate::Issue(id) => id.clone(),
        other => panic!("expected an id for the client, and the answer was {other:?}"),
    }
}

/// What is stored in this entry, as a request sees it that comes now. It changes nothing.
pub async fn value<T: DeserializeOwned>(
    sessions: &Sessions,
    id: &SessionId,
    key: &str,
) -> Option<T> {
    let session = open(&sessions.with_mode(LockMode::ReadOnly), id).await;
    session.get(key).expect("a value of this type")
}

/// The sum in this entry; 0 when there is none.
pub async fn number(sessions: &Sessions, id: &SessionId, key: &str) -> i64 {
    value(sessions, id, key).await.unwrap_or_default()
}

/// A handle that others can look through, too: a counting one, a troubled one.
#[must_use]
pub fn shared<D: Driver>(driver: D) -> Arc<D> {
    Arc::new(driver)
}

/// Whether nobody holds the lock of this session, and nobody waits for it, once what was abandoned
/// has come to its end: a driver on threads may need some looks for that.
pub async fn is_free(sessions: &Sessions, handle: Key) -> bool {
    const LOOKS: usize = 2000;
    for _ in 0..LOOKS {
        if crate::waiting::is_free(sessions.driver(), &handle).await {
            return true;
        }
        tokio::task::yield_now().await;
    }
    false
}

/// That a call of the session layer is refused so.
macro_rules! refused {
    ($answer:expr, $($expected:tt)+) => {
        match $answer {
            Err($($expected)+) => {}
            other => panic!(
                "expected {}, and the answer was {other:?}",
                stringify!($($expected)+)
            ),
        }
    };
}
pub(crate) use refused;

/// The keys of the conflict that a call is refused with.
#[track_caller]
#[must_use]
pub fn conflict<T: std::fmt::Debug>(answer: Result<T>) -> Vec<String> {
    match answer {
        Err(SessionError::Conflict(conflict)) if !conflict.is_authentication() => {
            conflict.keys().to_vec()
        }
        other => panic!("expected a conflict, and the answer was {other:?}"),
    }
}

/// Settings with which everybody waits for a lock as long as it takes, and no session ends
/// meanwhile.
pub fn patient(builder: SessionsBuilder) -> SessionsBuilder {
    let lifetimes = Lifetimes::builder().first(None).build();
    builder
        .lock_wait(Duration::from_secs(3600))
        .lock_queue(None)
        .lifetimes(lifetimes.expect("lifetimes that make sense"))
}

/// Runs these at the same moment, and answers what they answered, in the order given.
///
/// They run on threads of their own; but as tasks, with time passing, where waiters learn of a
/// grant by their recheck alone.
pub(crate) async fn raced<T, F>(h: &dyn Harness, racers: impl IntoIterator<Item = F>) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    if h.wakes_waiters() {
        return together(racers).await;
    }
    let tasks: Vec<_> = racers.into_iter().map(tokio::spawn).collect();
    while !tasks.iter().all(JoinHandle::is_finished) {
        h.advance(h.recheck()).await;
    }
    let mut answers = Vec::with_capacity(tasks.len());
    for task in tasks {
        answers.push(match task.await {
            Ok(answer) => answer,
            Err(error) => panic::resume_unwind(error.into_panic()),
        });
    }
    answers
}

/// Lets this come to its end in a task, with a recheck where the driver needs one.
pub(crate) async fn ended<T>(h: &dyn Harness, task: JoinHandle<T>) -> T {
    answered(h, || task.is_finished()).await;
    match task.await {
        Ok(answer) => answer,
        Err(error) => panic::resume_unwind(error.into_panic()),
    }
}

/// Waits until that many wait for the lock of this session.
pub(crate) async fn queued(sessions: &Sessions, handle: Key, waiting: usize) {
    until(async || waiters(sessions.driver(), &handle).await == waiting).await;
}

/// A further handle, on whose calls trouble can be laid.
pub(crate) async fn troubled(h: &dyn Harness) -> Layered<Chaos<Arc<dyn Driver>>> {
    Chaos::over(h.connect().await, TimeOf(h.clock()))
}

#[derive(Debug)]
struct TimeOf(Arc<dyn Clock>);

impl Clock for TimeOf {
    fn now(&self) -> Timestamp {
        self.0.now()
    }
    fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.0.sleep(by)
    }
}

/// Somebody who is told what happens, and remembers it.
#[derive(Clone, Default)]
pub(crate) struct Told(Arc<Mutex<Vec<Event>>>);

impl Told {
    /// What was told so far, or since the last time.
    pub(crate) async fn take(&self) -> Vec<Event> {
        turns().await;
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Event>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Events for Told {
    async fn on(&self, event: Event) {
        self.lock().push(event);
    }
}

/// Replaces an id, and answers the new one. Nobody has used it yet.
pub async fn rotated(sessions: &Sessions, id: &SessionId, rotation: Rotation) -> SessionId {
    let mut session = open(&sessions.with_mode(LockMode::Optimistic), id).await;
    session.regenerate(rotation).expect("a rotation");
    saved(&mut session).await;
    issued(&session)
}

/// Uses an id as a request does that only reads.
pub async fn used(sessions: &Sessions, id: &SessionId) {
    let mut session = open(&sessions.with_mode(LockMode::ReadOnly), id).await;
    saved(&mut session).await;
}
