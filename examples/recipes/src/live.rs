//! Server-sent events that show what others do to the session, and end when the user logs out. A
//! WebSocket does the same with the same stream of changes.

use std::{convert::Infallible, num::NonZeroUsize};

use asm_session::Change;
use asm_tower::{Result, Session};
use axum::{
    Router,
    response::sse::{Event, Sse},
    routing::{get, post},
};
use futures_util::{Stream, StreamExt, future};

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", get(events))
        .route("/count", post(count))
        .route("/log-out", post(log_out))
}

/// How many changes wait for a slow reader before it is told that it missed some.
const BUFFER: NonZeroUsize = NonZeroUsize::new(16).unwrap();

async fn events(
    session: Session,
) -> Result<Sse<impl Stream<Item = std::result::Result<Event, Infallible>>>> {
    // Whatever happens from here on is seen; the lock of this request ends with its headers.
    let changes = session.watch(BUFFER).await?;
    let ends = |change: &Change| matches!(change, Change::Ended);
    let events = changes.map(move |change| {
        let name = match &change {
            Change::Saved(_) => "saved",
            Change::Rotated(_) => "rotated",
            Change::Ended => "ended",
            Change::Lagged(_) => "lagged",
            _ => "changed",
        };
        // No value travels in a change: the page asks for what it wants to show.
        (ends(&change), Ok(Event::default().event(name).data("")))
    });
    // The end is told, and is the last event.
    let events = events.scan(false, |over, (ends, event)| {
        let told = (!*over).then_some(event);
        *over |= ends;
        future::ready(told)
    });
    Ok(Sse::new(events))
}

async fn count(session: Session) -> Result<String> {
    Ok(session.add("n", 1)?.to_string())
}

async fn log_out(session: Session) -> Result<()> {
    session.delete().await
}

#[cfg(test)]
mod tests {
    use axum::http::Method;
    use http_body_util::BodyExt;

    use crate::browser::{Browser, site};

    #[tokio::test]
    async fn a_stream_shows_changes_and_ends_with_the_log_out() {
        let mut browser = Browser::of(&site());
        browser.post("/live/count", "").await;
        // The first return of a client is a change, too.
        browser.post("/live/count", "").await;
        let response = browser.ask(Method::GET, "/live", "").await;
        let reading = tokio::spawn(response.into_body().collect());
        browser.post("/live/count", "").await;
        browser.post("/live/log-out", "").await;
        let events = reading.await.expect("no panic").expect("a body").to_bytes();
        let events = String::from_utf8(events.to_vec()).expect("text");
        let names: Vec<_> = events
            .lines()
            .filter_map(|line| line.strip_prefix("event: "))
            .collect();
        assert_eq!(names, ["saved", "ended"]);
    }
}
