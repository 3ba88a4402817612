//! What the tests begin with.

use asm_core::{Driver, Key, Open, Opened, Save, Snapshot};
use asm_session::{Client, IdUpdate, Session, SessionId, Sessions, SessionsBuilder};
use bytes::Bytes;

pub(crate) fn client() -> Client {
    Client::default()
}

pub(crate) fn built(builder: SessionsBuilder) -> Sessions {
    builder.build().expect("settings that make sense")
}

/// The id that the client of this session is to have.
pub(crate) fn issued(session: &Session) -> SessionId {
    match session.id_update() {
        IdUpdate::Issue(id) => id.clone(),
        other => panic!("an id should be issued, not {other:?}"),
    }
}

/// A stored session with this text.
pub(crate) async fn stored(sessions: &Sessions, text: &str) -> SessionId {
    let mut session = sessions.create(&client()).expect("randomness");
    session.insert("text", text).expect("a change");
    session.close().await.expect("a save");
    issued(&session)
}

pub(crate) async fn open(sessions: &Sessions, id: &SessionId) -> asm_session::Result<Session> {
    sessions.open(&id.expose(), &client()).await
}

/// What the store holds.
pub(crate) async fn read(driver: &dyn Driver, key: &Key) -> Snapshot {
    match driver.open(key, Open { lock: None }).await {
        Ok(Opened::Found { snapshot, .. }) => snapshot,
        other => panic!("a record was expected, and the answer was {other:?}"),
    }
}

/// Puts these bytes in the place of a record.
pub(crate) async fn replace(driver: &dyn Driver, key: &Key, bytes: Bytes) {
    let before = read(driver, key).await;
    let save = Save {
        op: asm_core::OpId::from_bytes(fastrand::u64(..).to_be_bytes()),
        resend: false,
        guard: asm_core::Guard {
            epoch: before.stamp.epoch,
            version: before.version,
            held: None,
        },
        stamp: before.stamp,
        data: bytes.into(),
        ttl: std::time::Duration::from_secs(3600),
        release: false,
    };
    match driver.save(key, save).await {
        Ok(asm_core::Written::Done { .. }) => {}
        other => panic!("a save was expected, and the answer was {other:?}"),
    }
}
