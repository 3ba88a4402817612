//! What servers refuse, as kinds of errors: real servers, brought into the state in which they do.

mod given;

use std::{fs, time::Duration};

use asm_core::*;
use asm_redis::{RedisBuilder, RedisDriver};
use asm_servers::{Cluster, Direction, PATIENCE, Proxy, Sentinels, Server, until};
use asm_testkit::{expect, given as make};
use futures_util::future::join_all;
use given::{beside, connected, run, until as until_async, verbs};

/// Short, so that what is tried again until then is soon told.
const DEADLINE: Duration = Duration::from_secs(1);

const SECRET: &str = "correct-horse";

#[test]
fn readonly_of_a_replica() {
    run(async {
        let group = beside(|| Sentinels::start().expect("sentinels")).await;
        let master = on(&group.servers()[0]).await;
        let (key, snapshot) = make::stored(&master).await;
        let replica = &group.servers()[1];
        until("the copy", || match replica.info("db0") {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        })
        .expect("copied");
        // The look at the server tells.
        refused_at_last(ErrorKind::ReadOnly, async || {
            builder(replica).connect().await
        })
        .await;
        let replica = connected(builder(replica).without_check()).await;
        // It may be read.
        assert_eq!(make::read(&replica, &key).await.data, snapshot.data);
        let save = make::save(&snapshot, make::data());
        let other = make::key();
        let kind = ErrorKind::ReadOnly;
        let create = make::create(make::data());
        tokio::join!(
            refused_at_last(kind, async || replica.save(&key, save.clone()).await),
            refused_at_last(kind, async || replica.create(&other, create.clone()).await),
            refused_at_last(kind, async || {
                replica.acquire(&key, make::attempt(&snapshot)).await
            }),
            refused_at_last(kind, async || replica.delete(&key, make::log_out()).await),
        );
        assert_eq!(make::read(&master, &key).await.version, snapshot.version);
        // One that a sentinel calls the master is not even read.
        let sentinel = &group.sentinels()[0];
        let (host, port) = ("127.0.0.1", group.servers()[1].port().to_string());
        let call = ["SENTINEL", "MONITOR", "mistaken", host, &port, "3"];
        sentinel.call::<()>(&call).expect("an answer");
        let builder = RedisDriver::builder()
            .sentinel("mistaken", [format!("redis://{}", sentinel.addr())])
            .sentinel_credentials("", group.password());
        let mistaken = connected(builder.deadline(DEADLINE).without_check()).await;
        refused_at_last(kind, async || mistaken.open(&key, make::open()).await).await;
    });
}

/// A sentinel that ends after the master has refused does not hide why.
#[test]
fn what_a_master_refuses_is_told_when_a_sentinel_ends() {
    run(async {
        let group = beside(|| Sentinels::start().expect("sentinels")).await;
        let (silent, other) = (&group.sentinels()[0], &group.sentinels()[1]);
        let silent = Proxy::start(silent.addr()).expect("a proxy");
        silent.hold(Direction::ToClient);
        let sentinels = [silent.url(), format!("redis://{}", other.addr())];
        let builder = RedisDriver::builder()
            .sentinel(Sentinels::MASTER, sentinels)
            .sentinel_credentials("", group.password())
            .credentials("bob", "wrong");
        let builder = builder.connect_timeout(PATIENCE).deadline(PATIENCE);
        let master = group.master().expect("a master");
        let refuses = async || {
            let log = master.call::<Vec<redis::Value>>(&["ACL", "LOG"]);
            !log.expect("an answer").is_empty()
        };
        let ends = async {
            until_async(refuses).await;
            // Again and again: the connection that is meant may be about to come.
            until_async(async || {
                silent.drop_connections();
                false
            })
            .await;
        };
        tokio::select! {
            answer = builder.connect() => refused(answer, ErrorKind::Unauthenticated),
            () = ends => unreachable!("it goes on"),
        }
    });
}

#[test]
fn loading_until_the_data_are_there() {
    run(async {
        let server = start(Server::builder()).await;
        let driver = on(&server).await;
        let (key, snapshot) = make::stored(&driver).await;
        let filler = ["DEBUG", "POPULATE", "15000", "filler"];
        server.call::<()>(&filler).expect("stored");
        server.call::<()>(&["SAVE"]).expect("saved");
        let slowly = "\nkey-load-delay 200\nloading-process-events-interval-bytes 1024\n";
        append(&server, slowly);
        server.relaunch().expect("a new process");
        until(
            "a server that loads",
            || match std::net::TcpStream::connect(server.addr()) {
                Ok(_) => Ok(()),
                Err(error) => Err(error.to_string()),
            },
        )
        .expect("it listens");
        not_ready(async || driver.open(&key, make::open()).await).await;
        let save = make::save(&snapshot, make::data());
        not_ready(async || driver.save(&key, save.clone()).await).await;
        let late = RedisDriver::builder().url(server.url()).deadline(DEADLINE);
        not_ready(async || late.clone().connect().await).await;
        let _server = beside(move || {
            server.ready().expect("loaded");
            server
        })
        .await;
        assert_eq!(make::read(&driver, &key).await.version, snapshot.version);
    });
}

/// A node of a Cluster that was not named as one answers MOVED for most sessions.
#[test]
fn moved_when_a_cluster_was_not_named_as_one() {
    run(async {
        let cluster = beside(|| Cluster::start().expect("a cluster")).await;
        let url = cluster.nodes()[0].url();
        let builder = || RedisDriver::builder().url(&url).deadline(DEADLINE);
        refused(builder().connect().await, ErrorKind::Unsupported);
        // Whoever does not look is told by the first call on a slot of another node.
        let driver = connected(builder().without_check()).await;
        let mut refusals = 0;
        for _ in 0..30 {
            let created = driver
                .create(&make::key(), make::create(make::data()))
                .await;
            if created.is_err() {
                refused(created, ErrorKind::Unsupported);
                refusals += 1;
            }
        }
        assert!(refusals > 0, "a node has a third of the slots");
    });
}

#[test]
fn tryagain_and_ask_while_a_slot_moves() {
    run(async {
        let cluster = beside(|| Cluster::start().expect("a cluster")).await;
        let driver = connected(given::on_cluster(&cluster).deadline(DEADLINE)).await;
        let (key, snapshot) = make::stored(&driver).await;
        let (token, _) = make::held(&driver, &key, &snapshot).await;
        let record = format!("asm:{{{key}}}");
        let slot = cluster.slot_of(&record).expect("a slot");
        let from = cluster.owner(slot).expect("an owner");
        let migration = cluster.migrate(slot, (from + 1) % 3).expect("a migration");

        // One of two keys is gone.
        migration.move_keys(1).expect("moved");
        let save = make::save_held(token, &snapshot, make::data());
        not_ready(async || driver.save(&key, save.clone()).await).await;
        // All are gone, and the slot is not: the new node is asked. It reads, but runs nothing on
        // several keys as long as one of them may still be on its way.
        migration.move_keys(100).expect("moved");
        assert_eq!(make::read(&driver, &key).await.version, snapshot.version);
        assert!(driver.counters().redirects > 0, "ASK");
        let again = Save {
            resend: true,
            ..save
        };
        not_ready(async || driver.save(&key, again.clone()).await).await;
        migration.finish().expect("moved");
        expect::written(driver.save(&key, again).await);
        expect::exactly(driver.release(&key, &token).await, &Released::Done);
    });
}

#[test]
fn clusterdown_when_a_part_of_it_is_gone() {
    run(async {
        let cluster = beside(|| Cluster::start().expect("a cluster")).await;
        let driver = connected(given::on_cluster(&cluster).deadline(DEADLINE)).await;
        let mut sessions = Vec::new();
        for _ in 0..20 {
            sessions.push(make::stored(&driver).await);
        }
        let cluster = beside(move || {
            for node in [0, 3] {
                cluster.nodes()[node].kill().expect("a signal");
            }
            // The masters that are left find out one after the other.
            for node in [1, 2] {
                until("a cluster that is down", || {
                    let info: String = cluster.nodes()[node]
                        .call(&["CLUSTER", "INFO"])
                        .map_err(|error| error.to_string())?;
                    match info.contains("cluster_state:fail") {
                        true => Ok(()),
                        false => Err(format!("node {node} is up")),
                    }
                })
                .expect("down");
            }
            cluster
        })
        .await;
        let saves = sessions.iter().map(|(key, snapshot)| {
            let save = make::save(snapshot, make::data());
            driver.save(key, save)
        });
        let mut down = 0;
        for answer in join_all(saves).await {
            let error = answer.expect_err("it is down");
            match error.kind() {
                ErrorKind::NotReady => down += 1,
                // Those whose node is gone.
                ErrorKind::Unavailable | ErrorKind::Timeout => {}
                _ => panic!("{error:?}"),
            }
        }
        assert!(down > 0);
        drop(cluster);
    });
}

#[test]
fn oom_when_there_is_no_memory() {
    run(async {
        let server = start(Server::builder()).await;
        let driver = on(&server).await;
        let (key, snapshot) = make::stored(&driver).await;
        fill(&server);
        for size in [100, 64 << 10] {
            let create = make::create(make::bytes(size));
            let full = driver.create(&make::key(), create).await;
            refused(full, ErrorKind::Full);
            let save = make::save(&snapshot, make::bytes(size));
            refused(driver.save(&key, save).await, ErrorKind::Full);
        }
        assert_eq!(make::read(&driver, &key).await.data, snapshot.data);
        empty(&server);
        let save = make::save(&snapshot, make::data());
        expect::written(driver.save(&key, save).await);
    });
}

/// What can still be done without memory: keep a lock, give it back, log out.
#[test]
fn a_full_server_still_logs_out() {
    run(async {
        let server = start(Server::builder()).await;
        let driver = on(&server).await;
        let (key, snapshot) = make::stored(&driver).await;
        let (token, _) = make::held(&driver, &key, &snapshot).await;
        fill(&server);
        expect::renewed(driver.renew(&key, &token, 2 * make::HOLD).await);
        expect::exactly(driver.release(&key, &token).await, &Released::Done);
        let deleted = driver.delete(&key, make::log_out()).await;
        expect::exactly(deleted, &Deleted::Done);
    });
}

#[test]
fn misconf_when_it_cannot_save_to_disk() {
    run(async {
        let wishes = Server::builder()
            .line("save 3600 1000000")
            .line("stop-writes-on-bgsave-error yes")
            .line("dbfilename occupied");
        let server = start(wishes).await;
        let driver = on(&server).await;
        let (key, snapshot) = make::stored(&driver).await;
        // A directory in the place of its file.
        let occupied = server.directory().join("occupied");
        fs::create_dir_all(occupied.join("by-this")).expect("a directory");
        server.call::<()>(&["BGSAVE"]).expect("begun");
        until("a save that fails", || {
            match server.info("rdb_last_bgsave_status") {
                Ok(status) if status == "err" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        })
        .expect("failed");
        let save = make::save(&snapshot, make::data());
        refused(driver.save(&key, save).await, ErrorKind::ReadOnly);
        make::read(&driver, &key).await;
        fs::remove_dir_all(occupied).expect("gone");
        server.call::<()>(&["SAVE"]).expect("saved");
        let save = make::save(&snapshot, make::data());
        expect::written(driver.save(&key, save).await);
    });
}

#[test]
fn noauth_and_wrongpass() {
    run(async {
        let server = start(
            Server::builder()
                .password(SECRET)
                .user("ann", "on >pass ~* &* +@all"),
        )
        .await;
        let url = format!("redis://{}", server.addr());
        let builder = || RedisDriver::builder().url(&url).deadline(DEADLINE);
        for (name, builder) in [
            ("no password", builder()),
            ("a wrong password", builder().credentials("", "wrong")),
            ("a wrong user", builder().credentials("bob", SECRET)),
        ] {
            let error = builder.clone().connect().await.expect_err(name);
            assert_eq!(
                error.kind(),
                ErrorKind::Unauthenticated,
                "{name}: {error:?}"
            );
            quiet(&error);
            // Also when it is told by the first call only.
            let driver = connected(builder.without_check()).await;
            let open = driver.open(&make::key(), make::open()).await;
            refused(open, ErrorKind::Unauthenticated);
        }
        let driver = connected(builder().credentials("", SECRET)).await;
        make::stored(&driver).await;
        let driver = connected(builder().credentials("ann", "pass")).await;
        make::stored(&driver).await;
        let shown = format!("{driver:?} {:?}", builder().credentials("", SECRET));
        assert!(
            !shown.contains(SECRET) && !shown.contains("pass\""),
            "{shown}"
        );
    });
}

#[test]
fn noperm_of_a_user_who_may_not() {
    run(async {
        let server = start(
            Server::builder()
                .user(
                    "reader",
                    "on >pass ~asm:* &asm:* -@all +@read +@connection +time +info",
                )
                .user("elsewhere", "on >pass ~other:* &other:* +@all"),
        )
        .await;
        let all = on(&server).await;
        let (key, snapshot) = make::stored(&all).await;
        let as_user = |name: &str| {
            RedisDriver::builder()
                .url(server.url())
                .credentials(name, "pass")
                .deadline(DEADLINE)
        };
        for name in ["reader", "elsewhere"] {
            // The look at the server finds it.
            refused(as_user(name).connect().await, ErrorKind::Denied);
            let driver = connected(as_user(name).without_check()).await;
            let save = make::save(&snapshot, make::data());
            refused(driver.save(&key, save).await, ErrorKind::Denied);
        }
        let reader = connected(as_user("reader").without_check()).await;
        assert_eq!(make::read(&reader, &key).await.data, snapshot.data);
    });
}

#[test]
fn busy_while_a_script_runs_for_long() {
    run(async {
        let server = start(Server::builder().line("lua-time-limit 5")).await;
        let driver = on(&server).await;
        let (key, snapshot) = make::stored(&driver).await;
        let url = server.url();
        let script = std::thread::spawn(move || {
            let client = redis::Client::open(url).expect("a URL");
            let mut connection = client.get_connection().expect("a connection");
            let forever = redis::cmd("EVAL")
                .arg("while true do end")
                .arg(0)
                .query::<()>(&mut connection);
            forever.expect_err("it was killed");
        });
        until("a server that is busy", || {
            match server.call::<String>(&["PING"]) {
                Ok(_) => Err("it answers".to_owned()),
                Err(_) => Ok(()),
            }
        })
        .expect("busy");
        not_ready(async || driver.open(&key, make::open()).await).await;
        let save = make::save(&snapshot, make::data());
        not_ready(async || driver.save(&key, save.clone()).await).await;
        server.call::<()>(&["SCRIPT", "KILL"]).expect("killed");
        script.join().expect("its end");
        make::read(&driver, &key).await;
    });
}

#[test]
fn no_connection_to_spare() {
    run(async {
        let server = start(Server::builder().line("maxclients 4")).await;
        // The administrator's is one of them.
        let mut kept = Vec::new();
        while let Ok(connection) = asm_servers::connection(server.url()).await {
            kept.push(connection);
        }
        let builder = RedisDriver::builder().url(server.url()).deadline(DEADLINE);
        let error = builder.connect().await.expect_err("no room");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    });
}

#[cfg(feature = "deadpool")]
#[test]
fn a_pool_without_a_connection_to_spare() {
    use deadpool_redis::{Config, Pool, Runtime};
    run(async {
        let server = start(Server::builder()).await;
        let pool = |patience: Option<Duration>| -> Pool {
            let builder = Config::from_url(server.url()).builder().expect("settings");
            builder
                .max_size(1)
                .wait_timeout(patience)
                .runtime(Runtime::Tokio1)
                .build()
                .expect("a pool")
        };
        let over = |pool: &Pool| {
            let client = redis::Client::open(server.url()).expect("a URL");
            let builder = RedisDriver::from_pool(pool.clone()).listen_to(client);
            builder.deadline(DEADLINE)
        };
        for (patience, kind) in [
            (Some(DEADLINE / 4), ErrorKind::Unavailable),
            (None, ErrorKind::Timeout),
        ] {
            let pool = pool(patience);
            let kept = pool.get().await.expect("the only one");
            refused(over(&pool).connect().await, kind);
            drop(kept);
            let (one, two) = (connected(over(&pool)).await, connected(over(&pool)).await);
            verbs::all(&one, &two, 100).await.expect("all verbs");
        }
    });
}

#[test]
fn timeout_when_nothing_answers() {
    run(async {
        let server = start(Server::builder()).await;
        let driver = on(&server).await;
        let (key, snapshot) = make::stored(&driver).await;
        server.stop().expect("a signal");
        refused(driver.open(&key, make::open()).await, ErrorKind::Timeout);
        let save = make::save(&snapshot, make::data());
        refused(driver.save(&key, save).await, ErrorKind::Timeout);
        let late = RedisDriver::builder().url(server.url()).deadline(DEADLINE);
        refused(late.connect().await, ErrorKind::Timeout);
        server.cont().expect("a signal");
        make::read(&driver, &key).await;
    });
}

#[test]
fn refused_when_nobody_listens() {
    run(async {
        let server = start(Server::builder().line("appendonly yes")).await;
        let driver = on(&server).await;
        let (key, snapshot) = make::stored(&driver).await;
        let server = beside(move || {
            server.kill().expect("a signal");
            server
        })
        .await;
        refused(
            driver.open(&key, make::open()).await,
            ErrorKind::Unavailable,
        );
        let builder = RedisDriver::builder().url(server.url()).deadline(DEADLINE);
        refused(builder.connect().await, ErrorKind::Unavailable);
        let _server = beside(move || {
            server.restart().expect("a new process");
            server
        })
        .await;
        // It finds back by itself.
        assert_eq!(make::read(&driver, &key).await.version, snapshot.version);
    });
}

#[test]
fn a_foreign_value_is_corrupt() {
    run(async {
        let server = start(Server::builder()).await;
        let driver = on(&server).await;
        for values in [["SET", "text"], ["RPUSH", "item"]] {
            let key = make::key();
            let name = format!("asm:{{{key}}}");
            let [command, value] = values;
            server.call::<()>(&[command, &name, value]).expect("stored");
            refused(driver.open(&key, make::open()).await, ErrorKind::Corrupt);
            let (_, snapshot) = make::stored(&driver).await;
            let save = make::save(&snapshot, make::data());
            refused(driver.save(&key, save).await, ErrorKind::Corrupt);
            refused(
                driver.acquire(&key, make::attempt(&snapshot)).await,
                ErrorKind::Corrupt,
            );
        }
    });
}

#[test]
fn what_no_server_could_be() {
    run(async {
        for url in [
            "",
            "http://127.0.0.1",
            "redis://",
            "redis://127.0.0.1:port",
            "redis+sentinel://127.0.0.1:1",
        ] {
            let error = RedisDriver::connect(url).await.expect_err(url);
            assert_eq!(error.kind(), ErrorKind::Invalid, "{url}: {error:?}");
        }
        let error = RedisDriver::builder().prefix("a b").connect().await;
        assert_eq!(error.expect_err("a blank").kind(), ErrorKind::Invalid);
    });
}

async fn start(builder: asm_servers::ServerBuilder) -> Server {
    beside(|| builder.start().expect("a server")).await
}

async fn on(server: &Server) -> RedisDriver {
    connected(builder(server)).await
}

fn builder(server: &Server) -> RedisBuilder {
    RedisDriver::builder().url(server.url()).deadline(DEADLINE)
}

/// A failure of this kind, which tells where it happened and no secret.
#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T>, kind: ErrorKind) {
    let error = expect::failure(answer, kind);
    assert_eq!(error.driver(), "redis");
    assert_ne!(error.op(), "");
    quiet(&error);
}

/// Refused as what may pass. Such a call is made again until its deadline, which may come between a
/// question and its refusal.
async fn refused_at_last<T: std::fmt::Debug>(kind: ErrorKind, call: impl AsyncFn() -> Result<T>) {
    loop {
        match call().await {
            Err(error) if error.kind() == ErrorKind::Timeout => quiet(&error),
            answer => return refused(answer, kind),
        }
    }
}

/// That the server is not ready.
async fn not_ready<T: std::fmt::Debug>(call: impl AsyncFn() -> Result<T>) {
    refused_at_last(ErrorKind::NotReady, call).await;
}

/// No name of a key, no password, in the error or what caused it.
#[track_caller]
fn quiet(error: &Error) {
    let mut shown = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        shown.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    for secret in [SECRET, "asm:{", "pass"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

/// More is used than may be: as when others have filled it.
fn fill(server: &Server) {
    limit(server, "1");
}

fn empty(server: &Server) {
    limit(server, "0");
}

fn limit(server: &Server, bytes: &str) {
    let set = server.call::<()>(&["CONFIG", "SET", "maxmemory", bytes]);
    set.expect("an answer");
}

fn append(server: &Server, lines: &str) {
    let path = server.directory().join("configuration");
    let mut text = fs::read_to_string(&path).expect("its configuration");
    text.push_str(lines);
    fs::write(path, text).expect("its configuration");
}
