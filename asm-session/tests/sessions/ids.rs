//! Ids: how they are replaced, and whom that ends.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use asm_session::{
    Draw, IdRotation, IdSource, IdUpdate, InvalidReason, LockMode, Origin, Rotation,
    RotationPolicy, Session, SessionError, SessionInfo, Sessions,
};

use crate::world::{World, client, issued, n, stored};

const GRACE: Duration = Duration::from_secs(30);
const RENEW: Rotation = Rotation::Renew { grace: GRACE };
const TICK: Duration = Duration::from_micros(1);

async fn open(sessions: &Sessions, id: &str) -> Session {
    sessions.open(id, &client()).await.expect("it opens")
}

async fn refusal(sessions: &Sessions, id: &str) -> InvalidReason {
    match sessions.open(id, &client()).await {
        Err(SessionError::Invalid(reason)) => reason,
        other => panic!("it should not open: {other:?}"),
    }
}

/// Replaces the id; the new one.
async fn rotate(sessions: &Sessions, id: &str, rotation: Rotation) -> String {
    let mut session = open(sessions, id).await;
    session.regenerate(rotation).expect("writable");
    assert_eq!(
        session.close().await.expect("stored").id,
        Some(IdRotation::Rotated)
    );
    issued(&session)
}

/// Uses an id, as its client's next request does.
async fn confirm(sessions: &Sessions, id: &str) {
    open(sessions, id).await.close().await.expect("stored");
}

#[tokio::test]
async fn a_renewal_ends_nothing_until_it_is_used_and_then_leaves_a_zombie_for_its_grace() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let a = stored(&sessions).await;
    let created = open(&sessions, &a).await.created_at();
    let b = rotate(&sessions, &a, RENEW).await;

    world.clock.advance(10 * GRACE).await;
    assert_eq!(
        n(&sessions, &a).await,
        0,
        "the answer was lost: nobody is logged out"
    );
    assert_eq!(sessions.counters().zombies, 0);

    confirm(&sessions, &b).await;
    world.clock.advance(GRACE - TICK).await;
    let mut zombie = open(&sessions, &a).await;
    assert_eq!(zombie.created_at(), created);
    zombie.insert("by", &"zombie").expect("writable");
    zombie.close().await.expect("the same live session");
    assert!(matches!(zombie.id_update(), IdUpdate::Keep));
    assert!(open(&sessions, &b).await.contains_key("by"));

    world.clock.advance(TICK).await;
    assert_eq!(refusal(&sessions, &a).await, InvalidReason::Stale);
    assert_eq!(n(&sessions, &b).await, 0);
}

#[tokio::test]
async fn grace_zero_and_authentication_leave_no_zombie() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let a = stored(&sessions).await;
    let b = rotate(
        &sessions,
        &a,
        Rotation::Renew {
            grace: Duration::ZERO,
        },
    )
    .await;
    confirm(&sessions, &b).await;
    assert_eq!(refusal(&sessions, &a).await, InvalidReason::Stale);

    let c = rotate(&sessions, &b, Rotation::Authenticate).await;
    for ended in [&a, &b] {
        assert_eq!(refusal(&sessions, ended).await, InvalidReason::Stale);
    }
    assert!(open(&sessions, &c).await.authenticated_at().is_some());
}

#[tokio::test]
async fn each_zombie_has_its_own_deadline() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let a = stored(&sessions).await;
    let b = rotate(&sessions, &a, RENEW).await;
    confirm(&sessions, &b).await;
    world.clock.advance(GRACE / 2).await;
    let c = rotate(&sessions, &b, RENEW).await;
    confirm(&sessions, &c).await;
    world.clock.advance(GRACE / 2).await;
    assert_eq!(refusal(&sessions, &a).await, InvalidReason::Stale);
    assert_eq!(n(&sessions, &b).await, 0);
    world.clock.advance(GRACE / 2).await;
    assert_eq!(refusal(&sessions, &b).await, InvalidReason::Stale);
}

#[tokio::test]
async fn after_a_renewal_whoever_runs_on_the_old_id_saves_into_the_same_session() {
    for mode in [LockMode::Optimistic, LockMode::OnWrite, LockMode::Off] {
        let sessions = World::new().sessions(mode);
        let a = stored(&sessions).await;
        let mut running = open(&sessions, &a).await;
        let b = rotate(&sessions, &a, RENEW).await;
        confirm(&sessions, &b).await;
        running
            .write()
            .await
            .expect("free")
            .insert("by", &"old")
            .expect("writable");
        running.close().await.expect("stored");
        assert!(running.is_zombie(), "{mode:?}: the newer version said so");
        assert!(matches!(running.id_update(), IdUpdate::Keep));
        assert!(open(&sessions, &b).await.contains_key("by"), "{mode:?}");
        assert_eq!(sessions.counters().invalid, 0);
    }
}

#[tokio::test]
async fn whoever_meets_a_newer_version_on_a_good_id_is_no_zombie() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let a = stored(&sessions).await;
    let mut running = open(&sessions, &a).await;
    // One that is pending ends nothing.
    rotate(&sessions, &a, RENEW).await;
    running.insert("by", &"old").expect("writable");
    running.save().await.expect("merged");
    assert_eq!(sessions.counters().merges, 1);
    assert!(!running.is_zombie());
    running.regenerate(RENEW).expect("writable");
    let saved = running.close().await.expect("stored");
    assert_eq!(saved.id, Some(IdRotation::Rotated));
}

#[tokio::test]
async fn after_an_authentication_whoever_runs_on_the_old_id_is_refused() {
    for mode in [
        LockMode::Optimistic,
        LockMode::OnWrite,
        LockMode::Manual,
        LockMode::Off,
    ] {
        let sessions = World::new().sessions(mode);
        let a = stored(&sessions).await;
        let mut saving = open(&sessions, &a).await;
        let mut locking = open(&sessions, &a).await;
        if matches!(mode, LockMode::Optimistic | LockMode::Off) {
            saving.insert("by", &"old").expect("writable");
        }
        let b = rotate(&sessions, &a, Rotation::Authenticate).await;
        let stale = |refused| matches!(refused, Err(SessionError::Invalid(InvalidReason::Stale)));
        saving.regenerate(RENEW).expect("journaled");
        assert!(stale(saving.close().await.map(drop)));
        assert!(stale(locking.lock().await));
        assert!(stale(locking.insert("x", &1)));
        let taken = open(&sessions, &b).await;
        assert_eq!(taken.keys().collect::<Vec<_>>(), ["n"], "{mode:?}");
    }
}

#[tokio::test]
async fn of_two_renewals_one_wins_and_of_two_authentications_as_well() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let a = stored(&sessions).await;
    let (mut first, mut second) = (open(&sessions, &a).await, open(&sessions, &a).await);
    for session in [&mut first, &mut second] {
        session.regenerate(RENEW).expect("writable");
    }
    assert_eq!(
        first.close().await.expect("stored").id,
        Some(IdRotation::Rotated)
    );
    second.add("n", 1).expect("fits");
    assert_eq!(
        second.close().await.expect("stored").id,
        Some(IdRotation::AlreadyRotated)
    );
    assert!(matches!(second.id_update(), IdUpdate::Keep));
    let b = issued(&first);
    assert_eq!(n(&sessions, &b).await, 1);

    let (mut first, mut second) = (open(&sessions, &b).await, open(&sessions, &b).await);
    for session in [&mut first, &mut second] {
        session
            .regenerate(Rotation::Authenticate)
            .expect("writable");
    }
    first.close().await.expect("stored");
    match second.close().await {
        Err(SessionError::Conflict(conflict)) => assert!(conflict.is_authentication()),
        other => panic!("the second should be a conflict: {other:?}"),
    }
    assert_eq!(n(&sessions, &issued(&first)).await, 1);
}

#[tokio::test]
async fn a_zombie_is_given_no_id_unless_it_authenticates() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let a = stored(&sessions).await;
    let b = rotate(&sessions, &a, RENEW).await;
    confirm(&sessions, &b).await;

    let mut zombie = open(&sessions, &a).await;
    zombie.regenerate(RENEW).expect("a no-op");
    assert!(!zombie.is_modified());
    let saved = zombie.close().await.expect("nothing to do");
    assert_eq!(
        (saved.written, saved.id),
        (false, Some(IdRotation::AlreadyRotated))
    );
    assert!(matches!(zombie.id_update(), IdUpdate::Keep));

    zombie.regenerate(Rotation::Authenticate).expect("writable");
    zombie.close().await.expect("stored");
    assert_eq!(n(&sessions, &issued(&zombie)).await, 0);
    assert_eq!(refusal(&sessions, &b).await, InvalidReason::Stale);
}

#[tokio::test]
async fn a_zombie_that_deletes_leaves_its_clients_id_alone() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let a = stored(&sessions).await;
    let b = rotate(&sessions, &a, RENEW).await;
    confirm(&sessions, &b).await;
    let mut zombie = open(&sessions, &a).await;
    zombie.delete().await.expect("deleted");
    assert!(matches!(zombie.id_update(), IdUpdate::Keep));
    assert_eq!(refusal(&sessions, &b).await, InvalidReason::Unknown);
}

#[tokio::test]
async fn a_session_that_authenticates_goes_on_under_its_new_id() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let a = stored(&sessions).await;
    let mut session = open(&sessions, &a).await;
    session
        .regenerate(Rotation::Authenticate)
        .expect("writable");
    session.save().await.expect("stored");
    let b = issued(&session);
    // Somebody else moves the record on; this session merges under its new id.
    let mut other = open(&sessions, &b).await;
    other.add("n", 1).expect("fits");
    other.close().await.expect("stored");
    session.add("n", 1).expect("fits");
    session.close().await.expect("merged");
    assert_eq!(n(&sessions, &b).await, 2);
    assert_eq!(issued(&session), b);
}

#[tokio::test]
async fn an_off_save_undoes_no_rotation() {
    let sessions = World::new().sessions(LockMode::Off);
    let a = stored(&sessions).await;
    let mut old = open(&sessions, &a).await;
    old.insert("n", &5).expect("writable");
    let b = rotate(&sessions, &a, RENEW).await;
    let mut lasting = open(&sessions, &b).await;
    lasting
        .set_lifetime(Duration::from_secs(90))
        .expect("writable");
    lasting.close().await.expect("stored");
    old.close().await.expect("stored");
    assert_eq!(n(&sessions, &b).await, 5);
    assert_eq!(n(&sessions, &a).await, 5, "a zombie, not current again");
    assert_eq!(sessions.counters().zombies, 1);
    assert_eq!(
        open(&sessions, &b).await.expires_in(),
        Duration::from_secs(90)
    );
}

#[tokio::test]
async fn a_confirmation_is_one_save_of_its_own_and_also_of_readers() {
    let world = World::new();
    let sessions = world.sessions(LockMode::ReadOnly);
    let a = stored(&sessions).await;
    let b = rotate(&sessions.with_mode(LockMode::Optimistic), &a, RENEW).await;
    let mut reader = open(&sessions, &b).await;
    assert!(reader.close().await.expect("confirmed").written);
    world.clock.advance(GRACE).await;
    assert_eq!(refusal(&sessions, &a).await, InvalidReason::Stale);
    assert!(
        !open(&sessions, &b)
            .await
            .close()
            .await
            .expect("nothing to do")
            .written
    );
}

#[tokio::test]
async fn a_policy_renews_once_with_the_request_s_own_save() {
    let world = World::new();
    let old = |session: &SessionInfo| session.age() > Duration::from_secs(60);
    let policy = RotationPolicy::never().when(old);
    let sessions = world.builder().rotation(policy).build().expect("sound");
    let a = stored(&sessions).await;
    world.clock.advance(Duration::from_secs(61)).await;

    let mut reading = open(&sessions, &a).await;
    assert_eq!(reading.close().await.expect("nothing to save").id, None);

    let mut writing = open(&sessions, &a).await;
    writing.add("n", 1).expect("fits");
    assert_eq!(
        writing.save().await.expect("stored").id,
        Some(IdRotation::Rotated)
    );
    let b = issued(&writing);
    writing.add("n", 1).expect("fits");
    assert_eq!(writing.close().await.expect("stored").id, None);
    assert_eq!(n(&sessions, &b).await, 2);

    confirm(&sessions, &b).await;
    world.clock.advance(Duration::from_secs(20)).await;
    let mut zombie = open(&sessions, &a).await;
    zombie.add("n", 1).expect("fits");
    assert_eq!(zombie.close().await.expect("stored").id, None);
}

/// A renewal that another request made good is over, and the next one is the policy's again.
#[tokio::test]
async fn a_policy_renews_also_after_a_renewal_that_came_too_late() {
    let world = World::new();
    let minute = Duration::from_secs(60);
    let builder = world.builder();
    let builder = builder.rotation(RotationPolicy::never().every(minute));
    let sessions = builder.build().expect("sound");
    let a = stored(&sessions).await;
    let (mut first, mut second) = (open(&sessions, &a).await, open(&sessions, &a).await);
    for session in [&mut first, &mut second] {
        session.regenerate(RENEW).expect("writable");
    }
    first.close().await.expect("stored");
    let late = second.save().await.expect("merged").id;
    assert_eq!(late, Some(IdRotation::AlreadyRotated));
    world.clock.advance(minute + TICK).await;
    second.add("n", 1).expect("fits");
    let saved = second.close().await.expect("stored");
    assert_eq!(saved.id, Some(IdRotation::Rotated));
    assert_eq!(n(&sessions, &issued(&second)).await, 1);
}

#[tokio::test]
async fn malformed_ids_ask_no_store_and_unknown_ones_once() {
    let sessions = World::new().sessions(LockMode::OnOpen);
    let a = stored(&sessions).await;
    let mut forged = a.clone().into_bytes();
    forged[30] = if forged[30] == b'A' { b'B' } else { b'A' };
    let forged = String::from_utf8(forged).expect("ASCII");
    assert_eq!(
        refusal(&sessions, "garbage").await,
        InvalidReason::Malformed
    );
    assert_eq!(refusal(&sessions, &forged).await, InvalidReason::Unknown);
    let holder = open(&sessions, &a).await;
    assert!(holder.is_locked(), "the forger left no lock");

    let replaced = sessions
        .open_or_create(Some(&forged), &client())
        .await
        .expect("a new one");
    assert_eq!(replaced.origin(), Origin::Replaced(InvalidReason::Unknown));
    assert_ne!(
        replaced.handle(),
        holder.handle(),
        "no id of a client's choosing"
    );
}

/// Draws each handle twice, and for the rest what the operating system gives.
#[derive(Debug, Default)]
struct Clashing(AtomicUsize);

impl IdSource for Clashing {
    fn fill(&self, draw: Draw, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        getrandom::fill(bytes)?;
        if draw == Draw::Handle {
            bytes.fill((self.0.fetch_add(1, Ordering::Relaxed) / 2) as u8);
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_clash_of_ids_never_takes_over_a_session() {
    let world = World::new();
    let sessions = world
        .builder()
        .id_source(Clashing::default())
        .build()
        .expect("sound");
    let mut ids = Vec::new();
    for owner in 0..10 {
        let mut session = sessions.create(&client()).expect("random");
        session.insert("n", &owner).expect("writable");
        session.close().await.expect("stored");
        ids.push(issued(&session));
    }
    for (owner, id) in ids.iter().enumerate() {
        assert_eq!(n(&sessions, id).await, owner as i64);
    }
}

/// Gives nothing.
#[derive(Debug)]
struct Broken;

impl IdSource for Broken {
    fn fill(&self, _: Draw, _: &mut [u8]) -> Result<(), getrandom::Error> {
        Err(getrandom::Error::UNEXPECTED)
    }
}

#[tokio::test]
async fn a_generator_that_fails_is_an_error() {
    let world = World::new();
    let sessions = world.builder().id_source(Broken).build().expect("sound");
    assert!(matches!(
        sessions.create(&client()),
        Err(SessionError::NoRandomness(_))
    ));
    assert_eq!(world.driver.sessions(), 0);
}

#[tokio::test]
async fn a_thousand_renewals_keep_the_record_small() {
    let world = World::new();
    let sessions = world.sessions(LockMode::Optimistic);
    let mut id = stored(&sessions).await;
    let mut largest = 0;
    for round in 0..1000 {
        id = rotate(&sessions, &id, RENEW).await;
        confirm(&sessions, &id).await;
        if round == 20 {
            largest = world.driver.bytes();
        }
    }
    assert_eq!(world.driver.bytes(), largest);
    assert_eq!(n(&sessions, &id).await, 0);
}

#[tokio::test]
async fn of_two_first_requests_on_a_new_id_one_confirms_it() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let a = stored(&sessions).await;
    confirm(&sessions, &a).await;
    let b = rotate(&sessions, &a, RENEW).await;
    let (mut first, mut second) = (open(&sessions, &b).await, open(&sessions, &b).await);
    assert!(first.close().await.expect("confirmed").written);
    assert!(!second.close().await.expect("nothing to do").written);
}

#[tokio::test]
async fn a_login_before_the_first_save_is_one_and_a_renewal_is_none() {
    for rotation in [Rotation::Authenticate, Rotation::renew()] {
        let sessions = World::new().sessions(LockMode::Optimistic);
        let mut session = sessions.create(&client()).expect("random");
        session.regenerate(rotation).expect("nobody has its id yet");
        session.insert("n", &0).expect("writable");
        session.close().await.expect("stored");
        let opened = open(&sessions, &issued(&session)).await;
        let logged_in = opened.authenticated_at().is_some();
        assert_eq!(logged_in, rotation == Rotation::Authenticate);
    }
}
