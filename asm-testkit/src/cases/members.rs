//! The sessions of a user, as an application has them: who is listed, who makes room, who is logged
//! out.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use asm_core::{ErrorKind, Key};
use asm_session::{AtCap, EndReason, Event, LockMode, Rotation, SessionError, SessionId, Sessions};

use crate::{
    Fault, Harness, Verb,
    clock::turns,
    sessions::{Told, builder, built, open, over, plain, refused, saved, troubled, two, used},
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
        until(async || user.list().await.expect("a list").is_empty()).await;
        other.bind_subject(&name).await.expect("a place");
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
    assert_eq!(first.subject(USER).revoke_all().await.expect("an index"), 1);
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

async fn listed(sessions: &Sessions, name: &str) -> Vec<Key> {
    let listed = sessions.subject(name).list().await.expect("a list");
    listed.iter().map(|session| session.handle).collect()
}

async fn version(sessions: &Sessions, handle: Key) -> u64 {
    let snapshot = crate::given::read(sessions.driver(), &handle).await;
    snapshot.version.number
}
