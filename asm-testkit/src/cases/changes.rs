//! Changes of a session: none is lost, none is made twice, and what cannot be is told.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asm_core::{ErrorKind, Opened};
use asm_session::{
    InvalidReason, LockMode, OnConflict, Origin, Rotation, Session, SessionError, SessionId,
    Sessions,
};

use super::round_trips::Racing;
use crate::{
    Counting, Fault, Harness, Odds, Verb, cancel_at,
    clock::turns,
    given,
    log::Log,
    sessions::{
        builder, built, client, conflict, ended, invalid, is_free, number, open, over, patient,
        plain, queued, raced, refused, saved, sessions, stored, troubled, two, used, value,
    },
    together::gap,
    waiting::{until, waiters},
};

const MINUTE: Duration = Duration::from_secs(60);

/// Every mode in which sessions are changed.
const WRITING: [LockMode; 5] = [
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Manual,
    LockMode::Off,
];

/// n writers with locks lose no acknowledged increment, also when each reads before `write()`.
pub async fn loses_no_increment_of_locked_writers(h: &dyn Harness) {
    loses_nothing(h, &[LockMode::OnWrite]).await;
    loses_nothing(h, &[LockMode::OnWrite, LockMode::OnOpen, LockMode::Manual]).await;
}

/// n optimistic writers lose no acknowledged increment.
pub async fn loses_no_increment_of_optimistic_writers(h: &dyn Harness) {
    loses_nothing(h, &[LockMode::Optimistic]).await;
}

/// Writers with and without locks, mixed, lose no acknowledged increment.
pub async fn loses_no_increment_of_mixed_writers(h: &dyn Harness) {
    let mixed = [
        LockMode::Optimistic,
        LockMode::OnWrite,
        LockMode::OnOpen,
        LockMode::Manual,
    ];
    loses_nothing(h, &mixed).await;
}

/// Parallel sets of different keys keep both.
pub async fn keeps_parallel_sets_of_different_keys(h: &dyn Harness) {
    const WRITERS: usize = 12;

    let handles = [patient_sessions(h).await, patient_sessions(h).await];
    let id = plain(&handles[0]).await;
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let mode = WRITING[writer % 4];
        let (sessions, id) = (handles[writer % 2].with_mode(mode), id.clone());
        // Who takes no lock with the open has read before anybody writes.
        let early = match mode {
            LockMode::OnOpen => None,
            _ => Some(open(&sessions, &id).await),
        };
        writers.push(async move {
            let mut session = match early {
                Some(session) => session,
                None => open(&sessions, &id).await,
            };
            let session = session.write().await.expect("a session to write to");
            session
                .insert(&format!("key {writer}"), &writer)
                .expect("a change");
            saved(session).await;
        });
    }
    raced(h, writers).await;
    for writer in 0..WRITERS {
        let kept = value::<usize>(&handles[0], &id, &format!("key {writer}")).await;
        assert_eq!(kept, Some(writer));
    }
}

/// A lock excludes every other saver until it ends.
pub async fn excludes_other_savers_from_a_lock(h: &dyn Harness) {
    for mode in [LockMode::Optimistic, LockMode::Off] {
        let (first, second) = two(h, mode).await;
        let id = plain(&first).await;
        let mut holder = open(&first.with_mode(LockMode::OnOpen), &id).await;
        let mut other = open(&second, &id).await;
        let early = value::<i64>(&second, &id, "theirs").await;

        other.insert("theirs", &1).expect("a change");
        let (second, handle) = (second.clone(), id.handle());
        let closing = tokio::spawn(async move { saved(&mut other).await });
        let waits = async || waiters(second.driver(), &handle).await == 1;
        until(async || closing.is_finished() || waits().await).await;
        assert_eq!(
            (early, value::<i64>(&second, &id, "theirs").await),
            (None, None)
        );

        holder.insert("mine", &1).expect("a change under the lock");
        saved(&mut holder).await;
        assert!(ended(h, closing).await.written);
        assert_eq!(number(&second, &id, "theirs").await, 1);
        if mode == LockMode::Optimistic {
            assert_eq!(number(&second, &id, "mine").await, 1);
        }
        assert!(is_free(&second, handle).await);
    }
}

/// A saver whom others are always ahead of takes the lock in the end, under which they are not.
pub async fn saves_although_others_are_always_ahead(h: &dyn Harness) {
    for mode in [LockMode::Optimistic, LockMode::Off] {
        let racing = Racing::over(h.connect().await);
        racing.layer().go_ahead(u32::MAX);
        let sessions = built(over(h, Arc::clone(&racing)).lock_mode(mode));
        let others = builder(h).await.lock_mode(mode);
        let id = plain(&built(others)).await;
        let mut session = open(&sessions, &id).await;
        session.add("n", 1).expect("a sum that fits");
        saved(&mut session).await;
        assert_eq!(number(&sessions, &id, "n").await, 1);
        assert!(is_free(&sessions, id.handle()).await, "{mode:?}");
    }
}

/// A lock that a save took for itself ends with it, also when that save fails, or is dropped, and
/// the session lives on.
pub async fn gives_a_borrowed_lock_back(h: &dyn Harness) {
    let first = sessions(h, LockMode::OnOpen).await;
    let driver = Arc::new(troubled(h).await);
    driver.layer().pause(1);
    let second = built(patient(over(h, Arc::clone(&driver))));
    for dropped_at in 1.. {
        let id = stored(&first, |session| session.insert("n", &0)).await;
        let mut other = open(&second, &id).await;
        let seen: i64 = other.get_or("n", 0).expect("a number");
        other.insert("n", &(seen + 2)).expect("a change");
        let mut holder = open(&first, &id).await;
        let (key, looks) = (id.handle(), first.clone());
        let closing = tokio::spawn(async move {
            let answer = cancel_at(dropped_at, other.close()).await;
            (other, answer)
        });
        let waits = async || waiters(looks.driver(), &key).await == 1;
        until(async || closing.is_finished() || waits().await).await;
        holder.insert("n", &1).expect("a change under the lock");
        saved(&mut holder).await;
        let (other, answer) = ended(h, closing).await;
        h.advance(Duration::ZERO).await;
        assert!(is_free(&first, key).await, "dropped at {dropped_at}");
        drop(other);
        assert_eq!(number(&first, &id, "n").await, 1);
        if let Some(answer) = answer {
            assert_eq!(conflict(answer), ["n"]);
            break;
        }
    }
}

/// A saver that may not wait for the lock of another one saves nothing, and says so.
pub async fn saves_nothing_past_a_lock(h: &dyn Harness) {
    let hasty = built(builder(h).await.lock_wait(Duration::ZERO));
    let id = plain(&hasty).await;
    let mut other = open(&hasty, &id).await;
    let mut holder = open(&hasty.with_mode(LockMode::OnOpen), &id).await;
    other.insert("theirs", &1).expect("a change");
    refused!(other.close().await, SessionError::LockTimeout);
    assert_eq!(number(&hasty, &id, "theirs").await, 0);
    saved(&mut holder).await;
    saved(&mut other).await;
    assert_eq!(number(&hasty, &id, "theirs").await, 1);
}

/// A delete ends a lock: its holder saves nothing, and whoever waits is told.
pub async fn ends_a_lock_by_a_delete(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::OnOpen).await;
    let id = plain(&first).await;
    let mut holder = open(&first, &id).await;
    holder.insert("mine", &1).expect("a change under the lock");
    let (waiter, waits_for) = (second.clone(), id.clone());
    let waiting =
        tokio::spawn(async move { waiter.open(&waits_for.expose(), &client()).await.map(drop) });
    queued(&first, id.handle(), 1).await;

    let mut other = open(&second.with_mode(LockMode::Optimistic), &id).await;
    other.delete().await.expect("a deleted session");
    refused!(ended(h, waiting).await, SessionError::Invalid(_));
    refused!(holder.close().await, SessionError::Deleted);
    drop(holder);
    given::swept(first.driver()).await;
    assert_eq!(h.holdings().await, 0);
}

/// Blind writes merge over foreign writes.
pub async fn merges_blind_writes(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let id = stored(&first, |session| session.insert("n", &0)).await;
    let (mut mine, mut theirs) = (open(&first, &id).await, open(&second, &id).await);
    mine.insert("n", &1).expect("a change");
    mine.insert("foreign", &1).expect("a change");
    saved(&mut mine).await;
    theirs.insert("n", &2).expect("a change");
    saved(&mut theirs).await;
    assert_eq!(number(&first, &id, "n").await, 2);
    assert_eq!(number(&first, &id, "foreign").await, 1);
}

/// Blind writes conflict with foreign removals, and save nothing then.
pub async fn conflicts_with_foreign_removals(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let id = stored(&first, |session| session.insert("gone", &0)).await;
    let (mut mine, mut theirs) = (open(&first, &id).await, open(&second, &id).await);
    assert!(mine.remove("gone").expect("a change"));
    saved(&mut mine).await;
    theirs.insert("gone", &2).expect("a change");
    theirs.insert("other", &2).expect("a change");
    assert_eq!(conflict(theirs.close().await), ["gone"]);
    assert_eq!(value::<i64>(&first, &id, "gone").await, None);
    assert_eq!(value::<i64>(&first, &id, "other").await, None);
}

/// Closures and `add` are applied again, to the fresh value.
pub async fn applies_closures_again(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let id = stored(&first, |session| {
        session.insert("sum", &1)?;
        session.insert("list", &["first"])
    })
    .await;
    let (mut mine, mut theirs) = (open(&first, &id).await, open(&second, &id).await);
    for (session, by, item) in [(&mut mine, 10, "mine"), (&mut theirs, 100, "theirs")] {
        assert_eq!(session.add("sum", by).expect("a sum"), 1 + by);
        session.update("list", pushing(item)).expect("a list");
        session.update("new", pushing(item)).expect("a list");
    }
    saved(&mut mine).await;
    saved(&mut theirs).await;
    assert_eq!(number(&first, &id, "sum").await, 111);
    let list = async |key| {
        value::<Vec<String>>(&first, &id, key)
            .await
            .unwrap_or_default()
    };
    assert_eq!(list("list").await, ["first", "mine", "theirs"]);
    assert_eq!(list("new").await, ["mine", "theirs"]);
}

/// A key read, then written, and changed by somebody else is a conflict: it names the keys and saves
/// nothing, also when both came to the same value, and also when it is tried again.
pub async fn conflicts_on_what_was_read(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let id = stored(&first, |session| session.insert("n", &0)).await;
    let (mut mine, mut theirs) = (open(&first, &id).await, open(&second, &id).await);
    for session in [&mut mine, &mut theirs] {
        let n: i64 = session.get_or("n", 0).expect("a number");
        session.insert("n", &(n + 1)).expect("a change");
    }
    theirs.insert("other", &1).expect("a change");
    saved(&mut mine).await;
    assert_eq!(conflict(theirs.close().await), ["n"]);
    assert_eq!(conflict(theirs.close().await), ["n"]);
    assert_eq!(number(&first, &id, "n").await, 1);
    assert_eq!(number(&first, &id, "other").await, 0);

    theirs.discard();
    let n: i64 = theirs.get_or("n", 0).expect("a number");
    theirs.insert("n", &(n + 1)).expect("a change");
    saved(&mut theirs).await;
    assert_eq!(number(&first, &id, "n").await, 2);
}

/// An absent key that was read counts as read: by its value, its presence, or a list of all keys.
pub async fn conflicts_on_absence_that_was_read(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let looks: [fn(&Session) -> bool; 4] = [
        |session| session.get::<i64>("owner").expect("no value").is_none(),
        |session| !session.contains_key("owner"),
        |session| session.keys().all(|key| key != "owner"),
        |session| session.len() == 1,
    ];
    for looks in looks {
        let id = plain(&first).await;
        let (mut mine, mut theirs) = (open(&first, &id).await, open(&second, &id).await);
        for (session, who) in [(&mut mine, 1), (&mut theirs, 2)] {
            assert!(looks(session));
            session.insert("owner", &who).expect("a change");
        }
        saved(&mut mine).await;
        assert_eq!(conflict(theirs.close().await), ["owner"]);
        assert_eq!(number(&first, &id, "owner").await, 1);
    }
}

/// What was read and changed by somebody else is a conflict also when it was not written, if the
/// application is strict: no two saves that each read what the other one wrote are both stored.
pub async fn conflicts_on_every_stale_read_when_strict(h: &dyn Harness) {
    for (strict, mode) in [
        (false, LockMode::Optimistic),
        (true, LockMode::Optimistic),
        (true, LockMode::Off),
    ] {
        let both = [
            built(builder(h).await.strict(strict)).with_mode(mode),
            built(builder(h).await.strict(strict)).with_mode(mode),
        ];
        let looks: [fn(&Session); 3] = [
            |session| assert_eq!(session.get::<i64>("b").expect("no value"), None),
            |session| assert!(!session.contains_key("b")),
            |session| assert_eq!(session.len(), 1),
        ];
        for looks in looks {
            let id = plain(&both[0]).await;
            let (mut mine, mut theirs) = (open(&both[0], &id).await, open(&both[1], &id).await);
            looks(&mine);
            mine.insert("a", &1).expect("a change");
            theirs.insert("b", &1).expect("a change");
            saved(&mut theirs).await;
            // In a mode that overwrites nobody minds.
            if strict && mode == LockMode::Optimistic {
                assert_eq!(conflict(mine.close().await), ["b"]);
                assert_eq!(value::<i64>(&both[0], &id, "a").await, None);
                mine.discard();
                looks_again(&mine);
                mine.insert("a", &1).expect("a change");
            }
            saved(&mut mine).await;
            assert_eq!(number(&both[0], &id, "a").await, 1);
        }
    }

    fn looks_again(session: &Session) {
        assert_eq!(session.get_or("b", 0).expect("a number"), 1);
    }
}

/// A clear removes also what others have added; but of what was read, by its value or in a list, and
/// changed by somebody else, it is a conflict.
pub async fn conflicts_on_what_was_read_before_a_clear(h: &dyn Harness) {
    type Look = fn(&Session);
    type Foreign = fn(&mut Session);
    let (first, second) = two(h, LockMode::Optimistic).await;
    let changes: Foreign = |session| session.insert("n", &2).expect("a change");
    let adds: Foreign = |session| session.insert("new", &2).expect("a change");
    let removes: Foreign = |session| assert!(session.remove("n").expect("a change"));
    let reads: Look = |session| assert_eq!(session.get_or("n", 0).expect("a number"), 1);
    let lists: Look = |session| assert_eq!(session.len(), 2);
    let nothing: Look = |_| ();
    let ways: [(Look, Foreign, &[&str]); 7] = [
        (nothing, changes, &[]),
        (nothing, adds, &[]),
        (reads, adds, &[]),
        (lists, changes, &[]),
        (reads, changes, &["n"]),
        (reads, removes, &["n"]),
        (lists, adds, &["new"]),
    ];
    for (looks, foreign, conflicts) in ways {
        let id = stored(&first, |session| {
            session.insert("n", &1)?;
            session.insert("place", "here")
        })
        .await;
        let (mut mine, mut theirs) = (open(&first, &id).await, open(&second, &id).await);
        looks(&mine);
        mine.clear().expect("a change");
        mine.insert("after", &1).expect("a change");
        foreign(&mut theirs);
        saved(&mut theirs).await;
        if conflicts.is_empty() {
            saved(&mut mine).await;
            let left = open(&first, &id).await;
            assert_eq!(left.keys().collect::<Vec<_>>(), ["after"]);
        } else {
            assert_eq!(conflict(mine.close().await), conflicts);
            assert_eq!(value::<i64>(&first, &id, "after").await, None);
            assert!(value::<String>(&first, &id, "place").await.is_some());
        }
    }
}

/// Once for each version that it meets, whatever brings that version.
pub async fn runs_a_closure_once_for_each_newer_version(h: &dyn Harness) {
    for mode in [LockMode::Optimistic, LockMode::Off] {
        let (first, second) = two(h, mode).await;
        let id = stored(&first, |session| session.insert("n", &1)).await;
        let (mut mine, mut theirs) = (open(&first, &id).await, open(&second, &id).await);
        let runs = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&runs);
        let doubled = move |n: Option<i64>| {
            counter.fetch_add(1, Ordering::SeqCst);
            n.map(|n| 2 * n)
        };
        mine.update("n", doubled).expect("a number");
        theirs.insert("n", &10).expect("a change");
        saved(&mut theirs).await;
        mine.follow().await.expect("a newer version");
        assert_eq!(mine.get_or("n", 0).expect("a number"), 20, "{mode:?}");
        assert_eq!(runs.load(Ordering::SeqCst), 2, "{mode:?}");
        saved(&mut mine).await;
        assert_eq!(runs.load(Ordering::SeqCst), 2, "{mode:?}");
        assert_eq!(number(&first, &id, "n").await, 20, "{mode:?}");
    }
}

/// A value read before a merge is as old after it.
pub async fn conflicts_on_what_was_read_before_a_merge(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let id = stored(&first, |session| session.insert("n", &0)).await;
    let mut theirs = open(&second, &id).await;
    let old: i64 = theirs.get_or("n", 0).expect("a number");
    let mut mine = open(&first, &id).await;
    mine.insert("n", &7).expect("a change");
    saved(&mut mine).await;
    theirs.insert("other", &1).expect("a change");
    theirs.save().await.expect("a merge");
    theirs.insert("n", &(old + 1)).expect("a change");
    assert_eq!(conflict(theirs.close().await), ["n"]);
    assert_eq!(number(&first, &id, "n").await, 7);
}

/// In OnWrite and Manual a conflict is told at `write()` already; the lock is kept, and what was
/// read before stays a conflict.
pub async fn tells_conflicts_at_write(h: &dyn Harness) {
    for mode in [LockMode::OnWrite, LockMode::Manual] {
        let (first, second) = two(h, mode).await;
        let id = stored(&first, |session| session.insert("n", &0)).await;
        let mut session = open(&second, &id).await;
        let old: i64 = session.get_or("n", 0).expect("a number");
        let mut other = open(&first, &id).await;
        let locked = other.write().await.expect("a free lock");
        locked.insert("n", &7).expect("a change");
        saved(&mut other).await;

        assert_eq!(conflict(session.write().await.map(drop)), ["n"]);
        assert!(session.is_locked());
        assert!(!is_free(&first, id.handle()).await);
        session
            .insert("n", &(old + 1))
            .expect("a change under the lock");
        assert_eq!(conflict(session.close().await), ["n"]);
        assert_eq!(number(&first, &id, "n").await, 7);
        drop(session);
        turns().await;
        assert!(is_free(&first, id.handle()).await);
    }
}

/// `write()` takes the newest version: what was not read before is fresh, and no conflict. Without
/// it nothing can be changed.
pub async fn reads_fresh_under_the_lock(h: &dyn Harness) {
    for mode in [LockMode::OnWrite, LockMode::Manual] {
        let (first, second) = two(h, mode).await;
        let id = stored(&first, |session| session.insert("n", &0)).await;
        let mut session = open(&second, &id).await;
        let mut other = open(&first, &id).await;
        other
            .write()
            .await
            .expect("a free lock")
            .insert("n", &7)
            .expect("a change");
        saved(&mut other).await;
        refused!(session.insert("n", &8), SessionError::NotLocked);
        let locked = session.write().await.expect("no conflict");
        assert_eq!(locked.get::<i64>("n").expect("a number"), Some(7));
        locked.insert("n", &8).expect("a change");
        saved(&mut session).await;
        assert_eq!(number(&first, &id, "n").await, 8);
    }
}

/// A conflict follows the policy: `Mine` stores this session's value, `Theirs` keeps the other's.
pub async fn follows_the_conflict_policy(h: &dyn Harness) {
    for (policy, winner) in [(OnConflict::Mine, 2), (OnConflict::Theirs, 1)] {
        let sessions = built(builder(h).await.on_conflict(policy));
        let id = stored(&sessions, |session| session.insert("n", &0)).await;
        let (mut mine, mut theirs) = (open(&sessions, &id).await, open(&sessions, &id).await);
        for (session, value) in [(&mut mine, 1), (&mut theirs, 2)] {
            let _: i64 = session.get_or("n", 0).expect("a number");
            session.insert("n", &value).expect("a change");
            session.insert("blind", &value).expect("a change");
        }
        saved(&mut mine).await;
        saved(&mut theirs).await;
        assert_eq!(number(&sessions, &id, "n").await, winner, "{policy:?}");
        assert_eq!(number(&sessions, &id, "blind").await, 2, "{policy:?}");

        // Already at `write()`, which then is no conflict.
        for mode in [LockMode::OnWrite, LockMode::Manual] {
            let sessions = sessions.with_mode(mode);
            let id = stored(&sessions, |session| session.insert("n", &0)).await;
            let (mut mine, mut theirs) = (open(&sessions, &id).await, open(&sessions, &id).await);
            for (session, value) in [(&mut mine, 1), (&mut theirs, 2)] {
                let _: i64 = session.get_or("n", 0).expect("a number");
                let session = match session.write().await {
                    Ok(session) => session,
                    Err(error) => panic!("{policy:?} {mode:?}: {error:?}"),
                };
                session.insert("n", &value).expect("a change");
                session.insert("blind", &value).expect("a change");
                if value == 1 {
                    saved(session).await;
                }
            }
            saved(&mut theirs).await;
            assert_eq!(number(&sessions, &id, "n").await, winner, "{policy:?}");
            assert_eq!(number(&sessions, &id, "blind").await, 2, "{policy:?}");
        }
    }
}

/// Set back to the original value counts as unmodified, and writes nothing.
pub async fn writes_nothing_that_was_set_back(h: &dyn Harness) {
    let driver = Arc::new(Counting::over(h.connect().await));
    let sessions = built(over(h, Arc::clone(&driver)));
    let id = stored(&sessions, |session| session.insert("n", &0)).await;
    used(&sessions, &id).await;
    let mut session = open(&sessions, &id).await;
    session.insert("n", &1).expect("a change");
    session.insert("new", &1).expect("a change");
    assert!(session.is_modified());
    session.insert("n", &0).expect("a change back");
    session.remove("new").expect("a change back");
    assert!(!session.is_modified());
    driver.layer().take();
    assert!(!saved(&mut session).await.written);
    driver.layer().take().expect(&[]);
}

/// An unmodified session writes nothing, in any mode, and gives its lock back.
pub async fn writes_nothing_that_was_only_read(h: &dyn Harness) {
    let driver = Arc::new(Counting::over(h.connect().await));
    let all = built(over(h, Arc::clone(&driver)));
    let id = stored(&all, |session| session.insert("n", &3)).await;
    for mode in WRITING.into_iter().chain([LockMode::ReadOnly]) {
        let before = given::read(all.driver(), &id.handle()).await;
        driver.layer().take();
        let mut session = open(&all.with_mode(mode), &id).await;
        assert_eq!(session.get::<i64>("n").expect("a number"), Some(3));
        assert!(!saved(&mut session).await.written);
        let calls = driver.layer().take();
        assert_eq!(calls.of(Verb::Save) + calls.of(Verb::Create), 0, "{mode:?}");
        let after = given::read(all.driver(), &id.handle()).await;
        assert_eq!((before.version, before.data), (after.version, after.data));
        assert!(is_free(&all, id.handle()).await, "{mode:?}");
    }
}

/// Every mutator marks dirty and persists across reopen.
pub async fn saves_what_every_mutator_changed(h: &dyn Harness) {
    type Mutator = fn(&mut Session);
    type Check = fn(&Session) -> bool;
    let mutators: [(&str, Mutator, Check); 9] = [
        (
            "insert",
            |session| session.insert("new", &1).expect("a change"),
            |session| session.get("new").expect("a number") == Some(1),
        ),
        (
            "insert over",
            |session| session.insert("n", &2).expect("a change"),
            |session| session.get("n").expect("a number") == Some(2),
        ),
        (
            "remove",
            |session| assert!(session.remove("n").expect("a change")),
            |session| !session.contains_key("n"),
        ),
        (
            "update",
            |session| {
                let sum = session.update("n", |n: Option<i64>| n.map(|n| n + 5));
                assert_eq!(sum.expect("a number"), Some(6));
            },
            |session| session.get("n").expect("a number") == Some(6),
        ),
        (
            "update to nothing",
            |session| {
                let nothing = session.update("n", |_: Option<i64>| None);
                assert_eq!(nothing.expect("nothing"), None);
            },
            |session| !session.contains_key("n"),
        ),
        (
            "try_update",
            |session| {
                let change = |n: Option<i64>| Ok(n.map(|n| n + 6));
                assert_eq!(session.try_update("n", change).expect("one"), Some(7));
            },
            |session| session.get("n").expect("a number") == Some(7),
        ),
        (
            "add",
            |session| assert_eq!(session.add("n", -3).expect("a sum"), -2),
            |session| session.get("n").expect("a number") == Some(-2),
        ),
        (
            "clear",
            |session| session.clear().expect("a change"),
            Session::is_empty,
        ),
        (
            "set_lifetime",
            |session| {
                session
                    .set_lifetime(Duration::from_secs(120))
                    .expect("a change");
            },
            |session| {
                (Duration::from_secs(119)..=Duration::from_secs(120))
                    .contains(&session.expires_in())
            },
        ),
    ];
    let (first, second) = two(h, LockMode::Optimistic).await;
    for (name, mutate, is_changed) in mutators {
        let id = stored(&first, |session| {
            session.insert("n", &1)?;
            session.insert("m", &1)
        })
        .await;
        let mut session = open(&first, &id).await;
        assert!(!session.is_modified() && !is_changed(&session), "{name}");
        mutate(&mut session);
        assert!(session.is_modified(), "{name}");
        assert!(saved(&mut session).await.written, "{name}");
        assert!(!session.is_modified(), "{name}");
        assert!(is_changed(&open(&second, &id).await), "{name}");
    }
    let id = plain(&first).await;
    let mut session = open(&first, &id).await;
    session.regenerate(Rotation::renew()).expect("a renewal");
    assert!(session.is_modified());
    assert!(saved(&mut session).await.written);
}

/// Every no-op does not mark dirty, and nothing is saved.
pub async fn saves_no_no_op(h: &dyn Harness) {
    type NoOp = fn(&mut Session);
    let no_ops: [(&str, NoOp); 9] = [
        ("insert", |session| {
            session.insert("n", &1).expect("as it was");
        }),
        ("remove", |session| {
            assert!(!session.remove("absent").expect("as it was"));
        }),
        ("update", |session| {
            let same = session.update("n", |n: Option<i64>| n);
            assert_eq!(same.expect("as it was"), Some(1));
        }),
        ("update of nothing", |session| {
            let same = session.update("absent", |n: Option<i64>| n);
            assert_eq!(same.expect("as it was"), None);
        }),
        ("add", |session| {
            assert_eq!(session.add("n", 0).expect("a sum"), 1);
        }),
        ("there and back", |session| {
            session.add("n", 1).expect("a sum");
            session.add("n", -1).expect("a sum");
        }),
        ("clear and set", |session| {
            session.clear().expect("a change");
            session.insert("n", &1).expect("as it was");
        }),
        ("set_lifetime", |session| {
            session.set_lifetime(MINUTE).expect("as it was");
        }),
        ("set_lifetime, there and back", |session| {
            session.set_lifetime(None).expect("a change");
            assert_eq!(session.lifetime(), None);
            session.set_lifetime(MINUTE).expect("as it was");
        }),
    ];
    let sessions = sessions(h, LockMode::Optimistic).await;
    for (name, keep) in no_ops {
        let fill = |session: &mut Session| {
            session.insert("n", &1)?;
            session.set_lifetime(MINUTE)
        };
        let id = stored(&sessions, fill).await;
        let before = given::read(sessions.driver(), &id.handle()).await;
        let mut session = open(&sessions, &id).await;
        keep(&mut session);
        assert!(!session.is_modified(), "{name}");
        assert!(!saved(&mut session).await.written, "{name}");
        let after = given::read(sessions.driver(), &id.handle()).await;
        assert_eq!(before.version, after.version, "{name}");
    }
}

/// Of n parallel takers of one value exactly one gets it, in every mode.
pub async fn hands_an_entry_to_one_of_many_takers(h: &dyn Harness) {
    const TAKERS: usize = 10;
    const ROUNDS: usize = 8;

    let handles = [patient_sessions(h).await, patient_sessions(h).await];
    for _ in 0..ROUNDS {
        let id = stored(&handles[0], |session| session.insert("flash", &42)).await;
        let answers = raced(
            h,
            (0..TAKERS).map(|taker| {
                let mode = WRITING[taker % WRITING.len()];
                let (sessions, id) = (handles[taker % 2].with_mode(mode), id.clone());
                async move {
                    let mut session = open(&sessions, &id).await;
                    let taken: Option<i64> = session.take("flash").await.expect("an answer");
                    drop(session);
                    taken
                }
            }),
        )
        .await;
        let given: Vec<_> = answers.into_iter().flatten().collect();
        assert_eq!(given, [42]);
        assert_eq!(value::<i64>(&handles[0], &id, "flash").await, None);
    }
}

/// A taker is given the value only after the store accepted that it is gone; when the answer is
/// lost, the same taker still gets it, and nobody else does.
pub async fn takes_only_what_the_store_gave(h: &dyn Harness) {
    let driver = Arc::new(troubled(h).await);
    let sessions = built(over(h, Arc::clone(&driver)));
    let id = stored(&sessions, |session| session.insert("flash", &42)).await;
    let mut session = open(&sessions, &id).await;

    driver
        .layer()
        .next(Verb::Save, Fault::Refused(ErrorKind::Unavailable));
    refused!(session.take::<i64>("flash").await, SessionError::Store(_));
    assert_eq!(number(&sessions, &id, "flash").await, 42);

    driver.layer().next(Verb::Save, Fault::LostAnswer);
    refused!(session.take::<i64>("flash").await, SessionError::Store(_));
    let mut other = open(&sessions, &id).await;
    assert_eq!(other.take::<i64>("flash").await.expect("an answer"), None);
    assert_eq!(session.take("flash").await.expect("an answer"), Some(42));
    assert_eq!(session.take::<i64>("flash").await.expect("an answer"), None);
}

/// `add` sums exactly, whatever gets lost: no sum counts twice, and none that was acknowledged is
/// missing.
pub async fn sums_exactly_although_answers_get_lost(h: &dyn Harness) {
    const WRITERS: usize = 6;
    const ADDS: i64 = 12;

    let quiet = patient_sessions(h).await;
    let id = stored(&quiet, |session| session.insert("sum", &0)).await;
    let mut writers = Vec::new();
    for writer in 0..WRITERS {
        let driver = troubled(h).await;
        let odds = Odds {
            refused: 0.1,
            lost_answer: 0.2,
            twice: 0.2,
            ..Odds::default()
        };
        driver.layer().at_random(fastrand::u64(..), odds);
        let mode = [LockMode::Optimistic, LockMode::OnWrite][writer % 2];
        let sessions = built(patient(over(h, driver)).lock_mode(mode));
        writers.push(adds(sessions, id.clone(), ADDS));
    }
    let counts = raced(h, writers).await;
    let (added, unknown) = counts
        .into_iter()
        .fold((0, 0), |(a, b), (c, d)| (a + c, b + d));
    let sum = number(&quiet, &id, "sum").await;
    assert!(
        (added..=added + unknown).contains(&sum),
        "the sum is {sum}, of {added} acknowledged and {unknown} unknown"
    );
    assert!(added > 0);
}

/// A change whose outcome nobody can tell any more is never applied again, however often the save is
/// tried.
pub async fn applies_nothing_again_after_an_unknown_outcome(h: &dyn Harness) {
    let driver = Arc::new(troubled(h).await);
    let unlucky = built(over(h, Arc::clone(&driver)));
    let others = sessions(h, LockMode::Optimistic).await;
    let id = stored(&others, |session| session.insert("sum", &0)).await;
    let mut session = open(&unlucky, &id).await;
    session.add("sum", 1).expect("a sum");
    driver.layer().next(Verb::Save, Fault::LostAnswer);
    refused!(session.close().await, SessionError::Store(_));
    // As many saves as no store remembers.
    for _ in 0..8 {
        let mut other = open(&others, &id).await;
        other.add("sum", 10).expect("a sum");
        saved(&mut other).await;
    }
    match session.close().await {
        Ok(_) => {}
        Err(error) => assert!(error.is_unknown(), "{error:?}"),
    }
    saved(&mut session).await;
    assert_eq!(number(&others, &id, "sum").await, 81);
    session.add("sum", 100).expect("a sum");
    saved(&mut session).await;
    assert_eq!(number(&others, &id, "sum").await, 181);
}

/// A take whose answer was lost removes what it took, and nothing that was changed after it: neither
/// what is set, be it equal, nor what is added to.
pub async fn keeps_what_is_changed_after_a_take_without_an_answer(h: &dyn Harness) {
    let driver = Arc::new(troubled(h).await);
    let unlucky = built(over(h, Arc::clone(&driver)));
    type Change = fn(&mut Session);
    let changes: [(Change, Option<i64>); 5] = [
        (
            |session| session.insert("n", &7).expect("a change"),
            Some(7),
        ),
        (
            |session| session.insert("n", &5).expect("a change"),
            Some(5),
        ),
        (
            |session| {
                session.add("n", 1).expect("a sum");
            },
            Some(1),
        ),
        (
            |session| {
                session.remove("n").expect("a change");
            },
            None,
        ),
        (|_| (), None),
    ];
    for set_back in [false, true] {
        for (change, left) in changes {
            let id = stored(&unlucky, |session| session.insert("n", &5)).await;
            let mut session = open(&unlucky, &id).await;
            if set_back {
                session.insert("n", &5).expect("no change");
            }
            driver.layer().next(Verb::Save, Fault::LostAnswer);
            refused!(session.take::<i64>("n").await, SessionError::Store(_));
            change(&mut session);
            saved(&mut session).await;
            assert_eq!(value::<i64>(&unlucky, &id, "n").await, left);
            if left.is_none() {
                // It was taken once, by this session.
                assert_eq!(session.take("n").await.expect("a number"), Some(5));
            }
        }
    }
}

/// A take gives the session the lifetime that any save gives it: the first lifetime of one whose
/// client came back is over.
pub async fn keeps_the_lifetime_through_a_take(h: &dyn Harness) {
    let sessions = built(builder(h).await.touch_reads(true));
    let id = stored(&sessions, |session| session.insert("message", "hello")).await;
    // Comes back, and is touched.
    used(&sessions, &id).await;
    let before = given::read(sessions.driver(), &id.handle()).await.left;
    let mut session = open(&sessions, &id).await;
    let message = session.take::<String>("message").await;
    assert_eq!(message.expect("a text").as_deref(), Some("hello"));
    let after = given::read(sessions.driver(), &id.handle()).await.left;
    let off = sessions.driver().info().ttl_resolution + Duration::from_secs(60);
    let day = sessions.lifetimes().idle();
    assert!(before.expect("a lifetime") + off >= day, "{before:?}");
    assert!(after.expect("a lifetime") + off >= day, "{after:?}");
}

/// Overflow is an error, at once and during a merge, and changes nothing.
pub async fn refuses_sums_that_overflow(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let id = stored(&first, |session| session.insert("n", &(i64::MAX - 1))).await;
    let mut session = open(&first, &id).await;
    refused!(session.add("n", 2), SessionError::Overflow { .. });
    assert!(!session.is_modified());
    assert_eq!(session.add("n", 1).expect("the largest sum"), i64::MAX);

    let mut other = open(&second, &id).await;
    other.add("n", 1).expect("the largest sum");
    saved(&mut other).await;
    refused!(session.close().await, SessionError::Overflow { .. });
    assert_eq!(number(&first, &id, "n").await, i64::MAX);

    let id = stored(&first, |session| session.insert("n", &i64::MIN)).await;
    refused!(
        open(&first, &id).await.add("n", -1),
        SessionError::Overflow { .. }
    );
}

/// Delete by R1 while R2 runs: R2's save is `Deleted`, in every mode, again and again, and nothing
/// comes back.
pub async fn saves_nothing_after_a_delete(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    for mode in WRITING {
        let id = plain(&first).await;
        let mut running = open(&second.with_mode(mode), &id).await;
        let writable = running.write().await.expect("a session to write to");
        writable.insert("mine", &1).expect("a change");

        let mut deleting = open(&first, &id).await;
        deleting.delete().await.expect("a deleted session");
        refused!(running.save().await, SessionError::Deleted);
        refused!(running.close().await, SessionError::Deleted);
        refused!(running.insert("mine", &2), SessionError::Deleted);
        invalid(&first, &id, InvalidReason::Unknown).await;
        drop(running);
        turns().await;
        given::swept(first.driver()).await;
        assert_eq!(h.holdings().await, 0, "{mode:?}");
    }
}

/// A session dropped after changes saves nothing and warns once.
pub async fn warns_once_of_dropped_changes(h: &dyn Harness) {
    for mode in [LockMode::Optimistic, LockMode::OnOpen] {
        let sessions = sessions(h, mode).await;
        let id = stored(&sessions, |session| session.insert("n", &1)).await;
        let log = Log::capture();
        let mut session = open(&sessions, &id).await;
        session.insert("n", &2).expect("a change");
        session.insert("m", &2).expect("a change");
        drop(session);
        turns().await;
        let warnings = log.take_warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].text.contains(&id.handle().to_string()));
        assert_eq!(sessions.counters().dropped_changes, 1);
        assert_eq!(number(&sessions, &id, "n").await, 1);
        assert!(is_free(&sessions, id.handle()).await);

        log.take();
        drop(open(&sessions, &id).await);
        let mut session = open(&sessions, &id).await;
        session.insert("n", &3).expect("a change");
        saved(&mut session).await;
        drop(session);
        assert!(log.take_warnings().is_empty(), "nothing was dropped");
        assert_eq!(sessions.counters().dropped_changes, 1);
    }
}

/// Changes of the session beside its entries are warned of as well: a new id, a lifetime.
pub async fn warns_of_dropped_changes_beside_the_entries(h: &dyn Harness) {
    type Change = fn(&mut Session) -> asm_session::Result<()>;
    let changes: [Change; 3] = [
        |session| session.regenerate(Rotation::renew()),
        |session| session.regenerate(Rotation::Authenticate),
        |session| session.set_lifetime(Duration::from_secs(3600)),
    ];
    for (dropped, change) in (1..).zip(changes) {
        let sessions = sessions(h, LockMode::Optimistic).await;
        let id = plain(&sessions).await;
        let log = Log::capture();
        for _ in 0..dropped {
            let mut session = open(&sessions, &id).await;
            change(&mut session).expect("a change");
            drop(session);
            assert_eq!(log.take_warnings().len(), 1);
        }
        assert_eq!(sessions.counters().dropped_changes, dropped);
        let mut session = open(&sessions, &id).await;
        change(&mut session).expect("a change");
        saved(&mut session).await;
        drop(session);
        assert!(log.take_warnings().is_empty(), "nothing was dropped");
    }
}

/// A change after `save()` is not lost silently: it is stored by the next save, or warned of.
pub async fn loses_no_change_after_a_save_silently(h: &dyn Harness) {
    let sessions = sessions(h, LockMode::Optimistic).await;
    let id = stored(&sessions, |session| session.insert("n", &1)).await;
    let log = Log::capture();
    let mut session = open(&sessions, &id).await;
    session.insert("n", &2).expect("a change");
    session.save().await.expect("a saved session");
    session.insert("n", &3).expect("a change");
    session.save().await.expect("a saved session");
    assert_eq!(number(&sessions, &id, "n").await, 3);
    assert!(log.take_warnings().is_empty());
    session.insert("n", &4).expect("a change");
    drop(session);
    assert_eq!(log.take_warnings().len(), 1);
    assert_eq!(number(&sessions, &id, "n").await, 3);

    // Nor after one that was refused: of that one there was word already, of the change not.
    for changes_again in [false, true] {
        let mut session = open(&sessions, &id).await;
        session.get::<i64>("n").expect("a number");
        let mut other = open(&sessions, &id).await;
        other.add("n", 1).expect("a change");
        saved(&mut other).await;
        session.insert("n", &6).expect("a change");
        assert_eq!(conflict(session.save().await), ["n"]);
        assert_eq!(log.take_warnings().len(), 1, "of the refusal");
        if changes_again {
            session.insert("m", &6).expect("a change");
        }
        drop(session);
        assert_eq!(log.take_warnings().len(), usize::from(changes_again));
    }
}

/// A handler error saves nothing unless it saved explicitly.
pub async fn saves_nothing_of_a_failed_handler(h: &dyn Harness) {
    async fn handler(sessions: &Sessions, id: &SessionId, saves: bool) -> asm_session::Result<()> {
        let mut session = sessions.open(&id.expose(), &client()).await?;
        session.write().await?.insert("n", &2)?;
        if saves {
            session.save().await?;
        }
        session.insert("m", &2)?;
        Err(SessionError::app("the handler failed"))
    }

    for mode in WRITING {
        let sessions = sessions(h, mode).await;
        for (saves, stored_n) in [(false, 1), (true, 2)] {
            let id = stored(&sessions, |session| session.insert("n", &1)).await;
            refused!(handler(&sessions, &id, saves).await, SessionError::App(_));
            turns().await;
            assert_eq!(number(&sessions, &id, "n").await, stored_n, "{mode:?}");
            assert_eq!(value::<i64>(&sessions, &id, "m").await, None, "{mode:?}");
            assert!(is_free(&sessions, id.handle()).await, "{mode:?}");

            let (text, who) = (id.expose(), client());
            let failed = sessions.transact(&text, &who, |session| {
                session.insert("m", &3)?;
                Err::<(), _>(SessionError::app("the closure failed"))
            });
            refused!(failed.await, SessionError::App(_));
            turns().await;
            assert_eq!(value::<i64>(&sessions, &id, "m").await, None, "{mode:?}");
            assert!(is_free(&sessions, id.handle()).await, "{mode:?}");
        }
    }
}

/// A load error never leads to a write: whatever the store fails with, the open fails, begins no new
/// session, and asks the store for nothing else.
pub async fn writes_nothing_after_a_failed_load(h: &dyn Harness) {
    let chaos = Arc::new(troubled(h).await);
    let driver = Arc::new(Counting::over(Arc::clone(&chaos)));
    let all = built(over(h, Arc::clone(&driver)));
    let id = plain(&all).await;
    let before = given::read(all.driver(), &id.handle()).await;
    let (id, who) = (id.expose(), client());
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::Timeout,
        ErrorKind::Corrupt,
        ErrorKind::Unknown,
        ErrorKind::Denied,
    ] {
        for mode in WRITING.into_iter().chain([LockMode::ReadOnly]) {
            let sessions = all.with_mode(mode);
            for _ in 0..3 {
                chaos.layer().next(Verb::Open, Fault::Refused(kind));
            }
            driver.layer().take();
            refused!(sessions.open(&id, &who).await, SessionError::Store(_));
            refused!(
                sessions.open_or_create(Some(&id), &who).await,
                SessionError::Store(_)
            );
            let changed = sessions.transact(&id, &who, |session| session.insert("n", &1));
            refused!(changed.await, SessionError::Store(_));
            let calls = driver.layer().take();
            let harmless = calls.of(Verb::Open) + calls.of(Verb::Abandon);
            assert_eq!(calls.of(Verb::Open), 3, "{mode:?} {kind}: {calls}");
            assert_eq!(calls.total(), harmless, "{mode:?} {kind}: {calls}");
        }
    }
    let id = SessionId::parse(&id).expect("an id");
    let after = given::read(all.driver(), &id.handle()).await;
    assert_eq!((before.version, before.data), (after.version, after.data));
}

/// A record that cannot be read is left as it is.
pub async fn leaves_an_unreadable_record_alone(h: &dyn Harness) {
    let sessions = sessions(h, LockMode::OnOpen).await;
    for garbage in [&b""[..], b"\0", b"{}", b"garbage of another application"] {
        let id = plain(&sessions).await;
        let driver = sessions.driver();
        let snapshot = given::read(driver, &id.handle()).await;
        let save = given::save(&snapshot, garbage.to_vec());
        driver
            .save(&id.handle(), save)
            .await
            .expect("a saved record");
        let before = given::read(driver, &id.handle()).await;

        let opened = sessions.open(&id.expose(), &client()).await;
        assert!(opened.is_err(), "{opened:?}");
        let opened = sessions.open_or_create(Some(&id.expose()), &client()).await;
        if let Ok(session) = &opened {
            assert_ne!(session.origin(), Origin::Resumed);
            assert_ne!(session.handle(), id.handle());
        }
        drop(opened);
        turns().await;
        let after = given::read(driver, &id.handle()).await;
        assert_eq!((before.version, before.data), (after.version, after.data));
        assert!(is_free(&sessions, id.handle()).await);
        assert!(matches!(
            driver.delete(&id.handle(), given::log_out()).await,
            Ok(asm_core::Deleted::Done)
        ));
        let gone = driver.open(&id.handle(), given::open()).await;
        assert!(matches!(gone, Ok(Opened::Missing)));
    }
}

/// Increments by writers of these modes, each of which reads before it asks for the lock.
async fn loses_nothing(h: &dyn Harness, modes: &[LockMode]) {
    const WRITERS: usize = 12;
    const INCREMENTS: i64 = 8;

    let handles = [patient_sessions(h).await, patient_sessions(h).await];
    let id = stored(&handles[0], |session| session.insert("n", &0)).await;
    raced(
        h,
        (0..WRITERS).map(|writer| {
            let mode = modes[writer % modes.len()];
            let (sessions, id) = (
                handles[writer / modes.len() % 2].with_mode(mode),
                id.clone(),
            );
            async move {
                for _ in 0..INCREMENTS {
                    while !increments(&sessions, &id).await {}
                }
            }
        }),
    )
    .await;
    let expected = INCREMENTS * i64::try_from(WRITERS).expect("a few");
    assert_eq!(number(&handles[0], &id, "n").await, expected, "{modes:?}");
    assert!(is_free(&handles[0], id.handle()).await);
}

/// Whether it was acknowledged; it was not when somebody else came first.
async fn increments(sessions: &Sessions, id: &SessionId) -> bool {
    let mut session = open(sessions, id).await;
    let n: i64 = session.get_or("n", 0).expect("a number");
    gap().await;
    match session.write().await {
        Ok(session) => session.insert("n", &(n + 1)).expect("a change"),
        Err(SessionError::Conflict(conflict)) => {
            assert_eq!(conflict.keys(), ["n"]);
            session.discard();
            return false;
        }
        Err(error) => panic!("a session to write to was expected, not {error:?}"),
    }
    gap().await;
    match session.close().await {
        Ok(saved) => assert!(saved.written),
        Err(SessionError::Conflict(conflict)) => {
            assert_eq!(conflict.keys(), ["n"]);
            session.discard();
            return false;
        }
        Err(error) => panic!("a saved session was expected, not {error:?}"),
    }
    true
}

/// Adds 1 that often. Answers how often that was acknowledged, and how often nobody knows.
async fn adds(sessions: Sessions, id: SessionId, times: i64) -> (i64, i64) {
    let (mut added, mut unknown) = (0, 0);
    for _ in 0..times {
        let Ok(mut session) = sessions.open(&id.expose(), &client()).await else {
            continue;
        };
        if session.write().await.is_err() {
            continue;
        }
        session.add("sum", 1).expect("a sum");
        gap().await;
        let mut sends = 0;
        loop {
            match session.close().await {
                Ok(_) => {
                    added += 1;
                    break;
                }
                Err(SessionError::LockLost) => break,
                Err(error) if error.is_unknown() => {
                    unknown += 1;
                    session.discard();
                    break;
                }
                Err(SessionError::Store(_)) if sends < 64 => sends += 1,
                Err(error) => panic!("the sum was not saved: {error:?}"),
            }
        }
    }
    (added, unknown)
}

fn pushing(item: &'static str) -> impl FnMut(Option<Vec<String>>) -> Option<Vec<String>> + Send {
    move |list| {
        let mut list = list.unwrap_or_default();
        list.push(item.to_owned());
        Some(list)
    }
}

async fn patient_sessions(h: &dyn Harness) -> Sessions {
    built(patient(builder(h).await))
}
