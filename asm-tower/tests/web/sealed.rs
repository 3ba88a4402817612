//! Cookies that only the application can read.

use asm_crypt::{KeyId, KeyRing, SecretKey};
use asm_session::IdUpdate;
use asm_testkit::Verb;
use asm_tower::{Result, Session, SessionLayer};
use axum::{
    Router,
    routing::{get, post},
};
use http::Method;

use crate::world::{Browser, World, unknown_id};

async fn count(session: Session) -> Result<String> {
    Ok(session.add("n", 1)?.to_string())
}

async fn show(session: Session) -> Result<String> {
    Ok(session.get_or("n", 0)?.to_string())
}

fn key(number: u8) -> (KeyId, SecretKey) {
    let mut bytes = [0; 32];
    fastrand::Rng::with_seed(number.into()).fill(&mut bytes);
    let key = SecretKey::from_bytes(&bytes).expect("32 bytes");
    (KeyId::new(number.into()), key)
}

/// Writes with the first of these keys, and reads what any of them sealed.
fn ring(numbers: &[u8]) -> KeyRing {
    let (id, writes) = key(numbers[0]);
    let others = numbers[1..].iter().map(|number| key(*number));
    others.fold(KeyRing::new(id, &writes), |ring, (id, key)| {
        ring.reads(id, &key).expect("another key")
    })
}

fn app(world: &World, keys: &[u8]) -> Router {
    let layer = SessionLayer::new(world.sessions()).with_sealed_cookie(ring(keys));
    Router::new()
        .route("/count", post(count))
        .route("/show", get(show))
        .layer(layer.build().expect("consistent"))
}

#[tokio::test]
async fn a_sealed_cookie_opens_its_session_and_shows_nothing_of_its_id() {
    let world = World::new();
    let mut browser = Browser::of(&app(&world, &[1]));
    assert_eq!(browser.post("/count").await.ok(), "1");
    assert!(browser.id().len() > 100, "an id and its seal");
    let first = browser.id.clone();
    assert_eq!(browser.post("/count").await.ok(), "2");
    assert_eq!(browser.id, first, "it is set once");
}

#[tokio::test]
async fn what_is_not_sealed_is_refused_without_a_call() {
    let world = World::new();
    let app = app(&world, &[1]);
    let mut browser = Browser::of(&app);
    browser.post("/count").await.ok();
    let sessions = world.sessions();
    let mut session = sessions
        .create(&asm_session::Client::default())
        .expect("random");
    session.insert("n", &7).expect("writable");
    session.close().await.expect("stored");
    let IdUpdate::Issue(id) = session.id_update() else {
        panic!("it is new");
    };
    world.calls();
    let mut edited = browser.id().to_owned();
    edited.replace_range(60..61, if &edited[60..61] == "A" { "B" } else { "A" });
    let (bare, unknown) = (id.expose().to_string(), unknown_id());
    for value in [bare.as_str(), &unknown, &edited, "", "x"] {
        let stranger = browser.with_id(value);
        let answer = stranger.send(Method::GET, "/show").await;
        assert_eq!(answer.ok(), "0");
        assert_eq!(answer.cookie("__Host-sid"), None);
    }
    world.calls().expect(&[]);
    assert_eq!(browser.get("/show").await.ok(), "1");
    assert_eq!(world.calls().of(Verb::Open), 1);
}

#[tokio::test]
async fn a_cookie_of_an_older_key_is_sealed_anew() {
    let world = World::new();
    let mut browser = Browser::of(&app(&world, &[1]));
    browser.post("/count").await.ok();
    let old = browser.id().to_owned();

    let mut browser = Browser::of(&app(&world, &[2, 1])).with_id(&old);
    let answer = browser.get("/show").await;
    assert_eq!(answer.ok(), "1");
    assert!(answer.cookie("__Host-sid").is_some());
    assert_ne!(browser.id(), old);
    let answer = browser.get("/show").await;
    assert_eq!(answer.ok(), "1");
    assert_eq!(answer.cookie("__Host-sid"), None, "once");
    let mut without_old = Browser::of(&app(&world, &[2])).with_id(browser.id());
    assert_eq!(without_old.get("/show").await.ok(), "1");
}

#[tokio::test]
async fn a_key_that_is_not_known_here_costs_nobody_the_session() {
    let world = World::new();
    let mut browser = Browser::of(&app(&world, &[2]));
    browser.post("/count").await.ok();
    // A process that was not told of the new key yet.
    let other = Browser::of(&app(&world, &[1])).with_id(browser.id());
    for (method, path) in [(Method::GET, "/show"), (Method::POST, "/count")] {
        let answer = other.send(method, path).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.cookie("__Host-sid"), None);
    }
    assert_eq!(browser.get("/show").await.ok(), "1");
}
