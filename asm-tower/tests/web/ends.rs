//! How requests end that nobody waits for any more, and what is left of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asm_session::{LockMode, ProfilePolicy, Rotation, RotationPolicy, SessionError as Inner};
use asm_testkit::{Chaos, Verb, cancel_at, count_awaits};
use asm_tower::{LazySession, LockedSession, Result, Session, SessionError};
use axum::{
    Router,
    body::Body,
    extract::State,
    routing::{get, post},
};
use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use tokio::sync::{Notify, Semaphore, mpsc};
use tower::ServiceExt;
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};

use crate::handlers::{count, show};
use crate::world::{Browser, World, plain, stream, watched};

/// A handler's rendezvous with its test.
#[derive(Clone)]
struct Gate {
    inside: Arc<Notify>,
    open: Arc<Semaphore>,
}

impl Gate {
    fn closed() -> Self {
        Self {
            inside: Arc::default(),
            open: Arc::new(Semaphore::new(0)),
        }
    }

    async fn pass(&self) {
        self.inside.notify_one();
        self.open.acquire().await.expect("never closed").forget();
    }
}

/// Changes something, and waits until it is let through.
async fn wait(State(gate): State<Gate>, session: Session) -> Result<String> {
    session.insert("half", &true)?;
    gate.pass().await;
    count(session).await
}

fn app(world: &World, gate: &Gate) -> Router {
    Router::new()
        .route("/wait", post(wait))
        .route("/count", post(count))
        .route("/show", get(show))
        .with_state(gate.clone())
        .layer(world.layer())
}

async fn assert_half_is_lost(world: &World, browser: &mut Browser) {
    assert!(world.lock_of(browser.id()).await.holder.is_none());
    let sessions = world.sessions().with_mode(LockMode::ReadOnly);
    let client = asm_session::Client::default();
    let session = sessions.open(browser.id(), &client).await.expect("there");
    assert!(!session.contains_key("half"));
    assert_eq!(browser.get("/show").await.ok(), "1");
}

#[tokio::test]
async fn a_client_that_hangs_up_frees_the_lock_at_once() {
    let (world, gate) = (World::new(), Gate::closed());
    let mut browser = Browser::known(&app(&world, &gate)).await;
    let request = tokio::spawn(browser.send(Method::POST, "/wait"));
    watched(gate.inside.notified()).await;
    assert!(world.lock_of(browser.id()).await.holder.is_some());
    request.abort();
    assert!(request.await.expect_err("aborted").is_cancelled());
    assert_half_is_lost(&world, &mut browser).await;
}

#[tokio::test]
async fn a_handler_that_panics_frees_the_lock_at_once() {
    async fn fail(session: Session) -> Result<String> {
        session.insert("half", &true)?;
        panic!("a bug of the application");
    }
    let (world, gate) = (World::new(), Gate::closed());
    let failing = || Router::new().route("/fail", post(fail));
    let outside = failing().layer(world.layer()).layer(CatchPanicLayer::new());
    let inside = failing().layer(CatchPanicLayer::new()).layer(world.layer());
    for router in [outside, inside] {
        let mut browser = Browser::known(&router.merge(app(&world, &gate))).await;
        assert_eq!(browser.post("/fail").await.status, 500);
        assert_half_is_lost(&world, &mut browser).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_out_frees_the_lock_at_once_and_saves_no_half() {
    let (world, gate) = (World::new(), Gate::closed());
    let limit =
        || TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, Duration::from_secs(5));
    let outside = app(&world, &gate).layer(limit());
    let inside = Router::new()
        .route("/wait", post(wait))
        .layer(limit())
        .with_state(gate.clone())
        .layer(world.layer());
    let inside = inside.merge(
        Router::new()
            .route("/count", post(count))
            .route("/show", get(show))
            .layer(world.layer()),
    );
    for router in [outside, inside] {
        let mut browser = Browser::known(&router).await;
        assert_eq!(browser.post("/wait").await.status, 408);
        assert_half_is_lost(&world, &mut browser).await;
    }
}

#[tokio::test]
async fn a_request_dropped_at_any_await_leaves_no_lock_and_no_half() {
    async fn two(session: Session) -> Result<String> {
        let n = session.get_or("n", 0)? + 1;
        session.insert("n", &n)?;
        session.insert("twin", &n)?;
        session.write().await?;
        Ok(n.to_string())
    }
    let world = World::new();
    let chaos = Arc::new(Chaos::over(Arc::clone(&world.memory), world.clock.clone()));
    chaos.layer().pause(3);
    let sessions = world
        .builder_over(Arc::clone(&chaos))
        .build()
        .expect("sound");
    let app = Router::new()
        .route("/two", post(two).get(two))
        .layer(plain(sessions));
    let mut browser = Browser::of(&app);
    browser.post("/two").await.ok();
    browser.post("/two").await.ok();
    let mut n = 2;
    for method in [Method::GET, Method::POST] {
        let (answer, awaits) = count_awaits(browser.send(method.clone(), "/two")).await;
        answer.ok();
        n += 1;
        assert!(awaits >= 12, "there is something to drop: {awaits}");
        for dropped_at in 1..=awaits {
            let request = browser.send(method.clone(), "/two");
            assert!(cancel_at(dropped_at, request).await.is_none());
            assert!(world.lock_of(browser.id()).await.holder.is_none());
            let client = asm_session::Client::default();
            let session = world.sessions().open(browser.id(), &client).await;
            let session = session.expect("there");
            let found: i64 = session.get_or("n", 0).expect("a number");
            assert_eq!(found, session.get_or("twin", 0).expect("a number"));
            assert!(found == n || found == n + 1, "{found} after {n}");
            n = found;
        }
    }
}

#[tokio::test]
async fn a_lock_lives_as_long_as_its_handler() {
    let (world, gate) = (World::new(), Gate::closed());
    let browser = Browser::known(&app(&world, &gate)).await;
    let request = tokio::spawn(browser.send(Method::POST, "/wait"));
    watched(gate.inside.notified()).await;
    let fence = world
        .lock_of(browser.id())
        .await
        .holder
        .expect("held")
        .fence;
    // Ten holds, while the handler is never polled for anything else.
    world.clock.advance(Duration::from_secs(100)).await;
    let holder = world
        .lock_of(browser.id())
        .await
        .holder
        .expect("still held");
    assert_eq!(holder.fence, fence);
    assert_eq!(holder.label.as_str(), "POST /wait");
    gate.open.add_permits(1);
    assert_eq!(watched(request).await.expect("no panic").ok(), "2");
    assert!(world.lock_of(browser.id()).await.holder.is_none());
}

#[tokio::test]
async fn a_session_that_is_closed_early_waits_for_no_slow_handler() {
    async fn early(State(gate): State<Gate>, session: Session) -> Result<String> {
        let n = count(session.clone()).await?;
        session.close().await?;
        gate.pass().await;
        assert!(matches!(
            session.insert("n", &0),
            Err(SessionError::Session(Inner::NotLocked))
        ));
        Ok(n)
    }
    let (world, gate) = (World::new(), Gate::closed());
    let early = Router::new().route("/early", post(early));
    let early = early.with_state(gate.clone()).layer(world.layer());
    let mut browser = Browser::known(&early.merge(app(&world, &gate))).await;
    world.calls();
    let request = tokio::spawn(browser.send(Method::POST, "/early"));
    watched(gate.inside.notified()).await;
    world.calls().expect(&[(Verb::Open, 1), (Verb::Save, 1)]);
    assert_eq!(
        browser.post("/count").await.ok(),
        "3",
        "beside the other one"
    );
    world.calls();
    gate.open.add_permits(1);
    assert_eq!(watched(request).await.expect("no panic").ok(), "2");
    world.calls().expect(&[]);
}

/// A body that says what became of the session after its headers were sent.
async fn streaming(State(steps): State<Arc<Semaphore>>, session: Session) -> Result<Body> {
    session.add("n", 1)?;
    let (send, frames) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for step in 0..3 {
            steps.acquire().await.expect("never closed").forget();
            let said = match step {
                0 => format!("{:?};", session.is_locked().expect("there")),
                1 => match session.regenerate(Rotation::renew()) {
                    Err(SessionError::HeadersSent) => "no id;".to_owned(),
                    other => format!("{other:?};"),
                },
                _ => match append(&session).await {
                    Ok(()) => "saved".to_owned(),
                    Err(error) => error.to_string(),
                },
            };
            let _ = send.send(Bytes::from(said));
        }
    });
    Ok(Body::new(stream(frames)))
}

async fn append(session: &Session) -> Result<()> {
    session.write().await?.insert("late", &true)?;
    session.close().await?;
    Ok(())
}

#[tokio::test]
async fn a_streaming_body_holds_no_lock_and_may_save_what_needs_no_cookie() {
    let (world, gate) = (World::new(), Gate::closed());
    let steps = Arc::new(Semaphore::new(0));
    let streamed = Router::new()
        .route("/stream", post(streaming))
        .with_state(Arc::clone(&steps))
        .layer(world.layer());
    let app = streamed.merge(app(&world, &gate));
    let mut browser = Browser::known(&app).await;
    let request = browser.request(Method::POST, "/stream");
    let response = app.clone().oneshot(request).await.expect("infallible");
    // The headers are there, the body is not; and others go on.
    assert!(world.lock_of(browser.id()).await.holder.is_none());
    assert_eq!(browser.post("/count").await.ok(), "3");
    steps.add_permits(3);
    let body = watched(response.into_body().collect()).await;
    let body = body.expect("a body").to_bytes();
    assert_eq!(body, "false;no id;saved");
    let client = asm_session::Client::default();
    let session = world.sessions().open(browser.id(), &client).await;
    assert!(session.expect("there").contains_key("late"));
    assert!(world.lock_of(browser.id()).await.holder.is_none());
}

/// Takes the lock when its headers are gone, and saves under it.
async fn late(State(gate): State<Gate>, session: Session) -> Body {
    let (send, frames) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        let saved = async {
            gate.pass().await;
            session.lock().await?;
            gate.pass().await;
            session.add("late", 1)?;
            session.close().await
        };
        let said = match saved.await {
            Ok(_) => "saved".to_owned(),
            Err(error) => error.to_string(),
        };
        let _ = send.send(Bytes::from(said));
    });
    Body::new(stream(frames))
}

#[tokio::test]
async fn a_lock_that_is_taken_after_the_headers_lives_as_long_as_the_body_is_sent() {
    let (world, gate) = (World::new(), Gate::closed());
    let late = Router::new().route("/late", get(late));
    let late = late.with_state(gate.clone()).layer(world.layer());
    let app = late.merge(app(&world, &gate));
    let browser = Browser::known(&app).await;
    for sent in [true, false] {
        let request = browser.request(Method::GET, "/late");
        let response = app.clone().oneshot(request).await.expect("infallible");
        watched(gate.inside.notified()).await;
        let body = response.into_body().collect();
        // Before the lock is taken somebody waits for the body, or nobody does.
        let (reading, waiting) = match sent {
            true => (Some(tokio::spawn(body)), None),
            false => (None, Some(body)),
        };
        tokio::task::yield_now().await;
        gate.open.add_permits(1);
        watched(gate.inside.notified()).await;
        let held = world.lock_of(browser.id()).await.holder.expect("held");
        // Ten holds.
        world.clock.advance(Duration::from_secs(100)).await;
        let holder = world.lock_of(browser.id()).await.holder;
        let kept = holder.is_some_and(|holder| holder.fence == held.fence);
        assert_eq!(kept, sent);
        gate.open.add_permits(1);
        let body = match (reading, waiting) {
            (Some(reading), _) => watched(reading).await.expect("no panic"),
            (None, waiting) => watched(waiting.expect("one of them")).await,
        };
        let lost = SessionError::from(Inner::LockLost).to_string();
        let said = body.expect("a body").to_bytes();
        assert_eq!(said, if sent { "saved" } else { lost.as_str() });
        assert!(world.lock_of(browser.id()).await.holder.is_none());
    }
}

#[tokio::test]
async fn a_rotation_by_policy_waits_for_a_request_whose_client_can_be_told() {
    /// Saves when its headers are gone.
    async fn late(State(gate): State<Gate>, lazy: LazySession) -> Result<Body> {
        if lazy.has_id() {
            lazy.read().await?.get_or("n", 0)?;
        }
        Ok(saving(gate, lazy))
    }
    /// Opens its session only then.
    async fn later(State(gate): State<Gate>, lazy: LazySession) -> Body {
        saving(gate, lazy)
    }
    fn saving(gate: Gate, lazy: LazySession) -> Body {
        let (send, frames) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            gate.pass().await;
            let saved = async { append(&lazy.open().await?).await };
            let _ = send.send(Bytes::from(format!("{:?}", saved.await)));
        });
        Body::new(stream(frames))
    }
    for (path, moves) in [("/late", false), ("/later", false), ("/later", true)] {
        let (world, gate) = (World::new(), Gate::closed());
        let policy = RotationPolicy::never();
        let policy = match moves {
            true => policy.on_profile_change(),
            false => policy.every(Duration::from_secs(60)),
        };
        let builder = world.builder().decisions(ProfilePolicy::Lenient);
        let sessions = builder.rotation(policy).build().expect("sound");
        let app = Router::new()
            .route("/late", get(late))
            .route("/later", get(later))
            .route("/count", post(count))
            .with_state(gate.clone())
            .layer(plain(sessions));
        let mut browser = Browser::of(&app).with_header(header::USER_AGENT, "Gecko Firefox");
        browser.post("/count").await.ok();
        assert_eq!(browser.post("/count").await.cookie("__Host-sid"), None);
        if moves {
            let elsewhere = Browser::of(&app).with_header(header::USER_AGENT, "Gecko Safari");
            browser = elsewhere.with_id(browser.id());
        } else {
            world.clock.advance(Duration::from_secs(61)).await;
        }
        gate.open.add_permits(1);
        let answer = watched(browser.get(path)).await;
        assert_eq!(answer.ok(), "Ok(())", "{path}");
        assert_eq!(answer.cookie("__Host-sid"), None);
        let answer = browser.post("/count").await;
        assert_eq!(answer.ok(), "3");
        assert!(answer.cookie("__Host-sid").is_some(), "{path}, {moves}");
        let client = asm_session::Client::default();
        let session = world.sessions().open(browser.id(), &client).await;
        assert!(session.expect("there").contains_key("late"));
    }
}

#[tokio::test]
async fn a_new_session_cannot_be_stored_after_the_headers() {
    async fn late(State(done): State<mpsc::UnboundedSender<String>>, session: Session) -> Body {
        let (send, frames) = mpsc::unbounded_channel::<Bytes>();
        tokio::spawn(async move {
            // The first frame is asked for when the headers are gone.
            send.closed().await;
            let saved = session.insert("n", &1).err();
            assert!(saved.is_none());
            let saved = session.save().await.expect_err("nobody could find it");
            let field = session.fields().incr("n", 1).await.expect_err("nor that");
            session.discard().expect("there");
            done.send(format!("{saved}|{field}")).expect("awaited");
        });
        Body::new(stream(frames))
    }
    let world = World::new();
    let (done, mut said) = mpsc::unbounded_channel();
    let app = Router::new()
        .route("/late", get(late))
        .with_state(done)
        .layer(world.layer());
    let request = Browser::of(&app).request(Method::GET, "/late");
    let response = app.oneshot(request).await.expect("infallible");
    drop(response);
    let said = watched(said.recv()).await.expect("said");
    let expected = SessionError::HeadersSent.to_string();
    assert_eq!(said, format!("{expected}|{expected}"));
    assert_eq!(world.memory.sessions(), 0);
}

#[tokio::test]
async fn a_body_may_open_the_session_that_its_handler_did_not() {
    async fn lazily(State(done): State<mpsc::UnboundedSender<String>>, lazy: LazySession) -> Body {
        let (send, frames) = mpsc::unbounded_channel::<Bytes>();
        tokio::spawn(async move {
            send.closed().await;
            let read = async { lazy.read().await?.get_or("n", 0) }.await;
            done.send(format!("{read:?}")).expect("awaited");
        });
        Body::new(stream(frames))
    }
    let (world, gate) = (World::new(), Gate::closed());
    let (done, mut said) = mpsc::unbounded_channel();
    let lazily = Router::new()
        .route("/lazily", get(lazily))
        .with_state(done)
        .layer(world.layer());
    let app = lazily.merge(app(&world, &gate));
    let browser = Browser::known(&app).await;
    let request = browser.request(Method::GET, "/lazily");
    drop(app.oneshot(request).await.expect("infallible"));
    assert_eq!(watched(said.recv()).await.expect("said"), "Ok(1)");
}

#[tokio::test]
async fn a_task_that_outlives_its_request_is_told_that_it_is_over() {
    async fn leak(
        State((gate, told)): State<(Gate, mpsc::UnboundedSender<String>)>,
        session: LockedSession,
    ) -> Result<String> {
        session.insert("half", &true)?;
        let kept = session.clone();
        let pause = gate.clone();
        tokio::spawn(async move {
            pause.pass().await;
            let error = kept.insert("half", &false).expect_err("over");
            let saved = kept.save().await.expect_err("over");
            told.send(format!("{error}|{saved}")).expect("awaited");
        });
        std::future::pending().await
    }
    let (world, gate) = (World::new(), Gate::closed());
    let (told, mut said) = mpsc::unbounded_channel();
    let leaking = Router::new()
        .route("/leak", post(leak))
        .with_state((gate.clone(), told))
        .layer(world.layer());
    let mut browser = Browser::known(&leaking.merge(app(&world, &gate))).await;
    let request = tokio::spawn(browser.send(Method::POST, "/leak"));
    watched(gate.inside.notified()).await;
    request.abort();
    let _ = request.await;
    assert_half_is_lost(&world, &mut browser).await;
    gate.open.add_permits(1);
    let over = SessionError::RequestOver.to_string();
    assert_eq!(
        watched(said.recv()).await.expect("said"),
        format!("{over}|{over}")
    );
}

#[tokio::test]
async fn two_hundred_requests_that_are_dropped_leave_no_lock_and_no_waiter() {
    let (world, gate) = (World::new(), Gate::closed());
    let sessions = world.builder().lock_queue(None).build().expect("sound");
    let started = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&started);
    let app = Router::new()
        .route("/wait", post(wait))
        .route("/count", post(count))
        .with_state(gate.clone())
        .layer(plain(sessions))
        .layer(axum::middleware::map_request(
            move |request: axum::extract::Request| {
                counted.fetch_add(1, Ordering::Relaxed);
                std::future::ready(request)
            },
        ));
    let mut browser = Browser::known(&app).await;
    let requests: Vec<_> = (0..200)
        .map(|_| tokio::spawn(browser.send(Method::POST, "/wait")))
        .collect();
    watched(gate.inside.notified()).await;
    watched(async {
        while started.load(Ordering::Relaxed) < 201 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    for request in requests {
        request.abort();
        let _ = request.await;
    }
    world.clock.advance(Duration::ZERO).await;
    let lock = world.lock_of(browser.id()).await;
    assert!(lock.holder.is_none(), "{lock:?}");
    assert!(lock.waiters.is_empty(), "{lock:?}");
    assert_eq!(browser.post("/count").await.ok(), "2");
}
