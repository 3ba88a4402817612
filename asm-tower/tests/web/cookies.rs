//! What a client's cookie, or header, becomes.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use asm_session::{Event, Events, InvalidReason, LockMode, SessionError as Inner, SessionsBuilder};
use asm_tower::{
    CachePolicy, ReadSession, Result, SameSite, Session, SessionLayer, SessionLayerBuilder,
    StatusCode, Transport,
};
use async_trait::async_trait;
use axum::{
    Router,
    routing::{get, post},
};
use http::{Method, header};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::handlers::{count, log_in, log_out, renew, show};
use crate::world::{Answer, Browser, World, unknown_id, watched};

const HOUR: Duration = Duration::from_secs(3600);

async fn zombie(session: ReadSession) -> Result<String> {
    Ok(session.is_zombie()?.to_string())
}

async fn missing() -> StatusCode {
    StatusCode::NOT_FOUND
}

fn app(layer: SessionLayer) -> Router {
    Router::new()
        .route("/count", get(count).post(count))
        .route("/show", get(show))
        .route("/zombie", get(zombie))
        .route("/renew", post(renew))
        .route("/log-in", post(log_in))
        .route("/log-out", post(log_out))
        .fallback(missing)
        .layer(layer)
}

fn built(builder: SessionLayerBuilder) -> SessionLayer {
    builder.build().expect("consistent")
}

fn over(world: &World, set: impl FnOnce(SessionLayerBuilder) -> SessionLayerBuilder) -> Router {
    app(built(set(SessionLayer::new(world.sessions()))))
}

fn said(answer: &Answer, name: header::HeaderName) -> Vec<&str> {
    let values = answer.headers.get_all(name).iter();
    values.map(|value| value.to_str().expect("ascii")).collect()
}

#[tokio::test]
async fn a_cookie_is_set_when_it_is_new_or_replaced_and_else_not() {
    let world = World::new();
    let mut browser = Browser::of(&over(&world, |layer| layer));
    let first = browser.post("/count").await;
    let cookie = first.cookie("__Host-sid").expect("new");
    let (_, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(attributes, "HttpOnly; SameSite=Lax; Secure; Path=/");
    assert_eq!(said(&first, header::CACHE_CONTROL), ["no-store"]);
    assert_eq!(said(&first, header::VARY), ["cookie"]);

    for (path, method) in [("/count", Method::POST), ("/show", Method::GET)] {
        let answer = browser.ask(method, path).await;
        answer.ok();
        assert_eq!(answer.cookie("__Host-sid"), None, "{path}");
        assert_eq!(said(&answer, header::VARY), ["cookie"]);
        assert!(said(&answer, header::CACHE_CONTROL).is_empty());
    }
    for path in ["/renew", "/log-in"] {
        let before = browser.id.clone();
        let answer = browser.post(path).await;
        assert!(answer.cookie("__Host-sid").is_some(), "{path}");
        assert_ne!(browser.id, before);
    }
    assert_eq!(browser.get("/show").await.ok(), "2");
}

#[tokio::test]
async fn a_cookie_is_removed_by_the_request_that_ended_its_session_and_by_no_other() {
    let world = World::new();
    let mut browser = Browser::known(&over(&world, |layer| {
        layer.with_same_site(SameSite::Strict)
    }))
    .await;
    let mut other_tab = browser.clone();
    let answer = browser.post("/log-out").await;
    let removal = answer.cookie("__Host-sid").expect("removed");
    assert!(
        removal.starts_with("__Host-sid=; HttpOnly; SameSite=Strict; Secure; Path=/; Max-Age=0; "),
        "{removal}"
    );
    assert_eq!(browser.id, None);
    assert_eq!(world.memory.sessions(), 0);

    // The other tab has an id that opens nothing: it reads nothing, and keeps its cookie.
    let answer = other_tab.get("/show").await;
    assert_eq!(answer.ok(), "0");
    assert_eq!(answer.cookie("__Host-sid"), None);
    assert_eq!(other_tab.get("/missing").await.status, 404);
    assert!(other_tab.id.is_some());
    // Ending what is none ends nothing.
    assert_eq!(browser.post("/log-out").await.cookie("__Host-sid"), None);
}

#[tokio::test]
async fn a_cookie_with_an_end_moves_with_its_session() {
    let world = World::new();
    let mut browser = Browser::of(&over(&world, |layer| layer.with_persistent(true)));
    let age = |answer: &Answer| -> Option<u64> {
        let cookie = answer.cookie("__Host-sid")?;
        let (_, age) = cookie.split_once("Max-Age=")?;
        Some(age.parse().expect("a number"))
    };
    assert_eq!(
        age(&browser.post("/count").await),
        Some(600),
        "the first life"
    );
    assert_eq!(
        age(&browser.get("/show").await),
        Some(24 * 3600),
        "it came back"
    );
    let id = browser.id.clone();
    world.clock.advance(HOUR).await;
    assert_eq!(age(&browser.get("/show").await), None, "no touch is due");
    world.clock.advance(2 * HOUR).await;
    assert_eq!(
        age(&browser.get("/show").await),
        Some(24 * 3600),
        "it was touched"
    );
    world.clock.advance(HOUR).await;
    assert_eq!(
        age(&browser.post("/count").await),
        Some(24 * 3600),
        "it was saved"
    );
    assert_eq!(
        age(&browser.post("/count").await),
        None,
        "it ends when it ended"
    );
    assert_eq!(browser.id, id);
}

#[tokio::test]
async fn the_cookie_of_a_session_that_is_remembered_outlives_the_browser() {
    async fn remember(session: Session) -> Result<()> {
        session.set_lifetime(14 * 24 * HOUR)
    }
    let world = World::new();
    let layer = world.layer();
    let app = Router::new()
        .route("/remember", post(remember))
        .layer(layer.clone())
        .merge(app(layer));
    let mut browser = Browser::of(&app);
    let first = browser.post("/count").await;
    assert!(!first.cookie("__Host-sid").expect("new").contains("Max-Age"));
    let answer = browser.post("/remember").await;
    let cookie = answer.cookie("__Host-sid").expect("it has an end now");
    assert!(cookie.ends_with("; Max-Age=1209600"), "{cookie}");
    world.clock.advance(48 * HOUR).await;
    let answer = browser.get("/show").await;
    assert_eq!(answer.ok(), "1", "idle for two days");
    assert!(
        answer
            .cookie("__Host-sid")
            .expect("moved")
            .contains("Max-Age=1209600")
    );
}

#[tokio::test]
async fn a_request_on_a_replaced_id_gets_no_cookie_unless_it_authenticates() {
    let world = World::new();
    let mut browser = Browser::known(&over(&world, |layer| layer.with_persistent(true))).await;
    let old = browser.clone();
    browser.post("/renew").await.ok();
    browser.get("/show").await.ok();
    world.clock.advance(Duration::from_secs(10)).await;
    assert_eq!(old.send(Method::GET, "/zombie").await.ok(), "true");
    assert_eq!(browser.get("/zombie").await.ok(), "false");

    // Requests that were under way on the old id go on in the same session.
    for (path, method) in [
        ("/count", Method::POST),
        ("/show", Method::GET),
        ("/renew", Method::POST),
        ("/log-out", Method::POST),
    ] {
        if path == "/log-out" {
            // Ends the session; the client's newer cookie is not its to remove.
            let mut world = old.clone();
            let answer = world.send(method, path).await;
            answer.ok();
            assert_eq!(answer.cookie("__Host-sid"), None, "{path}");
            world.learn(&answer);
            continue;
        }
        let answer = old.send(method, path).await;
        answer.ok();
        assert_eq!(answer.cookie("__Host-sid"), None, "{path}");
    }
    assert_eq!(world.memory.sessions(), 0);

    let mut browser = Browser::known(&over(&world, |layer| layer)).await;
    let mut old = browser.clone();
    browser.post("/renew").await.ok();
    browser.get("/show").await.ok();
    let answer = old.post("/log-in").await;
    assert!(answer.cookie("__Host-sid").is_some(), "it authenticated");
    assert_eq!(old.get("/show").await.ok(), "1");
    assert_eq!(browser.get("/show").await.ok(), "0", "a fixated id is dead");
}

#[tokio::test]
async fn two_cookies_of_our_name_count_as_none_and_are_reported() {
    let world = World::new();
    let (sessions, mut told) = reported(world.builder());
    let app = app(built(SessionLayer::new(sessions)));
    let browser = Browser::known(&app).await;
    let cookie = format!("__Host-sid={0}; __Host-sid={0}", browser.id());
    let planted = Browser::of(&app).with_header(header::COOKIE, &cookie);
    world.calls();
    let answer = planted.send(Method::GET, "/show").await;
    assert_eq!(answer.ok(), "0");
    assert_eq!(answer.cookie("__Host-sid"), None);
    world.calls().expect(&[]);
    let reason = loop {
        match watched(told.recv()).await.expect("told") {
            Event::Invalid { reason, handle, .. } => break (reason, handle),
            _ => continue,
        }
    };
    assert_eq!(reason, (InvalidReason::Malformed, None));
}

#[tokio::test]
async fn an_application_may_refuse_who_brings_invalid_ids() {
    let world = World::new();
    let seen: Arc<Mutex<Vec<_>>> = Arc::default();
    let log = Arc::clone(&seen);
    let app = over(&world, |layer| {
        layer.with_on_invalid(move |invalid| {
            log.lock().expect("sound").push((
                invalid.reason,
                invalid.handle.is_some(),
                invalid.several,
            ));
            match invalid.reason {
                InvalidReason::Malformed => None,
                InvalidReason::Unknown => Some(StatusCode::TOO_MANY_REQUESTS),
                _ => panic!("a bug of the application"),
            }
        })
    });
    let browser = Browser::of(&app);
    let unknown = unknown_id();
    assert_eq!(browser.with_id("nonsense").get("/show").await.ok(), "0");
    let answer = browser.with_id(&unknown).get("/show").await;
    assert_eq!(answer.status, 429);
    assert_eq!(said(&answer, header::VARY), ["cookie"]);
    assert_eq!(world.memory.sessions(), 0);
    let two = browser.with_header(header::COOKIE, "__Host-sid=a; __Host-sid=b");
    two.send(Method::GET, "/show").await.ok();
    assert_eq!(
        *seen.lock().expect("sound"),
        [
            (InvalidReason::Malformed, false, false),
            (InvalidReason::Unknown, true, false),
            (InvalidReason::Malformed, false, true),
        ]
    );
}

#[tokio::test]
async fn clients_of_an_api_send_and_get_a_header() {
    let world = World::new();
    for transport in [Transport::Header, Transport::CookieOrHeader] {
        let app = over(&world, |layer| layer.with_transport(transport));
        let fresh = Browser::of(&app).with_header(header::AUTHORIZATION, "Session");
        let answer = fresh.send(Method::POST, "/count").await;
        assert_eq!(answer.ok(), "1");
        assert_eq!(answer.cookie("__Host-sid"), None);
        let id = said(&answer, "session-id".parse().expect("a name"))[0].to_owned();
        assert!(answer.headers["session-id"].len() == 54);
        assert_eq!(said(&answer, header::VARY), ["authorization"]);
        assert_eq!(said(&answer, header::CACHE_CONTROL), ["no-store"]);

        let known = |id: &str| {
            let authorization = format!("Session {id}");
            Browser::of(&app).with_header(header::AUTHORIZATION, &authorization)
        };
        let answer = known(&id).send(Method::POST, "/count").await;
        assert_eq!(answer.ok(), "2");
        assert!(!answer.headers.contains_key("session-id"));
        let answer = known(&id).send(Method::POST, "/log-out").await;
        assert_eq!(said(&answer, "session-id".parse().expect("a name")), [""]);
        assert_eq!(known(&id).get("/show").await.ok(), "0");
    }

    // A cookie is no way in where the header is asked for, and the other way round.
    let mut browser = Browser::known(&over(&world, |layer| {
        layer.with_transport(Transport::CookieOrHeader)
    }))
    .await;
    assert_eq!(browser.get("/show").await.ok(), "1");
    let header_only = over(&world, |layer| layer.with_transport(Transport::Header));
    let mut other = Browser::of(&header_only).with_id(browser.id());
    assert_eq!(other.get("/show").await.ok(), "0");
    let cookie_only = over(&world, |layer| layer);
    let authorization = format!("Session {}", browser.id());
    let mut other = Browser::of(&cookie_only).with_header(header::AUTHORIZATION, &authorization);
    assert_eq!(other.get("/show").await.ok(), "0");
}

#[tokio::test]
async fn caches_are_told_what_the_policy_says() {
    let world = World::new();
    for (policy, read, set) in [
        (CachePolicy::Skip, &[][..], &[][..]),
        (CachePolicy::Vary, &[], &["no-store"]),
        (
            CachePolicy::Public(HOUR),
            &["public, max-age=3600"],
            &["no-store"],
        ),
        (CachePolicy::NoCache, &["no-cache"], &["no-store"]),
    ] {
        let mut browser = Browser::of(&over(&world, |layer| layer.with_cache_policy(policy)));
        let answer = browser.get("/show").await;
        assert_eq!(said(&answer, header::CACHE_CONTROL), read, "{policy:?}");
        let answer = browser.get("/count").await;
        assert_eq!(said(&answer, header::CACHE_CONTROL), set, "{policy:?}");
        assert!(browser.get("/missing").await.is_untouched());
    }
}

#[tokio::test]
async fn a_foreign_referrer_opens_a_fresh_session_and_touches_nothing() {
    let world = World::new();
    let app = over(&world, |layer| {
        layer.with_referrer_check(["partner.example"])
    });
    let mut browser = Browser::of(&app).with_header(header::HOST, "shop.example:8443");
    browser.post("/count").await.ok();
    browser.post("/count").await.ok();
    let from = |referrer: &str| browser.clone().with_header(header::REFERER, referrer);
    for own in [
        "https://shop.example/cart",
        "https://SHOP.example:8443/",
        "https://partner.example/x?y#z",
    ] {
        assert_eq!(from(own).get("/show").await.ok(), "2", "{own}");
    }
    world.calls();
    for foreign in [
        "https://evil.example/",
        "https://shop.example.evil.example/",
        "https://evil.example/shop.example",
        "about:blank",
        "shop.example",
        "",
    ] {
        let answer = from(foreign).get("/show").await;
        let expected = if foreign == "shop.example" { "2" } else { "0" };
        assert_eq!(answer.ok(), expected, "{foreign}");
        assert_eq!(answer.cookie("__Host-sid"), None);
    }
    assert_eq!(
        browser.get("/show").await.ok(),
        "2",
        "who says nothing is not led"
    );
}

/// The session of a browser in each state in which an id opens nothing.
async fn invalid_ids(world: &World, app: &Router) -> Vec<(&'static str, String)> {
    let mut stale = Browser::known(app).await;
    let old = stale.id().to_owned();
    stale.post("/renew").await.ok();
    stale.get("/show").await.ok();
    let expired = Browser::known(app).await;
    let mut deleted = Browser::known(app).await;
    let ended = deleted.id().to_owned();
    deleted.post("/log-out").await.ok();
    world.clock.advance(Duration::from_secs(700)).await;
    stale.get("/show").await.ok();
    vec![
        ("stale", old),
        ("expired", expired.id().to_owned()),
        ("deleted", ended),
        ("unknown", unknown_id()),
        ("malformed", "nonsense".into()),
    ]
}

#[tokio::test]
async fn all_that_opens_nothing_looks_the_same_to_a_client() {
    let world = World::new();
    let (sessions, mut told) = reported(world.builder());
    let app = app(built(SessionLayer::new(sessions).with_persistent(true)));
    let ids = invalid_ids(&world, &app).await;
    for (method, path) in [
        (Method::GET, "/show"),
        (Method::POST, "/count"),
        (Method::POST, "/log-in"),
        (Method::POST, "/log-out"),
        (Method::GET, "/missing"),
    ] {
        let mut answers = Vec::new();
        for (_, id) in &ids {
            let answer = Browser::of(&app)
                .with_id(id)
                .send(method.clone(), path)
                .await;
            let headers = format!("{:?}", masked(&answer));
            answers.push((answer.status, headers, answer.text));
        }
        for (answer, (state, _)) in answers.iter().zip(&ids) {
            assert_eq!(*answer, answers[0], "{path}, {state}");
        }
    }
    // Within they are told apart.
    world.clock.advance(Duration::ZERO).await;
    let mut reasons = Vec::new();
    while let Ok(event) = told.try_recv() {
        if let Event::Invalid { reason, .. } = event {
            reasons.push(reason);
        }
    }
    for reason in [
        InvalidReason::Stale,
        InvalidReason::Unknown,
        InvalidReason::Malformed,
    ] {
        assert!(reasons.contains(&reason), "{reason:?} in {reasons:?}");
    }
}

/// The headers, with the id of a new session blotted out.
fn masked(answer: &Answer) -> Vec<(String, String)> {
    let headers = answer.headers.iter().map(|(name, value)| {
        let value = value.to_str().expect("ascii");
        let value = match value.strip_prefix("__Host-sid=") {
            Some(cookie) => cookie.split_once(';').expect("attributes").1,
            None => value,
        };
        (name.to_string(), value.to_owned())
    });
    headers.collect()
}

/// Hands events on.
struct Reporter(UnboundedSender<Event>);

#[async_trait]
impl Events for Reporter {
    async fn on(&self, event: Event) {
        self.0.send(event).expect("the test listens");
    }
}

fn reported(builder: SessionsBuilder) -> (asm_session::Sessions, UnboundedReceiver<Event>) {
    let (tell, told) = unbounded_channel();
    let sessions = builder.events(Reporter(tell)).build();
    (sessions.expect("sound"), told)
}

#[tokio::test]
async fn ids_are_in_no_debug_and_headers_that_carry_them_are_marked() {
    let world = World::new();
    let app = over(&world, |layer| layer);
    let mut browser = Browser::of(&app);
    let answer = browser.post("/count").await;
    assert!(answer.headers[header::SET_COOKIE].is_sensitive());
    assert!(!format!("{:?}", answer.headers).contains(browser.id()));
    async fn debug(session: Session, lazy: asm_tower::LazySession) -> String {
        session.insert("pin", "canary").expect("writable");
        format!("{session:?} {lazy:?} {:?}", Inner::Deleted)
    }
    let app = Router::new()
        .route("/", get(debug))
        .layer(built(SessionLayer::new(
            world.sessions().with_mode(LockMode::OnOpen),
        )));
    let shown = Browser::of(&app).with_id(browser.id()).get("/").await;
    let secret = &browser.id()[22..];
    assert!(!shown.ok().contains(secret) && !shown.ok().contains("canary"));
}
