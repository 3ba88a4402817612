//! The sessions of a user, as an application has them: who is listed, who makes room, who is logged
//! out.

use std::{
    fmt::{self, Debug},
    num::NonZeroU32,
    sync::{Arc, Mutex},
    time::Duration,
};

use asm_core::{Delete, Deleted, Driver, ErrorKind, Key};
use asm_session::{
    AtCap, EndReason, Event, Lifetimes, LockMode, Rotation, Session, SessionError, SessionId,
    Sessions,
};
use async_trait::async_trait;
use futures_util::future::BoxFuture;

use super::lifetimes::kept_by_the_store;
use crate::{
    Fault, Harness, Layer, Layered, Verb,
    clock::turns,
    sessions::{
        Told, builder, built, client, issued, open, over, patient, plain, raced, refused, saved,
        troubled, two, used,
    },
    together::gap,
    waiting::until,
};

const USER: &str = "user:42";

const HOUR: Duration = Duration::from_secs(3600);

/// A place that no save made good is given back: when the save is refused and its changes are
/// discarded, when the session is dropped, when the caller is. A save that is tried again keeps it.
pub async fn gives_a_place_back_that_no_save_followed(h: &dyn Harness) {
    for way in ["discard", "refresh", "drop", "another subject", "retry"] {
        let driver = Arc::new(troubled(h).await);
        let one = NonZeroU32::MIN;
        let sessions = built(over(h, Arc::clone(&driver)).subject_cap(one, AtCap::Reject));
        let user = sessions.subject(&format!("{USER} {way}"));
        let name = format!("{USER} {way}");
        let id = plain(&sessions).await;
        let mut session = open(&sessions, &id).await;
        session.bind_subject(&name).await.expect("a place");
        driver
            .layer()
            .next(Verb::Save, Fault::Refused(ErrorKind::Full));
        refused!(session.save().await, SessionError::Store(_));
        let mut other = open(&sessions, &plain(&sessions).await).await;
        refused!(
            other.bind_subject(&name).await,
            SessionError::TooManySessions
        );
        match way {
            "discard" => session.discard(),
            "refresh" => session.refresh().await.expect("a session to read"),
            "another subject" => {
                session.bind_subject("user:43").await.expect("a place");
                saved(&mut session).await;
            }
            "retry" => {
                saved(&mut session).await;
                drop(session);
                turns().await;
                assert_eq!(listed(&sessions, &name).await, [id.handle()]);
                continue;
            }
            _ => drop(session),
        }
        until(async || other.bind_subject(&name).await.is_ok()).await;
        saved(&mut other).await;
        assert_eq!(listed(&sessions, &name).await, [other.handle()]);
        // The session whose place it was lives on, and nobody's revocation is its end.
        assert_eq!(user.revoke_all().await.expect("an index"), 1);
        open(&sessions, &id).await;
    }
}

/// Two requests of one session bind it to one subject: the place of the one that fails is that of
/// the other, whether that one saved before or saves after it was given back.
pub async fn keeps_the_place_of_a_parallel_login(h: &dyn Harness) {
    for saves_first in [true, false] {
        let (first, second) = two(h, LockMode::Optimistic).await;
        let id = plain(&first).await;
        let (mut mine, mut theirs) = (open(&first, &id).await, open(&second, &id).await);
        for session in [&mut mine, &mut theirs] {
            session.bind_subject(USER).await.expect("a place");
            session.insert("n", &1).expect("a change");
        }
        let version = version(&first, id.handle()).await;
        if saves_first {
            saved(&mut theirs).await;
            drop(mine);
            turns().await;
        } else {
            drop(mine);
            // Given back, and marked by a version.
            until(async || self::version(&first, id.handle()).await > version).await;
            assert_eq!(listed(&first, USER).await, []);
            saved(&mut theirs).await;
        }
        assert_eq!(listed(&second, USER).await, [id.handle()]);
        let ended = second.subject(USER).revoke_all().await.expect("an index");
        assert_eq!(ended, 1, "saves_first: {saves_first}");
    }
}

/// A login under way is revoked, or sees the new generation and lives: also one whose place was
/// given back meanwhile by another request.
pub async fn revokes_no_later_login(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::Optimistic).await;
    let id = plain(&first).await;
    let mut early = open(&first, &id).await;
    early.bind_subject(USER).await.expect("a place");
    let mut late = open(&second, &id).await;
    late.bind_subject(USER).await.expect("a place");
    // It is not the subject's yet, and will not be.
    assert_eq!(first.subject(USER).revoke_all().await.expect("an index"), 0);
    refused!(early.save().await, SessionError::Deleted);
    refused!(late.save().await, SessionError::Deleted);

    let id = plain(&first).await;
    let mut session = open(&first, &id).await;
    session.bind_subject(USER).await.expect("a place");
    saved(&mut session).await;
    turns().await;
    assert_eq!(listed(&second, USER).await, [id.handle()]);
    open(&second, &id).await;
}

/// Room is made by the session that was not used for the longest time, not by the one that would
/// end first: sessions may have lifetimes of their own.
pub async fn ends_the_session_that_was_not_used_for_longest(h: &dyn Harness) {
    let told = Told::default();
    let three = NonZeroU32::new(3).expect("not 0");
    let settings = builder(h).await.events(told.clone());
    let sessions = built(settings.subject_cap(three, AtCap::EvictIdle));
    let login = async |lifetime: Option<Duration>| -> SessionId {
        let id = plain(&sessions).await;
        let mut session = open(&sessions, &id).await;
        if let Some(lifetime) = lifetime {
            session.set_lifetime(lifetime).expect("a change");
        }
        session.bind_subject(USER).await.expect("a place");
        saved(&mut session).await;
        id
    };
    // By what is left of it, each would be taken for less idle than the next one.
    let weeks = login(Some(14 * 24 * HOUR)).await;
    h.advance(4 * HOUR).await;
    let day = login(None).await;
    h.advance(2 * HOUR).await;
    let short = login(Some(3 * HOUR)).await;
    told.take().await;

    let fourth = login(None).await;
    let left = [day.handle(), short.handle(), fourth.handle()];
    assert_eq!(listed(&sessions, USER).await, left);
    let events = told.take().await;
    let is_evicted = |event: &&Event| matches!(event, Event::Ended { handle, reason: EndReason::Evicted } if *handle == weeks.handle());
    assert_eq!(events.iter().filter(is_evicted).count(), 1, "{events:?}");

    // Whoever is used is not idle: for that its lifetime is extended.
    h.advance(3 * HOUR - Duration::from_secs(60)).await;
    used(&sessions, &day).await;
    used(&sessions, &short).await;
    let fifth = login(None).await;
    let left = [day.handle(), short.handle(), fifth.handle()];
    assert_eq!(listed(&sessions, USER).await, left);
}

/// An authentication that fails leaves the session listed as it was.
pub async fn keeps_a_member_listed_whose_authentication_failed(h: &dyn Harness) {
    let driver = Arc::new(troubled(h).await);
    let sessions = built(over(h, Arc::clone(&driver)));
    let id = plain(&sessions).await;
    let mut session = open(&sessions, &id).await;
    session.bind_subject(USER).await.expect("a place");
    saved(&mut session).await;
    let mut session = open(&sessions, &id).await;
    session.bind_subject(USER).await.expect("its place");
    let authenticated = session.regenerate(Rotation::Authenticate);
    authenticated.expect("a change");
    driver
        .layer()
        .next(Verb::Save, Fault::Refused(ErrorKind::Full));
    refused!(session.save().await, SessionError::Store(_));
    drop(session);
    turns().await;
    assert_eq!(listed(&sessions, USER).await, [id.handle()]);
}

/// One that was given to another subject, and one that was only reserved, by a process that did not
/// live to give the place back: they are neither shown nor ended.
pub async fn leaves_a_session_that_is_not_the_subjects(h: &dyn Harness) {
    for stray in STRAYS {
        let others = built(builder(h).await);
        let name = format!("{USER} {stray:?}");
        let id = strays(h, stray, &name).await;
        assert_eq!(listed(&others, &name).await, [], "{stray:?}");
        let user = others.subject(&name);
        assert_eq!(user.revoke_all().await.expect("an index"), 0, "{stray:?}");
        assert_eq!(listed(&others, &name).await, [], "{stray:?}");
        used(&others, &id).await;
        if stray == Stray::GivenAway {
            assert_eq!(listed(&others, "user:43").await, [id.handle()]);
            let other = others.subject("user:43");
            assert_eq!(other.revoke_all().await.expect("an index"), 1);
        }
    }
}

/// Between the look at it and its end.
pub async fn ends_no_session_that_changes_hands_meanwhile(h: &dyn Harness) {
    let driver = Arc::new(Layered::new(Meanwhile::over(h.connect().await)));
    let (sessions, others) = (built(over(h, Arc::clone(&driver))), built(builder(h).await));
    let id = plain(&others).await;
    let mut session = open(&others, &id).await;
    session.bind_subject(USER).await.expect("a place");
    saved(&mut session).await;
    let moves = async move {
        session.bind_subject("user:43").await.expect("a place");
        saved(&mut session).await;
    };
    driver.layer().before_a_delete(Box::pin(moves));
    let user = sessions.subject(USER);
    assert_eq!(user.revoke_all().await.expect("an index"), 0);
    assert_eq!(listed(&others, "user:43").await, [id.handle()]);
    used(&others, &id).await;
}

/// Its store has kept it, and nobody can open it.
pub async fn lists_no_session_past_its_deadline(h: &dyn Harness) {
    let lifetimes = Lifetimes::builder().absolute(24 * HOUR).build();
    let lifetimes = lifetimes.expect("lifetimes that make sense");
    let sessions = built(builder(h).await.lifetimes(lifetimes));
    let id = member(&sessions, USER).await.expect("a login");
    kept_by_the_store(sessions.driver(), &id).await;
    assert_eq!(listed(&sessions, USER).await, [id.handle()]);
    h.advance(25 * HOUR).await;
    assert_eq!(listed(&sessions, USER).await, []);
    let user = sessions.subject(USER);
    assert_eq!(user.revoke_all().await.expect("an index"), 0);
}

/// A holder of a member's lock meets its end, and one that is about to make its session a member
/// loses the lock: that session lives on as what it was.
pub async fn revokes_over_a_lock(h: &dyn Harness) {
    let (first, second) = two(h, LockMode::OnOpen).await;
    let id = member(&first, USER).await.expect("a login");
    let mut holder = open(&first, &id).await;
    let user = second.subject(USER);
    assert_eq!(user.revoke_all().await.expect("an index"), 1);
    holder.insert("n", &1).expect("a change");
    refused!(holder.save().await, SessionError::Deleted);

    let id = plain(&first).await;
    let mut holder = open(&first, &id).await;
    holder.bind_subject(USER).await.expect("a place");
    assert_eq!(user.revoke_all().await.expect("an index"), 0);
    refused!(holder.save().await, SessionError::LockLost);
    drop(holder);
    turns().await;
    assert_eq!(listed(&first, USER).await, []);
    used(&first, &id).await;
}

/// 64 logins at once, on two handles, while a third looks on, under each policy.
pub async fn holds_a_cap_under_many_logins(h: &dyn Harness) {
    const LOGINS: usize = 64;

    for policy in [AtCap::Reject, AtCap::EvictOldest, AtCap::EvictIdle] {
        let name = format!("{USER} {policy:?}");
        let capped = async || built(patient(builder(h).await).subject_cap(THREE, policy));
        let handles = [capped().await, capped().await];
        let watcher = handles[0].subject(&name);
        let requests = (0..=LOGINS).map(|login| {
            let (sessions, watcher) = (handles[login % 2].clone(), watcher.clone());
            let name = name.clone();
            async move {
                if login == LOGINS {
                    for _ in 0..20 {
                        let listed = watcher.list().await.expect("a list").len();
                        assert!(listed <= THREE.get() as usize, "{listed} at once");
                        gap().await;
                    }
                    return None;
                }
                gap().await;
                match member(&sessions, &name).await {
                    Ok(id) => Some(id),
                    Err(SessionError::TooManySessions) if policy == AtCap::Reject => None,
                    Err(SessionError::Deleted) if policy != AtCap::Reject => None,
                    Err(error) => panic!("{policy:?}: {error:?}"),
                }
            }
        });
        let logins = raced(h, requests).await;
        let mut living = Vec::new();
        for id in logins.into_iter().flatten() {
            let info = handles[1].by_handle(id.handle()).info().await;
            if info.expect("an answer").is_some() {
                living.push(id.handle());
            }
        }
        let mut listed = listed(&handles[1], &name).await;
        assert_eq!(listed.len(), THREE.get() as usize, "{policy:?}");
        living.sort();
        listed.sort();
        assert_eq!(listed, living, "{policy:?}");
    }
}

/// Whatever the policy, and whoever has the session now; but not while it may still be saved.
pub async fn makes_room_by_a_place_that_was_never_saved(h: &dyn Harness) {
    for policy in [AtCap::Reject, AtCap::EvictOldest, AtCap::EvictIdle] {
        for stray in STRAYS {
            let name = format!("{USER} {policy:?} {stray:?}");
            let one = NonZeroU32::MIN;
            let sessions = built(builder(h).await.subject_cap(one, policy));
            let id = strays(h, stray, &name).await;
            if policy == AtCap::Reject {
                refused!(
                    member(&sessions, &name).await,
                    SessionError::TooManySessions
                );
            }
            h.advance(Duration::from_secs(90)).await;
            let other = member(&sessions, &name).await.expect("a login");
            assert_eq!(listed(&sessions, &name).await, [other.handle()]);
            used(&sessions, &id).await;
        }
    }
}

/// Why a session is listed that is not the subject's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stray {
    /// It is another subject's, and the index was not told.
    GivenAway,
    /// It was reserved, and nothing came of it.
    NeverSaved,
}

const STRAYS: [Stray; 2] = [Stray::GivenAway, Stray::NeverSaved];

const THREE: NonZeroU32 = NonZeroU32::new(3).expect("not 0");

/// A session that is listed under that name, and not the subject's.
async fn strays(h: &dyn Harness, stray: Stray, name: &str) -> SessionId {
    let driver = Arc::new(troubled(h).await);
    let sessions = built(over(h, Arc::clone(&driver)));
    let fails = |verb| {
        let unavailable = Fault::Refused(ErrorKind::Unavailable);
        driver.layer().next(verb, unavailable);
    };
    let id = plain(&sessions).await;
    let mut session = open(&sessions, &id).await;
    session.bind_subject(name).await.expect("a place");
    match stray {
        Stray::GivenAway => {
            saved(&mut session).await;
            fails(Verb::Forget);
            let moved = session.bind_subject("user:43").await;
            refused!(moved, SessionError::Store(_));
        }
        Stray::NeverSaved => fails(Verb::Open),
    }
    drop(session);
    // The place is not given back, because that fails.
    until(async || driver.layer().struck().len() == 1).await;
    turns().await;
    id
}

/// A login: a new session, the subject's.
async fn member(sessions: &Sessions, name: &str) -> asm_session::Result<SessionId> {
    let mut session: Session = sessions.create(&client())?;
    session.insert("n", &0)?;
    session.bind_subject(name).await?;
    session.close().await?;
    Ok(issued(&session))
}

/// Does something before the next delete.
struct Meanwhile {
    inner: Arc<dyn Driver>,
    before: Mutex<Option<BoxFuture<'static, ()>>>,
}

impl Meanwhile {
    fn over(inner: Arc<dyn Driver>) -> Self {
        Self {
            inner,
            before: Mutex::default(),
        }
    }

    fn before_a_delete(&self, this: BoxFuture<'static, ()>) {
        *self.before.lock().expect("no panic") = Some(this);
    }
}

impl Debug for Meanwhile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl Layer for Meanwhile {
    fn inner(&self) -> &dyn Driver {
        &*self.inner
    }

    async fn delete(&self, key: &Key, req: Delete) -> asm_core::Result<Deleted> {
        let before = self.before.lock().expect("no panic").take();
        if let Some(before) = before {
            before.await;
        }
        self.inner.delete(key, req).await
    }
}

async fn listed(sessions: &Sessions, name: &str) -> Vec<Key> {
    let listed = sessions.subject(name).list().await.expect("a list");
    listed.iter().map(|session| session.handle).collect()
}

async fn version(sessions: &Sessions, handle: Key) -> u64 {
    let snapshot = crate::given::read(sessions.driver(), &handle).await;
    snapshot.version.number
}
