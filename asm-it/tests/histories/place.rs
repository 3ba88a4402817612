//! Where the sessions are, for this process and for those that it starts.

use std::{path::PathBuf, sync::Arc, time::Duration};

use asm_core::{Clock, Driver};
use asm_entry::TokioClock;
use asm_file::{Durability, FileDriver};
use asm_redis::RedisDriver;
use asm_servers::{Cluster, Proxy, Sentinels, Server};
use asm_session::{LockMode, Sessions};
use serde::{Deserialize, Serialize};
use tempfile::TempDir;

use crate::clock::WallClock;

/// Longer than a request takes, and shorter than some processes are stopped.
pub(crate) const HOLD: Duration = Duration::from_millis(400);

/// How long a lock lasts at least, in nanoseconds: stores count in milliseconds.
pub(crate) const LEASE: u64 = (HOLD.as_millis() as u64 - 20) * 1_000_000;

/// What a busy machine may take until it is a request's turn.
const WAIT: Duration = Duration::from_secs(60);

/// Shorter than the server is stopped now and then, longer than it takes to answer.
const DEADLINE: Duration = Duration::from_secs(2);

/// How long who did not reach the server waits before it tries again.
const RESPITE: Duration = Duration::from_millis(50);

/// How long a master is silent before a replica takes its place: more than a busy machine makes it
/// silent.
const SILENCE: Duration = Duration::from_secs(1);

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
        /// If it can be stepped.
        clock: Option<WallClock>,
    },
    Sentinels(Box<Sentinels>),
    Cluster(Box<Cluster>),
}

/// What a process has to know to reach it.
#[derive(Debug, Serialize, Deserialize)]
enum Way {
    File(PathBuf),
    Redis(String),
    Sentinels(Vec<String>, String),
    Cluster(Vec<String>),
}

impl Place {
    pub(crate) fn file() -> Self {
        Self::File(tempfile::tempdir().expect("a directory"))
    }

    /// A server that has on its disk what it has acknowledged, so that it may be killed.
    pub(crate) fn redis() -> Self {
        let lasting = Server::builder()
            .line("appendonly yes")
            .line("appendfsync always");
        Self::through_a_proxy(lasting.start().expect("a server"), None)
    }

    /// A server whose wall clock can be stepped.
    pub(crate) fn redis_with_a_clock() -> Self {
        let clock = WallClock::new();
        let mut server = Server::builder();
        for (name, value) in clock.settings() {
            server = server.env(name, value);
        }
        Self::through_a_proxy(server.start().expect("a server"), Some(clock))
    }

    /// A master with replicas that take over. The wishes are what an operator makes of them.
    pub(crate) fn sentinels(wishes: &[&str]) -> Self {
        let mut group = Sentinels::builder().down_after(SILENCE);
        for wish in wishes {
            group = group.line(*wish);
        }
        Self::Sentinels(Box::new(group.start().expect("sentinels")))
    }

    pub(crate) fn cluster() -> Self {
        let cluster = Cluster::builder().node_timeout(SILENCE);
        Self::Cluster(Box::new(cluster.start().expect("a cluster")))
    }

    /// What a process has to know to reach it.
    pub(crate) fn spelled(&self) -> String {
        let urls = |servers: &[Server]| servers.iter().map(Server::url).collect();
        let way = match self {
            Self::File(root) => Way::File(root.path().to_owned()),
            Self::Redis { proxy, .. } => Way::Redis(proxy.url()),
            Self::Sentinels(group) => {
                let addresses = group.sentinels().iter().map(Server::addr);
                let urls = addresses.map(|addr| format!("redis://{addr}"));
                Way::Sentinels(urls.collect(), group.password().to_owned())
            }
            Self::Cluster(cluster) => Way::Cluster(urls(cluster.nodes())),
        };
        serde_json::to_string(&way).expect("text")
    }

    fn through_a_proxy(server: Server, clock: Option<WallClock>) -> Self {
        let proxy = Proxy::start(server.addr()).expect("a proxy");
        let server = Box::new(server);
        Self::Redis {
            server,
            proxy,
            clock,
        }
    }
}

/// A handle on the place that is spelled so.
pub(crate) async fn driver(spelled: &str) -> Arc<dyn Driver> {
    let redis = RedisDriver::builder();
    let redis = match serde_json::from_str(spelled).expect("a way") {
        Way::File(root) => {
            let driver = FileDriver::builder(root).durability(Durability::Atomic);
            return Arc::new(driver.build().expect("a root"));
        }
        Way::Redis(url) => redis.url(url),
        Way::Sentinels(urls, password) => redis
            .sentinel(Sentinels::MASTER, urls)
            .sentinel_credentials("", password),
        Way::Cluster(urls) => redis.cluster(urls),
    };
    let redis = redis.deadline(DEADLINE).connect_timeout(DEADLINE / 4);
    let clock = TokioClock::new();
    // Who begins while the server is gone or its connections are cut tries again.
    for _ in 0..TRIES {
        match redis.clone().connect().await {
            Ok(driver) => return Arc::new(driver),
            Err(_) => clock.sleep(RESPITE).await,
        }
    }
    panic!("no server after {TRIES} tries");
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
