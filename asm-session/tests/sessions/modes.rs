//! Each mode: what it waits for, what it refuses, and that it loses nothing.

use std::sync::Arc;

use crate::world::{World, client, issued, n, stored};
use asm_session::{LockMode, Session, SessionError, Sessions};
use tokio::task::JoinSet;

const WRITING: [LockMode; 5] = [
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Manual,
    LockMode::Off,
];

#[tokio::test]
async fn what_is_stored_is_there_again() {
    for mode in WRITING {
        let sessions = World::new().sessions(mode);
        let id = stored(&sessions).await;
        let mut session = sessions.open(&id, &client()).await.expect("there");
        session
            .write()
            .await
            .expect("free")
            .insert("cart", &["book", "pen"])
            .expect("writable");
        assert!(session.close().await.expect("stored").written);

        let session = sessions.open(&id, &client()).await.expect("there");
        let cart: Option<Vec<String>> = session.get("cart").expect("a list");
        assert_eq!(cart.expect("an entry"), ["book", "pen"], "{mode:?}");
        assert_eq!(session.keys().collect::<Vec<_>>(), ["cart", "n"]);
    }
}

/// Reads before it asks for the lock, as applications do; again on conflict.
async fn increment(sessions: Sessions, id: Arc<str>) {
    loop {
        let mut session = sessions.open(&id, &client()).await.expect("there");
        if increment_once(&mut session).await {
            return;
        }
        session.discard();
    }
}

async fn increment_once(session: &mut Session) -> bool {
    let n: i64 = session.get_or("n", 0).expect("a number");
    tokio::task::yield_now().await;
    match session.write().await {
        Ok(session) => session.insert("n", &(n + 1)).expect("writable"),
        Err(SessionError::Conflict(conflict)) => {
            assert_eq!(conflict.keys(), ["n"]);
            return false;
        }
        Err(error) => panic!("{error}"),
    }
    tokio::task::yield_now().await;
    match session.close().await {
        Ok(saved) => assert!(saved.written),
        Err(SessionError::Conflict(_)) => return false,
        Err(error) => panic!("{error}"),
    }
    true
}

#[tokio::test]
async fn no_writer_loses_another_ones_increment() {
    let mixed = [
        LockMode::Optimistic,
        LockMode::OnWrite,
        LockMode::OnOpen,
        LockMode::Manual,
    ];
    for modes in [
        &mixed[..1],
        &mixed[1..2],
        &mixed[2..3],
        &mixed[3..],
        &mixed[..],
    ] {
        let world = World::new();
        let sessions = world.builder().lock_queue(None).build().expect("sound");
        let id = Arc::<str>::from(stored(&sessions).await);
        let mut writers = JoinSet::new();
        for writer in 0..16 {
            let sessions = sessions.with_mode(modes[writer % modes.len()]);
            let id = Arc::clone(&id);
            writers.spawn(async move {
                for _ in 0..10 {
                    increment(sessions.clone(), Arc::clone(&id)).await;
                }
            });
        }
        writers.join_all().await;
        assert_eq!(n(&sessions, &id).await, 160, "{modes:?}");
    }
}

#[tokio::test]
async fn off_lets_the_last_one_win() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Off);
    let id = stored(&sessions).await;
    let mut first = sessions.open(&id, &client()).await.expect("there");
    let mut second = sessions.open(&id, &client()).await.expect("there");
    first.insert("a", &1).expect("writable");
    second.insert("b", &2).expect("writable");
    first.close().await.expect("stored");
    second.close().await.expect("stored");
    let session = sessions.open(&id, &client()).await.expect("there");
    assert_eq!(session.keys().collect::<Vec<_>>(), ["b", "n"]);
}

#[tokio::test]
async fn read_only_refuses_every_change_and_waits_for_nobody() {
    let world = World::new();
    let sessions = world.sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let holder = sessions.open(&id, &client()).await.expect("free");
    assert!(holder.is_locked());
    let mut reader = sessions
        .with_mode(LockMode::ReadOnly)
        .open(&id, &client())
        .await
        .expect("no wait");
    assert_eq!(reader.get("n").expect("a number"), Some(0));
    assert!(matches!(
        reader.insert("n", &1),
        Err(SessionError::ReadOnly)
    ));
    assert!(matches!(reader.remove("n"), Err(SessionError::ReadOnly)));
    assert!(matches!(reader.clear(), Err(SessionError::ReadOnly)));
    assert!(matches!(reader.add("n", 1), Err(SessionError::ReadOnly)));
    assert!(matches!(
        reader.take::<i64>("n").await,
        Err(SessionError::ReadOnly)
    ));
    assert!(matches!(reader.delete().await, Err(SessionError::ReadOnly)));
    assert!(!reader.close().await.expect("nothing to do").written);
}

#[tokio::test]
async fn a_change_without_the_lock_is_refused_where_the_mode_wants_it() {
    let world = World::new();
    for mode in [LockMode::OnWrite, LockMode::Manual] {
        let sessions = world.sessions(mode);
        let id = stored(&sessions).await;
        let mut session = sessions.open(&id, &client()).await.expect("there");
        assert!(matches!(
            session.insert("n", &1),
            Err(SessionError::NotLocked)
        ));
        session.lock().await.expect("free");
        session.insert("n", &1).expect("locked");
        session.close().await.expect("stored");
        assert!(!session.is_locked());
        assert!(matches!(
            session.insert("n", &2),
            Err(SessionError::NotLocked)
        ));
    }
}

#[tokio::test]
async fn off_overwrites_no_value_when_only_the_id_changes() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Off);
    let id = stored(&sessions).await;
    let mut renewing = sessions.open(&id, &client()).await.expect("there");
    let mut other = sessions.open(&id, &client()).await.expect("there");
    other.insert("n", &1).expect("writable");
    other.close().await.expect("stored");
    renewing
        .regenerate(asm_session::Rotation::renew())
        .expect("writable");
    renewing.close().await.expect("stored");
    assert_eq!(n(&sessions, &id).await, 1);

    // Nor does a confirmation.
    let id = issued(&renewing);
    let mut confirming = sessions.open(&id, &client()).await.expect("there");
    other.insert("n", &2).expect("writable");
    other.close().await.expect("stored");
    assert!(confirming.close().await.expect("confirmed").written);
    assert_eq!(n(&sessions, &id).await, 2);

    let mut following = sessions.open(&id, &client()).await.expect("there");
    other.insert("n", &3).expect("writable");
    other.close().await.expect("stored");
    following.follow().await.expect("there");
    assert_eq!(following.get("n").expect("a number"), Some(3));
}

#[test]
fn sessions_can_be_shared_between_tasks() {
    fn shared<T: Send + Sync>() {}
    shared::<Session>();
    shared::<Sessions>();
}

#[tokio::test]
async fn a_session_opened_for_reading_goes_on_in_another_mode() {
    let world = World::new();
    for mode in WRITING {
        let sessions = world.sessions(LockMode::ReadOnly);
        let id = stored(&sessions).await;
        let mut session = sessions.open(&id, &client()).await.expect("there");
        assert!(matches!(
            session.insert("n", &1),
            Err(SessionError::ReadOnly)
        ));
        session.set_mode(mode).await.expect("free");
        assert_eq!(session.mode(), mode);
        assert_eq!(session.is_locked(), mode == LockMode::OnOpen, "{mode:?}");
        let session = session.write().await.expect("free");
        session.add("n", 1).expect("writable");
        session.close().await.expect("stored");
        assert_eq!(n(&sessions, &id).await, 1, "{mode:?}");
    }
}

#[tokio::test]
async fn the_lock_that_another_mode_takes_tells_of_what_was_read_and_has_changed() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    assert_eq!(session.get_or("n", 0).expect("a number"), 0);
    let mut other = sessions.open(&id, &client()).await.expect("there");
    other.add("n", 1).expect("writable");
    other.close().await.expect("stored");

    let conflict = session.set_mode(LockMode::OnOpen).await;
    assert!(matches!(conflict, Err(SessionError::Conflict(_))));
    assert!(session.is_locked());
    assert_eq!(session.mode(), LockMode::OnOpen);
    assert_eq!(session.get_or("n", 0).expect("a number"), 1);
}

#[tokio::test]
async fn a_mode_whose_lock_does_not_come_is_not_entered() {
    let world = World::new();
    let sessions = world.builder().lock_wait(std::time::Duration::ZERO);
    let sessions = sessions.build().expect("a sound set-up");
    let id = stored(&sessions).await;
    let locking = sessions.with_mode(LockMode::OnOpen);
    let _holder = locking.open(&id, &client()).await.expect("free");
    let reading = sessions.with_mode(LockMode::ReadOnly);
    let mut session = reading.open(&id, &client()).await.expect("there");
    let late = session.set_mode(LockMode::OnOpen).await;
    assert!(matches!(late, Err(SessionError::LockTimeout)));
    assert_eq!(session.mode(), LockMode::ReadOnly);
    assert_eq!(session.get_or("n", 1).expect("a number"), 0);
}
