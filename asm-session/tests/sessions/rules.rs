//! Decisions, which change what happens to a request, and events, which never do.

use std::{
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use asm_session::{
    Client, Decisions, Event, Events, IdRotation, InvalidReason, LockMode, Profile, ProfilePolicy,
    Rotation, RotationPolicy, SessionError, SessionInfo, Sessions, Undecided, Verdict,
};
use async_trait::async_trait;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::world::{World, client, issued, settle, stored};

fn with(agent: &str) -> Client {
    Client {
        user_agent: Some(agent.into()),
        ..Client::default()
    }
}

/// Answers as it is told to, and counts.
#[derive(Clone, Default)]
struct Judge(Arc<Mutex<(Ruling, Vec<&'static str>)>>);

#[derive(Clone, Copy, Default)]
enum Ruling {
    #[default]
    Allow,
    Say(Verdict),
    Fail,
    Panic,
    Hang,
}

impl Judge {
    fn will(&self, ruling: Ruling) {
        self.0.lock().expect("sound").0 = ruling;
    }

    fn asked(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.0.lock().expect("sound").1)
    }

    async fn rule(&self, about: &'static str) -> Result<Verdict, Undecided> {
        let ruling = {
            let mut state = self.0.lock().expect("sound");
            state.1.push(about);
            state.0
        };
        match ruling {
            Ruling::Allow => Ok(Verdict::Allow),
            Ruling::Say(verdict) => Ok(verdict),
            Ruling::Fail => Err("no idea".into()),
            Ruling::Panic => panic!("a bug of the application"),
            Ruling::Hang => pending().await,
        }
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
        assert!(!seen.contains(new));
        self.rule("profile").await
    }

    async fn zombie(&self, _: &SessionInfo, _: Duration) -> Result<Verdict, Undecided> {
        self.rule("zombie").await
    }
}

fn judged(world: &World, mode: LockMode) -> (Judge, Sessions) {
    let judge = Judge::default();
    let builder = world.builder().lock_mode(mode).decisions(judge.clone());
    (judge, builder.build().expect("sound"))
}

async fn stored_by(sessions: &Sessions, client: &Client) -> String {
    let mut session = sessions
        .with_mode(LockMode::Optimistic)
        .create(client)
        .expect("random");
    session.insert("n", &0).expect("writable");
    session.close().await.expect("stored");
    issued(&session)
}

/// No policy of rotation minds a new profile here, so there is nothing to wait for.
#[tokio::test]
async fn a_session_that_keeps_its_id_remembers_the_profiles_that_were_allowed() {
    let (judge, sessions) = judged(&World::new(), LockMode::Optimistic);
    let id = stored_by(&sessions, &with("fox")).await;
    let kept = sessions.with_kept_ids();
    for asked in [&["profile"][..], &[]] {
        let mut session = kept.open(&id, &with("cat")).await.expect("allowed");
        session.close().await.expect("stored");
        assert_eq!(judge.asked(), asked);
    }
}

#[tokio::test]
async fn a_new_profile_is_asked_about_once_and_a_seen_one_never() {
    let (judge, sessions) = judged(&World::new(), LockMode::Optimistic);
    let id = stored_by(&sessions, &with("fox")).await;
    sessions
        .open(&id, &with("fox"))
        .await
        .expect("seen")
        .close()
        .await
        .expect("stored");
    assert!(judge.asked().is_empty());

    let mut moved = sessions.open(&id, &with("cat")).await.expect("allowed");
    assert!(moved.close().await.expect("remembered").written);
    sessions.open(&id, &with("cat")).await.expect("seen");
    assert_eq!(judge.asked(), ["profile"]);

    // What a reader is allowed holds for that request.
    let reading = sessions.with_mode(LockMode::ReadOnly);
    assert!(
        !reading
            .open(&id, &with("owl"))
            .await
            .expect("allowed")
            .close()
            .await
            .expect("read")
            .written
    );
    let owl = reading.open(&id, &with("owl")).await.expect("allowed");
    assert_eq!(judge.asked(), ["profile", "profile"]);

    // A page of devices shows what is remembered.
    let info = sessions.by_handle(owl.handle()).info().await;
    let info = info.expect("readable").expect("it is there");
    assert_eq!(
        info.profiles(),
        [Profile::of(&with("fox")), Profile::of(&with("cat"))]
    );
}

#[tokio::test]
async fn a_decision_that_does_not_come_is_a_refusal_and_leaves_no_lock() {
    for ruling in [
        Ruling::Say(Verdict::Refuse),
        Ruling::Fail,
        Ruling::Panic,
        Ruling::Hang,
    ] {
        let world = World::new();
        let (judge, sessions) = judged(&world, LockMode::OnOpen);
        let id = stored_by(&sessions, &with("fox")).await;
        judge.will(ruling);
        let opening = tokio::spawn({
            let (sessions, id) = (sessions.clone(), id.clone());
            async move { sessions.open(&id, &with("cat")).await.map(drop) }
        });
        world.clock.advance(Duration::from_secs(2)).await;
        let refused = opening.await.expect("no panic");
        assert!(matches!(
            refused,
            Err(SessionError::Invalid(InvalidReason::Refused))
        ));
        assert!(
            sessions
                .open(&id, &with("fox"))
                .await
                .expect("alive")
                .is_locked()
        );
    }
}

#[tokio::test]
async fn a_verdict_can_let_read_replace_the_id_or_end_the_session() {
    let world = World::new();
    let (judge, sessions) = judged(&world, LockMode::OnOpen);
    let id = stored_by(&sessions, &with("fox")).await;

    judge.will(Ruling::Say(Verdict::ReadOnly));
    let mut reader = sessions.open(&id, &with("cat")).await.expect("allowed");
    assert!(matches!(
        reader.insert("n", &1),
        Err(SessionError::ReadOnly)
    ));
    drop(reader);

    judge.will(Ruling::Say(Verdict::AllowAnd(Rotation::Authenticate)));
    let mut moved = sessions.open(&id, &with("cat")).await.expect("allowed");
    assert_eq!(
        moved.close().await.expect("stored").id,
        Some(IdRotation::Rotated)
    );
    let id = issued(&moved);

    judge.will(Ruling::Say(Verdict::Delete));
    let ended = sessions.open(&id, &with("owl")).await;
    assert!(matches!(
        ended,
        Err(SessionError::Invalid(InvalidReason::Refused))
    ));
    assert_eq!(world.driver.sessions(), 0);
}

#[tokio::test]
async fn what_was_decided_while_reading_holds_in_another_mode() {
    let world = World::new();
    let (judge, sessions) = judged(&world, LockMode::ReadOnly);
    let id = stored_by(&sessions, &with("fox")).await;

    judge.will(Ruling::Say(Verdict::ReadOnly));
    let mut confined = sessions.open(&id, &with("cat")).await.expect("allowed");
    for mode in [LockMode::Optimistic, LockMode::OnOpen, LockMode::Manual] {
        let refused = confined.set_mode(mode).await;
        assert!(matches!(refused, Err(SessionError::ReadOnly)), "{mode:?}");
        assert_eq!(confined.mode(), LockMode::ReadOnly);
    }

    judge.will(Ruling::Say(Verdict::AllowAnd(Rotation::Authenticate)));
    let mut kept = sessions.open(&id, &with("dog")).await.expect("allowed");
    kept.keep_id();
    let changed = kept.set_mode(LockMode::Optimistic).await;
    changed.expect("nothing is replaced, and it is not confined");
    assert_eq!(kept.close().await.expect("stored").id, None);

    let mut moved = sessions.open(&id, &with("cat")).await.expect("allowed");
    let changed = moved.set_mode(LockMode::Optimistic).await;
    changed.expect("not confined");
    let saved = moved.close().await.expect("stored");
    assert_eq!(saved.id, Some(IdRotation::Rotated));
}

#[tokio::test]
async fn zombies_are_judged() {
    let (judge, sessions) = judged(&World::new(), LockMode::Optimistic);
    let id = stored_by(&sessions, &client()).await;
    let mut session = sessions.open(&id, &client()).await.expect("there");
    session.regenerate(Rotation::renew()).expect("writable");
    session.close().await.expect("stored");
    let next = issued(&session);
    sessions
        .open(&next, &client())
        .await
        .expect("there")
        .close()
        .await
        .expect("confirmed");
    judge.will(Ruling::Say(Verdict::ReadOnly));
    let mut zombie = sessions.open(&id, &client()).await.expect("allowed");
    assert!(zombie.is_zombie());
    assert!(matches!(
        zombie.insert("n", &1),
        Err(SessionError::ReadOnly)
    ));
    assert_eq!(judge.asked(), ["zombie"]);
}

#[tokio::test]
async fn ready_made_policies_and_a_rotation_on_a_new_profile() {
    let world = World::new();
    let sessions = world
        .builder()
        .decisions(ProfilePolicy::SameUserAgent)
        .rotation(RotationPolicy::never().on_profile_change())
        .build()
        .expect("sound");
    let home = Client {
        ip: Some([192, 0, 2, 1].into()),
        ..with("fox")
    };
    let cafe = Client {
        ip: Some([198, 51, 100, 1].into()),
        ..with("fox")
    };
    let id = stored_by(&sessions, &home).await;
    assert!(sessions.open(&id, &with("cat")).await.is_err());
    let mut session = sessions.open(&id, &cafe).await.expect("the same agent");
    session.add("n", 1).expect("fits");
    assert_eq!(
        session.close().await.expect("stored").id,
        Some(IdRotation::Rotated)
    );
}

/// Hands every event on, then does what it must not.
struct Reporter(UnboundedSender<Event>, bool);

#[async_trait]
impl Events for Reporter {
    async fn on(&self, event: Event) {
        self.0.send(event).expect("the test listens");
        if self.1 {
            panic!("a bug of the application");
        }
        pending::<()>().await;
    }
}

fn reported(world: &World, panics: bool) -> (UnboundedReceiver<Event>, Sessions) {
    let (tell, told) = unbounded_channel();
    let builder = world.builder().events(Reporter(tell, panics));
    (told, builder.build().expect("sound"))
}

/// Told, and through with it.
struct Listener(UnboundedSender<Event>);

#[async_trait]
impl Events for Listener {
    async fn on(&self, event: Event) {
        self.0.send(event).expect("the test listens");
    }
}

#[tokio::test]
async fn an_event_that_was_heard_did_not_fail() {
    let (tell, mut told) = unbounded_channel();
    let builder = World::new().builder().events(Listener(tell));
    let sessions = builder.build().expect("sound");
    stored(&sessions).await;
    assert!(matches!(told.recv().await, Some(Event::Created { .. })));
    settle().await;
    assert_eq!(sessions.counters().failed_events, 0);
}

#[tokio::test]
async fn events_tell_what_happened_and_harm_nobody() {
    for panics in [false, true] {
        let world = World::new();
        let (mut told, sessions) = reported(&world, panics);
        let id = stored(&sessions).await;
        assert!(matches!(told.recv().await, Some(Event::Created { .. })));

        let mut first = sessions.open(&id, &client()).await.expect("there");
        let mut second = sessions.open(&id, &client()).await.expect("there");
        for session in [&mut first, &mut second] {
            let n: i64 = session.get_or("n", 0).expect("a number");
            session.insert("n", &(n + 1)).expect("writable");
        }
        first.close().await.expect("stored");
        second.close().await.expect_err("a conflict");
        assert!(matches!(
            told.recv().await,
            Some(Event::WriteRefused { .. })
        ));
        match told.recv().await {
            Some(Event::Conflict { keys, .. }) => assert_eq!(keys, ["n"]),
            other => panic!("{other:?}"),
        }
        drop(second);
        first.delete().await.expect("deleted");
        assert!(matches!(told.recv().await, Some(Event::Ended { .. })));
        sessions.open(&id, &client()).await.expect_err("deleted");
        match told.recv().await {
            Some(Event::Invalid { reason, handle, .. }) => {
                assert_eq!(
                    (reason, handle),
                    (InvalidReason::Unknown, Some(first.handle()))
                );
            }
            other => panic!("{other:?}"),
        }
        world.clock.advance(Duration::from_secs(10)).await;
        assert_eq!(
            sessions.counters().failed_events,
            5,
            "all of them panicked or hung"
        );
        assert!(told.try_recv().is_err(), "each was told once");
        assert_eq!(sessions.counters().refused_writes, 1);
    }
}
