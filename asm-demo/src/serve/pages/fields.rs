//! Values beside the entries, changed without a lock.

use std::{ops::Range, time::Duration};

use askama::Template;
use asm_session::{LockMode, SessionError as Inner};
use asm_tower::{FlashLevel, LazySession, LockedSession, Result, Session};
use axum::{
    Form, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use futures_util::future::{join, join_all};
use serde::Deserialize;

use super::{MERGING, Shown, sign_in_first, to_run};
use crate::serve::{
    frame::{Frame, USER},
    lane::Tone,
    picture::{RunView, millis},
    runs::Run,
    site::Site,
    visitor::{Answer, Guise, Part, Unreachable, refusal},
    words::html,
};

/// The counter, and the list.
const CLICKS: &str = "clicks";
const LINES: &str = "lines";

/// How many lines are shown.
const SHOWN: usize = 8;

/// How many lines the list may have: it is a demonstration.
const MOST: usize = 1000;

const LONGEST: usize = 80;

/// The requests: one holds the lock all the while.
const HOLDER: usize = 0;
const ADDING: Range<usize> = 1..21;

/// How long the lock is held.
const HOLD: Duration = Duration::from_millis(600);

/// How long it has been held when the others are sent.
const HEAD_START: Duration = Duration::from_millis(100);

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/fields", get(page).post(fire))
        .route("/fields/click", post(click).layer(MERGING))
        .route("/fields/line", post(line).layer(MERGING))
        .route("/fields/hold", post(hold))
        .route("/fields/hit", post(hit))
}

#[derive(Template)]
#[template(path = "fields.html")]
struct Page {
    frame: Frame,
    clicks: i64,
    lines: Vec<String>,
    length: usize,
    longest: usize,
    run: Option<RunView>,
}

async fn page(
    State(site): State<Site>,
    frame: Frame,
    session: Session,
    Query(shown): Query<Shown>,
) -> Result<Response> {
    let run = shown.view(&site, &session)?;
    let (clicks, mut lines) = values(&session).await?;
    let length = lines.len();
    Ok(html(&Page {
        frame,
        clicks,
        lines: lines.split_off(length.saturating_sub(SHOWN)),
        length,
        longest: LONGEST,
        run,
    }))
}

/// The counter, and the list.
async fn values(session: &Session) -> Result<(i64, Vec<String>)> {
    let clicks = match session.fields().get(CLICKS).await? {
        Some(field) => field.number()?,
        None => 0,
    };
    Ok((clicks, session.fields().list(LINES, 0..MOST).await?))
}

async fn click(session: Session) -> Result<Response> {
    if !session.contains_key(USER)? {
        return Ok(sign_in_first());
    }
    let sum = session.fields().incr(CLICKS, 1).await?;
    session.flash(
        FlashLevel::Success,
        format!("The store added 1 by itself, and answered {sum}."),
    )?;
    Ok(Redirect::to("/fields").into_response())
}

#[derive(Deserialize)]
struct Line {
    line: String,
}

async fn line(session: Session, Form(Line { line }): Form<Line>) -> Result<Response> {
    if !session.contains_key(USER)? {
        return Ok(sign_in_first());
    }
    let line: String = line.trim().chars().take(LONGEST).collect();
    let said = if line.is_empty() {
        "An empty line was not added.".to_owned()
    } else {
        let length = push(&session, &line).await?;
        format!("The store added the line by itself: it is number {length} of the list.")
    };
    session.flash(FlashLevel::Success, said)?;
    Ok(Redirect::to("/fields").into_response())
}

/// Adds a line; a list that is too long begins anew.
async fn push(session: &Session, line: &str) -> Result<usize> {
    let length = session.fields().push(LINES, line).await?;
    if length > MOST {
        session.fields().clear(LINES).await?;
    }
    Ok(length)
}

/// Twenty additions, while another request holds the lock.
async fn fire(State(site): State<Site>, session: Session, headers: HeaderMap) -> Result<Response> {
    if !session.contains_key(USER)? {
        return Ok(sign_in_first());
    }
    let (clicks, lines) = values(&session).await?;
    let labels = ADDING.map(|number| format!("adds, request {number}"));
    let labels = std::iter::once("holds the lock".to_owned()).chain(labels);
    let run = Run::new(session.handle()?, LockMode::Optimistic, labels);
    site.runs.keep(&run);
    // The one that is to hold it waits for this request to give it away.
    session.close().await?;
    let guise = site.guise(&headers);
    let response = to_run("/fields", &run);
    tokio::spawn(async move { add(&site, &run, &guise, (clicks, lines.len())).await });
    Ok(response)
}

async fn add(site: &Site, run: &Run, guise: &Guise, before: (i64, usize)) {
    let holding = site.visitor.post("/fields/hold", "", guise, run, HOLDER);
    let adding = async {
        run.opened(HOLDER..HOLDER + 1).await;
        site.sessions.sleep(HEAD_START).await;
        join_all(ADDING.map(|number| site.visitor.post("/fields/hit", "", guise, run, number)))
            .await
    };
    let (held, added) = join(holding, adding).await;
    settle(run, HOLDER, &held, "saved");
    for (number, answer) in ADDING.zip(&added) {
        settle(run, number, answer, "added");
    }
    run.conclude(match now(site, guise).await {
        Ok((clicks, lines)) => verdict(run, clicks - before.0, lines.saturating_sub(before.1)),
        Err(error) => format!("What became of it cannot be told: {error}."),
    });
}

/// The counter and the length of the list, in the visitor's session.
async fn now(site: &Site, guise: &Guise) -> Result<(i64, usize), Inner> {
    let cookie = guise.cookie.as_deref().unwrap_or_default();
    let id = cookie.split_once('=').map_or("", |(_, id)| id);
    let readers = site.sessions.with_mode(LockMode::ReadOnly);
    let mut session = readers.open(id, &asm_session::Client::default()).await?;
    let mut fields = session.fields()?;
    let clicks = match fields.get(CLICKS).await? {
        Some(field) => field.number()?,
        None => 0,
    };
    let lines: Vec<String> = fields.list(LINES, 0..MOST).await?;
    Ok((clicks, lines.len()))
}

fn settle(run: &Run, number: usize, answer: &Result<Answer, Unreachable>, done: &str) {
    let lane = &run.lanes[number];
    let (tone, outcome) = match refusal(lane, answer) {
        Some(why) => (Tone::Refused, why),
        None => (Tone::Kept, done.to_owned()),
    };
    lane.settle(tone, outcome);
}

fn verdict(run: &Run, clicks: i64, lines: usize) -> String {
    let logs: Vec<_> = run.lanes.iter().map(|lane| lane.log()).collect();
    let waited = logs.iter().filter(|log| !log.waits.is_empty()).count();
    let lasted = logs[ADDING].iter().filter_map(|log| {
        let whole = log.whole?;
        Some(whole.to? - whole.from)
    });
    let slowest = millis(lasted.max().unwrap_or_default());
    format!(
        "{} requests added at once while another one held the lock: the counter grew by {clicks}, the \
         list by {lines} lines, {waited} waited for the lock, and the slowest took {slowest}.",
        ADDING.len()
    )
}

/// Holds the lock for a while.
async fn hold(State(site): State<Site>, part: Part, session: LockedSession) -> Result<StatusCode> {
    part.lane().note(|log, _| log.opened = true);
    session.insert("held", &true)?;
    site.sessions.sleep(HOLD).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Adds to both, without the lock.
async fn hit(part: Part, lazy: LazySession) -> Result<StatusCode> {
    let session = lazy.open_in(part.run.mode).await?;
    session.fields().incr(CLICKS, 1).await?;
    push(&session, &format!("request {}", part.number)).await?;
    Ok(StatusCode::NO_CONTENT)
}
