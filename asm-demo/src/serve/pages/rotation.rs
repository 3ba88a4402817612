//! An id that is renewed while requests run on it.

use std::{ops::Range, sync::Arc, time::Duration};

use askama::Template;
use asm_session::LockMode;
use asm_tower::{LazySession, Origin, ReadSession, Result, Rotation, Session};
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
    routing::{get, post},
};
use futures_util::future::join_all;

use super::{Shown, sign_in_first, to_run};
use crate::serve::{
    frame::{Frame, USER},
    lane::{Log, Tone},
    picture::RunView,
    runs::Run,
    site::Site,
    visitor::{Answer, Guise, Part, Unreachable, refusal},
    words::html,
};

/// How long the old id lives on once the new one was used.
const GRACE: Duration = Duration::from_secs(2);

/// How long a request works.
const WORK: Duration = Duration::from_millis(150);

/// The requests: which one renews, and which ones come with which id.
const UNDER_WAY: Range<usize> = 0..5;
const RENEWAL: usize = 5;
const NEW: Range<usize> = 6..9;
const LATE: Range<usize> = 9..14;
const STALE: usize = 14;

const COUNT: &str = "rotation_hits";

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/rotation", get(page).post(fire))
        .route("/rotation/hit", post(hit))
        .route("/rotation/renew", post(renew))
}

#[derive(Template)]
#[template(path = "rotation.html")]
struct Page {
    frame: Frame,
    grace: u64,
    run: Option<RunView>,
}

async fn page(
    State(site): State<Site>,
    frame: Frame,
    session: ReadSession,
    Query(shown): Query<Shown>,
) -> Result<Response> {
    let run = shown.view(&site, &session)?;
    let grace = GRACE.as_secs();
    Ok(html(&Page { frame, grace, run }))
}

/// Sends requests in the place of the browser, one of which renews the id, and hands the new cookie
/// on to the browser.
async fn fire(
    State(site): State<Site>,
    session: ReadSession,
    headers: HeaderMap,
) -> Result<Response> {
    if !session.contains_key(USER)? {
        return Ok(sign_in_first());
    }
    let run = Run::new(session.handle()?, LockMode::Optimistic, labels());
    site.runs.keep(&run);
    let old = site.guise(&headers);
    let early = {
        let (site, run, old) = (site.clone(), Arc::clone(&run), old.clone());
        tokio::spawn(async move { send(&site, &run, &old, UNDER_WAY).await })
    };
    run.opened(UNDER_WAY).await;
    let renewed = site
        .visitor
        .post("/rotation/renew", "", &old, &run, RENEWAL)
        .await;
    let mut response = to_run("/rotation", &run);
    let new = match &renewed {
        Ok(renewed) => {
            if let Some(cookie) = renewed.set_cookie.clone() {
                response.headers_mut().insert(header::SET_COOKIE, cookie);
            }
            renewed.cookie()
        }
        Err(_) => None,
    };
    judge(&run, RENEWAL, &renewed);
    tokio::spawn(async move {
        let new = Guise {
            cookie: new,
            ..old.clone()
        };
        go_on(&site, &run, &old, &new).await;
        // Its requests were judged as they ended; whether they could be does not matter here.
        let _ = early.await;
        conclude(&run);
    });
    Ok(response)
}

fn labels() -> impl Iterator<Item = String> {
    (0..=STALE).map(|number| {
        let kind = match number {
            RENEWAL => "renews the id",
            STALE => "old id, too late",
            number if UNDER_WAY.contains(&number) => "old id, under way",
            number if NEW.contains(&number) => "new id",
            _ => "old id, late",
        };
        kind.to_owned()
    })
}

/// What comes after the renewal.
async fn go_on(site: &Site, run: &Run, old: &Guise, new: &Guise) {
    // The first one confirms the new id: the old one is a zombie from then on.
    send(site, run, new, NEW.start..NEW.start + 1).await;
    tokio::join!(
        send(site, run, new, NEW.start + 1..NEW.end),
        send(site, run, old, LATE)
    );
    site.sessions.sleep(GRACE).await;
    send(site, run, old, STALE..STALE + 1).await;
}

async fn send(site: &Site, run: &Run, guise: &Guise, numbers: Range<usize>) {
    join_all(numbers.map(|number| async move {
        let answer = site
            .visitor
            .post("/rotation/hit", "", guise, run, number)
            .await;
        judge(run, number, &answer);
    }))
    .await;
}

fn judge(run: &Run, number: usize, answer: &Result<Answer, Unreachable>) {
    let lane = &run.lanes[number];
    let cookie = answer
        .as_ref()
        .is_ok_and(|answer| answer.set_cookie.is_some());
    let (tone, outcome) = match refusal(lane, answer) {
        Some(why) => (Tone::Refused, why),
        None if cookie && number == RENEWAL => (Tone::Kept, "got a new cookie".to_owned()),
        None if cookie => (Tone::Lost, "got a cookie".to_owned()),
        None if lane.log().zombie => (Tone::Merged, "saved, as a zombie".to_owned()),
        None => (Tone::Kept, "saved".to_owned()),
    };
    lane.settle(tone, outcome);
}

fn conclude(run: &Run) {
    let logs: Vec<_> = run.lanes.iter().map(|lane| lane.log()).collect();
    let served = |numbers: Range<usize>| {
        let served = |log: &&Log| matches!(log.tone, Tone::Kept | Tone::Merged);
        logs[numbers].iter().filter(served).count()
    };
    let zombies = logs.iter().filter(|log| log.zombie).count();
    let last = if logs[STALE].tone == Tone::Refused {
        "was refused"
    } else {
        "was served"
    };
    let (under_way, new) = (served(UNDER_WAY), served(NEW));
    run.conclude(format!(
        "The id was renewed while {} requests ran on the old one, of which {under_way} were served; \
         {new} came with the new id; {zombies} more came with the old one and were served as zombies \
         (they get no cookie, because a newer one is under way); and {} s after the new id was first \
         used the old one {last}.",
        UNDER_WAY.len(),
        GRACE.as_secs()
    ));
}

/// One of the requests.
async fn hit(State(site): State<Site>, part: Part, lazy: LazySession) -> Result<StatusCode> {
    let session = lazy.open_in(part.run.mode).await?;
    if let Origin::Replaced(reason) = session.origin()? {
        part.lane()
            .note(|log, _| log.refused = Some(format!("the id is {reason}")));
        return Ok(StatusCode::UNAUTHORIZED);
    }
    let zombie = session.is_zombie()?;
    part.lane().note(|log, _| {
        log.opened = true;
        log.zombie = zombie;
    });
    session.add(COUNT, 1)?;
    site.sessions.sleep(WORK).await;
    Ok(StatusCode::NO_CONTENT)
}

async fn renew(_: Part, session: Session) -> Result<StatusCode> {
    session.regenerate(Rotation::Renew { grace: GRACE })?;
    Ok(StatusCode::NO_CONTENT)
}
