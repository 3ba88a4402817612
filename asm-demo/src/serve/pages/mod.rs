//! The pages, one module for each step.

mod burst;
mod cart;
mod devices;
mod feed;
mod fields;
mod locks;
mod rotation;
mod sign_in;
mod start;
mod stored;
mod tabs;

use std::{convert::Infallible, time::Duration};

use askama::Template;
use asm_session::LockMode;
use asm_tower::{ReadSession, Result, RouteMode};
use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Redirect, Response,
        sse::{Event, KeepAlive, Sse},
    },
    routing::get,
};
use futures_util::{Stream, StreamExt, stream};
use serde::Deserialize;

use super::{
    picture::{Picture, RunView},
    runs::Run,
    site::Site,
    words::{Told, told},
};

pub(super) fn router() -> Router<Site> {
    Router::new()
        .merge(start::routes())
        .merge(sign_in::routes())
        .merge(cart::routes())
        .merge(burst::routes())
        .merge(rotation::routes())
        .merge(tabs::routes())
        .merge(devices::routes())
        .merge(fields::routes())
        .merge(feed::routes())
        .merge(locks::routes())
        .merge(stored::routes())
        .route("/runs/{id}/live", get(live))
        .fallback(missing)
}

async fn missing(headers: HeaderMap) -> Response {
    let sentence = "There is no such page on this site.".to_owned();
    let status = StatusCode::NOT_FOUND;
    told(&headers, &Told { status, sentence })
}

/// What changes sums and lists needs no lock: it is laid over what others saved.
const MERGING: RouteMode = RouteMode::new(LockMode::Optimistic);

/// The way to the page on which one signs in.
fn sign_in_first() -> Response {
    Redirect::to("/sign-in?first=yes").into_response()
}

/// Which run a page is to show.
#[derive(Deserialize)]
struct Shown {
    run: Option<String>,
}

impl Shown {
    /// The run, if it is kept, and this session's.
    fn view(&self, site: &Site, session: &ReadSession) -> Result<Option<RunView>> {
        let run = self.run.as_ref().and_then(|id| site.runs.find(id));
        let owner = session.handle()?;
        let run = run.filter(|run| run.owner == owner);
        Ok(run.map(|run| RunView::of(&run)))
    }
}

/// The page on which a run is seen.
fn to_run(page: &str, run: &Run) -> Response {
    Redirect::to(&format!("{page}?run={}#run", run.id)).into_response()
}

/// How often a picture is drawn anew, at most.
const FRAME: Duration = Duration::from_millis(60);

/// The picture of a run as it becomes.
async fn live(
    State(site): State<Site>,
    session: ReadSession,
    Path(id): Path<String>,
) -> Result<Response> {
    let owner = session.handle()?;
    let Some(run) = site.runs.find(&id).filter(|run| run.owner == owner) else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let (changes, sessions) = (run.changes(), site.sessions.clone());
    let frames = stream::unfold(Some((run, changes)), move |state| {
        let sessions = sessions.clone();
        async move {
            let (run, mut changes) = state?;
            if run.verdict().is_none() {
                // It may be over meanwhile: then this is the last picture.
                let _ = changes.changed().await;
                sessions.sleep(FRAME).await;
            }
            changes.mark_unchanged();
            let over = run.verdict().map(str::to_owned);
            let mut events = vec![replace(&Picture::of(&run.lanes))];
            let next = match over {
                None => Some((run, changes)),
                Some(verdict) => {
                    events.extend([Event::default().event("say").data(verdict), end()]);
                    None
                }
            };
            Some((stream::iter(events), next))
        }
    });
    Ok(streamed(&site, frames.flatten()))
}

/// An event whose HTML takes the place of what is shown.
fn replace(template: &impl Template) -> Event {
    let html = template.render().unwrap_or_default();
    Event::default().event("replace").data(html)
}

/// An event after which none follows, so that the page does not ask again.
fn end() -> Event {
    // Browsers drop an event without data.
    Event::default().event("end").data("over")
}

/// Events, until the site ends.
fn streamed(site: &Site, events: impl Stream<Item = Event> + Send + 'static) -> Response {
    let site = site.clone();
    let events = events.take_until(Box::pin(async move { site.stopped().await }));
    Sse::new(events.map(Ok::<_, Infallible>))
        .keep_alive(KeepAlive::default())
        .into_response()
}
