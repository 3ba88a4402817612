//! Cookies that only the application can read.

use asm_crypt::{KeyId, KeyRing, KeySource, Seal, SecretKey};
use asm_session::{IdUpdate, SessionId};
use asm_testkit::Verb;
use asm_tower::{SessionLayer, SessionLayerBuilder, Transport};
use axum::{
    Router,
    routing::{get, post},
};
use http::{Method, header};

use crate::handlers::{count, log_in, log_out, renew, show};
use crate::world::{Browser, World, unknown_id};

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
        .route("/renew", post(renew))
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
    let mut browser = Browser::known(&app).await;
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
    let browser = Browser::known(&app(&world, &[1])).await;
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

/// Its client has another one, which this one would replace.
#[tokio::test]
async fn the_cookie_of_a_zombie_is_not_sealed_anew() {
    let world = World::new();
    let mut browser = Browser::known(&app(&world, &[1])).await;
    let old = browser.id().to_owned();
    browser.post("/renew").await.ok();
    assert_eq!(browser.get("/show").await.ok(), "1");
    assert_ne!(browser.id(), old);

    let zombie = Browser::of(&app(&world, &[2, 1])).with_id(&old);
    for (method, path, said) in [(Method::GET, "/show", "1"), (Method::POST, "/count", "2")] {
        let answer = zombie.send(method, path).await;
        assert_eq!(answer.ok(), said);
        assert_eq!(answer.cookie("__Host-sid"), None, "{path}");
    }
}

#[tokio::test]
async fn a_key_that_is_not_known_here_costs_nobody_the_session() {
    let world = World::new();
    let mut browser = Browser::known(&app(&world, &[2])).await;
    // A process that was not told of the new key yet.
    let other = Browser::of(&app(&world, &[1])).with_id(browser.id());
    for (method, path) in [(Method::GET, "/show"), (Method::POST, "/count")] {
        let answer = other.send(method, path).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.cookie("__Host-sid"), None);
    }
    assert_eq!(browser.get("/show").await.ok(), "1");
}

/// A session whose store and keys open nothing without what its client brings.
fn split(world: &World, set: impl FnOnce(SessionLayerBuilder) -> SessionLayerBuilder) -> Router {
    let seal = Seal::xchacha(ring(&[1])).key_source(KeySource::Split);
    let sessions = world.builder().codec(seal).build().expect("sound");
    Router::new()
        .route("/count", post(count))
        .route("/show", get(show))
        .route("/renew", post(renew))
        .route("/log-in", post(log_in))
        .route("/log-out", post(log_out))
        .layer(
            set(SessionLayer::new(sessions))
                .build()
                .expect("consistent"),
        )
}

#[tokio::test]
async fn the_cookie_of_a_split_key_carries_its_half_through_renewals_and_logins() {
    let world = World::new();
    let mut browser = Browser::known(&split(&world, |layer| layer)).await;
    assert_eq!(browser.id().len(), SessionId::LEN_SPLIT);
    assert_eq!(browser.post("/count").await.ok(), "2");

    // While its successor is not used, and for a grace, the former id opens the body, too.
    let old = browser.clone();
    browser.post("/renew").await.ok();
    assert_eq!(old.send(Method::GET, "/show").await.ok(), "2");
    assert_eq!(browser.post("/count").await.ok(), "3");
    assert_eq!(old.send(Method::POST, "/count").await.ok(), "4");

    let former = browser.clone();
    browser.post("/log-in").await.ok();
    assert_eq!(browser.id().len(), SessionId::LEN_SPLIT);
    assert_eq!(browser.get("/show").await.ok(), "4");
    assert_eq!(former.send(Method::GET, "/show").await.ok(), "0");
    browser.post("/log-out").await.ok();
    assert_eq!((browser.id, world.memory.sessions()), (None, 0));
}

#[tokio::test]
async fn a_split_key_without_its_half_opens_nothing_and_costs_nobody_the_session() {
    let world = World::new();
    let app = split(&world, |layer| layer);
    let mut browser = Browser::known(&app).await;
    let id = browser.id().to_owned();
    let mut other_half = id.clone();
    let place = SessionId::LEN + 10;
    let letter = if &id[place..=place] == "A" { "B" } else { "A" };
    other_half.replace_range(place..=place, letter);
    let shorter = &id[..SessionId::LEN];
    for forged in [other_half.as_str(), shorter, &format!("{id}A")] {
        for (method, path, said) in [
            (Method::GET, "/show", "0"),
            (Method::POST, "/count", "1"),
            (Method::POST, "/log-out", ""),
        ] {
            let answer = browser.with_id(forged).send(method, path).await;
            assert_eq!(answer.ok(), said, "{path} by {} letters", forged.len());
        }
        assert!(world.lock_of(&id).await.holder.is_none());
    }
    assert_eq!(browser.post("/count").await.ok(), "2");
}

#[tokio::test]
async fn a_split_key_goes_by_a_sealed_cookie_and_by_a_header() {
    let world = World::new();
    let sealed = split(&world, |layer| layer.with_sealed_cookie(ring(&[2])));
    let mut browser = Browser::known(&sealed).await;
    assert!(browser.id().len() > SessionId::LEN_SPLIT);
    assert_eq!(browser.post("/count").await.ok(), "2");

    let app = split(&world, |layer| layer.with_transport(Transport::Header));
    let answer = Browser::of(&app).send(Method::POST, "/count").await;
    let id = answer.headers["session-id"].to_str().expect("ascii");
    assert_eq!(id.len(), SessionId::LEN_SPLIT);
    let authorization = format!("Session {id}");
    let mut client = Browser::of(&app).with_header(header::AUTHORIZATION, &authorization);
    assert_eq!(client.post("/count").await.ok(), "2");
}
