//! What the tests begin with: a store that is looked at, an application over it, and browsers.

use std::{future::Future, sync::Arc, time::Duration};

use asm_core::{Driver, Key, LockState};
use asm_memory::MemoryDriver;
use asm_session::{SessionId, Sessions, SessionsBuilder};
use asm_testkit::{Calls, Chaos, Counting, Layered, ManualClock};
use asm_tower::SessionLayer;
use axum::{Router, body::Body};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use tower::ServiceExt;

pub(crate) type Store = Arc<Layered<Counting<Arc<MemoryDriver>>>>;

/// One storage, whose calls are counted, and the hand that moves its time.
pub(crate) struct World {
    pub(crate) memory: Arc<MemoryDriver>,
    pub(crate) store: Store,
    pub(crate) clock: ManualClock,
}

impl World {
    pub(crate) fn new() -> Self {
        let clock = ManualClock::new();
        let memory = MemoryDriver::builder().clock(Arc::new(clock.clone()));
        let memory = Arc::new(memory.build());
        Self {
            store: Arc::new(Counting::over(Arc::clone(&memory))),
            memory,
            clock,
        }
    }

    pub(crate) fn builder(&self) -> SessionsBuilder {
        self.builder_over(Arc::clone(&self.store))
    }

    pub(crate) fn builder_over(&self, driver: impl Driver) -> SessionsBuilder {
        Sessions::builder(driver).clock(Arc::new(self.clock.clone()))
    }

    pub(crate) fn sessions(&self) -> Sessions {
        self.builder().build().expect("a sound set-up")
    }

    /// The layer that a site gets that sets nothing.
    pub(crate) fn layer(&self) -> SessionLayer {
        plain(self.sessions())
    }

    /// The same storage, whose calls the test makes go wrong, and sessions there.
    pub(crate) fn chaos(&self) -> (Arc<Layered<Chaos<Store>>>, Sessions) {
        let chaos = Chaos::over(Arc::clone(&self.store), self.clock.clone());
        let chaos = Arc::new(chaos);
        let sessions = self.builder_over(Arc::clone(&chaos)).build();
        (chaos, sessions.expect("a sound set-up"))
    }

    /// What was called since the last time.
    pub(crate) fn calls(&self) -> Calls {
        self.store.layer().take()
    }

    pub(crate) async fn lock_of(&self, id: &str) -> LockState {
        lock_of(&*self.memory, id).await
    }
}

pub(crate) fn plain(sessions: Sessions) -> SessionLayer {
    SessionLayer::new(sessions).build().expect("consistent")
}

pub(crate) async fn lock_of(driver: &dyn Driver, id: &str) -> LockState {
    let handle = handle_of(id);
    driver.inspect(&handle).await.expect("the memory answers")
}

pub(crate) fn handle_of(id: &str) -> Key {
    SessionId::parse(id).expect("an id").handle()
}

/// A browser that keeps the cookie of one site.
#[derive(Clone)]
pub(crate) struct Browser {
    app: Router,
    pub(crate) id: Option<String>,
    pub(crate) name: &'static str,
    headers: HeaderMap,
}

/// What a browser gets to see.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Browser {
    pub(crate) fn of(app: &Router) -> Self {
        Self {
            app: app.clone(),
            id: None,
            name: "__Host-sid",
            headers: HeaderMap::new(),
        }
    }

    /// One that was here before: it counted once, and has a session.
    pub(crate) async fn known(app: &Router) -> Self {
        let mut browser = Self::of(app);
        browser.post("/count").await.ok();
        browser
    }

    /// The same browser with another id.
    pub(crate) fn with_id(&self, id: &str) -> Self {
        Self {
            id: Some(id.to_owned()),
            ..self.clone()
        }
    }

    pub(crate) fn with_header(mut self, name: HeaderName, value: &str) -> Self {
        self.headers.append(name, value.parse().expect("a header"));
        self
    }

    pub(crate) fn id(&self) -> &str {
        self.id.as_deref().expect("it got a cookie")
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.ask(Method::GET, path).await
    }

    pub(crate) async fn post(&mut self, path: &str) -> Answer {
        self.ask(Method::POST, path).await
    }

    pub(crate) async fn ask(&mut self, method: Method, path: &str) -> Answer {
        let answer = self.send(method, path).await;
        self.learn(&answer);
        answer
    }

    /// Asks, and forgets what it is told: the answer gets lost.
    pub(crate) fn send(&self, method: Method, path: &str) -> impl Future<Output = Answer> + use<> {
        let request = self.request(method, path);
        let app = self.app.clone();
        async move {
            let response = app.oneshot(request).await.expect("infallible");
            let (head, body) = response.into_parts();
            let text = body.collect().await.expect("a body").to_bytes();
            Answer {
                status: head.status,
                headers: head.headers,
                text: String::from_utf8(text.to_vec()).expect("text"),
            }
        }
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> Request<Body> {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path");
        *request.headers_mut() = self.headers.clone();
        if let Some(id) = &self.id {
            let cookie = format!("{}={id}", self.name).parse().expect("a cookie");
            request.headers_mut().insert(header::COOKIE, cookie);
        }
        request
    }

    /// Does what it is told.
    pub(crate) fn learn(&mut self, answer: &Answer) {
        if let Some(set) = answer.cookie(self.name) {
            let removed = set.contains("Max-Age=0");
            let value = set.split(';').next().and_then(|pair| pair.split_once('='));
            let value = value.map(|(_, value)| value.to_owned());
            self.id = value.filter(|_| !removed);
        }
    }
}

impl Answer {
    /// The `Set-Cookie` of this name.
    #[track_caller]
    pub(crate) fn cookie(&self, name: &str) -> Option<&str> {
        let set = self.headers.get_all(header::SET_COOKIE).iter();
        let mut set = set
            .map(|set| set.to_str().expect("ascii"))
            .filter(|set| set.split('=').next() == Some(name));
        let found = set.next();
        assert!(set.next().is_none(), "set twice");
        found
    }

    #[track_caller]
    pub(crate) fn ok(&self) -> &str {
        assert_eq!(self.status, StatusCode::OK, "{}", self.text);
        &self.text
    }

    /// Whether the session layer left a trace in the headers.
    pub(crate) fn is_untouched(&self) -> bool {
        [header::SET_COOKIE, header::VARY, header::CACHE_CONTROL]
            .iter()
            .all(|name| !self.headers.contains_key(name))
    }
}

/// A body whose frames the test sends.
pub(crate) fn stream(
    frames: tokio::sync::mpsc::UnboundedReceiver<Bytes>,
) -> impl http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static {
    http_body_util::StreamBody::new(futures_util::stream::unfold(frames, |mut frames| async {
        let frame = frames.recv().await?;
        Some((Ok(http_body::Frame::data(frame)), frames))
    }))
}

/// Ends a test that hangs.
pub(crate) async fn watched<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(600), work)
        .await
        .expect("it hangs")
}

/// An id of a session that never was.
pub(crate) fn unknown_id() -> String {
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJw".to_owned()
}
