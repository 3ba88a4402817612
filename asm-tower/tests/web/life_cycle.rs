//! When a session is opened, saved, and not saved.

use asm_core::ErrorKind;
use asm_session::{LockMode, Rotation};
use asm_testkit::{Fault, Verb};
use asm_tower::{LazySession, Result, RouteMode, Session, SessionLayer};
use axum::{
    Router,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{HeaderName, StatusCode, header};

use crate::handlers::{count, show};
use crate::world::{Browser, World, plain};

async fn hello() -> &'static str {
    "hello"
}

/// Reads, then writes: what a mode without a lock finds hardest.
async fn read_then_write(session: Session) -> Result<String> {
    let n = session.get_or("n", 0)? + 1;
    session.insert("n", &n)?;
    Ok(n.to_string())
}

fn app(layer: SessionLayer) -> Router {
    Router::new()
        .route("/hello", get(hello))
        .route("/count", get(count).post(count))
        .route("/step", get(read_then_write).post(read_then_write))
        .route("/show", get(show).post(show))
        .layer(layer)
}

#[tokio::test]
async fn an_untouched_request_costs_no_call_and_no_header() {
    let world = World::new();
    let mut browser = Browser::of(&app(world.layer()));
    let answer = browser.get("/hello").await;
    assert_eq!(answer.ok(), "hello");
    assert!(answer.is_untouched(), "{:?}", answer.headers);

    browser.post("/count").await.ok();
    world.calls();
    let answer = browser.get("/hello").await;
    assert!(answer.is_untouched(), "also with a cookie");
    world.calls().expect(&[]);
}

#[tokio::test]
async fn a_new_session_is_one_call_and_one_that_is_only_read_none() {
    let world = World::new();
    let mut browser = Browser::of(&app(world.layer()));
    assert_eq!(browser.get("/show").await.ok(), "0");
    world.calls().expect(&[]);
    assert_eq!(
        browser.id, None,
        "nothing was stored, so there is no cookie"
    );

    assert_eq!(browser.get("/count").await.ok(), "1");
    world.calls().expect(&[(Verb::Create, 1)]);
    assert!(browser.id.is_some());
}

#[tokio::test]
async fn reading_is_one_call_and_changing_two_whatever_the_mode_of_the_method() {
    let world = World::new();
    let mut browser = Browser::of(&app(world.layer()));
    browser.get("/count").await.ok();
    // The first return is stored once.
    browser.get("/show").await.ok();
    world.calls();

    assert_eq!(browser.get("/show").await.ok(), "1");
    world.calls().expect(&[(Verb::Open, 1)]);
    for method in [http::Method::GET, http::Method::POST, http::Method::PUT] {
        let answer = browser.ask(method.clone(), "/step").await;
        if method == http::Method::PUT {
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED);
            world.calls().expect(&[]);
        } else {
            answer.ok();
            world.calls().expect(&[(Verb::Open, 1), (Verb::Save, 1)]);
        }
    }
    assert_eq!(browser.get("/show").await.ok(), "3");
}

#[tokio::test]
async fn what_is_saved_is_saved_before_the_headers_leave() {
    let world = World::new();
    let (chaos, sessions) = world.chaos();
    let mut browser = Browser::known(&app(plain(sessions))).await;

    // A save that fails is the response, though the handler said that all is well.
    for (fault, status) in [
        (Fault::Refused(ErrorKind::Unavailable), 503),
        (Fault::Refused(ErrorKind::Full), 503),
        (Fault::LostAnswer, 503),
    ] {
        chaos.layer().next(Verb::Save, fault);
        let answer = browser.post("/count").await;
        assert_eq!(answer.status, status, "{fault:?}");
        assert_eq!(answer.headers[header::RETRY_AFTER], "1");
        assert_eq!(answer.text, "Service Unavailable");
        assert_eq!(answer.cookie("__Host-sid"), None);
        assert!(world.lock_of(browser.id()).await.holder.is_none());
    }
}

#[tokio::test]
async fn a_load_error_never_leads_to_a_write() {
    let world = World::new();
    let (chaos, sessions) = world.chaos();
    let mut browser = Browser::known(&app(plain(sessions))).await;
    world.calls();
    for kind in [
        ErrorKind::Unavailable,
        ErrorKind::Unreadable,
        ErrorKind::Timeout,
    ] {
        for method in [http::Method::GET, http::Method::POST] {
            chaos.layer().next(Verb::Open, Fault::Refused(kind));
            let answer = browser.ask(method, "/count").await;
            assert_eq!(answer.status, 503);
            assert_eq!(answer.cookie("__Host-sid"), None, "the cookie stays");
        }
    }
    let calls = world.calls();
    assert_eq!(calls.of(Verb::Save) + calls.of(Verb::Create), 0);
    assert_eq!(browser.get("/show").await.ok(), "1");
}

#[tokio::test]
async fn a_server_error_saves_nothing_but_what_was_saved_explicitly() {
    async fn fail(session: Session) -> Result<StatusCode> {
        session.insert("n", &100)?;
        session.regenerate(Rotation::Authenticate)?;
        Ok(StatusCode::INTERNAL_SERVER_ERROR)
    }
    async fn save_and_fail(session: Session) -> Result<StatusCode> {
        session.insert("n", &7)?;
        session.save().await?;
        session.insert("n", &8)?;
        Ok(StatusCode::BAD_GATEWAY)
    }
    let world = World::new();
    let router = |layer: SessionLayer| {
        let failing = Router::new()
            .route("/fail", post(fail))
            .route("/save", post(save_and_fail))
            .layer(layer.clone());
        failing.merge(app(layer))
    };
    let mut browser = Browser::known(&router(world.layer())).await;
    let before = browser.id.clone();
    let answer = browser.post("/fail").await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.cookie("__Host-sid"), None, "the id is what it was");
    assert_eq!(browser.get("/show").await.ok(), "1");
    assert!(world.lock_of(browser.id()).await.holder.is_none());

    assert_eq!(browser.post("/save").await.status, 502);
    assert_eq!(browser.get("/show").await.ok(), "7");
    assert_eq!(browser.id, before);

    // A session that only exists because of what was saved explicitly has its cookie.
    let mut stranger = Browser::of(&router(world.layer()));
    assert_eq!(stranger.post("/save").await.status, 502);
    assert_eq!(stranger.get("/show").await.ok(), "7");

    let saves = SessionLayer::new(world.sessions()).with_saves(|_| true);
    let mut browser = browser.clone();
    browser = Browser::of(&router(saves.build().expect("sound"))).with_id(browser.id());
    assert_eq!(browser.post("/fail").await.status, 500);
    assert_eq!(browser.get("/show").await.ok(), "100");
    assert_ne!(browser.id, before, "and it was authenticated");
}

#[tokio::test]
async fn a_handler_that_answers_with_a_session_error_saves_nothing() {
    async fn half(session: Session) -> Result<String> {
        session.insert("n", &100)?;
        session.get::<Vec<String>>("n")?;
        Ok("never".into())
    }
    async fn conflict(session: Session) -> Result<String> {
        session.insert("n", &100)?;
        Err(asm_session::SessionError::LockLost.into())
    }
    let world = World::new();
    let layer = world.layer();
    let router = Router::new()
        .route("/half", post(half))
        .route("/conflict", post(conflict))
        .layer(layer.clone())
        .merge(app(layer));
    let mut browser = Browser::known(&router).await;
    assert_eq!(browser.post("/half").await.status, 500);
    assert_eq!(browser.post("/conflict").await.status, 409);
    assert_eq!(browser.get("/show").await.ok(), "1");
}

#[tokio::test]
async fn a_conflict_is_a_409_and_nothing_of_it_is_saved() {
    async fn slow(session: Session) -> Result<String> {
        let n = session.get_or("n", 0)?;
        // Meanwhile somebody else counts.
        let cookie = session.get::<String>("cookie")?.unwrap_or_default();
        let client = asm_session::Client::default();
        let mut other = session
            .sessions()
            .open(&cookie, &client)
            .await
            .expect("there");
        other.add("n", 10).expect("writable");
        other.close().await.expect("stored");
        session.insert("n", &(n + 1))?;
        session.insert("other", &true)?;
        Ok("done".into())
    }
    async fn remember(session: Session, headers: http::HeaderMap) -> Result<()> {
        let cookie = headers[header::COOKIE].to_str().expect("ascii");
        session.insert("cookie", cookie.trim_start_matches("__Host-sid="))
    }
    let world = World::new();
    let layer = world.layer();
    let router = Router::new()
        .route("/slow", get(slow))
        .route("/remember", post(remember))
        .layer(layer.clone())
        .merge(app(layer));
    let mut browser = Browser::known(&router).await;
    browser.post("/remember").await.ok();
    let answer = browser.get("/slow").await;
    assert_eq!(answer.status, 409);
    assert!(!answer.headers.contains_key(header::RETRY_AFTER));
    assert_eq!(browser.get("/show").await.ok(), "11");
}

#[tokio::test]
async fn an_error_hook_sees_the_handlers_response() {
    async fn created(session: Session) -> Result<Response> {
        session.insert("n", &1)?;
        Ok((StatusCode::CREATED, [("x-request", "7")], "made").into_response())
    }
    async fn wrong(session: Session) -> Result<()> {
        session.insert("n", &1)?;
        session.get::<Vec<String>>("n").map(drop)
    }
    let world = World::new();
    let (chaos, sessions) = world.chaos();
    let layer = SessionLayer::new(sessions)
        .with_on_error(|failure| {
            let mut response = failure.default_response();
            let handlers = failure.response;
            let seen = format!("{} {}", handlers.status.as_u16(), failure.error);
            if let Some(request) = handlers.headers.get("x-request") {
                response.headers_mut().insert("x-request", request.clone());
            }
            *response.body_mut() = seen.into();
            response
        })
        .with_retry_after(std::time::Duration::from_secs(30))
        .build()
        .expect("sound");
    let router = Router::new()
        .route("/", post(created))
        .route("/wrong", post(wrong))
        .layer(layer);
    chaos
        .layer()
        .next(Verb::Create, Fault::Refused(ErrorKind::Full));
    let answer = Browser::of(&router).post("/").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.headers[header::RETRY_AFTER], "30");
    assert_eq!(answer.headers[HeaderName::from_static("x-request")], "7");
    assert!(
        answer.text.starts_with("201 the session store failed"),
        "{}",
        answer.text
    );

    // What a handler or an extractor answers with goes the same way.
    let answer = Browser::of(&router).post("/wrong").await;
    assert_eq!(answer.status, 500);
    assert!(
        answer.text.starts_with("500 the value of \"n\""),
        "{}",
        answer.text
    );
}

#[tokio::test]
async fn a_hook_that_panics_is_answered_as_if_there_were_none() {
    let world = World::new();
    let (chaos, sessions) = world.chaos();
    let layer = SessionLayer::new(sessions).with_on_error(|_| panic!("a bug of the application"));
    let mut browser = Browser::of(&app(layer.build().expect("sound")));
    chaos
        .layer()
        .next(Verb::Create, Fault::Refused(ErrorKind::Unavailable));
    assert_eq!(browser.post("/count").await.status, 503);
}

#[tokio::test]
async fn modes_follow_method_route_and_extractor() {
    async fn mode(session: Session) -> Result<String> {
        Ok(format!("{:?}", session.mode()?))
    }
    async fn own(session: LazySession) -> Result<String> {
        let session = session.open_in(LockMode::Off).await?;
        Ok(format!("{:?}", session.mode()?))
    }
    let world = World::new();
    let router = |layer: SessionLayer| {
        Router::new()
            .route("/", get(mode).post(mode))
            .route(
                "/route",
                get(mode)
                    .post(mode)
                    .layer(RouteMode::new(LockMode::OnWrite)),
            )
            .route("/own", get(own).layer(RouteMode::new(LockMode::OnWrite)))
            .layer(RouteMode::new(LockMode::Manual))
            .route("/method", get(mode).post(mode).put(mode))
            .layer(layer)
    };
    let mut browser = Browser::of(&router(world.layer()));
    assert_eq!(browser.get("/method").await.ok(), "Optimistic");
    assert_eq!(browser.post("/method").await.ok(), "OnOpen");
    assert_eq!(browser.get("/").await.ok(), "Manual");
    assert_eq!(browser.post("/").await.ok(), "Manual");
    assert_eq!(browser.get("/route").await.ok(), "OnWrite");
    assert_eq!(browser.get("/own").await.ok(), "Off");

    let layer = SessionLayer::new(world.sessions())
        .with_mode(LockMode::Optimistic)
        .with_method_mode(http::Method::PUT, LockMode::OnWrite);
    let mut browser = Browser::of(&router(layer.build().expect("sound")));
    assert_eq!(browser.post("/method").await.ok(), "Optimistic");
    assert_eq!(
        browser.ask(http::Method::PUT, "/method").await.ok(),
        "OnWrite"
    );
}
