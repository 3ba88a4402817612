//! Why there is no session, or why it was not saved, and what a client is answered then.

use std::{sync::Arc, time::Duration};

use asm_core::ErrorKind;
use asm_session::SessionError as Inner;
use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};

/// The result of every fallible call.
pub type Result<T, E = SessionError> = std::result::Result<T, E>;

/// Why something did not happen.
///
/// It is a response: see [`status`](Self::status). A handler that answers with one saves nothing,
/// whatever its status: what a request did before it failed is not half of what it wanted. Like the
/// errors of asm-session it never holds an id or a value.
///
/// ```
/// use asm_tower::SessionError;
///
/// let late = SessionError::from(asm_session::SessionError::LockTimeout);
/// assert_eq!(late.status(), 503);
/// assert_eq!(late.into_response().headers()["retry-after"], "1");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The session, or its store.
    #[error(transparent)]
    Session(#[from] Inner),
    /// There is no [`SessionLayer`](crate::SessionLayer) around this route, or none of that name.
    #[error("there is no session layer around this route")]
    NoLayer,
    /// The session was not opened yet.
    #[error("the session was not opened")]
    NotOpen,
    /// Another future of this request is saving, locking or opening the session at this moment.
    #[error("another future of this request is using the session")]
    Busy,
    /// The headers of the response are gone, and with them the way to tell the client its new id.
    #[error("the headers are gone: the client can not be told its new id")]
    HeadersSent,
    /// The request is over: its client has gone, it took too long, or its handler panicked.
    #[error("the request is over")]
    RequestOver,
    /// The application refused the invalid id that the client brought.
    #[error("the session id was refused")]
    Rejected(StatusCode),
    /// The cookie was not sealed, or its key is not known here.
    #[cfg(feature = "sealed-cookie")]
    #[error("the seal of the cookie")]
    Seal(#[source] asm_crypt::CookieError),
    /// The cookie would be longer than the 4096 bytes that browsers keep.
    #[error("the session cookie would be longer than 4096 bytes")]
    CookieTooLong,
}

impl SessionError {
    /// When a client may try again, unless the layer says something else: in 1 s.
    pub const RETRY_AFTER: Duration = Duration::from_secs(1);

    /// What a client is answered.
    ///
    /// | status | |
    /// |---|---|
    /// | 409 Conflict | somebody else was first: a conflict, a lost lock, or a session that ended meanwhile |
    /// | 503 Service Unavailable | the store is in trouble, the queue is full, or the lock did not come; with `Retry-After` |
    /// | 403 Forbidden | the user has to authenticate again |
    /// | that of the application | it refused an invalid id |
    /// | 500 Internal Server Error | everything else |
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Session(error) => status_of(error),
            Self::Rejected(status) => *status,
            // Of a newer ring: another process knows it.
            #[cfg(feature = "sealed-cookie")]
            Self::Seal(asm_crypt::CookieError::UnknownKey(_)) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// The response, with a body of one line that says nothing about the session. What it was made
    /// of is found in its extensions, as an `Arc<SessionError>`.
    #[must_use]
    pub fn into_response(self) -> Response<Bytes> {
        let mut response = self.response(Self::RETRY_AFTER);
        response.extensions_mut().insert(Arc::new(self));
        response
    }

    pub(crate) fn response(&self, retry_after: Duration) -> Response<Bytes> {
        let status = self.status();
        let reason = status.canonical_reason().unwrap_or("Error");
        let mut response = Response::new(Bytes::from_static(reason.as_bytes()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        headers.insert(CONTENT_TYPE, text);
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, seconds(retry_after));
        }
        response
    }
}

fn status_of(error: &Inner) -> StatusCode {
    match error {
        Inner::Conflict(_) | Inner::LockLost | Inner::Deleted | Inner::Invalid(_) => {
            StatusCode::CONFLICT
        }
        Inner::LockTimeout | Inner::QueueFull => StatusCode::SERVICE_UNAVAILABLE,
        Inner::NotFresh => StatusCode::FORBIDDEN,
        Inner::Store(error) => match error.kind() {
            ErrorKind::TooLarge | ErrorKind::Invalid | ErrorKind::Unsupported => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => StatusCode::SERVICE_UNAVAILABLE,
        },
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Whole seconds, at least one: `Retry-After: 0` invites a storm.
fn seconds(time: Duration) -> HeaderValue {
    let whole = time.as_secs() + u64::from(time.subsec_nanos() > 0);
    HeaderValue::from(whole.max(1))
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for SessionError {
    fn into_response(self) -> axum::response::Response {
        Self::into_response(self).map(axum::body::Body::from)
    }
}

#[cfg(test)]
mod tests {
    use asm_core::Error;

    use super::*;

    #[test]
    fn each_error_has_its_status() {
        let of = |error: Inner| SessionError::from(error).status().as_u16();
        assert_eq!(of(Inner::LockLost), 409);
        assert_eq!(of(Inner::Deleted), 409);
        assert_eq!(of(Inner::QueueFull), 503);
        assert_eq!(of(Inner::LockTimeout), 503);
        assert_eq!(of(Inner::NotFresh), 403);
        assert_eq!(of(Inner::ReadOnly), 500);
        assert_eq!(of(Inner::NotLocked), 500);
        for (kind, status) in [
            (ErrorKind::Unavailable, 503),
            (ErrorKind::Timeout, 503),
            (ErrorKind::Unreadable, 503),
            (ErrorKind::Unknown, 503),
            (ErrorKind::TooLarge, 500),
        ] {
            assert_eq!(of(Error::new(kind, "a test").into()), status, "{kind}");
        }
        assert_eq!(SessionError::NoLayer.status(), 500);
        assert_eq!(
            SessionError::Rejected(StatusCode::TOO_MANY_REQUESTS).status(),
            429
        );
    }

    #[test]
    fn a_client_is_told_when_to_try_again_in_whole_seconds() {
        assert_eq!(seconds(Duration::ZERO), "1");
        assert_eq!(seconds(Duration::from_millis(1_001)), "2");
        assert_eq!(seconds(Duration::from_secs(30)), "30");
        let conflict = SessionError::from(Inner::LockLost).into_response();
        assert!(!conflict.headers().contains_key(RETRY_AFTER));
    }
}
