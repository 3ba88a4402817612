//! What a session does besides: `Off`, discard, `once`, events, `transact`, policies, `keep_alive`.

use std::{
    collections::BTreeSet,
    future::pending,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use asm_core::ErrorKind;
use asm_session::{
    Client, Decisions, Event, Events, IdRotation, IdUpdate, InvalidReason, LockMode, Profile,
    Rotation, RotationPolicy, SessionError, SessionId, SessionInfo, Undecided, Verdict,
};
use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::task::yield_now;

use crate::{
    Counting, Fault, Harness, Verb,
    clock::turns,
    given,
    log::Log,
    sessions::{
        Told, builder, built, client, invalid, is_free, issued, number, open, over, patient, plain,
        raced, refused, rotated, saved, sessions, stored, troubled, two, used, value,
    },
    waiting::until,
};

/// Every mode in which sessions are changed.
const WRITING: [LockMode; 5] = [
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Manual,
    LockMode::Off,
];

/// How long grants last.
const HOLD: Duration = Duration::from_secs(10);

const MINUTE: Duration = Duration::from_secs(60);

/// `Off` overwrites values: the last write wins.
pub async fn lets_the_last_write_win(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Off).await;
    let id = stored(&first, |session| session.insert("n", &0)).await;
    let (mut one, mut other) = (open(&first, &id).await, open(&second, &id).await);
    let n: i64 = other.get_or("n", 7).expect("a number");
    one.insert("n", &1).expect("a change");
    one.insert("mine", &1).expect("a change");
    saved(&mut one).await;
    other.insert("n", &(n + 2)).expect("a change");
    saved(&mut other).await;
    assert_eq!(number(&first, &id, "n").await, 2);
    assert_eq!(value::<i64>(&first, &id, "mine").await, None);
}

/// An `Off` save that began before a rotation leaves it standing.
pub async fn overwrites_no_rotation(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    for is_used in [false, true] {
        let a = plain(&first).await;
        let mut off = open(&second.with_mode(LockMode::Off), &a).await;
        let b = rotated(&first, &a, Rotation::renew()).await;
        if is_used {
            used(&first, &b).await;
        }
        off.insert("n", &1).expect("a change");
        saved(&mut off).await;
        assert!(matches!(off.id_update(), IdUpdate::Keep));
        assert_eq!(number(&first, &b, "n").await, 1);
        used(&first, &b).await;
        used(&first, &a).await;
        h.advance(Rotation::GRACE).await;
        invalid(&first, &a, InvalidReason::Stale).await;
        assert_eq!(number(&second, &b, "n").await, 1);
    }

    let a = plain(&first).await;
    let mut off = open(&second.with_mode(LockMode::Off), &a).await;
    let b = rotated(&first, &a, Rotation::Authenticate).await;
    off.insert("n", &1).expect("a change");
    refused!(
        off.close().await,
        SessionError::Invalid(InvalidReason::Stale)
    );
    assert_eq!(value::<i64>(&first, &b, "n").await, None);
}

/// An `Off` save that began before a lifetime or a subject was set leaves them standing.
pub async fn overwrites_no_lifetime_and_no_subject(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let id = plain(&first).await;
    let mut off = open(&second.with_mode(LockMode::Off), &id).await;
    let mut other = open(&first, &id).await;
    other.set_lifetime(2 * MINUTE).expect("a lifetime");
    let has_subjects = first.driver().subjects().is_some();
    if has_subjects {
        other
            .bind_subject("user")
            .await
            .expect("a place in the index");
    }
    saved(&mut other).await;
    off.insert("n", &1).expect("a change");
    saved(&mut off).await;

    let session = open(&first, &id).await;
    assert_eq!(session.get::<i64>("n").expect("a number"), Some(1));
    assert!(
        session.expires_in() <= 2 * MINUTE,
        "the usual lifetime is back"
    );
    if has_subjects {
        assert!(session.info().is_bound());
        assert_eq!(
            second.subject("user").list().await.expect("a list").len(),
            1
        );
        let revoked = second.subject("user").revoke_all().await;
        assert_eq!(revoked.expect("an end"), 1);
    } else {
        h.advance(2 * MINUTE).await;
    }
    invalid(&first, &id, InvalidReason::Unknown).await;
}

/// An `Off` save that began before a profile was accepted leaves it standing: it is not asked about
/// again.
pub async fn overwrites_no_profile(h: &dyn Harness) {
    let asked = Asked::default();
    let sessions = built(builder(h).await.decisions(asked.clone()));
    let id = plain(&sessions).await;
    let mut off = open(&sessions.with_mode(LockMode::Off), &id).await;
    let moved = moved_client();
    for _ in 0..2 {
        let mut other = sessions.open(&id.expose(), &moved).await.expect("allowed");
        saved(&mut other).await;
    }
    assert_eq!(asked.times(), 1);
    off.insert("n", &1).expect("a change");
    saved(&mut off).await;
    let again = sessions.open(&id.expose(), &moved).await.expect("allowed");
    assert_eq!(again.get::<i64>("n").expect("a number"), Some(1));
    assert_eq!(asked.times(), 1, "a profile that was accepted is forgotten");
}

/// `Off` never resurrects: not after a delete, not after the end of the lifetime.
pub async fn resurrects_nothing_by_overwriting(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Off).await;
    let id = plain(&first).await;
    let mut off = open(&second, &id).await;
    off.insert("n", &1).expect("a change");
    open(&first, &id).await.delete().await.expect("an end");
    refused!(off.close().await, SessionError::Deleted);
    refused!(off.close().await, SessionError::Deleted);
    invalid(&first, &id, InvalidReason::Unknown).await;

    let id = stored(&first, |session| session.set_lifetime(2 * MINUTE)).await;
    let mut off = open(&second, &id).await;
    off.insert("n", &1).expect("a change");
    h.advance(24 * 60 * MINUTE).await;
    refused!(off.close().await, SessionError::Deleted);
    invalid(&first, &id, InvalidReason::Unknown).await;
    given::swept(first.driver()).await;
    assert_eq!(h.holdings().await, 0);
}

/// A discarded session writes nothing and frees its lock.
pub async fn writes_nothing_that_was_discarded(h: &dyn Harness) {
    let driver = Arc::new(Counting::over(h.connect().await));
    let all = built(over(h, Arc::clone(&driver)));
    for mode in WRITING {
        let id = stored(&all, |session| session.insert("n", &1)).await;
        used(&all, &id).await;
        let mut session = open(&all.with_mode(mode), &id).await;
        let writable = session.write().await.expect("a session to write to");
        writable.insert("n", &2).expect("a change");
        writable.add("m", 2).expect("a change");
        writable.set_lifetime(2 * MINUTE).expect("a change");
        writable
            .regenerate(Rotation::Authenticate)
            .expect("a change");
        driver.layer().take();
        session.discard();
        turns().await;
        assert!(is_free(&all, id.handle()).await, "{mode:?}");
        assert!(!session.is_modified() && !session.is_locked(), "{mode:?}");
        assert!(!saved(&mut session).await.written, "{mode:?}");
        assert!(matches!(session.id_update(), IdUpdate::Keep), "{mode:?}");
        let calls = driver.layer().take();
        assert_eq!(
            calls.of(Verb::Save) + calls.of(Verb::Touch),
            0,
            "{mode:?}: {calls}"
        );
        assert_eq!(session.get::<i64>("n").expect("a number"), Some(1));

        // It can be used on.
        let writable = session.write().await.expect("a session to write to");
        writable.insert("n", &3).expect("a change");
        saved(&mut session).await;
        assert_eq!(number(&all, &id, "n").await, 3);
        assert_eq!(value::<i64>(&all, &id, "m").await, None);
    }
}

/// After `delete` an insert starts a new session under a fresh id.
pub async fn begins_a_new_session_after_a_delete(h: &dyn Harness) {
    for mode in WRITING {
        let sessions = sessions(h, mode).await;
        let old = stored(&sessions, |session| session.insert("old", &1)).await;
        let mut session = open(&sessions, &old).await;
        session.delete().await.expect("an end");
        assert!(matches!(session.id_update(), IdUpdate::Remove));
        session.insert("new", &2).expect("a new session");
        assert!(session.is_new());
        assert_ne!(session.handle(), old.handle());
        saved(&mut session).await;
        let new = issued(&session);
        assert_eq!(new.handle(), session.handle());
        assert_eq!(number(&sessions, &new, "new").await, 2, "{mode:?}");
        assert_eq!(value::<i64>(&sessions, &new, "old").await, None, "{mode:?}");
        invalid(
            &sessions.with_mode(LockMode::ReadOnly),
            &old,
            InvalidReason::Unknown,
        )
        .await;
        session.delete().await.expect("an end");
        invalid(&sessions, &new, InvalidReason::Unknown).await;
        given::swept(sessions.driver()).await;
        assert_eq!(h.holdings().await, 0, "{mode:?}");
    }
}

/// After `delete` every mutator but an insert is `Deleted`, and nothing is stored.
pub async fn refuses_changes_after_a_delete(h: &dyn Harness) {
    for mode in WRITING {
        let sessions = sessions(h, mode).await;
        let id = stored(&sessions, |session| session.insert("n", &1)).await;
        let mut session = open(&sessions, &id).await;
        session.delete().await.expect("an end");
        refused!(session.remove("n"), SessionError::Deleted);
        refused!(session.add("n", 1), SessionError::Deleted);
        refused!(
            session.update("n", |n: Option<i64>| n),
            SessionError::Deleted
        );
        refused!(session.clear(), SessionError::Deleted);
        refused!(session.set_lifetime(MINUTE), SessionError::Deleted);
        refused!(session.regenerate(Rotation::renew()), SessionError::Deleted);
        refused!(
            session.regenerate(Rotation::Authenticate),
            SessionError::Deleted
        );
        refused!(session.take::<i64>("n").await, SessionError::Deleted);
        refused!(session.lock().await, SessionError::Deleted);
        let tried = session.try_update("n", |n: Option<i64>| Ok(n));
        refused!(tried, SessionError::Deleted);
        refused!(session.bind_subject("user:42").await, SessionError::Deleted);
        if let Ok(mut fields) = session.fields() {
            refused!(fields.incr("hits", 1).await, SessionError::Deleted);
            refused!(fields.set("set", "text").await, SessionError::Deleted);
            refused!(fields.append("log", "line").await, SessionError::Deleted);
            refused!(fields.push("list", &1).await, SessionError::Deleted);
            refused!(fields.take("set").await, SessionError::Deleted);
            refused!(fields.clear("set").await, SessionError::Deleted);
        }
        let _ = session.close().await;
        drop(session);
        given::swept(sessions.driver()).await;
        assert_eq!(h.holdings().await, 0, "{mode:?}");
    }
}

/// Of n parallel `once` callers one runs and the others get its value, on several handles.
pub async fn runs_once_for_many_callers(h: &dyn Harness) {
    const CALLERS: usize = 12;

    let handles = [
        built(patient(builder(h).await)),
        built(patient(builder(h).await)),
    ];
    let id = plain(&handles[0]).await;
    let before = given::read(handles[0].driver(), &id.handle()).await;
    let (calls, runs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let values = raced(
        h,
        (0..CALLERS).map(|caller| {
            let (sessions, id) = (
                handles[caller % 2].with_mode(WRITING[caller % 2]),
                id.clone(),
            );
            let (calls, runs) = (Arc::clone(&calls), Arc::clone(&runs));
            async move {
                let session = open(&sessions, &id).await;
                calls.fetch_add(1, Ordering::SeqCst);
                let work = async {
                    // So that the others are there, and most of them wait.
                    while calls.load(Ordering::SeqCst) < CALLERS {
                        yield_now().await;
                    }
                    turns().await;
                    Ok(runs.fetch_add(1, Ordering::SeqCst) + 42)
                };
                session
                    .once("quote", 60 * MINUTE, work)
                    .await
                    .expect("a value")
            }
        }),
    )
    .await;
    assert_eq!(values, [42; CALLERS]);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    let after = given::read(handles[0].driver(), &id.handle()).await;
    assert_eq!(
        before.version, after.version,
        "it is no change of the session"
    );

    let session = open(&handles[0], &id).await;
    let other = session.once("another", MINUTE, async { Ok(7) }).await;
    assert_eq!(other.expect("a value"), 7, "names are apart");
    let neighbour = open(&handles[0], &plain(&handles[0]).await).await;
    let other = neighbour.once("quote", MINUTE, async { Ok(8) }).await;
    assert_eq!(other.expect("a value"), 8, "sessions are apart");
}

/// If the one that runs fails, its caller is told, and the next one runs.
pub async fn runs_the_next_after_a_failure(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let id = plain(&first).await;
    let (one, other) = (open(&first, &id).await, open(&second, &id).await);
    for _ in 0..3 {
        let work = async { Err::<i64, _>(SessionError::app("no quote today")) };
        refused!(one.once("quote", MINUTE, work).await, SessionError::App(_));
    }
    let value = other.once("quote", MINUTE, async { Ok(7) }).await;
    assert_eq!(value.expect("a value"), 7);
    let value = one.once("quote", MINUTE, async { Ok(8) }).await;
    assert_eq!(value.expect("a value"), 7);
}

/// If the one that runs dies, or its process is stopped, the next one runs: at once, or when the hold
/// of the dead is over.
pub async fn runs_the_next_after_a_death(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    for is_dropped in [true, false] {
        let id = plain(&first).await;
        let (one, other) = (open(&first, &id).await, open(&second, &id).await);
        let began = AtomicUsize::new(0);
        let work = async {
            began.fetch_add(1, Ordering::SeqCst);
            pending::<asm_session::Result<i64>>().await
        };
        let mut dying = Box::pin(one.once("quote", MINUTE, work));
        until(async || {
            assert!(dying.as_mut().now_or_never().is_none());
            began.load(Ordering::SeqCst) == 1
        })
        .await;
        let left = if is_dropped {
            drop(dying);
            // Its lock is given up by whatever the driver works on.
            h.advance(Duration::ZERO).await;
            None
        } else {
            h.advance(HOLD).await;
            Some(dying)
        };
        let value = other.once("quote", MINUTE, async { Ok(7) }).await;
        assert_eq!(value.expect("a value"), 7);
        assert_eq!(began.load(Ordering::SeqCst), 1);
        drop(left);
        let value = other.once("quote", MINUTE, async { Ok(8) }).await;
        assert_eq!(value.expect("a value"), 7);
    }
}

/// One that runs for longer than a hold is not taken for dead: whoever cannot wait for it is told so.
pub async fn lets_nobody_overtake_a_long_run(h: &dyn Harness) {
    let patient = sessions(h, LockMode::Optimistic).await;
    let hasty = built(builder(h).await.lock_wait(Duration::ZERO));
    let id = plain(&patient).await;
    let (one, other) = (open(&patient, &id).await, open(&hasty, &id).await);
    let work = async {
        for _ in 0..10 {
            h.advance(HOLD / 2).await;
            let early = other.once("quote", MINUTE, async { Ok(8) });
            refused!(early.await, SessionError::LockTimeout);
        }
        Ok(7)
    };
    let value = one.once("quote", MINUTE, work).await;
    assert_eq!(value.expect("a value"), 7);
    let value = other.once("quote", MINUTE, async { Ok(8) }).await;
    assert_eq!(value.expect("a value"), 7);
}

/// Whoever fails is told of what failed, also when the place cannot be given up; and whoever is done
/// has its value, also when it cannot be stored for the others.
pub async fn tells_what_became_of_the_work_itself(h: &dyn Harness) {
    let driver = Arc::new(troubled(h).await);
    let sessions = built(over(h, Arc::clone(&driver)));
    let id = plain(&sessions).await;
    let session = open(&sessions, &id).await;
    let trouble = Fault::Refused(ErrorKind::Unavailable);
    driver.layer().next(Verb::Release, trouble);
    let work = async { Err::<i32, _>(SessionError::app("the work failed")) };
    let failed = session.once("quote", MINUTE, work).await;
    refused!(failed, SessionError::App(_));
    assert_eq!(driver.layer().struck().len(), 1);
    h.advance(HOLD).await;
    driver.layer().next(Verb::Save, trouble);
    let done = session.once("quote", MINUTE, async { Ok(7) }).await;
    assert_eq!(done.expect("a value"), 7);
    assert_eq!(driver.layer().struck().len(), 2);
}

/// A result is not reused after its ttl, nor after an authentication.
pub async fn reuses_no_result_after_its_ttl(h: &dyn Harness) {
    let sessions = built(patient(builder(h).await));
    let id = plain(&sessions).await;
    let mut session = open(&sessions, &id).await;
    for (value, wait, expected) in [
        (1, Duration::ZERO, 1),
        (2, MINUTE - Duration::from_secs(1), 1),
        (3, Duration::from_secs(1), 3),
        (4, Duration::from_secs(1), 3),
    ] {
        h.advance(wait).await;
        let answer = session.once("quote", MINUTE, async { Ok(value) }).await;
        assert_eq!(answer.expect("a value"), expected);
    }
    session
        .regenerate(Rotation::Authenticate)
        .expect("an authentication");
    saved(&mut session).await;
    let answer = session.once("quote", MINUTE, async { Ok(5) }).await;
    assert_eq!(answer.expect("a value"), 5);
}

/// Events never change an outcome, also when they panic or hang.
pub async fn bears_events_that_panic_or_hang(h: &dyn Harness) {
    for hangs in [false, true] {
        let events = Unruly { hangs };
        let sessions = built(builder(h).await.events(events).lock_wait(Duration::ZERO));
        let a = stored(&sessions, |session| session.insert("n", &1)).await;
        let b = rotated(&sessions, &a, Rotation::renew()).await;
        used(&sessions, &b).await;
        used(&sessions, &a).await;
        h.advance(Rotation::GRACE).await;
        invalid(&sessions, &a, InvalidReason::Stale).await;

        let locking = sessions.with_mode(LockMode::OnOpen);
        let mut holder = open(&locking, &b).await;
        holder.insert("n", &2).expect("a change under the lock");
        let timed_out = locking.open(&b.expose(), &client()).await;
        refused!(timed_out, SessionError::LockTimeout);
        let broken = sessions.by_handle(b.handle()).break_lock(None).await;
        broken.expect("a broken lock");
        refused!(holder.close().await, SessionError::LockLost);
        drop(holder);

        let mut session = open(&sessions, &b).await;
        session.add("n", 1).expect("a sum");
        saved(&mut session).await;
        assert_eq!(number(&sessions, &b, "n").await, 2);
        session.delete().await.expect("an end");
        invalid(&sessions, &b, InvalidReason::Unknown).await;
        // Those that hang are ended.
        h.advance(MINUTE).await;
        assert!(
            sessions.counters().failed_events >= 6,
            "{:?}",
            sessions.counters()
        );
    }
}

/// Each refused write is logged and counted exactly once, and told once, also when the session is
/// dropped after it.
pub async fn tells_once_of_each_refused_write(h: &dyn Harness) {
    type Spoil = &'static str;
    let ways: [(Spoil, LockMode); 7] = [
        ("conflict", LockMode::Optimistic),
        ("delete", LockMode::Optimistic),
        ("authenticate", LockMode::Off),
        ("break", LockMode::OnOpen),
        ("expire", LockMode::OnOpen),
        ("hold", LockMode::Optimistic),
        ("refuse", LockMode::Optimistic),
    ];
    let others = sessions(h, LockMode::Optimistic).await;
    for (spoil, mode) in ways {
        let (driver, told) = (Arc::new(troubled(h).await), Told::default());
        let builder = over(h, Arc::clone(&driver)).events(told.clone());
        let sessions = built(builder.lock_mode(mode).lock_wait(Duration::ZERO));
        let id = stored(&others, |session| session.insert("n", &1)).await;
        let mut session = open(&sessions, &id).await;
        let n: i64 = session.get_or("n", 0).expect("a number");
        session.insert("n", &(n + 1)).expect("a change");
        let mut holder = None;
        match spoil {
            "conflict" => {
                let mut other = open(&others, &id).await;
                other.insert("n", &7).expect("a change");
                saved(&mut other).await;
            }
            "delete" => open(&others, &id).await.delete().await.expect("an end"),
            "authenticate" => drop(rotated(&others, &id, Rotation::Authenticate).await),
            "break" => {
                let broken = others.by_handle(id.handle()).break_lock(None).await;
                broken.expect("a broken lock");
            }
            "expire" => h.advance(HOLD).await,
            "hold" => holder = Some(open(&others.with_mode(LockMode::OnOpen), &id).await),
            _ => {
                let trouble = Fault::Refused(ErrorKind::Full);
                driver.layer().next(Verb::Save, trouble);
            }
        }
        told.take().await;
        let log = Log::capture();
        assert!(session.close().await.is_err(), "{spoil}");
        drop((session, holder));
        let events = told.take().await;
        let lines = log.take_warnings();
        let is_refusal = |event: &&Event| matches!(event, Event::WriteRefused { .. });
        assert_eq!(
            events.iter().filter(is_refusal).count(),
            1,
            "{spoil}: {events:?}"
        );
        let refusals = lines
            .iter()
            .filter(|line| line.text.contains("a write did not happen"));
        assert_eq!(refusals.count(), 1, "{spoil}: {lines:?}");
        let dropped = lines
            .iter()
            .filter(|line| line.text.contains("was dropped"));
        assert_eq!(dropped.count(), 0, "{spoil}: {lines:?}");
        let counters = sessions.counters();
        assert_eq!(
            (counters.refused_writes, counters.dropped_changes),
            (1, 0),
            "{spoil}"
        );
        assert_eq!(
            counters.conflicts,
            u64::from(spoil == "conflict"),
            "{spoil}"
        );
        let is_lost = |event: &&Event| matches!(event, Event::LockLost { .. });
        let lost = u64::from(matches!(spoil, "break" | "expire"));
        assert_eq!(counters.lost_locks, lost, "{spoil}");
        assert_eq!(
            events.iter().filter(is_lost).count() as u64,
            lost,
            "{spoil}: {events:?}"
        );
        turns().await;
    }
}

/// `transact` runs again on conflict, on what is there then, and returns its value once; its closure
/// may borrow.
pub async fn transacts_again_on_conflict(h: &dyn Harness) {
    let driver = Arc::new(troubled(h).await);
    driver.layer().pause(1);
    let slow = built(over(h, Arc::clone(&driver)));
    let others = sessions(h, LockMode::Optimistic).await;
    let id = stored(&others, |session| session.insert("n", &1)).await;
    let (runs, seen) = (AtomicUsize::new(0), std::sync::Mutex::new(Vec::new()));
    let (text, who) = (id.expose(), client());
    let mut transaction = Box::pin(slow.transact(&text, &who, |session| {
        runs.fetch_add(1, Ordering::SeqCst);
        let n: i64 = session.get_or("n", 0)?;
        seen.lock().expect("a list").push(n);
        session.insert("n", &(n + 1))?;
        Ok(n + 1)
    }));
    until(async || {
        assert!(transaction.as_mut().now_or_never().is_none());
        runs.load(Ordering::SeqCst) == 1
    })
    .await;
    let mut other = open(&others, &id).await;
    other.insert("n", &10).expect("a change");
    saved(&mut other).await;
    assert_eq!(transaction.await.expect("a value"), 11);
    assert_eq!(*seen.lock().expect("a list"), [1, 10]);
    assert_eq!(number(&others, &id, "n").await, 11);
    assert!(is_free(&others, id.handle()).await);
    assert_eq!(slow.counters().refused_writes, 0);
}

/// A save whose answer is lost is asked for again, and counts once, whatever others do meanwhile; so
/// a transaction that answers is stored.
pub async fn transacts_once_although_answers_get_lost(h: &dyn Harness) {
    for mode in WRITING {
        for lost in 1..=3 {
            let driver = Arc::new(troubled(h).await);
            let sessions = built(over(h, Arc::clone(&driver)).lock_mode(mode));
            let id = stored(&sessions, |session| session.insert("n", &0)).await;
            for _ in 0..lost {
                driver.layer().next(Verb::Save, Fault::LostAnswer);
            }
            let runs = AtomicUsize::new(0);
            let (text, who) = (id.expose(), client());
            let answer = sessions.transact(&text, &who, |session| {
                runs.fetch_add(1, Ordering::SeqCst);
                session.add("n", 1)
            });
            assert_eq!(answer.await.expect("an answer"), 1, "{mode:?}");
            assert_eq!(runs.load(Ordering::SeqCst), 1, "{mode:?}");
            assert_eq!(number(&sessions, &id, "n").await, 1, "{mode:?}");
            let counters = sessions.counters();
            assert_eq!((counters.refused_writes, counters.unknown_writes), (0, 0));
            assert!(is_free(&sessions, id.handle()).await, "{mode:?}");
        }
    }
}

/// When nobody can tell, it says so, and does not call that worth another try.
pub async fn tells_of_a_transaction_whose_outcome_is_unknown(h: &dyn Harness) {
    for mode in WRITING {
        for fault in [Fault::LostAnswer, Fault::Refused(ErrorKind::Unavailable)] {
            let driver = Arc::new(troubled(h).await);
            let sessions = built(over(h, Arc::clone(&driver)).lock_mode(mode));
            let id = stored(&sessions, |session| session.insert("n", &0)).await;
            for _ in 0..4 {
                driver.layer().next(Verb::Save, fault);
            }
            let (text, who) = (id.expose(), client());
            let answer = sessions.transact(&text, &who, |session| session.add("n", 1));
            let error = answer.await.expect_err("nobody knows");
            assert!(error.is_unknown() && !error.is_retryable(), "{error:?}");
            let counters = sessions.counters();
            assert_eq!((counters.refused_writes, counters.unknown_writes), (0, 1));
            assert_eq!(counters.dropped_changes, 0);
            turns().await;
            let expected = i64::from(fault == Fault::LostAnswer);
            assert_eq!(number(&sessions, &id, "n").await, expected, "{mode:?}");
            assert!(is_free(&sessions, id.handle()).await, "{mode:?}");
        }
    }
}

/// In a session that the request holds: what was changed before is saved, what was read before does
/// not count, a lock that it had it keeps, and a failed one leaves nothing for a later save.
pub async fn transacts_in_a_session_that_is_open(h: &dyn Harness) {
    for mode in WRITING {
        let (first, second) = two(h, LockMode::Optimistic).await;
        let id = stored(&first, |session| session.insert("n", &1)).await;
        for locked in [false, mode != LockMode::Off] {
            let mut session = open(&first.with_mode(mode), &id).await;
            if locked {
                session.lock().await.expect("a free lock");
            }
            let held = session.is_locked();
            let n: i64 = session.get_or("n", 0).expect("a number");
            if !held {
                let mut other = open(&second, &id).await;
                other.insert("n", &(n + 10)).expect("a change");
                saved(&mut other).await;
            }
            let early = session.insert("early", &1).is_ok();
            let sum = session
                .transact(|session| {
                    let n: i64 = session.get_or("n", 0)?;
                    session.insert("n", &(n + 1))?;
                    Ok(n + 1)
                })
                .await
                .expect("a sum");
            let expected = match mode {
                // It does not mind what it overwrites.
                LockMode::Off => n + 1,
                _ if held => n + 1,
                _ => n + 11,
            };
            assert_eq!(sum, expected, "{mode:?}");
            assert!(!early || number(&second, &id, "early").await == 1);
            assert_eq!(session.is_locked(), held, "{mode:?}");
            assert_eq!(number(&second, &id, "n").await, expected, "{mode:?}");

            let failed = session.transact(|session| {
                session.add("n", 1)?;
                Err::<(), _>(SessionError::app("the closure failed"))
            });
            refused!(failed.await, SessionError::App(_));
            assert!(!session.is_modified());
            assert_eq!(session.is_locked(), held, "{mode:?}");
            saved(&mut session).await;
            assert_eq!(number(&second, &id, "n").await, expected, "{mode:?}");
            assert!(is_free(&second, id.handle()).await, "{mode:?}");
        }
    }
}

/// A new id reaches the client through the session that the request holds. Where there is none, the
/// id stays what it is: a policy and a decision wait for a request that can be given one.
pub async fn hands_out_the_new_id_of_a_transaction(h: &dyn Harness) {
    let policy = RotationPolicy::never().every(MINUTE);
    let by_policy = built(builder(h).await.rotation(policy));
    let asked = Asked::replacing(Rotation::Authenticate);
    let by_decision = built(builder(h).await.decisions(asked.clone()));
    for (sessions, who) in [(by_policy, client()), (by_decision, moved_client())] {
        let a = plain(&sessions).await;
        h.advance(MINUTE + Duration::from_secs(1)).await;
        let text = a.expose();
        let sum = sessions.transact(&text, &who, |session| {
            refused!(
                session.regenerate(Rotation::Authenticate),
                SessionError::Usage(_)
            );
            session.add("n", 1)
        });
        assert_eq!(sum.await.expect("a sum"), 1);
        let mut session = sessions.open(&text, &who).await.expect("its id is good");
        let sum = session.transact(|session| session.add("n", 1)).await;
        assert_eq!(sum.expect("a sum"), 2);
        let b = issued(&session);
        assert!(!same(&a, &b));
        let mut session = sessions.open(&b.expose(), &who).await.expect("a new id");
        let sum = session.transact(|session| session.add("n", 1)).await;
        assert_eq!(sum.expect("a sum"), 3);
        assert!(matches!(session.id_update(), IdUpdate::Keep));
    }
    assert_eq!(asked.times(), 2, "what was put off is asked again, once");
}

/// Of n parallel transactions none is lost, and each returns what it made.
pub async fn transacts_for_many(h: &dyn Harness) {
    const REQUESTS: usize = 10;
    const TIMES: usize = 5;

    for modes in [&WRITING[..1], &WRITING[1..2], &WRITING[..4]] {
        let handles = [
            built(patient(builder(h).await)),
            built(patient(builder(h).await)),
        ];
        let id = stored(&handles[0], |session| session.insert("n", &0)).await;
        let made = raced(
            h,
            (0..REQUESTS).map(|request| {
                let mode = modes[request % modes.len()];
                let (sessions, id) = (handles[request % 2].with_mode(mode), id.clone());
                async move {
                    let (text, who, mut made) = (id.expose(), client(), Vec::new());
                    for _ in 0..TIMES {
                        let sum = sessions.transact(&text, &who, |session| {
                            let n: usize = session.get_or("n", 0)?;
                            thread::yield_now();
                            session.insert("n", &(n + 1))?;
                            Ok(n + 1)
                        });
                        made.push(sum.await.expect("a sum"));
                    }
                    made
                }
            }),
        )
        .await;
        let made: Vec<usize> = made.into_iter().flatten().collect();
        let different: BTreeSet<_> = made.iter().copied().collect();
        assert_eq!(different, (1..=REQUESTS * TIMES).collect(), "{modes:?}");
        assert_eq!(value(&handles[0], &id, "n").await, Some(REQUESTS * TIMES));
    }
}

/// A rotation policy that fires rotates once, with the request's save.
pub async fn rotates_once_by_policy(h: &dyn Harness) {
    let driver = Arc::new(Counting::over(h.connect().await));
    let policy = RotationPolicy::never().every(MINUTE);
    let sessions = built(over(h, Arc::clone(&driver)).rotation(policy));
    let a = stored(&sessions, |session| session.insert("n", &1)).await;
    let mut young = open(&sessions, &a).await;
    young.insert("n", &2).expect("a change");
    assert_eq!(saved(&mut young).await.id, None);

    h.advance(MINUTE + Duration::from_secs(1)).await;
    driver.layer().take();
    let mut session = open(&sessions, &a).await;
    session.insert("n", &3).expect("a change");
    assert_eq!(
        session.save().await.expect("a save").id,
        Some(IdRotation::Rotated)
    );
    driver
        .layer()
        .take()
        .expect(&[(Verb::Open, 1), (Verb::Save, 1)]);
    let b = issued(&session);
    session.insert("n", &4).expect("a change");
    assert_eq!(
        saved(&mut session).await.id,
        None,
        "one request, two rotations"
    );
    assert!(same(&b, &issued(&session)));

    let mut next = open(&sessions, &b).await;
    next.insert("n", &5).expect("a change");
    assert_eq!(saved(&mut next).await.id, None);
    assert_eq!(number(&sessions, &b, "n").await, 5);

    let always = RotationPolicy::never().when(|_| true);
    let sessions = built(builder(h).await.rotation(always));
    let mut session = open(&sessions, &b).await;
    for expected in [Some(IdRotation::Rotated), None] {
        session.add("n", 1).expect("a sum that fits");
        assert_eq!(session.save().await.expect("a save").id, expected);
    }
}

/// A policy that fires rotates once also when the save is a merge.
pub async fn rotates_once_by_policy_in_a_merge(h: &dyn Harness) {
    let policy = RotationPolicy::never().when(|_| true);
    let others = sessions(h, LockMode::Optimistic).await;
    let sessions = built(builder(h).await.rotation(policy));
    let a = stored(&others, |session| session.insert("n", &1)).await;
    let mut session = open(&sessions, &a).await;
    session.add("n", 1).expect("a sum");
    let mut other = open(&others, &a).await;
    other.add("n", 10).expect("a sum");
    saved(&mut other).await;
    assert_eq!(saved(&mut session).await.id, Some(IdRotation::Rotated));
    let b = issued(&session);
    assert_eq!(number(&others, &b, "n").await, 12);
    used(&others, &a).await;
    used(&others, &b).await;
}

/// A rotation policy never rotates a zombie, a read-only request, or one that saves nothing.
pub async fn rotates_nothing_else_by_policy(h: &dyn Harness) {
    let driver = Arc::new(Counting::over(h.connect().await));
    let policy = RotationPolicy::never().when(|_| true).grace(MINUTE);
    let sessions = built(over(h, Arc::clone(&driver)).rotation(policy));
    let a = plain(&sessions).await;
    used(&sessions, &a).await;
    driver.layer().take();
    for mode in WRITING.into_iter().chain([LockMode::ReadOnly]) {
        let mut session = open(&sessions.with_mode(mode), &a).await;
        assert_eq!(saved(&mut session).await, asm_session::Saved::default());
        assert!(matches!(session.id_update(), IdUpdate::Keep), "{mode:?}");
    }
    let calls = driver.layer().take();
    assert_eq!(calls.of(Verb::Save), 0, "{calls}");

    let b = rotated(&sessions, &a, Rotation::Renew { grace: MINUTE }).await;
    used(&sessions, &b).await;
    let mut zombie = open(&sessions, &a).await;
    zombie.insert("n", &1).expect("a change");
    assert_eq!(saved(&mut zombie).await.id, None);
    assert!(matches!(zombie.id_update(), IdUpdate::Keep));
    assert_eq!(number(&sessions, &b, "n").await, 1);
    used(&sessions, &a).await;
}

/// A policy on changed profiles rotates with the save of the request that brings one, and no other.
pub async fn rotates_by_policy_on_a_new_profile(h: &dyn Harness) {
    let policy = RotationPolicy::never().on_profile_change();
    let builder = builder(h).await.decisions(Asked::default());
    let sessions = built(builder.rotation(policy));
    let a = plain(&sessions).await;
    let change = async |id: &SessionId, who: &Client| {
        let mut session = sessions.open(&id.expose(), who).await.expect("allowed");
        session.add("n", 1).expect("a sum");
        let rotation = saved(&mut session).await.id;
        let id = rotation.is_some().then(|| issued(&session));
        (rotation, id)
    };
    assert_eq!(change(&a, &client()).await.0, None);
    let (rotation, b) = change(&a, &moved_client()).await;
    assert_eq!(rotation, Some(IdRotation::Rotated));
    let b = b.expect("a new id");
    assert_eq!(change(&b, &moved_client()).await.0, None);
    assert_eq!(change(&b, &client()).await.0, None);
}

/// `keep_alive` keeps a lock through ten holds; when it stops, the lock ends after one hold.
pub async fn keeps_a_lock_alive(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::OnOpen).await;
    let hasty = built(builder(h).await.lock_wait(Duration::ZERO));
    let hasty = hasty.with_mode(LockMode::OnOpen);
    let id = stored(&first, |session| session.insert("n", &1)).await;
    let mut holder = open(&first, &id).await;
    let fence = holder.fence();
    let looked = second.by_handle(id.handle()).inspect().await;
    let seen = looked.expect("a look").holder.expect("a holder");
    assert_eq!((Some(seen.fence), seen.label.as_str()), (fence, "case"));
    {
        let work = async {
            for _ in 0..20 {
                h.advance(HOLD / 2).await;
                let taken = hasty.open(&id.expose(), &client()).await;
                refused!(taken, SessionError::LockTimeout);
            }
        };
        holder.keep_alive(work).await;
    }
    assert_eq!(holder.fence(), fence);
    holder.insert("n", &2).expect("a change under the lock");
    holder.save().await.expect("the lock is held");

    // What was renewed last ends one hold later, and no sooner.
    holder.renew_lock().await.expect("the lock is held");
    h.advance(HOLD - Duration::from_secs(1)).await;
    holder.validate_lock().await.expect("the lock is held");
    holder.insert("n", &3).expect("a change under the lock");
    h.advance(Duration::from_secs(1)).await;
    let next = open(&second, &id).await;
    assert!(next.fence() > fence);
    refused!(holder.close().await, SessionError::LockLost);
    assert_eq!(next.get::<i64>("n").expect("a number"), Some(2));
    drop(next);
    turns().await;
    assert!(is_free(&first, id.handle()).await);
}

/// A keeper keeps the lock of whatever session the insert after a delete began.
pub async fn keeps_the_lock_of_a_session_begun_after_a_delete(h: &dyn Harness) {
    let sessions = sessions(h, LockMode::OnOpen).await;
    let id = plain(&sessions).await;
    let mut session = open(&sessions, &id).await;
    let keeper = session.keeper();
    session.delete().await.expect("an end");
    session.insert("n", &1).expect("a new session");
    session.lock().await.expect("nobody else knows it");
    session.save().await.expect("a stored session");
    assert!(session.is_locked());
    let fence = session.fence();
    let work = async {
        for _ in 0..20 {
            h.advance(HOLD / 2).await;
        }
    };
    keeper.keep_alive(work).await;
    session.insert("n", &2).expect("a change under the lock");
    assert_eq!(session.fence(), fence);
    saved(&mut session).await;
    assert_eq!(number(&sessions, &issued(&session), "n").await, 2);
}

/// `keep_alive` tells of a lock that was lost meanwhile, once, and nothing is written under it.
pub async fn keeps_no_lost_lock_alive(h: &dyn Harness) {
    let told = Told::default();
    let sessions = built(
        builder(h)
            .await
            .lock_mode(LockMode::OnOpen)
            .events(told.clone()),
    );
    let id = stored(&sessions, |session| session.insert("n", &1)).await;
    let mut holder = open(&sessions, &id).await;
    holder.insert("n", &2).expect("a change under the lock");
    let work = async {
        let broken = sessions.by_handle(id.handle()).break_lock(None).await;
        broken.expect("a broken lock");
        h.advance(3 * HOLD).await;
    };
    holder.keep_alive(work).await;
    refused!(holder.insert("n", &3), SessionError::LockLost);
    refused!(holder.save().await, SessionError::LockLost);
    let events = told.take().await;
    let lost = events
        .iter()
        .filter(|event| matches!(event, Event::LockLost { .. }));
    assert_eq!(lost.count(), 1, "{events:?}");
    assert_eq!(number(&sessions, &id, "n").await, 1);
    assert!(is_free(&sessions, id.handle()).await);
    drop(holder);
}

fn moved_client() -> Client {
    Client {
        user_agent: Some("curl/8".to_owned()),
        ..client()
    }
}

fn same(one: &SessionId, other: &SessionId) -> bool {
    *one.expose() == *other.expose()
}

/// Allows every profile, and counts how often it is asked.
#[derive(Clone, Default)]
struct Asked {
    times: Arc<AtomicUsize>,
    verdict: Verdict,
}

impl Asked {
    fn replacing(rotation: Rotation) -> Self {
        Self {
            verdict: Verdict::AllowAnd(rotation),
            ..Self::default()
        }
    }

    fn times(&self) -> usize {
        self.times.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Decisions for Asked {
    async fn profile_changed(
        &self,
        _: &SessionInfo,
        _: &Profile,
        _: &[Profile],
    ) -> Result<Verdict, Undecided> {
        self.times.fetch_add(1, Ordering::SeqCst);
        Ok(self.verdict)
    }
}

/// Listens as badly as one can.
struct Unruly {
    hangs: bool,
}

#[async_trait]
impl Events for Unruly {
    async fn on(&self, event: Event) {
        if self.hangs {
            pending::<()>().await;
        }
        panic!("cannot bear {event:?}");
    }
}
