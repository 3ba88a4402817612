//! Two hundred clients that hang up in the middle of their request.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use asm_session::Sessions;
use asm_tower::{Result, Session, SessionLayer};
use axum::{
    Router,
    extract::{Request, State},
    middleware::{Next, from_fn_with_state},
    response::Response,
    routing::post,
};
use http::Method;
use tokio::{io::AsyncWriteExt, net::TcpStream, sync::Semaphore, task::yield_now};

use crate::site::{Connection, Site, Storage, watched};

const CLIENTS: usize = 200;

/// Requests that came, and those that are still there.
#[derive(Clone, Default)]
struct Counts {
    arrived: Arc<AtomicUsize>,
    running: Arc<AtomicUsize>,
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn counted(State(counts): State<Counts>, request: Request, next: Next) -> Response {
    counts.arrived.fetch_add(1, Ordering::SeqCst);
    counts.running.fetch_add(1, Ordering::SeqCst);
    let _running = Running(counts.running);
    next.run(request).await
}

/// Holds its lock until somebody ends it.
async fn hang(State(never): State<Arc<Semaphore>>, session: Session) -> Result<String> {
    session.insert("half", &true)?;
    let _ = never.acquire().await;
    Ok("never".into())
}

async fn step(session: Session) -> Result<String> {
    assert!(!session.contains_key("half")?);
    Ok(session.add("n", 1)?.to_string())
}

async fn hang_up(storage: Storage) {
    let sessions = Sessions::builder(Arc::clone(&storage.driver))
        // Long enough that only a release explains a free lock.
        .lock_hold(Duration::from_secs(3600))
        .lock_wait(Duration::from_secs(3600))
        .lock_queue(None)
        .build()
        .expect("sound");
    let counts = Counts::default();
    let app = Router::new()
        .route("/hang", post(hang))
        .with_state(Arc::new(Semaphore::new(0)))
        .route("/step", post(step))
        .layer(SessionLayer::new(sessions).build().expect("consistent"))
        .layer(from_fn_with_state(counts.clone(), counted));
    let site = Site::of(app).await;
    let mut first = Connection::to(&site).await;
    let id = first.ask(Method::POST, "/step", None).await.id;
    let id = id.expect("a cookie");

    let request = format!(
        "POST /hang HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\
         cookie: __Host-sid={id}\r\n\r\n"
    );
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let mut client = TcpStream::connect(site.address).await.expect("it listens");
        client.write_all(request.as_bytes()).await.expect("sent");
        clients.push(client);
    }
    until(|| counts.arrived.load(Ordering::SeqCst) == CLIENTS + 1).await;
    watched(async {
        while storage.lock_of(&id).await.holder.is_none() {
            yield_now().await;
        }
    })
    .await;
    drop(clients);
    until(|| counts.running.load(Ordering::SeqCst) == 0).await;
    watched(async {
        loop {
            let lock = storage.lock_of(&id).await;
            if lock.holder.is_none() && lock.waiters.is_empty() {
                return;
            }
            yield_now().await;
        }
    })
    .await;
    let reply = watched(first.ask(Method::POST, "/step", Some(&id))).await;
    assert_eq!(reply.text, "2");
    println!(
        "{}: {CLIENTS} clients hung up, 0 locks and 0 waiters left",
        storage.name
    );
}

async fn until(done: impl Fn() -> bool) {
    watched(async {
        while !done() {
            yield_now().await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_leave_no_lock_in_memory() {
    hang_up(Storage::memory()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_leave_no_lock_in_files() {
    hang_up(Storage::files()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_hang_up_leave_no_lock_in_redis() {
    hang_up(Storage::redis().await).await;
}
