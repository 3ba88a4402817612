//! What a save makes of a newer version.

use asm_core::Broken;
use asm_session::{LockMode, OnConflict, Rotation, Session, SessionError, Sessions};
use futures_util::FutureExt;

use crate::world::{World, client, n, stored};

async fn two(sessions: &Sessions) -> (String, Session, Session) {
    let id = stored(sessions).await;
    let first = sessions.open(&id, &client()).await.expect("there");
    let second = sessions.open(&id, &client()).await.expect("there");
    (id, first, second)
}

/// The keys of the conflict that a save of this session is refused with.
async fn conflict(session: &mut Session) -> Vec<String> {
    match session.close().await {
        Err(SessionError::Conflict(conflict)) => conflict.keys().to_vec(),
        other => panic!("a conflict was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn keys_that_one_side_changed_are_both_kept() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (id, mut first, mut second) = two(&sessions).await;
    first.insert("a", &1).expect("writable");
    first.remove("n").expect("writable");
    second.insert("b", &2).expect("writable");
    first.close().await.expect("stored");
    second.close().await.expect("merged");
    let session = sessions.open(&id, &client()).await.expect("there");
    assert_eq!(session.keys().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(sessions.counters().merges, 1);
}

#[tokio::test]
async fn a_blind_write_wins_over_a_foreign_write_and_not_over_a_removal() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (id, mut first, mut second) = two(&sessions).await;
    first.insert("n", &1).expect("writable");
    second.insert("n", &2).expect("writable");
    first.close().await.expect("stored");
    second.close().await.expect("merged");
    assert_eq!(n(&sessions, &id).await, 2);

    first.refresh().await.expect("there");
    second.refresh().await.expect("there");
    first.remove("n").expect("writable");
    second.insert("n", &3).expect("writable");
    first.close().await.expect("stored");
    assert_eq!(conflict(&mut second).await, ["n"]);
}

#[tokio::test]
async fn what_was_read_then_written_and_changed_by_another_is_a_conflict() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (id, mut first, mut second) = two(&sessions).await;
    for session in [&mut first, &mut second] {
        let n: i64 = session.get_or("n", 0).expect("a number");
        session.insert("n", &(n + 1)).expect("writable");
    }
    first.close().await.expect("stored");
    // Both made a 1 of a 0: an equal value is a lost increment all the same.
    assert_eq!(conflict(&mut second).await, ["n"]);
    assert_eq!(conflict(&mut second).await, ["n"]);
    assert_eq!(sessions.counters().conflicts, 2);

    second.discard();
    let n: i64 = second.get_or("n", 0).expect("a number");
    assert_eq!(n, 1, "the conflict brought the newer record");
    second.insert("n", &(n + 1)).expect("writable");
    second.close().await.expect("stored");
    assert_eq!(crate::world::n(&sessions, &id).await, 2);
}

#[tokio::test]
async fn an_absent_key_that_was_read_counts() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (_, mut first, mut second) = two(&sessions).await;
    for session in [&mut first, &mut second] {
        assert!(!session.contains_key("owner"));
        session.insert("owner", &"me").expect("writable");
    }
    first.close().await.expect("stored");
    assert_eq!(conflict(&mut second).await, ["owner"]);
}

#[tokio::test]
async fn a_value_that_was_read_counts_also_after_it_was_asked_whether_there_is_one() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (_, mut first, mut second) = two(&sessions).await;
    assert_eq!(second.get_or("n", 1).expect("a number"), 0);
    assert!(second.contains_key("n"));
    first.insert("n", &7).expect("writable");
    first.close().await.expect("stored");
    second.insert("n", &1).expect("writable");
    assert_eq!(conflict(&mut second).await, ["n"]);
}

#[tokio::test]
async fn a_value_read_before_a_merge_never_overwrites_a_newer_one() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (_, mut first, mut second) = two(&sessions).await;
    let old: i64 = second.get_or("n", 0).expect("a number");
    first.insert("n", &7).expect("writable");
    first.close().await.expect("stored");
    second.insert("other", &1).expect("writable");
    second.save().await.expect("merged");
    second.insert("n", &(old + 1)).expect("writable");
    assert_eq!(conflict(&mut second).await, ["n"]);
}

#[tokio::test]
async fn the_policy_decides_conflicts() {
    for (policy, winner) in [(OnConflict::Mine, 2), (OnConflict::Theirs, 1)] {
        let world = World::new();
        let sessions = world.builder().on_conflict(policy).build().expect("sound");
        let (id, mut first, mut second) = two(&sessions).await;
        for (session, value) in [(&mut first, 1), (&mut second, 2)] {
            let _: i64 = session.get_or("n", 0).expect("a number");
            session.insert("n", &value).expect("writable");
            session.insert("k", &value).expect("writable");
        }
        first.close().await.expect("stored");
        second.close().await.expect("decided");
        assert_eq!(n(&sessions, &id).await, winner, "{policy:?}");
        let session = sessions.open(&id, &client()).await.expect("there");
        assert_eq!(
            session.get("k").expect("a number"),
            Some(2),
            "a blind write is none"
        );
    }
}

#[tokio::test]
async fn a_lock_tells_of_what_was_read_and_has_changed_only_where_somebody_minds() {
    for (policy, mode, minds) in [
        (OnConflict::Fail, LockMode::Manual, true),
        (OnConflict::Mine, LockMode::Manual, false),
        (OnConflict::Theirs, LockMode::Manual, false),
        (OnConflict::Fail, LockMode::Off, false),
    ] {
        let builder = World::new().builder().on_conflict(policy);
        let sessions = builder.build().expect("sound");
        let (id, mut other, _) = two(&sessions).await;
        let locking = sessions.with_mode(mode);
        let mut session = locking.open(&id, &client()).await.expect("there");
        assert_eq!(session.get_or("n", 1).expect("a number"), 0);
        other.insert("n", &7).expect("writable");
        other.close().await.expect("stored");
        let locked = session.lock().await;
        assert!(session.is_locked());
        assert_eq!(locked.is_err(), minds, "{policy:?} {mode:?}: {locked:?}");
    }
}

#[tokio::test]
async fn updates_run_again_on_the_newer_value() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (id, mut first, mut second) = two(&sessions).await;
    first.add("n", 2).expect("fits");
    let shown: Option<i64> = second
        .update("n", |n: Option<i64>| Some(n.unwrap_or(0) * 10 + 5))
        .expect("a number");
    assert_eq!(shown, Some(5));
    first.close().await.expect("stored");
    second.close().await.expect("merged");
    assert_eq!(n(&sessions, &id).await, 25);
}

#[tokio::test]
async fn an_overflow_is_an_error_at_once_and_during_a_merge() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (id, mut first, mut second) = two(&sessions).await;
    first.insert("n", &(i64::MAX - 1)).expect("writable");
    second.add("n", 2).expect("fits");
    first.close().await.expect("stored");
    let refused = second.close().await;
    assert!(matches!(refused, Err(SessionError::Overflow { key }) if key == "n"));
    assert_eq!(n(&sessions, &id).await, i64::MAX - 1);
    second.refresh().await.expect("there");
    assert!(matches!(
        second.add("n", 2),
        Err(SessionError::Overflow { .. })
    ));
    assert!(!second.is_modified());
}

#[tokio::test]
async fn write_skew_is_possible_unless_saves_are_strict() {
    for strict in [false, true] {
        let world = World::new();
        let sessions = world.builder().strict(strict).build().expect("sound");
        let (id, mut first, mut second) = two(&sessions).await;
        let _: Option<bool> = first.get("a").expect("a flag");
        let _: Option<bool> = second.get("b").expect("a flag");
        first.insert("b", &true).expect("writable");
        second.insert("a", &true).expect("writable");
        first.close().await.expect("stored");
        assert_eq!(second.close().await.is_err(), strict);
        let session = sessions.open(&id, &client()).await.expect("there");
        assert_eq!(session.contains_key("a"), !strict);
    }
}

#[tokio::test]
async fn a_clear_removes_what_others_add_and_conflicts_with_what_was_read() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (id, mut first, mut second) = two(&sessions).await;
    first.insert("a", &1).expect("writable");
    first.close().await.expect("stored");
    second.clear().expect("writable");
    second.insert("b", &2).expect("writable");
    second.close().await.expect("merged");
    let session = sessions.open(&id, &client()).await.expect("there");
    assert_eq!(session.keys().collect::<Vec<_>>(), ["b"]);

    let (_, mut first, mut second) = two(&sessions).await;
    let _: i64 = second.get_or("n", 0).expect("a number");
    first.insert("n", &1).expect("writable");
    first.close().await.expect("stored");
    second.clear().expect("writable");
    assert_eq!(conflict(&mut second).await, ["n"]);
}

#[tokio::test]
async fn what_is_set_back_or_changes_nothing_is_not_written() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let id = stored(&sessions).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    session.insert("n", &1).expect("writable");
    assert!(session.is_modified());
    session.insert("n", &0).expect("writable");
    assert!(!session.is_modified());
    session.insert("new", &0).expect("writable");
    session.remove("new").expect("writable");
    session.remove("absent").expect("writable");
    session.add("n", 0).expect("fits");
    session
        .update("absent", |absent: Option<i64>| absent)
        .expect("absent");
    assert!(!session.is_modified());
    assert!(!session.close().await.expect("nothing to do").written);
}

#[tokio::test]
async fn follow_shows_what_others_changed_and_keeps_what_was_changed_here() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (_, mut first, mut second) = two(&sessions).await;
    first.insert("n", &1).expect("writable");
    first.insert("a", &1).expect("writable");
    first.close().await.expect("stored");
    second.insert("n", &2).expect("writable");
    second.follow().await.expect("there");
    assert_eq!(second.get("a").expect("a number"), Some(1));
    assert_eq!(second.get("n").expect("a number"), Some(2));
    second.refresh().await.expect("there");
    assert_eq!(second.get("n").expect("a number"), Some(1));
    assert!(!second.is_modified());
}

#[tokio::test]
async fn a_transaction_runs_again_on_conflict_and_answers_once() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (id, mut other, _) = two(&sessions).await;
    other.add("n", 10).expect("fits");
    let (who, mut runs) = (client(), 0);
    let sum = sessions.transact(&id, &who, |session| {
        runs += 1;
        let n: i64 = session.get_or("n", 0)?;
        session.insert("n", &(n + 1))?;
        if runs == 1 {
            let closed = other.close().now_or_never().expect("memory never waits");
            closed.expect("stored");
        } else {
            assert!(session.is_locked());
        }
        Ok(n + 1)
    });
    assert_eq!(sum.await.expect("stored"), 11);
    assert_eq!(runs, 2);
    assert_eq!(n(&sessions, &id).await, 11);
    assert_eq!(
        sessions.counters().conflicts,
        0,
        "nothing was refused for good"
    );
}

#[tokio::test]
async fn a_transaction_whose_lock_is_broken_runs_again_but_not_for_ever() {
    for (times, runs_expected) in [(1, 2), (3, 4), (9, 4)] {
        let sessions = World::new().sessions(LockMode::OnWrite);
        let id = stored(&sessions).await;
        let (who, mut runs) = (client(), 0);
        let sum = sessions.transact(&id, &who, |session| {
            runs += 1;
            if runs <= times {
                let handle = sessions.by_handle(session.handle());
                let broken = handle.break_lock(None).now_or_never();
                let broken = broken.expect("memory never waits").expect("there");
                assert!(matches!(broken, Broken::Done { .. }));
            }
            session.add("n", 1)
        });
        let (sum, refused) = (sum.await, u64::from(times > 3));
        assert_eq!(runs, runs_expected);
        assert_eq!(sessions.counters().refused_writes, refused);
        match refused {
            0 => assert_eq!(sum.expect("stored"), 1),
            _ => assert!(matches!(sum, Err(SessionError::LockLost)), "{sum:?}"),
        }
        assert_eq!(n(&sessions, &id).await, 1 - refused as i64);
    }
}

#[tokio::test]
async fn a_transaction_that_fails_saves_nothing_and_frees_the_lock() {
    let sessions = World::new().sessions(LockMode::OnOpen);
    let id = stored(&sessions).await;
    let failed = sessions
        .transact(&id, &client(), |session| {
            session.insert("n", &1)?;
            Err::<(), _>(SessionError::app("no"))
        })
        .await;
    assert!(matches!(failed, Err(SessionError::App(_))));
    assert_eq!(n(&sessions, &id).await, 0);
    let session = sessions.open(&id, &client()).await.expect("free");
    assert!(session.is_locked());
}

/// Nobody knows what the application made of the value that it saw.
#[tokio::test]
async fn a_strict_save_is_refused_for_what_was_read_before_it_was_updated() {
    let builder = World::new().builder().strict(true);
    let sessions = builder.build().expect("sound");
    for reads in [false, true] {
        let (id, mut first, mut second) = two(&sessions).await;
        if reads {
            assert_eq!(second.get_or("n", 1).expect("a number"), 0);
        }
        let more = |n: Option<i64>| n.map(|n| n + 1);
        second.update("n", more).expect("a number");
        first.insert("n", &21).expect("writable");
        first.close().await.expect("stored");
        if reads {
            assert_eq!(conflict(&mut second).await, ["n"]);
        } else {
            second.close().await.expect("applied again");
            assert_eq!(n(&sessions, &id).await, 22);
        }
    }
}

#[tokio::test]
async fn a_refresh_forgets_also_what_was_changed_beside_the_entries() {
    let sessions = World::new().sessions(LockMode::Optimistic);
    let (_, mut session, _) = two(&sessions).await;
    let hour = std::time::Duration::from_secs(3600);
    session.set_lifetime(hour).expect("writable");
    session
        .regenerate(Rotation::Authenticate)
        .expect("writable");
    assert!(session.is_modified());
    session.refresh().await.expect("there");
    assert!(!session.is_modified());
    assert_eq!(session.lifetime(), None);
    let saved = session.close().await.expect("nothing to store");
    assert_eq!(saved.id, None);
}

/// What a session saved itself is what it knows from then on, however it asked for it before.
#[tokio::test]
async fn a_session_is_in_no_conflict_with_its_own_saves() {
    let asked: [fn(&Session); 3] = [
        |session| assert!(session.get::<i64>("n").expect("a number").is_some()),
        |session| assert!(session.contains_key("n") && !session.contains_key("new")),
        |session| assert_eq!(session.keys().count(), 1),
    ];
    for (way, ask) in asked.into_iter().enumerate() {
        let sessions = World::new().sessions(LockMode::Optimistic);
        let (id, mut session, mut other) = two(&sessions).await;
        ask(&session);
        for turn in 1..4 {
            session.insert("n", &turn).expect("writable");
            session.insert("new", &turn).expect("writable");
            session.save().await.expect("stored");
            // So that the next save is of something newer.
            other.insert("others", &turn).expect("writable");
            other.save().await.expect("merged");
        }
        session.remove("n").expect("writable");
        session.remove("new").expect("writable");
        session.save().await.expect("merged");
        other.insert("others", &4).expect("writable");
        other.save().await.expect("merged");
        session.insert("n", &5).expect("writable");
        session.insert("new", &5).expect("writable");
        let saved = session.close().await;
        saved.unwrap_or_else(|error| panic!("asked in way {way}: {error}"));
        assert_eq!(n(&sessions, &id).await, 5);
    }
}
