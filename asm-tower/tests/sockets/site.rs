//! A server, and the clients that ask it.

use std::{future::Future, net::SocketAddr, sync::Arc, time::Duration};

use asm_core::{Driver, LockState};
use asm_file::{Durability, FileDriver};
use asm_memory::MemoryDriver;
use asm_redis::RedisDriver;
use asm_servers::Server;
use asm_session::SessionId;
use axum::Router;
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What a busy machine may take. Nothing here is about deadlines: what hangs is ended by the watch.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// Where the sessions of a test are.
pub(crate) struct Storage {
    pub(crate) name: &'static str,
    pub(crate) driver: Arc<dyn Driver>,
    /// What ends with it.
    _root: Option<TempDir>,
    _server: Option<Server>,
}

impl Storage {
    pub(crate) fn memory() -> Self {
        Self {
            name: "memory",
            driver: Arc::new(MemoryDriver::new()),
            _root: None,
            _server: None,
        }
    }

    pub(crate) fn files() -> Self {
        let root = tempfile::tempdir().expect("a directory");
        // It is about races: what a power cut leaves is the driver's to show.
        let driver = FileDriver::builder(root.path().join("sessions"))
            .durability(Durability::Atomic)
            .patience(PATIENCE)
            .build()
            .expect("a root");
        Self {
            name: "files",
            driver: Arc::new(driver),
            _root: Some(root),
            _server: None,
        }
    }

    /// A redis of its own.
    pub(crate) async fn redis() -> Self {
        let server = Server::start().unwrap_or_else(|error| panic!("{error}"));
        let driver = RedisDriver::builder()
            .url(server.url())
            .deadline(PATIENCE)
            .connect_timeout(PATIENCE);
        let driver = driver.connect().await.expect("connected");
        Self {
            name: "redis",
            driver: Arc::new(driver),
            _root: None,
            _server: Some(server),
        }
    }

    pub(crate) async fn lock_of(&self, id: &str) -> LockState {
        let handle = SessionId::parse(id).expect("an id").handle();
        self.driver.inspect(&handle).await.expect("an answer")
    }
}

/// A site on a port of its own, until it is dropped.
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    server: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn of(app: Router) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("bound");
        let server = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("served");
        });
        Self { address, server }
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// One connection.
pub(crate) struct Connection(SendRequest<Empty<Bytes>>);

/// What came over it.
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) text: String,
    pub(crate) id: Option<String>,
}

impl Connection {
    pub(crate) async fn to(site: &Site) -> Self {
        let stream = TcpStream::connect(site.address).await.expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        let (send, connection) = http1::handshake(TokioIo::new(stream)).await.expect("http");
        tokio::spawn(connection);
        Self(send)
    }

    pub(crate) async fn ask(&mut self, method: Method, path: &str, id: Option<&str>) -> Reply {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("a path");
        let headers = request.headers_mut();
        headers.insert(header::HOST, "localhost".parse().expect("a host"));
        if let Some(id) = id {
            let cookie = format!("__Host-sid={id}").parse().expect("a cookie");
            headers.insert(header::COOKIE, cookie);
        }
        let response = self.0.send_request(request).await.expect("answered");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let cookie = head.headers.get(header::SET_COOKIE);
        let id = cookie.and_then(|cookie| {
            let cookie = cookie.to_str().expect("ascii");
            let value = cookie.strip_prefix("__Host-sid=")?;
            Some(value.split(';').next()?.to_owned())
        });
        Reply {
            status: head.status,
            text: String::from_utf8(body.to_vec()).expect("text"),
            id,
        }
    }
}

/// Ends a test that hangs.
pub(crate) async fn watched<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, work)
        .await
        .expect("it hangs")
}
