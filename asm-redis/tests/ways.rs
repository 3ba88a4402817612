//! Ways to a server and what must be allowed there: users, TLS, databases, the look at the start.

mod given;

use std::{
    fs,
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use asm_core::*;
use asm_redis::{RedisBuilder, RedisDriver};
use asm_servers::{Certificates, Fate, Proxy, Server};
use asm_testkit::{expect, given as make};
use given::{beside, connected, run, until, verbs, waiters};

/// The user that the documentation shows.
const MINIMAL: &str = include_str!("../minimal.acl");

/// Enough for any machine; whoever may not listen is told after it.
const DEADLINE: Duration = Duration::from_secs(5);

const SMALL: usize = 100;
const LARGE: usize = 64 << 10;

#[test]
fn the_minimal_user_may_do_everything() {
    run(async {
        let server = Minimal::start().await;
        let (driver, other) = (server.driver().await, server.driver().await);
        for size in [SMALL, LARGE] {
            let driver = driver.as_ref().expect("a driver");
            let other = other.as_ref().expect("a driver");
            verbs::all(driver, other, size).await.expect("allowed");
        }
    });
}

/// Each permission is needed: without it the driver does not connect, or some verb is denied.
#[test]
fn the_minimal_user_may_do_nothing_else() {
    run(async {
        let server = Minimal::start().await;
        let commands = MINIMAL.split_whitespace();
        let commands = commands.filter_map(|rule| rule.strip_prefix('+'));
        // Nobody waits for the answer of this one; without it channels stay subscribed.
        let commands: Vec<_> = commands.filter(|name| *name != "unsubscribe").collect();
        let mut idle = Vec::new();
        for command in &commands {
            server.change(&format!("-{command}"));
            match server.everything().await {
                Ok(()) => idle.push(*command),
                Err(error) => {
                    // A connection that listens is cut off, or never made.
                    let listens = *command == "subscribe" && error.is_retryable();
                    let denied = error.kind() == ErrorKind::Denied;
                    assert!(denied || listens, "without {command}: {error:?}");
                }
            }
            server.change(&format!("+{command}"));
        }
        server.everything().await.expect("all is allowed again");
        assert_eq!(idle, Vec::<&str>::new(), "are not needed");
        println!("{} commands, each needed", commands.len());
    });
}

/// Whoever may not publish, as a user of Redis 7 by default, is told when connecting. Without
/// notifications locks are handed on all the same.
#[test]
fn a_user_without_channels_hands_locks_on() {
    run(async {
        let server = Minimal::start().await;
        server.change("resetchannels");
        let error = server.driver().await.expect_err("it may not publish");
        assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
        deaf_drivers_hand_locks_on(|| server.builder().without_notifications()).await;
    });
}

/// A pool has no connection that can listen.
#[cfg(feature = "deadpool")]
#[test]
fn a_pool_without_anybody_to_listen_to_hands_locks_on() {
    run(async {
        let server = beside(|| Server::start().expect("a server")).await;
        let pool = deadpool_redis::Config::from_url(server.url());
        let pool = pool.create_pool(Some(deadpool_redis::Runtime::Tokio1));
        let pool = pool.expect("a pool");
        deaf_drivers_hand_locks_on(|| RedisDriver::from_pool(pool.clone())).await;
    });
}

/// A waiter looks for itself, and there is no feed.
async fn deaf_drivers_hand_locks_on(builder: impl Fn() -> RedisBuilder) {
    let (driver, other) = (connected(builder()).await, connected(builder()).await);
    assert!(driver.changes().is_none());
    let (key, snapshot) = make::stored(&driver).await;
    let (token, first) = make::held(&driver, &key, &snapshot).await;
    let (one, two) = (make::wish(&snapshot), make::wish(&snapshot));
    let tokens = [one.claim.token, two.claim.token];
    let mut waiting = Vec::new();
    for wish in [one, two] {
        let other = other.clone();
        waiting.push(tokio::spawn(async move { other.acquire(&key, wish).await }));
        until(async || waiters(&driver, &key).await == waiting.len()).await;
    }
    // The first comes after a save that releases, the second after a release.
    let save = make::save_and_release(token, &snapshot, "saved");
    let version = expect::written(driver.save(&key, save).await);
    let mut fences = vec![first];
    for (waiter, token) in waiting.into_iter().zip(tokens) {
        fences.push(expect::held(waiter.await.expect("a task")));
        expect::exactly(other.release(&key, &token).await, &Released::Done);
    }
    assert!(fences.is_sorted_by(|one, next| one < next), "{fences:?}");
    let found = make::read(&driver, &key).await;
    assert_eq!((found.version, found.data), (version, "saved".into()));
    let state = driver.inspect(&key).await.expect("a look");
    assert_eq!(state, LockState::default());
}

/// A server serves nobody else while it looks through a batch, however large a batch is wished for.
#[test]
fn a_list_looks_at_ten_thousand_places_at_once_at_most() {
    run(async {
        let server = beside(|| Server::start().expect("a server")).await;
        let proxy = Proxy::start(server.addr()).expect("a proxy");
        let driver = connected(RedisDriver::builder().url(proxy.url())).await;
        let (tell, told) = std::sync::mpsc::channel();
        proxy.decide(move |command| {
            if command.is("SCAN") {
                let count = command.arguments().last().expect("a count");
                tell.send(String::from_utf8_lossy(count).into_owned())
                    .expect("heard");
            }
            Fate::Pass
        });
        for batch in [10, 10_000, 10_001, usize::MAX] {
            let batch = batch.try_into().expect("not zero");
            let step = ListStep { from: None, batch };
            let inventory = driver.inventory().expect("a list");
            inventory.list_sessions(step).await.expect("a list");
        }
        let asked: Vec<String> = told.try_iter().collect();
        assert_eq!(asked, ["10", "10000", "10000", "10000"]);
    });
}

#[test]
fn a_database_of_its_own() {
    run(async {
        let server = beside(|| Server::builder().databases(3).start().expect("a server")).await;
        let in_database =
            |number: u32| RedisDriver::builder().url(format!("{}/{number}", server.url()));
        let (one, two) = (
            connected(in_database(1)).await,
            connected(in_database(2)).await,
        );
        let (key, _) = make::stored(&one).await;
        let opened = two.open(&key, make::open()).await.expect("an answer");
        assert_eq!(opened, Opened::Missing);
        verbs::all(&one, &connected(in_database(1)).await, SMALL)
            .await
            .expect("all verbs");
        assert!(server.info("db1").is_ok() && server.info("db0").is_err());
        let error = in_database(7).connect().await.expect_err("there are three");
        assert!(!error.is_retryable(), "{error:?}");
    });
}

#[test]
fn a_unix_socket() {
    run(async {
        let server = beside(|| {
            Server::builder()
                .password("word")
                .start()
                .expect("a server")
        })
        .await;
        let builder = || {
            let url = format!("redis+unix://{}", server.socket().display());
            RedisDriver::builder().url(url).credentials("", "word")
        };
        let (driver, other) = (connected(builder()).await, connected(builder()).await);
        verbs::all(&driver, &other, SMALL).await.expect("all verbs");
        let driver = connected(RedisDriver::builder().url(server.socket_url())).await;
        verbs::all(&driver, &other, LARGE).await.expect("all verbs");
    });
}

#[test]
fn tls_with_certificates_of_both_sides() {
    run(async {
        let server = beside(|| Server::builder().tls().start().expect("a server")).await;
        let files = server.certificates().expect("certificates");
        for protocol in [redis::ProtocolVersion::RESP2, redis::ProtocolVersion::RESP3] {
            let builder = || tls(&server, Some(files), true).protocol(protocol);
            let (driver, other) = (connected(builder()).await, connected(builder()).await);
            for size in [SMALL, LARGE] {
                verbs::all(&driver, &other, size).await.expect("all verbs");
            }
        }
    });
}

#[test]
fn tls_trusts_nobody_unasked() {
    run(async {
        let (server, stranger) = beside(|| {
            let server = Server::builder().tls().start().expect("a server");
            (server, Server::builder().tls().start().expect("a server"))
        })
        .await;
        let own = server.certificates().expect("certificates");
        let foreign = stranger.certificates().expect("certificates");
        for (what, builder) in [
            ("no certificate of ours", tls(&server, Some(own), false)),
            ("an authority of the system's", tls(&server, None, false)),
            ("another authority", tls(&server, Some(foreign), true)),
            (
                "no TLS",
                RedisDriver::builder().url(format!("redis://{}", server.addr())),
            ),
        ] {
            let error = builder
                .deadline(Duration::from_secs(1))
                .connect()
                .await
                .expect_err(what);
            let kinds = [
                ErrorKind::Unavailable,
                ErrorKind::Timeout,
                ErrorKind::Unauthenticated,
            ];
            assert!(kinds.contains(&error.kind()), "{what}: {error:?}");
        }
    });
}

#[test]
fn tls_without_certificates_of_clients() {
    run(async {
        let wishes = Server::builder().tls().line("tls-auth-clients no");
        let server = beside(|| wishes.start().expect("a server")).await;
        let builder = || tls(&server, server.certificates(), false);
        let (driver, other) = (connected(builder()).await, connected(builder()).await);
        verbs::all(&driver, &other, SMALL).await.expect("all verbs");
    });
}

/// A server that drops what it has when it needs room is warned of, by its policy's name.
#[test]
fn a_server_that_evicts_is_warned_of() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer({
            let log = log.clone();
            move || log.clone()
        })
        .with_ansi(false)
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let warned = |policy: &str| {
        let server = Server::builder().memory(64 << 20, policy);
        let server = server.start().expect("a server");
        runtime.block_on(async { given::driver(&server).await });
        log.take()
    };
    assert!(!warned("noeviction").contains("WARN"));
    for policy in ["allkeys-lru", "volatile-ttl"] {
        let told = warned(policy);
        assert!(told.contains("WARN") && told.contains(policy), "{told}");
    }
}

/// A server with the minimal user and no other.
struct Minimal(Server);

impl Minimal {
    async fn start() -> Self {
        let rules = MINIMAL.trim().strip_prefix("user asm ").expect("the user");
        let wishes = Server::builder().user("asm", rules).user("default", "off");
        Self(beside(|| wishes.start().expect("a server")).await)
    }

    fn builder(&self) -> RedisBuilder {
        let builder = RedisDriver::builder().url(format!("redis://{}", self.0.addr()));
        builder.credentials("asm", "CHANGE-ME").deadline(DEADLINE)
    }

    async fn driver(&self) -> Result<RedisDriver> {
        self.builder().connect().await
    }

    async fn everything(&self) -> Result<()> {
        let (driver, other) = (self.driver().await?, self.driver().await?);
        // As after a failover: they come along with the calls then.
        self.0.call::<()>(&["SCRIPT", "FLUSH"]).expect("an answer");
        verbs::all(&driver, &other, SMALL).await?;
        verbs::all(&driver, &other, LARGE).await
    }

    fn change(&self, rule: &str) {
        let set = self.0.call::<()>(&["ACL", "SETUSER", "asm", rule]);
        set.expect("an answer");
    }
}

fn tls(server: &Server, files: Option<&Certificates>, with_own: bool) -> RedisBuilder {
    let read = |path| fs::read(path).expect("a file");
    let authority = files.map(|files| read(&files.authority.certificate));
    let own = files
        .filter(|_| with_own)
        .map(|files| redis::ClientTlsConfig {
            client_cert: read(&files.client.certificate),
            client_key: read(&files.client.key),
        });
    RedisDriver::builder()
        .url(server.url())
        .certificates(authority, own)
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn take(&self) -> String {
        let mut text = self.0.lock().expect("whole");
        String::from_utf8(std::mem::take(&mut text)).expect("a text")
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("whole").write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
