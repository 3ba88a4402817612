//! Twenty requests of one visitor at once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use askama::Template;
use asm_session::{Client, IdUpdate, Key, LockMode, SessionError as Inner, Sessions};
use asm_tower::{LazySession, ReadSession, Result, Session, SessionError};
use axum::{
    Form, Router,
    extract::{Query, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use futures_util::future::{join, join_all};
use serde::Deserialize;

use super::{Shown, sign_in_first};
use crate::serve::{
    frame::{Frame, USER},
    lane::{Lane, Log, Tone},
    picture::{RunView, millis},
    runs::{Gate, Run},
    site::Site,
    visitor::{Answer, Guise, Part, Unreachable, refusal},
    words::html,
};

/// How many requests are sent.
const REQUESTS: usize = 20;

/// How long each works between what it reads and what it writes.
const WORK: Duration = Duration::from_millis(25);

/// The entry in which each request writes its number.
const HERE: &str = "burst";

pub(super) fn routes() -> Router<Site> {
    Router::new()
        .route("/burst", get(page).post(fire))
        .route("/burst/hit", post(hit))
}

/// A mode, as the form names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    ReadOnly,
    Optimistic,
    OnWrite,
    OnOpen,
    Manual,
    Off,
}

/// A mode, as the page offers it.
struct Choice {
    name: &'static str,
    does: &'static str,
    chosen: bool,
}

/// The modes, and what a request does in each.
const MODES: [(Mode, &str, &str); 6] = [
    (
        Mode::Optimistic,
        "optimistic",
        "reads, works, leaves the change to a closure; a save that comes late is merged",
    ),
    (
        Mode::OnWrite,
        "on-write",
        "reads, works, takes the lock to write, and is told if what it read has changed",
    ),
    (
        Mode::OnOpen,
        "on-open",
        "takes the lock before it reads: one request after the other",
    ),
    (
        Mode::Manual,
        "manual",
        "reads, works, calls lock() itself, writes, unlocks with the save",
    ),
    (
        Mode::ReadOnly,
        "read-only",
        "reads, works, and may not write",
    ),
    (
        Mode::Off,
        "off",
        "reads, works, writes over whatever is there, as a store without guards does",
    ),
];

#[derive(Template)]
#[template(path = "burst.html")]
struct Page {
    frame: Frame,
    requests: usize,
    work: String,
    modes: Vec<Choice>,
    run: Option<RunView>,
}

#[derive(Deserialize)]
struct Look {
    mode: Option<Mode>,
    #[serde(flatten)]
    shown: Shown,
}

async fn page(
    State(site): State<Site>,
    frame: Frame,
    session: ReadSession,
    Query(look): Query<Look>,
) -> Result<Response> {
    let run = look.shown.view(&site, &session)?;
    let chosen = look.mode.unwrap_or(Mode::Optimistic);
    let modes = MODES.map(|(mode, name, does)| Choice {
        name,
        does,
        chosen: mode == chosen,
    });
    Ok(html(&Page {
        frame,
        requests: REQUESTS,
        work: millis(WORK),
        modes: modes.into(),
        run,
    }))
}

#[derive(Deserialize)]
struct Fire {
    mode: Mode,
}

async fn fire(
    State(site): State<Site>,
    session: Session,
    headers: HeaderMap,
    Form(Fire { mode }): Form<Fire>,
) -> Result<Response> {
    if !session.contains_key(USER)? {
        return Ok(sign_in_first());
    }
    session.insert(HERE, &Numbers::new())?;
    session.close().await?;
    let labels = (1..=REQUESTS).map(|number| format!("request {number}"));
    let run = Run::new(session.handle()?, mode.lock_mode(), labels);
    site.runs.keep(&run);
    let page = format!("/burst?mode={}&run={}#run", mode.name(), run.id);
    let guise = site.guise(&headers);
    tokio::spawn(async move { race(&site, &run, mode, &guise).await });
    Ok(Redirect::to(&page).into_response())
}

/// Those who wrote.
type Numbers = BTreeSet<usize>;

/// One of the requests.
async fn hit(State(site): State<Site>, part: Part, lazy: LazySession) -> Result<StatusCode> {
    let session = lazy.open_in(part.run.mode).await?;
    let seen = session.get_or(HERE, Numbers::new())?;
    let me = part.number;
    if part.run.mode != LockMode::OnOpen {
        part.run.gate.meet().await;
    }
    site.sessions.sleep(WORK).await;
    match part.run.mode {
        LockMode::Optimistic => {
            session.update(HERE, move |numbers: Option<Numbers>| {
                Some(with(numbers.unwrap_or_default(), me))
            })?;
        }
        LockMode::OnWrite | LockMode::Manual => {
            let seen = locked(&session, part.lane(), seen).await?;
            session.insert(HERE, &with(seen, me))?;
        }
        _ => session.insert(HERE, &with(seen, me))?,
    }
    Ok(StatusCode::NO_CONTENT)
}

fn with(mut numbers: Numbers, number: usize) -> Numbers {
    numbers.insert(number);
    numbers
}

/// Takes the lock. Who is told of a conflict has it, and reads again.
async fn locked(session: &Session, lane: &Lane, seen: Numbers) -> Result<Numbers> {
    match session.lock().await {
        Ok(()) => Ok(seen),
        Err(SessionError::Session(Inner::Conflict(_))) => {
            lane.note(|log, at| log.overtaken.push(at));
            session.get_or(HERE, Numbers::new())
        }
        Err(error) => Err(error),
    }
}

/// Sends the requests, and does the same at the same moment to a session that nobody guards.
async fn race(site: &Site, run: &Run, mode: Mode, guise: &Guise) {
    let unguarded = Unguarded::create(&site.sessions).await;
    let hits = (0..REQUESTS).map(|number| site.visitor.post("/burst/hit", "", guise, run, number));
    let alone = async {
        match &unguarded {
            Ok(unguarded) => unguarded.race().await,
            Err(_) => None,
        }
    };
    let (answers, unguarded) = join(join_all(hits), alone).await;
    match numbers(site, guise).await {
        Ok(kept) => {
            for (number, answer) in answers.iter().enumerate() {
                judge(&run.lanes[number], mode, answer, kept.contains(&number));
            }
            let logs: Vec<Log> = run.lanes.iter().map(|lane| lane.log()).collect();
            run.conclude(verdict(mode, &logs, unguarded));
        }
        Err(error) => run.conclude(format!(
            "What became of it cannot be told, because the session could not be read: {error}."
        )),
    }
}

/// The numbers that the visitor's session has at the end.
async fn numbers(site: &Site, guise: &Guise) -> Result<Numbers, Inner> {
    let cookie = guise.cookie.as_deref().unwrap_or_default();
    let id = cookie.split_once('=').map_or("", |(_, id)| id);
    let readers = site.sessions.with_mode(LockMode::ReadOnly);
    let session = readers.open(id, &Client::default()).await?;
    session.get_or(HERE, Numbers::new())
}

fn judge(lane: &Arc<Lane>, mode: Mode, answer: &Result<Answer, Unreachable>, kept: bool) {
    let met = lane.log().overtaken.len();
    let (tone, outcome) = match refusal(lane, answer) {
        Some(why) => (Tone::Refused, why),
        None if !kept => (Tone::Lost, "lost: saved over by another".to_owned()),
        None if met == 0 || mode == Mode::Off => (Tone::Kept, "kept".to_owned()),
        None if mode == Mode::Optimistic => (Tone::Merged, format!("kept, merged {met}×")),
        None => (Tone::Merged, "kept, read again".to_owned()),
    };
    lane.settle(tone, outcome);
}

fn verdict(mode: Mode, logs: &[Log], unguarded: Option<usize>) -> String {
    let count = |tone: Tone| logs.iter().filter(|log| log.tone == tone).count();
    let (merged, refused, lost) = (count(Tone::Merged), count(Tone::Refused), count(Tone::Lost));
    let waits = logs.iter().map(|log| {
        let spans = log.waits.iter();
        spans.filter_map(|span| Some(span.to? - span.from)).sum()
    });
    let longest = millis(waits.max().unwrap_or_default());
    let what = match mode {
        Mode::Optimistic => format!(
            "All ran side by side, and {merged} were laid over what others had saved meanwhile"
        ),
        Mode::OnWrite => format!(
            "All read side by side, then took the lock one after the other to write (the longest \
             wait was {longest}), and {merged} were told there that what they had read had changed"
        ),
        Mode::OnOpen => format!(
            "Each had the session for itself, one after the other, and the longest wait was {longest}"
        ),
        Mode::Manual => format!(
            "All read side by side, then called lock() (the longest wait was {longest}), and \
             {merged} were told there that what they had read had changed"
        ),
        Mode::ReadOnly => "All read side by side, and none may write".to_owned(),
        Mode::Off => "All ran side by side, and the last one to save won".to_owned(),
    };
    let acknowledged = logs.len() - refused;
    let compared = match unguarded {
        Some(kept) => format!(
            "a store without guards lost {} of the same {REQUESTS} at the same moment",
            REQUESTS - kept
        ),
        None => "what a store without guards would have lost could not be measured".to_owned(),
    };
    format!(
        "{what}: {acknowledged} changes were acknowledged, {refused} refused, {lost} lost; {compared}."
    )
}

/// A session in which the same changes are made at the same moment, and the last one to save wins:
/// what a store does that saves whole sessions and looks at nothing.
struct Unguarded {
    sessions: Sessions,
    handle: Key,
    id: String,
    gate: Gate,
}

impl Unguarded {
    async fn create(sessions: &Sessions) -> Result<Self, Inner> {
        let sessions = sessions.with_mode(LockMode::Off);
        let mut session = sessions.create(&Client::default())?;
        session.insert(HERE, &Numbers::new())?;
        session.close().await?;
        let IdUpdate::Issue(id) = session.id_update() else {
            return Err(Inner::Usage("a new session has an id"));
        };
        Ok(Self {
            handle: session.handle(),
            id: id.expose().to_string(),
            sessions,
            gate: Gate::new(REQUESTS),
        })
    }

    /// How many of the changes are there at the end.
    async fn race(&self) -> Option<usize> {
        let changed = join_all((0..REQUESTS).map(|number| self.change(number))).await;
        let kept = self.numbers().await;
        let _ = self.sessions.by_handle(self.handle).delete().await;
        changed.into_iter().collect::<Result<Vec<()>, _>>().ok()?;
        Some(kept.ok()?.len())
    }

    async fn change(&self, number: usize) -> Result<(), Inner> {
        let mut session = self.sessions.open(&self.id, &Client::default()).await?;
        let seen = session.get_or(HERE, Numbers::new())?;
        self.gate.meet().await;
        self.sessions.sleep(WORK).await;
        session.insert(HERE, &with(seen, number))?;
        session.close().await?;
        Ok(())
    }

    async fn numbers(&self) -> Result<Numbers, Inner> {
        let session = self.sessions.open(&self.id, &Client::default()).await?;
        session.get_or(HERE, Numbers::new())
    }
}

impl Mode {
    const fn lock_mode(self) -> LockMode {
        match self {
            Self::ReadOnly => LockMode::ReadOnly,
            Self::Optimistic => LockMode::Optimistic,
            Self::OnWrite => LockMode::OnWrite,
            Self::OnOpen => LockMode::OnOpen,
            Self::Manual => LockMode::Manual,
            Self::Off => LockMode::Off,
        }
    }

    fn name(self) -> &'static str {
        let named = MODES.iter().find(|(mode, ..)| *mode == self);
        named.map_or("", |(_, name, _)| name)
    }
}
