//! The session layer in trouble: stores that fail, locks that do not come, events that misbehave, and
//! what is shown of all that.

use std::{
    error::Error,
    fmt::{self, Debug},
    future::pending,
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_core::{Driver, ErrorKind};
use asm_session::{
    Client, Draw, Event, Events, IdSource, InvalidReason, LockMode, OnLockTimeout, OsRandom,
    Profile, ProfilePolicy, Rotation, Session, SessionError, SessionId, Sessions,
};
use async_trait::async_trait;
use base64ct::{Base64UrlUnpadded, Encoding};
use futures_util::{FutureExt, future::join};
use tracing::Level;

use crate::{
    Chaos, Fault, Harness, Layered, Verb,
    canaries::forms,
    cancel_at,
    clock::turns,
    count_awaits, given,
    log::Log,
    sessions::{
        Told, builder, built, client, invalid, is_free, issued, number, open, over, plain, refused,
        rotated, saved, sessions, shared, troubled, value,
    },
    waiting::{self, until},
};

/// Neither for those who open, nor for those who would begin a new one when there is none.
pub async fn gives_no_session_when_an_open_fails(h: &dyn Harness) {
    for mode in MODES {
        let (driver, sessions) = over_trouble(h, mode).await;
        let id = plain(&sessions).await;
        for fault in FAULTS {
            driver.layer().next(Verb::Open, fault);
            let opened = sessions.open(&id.expose(), &client()).await;
            failed(mode, &opened.map(drop));
            driver.layer().next(Verb::Open, fault);
            let text = id.expose();
            let opened = sessions.open_or_create(Some(&text), &client()).await;
            failed(mode, &opened.map(drop));
        }
        turns().await;
        assert!(is_free(&sessions, id.handle()).await, "{mode:?}");
        open(&sessions, &id).await;
    }
}

/// When the lock comes by a call of its own, and that call fails.
pub async fn gives_no_session_when_its_lock_fails(h: &dyn Harness) {
    let (driver, sessions) = over_trouble(h, LockMode::OnOpen).await;
    let id = plain(&sessions).await;
    for fault in FAULTS {
        let holder = open(&sessions, &id).await;
        driver.layer().next(Verb::Acquire, fault);
        let opening = async { sessions.open(&id.expose(), &client()).await };
        let release = async {
            turns().await;
            drop(holder);
            turns().await;
            h.advance(h.recheck()).await;
        };
        let (opened, ()) = join(opening, release).await;
        failed(LockMode::OnOpen, &opened.map(drop));
        turns().await;
        assert!(is_free(&sessions, id.handle()).await, "{fault:?}");
    }
}

/// It stays as it was, changes included.
pub async fn empties_no_session_when_a_read_fails(h: &dyn Harness) {
    let (driver, sessions) = over_trouble(h, LockMode::Optimistic).await;
    let id = plain(&sessions).await;
    let mut session = open(&sessions, &id).await;
    session.insert("n", &1).expect("a change");
    for fault in FAULTS {
        driver.layer().next(Verb::Open, fault);
        failed(LockMode::Optimistic, &session.follow().await);
        assert_eq!(place(&session), Some("here".to_owned()));
        assert!(session.is_modified());
    }
    saved(&mut session).await;
    assert_eq!(number(&sessions, &id, "n").await, 1);
}

/// It is tried again with the same call, and counts once; nothing of it is lost.
pub async fn loses_nothing_by_a_save_that_fails(h: &dyn Harness) {
    for mode in WRITING {
        let (driver, sessions) = over_trouble(h, mode).await;
        let id = plain(&sessions).await;
        let mut session = open(&sessions, &id).await;
        let writable = session.write().await.expect("a free lock");
        writable.add("n", 1).expect("a sum that fits");
        for fault in FAULTS {
            driver.layer().next(Verb::Save, fault);
            failed(mode, &session.close().await);
            assert!(session.is_modified(), "{mode:?}, {fault:?}");
        }
        assert!(saved(&mut session).await.written);
        assert_eq!(number(&sessions, &id, "n").await, 1, "{mode:?}");
        assert_eq!(place(&session), Some("here".to_owned()));
    }
}

/// Neither `lock` nor `write` takes another one in place of a lost one while there are changes that
/// were to be saved under it; without any, and after a discard, they do.
pub async fn replaces_no_lost_lock_under_changes(h: &dyn Harness) {
    for mode in [LockMode::OnWrite, LockMode::OnOpen, LockMode::Manual] {
        let sessions = sessions(h, mode).await;
        let id = plain(&sessions).await;
        for changed in [false, true] {
            let mut session = open(&sessions, &id).await;
            session.lock().await.expect("a free lock");
            if changed {
                session.insert("n", &1).expect("a change under the lock");
            }
            let broken = sessions.by_handle(id.handle()).break_lock(None).await;
            broken.expect("a broken lock");
            let lost = session.validate_lock().await;
            assert!(matches!(lost, Err(SessionError::LockLost)), "{lost:?}");
            if changed {
                for _ in 0..2 {
                    let locked = session.lock().await;
                    assert!(matches!(locked, Err(SessionError::LockLost)), "{mode:?}");
                    let written = session.write().await.map(drop);
                    assert!(matches!(written, Err(SessionError::LockLost)), "{mode:?}");
                    let stored = session.close().await;
                    assert!(matches!(stored, Err(SessionError::LockLost)), "{mode:?}");
                }
                session.discard();
            }
            session.lock().await.expect("a free lock");
            assert!(session.is_locked());
            session.insert("m", &1).expect("a change under the lock");
            saved(&mut session).await;
        }
        assert_eq!(value::<i64>(&sessions, &id, "n").await, None, "{mode:?}");
    }
}

/// A renewal that comes too late for a release on its way tells of no lost lock.
pub async fn tells_of_no_lost_lock_when_it_was_released(h: &dyn Harness) {
    for unlocks in [false, true] {
        let (told, driver) = (Told::default(), Arc::new(troubled(h).await));
        let settings = over(h, Arc::clone(&driver)).events(told.clone());
        let sessions = built(settings.lock_mode(LockMode::OnOpen));
        let id = plain(&sessions).await;
        let mut session = open(&sessions, &id).await;
        session.insert("n", &1).expect("a change under the lock");
        if unlocks {
            session.save().await.expect("the lock is held");
        }
        let keeper = session.keeper();
        driver.layer().pause(500);
        let closing = async {
            if unlocks {
                session.unlock().await.expect("a release");
            } else {
                saved(&mut session).await;
            }
        };
        let mut closing = std::pin::pin!(keeper.keep_alive(closing));
        let others = h.connect().await;
        until(async || {
            assert!(closing.as_mut().now_or_never().is_none());
            waiting::is_free(&*others, &id.handle()).await
        })
        .await;
        // It is released, and the answer is on its way, when the renewal is due.
        driver.layer().pause(0);
        h.advance(Duration::from_secs(3)).await;
        closing.await;
        assert_eq!(sessions.counters().lost_locks, 0);
        let events = told.take().await;
        let is_lost = |event: &Event| matches!(event, Event::LockLost { .. });
        assert!(!events.iter().any(is_lost), "{events:?}");
        assert_eq!(number(&sessions, &id, "n").await, 1);
    }
}

/// One whose outcome is unknown is no refusal, and is told of as what it is.
pub async fn counts_no_unknown_outcome_as_a_refusal(h: &dyn Harness) {
    let (driver, sessions) = over_trouble(h, LockMode::Optimistic).await;
    let id = plain(&sessions).await;
    for takes in [false, true] {
        let before = sessions.counters();
        let mut session = open(&sessions, &id).await;
        session.insert("n", &takes).expect("a change");
        let log = Log::capture();
        driver.layer().next(Verb::Save, Fault::LostAnswer);
        if takes {
            let taken = session.take::<String>("place").await;
            failed(LockMode::Optimistic, &taken);
        } else {
            failed(LockMode::Optimistic, &session.close().await);
        }
        let warnings = log.take_warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].text.contains("is not known"), "{warnings:?}");
        saved(&mut session).await;
        let after = sessions.counters();
        assert_eq!(after.unknown_writes, before.unknown_writes + 1);
        assert_eq!(after.refused_writes, 0);
    }
}

/// A take that was refused says nothing of other changes: when they are dropped, that is told.
pub async fn tells_of_changes_dropped_after_a_refused_take(h: &dyn Harness) {
    let (driver, sessions) = over_trouble(h, LockMode::Optimistic).await;
    let id = plain(&sessions).await;
    let mut session = open(&sessions, &id).await;
    session.insert("n", &1).expect("a change");
    let trouble = Fault::Refused(ErrorKind::Full);
    driver.layer().next(Verb::Save, trouble);
    failed(LockMode::Optimistic, &session.take::<String>("place").await);
    let log = Log::capture();
    drop(session);
    assert_eq!(log.take_warnings().len(), 1);
    let counters = sessions.counters();
    assert_eq!((counters.refused_writes, counters.dropped_changes), (1, 1));
}

/// Also when others saved in between, and when more was changed before it was called again.
pub async fn counts_a_save_once_whose_answer_was_lost(h: &dyn Harness) {
    for mode in [LockMode::Optimistic, LockMode::Off] {
        let (driver, sessions) = over_trouble(h, mode).await;
        let id = plain(&sessions).await;
        let mut session = open(&sessions, &id).await;
        session.add("n", 1).expect("a sum that fits");
        driver.layer().next(Verb::Save, Fault::LostAnswer);
        failed(mode, &session.save().await);
        let mut other = open(&sessions, &id).await;
        other.add("m", 10).expect("a sum that fits");
        saved(&mut other).await;
        session.add("n", 100).expect("a sum that fits");
        assert!(saved(&mut session).await.written);
        assert_eq!(number(&sessions, &id, "n").await, 101, "{mode:?}");
    }
    for mode in [LockMode::OnWrite, LockMode::OnOpen] {
        let (driver, sessions) = over_trouble(h, mode).await;
        let id = plain(&sessions).await;
        let mut session = open(&sessions, &id).await;
        let writable = session.write().await.expect("a free lock");
        writable.add("n", 1).expect("a sum that fits");
        driver.layer().next(Verb::Save, Fault::LostAnswer);
        failed(mode, &session.close().await);
        assert!(saved(&mut session).await.written);
        assert_eq!(number(&sessions, &id, "n").await, 1, "{mode:?}");
    }
}

/// Whether it was stored or not; the session goes on from what is there.
pub async fn applies_nothing_again_after_an_unknown_outcome(h: &dyn Harness) {
    for arrived in [true, false] {
        let (driver, sessions) = over_trouble(h, LockMode::Optimistic).await;
        let id = plain(&sessions).await;
        let mut session = open(&sessions, &id).await;
        session.add("n", 1).expect("a sum that fits");
        let lost = Fault::Refused(ErrorKind::Timeout);
        let fault = if arrived { Fault::LostAnswer } else { lost };
        driver.layer().next(Verb::Save, fault);
        failed(LockMode::Optimistic, &session.save().await);
        for _ in 0..8 {
            let mut other = open(&sessions, &id).await;
            other.add("m", 1).expect("a sum that fits");
            saved(&mut other).await;
        }
        let unknown = session.save().await.expect_err("an unknown outcome");
        assert!(unknown.is_unknown(), "{unknown:?}");
        saved(&mut session).await;
        session.add("m", 1).expect("a sum that fits");
        saved(&mut session).await;
        let found = (
            number(&sessions, &id, "n").await,
            number(&sessions, &id, "m").await,
        );
        assert_eq!(found, (i64::from(arrived), 9));
    }
}

/// Nobody is given its id before.
pub async fn makes_one_session_when_the_answer_to_its_create_is_lost(h: &dyn Harness) {
    for mode in WRITING {
        let (driver, sessions) = over_trouble(h, mode).await;
        let before = h.holdings().await;
        let mut session = sessions.create(&client()).expect("a new session");
        let writable = session.write().await.expect("nobody else knows it");
        writable.insert("n", &1).expect("a change");
        driver.layer().next(Verb::Create, Fault::LostAnswer);
        failed(mode, &session.save().await);
        assert!(session.is_new());
        saved(&mut session).await;
        assert_eq!(number(&sessions, &issued(&session), "n").await, 1);
        let other = plain(&sessions).await;
        let with_two = h.holdings().await;
        open(&sessions, &other)
            .await
            .delete()
            .await
            .expect("an end");
        let with_one = h.holdings().await;
        assert_eq!(with_two - with_one, with_one - before, "{mode:?}");
    }
}

/// At every await of an open, a lock, a save and a close.
pub async fn leaves_no_lock_of_a_request_that_was_dropped(h: &dyn Harness) {
    for mode in WRITING {
        let (driver, sessions) = over_trouble(h, mode).await;
        let id = plain(&sessions).await;
        driver.layer().pause(1);
        let (done, awaits) = count_awaits(request(&sessions, &id)).await;
        done.expect("a request");
        assert!(awaits >= 6, "{mode:?} waits {awaits} times only");
        for place in 1..=awaits {
            let before = number(&sessions, &id, "n").await;
            let answer = cancel_at(place, request(&sessions, &id)).await;
            turns().await;
            h.advance(Duration::ZERO).await;
            let free = is_free(&sessions, id.handle()).await;
            assert!(free, "{mode:?}: dropped at {place}");
            let added = number(&sessions, &id, "n").await - before;
            assert!((0..=2).contains(&added), "{mode:?}: dropped at {place}");
            assert!(answer.is_none_or(|answer| answer.is_ok()));
        }
    }
}

/// When it is called again.
pub async fn counts_a_save_once_that_was_dropped(h: &dyn Harness) {
    for mode in WRITING {
        let (driver, sessions) = over_trouble(h, mode).await;
        driver.layer().pause(2);
        let id = plain(&sessions).await;
        for place in 1..=4 {
            let mut session = open(&sessions, &id).await;
            let writable = session.write().await.expect("a free lock");
            writable.add("n", 1).expect("a sum that fits");
            cancel_at(place, session.close()).await;
            saved(&mut session).await;
            let sum = number(&sessions, &id, "n").await;
            assert_eq!(sum, place as i64, "{mode:?}: dropped at {place}");
        }
    }
}

/// A log out is no write under the lock: it works although that was lost.
pub async fn logs_out_after_a_lost_lock(h: &dyn Harness) {
    for mode in LOCKING {
        let sessions = sessions(h, mode).await;
        let id = plain(&sessions).await;
        let mut session = locked(&sessions, &id).await;
        session.insert("place", "there").expect("it is locked");
        let handle = sessions.by_handle(id.handle());
        handle.break_lock(None).await.expect("a broken lock");
        refused!(session.validate_lock().await, SessionError::LockLost);
        session.delete().await.expect("an end");
        invalid(&sessions, &id, InvalidReason::Unknown).await;
        drop(session);
        given::swept(sessions.driver()).await;
        assert_eq!(h.holdings().await, 0, "{mode:?}");
    }
}

/// For as long as it was to be waited for, and not longer.
pub async fn tells_of_a_lock_that_does_not_come_in_time(h: &dyn Harness) {
    for mode in LOCKING {
        let settings = builder(h).await.lock_mode(mode).lock_wait(WAIT);
        let sessions = built(settings);
        let id = plain(&sessions).await;
        let _holder = locked(&sessions, &id).await;
        let (late, ()) = join(attempt(&sessions, &id), h.advance(WAIT)).await;
        assert!(matches!(late, Err(SessionError::LockTimeout)), "{late:?}");
        assert_eq!(sessions.counters().lock_timeouts, 1, "{mode:?}");
    }
}

/// At once.
pub async fn tells_of_a_queue_that_is_full(h: &dyn Harness) {
    for mode in LOCKING {
        let settings = builder(h).await.lock_mode(mode).lock_wait(WAIT);
        let sessions = built(settings.lock_queue(0));
        let id = plain(&sessions).await;
        let _holder = locked(&sessions, &id).await;
        let late = attempt(&sessions, &id).await;
        assert!(matches!(late, Err(SessionError::QueueFull)), "{late:?}");
        assert_eq!(sessions.counters().lock_timeouts, 1, "{mode:?}");
    }
}

/// What was stored before, and nothing can be changed.
pub async fn reads_when_the_lock_does_not_come_in_time(h: &dyn Harness) {
    for queue in [Some(6), Some(0)] {
        let settings = builder(h).await.lock_mode(LockMode::OnOpen);
        let settings = settings.lock_wait(WAIT).lock_queue(queue);
        let sessions = built(settings.on_lock_timeout(OnLockTimeout::ReadOnly));
        let id = plain(&sessions).await;
        let mut holder = open(&sessions, &id).await;
        let text = id.expose();
        let (late, ()) = join(sessions.open(&text, &client()), h.advance(WAIT)).await;
        let mut late = late.expect("a session to be read");
        assert_eq!(place(&late), Some("here".to_owned()));
        assert_eq!(late.mode(), LockMode::ReadOnly);
        let refused = late.insert("place", "there");
        assert!(
            matches!(refused, Err(SessionError::ReadOnly)),
            "{refused:?}"
        );
        saved(&mut late).await;
        holder.insert("place", "there").expect("it is locked");
        saved(&mut holder).await;
        let stored: Option<String> = value(&sessions, &id, "place").await;
        assert_eq!(stored.as_deref(), Some("there"));
    }
}

/// The lock is asked for after the open in these modes, and the session becomes one for reading.
pub async fn reads_on_when_a_later_lock_does_not_come(h: &dyn Harness) {
    for mode in [LockMode::OnWrite, LockMode::Manual] {
        let settings = builder(h).await.lock_mode(mode).lock_wait(WAIT);
        let sessions = built(settings.on_lock_timeout(OnLockTimeout::ReadOnly));
        let id = plain(&sessions).await;
        let _holder = locked(&sessions, &id).await;
        let mut late = open(&sessions, &id).await;
        let (refused, ()) = join(late.lock(), h.advance(WAIT)).await;
        assert!(
            matches!(refused, Err(SessionError::ReadOnly)),
            "{refused:?}"
        );
        assert_eq!(place(&late), Some("here".to_owned()));
        let refused = late.insert("place", "there");
        assert!(
            matches!(refused, Err(SessionError::ReadOnly)),
            "{refused:?}"
        );
    }
}

/// Whatever is told, and to whomever.
pub async fn changes_no_outcome_by_events_that_panic(h: &dyn Harness) {
    same_outcome(h, Manner::Panics).await;
}

/// They are ended after a while.
pub async fn changes_no_outcome_by_events_that_hang(h: &dyn Harness) {
    same_outcome(h, Manner::Hangs).await;
}

/// A conflict, an end, a lost lock, a stale id, a failing store: one warning and one count each.
pub async fn logs_and_counts_each_refused_write_once(h: &dyn Harness) {
    for refusal in Refusal::ALL {
        let (driver, sessions) = over_trouble(h, refusal.mode()).await;
        let id = plain(&sessions).await;
        let mut session = open(&sessions, &id).await;
        refusal.provoke(&driver, &sessions, &id, &mut session).await;
        let log = Log::capture();
        session.close().await.expect_err("a refusal");
        drop(session);
        let lines = log.take();
        let warned = lines
            .iter()
            .filter(|line| line.level == Level::WARN && line.text.contains("did not happen"));
        assert_eq!(warned.count(), 1, "{refusal:?}: {lines:?}");
        let counters = sessions.counters();
        let counted = (counters.refused_writes, counters.dropped_changes);
        assert_eq!(counted, (1, 0), "{refusal:?}");
    }
}

/// A write that worked in the end, by whatever detour, was none that did not happen.
pub async fn logs_no_write_that_happened(h: &dyn Harness) {
    let sessions = sessions(h, LockMode::Optimistic).await;
    let id = plain(&sessions).await;
    let log = Log::capture();
    let (mut one, mut other) = (open(&sessions, &id).await, open(&sessions, &id).await);
    for session in [&mut one, &mut other] {
        session.add("n", 1).expect("a sum that fits");
        saved(session).await;
    }
    drop((one, other));
    let lines = log.take();
    assert!(
        lines.iter().all(|line| line.level > Level::WARN),
        "{lines:?}"
    );
    let counters = sessions.counters();
    assert_eq!((counters.refused_writes, counters.merges), (0, 1));
}

/// In any form, over everything that requests do, and everything that goes wrong with them.
pub async fn logs_no_secret(h: &dyn Harness) {
    let log = Log::capture();
    let canaries = Canaries::default();
    everything(h, &canaries).await;
    let lines = log.take();
    assert!(lines.len() >= 8, "hardly anything was logged: {lines:?}");
    canaries.look_at(lines.iter().map(|line| ("the log", line.text.as_str())));
}

/// In any form: sessions, their parts, the settings, events, all errors and what caused them.
pub async fn shows_no_secret_of_a_session(h: &dyn Harness) {
    let canaries = Canaries::default();
    let shown = everything(h, &canaries).await;
    assert!(
        shown.0.len() >= 100,
        "only {} were looked at",
        shown.0.len()
    );
    canaries.look_at(shown.texts());
}

/// All modes.
const MODES: [LockMode; 6] = [
    LockMode::ReadOnly,
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Manual,
    LockMode::Off,
];

/// Those in which `write()` is enough to write.
const WRITING: [LockMode; 5] = [
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::OnOpen,
    LockMode::Manual,
    LockMode::Off,
];

/// Those in which it takes the lock.
const LOCKING: [LockMode; 3] = [LockMode::OnWrite, LockMode::OnOpen, LockMode::Manual];

/// What stores do.
const FAULTS: [Fault; 5] = [
    Fault::Refused(ErrorKind::Unavailable),
    Fault::Refused(ErrorKind::NotReady),
    Fault::Refused(ErrorKind::Denied),
    Fault::Refused(ErrorKind::Other),
    Fault::LostAnswer,
];

/// How long locks are waited for here.
const WAIT: Duration = Duration::from_secs(5);

type Troubled = Arc<Layered<Chaos<Arc<dyn Driver>>>>;

async fn over_trouble(h: &dyn Harness, mode: LockMode) -> (Troubled, Sessions) {
    let driver = shared(troubled(h).await);
    let sessions = built(over(h, Arc::clone(&driver)).lock_mode(mode));
    (driver, sessions)
}

#[track_caller]
fn failed<T: Debug>(mode: LockMode, answer: &asm_session::Result<T>) {
    assert!(
        matches!(answer, Err(SessionError::Store(_))),
        "{mode:?}: a failing store was answered with {answer:?}"
    );
}

#[track_caller]
fn place(session: &Session) -> Option<String> {
    session.get("place").expect("a text")
}

/// Saves twice, once in between.
async fn request(sessions: &Sessions, id: &SessionId) -> asm_session::Result<()> {
    let mut session = sessions.open(&id.expose(), &client()).await?;
    session.write().await?.add("n", 1)?;
    session.save().await?;
    session.add("n", 1)?;
    session.close().await.map(drop)
}

async fn locked(sessions: &Sessions, id: &SessionId) -> Session {
    let mut session = open(sessions, id).await;
    session.write().await.expect("a free lock");
    session
}

/// An open and a lock.
async fn attempt(sessions: &Sessions, id: &SessionId) -> asm_session::Result<()> {
    let mut session = sessions.open(&id.expose(), &client()).await?;
    session.write().await.map(drop)
}

/// How a handler of events does what it must not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    Panics,
    Hangs,
}

/// Notes every event, then misbehaves.
#[derive(Clone, Debug)]
struct Misbehaving {
    manner: Manner,
    told: Arc<Mutex<Vec<String>>>,
}

impl Misbehaving {
    fn told(&self) -> MutexGuard<'_, Vec<String>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Events for Misbehaving {
    async fn on(&self, event: Event) {
        self.told().push(format!("{event:?}"));
        match self.manner {
            Manner::Panics => panic!("a handler of events that panics on purpose"),
            Manner::Hangs => pending().await,
        }
    }
}

/// What comes of requests is the same with such events as with none, and all of them are told.
async fn same_outcome(h: &dyn Harness, manner: Manner) {
    let events = Misbehaving {
        manner,
        told: Arc::default(),
    };
    let quiet = built(builder(h).await);
    let telling = built(builder(h).await.events(events.clone()));
    let mut outcomes = Vec::new();
    for sessions in [&quiet, &telling] {
        outcomes.push(outcomes_of(h, sessions).await);
    }
    assert_eq!(outcomes[0], outcomes[1]);
    turns().await;
    // Longer than a handler may take.
    h.advance(Duration::from_secs(60)).await;
    let told = events.told();
    assert_eq!(telling.counters().failed_events, told.len() as u64);
    for kind in [
        "Created",
        "Ended",
        "Invalid",
        "LockWait",
        "LockLost",
        "WriteRefused",
        "Conflict",
        "ZombieAccessed",
    ] {
        assert!(
            told.iter().any(|event| event.starts_with(kind)),
            "{kind} was not told"
        );
    }
    assert_eq!(quiet.counters().failed_events, 0);
}

/// One of everything that is told of, and what the requests get.
async fn outcomes_of(h: &dyn Harness, sessions: &Sessions) -> Vec<String> {
    let mut outcomes = Vec::new();
    let mut note = |outcome: &dyn Debug| outcomes.push(format!("{outcome:?}"));
    let id = plain(sessions).await;
    let (mut one, mut other) = (open(sessions, &id).await, open(sessions, &id).await);
    for session in [&mut one, &mut other] {
        let n: i64 = session.get_or("n", 0).expect("a number");
        session.insert("n", &(n + 1)).expect("a change");
        note(&session.close().await);
    }
    drop((one, other));

    let locking = sessions.with_mode(LockMode::OnWrite);
    let mut late = locked(&locking, &id).await;
    late.insert("n", &7).expect("it is locked");
    let broken = sessions.by_handle(id.handle()).break_lock(None).await;
    broken.expect("a broken lock");
    note(&late.close().await);
    late.discard();

    let mut session = open(sessions, &id).await;
    session.regenerate(Rotation::renew()).expect("a change");
    note(&session.close().await);
    let next = issued(&session);
    note(&open(sessions, &next).await.close().await);
    note(&open(sessions, &id).await.close().await);
    h.advance(Rotation::GRACE).await;
    note(&sessions.open(&id.expose(), &client()).await.map(drop));
    note(&open(sessions, &next).await.delete().await);
    note(&sessions.open(&next.expose(), &client()).await.map(drop));
    outcomes
}

/// Why a write does not happen.
#[derive(Clone, Copy, Debug)]
enum Refusal {
    Conflict,
    Deleted,
    LockLost,
    Stale,
    Store,
}

impl Refusal {
    const ALL: [Self; 5] = [
        Self::Conflict,
        Self::Deleted,
        Self::LockLost,
        Self::Stale,
        Self::Store,
    ];

    const fn mode(self) -> LockMode {
        match self {
            Self::LockLost => LockMode::OnOpen,
            _ => LockMode::Optimistic,
        }
    }

    /// Makes the session's next save a refused one.
    async fn provoke(
        self,
        driver: &Troubled,
        sessions: &Sessions,
        id: &SessionId,
        session: &mut Session,
    ) {
        let n: i64 = session.get_or("n", 0).expect("a number");
        session.insert("n", &(n + 1)).expect("a change");
        let handle = sessions.by_handle(session.handle());
        match self {
            Self::Conflict => {
                let mut other = open(sessions, id).await;
                other.insert("n", &9).expect("a change");
                saved(&mut other).await;
            }
            Self::Deleted => assert!(handle.delete().await.expect("an answer")),
            Self::LockLost => drop(handle.break_lock(None).await.expect("an answer")),
            Self::Stale => drop(rotated(sessions, id, Rotation::Authenticate).await),
            Self::Store => {
                let fault = Fault::Refused(ErrorKind::Denied);
                driver.layer().next(Verb::Save, fault);
            }
        }
    }
}

/// What must not be shown: the secrets and tokens that were drawn, and what the canaries below say.
#[derive(Clone, Default)]
struct Canaries(Arc<Mutex<Vec<Vec<u8>>>>);

const PAYLOAD: &str = "PayloadCanary in an entry";
const ITEM: &str = "ItemCanary in a field";
const SUBJECT: &str = "SubjectCanary-of-a-user";
const AGENT: &str = "AgentCanary/1.0 (of a browser)";
const EXTRA: &str = "ExtraCanary of a client";
const SUBJECT_KEY: &str = "KeyCanary for digests, 32 bytes!";

/// What an application put into sessions, and what it said of its clients and users.
const SUNG: [&str; 6] = [PAYLOAD, ITEM, SUBJECT, AGENT, EXTRA, SUBJECT_KEY];

impl IdSource for Canaries {
    fn fill(&self, draw: Draw, bytes: &mut [u8]) -> Result<(), getrandom::Error> {
        OsRandom.fill(draw, bytes)?;
        if matches!(draw, Draw::Secret | Draw::Token) {
            self.drawn().push(bytes.to_vec());
        }
        Ok(())
    }
}

impl Canaries {
    fn drawn(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each of these texts, in every form.
    fn look_at<'a>(&self, texts: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let drawn = self.drawn().clone();
        assert!(drawn.len() >= 6, "hardly any secret was drawn");
        let sung = SUNG.iter().map(|text| text.as_bytes().to_vec());
        let mut hidden: Vec<String> = drawn
            .into_iter()
            .chain(sung)
            .flat_map(|of| forms(&of))
            .collect();
        let urls: Vec<String> = hidden
            .iter()
            .map(|form| form.replace('+', "-").replace('/', "_"))
            .collect();
        hidden.extend(urls);
        for (what, text) in texts {
            let dense: String = text.split_whitespace().collect();
            let found = |form: &String| text.contains(form) || dense.contains(form);
            assert!(!hidden.iter().any(found), "{what} shows a canary");
        }
    }
}

impl Debug for Canaries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Canaries(..)")
    }
}

/// What was shown of everything: of what, and the text.
#[derive(Default)]
struct Shown(Vec<(&'static str, String)>);

impl Shown {
    fn value(&mut self, what: &'static str, value: &dyn Debug) {
        self.0.push((what, format!("{value:?}")));
        self.0.push((what, format!("{value:#?}")));
    }

    /// Of a call that must fail.
    #[track_caller]
    fn failure<T: Debug>(&mut self, what: &'static str, answer: asm_session::Result<T>) {
        let error = answer.expect_err(what);
        self.value(what, &error);
        let mut cause: Option<&dyn Error> = Some(&error);
        while let Some(error) = cause {
            self.0.push((what, error.to_string()));
            cause = error.source();
        }
    }

    fn texts(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(what, text)| (*what, text.as_str()))
    }
}

/// Requests of all kinds, and all that goes wrong with them.
async fn everything(h: &dyn Harness, canaries: &Canaries) -> Shown {
    let mut shown = Shown::default();
    let (driver, told) = (shared(troubled(h).await), Told::default());
    let key = SUBJECT_KEY.as_bytes().try_into().expect("32 bytes");
    let settings = over(h, Arc::clone(&driver)).id_source(canaries.clone());
    let settings = settings.subject_key(key).events(told.clone());
    let settings = settings
        .decisions(ProfilePolicy::SameUserAgent)
        .lock_queue(0);
    shown.value("settings", &settings);
    let sessions = built(settings);
    shown.value("sessions", &sessions);

    let id = a_life(&sessions, &mut shown).await;
    refusals(&driver, &sessions, &id, &mut shown).await;
    misuse(&sessions, &id, &mut shown).await;
    facets(&sessions, &id, &mut shown).await;
    for event in told.take().await {
        shown.value("an event", &event);
    }
    shown.value("counters", &sessions.counters());
    shown
}

fn of_a_person() -> Client {
    Client {
        user_agent: Some(AGENT.to_owned()),
        extra: Some(EXTRA.to_owned()),
        ..client()
    }
}

async fn come(sessions: &Sessions, id: &SessionId) -> Session {
    let opened = sessions.open(&id.expose(), &of_a_person()).await;
    opened.expect("a session")
}

/// From the first save over renewals to the id that is left.
async fn a_life(sessions: &Sessions, shown: &mut Shown) -> SessionId {
    shown.value("a client", &of_a_person());
    shown.value("a profile", &Profile::of(&of_a_person()));
    let mut session = sessions.create(&of_a_person()).expect("a new session");
    session.insert("text", PAYLOAD).expect("a change");
    shown.value("a new session", &session);
    shown.value("a save", &saved(&mut session).await);
    shown.value("a session", &session);
    shown.value("an id for the client", &session.id_update());
    let first = issued(&session);
    shown.value("an id", &first);

    let mut session = come(sessions, &first).await;
    session.regenerate(Rotation::renew()).expect("a change");
    shown.value("a session that is renewed", &session);
    shown.value("a save", &saved(&mut session).await);
    let second = issued(&session);
    saved(&mut come(sessions, &second).await).await;
    shown.value("a zombie", &come(sessions, &first).await);
    let handle = sessions.by_handle(second.handle());
    shown.value("a handle", &handle);
    shown.value(
        "what operators see",
        &handle.info().await.expect("an answer"),
    );
    second
}

/// Each of the errors that a request can meet.
async fn refusals(driver: &Troubled, sessions: &Sessions, id: &SessionId, shown: &mut Shown) {
    let locking = sessions.with_mode(LockMode::OnOpen);
    let mut holder = come(&locking, id).await;
    shown.value("a holder", &holder);
    shown.value("a keeper", &holder.keeper());
    let looked = sessions.by_handle(id.handle()).inspect().await;
    shown.value("a lock", &looked.expect("a look"));
    let busy = locking.open(&id.expose(), &of_a_person()).await;
    shown.failure("a busy lock", busy);
    holder.insert("text", PAYLOAD).expect("it is locked");
    holder.insert("more", PAYLOAD).expect("it is locked");
    let broken = sessions.by_handle(id.handle()).break_lock(None).await;
    shown.value("a broken lock", &broken.expect("an answer"));
    shown.failure("a lost lock", holder.close().await);
    holder.discard();

    let (mut one, mut other) = (come(sessions, id).await, come(sessions, id).await);
    for (session, text) in [(&mut one, ITEM), (&mut other, EXTRA)] {
        let _: Option<String> = session.get("text").expect("a text");
        session.insert("text", text).expect("a change");
    }
    saved(&mut one).await;
    shown.failure("a conflict", other.close().await);
    other.discard();

    for fault in FAULTS {
        let mut session = come(sessions, id).await;
        session.insert("fault", PAYLOAD).expect("a change");
        session.insert("at", &shown.0.len()).expect("a change");
        driver.layer().next(Verb::Save, fault);
        shown.failure("a failing store", session.close().await);
        shown.value("a session with a save under way", &session);
        session.discard();
        driver.layer().next(Verb::Open, fault);
        let opened = sessions.open(&id.expose(), &of_a_person()).await;
        shown.failure("a failing store", opened);
    }

    let forged = Base64UrlUnpadded::encode_string(&[id.handle().as_bytes(), &[7; 24][..]].concat());
    let malformed = format!("{}!", &*id.expose());
    for wrong in [&forged, &malformed] {
        shown.failure("no id", sessions.open(wrong, &of_a_person()).await);
    }
    let refused = sessions.open(&id.expose(), &client()).await;
    shown.failure("a refused profile", refused);
}

/// Values of the wrong type, sums that do not fit, changes without a lock, requests that come late.
async fn misuse(sessions: &Sessions, id: &SessionId, shown: &mut Shown) {
    let mut session = come(sessions, id).await;
    session.insert("text", PAYLOAD).expect("a change");
    session.insert("sum", &i64::MAX).expect("a change");
    shown.failure("a wrong type", session.get::<i64>("text"));
    shown.failure("a wrong type", session.get::<Vec<String>>("text"));
    shown.failure("a wrong type", session.add("text", 1));
    shown.failure("a sum", session.add("sum", 1));
    let failing = session.try_update("text", |_: Option<String>| Err(SessionError::app("no")));
    shown.failure("a closure", failing);
    saved(&mut session).await;
    shown.failure("a wrong type", session.take::<i64>("text").await);
    shown.failure("an old login", session.require_fresh(Duration::ZERO));

    let mut unlocked = come(&sessions.with_mode(LockMode::OnWrite), id).await;
    shown.failure("no lock", unlocked.insert("text", PAYLOAD));
    let mut reader = come(&sessions.with_mode(LockMode::ReadOnly), id).await;
    shown.failure("a reader", reader.insert("text", PAYLOAD));

    let gone = stored_by_a_person(sessions).await;
    let mut late = come(sessions, &gone).await;
    late.insert("text", ITEM).expect("a change");
    let mut login = come(sessions, &gone).await;
    login.regenerate(Rotation::Authenticate).expect("a change");
    saved(&mut login).await;
    shown.failure("a stale id", late.close().await);
    let opened = sessions.open(&gone.expose(), &of_a_person()).await;
    shown.failure("a stale id", opened);
    let mut late = come(sessions, &issued(&login)).await;
    late.insert("text", ITEM).expect("a change");
    login.delete().await.expect("an end");
    shown.failure("a session that is over", late.close().await);
    // One that is dropped with what it did not save.
    let mut dropped = come(sessions, id).await;
    dropped.insert("text", ITEM).expect("a change");
}

async fn stored_by_a_person(sessions: &Sessions) -> SessionId {
    let mut session = sessions.create(&of_a_person()).expect("a new session");
    session.insert("text", PAYLOAD).expect("a change");
    saved(&mut session).await;
    issued(&session)
}

/// What not every driver has.
async fn facets(sessions: &Sessions, id: &SessionId, shown: &mut Shown) {
    let mut session = come(sessions, id).await;
    if sessions.driver().fields().is_some() {
        let mut fields = session.fields().expect("fields");
        fields.set("item", ITEM).await.expect("a change");
        shown.value("fields", &fields);
        let field = fields.get("item").await.expect("an answer");
        let field = field.expect("a field");
        shown.value("a field", &field);
        shown.failure("a wrong type", field.value::<i64>());
        shown.failure("a wrong kind", field.number());
        shown.failure("a wrong kind", fields.incr("item", 1).await);
    }
    if sessions.driver().changes().is_some() {
        let watch = session.watch(NonZeroUsize::MIN).await.expect("a feed");
        shown.value("a feed", &watch);
    }
    if sessions.driver().subjects().is_some() {
        session.bind_subject(SUBJECT).await.expect("a place");
        saved(&mut session).await;
        let subject = sessions.subject(SUBJECT);
        shown.value("a subject", &subject);
        shown.value("its sessions", &subject.list().await.expect("a list"));
    }
    shown.value("a session", &session);
}
