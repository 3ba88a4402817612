//! How often the store is asked.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use asm_core::{Driver, Key, Written};
use asm_session::{IdRotation, LockMode, Rotation, Session, SessionError, SessionId, Sessions};
use async_trait::async_trait;

use crate::{
    Counting, Harness, Layer, Layered,
    Verb::{
        Abandon, Acquire, Create, Delete, Forget, List, Open, Release, Reserve, Revoke, Save, Touch,
    },
    WrongClock, given,
    sessions::{built, client, issued, open, over, plain, saved, shared},
    waiting::{answered, until, waiters},
};

/// A malformed id, a new session that stays empty, entries of an open one.
pub async fn asks_nothing_for_a_session_that_is_not_touched(h: &dyn Harness) {
    for mode in MODES {
        let (driver, sessions) = counted(h, mode).await;
        for text in [
            "",
            "no id",
            &"A".repeat(53),
            &"A".repeat(55),
            &"é".repeat(27),
        ] {
            sessions
                .open(text, &client())
                .await
                .expect_err("no session");
        }
        let mut new = sessions.create(&client()).expect("a new session");
        saved(&mut new).await;
        drop(new);
        driver.layer().take().expect(&[]);

        let id = used(&driver, &sessions).await;
        let session = open(&sessions, &id).await;
        driver.layer().take();
        assert_eq!(session.get("n").expect("a number"), Some(1));
        assert_eq!((session.len(), session.contains_key("none")), (3, false));
        assert!(session.expires_in() > Duration::ZERO);
        driver.layer().take().expect(&[]);
    }
}

/// In every mode without a lock.
pub async fn reads_by_one_call(h: &dyn Harness) {
    for mode in READING {
        let (driver, sessions) = counted(h, mode).await;
        let id = used(&driver, &sessions).await;
        read(&sessions, &id).await;
        driver.layer().take().expect(&[(Open, 1)]);
    }
}

/// When more than a tenth of the idle time is used up, and not before.
pub async fn touches_by_one_call_when_it_is_due(h: &dyn Harness) {
    for mode in READING {
        let (driver, sessions) = counted(h, mode).await;
        let id = used(&driver, &sessions).await;
        h.advance(sessions.lifetimes().idle() / 11).await;
        read(&sessions, &id).await;
        driver.layer().take().expect(&[(Open, 1)]);
        h.advance(sessions.lifetimes().idle() / 11).await;
        read(&sessions, &id).await;
        driver.layer().take().expect(&[(Open, 1), (Touch, 1)]);
        read(&sessions, &id).await;
        driver.layer().take().expect(&[(Open, 1)]);
    }
}

/// Unless a save does it anyway.
pub async fn confirms_a_renewed_id_by_one_call(h: &dyn Harness) {
    let (driver, sessions) = counted(h, LockMode::Optimistic).await;
    let id = renewed(&driver, &sessions).await;
    read(&sessions, &id).await;
    driver.layer().take().expect(&[(Open, 1), (Save, 1)]);
    read(&sessions, &id).await;
    driver.layer().take().expect(&[(Open, 1)]);

    let id = renewed(&driver, &sessions).await;
    write(&sessions, &id).await;
    driver.layer().take().expect(&[(Open, 1), (Save, 1)]);
    read(&sessions, &id).await;
    driver.layer().take().expect(&[(Open, 1)]);
}

/// One to open, one to save; the lock comes and goes with them.
pub async fn writes_by_two_calls(h: &dyn Harness) {
    for mode in [LockMode::Optimistic, LockMode::OnOpen, LockMode::Off] {
        let (driver, sessions) = counted(h, mode).await;
        let id = used(&driver, &sessions).await;
        write(&sessions, &id).await;
        driver.layer().take().expect(&[(Open, 1), (Save, 1)]);
    }
}

/// For a request of which it is known that it begins so.
pub async fn writes_by_two_calls_when_it_begins_with_the_lock(h: &dyn Harness) {
    for mode in [LockMode::OnWrite, LockMode::Manual] {
        let (driver, sessions) = counted(h, mode).await;
        let id = used(&driver, &sessions).await;
        write(&sessions.with_lock_on_open(), &id).await;
        driver.layer().take().expect(&[(Open, 1), (Save, 1)]);
    }
}

/// One of them is for the lock, however many changes follow.
pub async fn writes_by_three_calls_when_the_lock_comes_later(h: &dyn Harness) {
    for mode in [LockMode::OnWrite, LockMode::Manual] {
        let (driver, sessions) = counted(h, mode).await;
        let id = used(&driver, &sessions).await;
        write(&sessions, &id).await;
        let calls = [(Open, 1), (Acquire, 1), (Save, 1)];
        driver.layer().take().expect(&calls);
    }
}

/// The wait is one call, and the record comes with the lock.
pub async fn waits_for_a_lock_by_one_call(h: &dyn Harness) {
    let (driver, sessions) = counted(h, LockMode::OnOpen).await;
    let id = used(&driver, &sessions).await;
    let mut holder = open(&sessions, &id).await;
    holder.add("n", 1).expect("a sum that fits");
    driver.layer().take();
    let waiting = tokio::spawn({
        let (sessions, id) = (sessions.clone(), id.clone());
        async move {
            let mut session = open(&sessions, &id).await;
            assert_eq!(session.add("n", 1).expect("a sum that fits"), 3);
            saved(&mut session).await;
        }
    });
    let looking = h.connect().await;
    until(async || waiters(&*looking, &id.handle()).await == 1).await;
    saved(&mut holder).await;
    answered(h, || waiting.is_finished()).await;
    waiting.await.expect("a request that does not panic");
    let calls = [(Open, 1), (Acquire, 1), (Save, 2)];
    driver.layer().take().expect(&calls);
}

/// The refusal carries the fresh record.
pub async fn merges_by_one_call_for_each_retry(h: &dyn Harness) {
    for mode in [LockMode::Optimistic, LockMode::Off] {
        for conflicts in 1..=2 {
            let racing = Racing::over(h.connect().await);
            let driver = shared(Counting::over(Arc::clone(&racing) as Arc<dyn Driver>));
            let sessions = built(over(h, Arc::clone(&driver)).lock_mode(mode));
            let id = used(&driver, &sessions).await;
            let mut session = open(&sessions, &id).await;
            session.insert("m", &1).expect("a change");
            racing.layer().go_ahead(conflicts);
            saved(&mut session).await;
            let saves = 1 + u64::from(conflicts);
            driver.layer().take().expect(&[(Open, 1), (Save, saves)]);
        }
    }
}

/// In every mode, born locked or not.
pub async fn stores_a_new_session_by_one_call(h: &dyn Harness) {
    for mode in MODES {
        let (driver, sessions) = counted(h, mode).await;
        if mode == LockMode::ReadOnly {
            continue;
        }
        let mut session = sessions.create(&client()).expect("a new session");
        let writable = session.write().await.expect("nobody else knows it");
        writable.insert("n", &1).expect("a change");
        saved(&mut session).await;
        driver.layer().take().expect(&[(Create, 1)]);
    }
}

/// The first one of a process whose clock is off is dated anew by a save; the next one is not.
pub async fn dates_a_new_session_by_one_call_more(h: &dyn Harness) {
    for (off, saves) in [(Duration::from_millis(500), 0), (Duration::from_secs(2), 1)] {
        for ahead in [true, false] {
            let driver = shared(Counting::over(h.connect().await));
            let clock = Arc::new(WrongClock::new(h.clock(), off, ahead));
            let sessions = built(over(h, Arc::clone(&driver)).clock(clock));
            plain(&sessions).await;
            let calls = driver.layer().take();
            assert_eq!((calls.of(Create), calls.of(Save)), (1, saves), "{off:?}");
            assert_eq!(calls.total(), 1 + saves, "{off:?}: {calls}");
            plain(&sessions).await;
            driver.layer().take().expect(&[(Create, 1)]);
        }
    }
}

/// It is in the same save, whichever it is.
pub async fn replaces_an_id_by_no_call_of_its_own(h: &dyn Harness) {
    for rotation in [Rotation::renew(), Rotation::Authenticate] {
        let (driver, sessions) = counted(h, LockMode::Optimistic).await;
        let id = used(&driver, &sessions).await;
        let mut session = open(&sessions, &id).await;
        session.add("n", 1).expect("a sum that fits");
        session.regenerate(rotation).expect("a change");
        assert_eq!(saved(&mut session).await.id, Some(IdRotation::Rotated));
        driver.layer().take().expect(&[(Open, 1), (Save, 1)]);
    }
}

/// Also when nothing is there any more, which is found by the refusal.
pub async fn takes_by_one_call(h: &dyn Harness) {
    let (driver, sessions) = counted(h, LockMode::Optimistic).await;
    let id = used(&driver, &sessions).await;
    let (mut one, mut other) = (open(&sessions, &id).await, open(&sessions, &id).await);
    driver.layer().take();
    assert_eq!(one.take("n").await.expect("a number"), Some(1));
    driver.layer().take().expect(&[(Save, 1)]);
    assert_eq!(other.take::<i64>("n").await.expect("an answer"), None);
    driver.layer().take().expect(&[(Save, 1)]);
}

/// One for the index, and none without one.
pub async fn binds_a_subject_by_one_call(h: &dyn Harness) {
    let (driver, sessions) = counted(h, LockMode::Optimistic).await;
    let id = used(&driver, &sessions).await;
    let mut session = open(&sessions, &id).await;
    driver.layer().take();
    if driver.subjects().is_none() {
        let refused = session.bind_subject("user:42").await;
        assert!(
            matches!(refused, Err(SessionError::Unsupported(_))),
            "{refused:?}"
        );
        driver.layer().take().expect(&[]);
        return;
    }
    session.bind_subject("user:42").await.expect("a place");
    driver.layer().take().expect(&[(Reserve, 1)]);
    session.add("n", 1).expect("a sum that fits");
    saved(&mut session).await;
    driver.layer().take().expect(&[(Save, 1)]);
}

/// One for the index; to list one more for each session, to revoke two, and one to forget them all.
/// The one to keep costs nothing.
pub async fn lists_by_one_call_for_each_session(h: &dyn Harness) {
    let (driver, sessions) = counted(h, LockMode::Optimistic).await;
    let user = sessions.subject("user:42");
    if driver.subjects().is_none() {
        let refused = user.list().await;
        assert!(matches!(refused, Err(SessionError::Unsupported(_))));
        driver.layer().take().expect(&[]);
        return;
    }
    let mut ids = Vec::new();
    for _ in 0..3 {
        let id = used(&driver, &sessions).await;
        let mut session = open(&sessions, &id).await;
        session.bind_subject("user:42").await.expect("a place");
        saved(&mut session).await;
        ids.push(id.handle());
    }
    driver.layer().take();
    assert_eq!(user.list().await.expect("a list").len(), 3);
    driver.layer().take().expect(&[(List, 1), (Open, 3)]);
    assert_eq!(user.revoke_others(ids[0]).await.expect("an index"), 2);
    let calls = [(Revoke, 1), (Open, 2), (Delete, 2), (Forget, 1)];
    driver.layer().take().expect(&calls);
    assert_eq!(user.revoke_all().await.expect("an index"), 1);
    let calls = [(Revoke, 1), (Open, 1), (Delete, 1), (Forget, 1)];
    driver.layer().take().expect(&calls);
    assert_eq!(user.revoke_all().await.expect("an index"), 0);
    driver.layer().take().expect(&[(Revoke, 1)]);
}

/// Whoever holds the lock.
pub async fn logs_out_by_one_call(h: &dyn Harness) {
    for mode in [LockMode::Optimistic, LockMode::OnOpen] {
        let (driver, sessions) = counted(h, mode).await;
        let id = used(&driver, &sessions).await;
        let mut session = open(&sessions, &id).await;
        session.delete().await.expect("an end");
        saved(&mut session).await;
        drop(session);
        driver.layer().take().expect(&[(Open, 1), (Delete, 1)]);
    }
}

/// When nothing was changed under it; a request that was dropped needs none that is waited for.
pub async fn gives_an_unused_lock_back_by_one_call(h: &dyn Harness) {
    let (driver, sessions) = counted(h, LockMode::OnOpen).await;
    let id = used(&driver, &sessions).await;
    read(&sessions, &id).await;
    driver.layer().take().expect(&[(Open, 1), (Release, 1)]);
    drop(open(&sessions, &id).await);
    driver.layer().take().expect(&[(Open, 1), (Abandon, 1)]);
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

/// Those in which a reader holds no lock.
const READING: [LockMode; 5] = [
    LockMode::ReadOnly,
    LockMode::Optimistic,
    LockMode::OnWrite,
    LockMode::Manual,
    LockMode::Off,
];

/// Somebody else saves just before each of the next saves, unless the session is locked.
#[derive(Debug)]
pub(super) struct Racing {
    inner: Arc<dyn Driver>,
    ahead: AtomicU32,
}

impl Racing {
    pub(super) fn over(inner: Arc<dyn Driver>) -> Arc<Layered<Self>> {
        let ahead = AtomicU32::new(0);
        Arc::new(Layered::new(Self { inner, ahead }))
    }

    /// As often as this.
    pub(super) fn go_ahead(&self, times: u32) {
        self.ahead.store(times, Relaxed);
    }
}

#[async_trait]
impl Layer for Racing {
    fn inner(&self) -> &dyn Driver {
        &self.inner
    }

    async fn save(&self, key: &Key, req: asm_core::Save) -> asm_core::Result<Written> {
        let ahead = self.ahead.load(Relaxed);
        if ahead > 0 {
            self.ahead.store(ahead - 1, Relaxed);
            let record = given::read(&*self.inner, key).await;
            let same = given::save(&record, record.data.clone());
            match self.inner.save(key, same).await? {
                Written::Done { .. } | Written::Locked => {}
                other => panic!("nobody else is there, and the answer was {other:?}"),
            }
        }
        self.inner.save(key, req).await
    }
}

type Counted = Arc<Layered<Counting<Arc<dyn Driver>>>>;

async fn counted(h: &dyn Harness, mode: LockMode) -> (Counted, Sessions) {
    let driver = shared(Counting::over(h.connect().await));
    let sessions = built(over(h, Arc::clone(&driver)).lock_mode(mode));
    (driver, sessions)
}

/// A stored session that its client has come back to, so that nothing is due; nothing counted yet.
async fn used(driver: &Counted, sessions: &Sessions) -> SessionId {
    let plainly = sessions.with_mode(LockMode::Optimistic);
    let id = plain(&plainly).await;
    write(&plainly, &id).await;
    driver.layer().take();
    id
}

/// A used session whose id was just replaced; the new one.
async fn renewed(driver: &Counted, sessions: &Sessions) -> SessionId {
    let id = used(driver, sessions).await;
    let mut session = open(sessions, &id).await;
    session.regenerate(Rotation::renew()).expect("a change");
    saved(&mut session).await;
    driver.layer().take();
    issued(&session)
}

async fn read(sessions: &Sessions, id: &SessionId) {
    let mut session: Session = open(sessions, id).await;
    assert!(session.contains_key("n"));
    saved(&mut session).await;
}

async fn write(sessions: &Sessions, id: &SessionId) {
    let mut session = open(sessions, id).await;
    let writable = session.write().await.expect("a free lock");
    writable.add("n", 1).expect("a sum that fits");
    writable.insert("m", &0).expect("a change");
    saved(&mut session).await;
}
