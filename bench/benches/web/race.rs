//! Rows P1 to P7: many clients count one up in the same session, over HTTP and redis. Each request
//! reads, then writes; one that is told of a conflict is made again. What was acknowledged and is not
//! there in the end was lost.

use std::{error::Error, net::SocketAddr, sync::mpsc, thread};

use actix_session::{SessionMiddleware, storage::RedisSessionStore};
use actix_web::{App, HttpServer, cookie::Key, web};
use asm_bench::{Goal, Options, Report, Row, Unit};
use asm_redis::RedisDriver;
use asm_servers::Server;
use asm_session::{LockMode, Sessions};
use asm_tower::SessionLayer;
use axum::{Router, extract::State, routing::post};
use http::StatusCode;
use tokio::runtime::Runtime;
use tower_sessions::SessionManagerLayer;

use crate::contenders::{ask, new_cookie, redis_of_tower_sessions, send, serve, status};

const REQUESTS: u32 = 512;
const CLIENTS: [u32; 2] = [8, 32];

type Made = Result<SocketAddr, Box<dyn Error>>;

/// Who is asked to count.
#[derive(Clone, Copy)]
enum Stack {
    TowerSessions,
    ActixSession,
    Ours(LockMode),
}

const STACKS: [(&str, &str, Stack); 7] = [
    ("P1", "tower-sessions", Stack::TowerSessions),
    ("P2", "actix-session", Stack::ActixSession),
    (
        "P3",
        "asm-tower, optimistic",
        Stack::Ours(LockMode::Optimistic),
    ),
    ("P4", "asm-tower, on-write", Stack::Ours(LockMode::OnWrite)),
    ("P5", "asm-tower, on-open", Stack::Ours(LockMode::OnOpen)),
    ("P6", "asm-tower, manual", Stack::Ours(LockMode::Manual)),
    ("P7", "asm-tower, off", Stack::Ours(LockMode::Off)),
];

/// Adds the rows.
pub(crate) fn rows(
    options: &Options,
    runtime: &Runtime,
    report: &mut Report,
) -> Result<(), Box<dyn Error>> {
    let server = Server::start()?;
    for (id, name, stack) in STACKS.into_iter().filter(|stack| options.wants(stack.0)) {
        let address = runtime.block_on(stack.serve(&server))?;
        for clients in CLIENTS {
            let mut lost = Vec::new();
            for _ in 0..options.rounds() {
                lost.push(runtime.block_on(race(address, clients))?);
            }
            // Off is off.
            let goal = match stack {
                Stack::TowerSessions | Stack::ActixSession | Stack::Ours(LockMode::Off) => {
                    Goal::None
                }
                Stack::Ours(_) => Goal::AtMost(0.0),
            };
            let what = format!("lost by {name}, {clients} clients");
            let tries = u64::from(REQUESTS * options.rounds());
            report.add(Row::new(id, what, Unit::Percent, &lost, &[], goal).tries(tries));
        }
    }
    Ok(())
}

/// How many in a hundred were lost.
async fn race(address: SocketAddr, clients: u32) -> Result<f64, Box<dyn Error>> {
    let cookie = new_cookie(address).await?;
    let tasks = (0..clients).map(|_| {
        let cookie = cookie.clone();
        tokio::spawn(async move { count(address, &cookie, REQUESTS / clients).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await??;
    }
    let shown = ask(address, "POST", "/show", &cookie).await?;
    let found: u32 = shown.lines().last().unwrap_or_default().parse()?;
    Ok(100.0 * f64::from(REQUESTS - found) / f64::from(REQUESTS))
}

/// Until so many are acknowledged.
async fn count(address: SocketAddr, cookie: &str, times: u32) -> Result<(), String> {
    let mut acknowledged = 0;
    while acknowledged < times {
        let response = send(address, "POST", "/step", cookie).await;
        let response = response.map_err(|error| error.to_string())?;
        match status(&response) {
            Some(200) => acknowledged += 1,
            Some(409) => {}
            _ => return Err(response),
        }
    }
    Ok(())
}

impl Stack {
    async fn serve(self, server: &Server) -> Made {
        match self {
            Self::TowerSessions => tower_sessions(server).await,
            Self::ActixSession => actix_session(server.url()),
            Self::Ours(mode) => ours(server, mode).await,
        }
    }
}

async fn ours(server: &Server, mode: LockMode) -> Made {
    use asm_tower::{LazySession, Result, Session};
    async fn start(session: Session) -> Result<()> {
        session.insert("n", &0)
    }
    async fn step(State(mode): State<LockMode>, session: LazySession) -> Result<String> {
        let session = session.open_in(mode).await?;
        let n = session.get_or("n", 0_u32)? + 1;
        session.write().await?.insert("n", &n)?;
        Ok(n.to_string())
    }
    async fn show(session: Session) -> Result<String> {
        Ok(session.get_or("n", 0_u32)?.to_string())
    }
    let driver = RedisDriver::connect(server.url()).await?;
    let sessions = Sessions::builder(driver).lock_queue(None).build()?;
    let app = Router::new()
        .route("/start", post(start))
        .route("/step", post(step).with_state(mode))
        .route("/show", post(show))
        .layer(SessionLayer::new(sessions).build()?);
    serve(app).await
}

async fn tower_sessions(server: &Server) -> Made {
    use tower_sessions::{Session, session::Error};
    type Answer<T> = Result<T, StatusCode>;
    fn failed(_: Error) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }
    async fn start(session: Session) -> Answer<()> {
        session.insert("n", 0).await.map_err(failed)
    }
    async fn step(session: Session) -> Answer<String> {
        let n: Option<u32> = session.get("n").await.map_err(failed)?;
        let n = n.unwrap_or_default() + 1;
        session.insert("n", n).await.map_err(failed)?;
        Ok(n.to_string())
    }
    async fn show(session: Session) -> Answer<String> {
        let n: Option<u32> = session.get("n").await.map_err(failed)?;
        Ok(n.unwrap_or_default().to_string())
    }
    let app = Router::new()
        .route("/start", post(start))
        .route("/step", post(step))
        .route("/show", post(show))
        .layer(SessionManagerLayer::new(
            redis_of_tower_sessions(&server.url()).await?,
        ));
    serve(app).await
}

/// On a thread of its own, with the runtime that it brings along.
fn actix_session(url: String) -> Made {
    use actix_session::Session;
    type Answer<T> = actix_web::Result<T>;
    async fn start(session: Session) -> Answer<&'static str> {
        session.insert("n", 0)?;
        Ok("")
    }
    async fn step(session: Session) -> Answer<String> {
        let n = session.get::<u32>("n")?.unwrap_or_default() + 1;
        session.insert("n", n)?;
        Ok(n.to_string())
    }
    async fn show(session: Session) -> Answer<String> {
        Ok(session.get::<u32>("n")?.unwrap_or_default().to_string())
    }
    async fn run(url: String, address: &mpsc::Sender<SocketAddr>) -> Result<(), Box<dyn Error>> {
        let config = deadpool_redis::Config::from_url(url);
        let pool = config.create_pool(Some(deadpool_redis::Runtime::Tokio1))?;
        let store = RedisSessionStore::builder_pooled(pool).build().await?;
        let key = Key::generate();
        let app = move || {
            let middleware = SessionMiddleware::new(store.clone(), key.clone());
            App::new()
                .wrap(middleware)
                .route("/start", web::post().to(start))
                .route("/step", web::post().to(step))
                .route("/show", web::post().to(show))
        };
        let server = HttpServer::new(app).workers(2).bind(("127.0.0.1", 0))?;
        address.send(server.addrs()[0])?;
        Ok(server.disable_signals().run().await?)
    }
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let system = actix_web::rt::System::new();
        if let Err(error) = system.block_on(run(url, &sender)) {
            eprintln!("actix-session: {error}");
        }
    });
    Ok(receiver.recv()?)
}
