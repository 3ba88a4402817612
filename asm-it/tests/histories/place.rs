//! Where the sessions are, for this process and for those that it starts.

use std::{path::PathBuf, sync::Arc, time::Duration};

use asm_core::{Clock, Driver};
use asm_entry::TokioClock;
use asm_file::{Durability, FileDriver};
use asm_redis::RedisDriver;
use asm_servers::{Proxy, Server};
use asm_session::{LockMode, Sessions};
use tempfile::TempDir;

/// Longer than a request takes, and shorter than some processes are stopped.
const HOLD: Duration = Duration::from_millis(400);

/// What a busy machine may take until it is a request's turn.
const WAIT: Duration = Duration::from_secs(60);

/// Shorter than the server is stopped now and then, longer than it takes to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long who did not reach the server waits before it tries again.
const RESPITE: Duration = Duration::from_millis(50);

/// More than a server takes to come back, and fewer than for ever.
const TRIES: u32 = 10_000;

/// A storage that several processes can reach.
#[derive(Debug)]
pub(crate) enum Place {
    File(TempDir),
    /// Reached through a proxy, and through no other way.
    Redis {
        server: Box<Server>,
        proxy: Proxy,
    },
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().expect("a directory"))
    }

    /// A server that has on its disk what it has acknowledged, so that it may be killed.
    pub(crate) fn redis() -> Self {
        let server = Server::builder()
            .line("appendonly yes")
            .line("appendfsync always")
            .start()
            .expect("a server");
        let proxy = Proxy::start(server.addr()).expect("a proxy");
        let server = Box::new(server);
        Self::Redis { server, proxy }
    }

    /// What a process has to know to reach it.
    pub(crate) fn spelled(&self) -> String {
        match self {
            Self::File(root) => format!("file:{}", root.path().display()),
            Self::Redis { proxy, .. } => proxy.url(),
        }
    }
}

/// A handle on the place of this name.
pub(crate) async fn driver(spelled: &str) -> Arc<dyn Driver> {
    match spelled.strip_prefix("file:") {
        Some(root) => {
            let driver = FileDriver::builder(PathBuf::from(root)).durability(Durability::Atomic);
            Arc::new(driver.build().expect("a root"))
        }
        None => {
            let builder = || RedisDriver::builder().url(spelled).deadline(DEADLINE);
            let clock = TokioClock::new();
            // Who begins while the server is gone or its connections are cut tries again.
            for _ in 0..TRIES {
                match builder().connect().await {
                    Ok(driver) => return Arc::new(driver),
                    Err(_) => clock.sleep(RESPITE).await,
                }
            }
            panic!("no server after {TRIES} tries");
        }
    }
}

/// Sessions that are locked from the start, and such that are not locked at all.
pub(crate) fn modes(driver: &Arc<dyn Driver>) -> [Sessions; 2] {
    [LockMode::OnOpen, LockMode::Optimistic].map(|mode| {
        Sessions::builder(Arc::clone(driver))
            .lock_mode(mode)
            .lock_hold(HOLD)
            .lock_renewal(HOLD / 4)
            .lock_wait(WAIT)
            .build()
            .expect("settings that make sense")
    })
}
