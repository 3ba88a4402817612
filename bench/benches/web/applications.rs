//! The same handlers on each stack: `/start` begins a session, `/read` reads its counter, `/write` counts
//! it up, `/untouched` looks at no session.

use std::{error::Error, io, net::SocketAddr, sync::mpsc, thread};

use actix_session::{SessionMiddleware, storage::RedisSessionStore};
use actix_web::{App, HttpServer, cookie::Key, web};
use asm_bench::entries;
use asm_session::{LockMode, Sessions};
use asm_tower::SessionLayer;
use axum::{
    Router,
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use tower_sessions::{SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{ClientLike, Config, Pool},
};

async fn untouched() -> &'static str {
    "hello"
}

/// axum alone.
pub(crate) fn bare() -> Router {
    async fn answer() -> String {
        String::from("1")
    }
    Router::new()
        .route("/untouched", get(untouched))
        .route("/start", post(answer))
        .route("/read", get(answer))
        .route("/write", post(answer))
}

/// asm-tower, in the mode of the request's method where none is said.
pub(crate) fn ours(sessions: Sessions, mode: Option<LockMode>) -> Result<Router, Box<dyn Error>> {
    use asm_tower::{LazySession, Result, Session};
    async fn start(session: Session) -> Result<()> {
        session.insert("n", &0)?;
        for (key, value) in entries() {
            session.insert(key, &value)?;
        }
        Ok(())
    }
    async fn read(session: Session) -> Result<String> {
        Ok(session.get_or("n", 0)?.to_string())
    }
    async fn write(session: Session) -> Result<String> {
        let n = session.get_or("n", 0)? + 1;
        session.insert("n", &n)?;
        Ok(n.to_string())
    }
    async fn write_in(State(mode): State<LockMode>, session: LazySession) -> Result<String> {
        let session = session.open_in(mode).await?;
        let n = session.get_or("n", 0)? + 1;
        session.write().await?.insert("n", &n)?;
        Ok(n.to_string())
    }
    let write = match mode {
        None => post(write),
        Some(mode) => post(write_in).with_state(mode),
    };
    Ok(Router::new()
        .route("/untouched", get(untouched))
        .route("/start", post(start))
        .route("/read", get(read))
        .route("/write", write)
        .layer(SessionLayer::new(sessions).build()?))
}

/// tower-sessions.
pub(crate) fn tower_sessions(store: impl SessionStore + Clone) -> Router {
    use tower_sessions::{Session, session::Error};
    type Answer<T> = Result<T, StatusCode>;
    fn failed(_: Error) -> StatusCode {
        StatusCode::INTERNAL_SERVER_ERROR
    }
    async fn start(session: Session) -> Answer<()> {
        session.insert("n", 0).await.map_err(failed)?;
        for (key, value) in entries() {
            session.insert(key, value).await.map_err(failed)?;
        }
        Ok(())
    }
    async fn read(session: Session) -> Answer<String> {
        let n: Option<i64> = session.get("n").await.map_err(failed)?;
        Ok(n.unwrap_or_default().to_string())
    }
    async fn write(session: Session) -> Answer<String> {
        let n: Option<i64> = session.get("n").await.map_err(failed)?;
        let n = n.unwrap_or_default() + 1;
        session.insert("n", n).await.map_err(failed)?;
        Ok(n.to_string())
    }
    Router::new()
        .route("/untouched", get(untouched))
        .route("/start", post(start))
        .route("/read", get(read))
        .route("/write", post(write))
        .layer(SessionManagerLayer::new(store))
}

/// The redis store of tower-sessions, on so many connections.
pub(crate) async fn redis_of_tower_sessions(
    url: &str,
    connections: usize,
) -> Result<RedisStore<Pool>, Box<dyn Error>> {
    let pool = Pool::new(Config::from_url(url)?, None, None, None, connections)?;
    pool.init().await?;
    Ok(RedisStore::new(pool))
}

/// How actix-session reaches redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// Not at all: its sessions are in their cookies.
    None,
    /// One that all share, as its documentation has it.
    Shared,
    /// A pool of deadpool, as large as that makes it.
    Pool,
}

/// actix-web alone, or with actix-session, on a thread of its own with the runtime that it brings along.
pub(crate) fn actix(url: String, connections: Connections) -> Result<SocketAddr, Box<dyn Error>> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let system = actix_web::rt::System::new();
        let served = match connections {
            Connections::None => system.block_on(bare_actix(&sender)),
            _ => system.block_on(actix_session(url, connections, &sender)),
        };
        if let Err(error) = served {
            eprintln!("actix: {error}");
        }
    });
    Ok(receiver.recv()?)
}

async fn bare_actix(address: &mpsc::Sender<SocketAddr>) -> Result<(), Box<dyn Error>> {
    async fn answer() -> String {
        String::from("1")
    }
    let app = || {
        App::new()
            .route("/untouched", web::get().to(untouched))
            .route("/start", web::post().to(answer))
            .route("/read", web::get().to(answer))
            .route("/write", web::post().to(answer))
    };
    let server = HttpServer::new(app).workers(2).bind(("127.0.0.1", 0))?;
    address.send(server.addrs()[0])?;
    Ok(server.disable_signals().run().await?)
}

async fn actix_session(
    url: String,
    connections: Connections,
    address: &mpsc::Sender<SocketAddr>,
) -> Result<(), Box<dyn Error>> {
    use actix_session::Session;
    type Answer<T> = actix_web::Result<T>;
    async fn start(session: Session) -> Answer<&'static str> {
        session.insert("n", 0)?;
        for (key, value) in entries() {
            session.insert(key, value)?;
        }
        Ok("")
    }
    async fn read(session: Session) -> Answer<String> {
        Ok(session.get::<i64>("n")?.unwrap_or_default().to_string())
    }
    async fn write(session: Session) -> Answer<String> {
        let n = session.get::<i64>("n")?.unwrap_or_default() + 1;
        session.insert("n", n)?;
        Ok(n.to_string())
    }
    let store = match connections {
        Connections::Pool => {
            let pool = deadpool_redis::Config::from_url(url);
            let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1))?;
            RedisSessionStore::builder_pooled(pool).build().await?
        }
        _ => RedisSessionStore::new(url).await?,
    };
    let key = Key::generate();
    let app = move || {
        App::new()
            .wrap(SessionMiddleware::new(store.clone(), key.clone()))
            .route("/untouched", web::get().to(untouched))
            .route("/start", web::post().to(start))
            .route("/read", web::get().to(read))
            .route("/write", web::post().to(write))
    };
    let server = HttpServer::new(app).workers(2).bind(("127.0.0.1", 0))?;
    address.send(server.addrs()[0])?;
    Ok(server.disable_signals().run().await?)
}

/// Serves it on a free port.
pub(crate) async fn serve(app: Router) -> io::Result<SocketAddr> {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}
