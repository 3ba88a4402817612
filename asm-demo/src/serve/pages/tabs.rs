//! One tab logs out while another one saves.

use std::{future::ready, num::NonZeroUsize, time::Duration};

use askama::Template;
use asm_session::{Change, LockMode};
use asm_tower::{FlashLevel, LazySession, Origin, ReadSession, Result, Session};
use axum::{
    Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use futures_util::StreamExt;

use super::{MERGING, Shown, sign_in_first, to_run};
use crate::serve::{
    frame::{Frame, USER},
    lane::Tone,
    picture::RunView,
    runs::Run,
    site::Site,
    visitor::{Answer, Guise, Part, Unreachable, refusal},
    words::html,
};

/// How long the first tab works before it saves.
const WORK: Duration = Duration::from_millis(400);

/// How long the visitor's own slow save takes.
const SLOW: Duration = Duration::from_secs(10);

/// How long the first tab is at work when the second one logs out.
const LATER: Duration = Duration::from_millis(150);

/// How many changes wait to be looked at.
const BUFFER: NonZeroUsize = NonZeroUsize::new(16).expect("not zero");

const DRAFT: &str = "draft";

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/tabs", get(page).post(fire))
        .route("/tabs/save", post(save))
        .route("/tabs/look", post(look))
        .route("/tabs/slow", post(slow).layer(MERGING))
}

#[derive(Template)]
#[template(path = "tabs.html")]
struct Page {
    frame: Frame,
    slow: u64,
    run: Option<RunView>,
}

async fn page(
    State(site): State<Site>,
    frame: Frame,
    session: ReadSession,
    Query(shown): Query<Shown>,
) -> Result<Response> {
    let run = shown.view(&site, &session)?;
    let slow = SLOW.as_secs();
    Ok(html(&Page { frame, slow, run }))
}

/// The requests, in their order.
const SIGN_IN: usize = 0;
const SAVE: usize = 1;
const OUT: usize = 2;
const LOOK: usize = 3;

/// Plays both tabs, in a session of its own: the visitor stays signed in.
async fn fire(
    State(site): State<Site>,
    session: ReadSession,
    headers: HeaderMap,
) -> Result<Response> {
    if !session.contains_key(USER)? {
        return Ok(sign_in_first());
    }
    let labels = [
        "tab 1 signs in",
        "tab 1 saves a draft",
        "tab 2 logs out",
        "tab 1 comes again",
    ];
    let run = Run::new(
        session.handle()?,
        LockMode::Optimistic,
        labels.map(str::to_owned),
    );
    site.runs.keep(&run);
    let guise = Guise {
        cookie: None,
        ..site.guise(&headers)
    };
    let response = to_run("/tabs", &run);
    tokio::spawn(async move { play(&site, &run, guise).await });
    Ok(response)
}

async fn play(site: &Site, run: &Run, mut guise: Guise) {
    let post = async |path, form, guise: &Guise, number| {
        let answer = site.visitor.post(path, form, guise, run, number).await;
        judge(run, number, &answer);
        answer
    };
    let signed_in = post("/sign-in", "name=somebody", &guise, SIGN_IN).await;
    guise.cookie = signed_in.ok().and_then(|answer| answer.cookie());
    let Some(cookie) = guise.cookie.clone() else {
        run.conclude("Nothing was shown, because nobody could sign in.".into());
        return;
    };
    tokio::join!(post("/tabs/save", "", &guise, SAVE), async {
        run.opened(SAVE..SAVE + 1).await;
        site.sessions.sleep(LATER).await;
        post("/sign-out", "", &guise, OUT).await
    })
    .0
    .ok();
    let _ = post("/tabs/look", "", &guise, LOOK).await;
    run.conclude(verdict(site, run, &cookie).await);
}

async fn verdict(site: &Site, run: &Run, cookie: &str) -> String {
    let there = match Site::handle_of(cookie) {
        Some(handle) => site.sessions.by_handle(handle).info().await,
        None => Ok(None),
    };
    let store = match there {
        Ok(None) => "the store has no record of it any more",
        Ok(Some(_)) => "the store has a record of it again",
        Err(_) => "the store could not be asked for it",
    };
    let refused = run.lanes[SAVE].log().tone == Tone::Refused;
    let saved = if refused {
        "was refused"
    } else {
        "was written"
    };
    format!(
        "Tab 2 logged out while tab 1 was at work, so the save of tab 1 {saved} and {store}; a store \
         that writes whatever it is given would have brought the session back."
    )
}

fn judge(run: &Run, number: usize, answer: &Result<Answer, Unreachable>) {
    let lane = &run.lanes[number];
    let done = ["signed in", "saved", "logged out", "still signed in"];
    let (tone, outcome) = match refusal(lane, answer) {
        Some(why) => (Tone::Refused, why),
        None => (Tone::Kept, done[number].to_owned()),
    };
    lane.settle(tone, outcome);
}

/// The first tab's save.
async fn save(State(site): State<Site>, part: Part, lazy: LazySession) -> Result<StatusCode> {
    let session = lazy.open_in(part.run.mode).await?;
    part.lane().note(|log, _| log.opened = true);
    session.insert(DRAFT, "Dear Sir or Madam")?;
    site.sessions.sleep(WORK).await;
    part.run.ended(OUT..OUT + 1).await;
    Ok(StatusCode::NO_CONTENT)
}

/// The first tab, once more.
async fn look(part: Part, session: ReadSession) -> Result<StatusCode> {
    if let Origin::Replaced(_) = session.origin()? {
        part.lane()
            .note(|log, _| log.refused = Some("the id opens nothing".into()));
        return Ok(StatusCode::UNAUTHORIZED);
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A save that takes so long that its visitor can log out in another tab: then it comes at once, and
/// too late.
async fn slow(State(site): State<Site>, session: Session) -> Result<Response> {
    if !session.contains_key(USER)? {
        return Ok(sign_in_first());
    }
    let changes = session.watch(BUFFER).await?;
    let mut ends = changes.filter(|change| ready(*change == Change::Ended));
    tokio::select! {
        () = site.sessions.sleep(SLOW) => {}
        () = site.stopped() => {}
        _ = ends.next() => {}
    }
    session.insert(DRAFT, "Dear Sir or Madam")?;
    session.flash(
        FlashLevel::Success,
        "The draft was saved, because nobody logged out meanwhile.",
    )?;
    Ok(Redirect::to("/tabs").into_response())
}
