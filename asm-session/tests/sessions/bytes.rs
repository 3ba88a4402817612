//! Codecs, as sessions meet them.

use std::{
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use asm_core::{
    Codec, CodecContext, CodecName, CodecRole, Delete, Driver, Encoded, Error, ErrorKind,
    FieldFound, FieldName, FieldRead, FieldValue, LocklessFields, Open, Opened, Result,
    SessionStore,
};
use asm_session::{AtCap, InvalidReason, LockMode, Session, SessionError, Sessions};
use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::world::{World, client, issued, logged_in, n, stored};

/// Hides nothing from a cryptographer, and binds the bytes to their session and place.
#[derive(Clone, Debug, Default)]
struct Wax {
    fails: Arc<AtomicBool>,
}

impl Wax {
    fn tag(plain: &[u8], context: &CodecContext<'_>) -> [u8; 32] {
        let digest = Sha256::new()
            .chain_update(context.key.as_bytes())
            .chain_update(format!("{:?}", context.part))
            .chain_update(context.associated)
            .chain_update(plain);
        digest.finalize().into()
    }
}

impl Codec for Wax {
    fn name(&self) -> CodecName {
        CodecName::new("wax").expect("short")
    }

    fn role(&self) -> CodecRole {
        CodecRole::Seal
    }

    fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
        if self.fails.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Other, "no wax"));
        }
        let mut out = Self::tag(&plain, context).to_vec();
        out.extend(plain.iter().map(|byte| !byte));
        Ok(Encoded::Coded(out.into()))
    }

    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
        let broken = || Error::new(ErrorKind::Tampered, "the seal is broken");
        let (tag, hidden) = coded.split_at_checked(32).ok_or_else(broken)?;
        let plain: Bytes = hidden.iter().map(|byte| !byte).collect();
        if tag == Self::tag(&plain, context) {
            Ok(plain)
        } else {
            Err(broken())
        }
    }
}

fn sealed(world: &World) -> (Wax, Sessions) {
    let wax = Wax::default();
    (
        wax.clone(),
        world.builder().codec(wax).build().expect("sound"),
    )
}

async fn refusal(sessions: &Sessions, id: &str) -> SessionError {
    sessions
        .open(id, &client())
        .await
        .expect_err("it should not open")
}

/// What the store holds of a session.
async fn record(world: &World, session: &Session) -> Bytes {
    match world
        .driver
        .open(&session.handle(), Open { lock: None })
        .await
    {
        Ok(Opened::Found { snapshot, .. }) => snapshot.data.into_bytes(),
        other => panic!("{other:?}"),
    }
}

fn fields_of(world: &World) -> &dyn LocklessFields {
    world.driver.fields().expect("the driver has them")
}

#[tokio::test]
async fn a_sealed_session_shows_nothing_and_opens_only_in_its_place() {
    let world = World::new();
    let (_, sessions) = sealed(&world);
    let mut session = sessions.create(&client()).expect("random");
    session.insert("card", &"4111").expect("writable");
    session.close().await.expect("stored");
    let data = record(&world, &session).await;
    assert!(!data.windows(4).any(|bytes| bytes == b"4111"));
    assert_eq!(n(&sessions, &stored(&sessions).await).await, 0);

    // The same bytes under another session's handle.
    let mut other = sessions.create(&client()).expect("random");
    other.insert("n", &1).expect("writable");
    other.close().await.expect("stored");
    let handle = other.handle();
    let Ok(Opened::Found { snapshot, .. }) = world.driver.open(&handle, Open { lock: None }).await
    else {
        panic!("it is there");
    };
    world
        .driver
        .delete(&handle, Delete { only_if: None })
        .await
        .expect("memory");
    let create = asm_core::Create {
        op: asm_core::OpId::from_bytes([1; 8]),
        resend: false,
        stamp: snapshot.stamp,
        data: data.into(),
        ttl: Duration::from_secs(60),
        lock: None,
    };
    world.driver.create(&handle, create).await.expect("memory");
    let refused = refusal(&sessions, &issued(&other)).await;
    assert!(matches!(
        refused,
        SessionError::Invalid(InvalidReason::Tampered)
    ));
}

#[tokio::test]
async fn a_record_that_is_not_sealed_is_tampered_with_where_it_should_be() {
    let world = World::new();
    let plain = world.sessions(LockMode::Optimistic);
    let id = stored(&plain).await;
    let (_, sessions) = sealed(&world);
    let refused = refusal(&sessions, &id).await;
    assert!(matches!(
        refused,
        SessionError::Invalid(InvalidReason::Tampered)
    ));

    let end = plain
        .open(&id, &client())
        .await
        .expect("there")
        .created_at();
    let migrating = world
        .builder()
        .codec(Wax::default())
        .unsealed_until(end + Duration::from_secs(60))
        .build()
        .expect("sound");
    assert_eq!(n(&migrating, &id).await, 0);
    assert!(migrating.counters().unsealed_reads > 0);
}

#[tokio::test]
async fn what_this_process_cannot_read_is_left_alone() {
    let world = World::new();
    let (_, sessions) = sealed(&world);
    let id = stored(&sessions).await;
    let old = world.sessions(LockMode::Optimistic);
    match refusal(&old, &id).await {
        SessionError::Store(error) => assert_eq!(error.kind(), ErrorKind::Unreadable),
        other => panic!("{other}"),
    }
    let created = old.open_or_create(Some(&id), &client()).await;
    assert!(
        matches!(created, Err(SessionError::Store(_))),
        "nor replaced"
    );
    assert_eq!(n(&sessions, &id).await, 0);
}

/// In a rolling deploy, say.
#[tokio::test]
async fn what_this_process_cannot_read_makes_room_last() {
    let world = World::new();
    let (_, sealed) = sealed(&world);
    let two = NonZeroU32::new(2).expect("not 0");
    let builder = world.builder().subject_cap(two, AtCap::EvictIdle);
    let plain = builder.build().expect("sound");
    let unreadable = logged_in(&sealed, "user:1").await.expect("there is room");
    logged_in(&plain, "user:1").await.expect("there is room");
    world.clock.advance(Duration::from_secs(30)).await;

    logged_in(&plain, "user:1").await.expect("room was made");
    assert_eq!(n(&sealed, &issued(&unreadable)).await, 0);
    assert_eq!(world.driver.sessions(), 2);
}

#[tokio::test]
async fn a_seal_that_fails_writes_nothing() {
    let world = World::new();
    let (wax, sessions) = sealed(&world);
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    session.add("n", 1).expect("fits");
    wax.fails.store(true, Ordering::Relaxed);
    assert!(matches!(session.close().await, Err(SessionError::Store(_))));
    wax.fails.store(false, Ordering::Relaxed);
    assert_eq!(n(&sessions, &id).await, 0);
    session.close().await.expect("stored");
    assert_eq!(n(&sessions, &id).await, 1);
}

#[tokio::test]
async fn fields_are_sealed_but_for_counters_that_were_allowed() {
    let world = World::new();
    let (_, sessions) = sealed(&world);
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    let mut fields = session.fields().expect("the driver has them");
    assert!(matches!(
        fields.incr("views", 1).await,
        Err(SessionError::Usage(_))
    ));
    fields.set("card", &"4111").await.expect("any");
    fields.append("log", "4111").await.expect("any");
    fields.append("log", "4112").await.expect("any");
    let card = fields.get("card").await.expect("there").expect("a field");
    assert_eq!(card.value::<String>().expect("a text"), "4111");
    let log = fields.get("log").await.expect("there").expect("a field");
    assert_eq!(log.bytes().expect("bytes"), "41114112");

    let handle = session.handle();
    let Ok(Opened::Found { snapshot, .. }) = world.driver.open(&handle, Open { lock: None }).await
    else {
        panic!("it is there");
    };
    for name in ["card", "log"] {
        let read = FieldRead {
            name: FieldName::new(name).expect("short"),
            epoch: snapshot.stamp.epoch,
            items: None,
        };
        let Ok(FieldFound::Value(FieldValue::Bytes(bytes))) =
            fields_of(&world).read_field(&handle, read).await
        else {
            panic!("it is there");
        };
        assert!(!bytes.windows(4).any(|bytes| bytes == b"4111"));
    }

    let allowed = world.builder().codec(Wax::default()).plain_counters(true);
    let allowed = allowed.build().expect("sound");
    let mut session = allowed.open(&id, &client()).await.expect("there");
    assert_eq!(
        session
            .fields()
            .expect("fields")
            .incr("views", 1)
            .await
            .expect("allowed"),
        1
    );
}

#[tokio::test]
async fn a_session_over_its_limit_is_refused_and_the_old_one_stays() {
    let world = World::new();
    let sessions = world.builder().stored_limit(2048).build().expect("sound");
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    session
        .insert("blob", &"x".repeat(4096))
        .expect("journaled");
    match session.close().await {
        Err(SessionError::Store(error)) => assert_eq!(error.kind(), ErrorKind::TooLarge),
        other => panic!("{other:?}"),
    }
    session.remove("blob").expect("writable");
    session.add("n", 1).expect("fits");
    session.close().await.expect("stored");
    assert_eq!(n(&sessions, &id).await, 1);
}
