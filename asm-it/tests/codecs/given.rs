//! What the tests begin with.

use asm_session::{Client, IdUpdate, Session, SessionId, Sessions, SessionsBuilder};

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
