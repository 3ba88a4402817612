//! The beginning and the end of a session, and how long it lives.

use std::{num::NonZeroUsize, time::Duration};

use asm_session::{
    Bots, Change, Client, ClientKind, Growth, IdUpdate, InvalidReason, Lifetimes, LockMode, Origin,
    Rotation, SessionError,
};
use futures_util::StreamExt;

use crate::world::{World, client, issued, n, of_kind, stored};

const WRITING: [LockMode; 5] = [
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Manual,
    LockMode::Off,
];
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

#[tokio::test]
async fn a_new_session_stores_nothing_before_its_first_save() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let mut session = sessions
        .open_or_create(None, &client())
        .await
        .expect("random");
    assert_eq!((session.origin(), session.is_new()), (Origin::New, true));
    assert!(!session.close().await.expect("nothing to do").written);
    assert!(matches!(session.id_update(), IdUpdate::Keep));
    assert_eq!(world.driver.sessions(), 0);
    session.insert("n", &1).expect("writable");
    assert!(session.close().await.expect("stored").written);
    assert_eq!(n(&sessions, &issued(&session)).await, 1);
}

#[tokio::test]
async fn a_delete_wins_over_a_save_in_every_mode() {
    for mode in WRITING {
        let world = World::new();
        let sessions = world.sessions(mode);
        let id = stored(&sessions).await;
        let mut running = sessions.open(&id, &client()).await.expect("there");
        running.lock().await.expect("free");
        running.insert("n", &1).expect("locked");
        let mut ending = sessions
            .with_mode(LockMode::Optimistic)
            .open(&id, &client())
            .await
            .expect("there");
        ending.delete().await.expect("deleted");
        assert!(
            matches!(running.close().await, Err(SessionError::Deleted)),
            "{mode:?}"
        );
        assert!(matches!(
            running.insert("n", &2),
            Err(SessionError::Deleted)
        ));
        assert!(
            matches!(running.close().await, Err(SessionError::Deleted)),
            "again"
        );
        assert_eq!(world.driver.sessions(), 0);
    }
}

#[tokio::test]
async fn an_insert_after_a_delete_begins_another_session() {
    for mode in WRITING {
        begin_again(mode).await;
    }
}

async fn begin_again(mode: LockMode) {
    let world = World::new();
    let sessions = world.sessions(mode);
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    let old = session.handle();
    session.delete().await.expect("deleted");
    assert!(matches!(session.id_update(), IdUpdate::Remove));
    assert!(matches!(session.remove("n"), Err(SessionError::Deleted)));
    assert!(matches!(session.clear(), Err(SessionError::Deleted)));
    assert!(matches!(session.add("n", 1), Err(SessionError::Deleted)));
    assert!(matches!(
        session.regenerate(Rotation::renew()),
        Err(SessionError::Deleted)
    ));
    assert_eq!(session.get::<i64>("n").expect("nothing"), None);
    assert!(!session.close().await.expect("nothing to do").written);

    session.insert("n", &5).expect("a new one");
    assert_ne!(session.handle(), old);
    session.close().await.expect("stored");
    assert_eq!(n(&sessions, &issued(&session)).await, 5);
    assert_eq!(world.driver.sessions(), 1);
}

#[tokio::test]
async fn dropped_changes_are_told_of_once_and_not_saved() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    session.insert("n", &1).expect("writable");
    session.save().await.expect("stored");
    session.insert("n", &2).expect("writable");
    drop(session);
    assert_eq!(sessions.counters().dropped_changes, 1);
    assert_eq!(n(&sessions, &id).await, 1);

    let mut session = sessions.open(&id, &client()).await.expect("there");
    session.insert("n", &2).expect("writable");
    session.discard();
    drop(session);
    assert_eq!(sessions.counters().dropped_changes, 1);
}

#[tokio::test]
async fn what_is_changed_after_a_refused_save_and_dropped_is_told_of_as_well() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    assert_eq!(session.get_or("n", 1).expect("a number"), 0);
    let mut other = sessions.open(&id, &client()).await.expect("there");
    other.insert("n", &1).expect("writable");
    other.close().await.expect("stored");
    session.insert("n", &2).expect("writable");
    assert!(matches!(
        session.save().await,
        Err(SessionError::Conflict(_))
    ));
    session.insert("m", &2).expect("writable");
    drop(session);
    assert_eq!(sessions.counters().dropped_changes, 1);
}

#[tokio::test]
async fn a_discarded_session_writes_nothing_and_frees_its_lock() {
    let sessions = World::new().sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("free");
    session.insert("n", &1).expect("locked");
    session.set_lifetime(HOUR).expect("writable");
    session
        .regenerate(Rotation::Authenticate)
        .expect("writable");
    session.discard();
    assert!(!session.is_modified() && !session.is_locked());
    assert!(!session.close().await.expect("nothing to do").written);
    assert_eq!(n(&sessions, &id).await, 0);
}

#[tokio::test]
async fn the_first_lifetime_ends_when_the_client_comes_back() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let never_back = stored(&sessions).await;
    let back = stored(&sessions).await;
    world.clock.advance(Duration::from_secs(599)).await;
    sessions
        .open(&back, &client())
        .await
        .expect("there")
        .close()
        .await
        .expect("used");
    world.clock.advance(Duration::from_secs(1)).await;
    assert!(sessions.open(&never_back, &client()).await.is_err());
    world.clock.advance(23 * HOUR).await;
    assert_eq!(n(&sessions, &back).await, 0);
}

#[tokio::test]
async fn a_lifetime_that_grows_by_saves_is_that_of_the_saves_before() {
    let world = World::new();
    let (first, idle) = (HOUR, 24 * HOUR);
    let lifetimes = Lifetimes::builder()
        .first(first)
        .idle(idle)
        .growth(Growth::BySaves)
        .build()
        .expect("sound");
    let builder = world.builder().lifetimes(lifetimes);
    let sessions = builder.build().expect("sound");
    let mut session = sessions.create(&client()).expect("random");
    assert_eq!(session.expires_in(), first);
    for expected in [first, 2 * first, idle, idle] {
        session.add("n", 1).expect("fits");
        session.save().await.expect("stored");
        assert_eq!(session.expires_in(), expected);
    }
}

#[tokio::test]
async fn a_session_that_is_only_read_lives_on_until_its_absolute_deadline() {
    let world = World::new();
    let sessions = world.sessions(LockMode::ReadOnly);
    let id = stored(&sessions).await;
    for _ in 0..29 {
        let mut reader = sessions.open(&id, &client()).await.expect("it is used");
        reader.close().await.expect("touched");
        world.clock.advance(DAY - HOUR).await;
    }
    let mut reader = sessions.open(&id, &client()).await.expect("27 days");
    reader.close().await.expect("touched");
    let mut left = 30 * DAY - 29 * (DAY - HOUR);
    while left > DAY {
        world.clock.advance(DAY - HOUR).await;
        left -= DAY - HOUR;
        sessions
            .open(&id, &client())
            .await
            .expect("used")
            .close()
            .await
            .expect("touched");
    }
    world.clock.advance(left).await;
    match sessions.open(&id, &client()).await {
        Err(SessionError::Invalid(InvalidReason::Expired | InvalidReason::Unknown)) => {}
        other => panic!("30 days are over: {other:?}"),
    }
}

#[tokio::test]
async fn only_an_authentication_begins_the_absolute_lifetime_anew() {
    let world = World::new();
    let lifetimes = Lifetimes::builder()
        .idle(DAY)
        .absolute(DAY)
        .first(None)
        .build();
    let sessions = world
        .builder()
        .lifetimes(lifetimes.expect("sound"))
        .build()
        .expect("sound");
    let id = stored(&sessions).await;
    world.clock.advance(23 * HOUR).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    session.add("n", 1).expect("fits");
    session.set_lifetime(30 * DAY).expect("writable");
    session.close().await.expect("stored");
    assert_eq!(session.expires_in(), HOUR);
    session
        .regenerate(Rotation::Authenticate)
        .expect("writable");
    session.close().await.expect("stored");
    assert_eq!(session.expires_in(), DAY);
    session.require_fresh(HOUR).expect("just now");
    world.clock.advance(2 * HOUR).await;
    assert!(matches!(
        session.require_fresh(HOUR),
        Err(SessionError::NotFresh)
    ));
}

#[tokio::test]
async fn a_stored_lifetime_survives_saves_of_those_who_never_heard_of_it() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut unaware = sessions.open(&id, &client()).await.expect("there");
    let mut session = sessions.open(&id, &client()).await.expect("there");
    session.set_lifetime(7 * DAY).expect("writable");
    session.close().await.expect("stored");
    unaware.add("n", 1).expect("fits");
    unaware.close().await.expect("merged");
    assert_eq!(unaware.expires_in(), 7 * DAY);
}

#[tokio::test]
async fn sessions_of_bots_are_short_or_not_stored() {
    let bot = Client {
        kind: ClientKind::Bot,
        ..Client::default()
    };
    for bots in [Bots::ShortLife, Bots::NoStore, Bots::AsHuman] {
        let world = World::new();
        let lifetimes = Lifetimes::builder().bots(bots).build().expect("sound");
        let sessions = world.builder().lifetimes(lifetimes).build().expect("sound");
        let mut session = sessions.create(&bot).expect("random");
        session.insert("n", &1).expect("writable");
        let written = session.close().await.expect("no error").written;
        assert_eq!(written, bots != Bots::NoStore);
        assert_eq!(
            session.fields().expect("fields").incr("n", 1).await.is_ok(),
            written
        );
        match bots {
            Bots::NoStore => {
                assert_eq!(world.driver.sessions(), 0);
                assert!(matches!(session.id_update(), IdUpdate::Keep));
            }
            Bots::ShortLife => assert_eq!(session.expires_in(), Duration::from_secs(60)),
            _ => assert_eq!(session.expires_in(), Duration::from_secs(600)),
        }
    }
}

#[tokio::test]
async fn watching_shows_what_others_do() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut watching = sessions.open(&id, &client()).await.expect("there");
    let mut changes = watching.watch(NonZeroUsize::MIN).await.expect("a feed");
    let mut other = sessions.open(&id, &client()).await.expect("there");
    other.add("n", 1).expect("fits");
    other.save().await.expect("stored");
    assert!(matches!(changes.next().await, Some(Change::Saved(_))));
    watching.follow().await.expect("there");
    assert_eq!(watching.get("n").expect("a number"), Some(1));
    other.regenerate(Rotation::renew()).expect("writable");
    other.save().await.expect("stored");
    assert!(matches!(changes.next().await, Some(Change::Rotated(_))));
    other.delete().await.expect("deleted");
    assert!(matches!(changes.next().await, Some(Change::Ended)));
    assert!(changes.next().await.is_none());
}

#[tokio::test]
async fn opens_saves_bytes_and_waits_are_counted() {
    let world = World::new();
    let sessions = world.sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let counters = sessions.counters();
    assert_eq!((counters.opens, counters.saves), (0, 1));
    assert!(counters.plain_bytes > 0, "a head, at least");
    assert!(
        counters.stored_bytes > counters.plain_bytes,
        "no codec, and an envelope"
    );

    let first = sessions.open(&id, &client()).await.expect("there");
    let second = tokio::spawn({
        let sessions = sessions.clone();
        async move { sessions.open(&id, &client()).await.map(drop) }
    });
    world.clock.advance(Duration::from_secs(2)).await;
    drop(first);
    second.await.expect("no panic").expect("its turn");
    let counters = sessions.counters();
    assert_eq!((counters.opens, counters.saves), (2, 1));
    assert_eq!(counters.lock_waits, 1);
    assert_eq!(counters.lock_wait_micros, 2_000_000);
}

#[tokio::test]
async fn a_lifetime_of_its_own_is_told_before_the_save_and_after() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    assert_eq!(session.lifetime(), None);
    session.set_lifetime(HOUR).expect("writable");
    assert_eq!(session.lifetime(), Some(HOUR));
    session.close().await.expect("stored");
    let mut session = sessions.open(&id, &client()).await.expect("there");
    assert_eq!(session.lifetime(), Some(HOUR));
    session.set_lifetime(None).expect("writable");
    assert_eq!(session.lifetime(), None);
}

#[test]
fn how_long_sessions_live_is_told() {
    let builder = World::new().builder().lifetimes(Lifetimes::aal2());
    let sessions = builder.build().expect("a sound set-up");
    assert_eq!(*sessions.lifetimes(), Lifetimes::aal2());
}

/// Whoever watches or reads fields of a session is told that it is gone.
#[tokio::test]
async fn a_session_that_was_deleted_meanwhile_is_neither_watched_nor_read() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut watching = sessions.open(&id, &client()).await.expect("there");
    let mut reading = sessions.open(&id, &client()).await.expect("there");
    let mut deleting = sessions.open(&id, &client()).await.expect("there");
    deleting.delete().await.expect("deleted");
    let watched = watching.watch(NonZeroUsize::MIN).await.map(drop);
    assert!(matches!(watched, Err(SessionError::Deleted)), "{watched:?}");
    let mut fields = reading.fields().expect("the facet");
    let read = fields.get("clicks").await.map(drop);
    assert!(matches!(read, Err(SessionError::Deleted)), "{read:?}");
}

#[tokio::test]
async fn a_client_that_says_what_it_is_changes_the_kind_and_one_that_does_not_leaves_it() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let mut session = sessions
        .create(&of_kind(ClientKind::Human))
        .expect("random");
    session.insert("n", &0).expect("writable");
    session.close().await.expect("stored");
    let id = issued(&session);
    let steps = [
        (ClientKind::Unknown, ClientKind::Human),
        (ClientKind::Bot, ClientKind::Bot),
        (ClientKind::Unknown, ClientKind::Bot),
    ];
    for (said, kept) in steps {
        let mut session = sessions.open(&id, &of_kind(said)).await.expect("there");
        session.add("n", 1).expect("fits");
        session.close().await.expect("stored");
        let session = sessions.open(&id, &client()).await.expect("there");
        assert_eq!(session.info().kind(), kept, "after {said:?}");
    }
}
