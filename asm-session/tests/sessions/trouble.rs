//! Lost answers, refusals, and callers that are dropped half-way.

use std::{sync::Arc, time::Duration};

use asm_core::{Broken, Driver, ErrorKind};
use asm_memory::MemoryDriver;
use asm_session::{LockMode, Rotation, Session, SessionError, Sessions};
use asm_testkit::{Chaos, Fault, Layered, Odds, Verb, cancel_at, count_awaits};

use crate::world::{World, client, issued, logged_in, n, one_each, settle, stored};

type Troubled = Arc<Layered<Chaos<Arc<MemoryDriver>>>>;

fn troubled(world: &World, mode: LockMode) -> (Troubled, Sessions) {
    let driver = Arc::new(Chaos::over(Arc::clone(&world.driver), world.clock.clone()));
    let sessions = world
        .builder_over(Arc::clone(&driver))
        .lock_mode(mode)
        .build();
    (driver, sessions.expect("sound"))
}

async fn open(sessions: &Sessions, id: &str) -> Session {
    sessions.open(id, &client()).await.expect("it opens")
}

const WRITING: [LockMode; 4] = [
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Off,
];

#[tokio::test]
async fn a_save_whose_answer_was_lost_counts_once() {
    for mode in WRITING {
        let world = World::new();
        let (driver, sessions) = troubled(&world, mode);
        let id = stored(&sessions).await;
        let mut session = open(&sessions, &id).await;
        session
            .write()
            .await
            .expect("free")
            .add("n", 1)
            .expect("fits");
        driver.layer().next(Verb::Save, Fault::LostAnswer);
        assert!(session.close().await.is_err());
        // Later changes are not mixed into what is sent again.
        if mode == LockMode::Optimistic || mode == LockMode::Off {
            let mut other = open(&sessions, &id).await;
            other.add("n", 10).expect("fits");
            other.close().await.expect("stored");
            session.add("n", 100).expect("fits");
            assert!(session.close().await.expect("resolved").written);
            let expected = if mode == LockMode::Off { 101 } else { 111 };
            assert_eq!(n(&sessions, &id).await, expected, "{mode:?}");
        } else {
            assert!(session.close().await.expect("resolved").written);
            assert_eq!(n(&sessions, &id).await, 1, "{mode:?}");
        }
    }
}

#[tokio::test]
async fn what_is_added_to_a_value_whose_save_had_no_answer_is_added_to_what_became_of_it() {
    for (clears, expected) in [(false, 5 + 10 + 1), (true, 10 + 1)] {
        let world = World::new();
        let (driver, sessions) = troubled(&world, LockMode::Optimistic);
        let id = stored(&sessions).await;
        let mut session = open(&sessions, &id).await;
        if clears {
            session.clear().expect("writable");
        } else {
            session.insert("n", &5).expect("writable");
        }
        driver.layer().next(Verb::Save, Fault::LostAnswer);
        assert!(session.save().await.is_err());
        session.add("n", 1).expect("fits");
        let mut other = open(&sessions, &id).await;
        other.add("n", 10).expect("fits");
        other.close().await.expect("stored");
        assert!(session.close().await.expect("resolved").written);
        assert_eq!(n(&sessions, &id).await, expected);
    }
}

/// The id that a refused save would have given counts for nothing.
#[tokio::test]
async fn a_rotation_that_was_refused_is_replaced_by_the_next_one() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = open(&sessions, &id).await;
    session.regenerate(Rotation::renew()).expect("writable");
    driver
        .layer()
        .next(Verb::Save, Fault::Refused(ErrorKind::Full));
    assert!(session.save().await.is_err());
    session.regenerate(Rotation::renew()).expect("writable");
    session.close().await.expect("stored");
    let new = issued(&session);
    assert_eq!(n(&sessions, &id).await, 0, "nobody is logged out");
    assert_eq!(n(&sessions, &new).await, 0);
    assert_eq!(n(&sessions, &id).await, 0, "nor within the grace");
}

/// A value that is set back while nobody knows whether its change was stored is a change.
#[tokio::test]
async fn what_is_set_back_after_a_save_without_an_answer_is_stored() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = open(&sessions, &id).await;
    session.insert("n", &5).expect("writable");
    driver.layer().next(Verb::Save, Fault::LostAnswer);
    assert!(session.save().await.is_err());
    assert_eq!(n(&sessions, &id).await, 5);
    session.insert("n", &0).expect("writable");
    let mut other = open(&sessions, &id).await;
    other.insert("others", &1).expect("writable");
    other.close().await.expect("stored");
    session.close().await.expect("resolved");
    assert_eq!(n(&sessions, &id).await, 0);
}

#[tokio::test]
async fn a_save_that_did_not_arrive_is_sent_again() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = open(&sessions, &id).await;
    session.add("n", 1).expect("fits");
    for kind in [ErrorKind::Unavailable, ErrorKind::Full, ErrorKind::Other] {
        driver.layer().next(Verb::Save, Fault::Refused(kind));
        assert!(
            matches!(session.save().await, Err(SessionError::Store(error)) if error.kind() == kind)
        );
        let mut other = open(&sessions, &id).await;
        other.add("n", 10).expect("fits");
        other.close().await.expect("stored");
    }
    session.close().await.expect("stored");
    assert_eq!(n(&sessions, &id).await, 31);
    let counters = sessions.counters();
    assert_eq!((counters.refused_writes, counters.unknown_writes), (0, 3));
}

#[tokio::test]
async fn an_outcome_that_cannot_be_resolved_is_never_applied_again() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let id = stored(&sessions).await;
    for arrived in [true, false] {
        let before = n(&sessions, &id).await;
        let mut session = open(&sessions, &id).await;
        session.add("n", 1).expect("fits");
        driver.layer().next(
            Verb::Save,
            if arrived {
                Fault::LostAnswer
            } else {
                Fault::Refused(ErrorKind::Timeout)
            },
        );
        assert!(session.save().await.is_err());
        for _ in 0..8 {
            let mut other = open(&sessions, &id).await;
            other.add("m", 1).expect("fits");
            other.close().await.expect("stored");
        }
        assert!(matches!(session.save().await, Err(error) if error.is_unknown()));
        assert!(!session.is_modified());
        // The session goes on from what is stored.
        session.add("m", 1).expect("fits");
        session.close().await.expect("stored");
        assert_eq!(n(&sessions, &id).await, before + i64::from(arrived));
    }
}

/// Only what nobody can find out is an unknown outcome.
#[tokio::test]
async fn a_transaction_that_is_refused_after_it_was_found_not_to_be_stored_says_why() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = open(&sessions, &id).await;
    let mut other = open(&sessions, &id).await;
    other.add("n", 1).expect("fits");
    other.close().await.expect("stored");
    let timeout = Fault::Refused(ErrorKind::Timeout);
    let (passes, refused) = (Fault::Late(Duration::ZERO), Fault::Refused(ErrorKind::Full));
    for fault in [timeout, timeout, timeout, passes, refused] {
        driver.layer().next(Verb::Save, fault);
    }
    match session.transact(|session| session.add("n", 1)).await {
        Err(SessionError::Store(error)) => assert_eq!(error.kind(), ErrorKind::Full, "{error}"),
        other => panic!("it should be refused: {other:?}"),
    }
    assert_eq!(driver.layer().struck().len(), 5);
    assert_eq!(n(&sessions, &id).await, 1);
}

#[tokio::test]
async fn a_place_whose_save_was_refused_is_given_back() {
    let world = World::new();
    let driver = Arc::new(Chaos::over(Arc::clone(&world.driver), world.clock.clone()));
    let sessions = one_each(world.builder_over(Arc::clone(&driver)));
    let mut session = logged_in(&sessions, "user:1").await.expect("there is room");
    let full = Fault::Refused(ErrorKind::Full);
    driver.layer().next(Verb::Save, full);
    assert!(session.bind_subject("user:2").await.is_err());
    drop(session);
    settle().await;
    logged_in(&sessions, "user:2").await.expect("there is room");
    let user = sessions.subject("user:1");
    assert_eq!(user.list().await.expect("an index").len(), 1);
}

/// Whether a place makes room is asked of the store, and its trouble is no answer.
#[tokio::test]
async fn a_place_that_could_not_be_looked_at_is_not_said_to_be_taken() {
    let world = World::new();
    let driver = Arc::new(Chaos::over(Arc::clone(&world.driver), world.clock.clone()));
    let sessions = one_each(world.builder_over(Arc::clone(&driver)));
    logged_in(&sessions, "user:1").await.expect("there is room");
    world.clock.advance(Duration::from_secs(61)).await;
    let mut second = open(&sessions, &stored(&sessions).await).await;
    driver
        .layer()
        .next(Verb::Open, Fault::Refused(ErrorKind::Unavailable));
    let refused = second.bind_subject("user:1").await;
    assert!(matches!(refused, Err(SessionError::Store(_))));
    let full = second.bind_subject("user:1").await;
    assert!(matches!(full, Err(SessionError::TooManySessions)));
}

/// Two requests of one session bind it to one user, and the place is that of both: before one of
/// them is given the lock to give it back, the other one has saved.
#[tokio::test]
async fn a_place_that_another_request_has_made_good_meanwhile_is_kept() {
    for verb in [Verb::Open, Verb::Acquire] {
        let world = World::new();
        let (driver, sessions) = troubled(&world, LockMode::Optimistic);
        let (id, mut saved) = given_back_late(&world, &driver, &sessions, verb).await;
        saved.close().await.expect("nobody came first");
        world.clock.advance(SECOND).await;
        settle().await;
        assert_eq!(driver.layer().struck().len(), 1, "{verb}");
        let listed = sessions.subject("user:1").list().await;
        assert_eq!(listed.expect("an index").len(), 1, "{verb}");
        let locking = sessions.with_mode(LockMode::OnOpen);
        assert!(open(&locking, &id).await.is_locked(), "{verb}: it is free");
    }
}

/// While one of them is giving it back, the other one waits, and takes it again.
#[tokio::test]
async fn a_place_that_another_request_needs_while_it_is_given_back_is_taken_again() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let (_, mut saved) = given_back_late(&world, &driver, &sessions, Verb::Save).await;
    let (closed, ()) = tokio::join!(saved.close(), async {
        settle().await;
        world.clock.advance(SECOND).await;
    });
    closed.expect("its lock is free by then");
    assert_eq!(driver.layer().struck().len(), 1);
    let listed = sessions.subject("user:1").list().await;
    assert_eq!(listed.expect("an index").len(), 1);
}

/// However a session comes to know of the newer version, it looks for its place before it saves.
#[tokio::test]
async fn a_place_that_was_given_back_is_taken_again_by_whoever_goes_on_from_there() {
    for way in ["save", "lock", "follow", "resend"] {
        let world = World::new();
        let (driver, sessions) = troubled(&world, LockMode::Optimistic);
        let (_, dropped, mut kept) = both_bound(&sessions, &sessions).await;
        if way == "resend" {
            let never_arrived = Fault::Refused(ErrorKind::Timeout);
            driver.layer().next(Verb::Save, never_arrived);
            assert!(kept.save().await.is_err());
        }
        drop(dropped);
        settle().await;
        match way {
            "lock" => kept.lock().await.expect("it is free"),
            "follow" => kept.follow().await.expect("it is there"),
            _ => {}
        }
        kept.close().await.expect("stored");
        let listed = sessions.subject("user:1").list().await;
        assert_eq!(listed.expect("an index").len(), 1, "{way}");
    }
}

/// Nobody is told that room was made, and the place stays known.
#[tokio::test]
async fn a_place_whose_session_could_not_be_marked_is_listed_again() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let (_, dropped, mut kept) = both_bound(&sessions, &sessions).await;
    driver
        .layer()
        .next(Verb::Save, Fault::Refused(ErrorKind::Full));
    drop(dropped);
    settle().await;
    assert_eq!(driver.layer().struck().len(), 1);
    kept.close().await.expect("stored");
    let listed = sessions.subject("user:1").list().await;
    assert_eq!(listed.expect("an index").len(), 1);
}

/// Whoever gives it back was stopped for longer than its lock is held.
#[tokio::test]
async fn a_place_that_is_made_good_after_the_lock_was_lost_is_listed_or_its_session_ends() {
    for (is_alone, revoked) in [(false, false), (false, true), (true, false)] {
        let world = World::new();
        let (driver, sessions) = troubled(&world, LockMode::Optimistic);
        let other = logged_in(&sessions, "user:1").await.expect("an index");
        let user = sessions.subject("user:1");
        if is_alone {
            user.revoke_all().await.expect("an index");
        }
        let late = given_back_late(&world, &driver, &sessions, Verb::Save).await;
        let (id, mut saved) = late;
        world.clock.advance(SECOND - Duration::from_micros(1)).await;
        let broken = sessions.by_handle(saved.handle()).break_lock(None).await;
        assert!(matches!(broken, Ok(Broken::Done { .. })), "{broken:?}");
        saved.close().await.expect("nobody came first");
        if revoked {
            let ended = user.revoke_others(other.handle()).await;
            assert_eq!(ended.expect("an index"), 0, "it is on no list just now");
        }
        world.clock.advance(SECOND).await;
        settle().await;
        // An index that was empty meanwhile cannot tell whether it was revoked.
        let lives = !is_alone && !revoked;
        assert_eq!(sessions.open(&id, &client()).await.is_ok(), lives);
        let listed = user.list().await.expect("an index").len();
        assert_eq!(listed, usize::from(!is_alone) + usize::from(lives));
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// A session that two requests have bound to one user, and neither has saved.
async fn both_bound(one: &Sessions, other: &Sessions) -> (String, Session, Session) {
    let id = stored(one).await;
    let mut both = (open(one, &id).await, open(other, &id).await);
    for session in [&mut both.0, &mut both.1] {
        session.bind_subject("user:1").await.expect("an index");
    }
    (id, both.0, both.1)
}

/// As [`both_bound`], and the first one was dropped: the call by which its place is given back is a
/// second late.
async fn given_back_late(
    world: &World,
    driver: &Troubled,
    sessions: &Sessions,
    verb: Verb,
) -> (String, Session) {
    let untroubled = world.sessions(LockMode::Optimistic);
    let (id, dropped, kept) = both_bound(sessions, &untroubled).await;
    driver.layer().next(verb, Fault::Late(SECOND));
    drop(dropped);
    settle().await;
    (id, kept)
}

/// A flight whose record ends while another one queues for it begins anew.
#[tokio::test]
async fn whoever_queues_for_a_flight_that_is_gone_runs() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let id = stored(&sessions).await;
    let session = open(&sessions, &id).await;
    let (ttl, later) = (Duration::from_secs(60), Duration::from_secs(120));
    let failed = session
        .once("q", ttl, async { Err::<i32, _>(SessionError::app("no")) })
        .await;
    assert!(matches!(failed, Err(SessionError::App(_))));
    driver.layer().next(Verb::Acquire, Fault::Late(later));
    let (value, ()) = tokio::join!(session.once("q", ttl, async { Ok(5) }), async {
        settle().await;
        world.clock.advance(later).await;
    });
    assert_eq!(value.expect("its turn"), 5);
    assert_eq!(driver.layer().struck().len(), 1);
}

#[tokio::test]
async fn a_create_whose_answer_was_lost_is_one_session() {
    for mode in WRITING {
        let world = World::new();
        let (driver, sessions) = troubled(&world, mode);
        let mut session = sessions.create(&client()).expect("random");
        session
            .write()
            .await
            .expect("nobody else knows it")
            .insert("n", &1)
            .expect("writable");
        driver.layer().next(Verb::Create, Fault::LostAnswer);
        assert!(session.save().await.is_err());
        assert!(session.is_new());
        session.insert("n", &2).expect("writable");
        session
            .regenerate(Rotation::Authenticate)
            .expect("writable");
        session.close().await.expect("stored");
        assert!(session.authenticated_at().is_some());
        assert_eq!(world.driver.sessions(), 1);
        assert_eq!(n(&sessions, &issued(&session)).await, 2, "{mode:?}");
    }
}

#[tokio::test]
async fn a_session_whose_creation_is_in_doubt_goes_on_from_what_there_is() {
    for arrived in [true, false] {
        let world = World::new();
        let (driver, sessions) = troubled(&world, LockMode::Optimistic);
        let mut session = sessions.create(&client()).expect("random");
        session.insert("n", &1).expect("writable");
        let fault = if arrived {
            Fault::LostAnswer
        } else {
            Fault::Refused(ErrorKind::Timeout)
        };
        driver.layer().next(Verb::Create, fault);
        assert!(session.save().await.is_err());
        let never = Fault::Refused(ErrorKind::Unknown);
        driver.layer().next(Verb::Create, never);
        assert!(matches!(session.save().await, Err(error) if error.is_unknown()));

        session.insert("m", &2).expect("writable");
        assert!(session.close().await.expect("stored").written);
        assert_eq!(world.driver.sessions(), 1);
        let found = open(&sessions, &issued(&session)).await;
        let n: Option<i64> = found.get("n").expect("a number");
        assert_eq!(
            (n, found.get("m").expect("a number")),
            (arrived.then_some(1), Some(2))
        );
    }
}

#[tokio::test]
async fn a_session_that_is_gone_is_not_gone_on_with() {
    for reads in ["refresh", "follow"] {
        let world = World::new();
        let (_, sessions) = troubled(&world, LockMode::Optimistic);
        let id = stored(&sessions).await;
        let mut session = open(&sessions, &id).await;
        open(&sessions, &id).await.delete().await.expect("deleted");
        let read = match reads {
            "refresh" => session.refresh().await,
            _ => session.follow().await,
        };
        assert!(
            matches!(read, Err(SessionError::Deleted)),
            "{reads}: {read:?}"
        );
    }
}

#[tokio::test]
async fn a_delete_whose_answer_was_lost_can_be_sent_again() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = open(&sessions, &id).await;
    driver.layer().next(Verb::Delete, Fault::LostAnswer);
    assert!(session.delete().await.is_err());
    session.delete().await.expect("deleted");
    assert_eq!(world.driver.sessions(), 0);
}

#[tokio::test]
async fn a_rotation_whose_answer_was_lost_is_told_when_it_is_known() {
    for rotation in [Rotation::renew(), Rotation::Authenticate] {
        let world = World::new();
        let (driver, sessions) = troubled(&world, LockMode::Optimistic);
        let id = stored(&sessions).await;
        let mut session = open(&sessions, &id).await;
        session.regenerate(rotation).expect("writable");
        driver.layer().next(Verb::Save, Fault::LostAnswer);
        assert!(session.close().await.is_err());
        let saved = session.close().await.expect("resolved");
        assert_eq!(saved.id, Some(asm_session::IdRotation::Rotated));
        assert_eq!(n(&sessions, &issued(&session)).await, 0);
    }
}

#[tokio::test]
async fn a_store_that_fails_at_the_open_is_an_error_and_no_new_session() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::OnOpen);
    let id = stored(&sessions).await;
    for fault in [Fault::Refused(ErrorKind::Unavailable), Fault::LostAnswer] {
        driver.layer().next(Verb::Open, fault);
        let opened = sessions.open_or_create(Some(&id), &client()).await;
        assert!(matches!(opened, Err(SessionError::Store(_))));
    }
    assert!(
        open(&sessions, &id).await.is_locked(),
        "the lost answer left no lock"
    );
}

/// Increments `n`, as a request does.
async fn request(sessions: &Sessions, id: &str) -> asm_session::Result<()> {
    let mut session = sessions.open(id, &client()).await?;
    session.write().await?.add("n", 1)?;
    session.save().await?;
    session.add("n", 1)?;
    session.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_request_that_is_dropped_anywhere_leaves_no_lock_and_no_half_of_a_save() {
    for mode in WRITING {
        let world = World::new();
        let (driver, sessions) = troubled(&world, mode);
        driver.layer().pause(2);
        let id = stored(&sessions).await;
        let (done, awaits) = count_awaits(request(&sessions, &id)).await;
        done.expect("stored");
        assert!(awaits >= 12, "three calls, four pauses each: {awaits}");
        for place in 1..=awaits {
            let before = n(&sessions, &id).await;
            let cancelled = cancel_at(place, request(&sessions, &id)).await;
            assert!(cancelled.is_none(), "{mode:?}: dropped at {place}");
            let handle = sessions.by_handle(open_plain(&sessions, &id).await.handle());
            let state = handle.inspect().await.expect("there");
            assert_eq!(
                (state.holder, state.waiters.len()),
                (None, 0),
                "{mode:?} at {place}"
            );
            let after = n(&sessions, &id).await;
            assert!(
                (before..=before + 2).contains(&after),
                "{mode:?} at {place}"
            );
        }
    }
}

async fn open_plain(sessions: &Sessions, id: &str) -> Session {
    open(&sessions.with_mode(LockMode::ReadOnly), id).await
}

#[tokio::test]
async fn a_save_that_was_dropped_anywhere_counts_once_when_it_is_called_again() {
    for mode in WRITING {
        let world = World::new();
        let (driver, sessions) = troubled(&world, mode);
        driver.layer().pause(2);
        let id = stored(&sessions).await;
        for place in 1..=4 {
            let before = n(&sessions, &id).await;
            let mut session = open(&sessions, &id).await;
            session
                .write()
                .await
                .expect("free")
                .add("n", 1)
                .expect("fits");
            assert!(cancel_at(place, session.close()).await.is_none());
            session.close().await.expect("resolved");
            assert_eq!(n(&sessions, &id).await, before + 1, "{mode:?} at {place}");
            assert!(!session.is_locked());
        }
    }
}

#[tokio::test]
async fn a_take_that_was_dropped_anywhere_delivers_when_it_is_called_again() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    driver.layer().pause(2);
    for place in 1..=4 {
        let id = stored(&sessions).await;
        let mut session = open(&sessions, &id).await;
        assert!(cancel_at(place, session.take::<i64>("n")).await.is_none());
        assert_eq!(session.take::<i64>("n").await.expect("stored"), Some(0));
        assert_eq!(session.take::<i64>("n").await.expect("stored"), None);
    }
}

#[tokio::test]
async fn saves_that_are_sent_twice_count_once() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let id = stored(&sessions).await;
    for _ in 0..20 {
        driver.layer().next(Verb::Save, Fault::Twice);
        let mut session = open(&sessions, &id).await;
        session.add("n", 1).expect("fits");
        session.close().await.expect("stored");
    }
    assert_eq!(n(&sessions, &id).await, 20);
    assert_eq!(driver.info().name, "memory");
}

#[tokio::test]
async fn a_counter_whose_answer_was_lost_counts_once() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = open(&sessions, &id).await;
    let mut fields = session.fields().expect("the driver has them");
    for fault in [Fault::LostAnswer, Fault::Refused(ErrorKind::Unavailable)] {
        driver.layer().next(Verb::WriteField, fault);
        fields.incr("views", 1).await.expect("sent again");
    }
    let views = fields.get("views").await.expect("there").expect("a field");
    assert_eq!(views.number().expect("a number"), 2);
}

#[tokio::test]
async fn a_lock_that_cannot_be_released_fails_no_request_that_changed_nothing() {
    let world = World::new();
    let (driver, sessions) = troubled(&world, LockMode::OnOpen);
    let id = stored(&sessions).await;
    let mut session = open(&sessions, &id).await;
    driver
        .layer()
        .next(Verb::Release, Fault::Refused(ErrorKind::Unavailable));
    session.close().await.expect("nothing was to be saved");
    assert!(open(&sessions, &id).await.is_locked(), "it was abandoned");
}

/// Increments `n` until it is known to have happened, or that nobody can know.
async fn increment(sessions: &Sessions, id: &str, reads: bool) -> asm_session::Result<()> {
    loop {
        let mut session = match sessions.open(id, &client()).await {
            Err(SessionError::Store(_)) => continue,
            opened => opened?,
        };
        let written = async {
            if reads {
                let n: i64 = session.get_or("n", 0)?;
                tokio::task::yield_now().await;
                session.write().await?.insert("n", &(n + 1))
            } else {
                session.write().await?.add("n", 1).map(drop)
            }
        };
        if written.await.is_err() {
            session.discard();
            continue;
        }
        loop {
            match session.close().await {
                Ok(_) => return Ok(()),
                Err(error) if error.is_unknown() => return Err(error),
                Err(SessionError::Store(_)) => {}
                Err(SessionError::Conflict(_) | SessionError::LockLost) => break,
                Err(error) => return Err(error),
            }
        }
        session.discard();
    }
}

#[tokio::test]
async fn under_random_trouble_every_acknowledged_increment_counts_once() {
    let odds = Odds {
        refused: 0.1,
        lost_answer: 0.15,
        twice: 0.15,
        ..Odds::default()
    };
    for (seed, mode) in [LockMode::Optimistic, LockMode::OnWrite, LockMode::OnOpen]
        .into_iter()
        .cycle()
        .take(12)
        .enumerate()
    {
        let world = World::new();
        let driver = Arc::new(Chaos::over(Arc::clone(&world.driver), world.clock.clone()));
        let sessions = world
            .builder_over(Arc::clone(&driver))
            .lock_mode(mode)
            .lock_queue(None);
        let sessions = sessions.build().expect("sound");
        let id = Arc::<str>::from(stored(&sessions).await);
        driver.layer().at_random(seed as u64, odds);
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..6 {
            let (sessions, id) = (sessions.clone(), Arc::clone(&id));
            writers.spawn(async move {
                let mut sums = (0, 0);
                for _ in 0..20 {
                    match increment(&sessions, &id, writer % 2 == 0).await {
                        Ok(()) => sums.0 += 1,
                        Err(error) => {
                            assert!(error.is_unknown(), "{error}");
                            sums.1 += 1;
                        }
                    }
                }
                sums
            });
        }
        let sums = writers.join_all().await.into_iter();
        let (known, unknown) = sums.fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        driver.layer().at_random(0, Odds::default());
        let found = n(&sessions, &id).await;
        assert_eq!(known + unknown, 120);
        assert!(
            (known..=known + unknown).contains(&found),
            "{mode:?}: {found}, {known} known"
        );
        assert!(known > 60, "{known} known of 120");
    }
}
