//! The holes that other session layers have, each as a test.

use std::{env, future::pending, sync::Arc, time::Duration};

use asm_core::ErrorKind;
use asm_session::{
    Client, Decisions, Event, Events, InvalidReason, LockMode, Origin, Profile, SessionInfo,
    Undecided, Verdict,
};
use asm_testkit::{Fault, Verb};
use asm_tower::{Result, Session};
use async_trait::async_trait;
use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use futures_util::future::join_all;
use http::{Method, header};
use tokio::sync::{Notify, Semaphore};

use crate::handlers::{count, log_out, renew, show};
use crate::world::{Browser, World, plain, watched};

/// Holds a session open until the test lets go of it.
async fn hold(State(held): State<Held>, session: Session) -> Result<String> {
    let n = session.get_or("n", 0)?;
    held.inside.notify_one();
    held.go.acquire().await.expect("never closed").forget();
    session.insert("held", &n)?;
    Ok(n.to_string())
}

#[derive(Clone)]
struct Held {
    inside: Arc<Notify>,
    go: Arc<Semaphore>,
}

impl Held {
    fn new() -> Self {
        Self {
            inside: Arc::default(),
            go: Arc::new(Semaphore::new(0)),
        }
    }
}

fn routes(held: &Held) -> Router {
    Router::new()
        .route("/count", get(count).post(count))
        .route("/show", get(show))
        .route("/renew", post(renew))
        .route("/log-out", post(log_out).get(log_out))
        .route("/hold", get(hold))
        .with_state(held.clone())
}

fn app(world: &World) -> (Router, Held) {
    let held = Held::new();
    (routes(&held).layer(world.layer()), held)
}

#[tokio::test]
async fn rotation_while_a_reader_holds_the_old_id_logs_nobody_out() {
    let world = World::new();
    let (app, held) = app(&world);
    let mut browser = Browser::known(&app).await;
    let reader = tokio::spawn(browser.send(Method::GET, "/hold"));
    watched(held.inside.notified()).await;
    browser.post("/renew").await.ok();
    browser.get("/show").await.ok();
    held.go.add_permits(1);
    let answer = watched(reader).await.expect("no panic");
    assert_eq!(answer.ok(), "1");
    assert_eq!(answer.cookie("__Host-sid"), None, "the newer cookie stays");
    let session = world
        .sessions()
        .open(browser.id(), &Client::default())
        .await;
    assert!(session.expect("there").contains_key("held"), "and it saved");
}

#[tokio::test]
async fn rotation_whose_save_fails_leaves_the_id_what_it_was() {
    let world = World::new();
    let (chaos, sessions) = world.chaos();
    let app = routes(&Held::new()).layer(plain(sessions));
    let mut browser = Browser::known(&app).await;
    for fault in [Fault::Refused(ErrorKind::Unavailable), Fault::LostAnswer] {
        chaos.layer().next(Verb::Save, fault);
        let answer = browser.post("/renew").await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.cookie("__Host-sid"), None);
        assert_eq!(browser.get("/show").await.ok(), "1", "{fault:?}");
    }
}

#[tokio::test]
async fn a_lost_set_cookie_logs_nobody_out_and_raises_no_alarm() {
    let world = World::new();
    let sessions = world.sessions();
    let app = routes(&Held::new()).layer(plain(sessions.clone()));
    let mut browser = Browser::known(&app).await;
    for _ in 0..20 {
        browser.send(Method::POST, "/renew").await.ok();
        world.clock.advance(Duration::from_secs(120)).await;
        assert_eq!(browser.get("/show").await.ok(), "1");
    }
    let counters = sessions.counters();
    assert_eq!((counters.invalid, counters.zombies), (0, 0));
}

#[tokio::test]
async fn a_save_after_destroy_brings_nothing_back() {
    let world = World::new();
    let (app, held) = app(&world);
    let browser = Browser::known(&app).await;
    let late = tokio::spawn(browser.send(Method::GET, "/hold"));
    watched(held.inside.notified()).await;
    let removed = browser.clone().post("/log-out").await;
    removed.ok();
    held.go.add_permits(1);
    let answer = watched(late).await.expect("no panic");
    assert_eq!(answer.status, 409, "never a silent success");
    assert_eq!(answer.cookie("__Host-sid"), None);
    assert_eq!(world.memory.sessions(), 0);
}

#[tokio::test]
async fn a_save_on_a_missing_record_writes_nothing() {
    let world = World::new();
    let (app, held) = app(&world);
    let mut browser = Browser::known(&app).await;
    let late = tokio::spawn(browser.send(Method::GET, "/hold"));
    watched(held.inside.notified()).await;
    // It expires under the request.
    world.clock.advance(Duration::from_secs(25 * 3600)).await;
    held.go.add_permits(1);
    assert_eq!(watched(late).await.expect("no panic").status, 409);
    let calls = world.calls();
    assert_eq!((calls.of(Verb::Create), calls.of(Verb::Save)), (1, 1));
    assert_eq!(browser.get("/show").await.ok(), "0");
    assert_eq!(world.calls().of(Verb::Create), 0);
}

#[tokio::test]
async fn an_insert_after_a_delete_is_a_new_session_under_a_new_id() {
    async fn start_over(session: Session) -> Result<()> {
        let before = session.handle()?;
        session.delete().await?;
        assert!(matches!(session.add("n", 1), Err(error) if error.status() == 409));
        session.insert("n", &100)?;
        assert_ne!(session.handle()?, before);
        Ok(())
    }
    let world = World::new();
    let router = Router::new().route("/start-over", post(start_over));
    let (app, _) = app(&world);
    let mut browser = Browser::known(&router.layer(world.layer()).merge(app)).await;
    let old = browser.clone();
    let answer = browser.post("/start-over").await;
    answer.ok();
    assert!(
        answer.cookie("__Host-sid").is_some(),
        "one cookie, the new one"
    );
    assert_eq!(browser.get("/show").await.ok(), "100");
    assert_eq!(old.send(Method::GET, "/show").await.ok(), "0");
    assert_eq!(world.memory.sessions(), 1);
    assert!(world.lock_of(browser.id()).await.holder.is_none());
}

/// A hundred thousand ids that a stranger made up, or as many as `ASM_COOKIES` says.
#[tokio::test]
async fn random_cookies_create_nothing_and_malformed_ones_ask_nothing() {
    let tries = env::var("ASM_COOKIES").map_or(100_000, |tries| tries.parse().expect("a number"));
    let world = World::new();
    let (app, _) = app(&world);
    let mut victim = Browser::known(&app).await;
    victim.get("/show").await.ok();
    let handle = victim.id()[..21].to_owned();
    let before = (world.memory.sessions(), victim.id().to_owned());
    let mut random = fastrand::Rng::with_seed(7);
    let mut letters = |length: usize| -> String {
        let letter =
            |_| random.choice(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_");
        (0..length)
            .filter_map(letter)
            .map(|byte| char::from(*byte))
            .collect()
    };
    world.calls();
    let stranger = Browser::of(&app);
    for round in 0..tries {
        // A third is no id, a third names nobody, a third names our victim with another secret.
        let (id, asks) = match round % 3 {
            0 => (letters(round % 54), false),
            1 => (letters(53) + "A", true),
            _ => (handle.clone() + &letters(32) + "A", true),
        };
        let answer = stranger.with_id(&id).send(Method::GET, "/show").await;
        assert_eq!(answer.ok(), "0", "round {round}");
        assert_eq!(answer.cookie("__Host-sid"), None);
        world.calls().expect(&[(Verb::Open, u64::from(asks))]);
    }
    println!("{tries} made-up ids: 0 sessions created, 0 opened");
    assert_eq!(world.memory.sessions(), before.0);
    assert_eq!(victim.get("/show").await.ok(), "1");
    assert_eq!(victim.id(), before.1);
    assert!(world.lock_of(victim.id()).await.holder.is_none());
}

#[tokio::test]
async fn a_store_that_hangs_holds_nobody_who_hangs_up() {
    let world = World::new();
    let (chaos, sessions) = world.chaos();
    let app = routes(&Held::new()).layer(plain(sessions));
    let mut browser = Browser::known(&app).await;
    for verb in [Verb::Open, Verb::Save] {
        chaos
            .layer()
            .next(verb, Fault::Late(Duration::from_secs(3600)));
        let request = tokio::spawn(browser.send(Method::POST, "/count"));
        world.clock.advance(Duration::from_secs(1)).await;
        assert!(!request.is_finished());
        request.abort();
        assert!(request.await.is_err());
        assert!(world.lock_of(browser.id()).await.holder.is_none());
        watched(browser.get("/show")).await.ok();
    }
}

/// Whose every method goes wrong.
struct Broken(How);

#[derive(Clone, Copy, Debug)]
enum How {
    Fails,
    Panics,
    Hangs,
}

impl Broken {
    async fn go_wrong(&self) -> Result<Verdict, Undecided> {
        match self.0 {
            How::Fails => Err("no idea".into()),
            How::Panics => panic!("a bug of the application"),
            How::Hangs => pending().await,
        }
    }
}

#[async_trait]
impl Events for Broken {
    async fn on(&self, _: Event) {
        let _ = self.go_wrong().await;
    }
}

#[async_trait]
impl Decisions for Broken {
    async fn profile_changed(
        &self,
        _: &SessionInfo,
        _: &Profile,
        _: &[Profile],
    ) -> Result<Verdict, Undecided> {
        self.go_wrong().await
    }
}

#[tokio::test]
async fn an_error_in_an_event_changes_no_answer() {
    for how in [How::Fails, How::Panics, How::Hangs] {
        let world = World::new();
        let sessions = world.builder().events(Broken(how)).build().expect("sound");
        let app = routes(&Held::new()).layer(plain(sessions));
        let mut browser = Browser::known(&app).await;
        assert_eq!(watched(browser.post("/count")).await.ok(), "2", "{how:?}");
        let lost = browser.with_id("nonsense").get("/show").await;
        assert_eq!(lost.ok(), "0");
        browser.post("/log-out").await.ok();
    }
}

#[tokio::test]
async fn an_error_panic_or_time_out_in_a_decision_is_a_refusal_and_leaves_no_lock() {
    async fn origin(session: Session) -> Result<String> {
        Ok(format!("{:?}", session.origin()?))
    }
    for how in [How::Fails, How::Panics, How::Hangs] {
        let world = World::new();
        let sessions = world.builder().decisions(Broken(how)).build();
        let layer = plain(sessions.expect("sound"));
        let app = routes(&Held::new())
            .route("/origin", post(origin))
            .layer(layer);
        let firefox = Browser::of(&app).with_header(header::USER_AGENT, "Gecko Firefox");
        let mut home = firefox.clone();
        home.post("/count").await.ok();
        let elsewhere = Browser::of(&app)
            .with_header(header::USER_AGENT, "Gecko Safari")
            .with_id(home.id());
        let asked = tokio::spawn(elsewhere.send(Method::POST, "/origin"));
        world.clock.advance(Duration::from_secs(2)).await;
        let answer = watched(asked).await.expect("no panic");
        let refused = Origin::Replaced(InvalidReason::Refused);
        assert_eq!(answer.ok(), format!("{refused:?}"), "{how:?}");
        assert_eq!(answer.cookie("__Host-sid"), None);
        assert!(world.lock_of(home.id()).await.holder.is_none());
        assert_eq!(home.post("/count").await.ok(), "2");
    }
}

#[tokio::test]
async fn readers_of_one_session_wait_for_nobody() {
    let world = World::new();
    let (app, held) = app(&world);
    let browser = Browser::known(&app).await;
    let locking = world.sessions().with_mode(LockMode::OnOpen);
    let holder = locking.open(browser.id(), &Client::default()).await;
    let shows = (0..50).map(|_| browser.send(Method::GET, "/show"));
    for answer in watched(join_all(shows)).await {
        assert_eq!(answer.ok(), "1");
    }
    drop((holder, held));
}
