//! Eight connections, two hundred requests each, all on one session; each reads, then writes. Once in
//! each mode, or as often as `ASM_RACES` says.

use std::{env, sync::Arc};

use asm_session::{LockMode, Sessions};
use asm_tower::{LazySession, Result, Session, SessionLayer};
use axum::{Router, extract::State, routing::post};
use http::{Method, StatusCode};

use crate::site::{Connection, PATIENCE, Site, Storage, watched};

const CONNECTIONS: usize = 8;
const REQUESTS: usize = 200;

/// What one race came to.
#[derive(Debug, Default)]
struct Score {
    acknowledged: u64,
    conflicts: u64,
    found: u64,
}

/// In the mode of the method, which for `POST` is one after the other.
async fn in_default_mode(session: Session) -> Result<String> {
    step(&session).await
}

async fn in_mode(State(mode): State<LockMode>, session: LazySession) -> Result<String> {
    step(&session.open_in(mode).await?).await
}

/// Reads; others run; then writes.
async fn step(session: &Session) -> Result<String> {
    let n = session.get_or("n", 0_u64)?;
    tokio::task::yield_now().await;
    session.write().await?.insert("n", &(n + 1))?;
    Ok(n.to_string())
}

async fn start(session: Session) -> Result<()> {
    session.insert("n", &0)
}

async fn show(session: Session) -> Result<String> {
    Ok(session.get_or("n", 0_u64)?.to_string())
}

async fn race(storage: &Storage, mode: Option<LockMode>) -> Score {
    let step = match mode {
        None => post(in_default_mode),
        Some(mode) => post(in_mode).with_state(mode),
    };
    let sessions = Sessions::builder(Arc::clone(&storage.driver))
        .lock_queue(None)
        .lock_hold(PATIENCE)
        .lock_wait(PATIENCE)
        .build()
        .expect("sound");
    let app = Router::new()
        .route("/step", step)
        .route("/start", post(start))
        .route("/show", post(show))
        .layer(SessionLayer::new(sessions).build().expect("consistent"));
    let site = Site::of(app).await;
    let mut first = Connection::to(&site).await;
    let id: Arc<str> = {
        let reply = first.ask(Method::POST, "/start", None).await;
        reply.id.expect("a cookie").into()
    };
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut connection = Connection::to(&site).await;
        let id = Arc::clone(&id);
        clients.push(tokio::spawn(async move {
            let mut score = Score::default();
            for _ in 0..REQUESTS {
                let reply = connection.ask(Method::POST, "/step", Some(&id)).await;
                match reply.status {
                    StatusCode::OK => score.acknowledged += 1,
                    StatusCode::CONFLICT => score.conflicts += 1,
                    other => panic!("{other}: {}", reply.text),
                }
            }
            score
        }));
    }
    let mut score = Score::default();
    for client in clients {
        let one = client.await.expect("no panic");
        score.acknowledged += one.acknowledged;
        score.conflicts += one.conflicts;
    }
    let shown = first.ask(Method::POST, "/show", Some(&id)).await;
    score.found = shown.text.parse().expect("a number");
    let lock = storage.lock_of(&id).await;
    assert!(lock.holder.is_none() && lock.waiters.is_empty(), "{lock:?}");
    score
}

async fn races(storage: Storage) {
    let times = env::var("ASM_RACES").map_or(1, |times| times.parse().expect("a number"));
    for _ in 0..times {
        in_each_mode(&storage).await;
    }
}

async fn in_each_mode(storage: &Storage) {
    let all = (CONNECTIONS * REQUESTS) as u64;
    for mode in [
        None,
        Some(LockMode::OnOpen),
        Some(LockMode::Optimistic),
        Some(LockMode::OnWrite),
        Some(LockMode::Manual),
        Some(LockMode::Off),
    ] {
        let score = watched(race(storage, mode)).await;
        let name = mode.map_or_else(|| "default".into(), |mode| format!("{mode:?}"));
        println!("{}, {name}: {all} requests, {score:?}", storage.name);
        assert_eq!(score.acknowledged + score.conflicts, all);
        match mode {
            None | Some(LockMode::OnOpen) => assert_eq!(score.acknowledged, all),
            Some(LockMode::Off) => assert_eq!(score.conflicts, 0),
            _ => assert!(score.acknowledged > 0),
        }
        if mode != Some(LockMode::Off) {
            assert_eq!(score.found, score.acknowledged, "{name}: lost or doubled");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_step_is_lost_in_memory() {
    races(Storage::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_step_is_lost_in_files() {
    races(Storage::files()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_step_is_lost_in_redis() {
    races(Storage::redis().await).await;
}
