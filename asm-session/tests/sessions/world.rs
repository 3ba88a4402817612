//! What the tests begin with.

use std::{num::NonZeroU32, sync::Arc};

use asm_core::Driver;
use asm_memory::MemoryDriver;
use asm_session::{
    AtCap, Client, ClientKind, IdUpdate, LockMode, Session, Sessions, SessionsBuilder,
};
use asm_testkit::ManualClock;

/// One storage, and the hand that moves its time.
pub(crate) struct World {
    pub(crate) driver: Arc<MemoryDriver>,
    pub(crate) clock: ManualClock,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let driver = MemoryDriver::builder()
            .clock(Arc::new(clock.clone()))
            .build();
        Self {
            driver: Arc::new(driver),
            clock,
        }
    }

    /// Sessions over this storage, as one process would set them up.
    pub(crate) fn builder(&self) -> SessionsBuilder {
        self.builder_over(Arc::clone(&self.driver))
    }

    /// As [`builder`](Self::builder), over a driver that wraps this storage.
    pub(crate) fn builder_over(&self, driver: impl Driver) -> SessionsBuilder {
        Sessions::builder(driver).clock(Arc::new(self.clock.clone()))
    }

    pub(crate) fn sessions(&self, mode: LockMode) -> Sessions {
        self.builder()
            .lock_mode(mode)
            .build()
            .expect("a sound set-up")
    }
}

pub(crate) fn client() -> Client {
    Client::default()
}

/// A client that says what it is.
pub(crate) fn of_kind(kind: ClientKind) -> Client {
    Client {
        kind,
        ..Client::default()
    }
}

/// Sessions of which a user may have one, and is refused another one.
pub(crate) fn one_each(builder: SessionsBuilder) -> Sessions {
    let builder = builder.subject_cap(NonZeroU32::MIN, AtCap::Reject);
    builder.build().expect("a sound set-up")
}

/// The id that the client of this session is to have.
pub(crate) fn issued(session: &Session) -> String {
    match session.id_update() {
        IdUpdate::Issue(id) => id.expose().to_string(),
        other => panic!("an id should be issued, not {other:?}"),
    }
}

/// A stored session with `n` = 0; its id.
pub(crate) async fn stored(sessions: &Sessions) -> String {
    let mut session = sessions
        .with_mode(LockMode::Optimistic)
        .create(&client())
        .expect("random");
    session.insert("n", &0).expect("writable");
    session.close().await.expect("stored");
    issued(&session)
}

/// A stored session of this user, with `n` = 0.
pub(crate) async fn logged_in(sessions: &Sessions, user: &str) -> asm_session::Result<Session> {
    let mut session = sessions.create(&client())?;
    session.insert("n", &0)?;
    session.bind_subject(user).await?;
    session.close().await?;
    Ok(session)
}

/// Lets tasks that are under way come to an end: none of them waits for more than memory.
pub(crate) async fn settle() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

/// What is stored of `n`.
pub(crate) async fn n(sessions: &Sessions, id: &str) -> i64 {
    let session = sessions
        .with_mode(LockMode::ReadOnly)
        .open(id, &client())
        .await
        .expect("there");
    session.get("n").expect("a number").expect("an entry")
}
