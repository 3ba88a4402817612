//! The site as its own visitor: it sends requests over connections of its own, with a cookie that a
//! browser lent it. A browser opens only six connections to one host.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header, request::Parts},
};
use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::{
    lane::{Lane, Log},
    runs::Run,
    site::Site,
};

/// By which a request says which lane of which run it is.
const LANE: HeaderName = HeaderName::from_static("x-asm-demo-lane");

/// Sends requests to the site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Visitor {
    pub(super) site: SocketAddr,
}

/// Whom it sends requests for.
#[derive(Clone)]
pub(super) struct Guise {
    /// The cookie, as `name=value`. It is a secret.
    pub(super) cookie: Option<Arc<str>>,
    pub(super) user_agent: HeaderValue,
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// The cookie that was set, with its attributes. It is a secret.
    pub(super) set_cookie: Option<HeaderValue>,
}

/// What a request is of a run.
pub(super) struct Part {
    pub(super) run: Arc<Run>,
    /// Which of its requests.
    pub(super) number: usize,
}

/// Why there was no answer.
#[derive(Debug, thiserror::Error)]
#[error("the site does not reach itself")]
pub(super) struct Unreachable(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Visitor {
    /// Posts a form to a path, as one lane of a run.
    pub(super) async fn post(
        &self,
        path: &str,
        form: &'static str,
        guise: &Guise,
        run: &Run,
        lane: usize,
    ) -> Result<Answer, Unreachable> {
        let name = format!("{}.{lane}", run.id);
        let lane = &run.lanes[lane];
        lane.note(Log::begin);
        let answer = self.send(path, form, guise, &name).await;
        lane.note(Log::end);
        answer
    }

    async fn send(
        &self,
        path: &str,
        form: &'static str,
        guise: &Guise,
        lane: &str,
    ) -> Result<Answer, Unreachable> {
        let unreachable = |error: hyper::Error| Unreachable(Box::new(error));
        let stream = TcpStream::connect(self.site).await;
        let stream = stream.map_err(|error| Unreachable(Box::new(error)))?;
        let (mut send, connection) = http1::handshake(TokioIo::new(stream))
            .await
            .map_err(unreachable)?;
        tokio::spawn(connection);
        let mut request = Request::post(path)
            .header(header::HOST, self.site.to_string())
            .header(header::ORIGIN, format!("http://{}", self.site))
            .header(header::USER_AGENT, &guise.user_agent)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(LANE, lane);
        if let Some(cookie) = guise.cookie.as_deref() {
            request = request.header(header::COOKIE, cookie);
        }
        let request = request.body(Full::new(Bytes::from_static(form.as_bytes())));
        let request = request.map_err(|error| Unreachable(Box::new(error)))?;
        let response = send.send_request(request).await.map_err(unreachable)?;
        Ok(Answer {
            status: response.status(),
            set_cookie: response.headers().get(header::SET_COOKIE).cloned(),
        })
    }
}

impl Answer {
    /// The cookie that was set, as `name=value`.
    pub(super) fn cookie(&self) -> Option<Arc<str>> {
        let set = self.set_cookie.as_ref()?.to_str().ok()?;
        set.split(';').next().map(Into::into)
    }
}

/// Why a request of a run came to nothing, if it did.
pub(super) fn refusal(lane: &Lane, answer: &Result<Answer, Unreachable>) -> Option<String> {
    match answer {
        Err(error) => Some(error.to_string()),
        Ok(answer) if answer.status.is_client_error() || answer.status.is_server_error() => {
            let why = lane.log().refused;
            let why = why.unwrap_or_else(|| answer.status.to_string());
            Some(format!("refused: {why}"))
        }
        Ok(_) => None,
    }
}

impl Part {
    /// That of a request, if it says so.
    pub(super) fn of(site: &Site, headers: &HeaderMap) -> Option<Self> {
        let (run, number) = headers.get(LANE)?.to_str().ok()?.split_once('.')?;
        let (run, number) = (site.runs.find(run)?, number.parse().ok()?);
        (number < run.lanes.len()).then_some(Self { run, number })
    }

    pub(super) fn lane(&self) -> &Arc<Lane> {
        &self.run.lanes[self.number]
    }
}

impl FromRequestParts<Site> for Part {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, site: &Site) -> Result<Self, StatusCode> {
        Self::of(site, &parts.headers).ok_or(StatusCode::NOT_FOUND)
    }
}
