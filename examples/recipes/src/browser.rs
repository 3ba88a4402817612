//! A browser for the tests: it keeps its cookie, and sends forms.

use asm_memory::MemoryDriver;
use asm_tower::{Sessions, StatusCode};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, header},
    response::Response,
};
use http_body_util::BodyExt;
use tower::ServiceExt;

pub(crate) struct Browser {
    app: Router,
    pub(crate) cookie: Option<String>,
}

pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

/// All recipes, over sessions of their own.
pub(crate) fn site() -> Router {
    let sessions = Sessions::builder(MemoryDriver::new()).build();
    crate::app(sessions.expect("sound")).expect("consistent")
}

impl Browser {
    pub(crate) fn of(app: &Router) -> Self {
        Self {
            app: app.clone(),
            cookie: None,
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.read(Method::GET, path, "").await
    }

    pub(crate) async fn post(&mut self, path: &str, form: &'static str) -> Page {
        self.read(Method::POST, path, form).await
    }

    /// The response, whose body has not been read yet.
    pub(crate) async fn ask(&mut self, method: Method, path: &str, form: &'static str) -> Response {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let request = match &self.cookie {
            Some(cookie) => request.header(header::COOKIE, cookie),
            None => request,
        };
        let request = request.body(Body::from(form)).expect("a request");
        let response = self.app.clone().oneshot(request).await.expect("infallible");
        if let Some(set) = response.headers().get(header::SET_COOKIE) {
            let set = set.to_str().expect("ascii");
            let kept = set.split(';').next().filter(|_| !set.contains("Max-Age=0"));
            self.cookie = kept.map(str::to_owned);
        }
        response
    }

    async fn read(&mut self, method: Method, path: &str, form: &'static str) -> Page {
        let (head, body) = self.ask(method, path, form).await.into_parts();
        let text = body.collect().await.expect("a body").to_bytes();
        Page {
            status: head.status,
            headers: head.headers,
            text: String::from_utf8(text.to_vec()).expect("text"),
        }
    }
}
