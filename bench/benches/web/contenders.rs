//! Who is compared: the same three handlers, with and without sessions.

use std::{error::Error, net::SocketAddr};

use asm_memory::MemoryDriver;
use asm_redis::RedisDriver;
use asm_session::Sessions;
use asm_tower::SessionLayer;
use axum::{
    Router,
    routing::{get, post},
};
use http::header;
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower_sessions::{MemoryStore, SessionManagerLayer, SessionStore};
use tower_sessions_redis_store::{
    RedisStore,
    fred::prelude::{ClientLike, Config, Pool},
};

const SESSIONS: usize = 1_024;

/// Where sessions are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Store {
    Memory,
    Redis,
}

/// An application that serves, and the cookies of its clients.
pub(crate) struct Contender {
    pub(crate) address: SocketAddr,
    pub(crate) cookies: Vec<String>,
}

type Made = Result<Contender, Box<dyn Error>>;

/// What a session holds besides its counter: about 1 KiB.
#[derive(Clone, Serialize, Deserialize)]
struct Cart {
    user: String,
    items: Vec<String>,
}

fn cart() -> Cart {
    Cart {
        user: "somebody@example.org".into(),
        items: (0..24)
            .map(|item| format!("item {item}, forty letters of description"))
            .collect(),
    }
}

async fn untouched() -> &'static str {
    "hello"
}

impl Contender {
    /// axum alone.
    pub(crate) async fn bare() -> Made {
        async fn answer() -> String {
            String::from("1")
        }
        let app = Router::new()
            .route("/untouched", get(untouched))
            .route("/start", post(answer))
            .route("/read", get(answer))
            .route("/write", post(answer));
        let address = serve(app).await?;
        Ok(Self {
            address,
            // As long as those of the others.
            cookies: vec![format!("__Host-sid={}", "x".repeat(54)); SESSIONS],
        })
    }

    /// Our layer, as it is without any option.
    pub(crate) async fn ours(redis: Option<&str>) -> Made {
        use asm_tower::{Result, Session};
        async fn start(session: Session) -> Result<()> {
            session.insert("n", &0)?;
            session.insert("cart", &cart())
        }
        async fn read(session: Session) -> Result<String> {
            Ok(session.get_or("n", 0)?.to_string())
        }
        async fn write(session: Session) -> Result<String> {
            let n = session.get_or("n", 0)? + 1;
            session.insert("n", &n)?;
            Ok(n.to_string())
        }
        let sessions = match redis {
            Some(url) => Sessions::builder(RedisDriver::connect(url).await?).build()?,
            None => Sessions::builder(MemoryDriver::new()).build()?,
        };
        let app = Router::new()
            .route("/untouched", get(untouched))
            .route("/start", post(start))
            .route("/read", get(read))
            .route("/write", post(write))
            .layer(SessionLayer::new(sessions).build()?);
        Self::started(app).await
    }

    /// tower-sessions.
    pub(crate) async fn tower_sessions(redis: Option<&str>) -> Made {
        let Some(url) = redis else {
            return Self::of(MemoryStore::default()).await;
        };
        Self::of(redis_of_tower_sessions(url).await?).await
    }

    async fn of(store: impl SessionStore + Clone) -> Made {
        use tower_sessions::{Session, session::Error};
        type Answer<T> = Result<T, http::StatusCode>;
        fn failed(_: Error) -> http::StatusCode {
            http::StatusCode::INTERNAL_SERVER_ERROR
        }
        async fn start(session: Session) -> Answer<()> {
            session.insert("n", 0).await.map_err(failed)?;
            session.insert("cart", cart()).await.map_err(failed)
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
        let app = Router::new()
            .route("/untouched", get(untouched))
            .route("/start", post(start))
            .route("/read", get(read))
            .route("/write", post(write))
            .layer(SessionManagerLayer::new(store));
        Self::started(app).await
    }

    async fn started(app: Router) -> Made {
        let address = serve(app).await?;
        let mut cookies = Vec::new();
        for _ in 0..SESSIONS {
            cookies.push(new_cookie(address).await?);
        }
        // Each comes back once: what is stored at the first return is stored.
        for cookie in &cookies {
            ask(address, "GET", "/read", cookie).await?;
        }
        Ok(Self { address, cookies })
    }
}

/// The redis store of tower-sessions, on six connections.
pub(crate) async fn redis_of_tower_sessions(url: &str) -> Result<RedisStore<Pool>, Box<dyn Error>> {
    let pool = Pool::new(Config::from_url(url)?, None, None, None, 6)?;
    pool.connect();
    pool.wait_for_connect().await?;
    Ok(RedisStore::new(pool))
}

pub(crate) async fn serve(app: Router) -> Result<SocketAddr, Box<dyn Error>> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(listener, app).await });
    Ok(address)
}

/// The cookie of a new session.
pub(crate) async fn new_cookie(address: SocketAddr) -> Result<String, Box<dyn Error>> {
    let response = ask(address, "POST", "/start", "none=1").await?;
    let name = header::SET_COOKIE.as_str();
    let cookie = response.lines().find_map(|line| {
        let (found, value) = line.split_once(": ")?;
        let cookie = value.split(';').next()?;
        found.eq_ignore_ascii_case(name).then(|| cookie.to_owned())
    });
    Ok(cookie.ok_or("there is no cookie")?)
}

/// The answer, which must be a good one.
pub(crate) async fn ask(
    address: SocketAddr,
    method: &str,
    path: &str,
    cookie: &str,
) -> Result<String, Box<dyn Error>> {
    let response = send(address, method, path, cookie).await?;
    match status(&response) {
        Some(200) => Ok(response),
        _ => Err(format!("{method} {path}: {response}").into()),
    }
}

/// The status of an answer.
pub(crate) fn status(response: &str) -> Option<u16> {
    response.split(' ').nth(1)?.parse().ok()
}

/// The answer, whatever it is.
pub(crate) async fn send(
    address: SocketAddr,
    method: &str,
    path: &str,
    cookie: &str,
) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\
         connection: close\r\ncookie: {cookie}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut response = String::new();
    stream.read_to_string(&mut response).await?;
    Ok(response)
}
