//! Keys that are split between server and client.

use asm_session::{InvalidReason, Rotation, SessionId, Sessions};
use base64ct::{Base64UrlUnpadded, Encoding};

use super::{MARK, codecs::Sealing, shows};
use crate::{
    Harness,
    sessions::{builder, built, invalid, issued, open, plain, rotated, saved, stored, value},
};

/// Neither an id without the half, nor one with another half, is the session's.
pub async fn opens_no_body_without_the_half_of_its_client(h: &dyn Harness) {
    let sessions = splitting(h).await;
    let id = stored(&sessions, |session| session.insert("text", MARK)).await;
    assert_eq!(id.expose().len(), SessionId::LEN_SPLIT);
    assert!(!shows(&sessions, &id, MARK).await);
    let bytes = bytes(&id);
    let mut others = vec![bytes[..HALF_AT].to_vec()];
    for at in [HALF_AT, bytes.len() - 1] {
        let mut other = bytes.clone();
        other[at] ^= 1;
        others.push(other);
    }
    for other in others {
        let other = SessionId::parse(&Base64UrlUnpadded::encode_string(&other));
        let other = other.expect("well formed");
        invalid(&sessions, &other, InvalidReason::Unknown).await;
    }
    let text = value::<String>(&sessions, &id, "text").await;
    assert_eq!(text.as_deref(), Some(MARK));
}

/// By both ids, as long as both are good.
pub async fn opens_the_body_through_a_renewal(h: &dyn Harness) {
    let sessions = splitting(h).await;
    let first = stored(&sessions, |session| session.insert("n", &1)).await;
    let second = rotated(&sessions, &first, Rotation::renew()).await;
    assert!(bytes(&first)[HALF_AT..] == bytes(&second)[HALF_AT..]);
    let mut session = open(&sessions, &first).await;
    session.insert("n", &2).expect("a change");
    saved(&mut session).await;
    assert_eq!(value(&sessions, &second, "n").await, Some(2));
    // Confirmed now: the first one is a zombie.
    let mut session = open(&sessions, &second).await;
    session.insert("n", &3).expect("a change");
    saved(&mut session).await;
    assert_eq!(value(&sessions, &first, "n").await, Some(3));
}

/// What is stored then opens with the new id alone, also what was there before.
pub async fn binds_the_body_anew_in_an_authentication(h: &dyn Harness) {
    let sessions = splitting(h).await;
    let first = stored(&sessions, |session| session.insert("text", MARK)).await;
    let second = rotated(&sessions, &first, Rotation::Authenticate).await;
    assert!(bytes(&first)[HALF_AT..] != bytes(&second)[HALF_AT..]);
    invalid(&sessions, &first, InvalidReason::Stale).await;
    let text = value::<String>(&sessions, &second, "text").await;
    assert_eq!(text.as_deref(), Some(MARK));
    // The session that was open then goes on.
    let mut session = open(&sessions, &second).await;
    session.insert("n", &1).expect("a change");
    session
        .regenerate(Rotation::Authenticate)
        .expect("a rotation");
    saved(&mut session).await;
    session.insert("n", &2).expect("a change");
    saved(&mut session).await;
    assert_eq!(value(&sessions, &issued(&session), "n").await, Some(2));
}

/// Of two requests that run at once the second lays its changes over what the first one saved.
pub async fn merges_bodies_that_only_the_client_opens(h: &dyn Harness) {
    let (one, two) = (splitting(h).await, splitting(h).await);
    let id = stored(&one, |session| session.insert("n", &1)).await;
    let (mut first, mut second) = (open(&one, &id).await, open(&two, &id).await);
    first.insert("first", &1).expect("a change");
    second.insert("second", &2).expect("a change");
    first.regenerate(Rotation::renew()).expect("a rotation");
    saved(&mut first).await;
    saved(&mut second).await;
    for id in [&id, &issued(&first)] {
        assert_eq!(value(&one, id, "first").await, Some(1));
        assert_eq!(value(&one, id, "second").await, Some(2));
    }
}

/// What operators see, the end, and what lies beside the body.
pub async fn does_without_the_client_what_needs_no_body(h: &dyn Harness) {
    let sessions = splitting(h).await;
    let id = plain(&sessions).await;
    let mut session = open(&sessions, &id).await;
    if sessions.driver().fields().is_some() {
        let mut fields = session.fields().expect("fields");
        fields.set("note", MARK).await.expect("a change");
        session
            .regenerate(Rotation::Authenticate)
            .expect("a rotation");
        saved(&mut session).await;
        let mut fields = session.fields().expect("fields");
        let note = fields
            .get("note")
            .await
            .expect("an answer")
            .expect("a field");
        assert_eq!(note.value::<String>().expect("a text"), MARK);
    }
    if sessions.driver().subjects().is_some() {
        session.bind_subject("user").await.expect("an index");
        saved(&mut session).await;
        let listed = sessions.subject("user").list().await.expect("a list");
        assert_eq!(listed.len(), 1);
    }
    drop(session);
    let operator = sessions.by_handle(id.handle());
    assert!(operator.info().await.expect("an answer").is_some());
    assert!(operator.delete().await.expect("an answer"));
    assert!(operator.info().await.expect("an answer").is_none());
}

/// Old sessions go on as they are, and get a half with their next authentication; and back.
pub async fn splits_keys_of_a_live_system(h: &dyn Harness) {
    let whole = built(builder(h).await.codec(Sealing::new(&[1])));
    let split = splitting(h).await;
    let old = stored(&whole, |session| session.insert("n", &1)).await;
    let renewed = rotated(&split, &old, Rotation::renew()).await;
    assert_eq!(renewed.expose().len(), SessionId::LEN);
    assert_eq!(value(&whole, &renewed, "n").await, Some(1));
    let new = rotated(&split, &renewed, Rotation::Authenticate).await;
    assert_eq!(new.expose().len(), SessionId::LEN_SPLIT);
    assert_eq!(value(&split, &new, "n").await, Some(1));
    let back = rotated(&whole, &new, Rotation::Authenticate).await;
    assert_eq!(back.expose().len(), SessionId::LEN);
    assert_eq!(value(&split, &back, "n").await, Some(1));
}

/// Where the bytes of a half begin in those of an id.
const HALF_AT: usize = 40;

async fn splitting(h: &dyn Harness) -> Sessions {
    built(builder(h).await.codec(Sealing::new(&[1]).splitting()))
}

fn bytes(id: &SessionId) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(&id.expose()).expect("base64")
}
