//! What cases on the session layer begin with: sessions over the driver under test, on the time of
//! its harness.

use std::sync::Arc;

use asm_core::{Driver, Key};
use asm_session::{
    Client, ClientKind, IdUpdate, InvalidReason, LockMode, Result, Saved, Session, SessionError,
    SessionId, Sessions, SessionsBuilder,
};
use serde::de::DeserializeOwned;

use crate::Harness;

/// Sessions over this driver, on the time of the harness, with everything else still to be set.
#[must_use]
pub fn over(h: &dyn Harness, driver: impl Driver) -> SessionsBuilder {
    Sessions::builder(driver).clock(h.clock()).label("case")
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

/// Whether nobody holds the lock of this session, and nobody waits for it.
pub async fn is_free(sessions: &Sessions, handle: Key) -> bool {
    let driver = sessions.driver();
    crate::waiting::is_free(driver, &handle).await
}
