//! Ids: who opens a session with which, and what becomes of those that were replaced.

use std::{
    collections::HashSet,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use asm_core::Key;
use asm_session::{
    Draw, Event, Field, IdRotation, IdSource, IdUpdate, InvalidReason, LockMode, Origin, OsRandom,
    Rotation, Session, SessionError, SessionId,
};
use base64ct::{Base64UrlUnpadded, Encoding};

use crate::{
    Counting, Harness, Verb,
    clock::turns,
    given,
    sessions::{
        Told, builder, built, client, ended, invalid, is_free, issued, number, open, over, patient,
        plain, queued, raced, refused, rotated, saved, sessions, stored, two, used, value,
    },
    waiting::{self, until},
};

const SECOND: Duration = Duration::from_secs(1);

/// The modes in which a session is opened.
const MODES: [LockMode; 6] = [
    LockMode::ReadOnly,
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Manual,
    LockMode::Off,
];

/// Ids are 128-bit handle + 192-bit secret from the OS: no two are alike in either half, and each
/// bit takes both values.
pub async fn draws_ids_at_random(h: &dyn Harness) {
    const IDS: usize = 4096;

    let sessions = sessions(h, LockMode::Optimistic).await;
    let id = plain(&sessions).await;
    let (mut handles, mut secrets) = (HashSet::new(), HashSet::new());
    let (mut ones, mut zeros) = ([0u8; 40], [0u8; 40]);
    for _ in 0..IDS {
        let id = rotated(&sessions, &id, Rotation::renew()).await;
        let bytes = bytes_of(&id);
        assert!(secrets.insert(bytes[16..].to_vec()), "a secret came twice");
        let session = sessions.create(&client()).expect("a new session");
        assert!(handles.insert(session.handle()), "a handle came twice");
        let bytes = [session.handle().as_bytes(), &bytes[16..]].concat();
        for (place, byte) in bytes.iter().enumerate() {
            ones[place] |= byte;
            zeros[place] |= !byte;
        }
    }
    assert_eq!((ones, zeros), ([u8::MAX; 40], [u8::MAX; 40]));
}

/// A failing generator is an error, never a weak id: nothing is stored under it, and nothing is
/// replaced by it.
pub async fn makes_no_id_without_randomness(h: &dyn Harness) {
    let source = Failing::default();
    let fails = Arc::clone(&source.0);
    let sessions = built(builder(h).await.id_source(source));
    let fail = |failing: bool| fails.store(failing, Ordering::SeqCst);

    fail(true);
    refused!(sessions.create(&client()), SessionError::NoRandomness(_));
    refused!(
        sessions.open_or_create(None, &client()).await,
        SessionError::NoRandomness(_)
    );
    fail(false);
    let mut session = sessions.create(&client()).expect("a new session");
    session.insert("n", &1).expect("a change");
    fail(true);
    refused!(session.save().await, SessionError::NoRandomness(_));
    assert_eq!(h.holdings().await, 0);
    fail(false);
    saved(&mut session).await;
    let id = issued(&session);

    for rotation in [Rotation::renew(), Rotation::Authenticate] {
        let mut session = open(&sessions, &id).await;
        fail(true);
        refused!(session.regenerate(rotation), SessionError::NoRandomness(_));
        fail(false);
        assert!(!saved(&mut session).await.written);
        assert!(matches!(session.id_update(), IdUpdate::Keep));
    }
    fail(true);
    let locking = sessions.with_mode(LockMode::OnOpen);
    refused!(
        locking.open(&id.expose(), &client()).await,
        SessionError::NoRandomness(_)
    );
    fail(false);
    assert!(is_free(&sessions, id.handle()).await);
    assert_eq!(number(&sessions, &id, "n").await, 1);
}

/// A 4-bit generator never takes over a live session: each session keeps its values, and when there
/// is no free id left, that is an error.
pub async fn takes_over_no_session_by_a_clash(h: &dyn Harness) {
    let sessions = built(builder(h).await.id_source(FourBits));
    let mut ids = Vec::new();
    let mut refusals = 0;
    while refusals < 8 {
        let mut session = sessions.create(&client()).expect("a new session");
        session.insert("owner", &ids.len()).expect("a change");
        match session.close().await {
            Ok(_) => ids.push(issued(&session)),
            Err(error) => {
                assert!(!matches!(error, SessionError::Store(_)), "{error:?}");
                refusals += 1;
                session.discard();
            }
        }
        assert!(ids.len() <= 16, "a seventeenth session in sixteen places");
    }
    let handles: HashSet<Key> = ids.iter().map(SessionId::handle).collect();
    assert_eq!(handles.len(), ids.len());
    assert!(ids.len() > 1);
    for (owner, id) in ids.iter().enumerate() {
        assert_eq!(value::<usize>(&sessions, id, "owner").await, Some(owner));
    }
}

/// Malformed ids (10^5 hostile strings) are refused with no store call, and nothing of them is used
/// for a new session.
pub async fn asks_no_store_about_malformed_ids(h: &dyn Harness) {
    const STRINGS: usize = 100_000;

    let driver = Arc::new(Counting::over(h.connect().await));
    let sessions = built(over(h, Arc::clone(&driver)));
    let id = plain(&sessions).await;
    let text = id.expose();
    driver.layer().take();
    let who = client();
    for number in 0..STRINGS {
        let hostile = hostile(&text, number);
        match sessions.open(&hostile, &who).await {
            Err(SessionError::Invalid(InvalidReason::Malformed)) => {}
            other => panic!("{hostile:?} was taken for an id, and the answer was {other:?}"),
        }
        if number % 100 == 0 {
            let begun = sessions.open_or_create(Some(&hostile), &who).await;
            let begun = begun.expect("a new session");
            assert_eq!(begun.origin(), Origin::Replaced(InvalidReason::Malformed));
            assert_ne!(begun.handle(), id.handle());
        }
    }
    driver.layer().take().expect(&[]);
}

/// Unknown handles, and known handles with a secret that never was theirs, cost exactly one read, in
/// every mode; nothing is created.
pub async fn reads_once_for_unknown_ids(h: &dyn Harness) {
    let driver = Arc::new(Counting::over(h.connect().await));
    let all = built(over(h, Arc::clone(&driver)));
    let id = plain(&all).await;
    let (holdings, before) = (
        h.holdings().await,
        given::read(all.driver(), &id.handle()).await,
    );
    for mode in MODES {
        let sessions = all.with_mode(mode);
        let nobodys = forged(Key::from_bytes(std::array::from_fn(|_| fastrand::u8(..))));
        for unknown in [nobodys, forged(id.handle())] {
            driver.layer().take();
            invalid(&sessions, &unknown, InvalidReason::Unknown).await;
            driver.layer().take().expect(&[(Verb::Open, 1)]);
            let who = client();
            let begun = sessions.open_or_create(Some(&unknown.expose()), &who).await;
            let begun = begun.expect("a new session");
            assert_eq!(begun.origin(), Origin::Replaced(InvalidReason::Unknown));
            assert_ne!(begun.handle(), unknown.handle());
            driver.layer().take().expect(&[(Verb::Open, 1)]);
        }
        assert!(is_free(&all, id.handle()).await, "{mode:?}");
    }
    assert_eq!(h.holdings().await, holdings);
    let after = given::read(all.driver(), &id.handle()).await;
    assert_eq!((before.version, before.data), (after.version, after.data));
}

/// Renew keeps data, created-at, lock, fields and index.
pub async fn keeps_everything_through_a_renewal(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::OnOpen).await;
    let id = stored(&first, |session| session.insert("n", &7)).await;
    let has_fields = first.driver().fields().is_some();
    let has_subjects = first.driver().subjects().is_some();
    let mut session = open(&first.with_mode(LockMode::Optimistic), &id).await;
    if has_subjects {
        session
            .bind_subject("user")
            .await
            .expect("a place in the index");
        saved(&mut session).await;
    }
    if has_fields {
        let mut fields = session.fields().expect("fields");
        assert_eq!(fields.incr("hits", 3).await.expect("a sum"), 3);
    }
    h.advance(SECOND * 60).await;

    let mut holder = open(&first, &id).await;
    let fence = holder.fence().expect("a lock");
    let created = holder.created_at();
    holder.regenerate(Rotation::renew()).expect("a renewal");
    holder.save().await.expect("a saved session");
    let new = issued(&holder);
    assert_eq!(holder.fence(), Some(fence));
    holder.validate_lock().await.expect("the lock is kept");
    assert_eq!(new.handle(), id.handle());
    saved(&mut holder).await;

    let mut renewed = open(&second, &new).await;
    assert_eq!(renewed.created_at(), created);
    assert_eq!(renewed.get::<i64>("n").expect("a number"), Some(7));
    if has_fields {
        let hits = renewed.fields().expect("fields").get("hits").await;
        let hits = hits.expect("an answer").as_ref().map(Field::number);
        assert_eq!(hits.expect("a field").expect("a number"), 3);
    }
    saved(&mut renewed).await;
    if has_subjects {
        let listed = second.subject("user").list().await.expect("a list");
        assert_eq!(listed.len(), 1);
        assert_eq!(
            second.subject("user").revoke_all().await.expect("an end"),
            1
        );
        invalid(&second, &new, InvalidReason::Unknown).await;
    }
}

/// The old id stays current until the new one is first used, then is a zombie for exactly the grace.
pub async fn replaces_an_id_when_the_new_one_is_used(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let (told, grace) = (Told::default(), Rotation::GRACE);
    let watched = built(builder(h).await.events(told.clone()));
    let a = plain(&first).await;
    let b = rotated(&first, &a, Rotation::renew()).await;
    assert_eq!(b.handle(), a.handle());

    h.advance(grace * 4).await;
    used(&second, &a).await;
    let mut still_current = open(&watched, &a).await;
    still_current.insert("n", &1).expect("a change");
    saved(&mut still_current).await;
    assert_eq!(watched.counters().zombies, 0);

    used(&second, &b).await;
    assert_eq!(number(&watched, &a, "n").await, 1);
    assert_eq!(watched.counters().zombies, 1);
    h.advance(grace - SECOND).await;
    used(&watched, &a).await;
    assert_eq!(watched.counters().zombies, 2);
    let accessed = told.take().await;
    let zombies = accessed
        .iter()
        .filter(|event| matches!(event, Event::ZombieAccessed { .. }));
    assert_eq!(zombies.count(), 2, "{accessed:?}");
    h.advance(SECOND).await;
    invalid(&watched, &a, InvalidReason::Stale).await;
    assert_eq!(number(&watched, &b, "n").await, 1);
}

/// The request that presents a renewed id first confirms it with its own save, or with exactly one
/// call more; later ones do nothing.
pub async fn confirms_a_renewed_id_once(h: &dyn Harness) {
    let driver = Arc::new(Counting::over(h.connect().await));
    let all = built(over(h, Arc::clone(&driver)));
    for mode in MODES {
        let sessions = all.with_mode(mode);
        let a = plain(&all).await;
        used(&all, &a).await;
        let b = rotated(&all, &a, Rotation::Renew { grace: SECOND }).await;
        driver.layer().take();
        saved(&mut open(&sessions, &b).await).await;
        let calls = driver.layer().take();
        assert_eq!(calls.of(Verb::Save), 1, "{mode:?}: {calls}");
        assert_eq!(calls.total(), 2, "{mode:?}: {calls}");
        saved(&mut open(&sessions, &b).await).await;
        let calls = driver.layer().take();
        assert_eq!(calls.of(Verb::Save), 0, "{mode:?}: {calls}");
        h.advance(SECOND).await;
        invalid(&all, &a, InvalidReason::Stale).await;
        assert!(is_free(&all, b.handle()).await, "{mode:?}");
    }
    let a = plain(&all).await;
    let b = rotated(&all, &a, Rotation::Renew { grace: SECOND }).await;
    driver.layer().take();
    let mut session = open(&all, &b).await;
    session.insert("n", &1).expect("a change");
    saved(&mut session).await;
    driver
        .layer()
        .take()
        .expect(&[(Verb::Open, 1), (Verb::Save, 1)]);
    h.advance(SECOND).await;
    invalid(&all, &a, InvalidReason::Stale).await;
}

/// Beside a holder of the lock it is not confirmed, and nobody waits for that: a later use does it.
pub async fn confirms_no_id_beside_a_holder(h: &dyn Harness) {
    for mode in [LockMode::ReadOnly, LockMode::Optimistic] {
        let (first, second) = two(h, mode).await;
        let a = plain(&first).await;
        used(&first, &a).await;
        let b = rotated(&first, &a, Rotation::Renew { grace: SECOND }).await;
        let mut holder = open(&first.with_mode(LockMode::OnOpen), &a).await;
        let fence = holder.fence();
        let (reader, key) = (second.clone(), b.handle());
        let reading = tokio::spawn({
            let b = b.clone();
            async move { saved(&mut open(&reader, &b).await).await }
        });
        let waits = async || waiting::waiters(second.driver(), &key).await == 1;
        until(async || reading.is_finished() || waits().await).await;
        assert!(reading.is_finished(), "{mode:?}: a reader waits for a lock");
        assert!(!reading.await.expect("no panic").written, "{mode:?}");
        assert_eq!(waiting::holder(first.driver(), &key).await, fence);
        saved(&mut holder).await;
        assert!(is_free(&first, key).await, "{mode:?}");
        h.advance(2 * SECOND).await;
        used(&second, &a).await;

        used(&second, &b).await;
        h.advance(SECOND).await;
        invalid(&first, &a, InvalidReason::Stale).await;
    }
}

/// A client that never received the new cookie is not logged out and raises no theft signal, however
/// often that happens, and whichever cookie arrives in the end.
pub async fn logs_nobody_out_by_a_lost_answer(h: &dyn Harness) {
    let told = Told::default();
    let sessions = built(patient(builder(h).await.events(told.clone())));
    let a = stored(&sessions, |session| session.insert("n", &1)).await;
    let mut sent = Vec::new();
    for renewal in 0..40 {
        let mut session = open(&sessions, &a).await;
        session.regenerate(Rotation::renew()).expect("a renewal");
        let saved = saved(&mut session).await;
        assert_eq!(saved.id, Some(IdRotation::Rotated), "renewal {renewal}");
        sent.push(issued(&session));
        drop(session);
        h.advance(Rotation::GRACE * 3).await;
        assert_eq!(number(&sessions, &a, "n").await, 1);
    }
    // Of several answers the last one need not be the one that its client keeps.
    used(&sessions, &sent[sent.len() - 2]).await;
    let counters = sessions.counters();
    assert_eq!((counters.zombies, counters.invalid), (0, 0));
    let told = told.take().await;
    assert!(
        !told.iter().any(|event| matches!(
            event,
            Event::Invalid { .. } | Event::ZombieAccessed { .. } | Event::Ended { .. }
        )),
        "{told:?}"
    );
}

/// `Authenticate` leaves no zombie and ends all earlier ones.
pub async fn ends_all_earlier_ids_by_an_authentication(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let a = plain(&first).await;
    let b = rotated(&first, &a, Rotation::renew()).await;
    used(&first, &b).await;
    let c = rotated(&first, &b, Rotation::renew()).await;
    used(&second, &a).await;
    let d = rotated(&second, &b, Rotation::Authenticate).await;
    for ended in [&a, &b, &c] {
        assert_eq!(ended.handle(), d.handle());
        invalid(&first, ended, InvalidReason::Stale).await;
        invalid(&second, ended, InvalidReason::Stale).await;
    }
    assert_eq!(
        value::<String>(&first, &d, "place").await.as_deref(),
        Some("here")
    );
}

/// A zombie that authenticates ends all other ids too, and is given the new one.
pub async fn authenticates_on_a_former_id(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let a = plain(&first).await;
    let b = rotated(&first, &a, Rotation::renew()).await;
    used(&first, &b).await;
    let c = rotated(&second, &a, Rotation::Authenticate).await;
    invalid(&first, &a, InvalidReason::Stale).await;
    invalid(&first, &b, InvalidReason::Stale).await;
    used(&first, &c).await;
}

/// Grace 0 leaves no zombie.
pub async fn leaves_no_zombie_without_grace(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let a = plain(&first).await;
    let none = Rotation::Renew {
        grace: Duration::ZERO,
    };
    let b = rotated(&first, &a, none).await;
    used(&second, &a).await;
    used(&second, &b).await;
    invalid(&first, &a, InvalidReason::Stale).await;
}

/// After a Renew, R2 waiting on the old id gets the lock in its old place.
pub async fn keeps_the_place_of_waiters_through_a_renewal(h: &dyn Harness) {
    let (first, second) = (
        built(patient(builder(h).await.lock_mode(LockMode::OnOpen))),
        built(patient(builder(h).await.lock_mode(LockMode::OnOpen))),
    );
    let a = plain(&first).await;
    let mut holder = open(&first, &a).await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for place in 0..3 {
        let (sessions, id, order) = (second.clone(), a.clone(), Arc::clone(&order));
        waiting.push(tokio::spawn(async move {
            let mut session = open(&sessions, &id).await;
            order.lock().expect("a list").push(place);
            assert_eq!(session.get::<i64>("n").expect("a number"), Some(1 + place));
            session.insert("n", &(2 + place)).expect("a change");
            saved(&mut session).await;
        }));
        queued(&first, a.handle(), waiting.len()).await;
    }
    holder.insert("n", &1).expect("a change");
    holder.regenerate(Rotation::renew()).expect("a renewal");
    saved(&mut holder).await;
    let b = issued(&holder);
    for waiting in waiting {
        ended(h, waiting).await;
    }
    assert_eq!(*order.lock().expect("a list"), [0, 1, 2]);
    assert_eq!(number(&first, &b, "n").await, 4);
    assert!(is_free(&first, b.handle()).await);
}

/// After a Renew, R2 running on the old id saves into the same live session, in every mode, also
/// when the new id was used meanwhile.
pub async fn saves_into_the_same_session_after_a_renewal(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    for mode in [
        LockMode::Optimistic,
        LockMode::OnWrite,
        LockMode::Manual,
        LockMode::Off,
    ] {
        for is_used in [false, true] {
            let a = stored(&first, |session| session.insert("n", &1)).await;
            let mut running = open(&second.with_mode(mode), &a).await;
            let b = rotated(&first, &a, Rotation::renew()).await;
            if is_used {
                used(&first, &b).await;
            }
            let writable = running.write().await.expect("a session to write to");
            writable.insert("m", &2).expect("a change");
            saved(&mut running).await;
            assert!(matches!(running.id_update(), IdUpdate::Keep), "{mode:?}");
            assert_eq!(number(&first, &b, "m").await, 2, "{mode:?}");
            assert_eq!(number(&first, &b, "n").await, 1, "{mode:?}");
            assert_eq!(number(&first, &a, "m").await, 2, "{mode:?}");
        }
    }
}

/// A request that outlives the grace of its id saves into the live session all the same: what ends
/// it is an authentication, and nothing else. Its id opens nothing any more.
pub async fn saves_after_the_grace_of_its_id_is_over(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    for mode in [
        LockMode::Optimistic,
        LockMode::OnWrite,
        LockMode::Manual,
        LockMode::Off,
    ] {
        for rotations in [1, 12] {
            let a = stored(&first, |session| session.insert("n", &1)).await;
            let mut running = open(&second.with_mode(mode), &a).await;
            let mut newest = a.clone();
            for _ in 0..rotations {
                newest = rotated(&first, &newest, Rotation::Renew { grace: SECOND }).await;
                used(&first, &newest).await;
            }
            h.advance(2 * SECOND).await;
            // With more than 8 newer ones it is forgotten.
            let reason = match rotations {
                1 => InvalidReason::Stale,
                _ => InvalidReason::Unknown,
            };
            invalid(&first, &a, reason).await;

            let writable = running.write().await.expect("a session to write to");
            writable.insert("m", &2).expect("a change");
            writable.save().await.expect("a session to save into");
            running.follow().await.expect("a session to read");
            let renewed = running.regenerate(Rotation::renew());
            renewed.expect("a renewal of nothing");
            let saved = saved(&mut running).await;
            assert_ne!(saved.id, Some(IdRotation::Rotated), "{mode:?}");
            assert!(matches!(running.id_update(), IdUpdate::Keep), "{mode:?}");
            assert_eq!(number(&first, &newest, "m").await, 2, "{mode:?}");
            invalid(&first, &a, reason).await;
        }
    }
}

/// After an Authenticate: every save, grant, field write and feed of a request that opened with an
/// ended id is refused as `Stale`, nothing is saved, nothing newer is shown.
pub async fn refuses_everything_to_an_ended_id(h: &dyn Harness) {
    async fn is_stale(what: &str, session: &mut Session) -> bool {
        let buffer = NonZeroUsize::MIN;
        let answer = match what {
            "save" | "close" => {
                if let Err(error) = session.insert("n", &2) {
                    return matches!(error, SessionError::Invalid(InvalidReason::Stale));
                }
                if what == "save" {
                    session.save().await.map(drop)
                } else {
                    session.close().await.map(drop)
                }
            }
            "lock" => session.lock().await,
            "take" => session.take::<i64>("n").await.map(drop),
            "refresh" => session.refresh().await,
            "follow" => session.follow().await,
            "watch" => session.watch(buffer).await.map(drop),
            "incr" => match session.fields() {
                Ok(mut fields) => fields.incr("hits", 1).await.map(drop),
                Err(error) => Err(error),
            },
            // A place in the index is no more than a hint.
            "bind" => match session.bind_subject("user:42").await {
                Ok(()) => session.close().await.map(drop),
                Err(error) => Err(error),
            },
            "transact" => session.transact(|session| session.insert("n", &2)).await,
            other => match session.fields() {
                Ok(mut fields) => match other {
                    "append" => fields.append("log", "line").await,
                    "set field" => fields.set("log", "line").await,
                    "push" => fields.push("log", "line").await.map(drop),
                    "get field" => fields.get("kept").await.map(drop),
                    "list field" => fields.list::<i64>("kept", 0..1).await.map(drop),
                    "take field" => fields.take("kept").await.map(drop),
                    "clear field" => fields.clear("kept").await,
                    other => panic!("nobody knows how to {other}"),
                },
                Err(error) => Err(error),
            },
        };
        matches!(answer, Err(SessionError::Invalid(InvalidReason::Stale)))
    }

    let (first, second) = two(h, LockMode::Optimistic).await;
    let mut ways = vec![
        "save", "close", "lock", "take", "refresh", "follow", "transact",
    ];
    if first.driver().changes().is_some() {
        ways.push("watch");
    }
    if first.driver().fields().is_some() {
        ways.extend(["incr", "append", "set field", "push", "get field"]);
        ways.extend(["list field", "take field", "clear field"]);
    }
    if first.driver().subjects().is_some() {
        ways.push("bind");
    }
    for mode in [LockMode::Optimistic, LockMode::Off] {
        for what in &ways {
            let a = stored(&first, |session| session.insert("n", &1)).await;
            let mut running = open(&second.with_mode(mode), &a).await;
            let mut authenticating = open(&first, &a).await;
            authenticating.insert("secret", &1).expect("a change");
            let rotation = authenticating.regenerate(Rotation::Authenticate);
            rotation.expect("an authentication");
            saved(&mut authenticating).await;
            let b = issued(&authenticating);
            if let Ok(mut fields) = authenticating.fields() {
                fields.push("kept", &7).await.expect("a change");
            }
            let before = given::read(first.driver(), &b.handle()).await;

            assert!(is_stale(what, &mut running).await, "{mode:?} {what}");
            assert!(is_stale(what, &mut running).await, "{mode:?} {what} again");
            assert_eq!(running.get::<i64>("secret").expect("nothing newer"), None);
            drop(running);
            turns().await;
            let after = given::read(first.driver(), &b.handle()).await;
            assert!(before.data == after.data, "{mode:?} {what}");
            // A place that is given back is marked by a version.
            let same = before.version == after.version;
            assert!(same || *what == "bind", "{mode:?} {what}");
            assert!(is_free(&first, b.handle()).await, "{mode:?} {what}");
            if first.driver().fields().is_some() {
                let mut session = open(&first, &b).await;
                let mut fields = session.fields().expect("fields");
                for name in ["hits", "log"] {
                    assert!(fields.get(name).await.expect("an answer").is_none());
                }
                let kept: Vec<i64> = fields.list("kept", 0..9).await.expect("an answer");
                assert_eq!(kept, [7], "{mode:?} {what}");
            }
            if first.driver().subjects().is_some() {
                let listed = first.subject("user:42").list().await;
                assert_eq!(listed.expect("a list"), [], "{mode:?} {what}");
            }
        }
    }
}

/// After an Authenticate, whoever holds the lock under an ended id, or waits for it, is refused as
/// `Stale`.
pub async fn refuses_the_lock_to_an_ended_id(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::OnOpen).await;
    let a = stored(&first, |session| session.insert("n", &1)).await;
    let mut holder = open(&first, &a).await;
    let (sessions, id) = (second.clone(), a.clone());
    let waiting =
        tokio::spawn(async move { sessions.open(&id.expose(), &client()).await.map(drop) });
    queued(&first, a.handle(), 1).await;
    holder.insert("secret", &1).expect("a change");
    holder
        .regenerate(Rotation::Authenticate)
        .expect("an authentication");
    saved(&mut holder).await;
    refused!(
        ended(h, waiting).await,
        SessionError::Invalid(InvalidReason::Stale)
    );
    assert!(is_free(&first, a.handle()).await);
    invalid(&second, &a, InvalidReason::Stale).await;
    used(&second, &issued(&holder)).await;
}

/// A→B→C by renewals: A opens the session until A's own deadline; B's deadline does not extend A's.
pub async fn ends_each_former_id_at_its_own_deadline(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let grace = Rotation::GRACE;
    let a = plain(&first).await;
    let b = rotated(&first, &a, Rotation::renew()).await;
    used(&second, &b).await;
    h.advance(grace / 2).await;
    let c = rotated(&first, &b, Rotation::renew()).await;
    used(&second, &c).await;

    h.advance(grace / 2 - SECOND).await;
    used(&second, &a).await;
    used(&second, &b).await;
    h.advance(SECOND).await;
    invalid(&second, &a, InvalidReason::Stale).await;
    h.advance(grace / 2 - SECOND).await;
    invalid(&second, &a, InvalidReason::Stale).await;
    used(&second, &b).await;
    h.advance(SECOND).await;
    invalid(&second, &b, InvalidReason::Stale).await;
    used(&first, &c).await;
}

/// 1,000 rotations do not grow the record beyond 8 former hashes; live former ids are kept first.
pub async fn forgets_old_ids_of_many_rotations(h: &dyn Harness) {
    let sessions = sessions(h, LockMode::Optimistic).await;
    let first = plain(&sessions).await;
    let none = Rotation::Renew {
        grace: Duration::ZERO,
    };
    let size = async || {
        given::read(sessions.driver(), &first.handle())
            .await
            .data
            .len()
    };
    let (mut id, mut largest_of_some, mut former) = (first.clone(), 0, Vec::new());
    for rotation in 0..1000 {
        let next = if rotation % 2 == 0 {
            rotated(&sessions, &id, none).await
        } else {
            rotated(&sessions, &id, Rotation::Authenticate).await
        };
        used(&sessions, &next).await;
        former.push(std::mem::replace(&mut id, next));
        let size = size().await;
        if rotation < 20 {
            largest_of_some = largest_of_some.max(size);
        } else {
            assert!(
                size <= largest_of_some,
                "{size} bytes after {rotation} rotations"
            );
        }
    }
    assert_eq!(
        value::<String>(&sessions, &id, "place").await.as_deref(),
        Some("here")
    );
    invalid(
        &sessions,
        former.last().expect("many"),
        InvalidReason::Stale,
    )
    .await;
    invalid(&sessions, &first, InvalidReason::Unknown).await;

    let alive = id;
    let mut id = rotated(&sessions, &alive, Rotation::renew()).await;
    used(&sessions, &id).await;
    for _ in 0..20 {
        id = rotated(&sessions, &id, none).await;
        used(&sessions, &id).await;
    }
    used(&sessions, &alive).await;
}

/// Delete through A, B or C deletes the session; all are invalid then, none is an error.
pub async fn ends_a_session_through_any_of_its_ids(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    for through in 0..3 {
        let a = plain(&first).await;
        let b = rotated(&first, &a, Rotation::renew()).await;
        used(&first, &b).await;
        let c = rotated(&first, &b, Rotation::renew()).await;
        used(&first, &c).await;
        let ids = [a, b, c];
        let mut late = open(&first, &ids[2]).await;
        open(&second, &ids[through])
            .await
            .delete()
            .await
            .expect("an end");
        for id in &ids {
            invalid(&first, id, InvalidReason::Unknown).await;
            let who = client();
            let begun = first.open_or_create(Some(&id.expose()), &who).await;
            assert!(begun.expect("a new session").is_new());
        }
        late.delete().await.expect("an end of what is over");
        given::swept(first.driver()).await;
        assert_eq!(h.holdings().await, 0);
    }
}

/// Of two parallel renewals the second is `AlreadyRotated`: it saves its changes, and its client is
/// given no id.
pub async fn renews_once_of_two_renewals(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    for is_used in [false, true] {
        let a = plain(&first).await;
        let (mut one, mut other) = (open(&first, &a).await, open(&second, &a).await);
        for (session, key) in [(&mut one, "one"), (&mut other, "other")] {
            session.regenerate(Rotation::renew()).expect("a renewal");
            session.insert(key, &1).expect("a change");
        }
        assert_eq!(saved(&mut one).await.id, Some(IdRotation::Rotated));
        let b = issued(&one);
        if is_used {
            used(&first, &b).await;
        }
        assert_eq!(saved(&mut other).await.id, Some(IdRotation::AlreadyRotated));
        assert!(matches!(other.id_update(), IdUpdate::Keep));
        for key in ["one", "other"] {
            assert_eq!(number(&first, &b, key).await, 1);
        }
    }
}

/// Of many parallel authentications one wins and the others are `Conflict`; there is never a second
/// live session, and only the winner's id opens it.
pub async fn authenticates_once_of_many(h: &dyn Harness) {
    const REQUESTS: usize = 8;

    let handles = [
        built(patient(builder(h).await)),
        built(patient(builder(h).await)),
    ];
    for _ in 0..8 {
        let a = plain(&handles[0]).await;
        let mut racers = Vec::new();
        for request in 0..REQUESTS {
            let mut session = open(&handles[request % 2], &a).await;
            racers.push(async move {
                session
                    .regenerate(Rotation::Authenticate)
                    .expect("a rotation");
                session.insert("winner", &request).expect("a change");
                match session.close().await {
                    Ok(saved) => {
                        assert_eq!(saved.id, Some(IdRotation::Rotated));
                        Some((request, issued(&session)))
                    }
                    Err(SessionError::Conflict(conflict)) => {
                        assert!(conflict.is_authentication());
                        assert!(!matches!(session.id_update(), IdUpdate::Issue(_)));
                        None
                    }
                    Err(error) => panic!("a conflict was expected, not {error:?}"),
                }
            });
        }
        let won: Vec<_> = raced(h, racers).await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1);
        let (winner, b) = &won[0];
        assert_eq!(value(&handles[0], b, "winner").await, Some(*winner));
        invalid(&handles[1], &a, InvalidReason::Stale).await;
        let driver = handles[0].driver();
        assert_eq!(h.holdings().await, 1, "there is one session");
        driver
            .delete(&a.handle(), given::log_out())
            .await
            .expect("an end");
        given::swept(driver).await;
    }
}

/// Of many parallel renewals one wins, and the others are `AlreadyRotated`.
pub async fn renews_once_of_many(h: &dyn Harness) {
    const REQUESTS: usize = 8;

    let handles = [
        built(patient(builder(h).await)),
        built(patient(builder(h).await)),
    ];
    for _ in 0..8 {
        let a = plain(&handles[0]).await;
        let mut racers = Vec::new();
        for request in 0..REQUESTS {
            let mut session = open(&handles[request % 2], &a).await;
            racers.push(async move {
                session.regenerate(Rotation::renew()).expect("a rotation");
                session.insert(&format!("{request}"), &1).expect("a change");
                match saved(&mut session).await.id {
                    Some(IdRotation::Rotated) => Some(issued(&session)),
                    other => {
                        assert_eq!(other, Some(IdRotation::AlreadyRotated));
                        assert!(matches!(session.id_update(), IdUpdate::Keep));
                        None
                    }
                }
            });
        }
        let won: Vec<_> = raced(h, racers).await.into_iter().flatten().collect();
        assert_eq!(won.len(), 1);
        for request in 0..REQUESTS {
            let kept = number(&handles[0], &won[0], &format!("{request}")).await;
            assert_eq!(kept, 1, "request {request}");
        }
        used(&handles[1], &a).await;
    }
}

/// After its deadline an old id whose successor was confirmed is `Stale`, the event runs once per
/// open, and no lock is left taken.
pub async fn tells_once_of_a_stale_id(h: &dyn Harness) {
    let told = Told::default();
    let all = built(builder(h).await.events(told.clone()));
    for mode in MODES {
        let sessions = all.with_mode(mode);
        let a = plain(&all).await;
        let b = rotated(&all, &a, Rotation::renew()).await;
        used(&all, &b).await;
        h.advance(Rotation::GRACE).await;
        told.take().await;
        for _ in 0..2 {
            invalid(&sessions, &a, InvalidReason::Stale).await;
            let events = told.take().await;
            let [
                Event::Invalid {
                    reason: InvalidReason::Stale,
                    handle: Some(handle),
                    ..
                },
            ] = events[..]
            else {
                panic!("one event was expected, and these came: {events:?}");
            };
            assert_eq!(handle, a.handle());
            assert!(is_free(&all, a.handle()).await, "{mode:?}");
        }
        used(&all, &b).await;
    }
}

/// A zombie request gets no session cookie, neither a new one nor a removal, unless it
/// authenticates.
pub async fn gives_a_zombie_no_id(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let a = plain(&first).await;
    let b = rotated(&first, &a, Rotation::renew()).await;
    used(&second, &b).await;

    let mut zombie = open(&first, &a).await;
    zombie
        .regenerate(Rotation::renew())
        .expect("a renewal of nothing");
    zombie.insert("n", &1).expect("a change");
    assert_eq!(
        saved(&mut zombie).await.id,
        Some(IdRotation::AlreadyRotated)
    );
    assert!(matches!(zombie.id_update(), IdUpdate::Keep));
    used(&second, &b).await;

    let mut zombie = open(&first, &a).await;
    zombie
        .regenerate(Rotation::Authenticate)
        .expect("an authentication");
    saved(&mut zombie).await;
    let c = issued(&zombie);
    invalid(&second, &b, InvalidReason::Stale).await;
    used(&second, &c).await;

    let d = rotated(&first, &c, Rotation::renew()).await;
    used(&second, &d).await;
    let mut zombie = open(&first, &c).await;
    zombie.delete().await.expect("an end");
    assert!(matches!(zombie.id_update(), IdUpdate::Keep));
}

/// The stored form of an id is never accepted as an id.
pub async fn accepts_no_stored_form_of_an_id(h: &dyn Harness) {
    let sessions = sessions(h, LockMode::Optimistic).await;
    let a = plain(&sessions).await;
    let b = rotated(&sessions, &a, Rotation::renew()).await;
    let stored = given::read(sessions.driver(), &a.handle()).await;
    let secrets = [&bytes_of(&a)[16..], &bytes_of(&b)[16..]].map(<[u8]>::to_vec);
    for secret in &secrets {
        let is_there = stored.data.windows(secret.len()).any(|part| part == secret);
        assert!(!is_there, "a secret is stored");
    }
    // Whatever a thief of the record tries as a secret, it opens nothing.
    for part in stored.data.windows(24) {
        let forged = [a.handle().as_bytes(), part].concat();
        let text = Base64UrlUnpadded::encode_string(&forged);
        refused!(
            sessions.open(&text, &client()).await,
            SessionError::Invalid(InvalidReason::Unknown)
        );
    }
    let proof = stored.stamp.proofs.current;
    let padded = [a.handle().as_bytes(), &proof.as_bytes()[..], &[0; 8]].concat();
    let text = Base64UrlUnpadded::encode_string(&padded);
    refused!(
        sessions.open(&text, &client()).await,
        SessionError::Invalid(InvalidReason::Unknown)
    );
}

/// An id of this session with a secret that nobody drew for it.
fn forged(handle: Key) -> SessionId {
    let mut bytes = [0; 40];
    fastrand::fill(&mut bytes);
    bytes[..16].copy_from_slice(handle.as_bytes());
    SessionId::parse(&Base64UrlUnpadded::encode_string(&bytes)).expect("the form of an id")
}

fn bytes_of(id: &SessionId) -> Vec<u8> {
    Base64UrlUnpadded::decode_vec(&id.expose()).expect("base64url")
}

/// A string that is no id, made of one.
fn hostile(id: &str, number: usize) -> String {
    const STRANGERS: [&str; 12] = [
        "+", "/", "=", " ", ".", "\0", "\n", "%", "é", "\u{202e}", "%00", "..",
    ];
    let at = fastrand::usize(..id.len());
    let stranger = STRANGERS[fastrand::usize(..STRANGERS.len())];
    let mut text = match number % 8 {
        0 => [&id[..at], stranger, &id[at + 1..]].concat(),
        1 => id[..at].to_owned(),
        2 => [id, &id[..=at]].concat(),
        3 => [&id[..at], stranger, &id[at..]].concat(),
        4 => std::iter::repeat_with(fastrand::alphanumeric)
            .take(at)
            .collect(),
        // The spare bits of the last letter are not zero.
        5 => [&id[..id.len() - 1], ["B", "x", "9", "_"][at % 4]].concat(),
        6 => std::iter::repeat_with(|| fastrand::char(..))
            .take(54)
            .collect(),
        _ => "A".repeat(if at == 0 { 1 << 16 } else { 54 + at }),
    };
    if text.len() == SessionId::LEN_SPLIT {
        // As long as one with a half is.
        text.push('A');
    }
    text
}

#[derive(Clone, Debug, Default)]
struct Failing(Arc<AtomicBool>);

impl IdSource for Failing {
    fn fill(&self, draw: Draw, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        if self.0.load(Ordering::SeqCst) {
            return Err(getrandom::Error::UNEXPECTED);
        }
        OsRandom.fill(draw, bytes)
    }
}

/// Handles and secrets of sixteen values each.
#[derive(Debug)]
struct FourBits;

impl IdSource for FourBits {
    fn fill(&self, draw: Draw, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        match draw {
            Draw::Handle | Draw::Secret => bytes.fill(fastrand::u8(..16)),
            _ => OsRandom.fill(draw, bytes)?,
        }
        Ok(())
    }
}
