//! Answers of one sentence, and the pages they stand on.

use askama::Template;
use asm_session::SessionError as Inner;
use asm_tower::{Failure, SessionError};
use axum::{
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;

use super::{frame::Frame, lane};

/// The sentence of a page that tells of a failure, for scripts.
const SAID: HeaderName = HeaderName::from_static("x-asm-demo-said");

/// What happened, in one sentence.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) status: StatusCode,
    pub(super) sentence: String,
}

#[derive(Template)]
#[template(path = "told.html")]
struct Page<'a> {
    frame: Frame,
    status: u16,
    sentence: &'a str,
}

/// The sentence: on a page, or alone for a script that asked for plain text.
pub(super) fn told(headers: &HeaderMap, told: &Told) -> Response {
    let accepts = headers.get(header::ACCEPT);
    if accepts.is_some_and(|accepts| accepts == "text/plain") {
        return (told.status, told.sentence.clone()).into_response();
    }
    (told.status, html(&page(told))).into_response()
}

/// The page of a template.
pub(super) fn html(template: &impl Template) -> Response {
    match template.render() {
        Ok(page) => Html(page).into_response(),
        Err(error) => {
            eprintln!("serve: a page could not be made: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What a visitor is answered when the session could not be opened or saved.
pub(super) fn failed(failure: Failure<'_>) -> axum::http::Response<Bytes> {
    let sentence = sentence(failure.error);
    lane::note(|log, _| log.refused = Some(short(failure.error)));
    let mut response = failure.default_response();
    let told = Told {
        status: response.status(),
        sentence,
    };
    if let Ok(sentence) = HeaderValue::from_str(&told.sentence) {
        response.headers_mut().insert(SAID, sentence);
    }
    let Ok(page) = page(&told).render() else {
        return response;
    };
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, html);
    response.map(|_| page.into())
}

fn page(told: &Told) -> Page<'_> {
    Page {
        frame: Frame::default(),
        status: told.status.as_u16(),
        sentence: &told.sentence,
    }
}

/// What became of a request that failed.
pub(super) fn sentence(error: &SessionError) -> String {
    let SessionError::Session(inner) = error else {
        return format!("Nothing was saved: {error}.");
    };
    match inner {
        Inner::Deleted => {
            "Nothing was saved, because the session was ended meanwhile; it stays ended.".into()
        }
        Inner::Invalid(_) => {
            "Nothing was saved, because the id of this request was ended meanwhile.".into()
        }
        Inner::LockLost => {
            "Nothing was saved, because the lock was taken away from this request.".into()
        }
        Inner::LockTimeout => {
            "Nothing was saved, because another request held the lock for all of the wait.".into()
        }
        Inner::Conflict(_) => {
            "Nothing was saved, because somebody else changed what this request had read.".into()
        }
        Inner::Store(error) => format!(
            "The store did not do it ({}), so nothing is shown instead of something wrong.",
            error.kind()
        ),
        other => format!("Nothing was saved: {other}."),
    }
}

/// The same in two words.
fn short(error: &SessionError) -> String {
    let SessionError::Session(inner) = error else {
        return error.to_string();
    };
    match inner {
        Inner::Deleted => "the session is over".into(),
        Inner::ReadOnly => "read-only".into(),
        Inner::LockLost => "lost the lock".into(),
        Inner::LockTimeout => "the lock did not come".into(),
        Inner::Invalid(reason) => format!("the id is {reason}"),
        Inner::Store(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}
