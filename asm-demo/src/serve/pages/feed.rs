//! Changes of a session as they happen.

use std::num::NonZeroUsize;

use askama::Template;
use asm_session::Change;
use asm_tower::{Result, Session};
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response, sse::Event},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};

use super::{MERGING, end, sign_in_first, streamed};
use crate::serve::{
    frame::{Frame, USER},
    site::Site,
    words::{Told, html, told},
};

/// How many changes wait for a slow browser.
const BUFFER: NonZeroUsize = NonZeroUsize::new(64).expect("not zero");

const SAVES: &str = "feed_saves";

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/feed", get(page))
        .route("/feed/events", get(events))
        .route("/feed/save", post(save).layer(MERGING))
}

#[derive(Template)]
#[template(path = "feed.html")]
struct Page {
    frame: Frame,
}

async fn page(frame: Frame) -> Response {
    html(&Page { frame })
}

/// A line of the feed.
#[derive(Template)]
#[template(source = "<li class=\"{{ kind }}\">{{ sentence }}</li>", ext = "html")]
struct Line {
    kind: &'static str,
    sentence: String,
}

/// The feed. It ends with the session, and there is none without one.
async fn events(State(site): State<Site>, session: Session) -> Result<Response> {
    if !session.contains_key(USER)? {
        // To a browser: do not ask again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let changes = session.watch(BUFFER).await?;
    let begin = line("note", "The feed has begun.".into());
    let lines = changes.flat_map(|change| {
        let over = change == Change::Ended;
        let events = [Some(told_of(change)), over.then(end)];
        stream::iter(events.into_iter().flatten())
    });
    Ok(streamed(&site, stream::iter([begin]).chain(lines)))
}

fn told_of(change: Change) -> Event {
    match change {
        Change::Saved(version) => line("saved", format!("Saved: version {}.", version.number)),
        Change::Rotated(version) => line(
            "rotated",
            format!("The id was replaced: version {}.", version.number),
        ),
        Change::Ended => line(
            "ended",
            "The feed has ended: the session was logged out, or a login replaced its id.".into(),
        ),
        Change::Lagged(missed) => line(
            "lagged",
            format!("This browser was too slow: {missed} changes were left out."),
        ),
        _ => line(
            "note",
            "Something happened that this site has no word for.".into(),
        ),
    }
}

fn line(kind: &'static str, sentence: String) -> Event {
    use askama::Template as _;
    let html = Line { kind, sentence }.render().unwrap_or_default();
    Event::default().event("append").data(html)
}

/// Something to be told of.
async fn save(session: Session, headers: HeaderMap) -> Result<Response> {
    if !session.contains_key(USER)? {
        return Ok(sign_in_first());
    }
    let saves = session.add(SAVES, 1)?;
    session.close().await?;
    let sentence =
        format!("Save number {saves} is done, and whoever watches this session is told.");
    let status = StatusCode::OK;
    Ok(told(&headers, &Told { status, sentence }))
}
