//! Profiles, and decisions about them: who is let in, and as what.

use std::{
    future::pending,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_session::{
    Client, Decisions, IdRotation, IdUpdate, InvalidReason, LockMode, Origin, Profile, Result,
    Rotation, Session, SessionError, SessionId, SessionInfo, Sessions, Undecided, Verdict,
};
use async_trait::async_trait;
use base64ct::{Base64UrlUnpadded, Encoding};
use futures_util::future::join;

use crate::{
    Harness,
    sessions::{
        builder, built, client, invalid, is_free, issued, open, plain, rotated, saved, used,
    },
};

/// An equal one, however often it comes.
pub async fn asks_nobody_about_a_profile_that_was_seen(h: &dyn Harness) {
    let (judge, sessions) = judged(h, LockMode::Optimistic).await;
    let id = from("fox", &sessions).await;
    for _ in 0..3 {
        let mut session = come(&sessions, &id, "fox").await.expect("it was seen");
        session.add("n", 1).expect("a sum that fits");
        saved(&mut session).await;
    }
    assert_eq!(judge.asked(), 0);
}

/// What was allowed is remembered with the session, although nothing else was changed.
pub async fn asks_once_about_a_profile_that_is_new(h: &dyn Harness) {
    let (judge, sessions) = judged(h, LockMode::Optimistic).await;
    let id = from("fox", &sessions).await;
    let mut moved = come(&sessions, &id, "cat").await.expect("it is allowed");
    assert!(saved(&mut moved).await.written);
    assert_eq!(judge.asked(), 1);

    let (others, elsewhere) = judged(h, LockMode::Optimistic).await;
    for agent in ["cat", "fox"] {
        come(&elsewhere, &id, agent).await.expect("it was seen");
    }
    assert_eq!((judge.asked(), others.asked()), (1, 0));

    // However many there are: the oldest are forgotten.
    for number in 0..3 * Profile::KEPT {
        let agent = format!("cat {number}");
        let mut moved = come(&sessions, &id, &agent).await.expect("it is allowed");
        saved(&mut moved).await;
        come(&sessions, &id, &agent).await.expect("it was seen");
        assert_eq!(judge.asked(), 2 + number);
    }
}

/// A save that runs at the same time does not undo it.
pub async fn keeps_an_accepted_profile_through_foreign_saves(h: &dyn Harness) {
    for mode in [LockMode::Optimistic, LockMode::Off] {
        let (judge, sessions) = judged(h, mode).await;
        let id = from("fox", &sessions).await;
        let mut unaware = come(&sessions, &id, "fox").await.expect("it was seen");
        let mut moved = come(&sessions, &id, "cat").await.expect("it is allowed");
        saved(&mut moved).await;
        unaware.insert("n", &7).expect("a change");
        saved(&mut unaware).await;
        come(&sessions, &id, "cat").await.expect("it was seen");
        assert_eq!(judge.asked(), 1, "{mode:?}");
    }
}

/// Nothing is written then, so the next request is asked about again.
pub async fn lets_a_reader_in_for_one_request(h: &dyn Harness) {
    let (judge, sessions) = judged(h, LockMode::ReadOnly).await;
    let id = from("fox", &sessions).await;
    for asked in 1..=2 {
        let mut reader = come(&sessions, &id, "cat").await.expect("it is allowed");
        assert_eq!(reader.get("n").expect("a number"), Some(0));
        assert!(!saved(&mut reader).await.written);
        assert_eq!(judge.asked(), asked);
    }
}

/// It is told that it was refused, and the session lives on.
pub async fn refuses_an_open_by_verdict(h: &dyn Harness) {
    refuses(h, Ruling::Say(Verdict::Refuse)).await;
}

/// As if it had been refused.
pub async fn refuses_an_open_when_its_decision_fails(h: &dyn Harness) {
    refuses(h, Ruling::Fail).await;
}

/// As if it had been refused.
pub async fn refuses_an_open_when_its_decision_panics(h: &dyn Harness) {
    refuses(h, Ruling::Panic).await;
}

/// As if it had been refused, when its time is over and not before.
pub async fn refuses_an_open_when_its_decision_takes_too_long(h: &dyn Harness) {
    refuses(h, Ruling::Hang).await;
}

/// The lock was taken with the open, before anybody decided.
pub async fn leaves_no_lock_of_a_refused_open(h: &dyn Harness) {
    for ruling in [
        Ruling::Say(Verdict::Refuse),
        Ruling::Fail,
        Ruling::Panic,
        Ruling::Hang,
    ] {
        let (judge, sessions) = judged(h, LockMode::OnOpen).await;
        let id = from("fox", &sessions).await;
        judge.will(ruling);
        decided(h, come(&sessions, &id, "cat"))
            .await
            .expect_err("a refusal");
        h.advance(Duration::ZERO).await;
        assert!(is_free(&sessions, id.handle()).await, "{ruling:?}");
    }
}

/// The next request is asked about again.
pub async fn remembers_no_profile_that_was_refused(h: &dyn Harness) {
    let (judge, sessions) = judged(h, LockMode::Optimistic).await;
    let id = from("fox", &sessions).await;
    for asked in 1..=2 {
        judge.will(Ruling::Say(Verdict::Refuse));
        come(&sessions, &id, "cat").await.expect_err("a refusal");
        assert_eq!(judge.asked(), asked);
        come(&sessions, &id, "fox").await.expect("it was seen");
    }
}

/// The lock that came with the open is given back.
pub async fn lets_a_request_only_read_by_verdict(h: &dyn Harness) {
    let (judge, sessions) = judged(h, LockMode::OnOpen).await;
    let id = from("fox", &sessions).await;
    judge.will(Ruling::Say(Verdict::ReadOnly));
    let mut reader = come(&sessions, &id, "cat").await.expect("it may read");
    assert_eq!(reader.get("n").expect("a number"), Some(0));
    let refused = reader.insert("n", &1);
    assert!(
        matches!(refused, Err(SessionError::ReadOnly)),
        "{refused:?}"
    );
    h.advance(Duration::ZERO).await;
    assert!(is_free(&sessions, id.handle()).await);
}

/// With the request's own save.
pub async fn replaces_the_id_by_verdict(h: &dyn Harness) {
    let (judge, sessions) = judged(h, LockMode::Optimistic).await;
    let id = from("fox", &sessions).await;
    judge.will(Ruling::Say(Verdict::AllowAnd(Rotation::Authenticate)));
    let mut moved = come(&sessions, &id, "cat").await.expect("it is allowed");
    assert_eq!(saved(&mut moved).await.id, Some(IdRotation::Rotated));
    invalid(&sessions, &id, InvalidReason::Stale).await;
    come(&sessions, &issued(&moved), "cat")
        .await
        .expect("the new id");
}

/// Nobody opens it after that.
pub async fn ends_the_session_by_verdict(h: &dyn Harness) {
    let (judge, sessions) = judged(h, LockMode::OnOpen).await;
    let id = from("fox", &sessions).await;
    judge.will(Ruling::Say(Verdict::Delete));
    refused(come(&sessions, &id, "cat").await);
    invalid(&sessions, &id, InvalidReason::Unknown).await;
}

/// A decision about them has the same force.
pub async fn asks_about_ids_that_were_replaced(h: &dyn Harness) {
    let (judge, sessions) = judged(h, LockMode::OnOpen).await;
    let id = from("fox", &sessions).await;
    let mut session = come(&sessions, &id, "fox").await.expect("it was seen");
    session.regenerate(Rotation::renew()).expect("a change");
    saved(&mut session).await;
    let mut next = come(&sessions, &issued(&session), "fox")
        .await
        .expect("the new id");
    saved(&mut next).await;
    assert_eq!(judge.asked(), 0);

    drop(come(&sessions, &id, "fox").await.expect("it is allowed"));
    assert_eq!(judge.asked(), 1);
    for ruling in [Ruling::Say(Verdict::Refuse), Ruling::Panic, Ruling::Hang] {
        judge.will(ruling);
        refused(decided(h, come(&sessions, &id, "fox")).await);
    }
}

/// Of two decisions that both ask for a new id the stricter one holds, whichever comes first.
pub async fn obeys_the_stricter_of_two_verdicts(h: &dyn Harness) {
    let (short, long) = (Duration::from_secs(1), Duration::from_secs(60));
    let renew = |grace| Rotation::Renew { grace };
    for (zombie, profile, ends_at_once) in [
        (Rotation::Authenticate, renew(long), true),
        (renew(long), Rotation::Authenticate, true),
        (renew(short), renew(long), false),
    ] {
        let both = Both { zombie, profile };
        let sessions = built(builder(h).await.decisions(both));
        let a = from("fox", &sessions).await;
        // Nobody decides about this.
        let quiet = crate::sessions::sessions(h, LockMode::Optimistic).await;
        let b = rotated(&quiet, &a, renew(long)).await;
        used(&quiet, &b).await;
        let mut session = come(&sessions, &a, "owl").await.expect("it is allowed");
        session.add("n", 1).expect("a sum that fits");
        let told = saved(&mut session).await;
        if ends_at_once {
            assert_eq!(told.id, Some(IdRotation::Rotated));
            let c = issued(&session);
            invalid(&sessions, &a, InvalidReason::Stale).await;
            invalid(&sessions, &b, InvalidReason::Stale).await;
            assert!(come(&sessions, &c, "fox").await.is_ok());
        } else {
            assert_eq!(told.id, Some(IdRotation::AlreadyRotated));
        }
    }
}

/// Asks for a new id in either case.
struct Both {
    zombie: Rotation,
    profile: Rotation,
}

#[async_trait]
impl Decisions for Both {
    async fn profile_changed(
        &self,
        _: &SessionInfo,
        _: &Profile,
        _: &[Profile],
    ) -> Result<Verdict, Undecided> {
        Ok(Verdict::AllowAnd(self.profile))
    }

    async fn zombie(&self, _: &SessionInfo, _: Duration) -> Result<Verdict, Undecided> {
        Ok(Verdict::AllowAnd(self.zombie))
    }
}

/// What the application knows apart, a client cannot: no id, one that never was, one that is over.
pub async fn answers_every_id_that_is_over_alike(h: &dyn Harness) {
    let sessions = crate::sessions::sessions(h, LockMode::Optimistic).await;
    let stale = plain(&sessions).await;
    let next = rotated(&sessions, &stale, Rotation::renew()).await;
    used(&sessions, &next).await;
    h.advance(Rotation::GRACE).await;
    let ended = plain(&sessions).await;
    let mut session = open(&sessions, &ended).await;
    session.delete().await.expect("an end");
    let never = Base64UrlUnpadded::encode_string(&[7; 40]);
    for (id, reason) in [
        (stale.expose().to_string(), InvalidReason::Stale),
        (ended.expose().to_string(), InvalidReason::Unknown),
        (never, InvalidReason::Unknown),
        ("no id at all".to_owned(), InvalidReason::Malformed),
    ] {
        let mut anew = match sessions.open_or_create(Some(&id), &client()).await {
            Ok(session) => session,
            Err(error) => panic!("a new session was expected instead of {reason}: {error:?}"),
        };
        assert_eq!(anew.origin(), Origin::Replaced(reason));
        assert!(anew.is_new() && anew.is_empty());
        assert!(matches!(anew.id_update(), IdUpdate::Keep));
        anew.insert("n", &1).expect("a change");
        saved(&mut anew).await;
        let given = issued(&anew);
        assert!(![stale.handle(), ended.handle()].contains(&given.handle()));
    }
    open(&sessions, &next).await;
}

/// How long a decision may take here.
const DEADLINE: Duration = Duration::from_secs(2);

/// Decides as it is told to, once, and allows everything else.
#[derive(Clone, Debug, Default)]
struct Judge(Arc<Mutex<Rulings>>);

#[derive(Debug, Default)]
struct Rulings {
    next: Option<Ruling>,
    asked: usize,
}

#[derive(Clone, Copy, Debug)]
enum Ruling {
    Say(Verdict),
    Fail,
    Panic,
    Hang,
}

impl Judge {
    fn will(&self, ruling: Ruling) {
        self.rulings().next = Some(ruling);
    }

    fn asked(&self) -> usize {
        self.rulings().asked
    }

    async fn rule(&self) -> Result<Verdict, Undecided> {
        let next = {
            let mut rulings = self.rulings();
            rulings.asked += 1;
            rulings.next.take()
        };
        match next {
            None => Ok(Verdict::Allow),
            Some(Ruling::Say(verdict)) => Ok(verdict),
            Some(Ruling::Fail) => Err("the list of devices cannot be read".into()),
            Some(Ruling::Panic) => panic!("a decision that panics on purpose"),
            Some(Ruling::Hang) => pending().await,
        }
    }

    fn rulings(&self) -> MutexGuard<'_, Rulings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Decisions for Judge {
    async fn profile_changed(
        &self,
        _: &SessionInfo,
        new: &Profile,
        seen: &[Profile],
    ) -> Result<Verdict, Undecided> {
        assert!(!seen.contains(new), "it was seen");
        self.rule().await
    }

    async fn zombie(&self, _: &SessionInfo, _: Duration) -> Result<Verdict, Undecided> {
        self.rule().await
    }
}

async fn judged(h: &dyn Harness, mode: LockMode) -> (Judge, Sessions) {
    let judge = Judge::default();
    let settings = builder(h).await.lock_mode(mode);
    let settings = settings
        .decisions(judge.clone())
        .decision_deadline(DEADLINE);
    (judge, built(settings))
}

fn with(agent: &str) -> Client {
    Client {
        user_agent: Some(agent.to_owned()),
        ..Client::default()
    }
}

/// A session that was stored by this browser.
async fn from(agent: &str, sessions: &Sessions) -> SessionId {
    let sessions = sessions.with_mode(LockMode::Optimistic);
    let mut session = sessions.create(&with(agent)).expect("a new session");
    session.insert("n", &0).expect("a change");
    saved(&mut session).await;
    issued(&session)
}

/// A request of this browser.
async fn come(sessions: &Sessions, id: &SessionId, agent: &str) -> Result<Session> {
    sessions.open(&id.expose(), &with(agent)).await
}

/// What comes of an open whose decision has no more time than it may take.
async fn decided(
    h: &dyn Harness,
    opening: impl Future<Output = Result<Session>>,
) -> Result<Session> {
    join(opening, h.advance(DEADLINE)).await.0
}

#[track_caller]
fn refused(opened: Result<Session>) {
    match opened {
        Err(SessionError::Invalid(InvalidReason::Refused)) => {}
        other => panic!("a refusal was expected, and the answer was {other:?}"),
    }
}

async fn refuses(h: &dyn Harness, ruling: Ruling) {
    for mode in [LockMode::Optimistic, LockMode::ReadOnly, LockMode::OnOpen] {
        let (judge, sessions) = judged(h, mode).await;
        let id = from("fox", &sessions).await;
        judge.will(ruling);
        refused(decided(h, come(&sessions, &id, "cat")).await);
        let failed = u64::from(!matches!(ruling, Ruling::Say(_)));
        assert_eq!(sessions.counters().failed_decisions, failed);
        let session = come(&sessions, &id, "fox").await.expect("it lives on");
        assert_eq!(session.get("n").expect("a number"), Some(0));
    }
}
