//! Servers change their roles, and slots their nodes, under load: every state is one that was
//! saved, whole; what was based on a lost one is refused.

mod given;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use asm_core::*;
use asm_redis::{RedisBuilder, RedisDriver};
use asm_servers::{Cluster, Failover, PATIENCE, Sentinels, Server};
use asm_testkit::{expect, given as make};
use futures_util::future::join_all;
use given::{
    beside, connected,
    ledger::{Counter, Found, Ledger, Outcome},
    run, until,
};
use tokio::{sync::watch, time::timeout};

const TASKS: usize = 8;
const SESSIONS: usize = 4;

/// So many more changes are acknowledged after what happened, before the load ends.
const AFTER: u64 = 300;

#[test]
fn sentinels_fail_over_under_load() {
    let group = Arc::new(Sentinels::start().expect("sentinels"));
    run(async {
        let load = Load::start(given::on_sentinels(&group)).await;
        let switch = to(&group, |group| group.failover().expect("a failover")).await;
        let found = load.end(Some(switch.seen), "sentinel failover").await;
        assert!(found.there > 0);
        // The driver is where the master is.
        let direct = format!("redis://{}", switch.to);
        let direct = connected(RedisDriver::builder().url(direct)).await;
        load.compare(&direct).await;
    });
}

#[test]
fn sentinels_replace_a_killed_master_under_load() {
    replace_the_master("killed", Server::kill, |_| Ok(()));
}

/// Back again, a stopped one takes itself for the master until it is told.
#[test]
fn sentinels_replace_a_stopped_master_under_load() {
    replace_the_master("stopped", Server::stop, Server::cont);
}

fn replace_the_master(
    how: &str,
    harm: fn(&Server) -> asm_servers::Result<()>,
    heal: fn(&Server) -> asm_servers::Result<()>,
) {
    let group = Arc::new(Sentinels::start().expect("sentinels"));
    run(async {
        let load = Load::start(given::on_sentinels(&group)).await;
        let switch = to(&group, move |group| {
            let master = group.master().expect("a master");
            harm(master).expect("a signal");
            let switch = group.switched(master.addr()).expect("another master");
            heal(master).expect("a signal");
            switch
        })
        .await;
        load.end(Some(switch.seen), &format!("sentinel master {how}"))
            .await;
    });
}

/// A lock and a version that did not survive are refused; a lock that did is still good.
#[test]
fn what_did_not_survive_is_refused() {
    let group = Arc::new(Sentinels::start().expect("sentinels"));
    run(async {
        let builder = given::on_sentinels(&group).deadline(Duration::from_secs(10));
        let driver = connected(builder).await;
        let (key, kept) = make::stored(&driver).await;
        let (lost_key, lost) = make::stored(&driver).await;
        let (token, fence) = make::held(&driver, &key, &kept).await;
        // However long the failover takes.
        expect::renewed(driver.renew(&key, &token, Duration::from_secs(600)).await);
        to(&group, |group| {
            let master = group.master().expect("a master");
            let copied = master.call::<u64>(&["WAIT", "2", "0"]).expect("an answer");
            assert_eq!(copied, 2);
            // From here on nothing is copied.
            for replica in group.replicas().expect("replicas") {
                replica.stop().expect("a signal");
            }
            let cut = ["CLIENT", "KILL", "TYPE", "replica"];
            assert_eq!(master.call::<u64>(&cut).expect("an answer"), 2);
        })
        .await;
        let save = make::save(&lost, "lost");
        let version = expect::written(driver.save(&lost_key, save).await);
        let (lost_token, _) = make::held(&driver, &lost_key, &lost).await;
        to(&group, |group| {
            let master = group.master().expect("a master");
            let from = master.addr();
            master.kill().expect("a signal");
            for server in group.servers() {
                if server.addr() != from {
                    server.cont().expect("a signal");
                }
            }
            group.switched(from).expect("another master");
        })
        .await;
        // The version that was saved is not there, nor the lock.
        let stale = Snapshot {
            version,
            ..lost.clone()
        };
        let fresh = expect::conflict(driver.save(&lost_key, make::save(&stale, "x")).await);
        assert_eq!(fresh.version, lost.version);
        let held = make::save_held(lost_token, &lost, "x");
        expect::exactly(driver.save(&lost_key, held).await, &Written::LockLost);
        let renewed = driver.renew(&lost_key, &lost_token, make::HOLD).await;
        expect::exactly(renewed, &Renewed::Lost);
        // The other one is.
        expect::renewed(driver.renew(&key, &token, make::HOLD).await);
        let save = make::save_and_release(token, &kept, "kept");
        expect::written(driver.save(&key, save).await);
        let (_, next) = make::held(&driver, &key, &kept).await;
        assert!(next > fence);
    });
}

/// A master that nobody could make a replica answers as before, for ever: that the sentinels name
/// another one is enough to leave it.
#[test]
fn a_master_that_was_not_told_is_left() {
    let group = Arc::new(Sentinels::start().expect("sentinels"));
    run(async {
        let driver = connected(given::on_sentinels(&group).deadline(PATIENCE)).await;
        let switch = to(&group, |group| {
            let master = group.master().expect("a master");
            let deaf = ["ACL", "SETUSER", "default", "-replicaof", "-slaveof"];
            master.call::<()>(&deaf).expect("a user");
            group.failover().expect("a failover")
        })
        .await;
        let direct = format!("redis://{}", switch.to);
        let direct = connected(RedisDriver::builder().url(direct)).await;
        let left = until(async || {
            let key = make::key();
            let created = driver.create(&key, make::create(make::data())).await;
            created.expect("a session, somewhere");
            direct.open(&key, make::open()).await.expect("an answer") != Opened::Missing
        });
        timeout(PATIENCE, left).await.expect("it is left");
        let role = to(&group, move |group| {
            let mut servers = group.servers().iter();
            let former = servers.find(|server| server.addr() == switch.from);
            former.expect("it runs").info("role").expect("an answer")
        });
        assert_eq!(role.await, "master", "it was told");
    });
}

/// All sentinels are asked at once: those that do not answer hold up nobody.
#[test]
fn one_sentinel_that_answers_is_enough() {
    let group = Arc::new(Sentinels::start().expect("sentinels"));
    run(async {
        for there in 0..group.sentinels().len() {
            to(&group, move |group| {
                for (place, sentinel) in group.sentinels().iter().enumerate() {
                    let changed = match place == there {
                        true => sentinel.cont(),
                        false => sentinel.stop(),
                    };
                    changed.expect("a signal");
                }
            })
            .await;
            // To wait for one that is stopped takes longer than there is time.
            let builder = given::on_sentinels(&group).deadline(PATIENCE);
            let driver = connected(builder.connect_timeout(10 * PATIENCE)).await;
            make::stored(&driver).await;
        }
    });
}

/// Nobody listens to sentinels for a driver that is gone.
#[test]
fn a_dropped_driver_leaves_the_sentinels() {
    let group = Arc::new(Sentinels::start().expect("sentinels"));
    run(async {
        let listeners = async || {
            let listeners = to(&group, |group| {
                let list = ["CLIENT", "LIST", "TYPE", "PUBSUB"];
                let lists = group.sentinels().iter().map(|sentinel| {
                    let list = sentinel.call::<String>(&list).expect("an answer");
                    list.lines().count()
                });
                lists.collect::<Vec<_>>()
            });
            listeners.await
        };
        let before = listeners().await;
        let with_one: Vec<_> = before.iter().map(|count| count + 1).collect();
        let driver = connected(given::on_sentinels(&group)).await;
        until(async || listeners().await == with_one).await;
        drop(driver);
        let left = until(async || listeners().await == before);
        timeout(PATIENCE, left).await.expect("nobody listens");
    });
}

/// Where nodes cannot know how they are reached, they name ports alone: the host is the one that was
/// asked.
#[test]
fn the_nodes_of_a_cluster_may_name_no_host() {
    let cluster = Arc::new(Cluster::start().expect("a cluster"));
    run(async {
        to(&cluster, |cluster| {
            let name = "cluster-preferred-endpoint-type";
            for node in cluster.nodes() {
                let set = ["CONFIG", "SET", name, "unknown-endpoint"];
                node.call::<()>(&set).expect("set");
            }
        })
        .await;
        let driver = connected(given::on_cluster(&cluster)).await;
        for _ in 0..10 {
            make::stored(&driver).await;
        }
    });
}

/// A node that was taken out of its cluster, and that a driver is still told of, knows no slots: the
/// others are asked.
#[test]
fn a_node_without_slots_is_not_believed() {
    let cluster = Arc::new(Cluster::start().expect("a cluster"));
    run(async {
        let urls = to(&cluster, |cluster| {
            let alone = cluster.nodes().last().expect("a replica");
            alone
                .call::<()>(&["CLUSTER", "RESET", "HARD"])
                .expect("reset");
            let slots = alone.call::<Vec<redis::Value>>(&["CLUSTER", "SLOTS"]);
            assert_eq!(slots.expect("an answer"), []);
            // As many as are asked at once, so that no other is faster.
            let url = |node: &Server| format!("redis://{}", node.addr());
            let mut urls = vec![url(alone); 3];
            urls.extend(cluster.nodes().iter().map(url));
            urls
        });
        let driver = connected(RedisDriver::builder().cluster(urls.await)).await;
        for _ in 0..10 {
            make::stored(&driver).await;
        }
    });
}

#[test]
fn a_cluster_fails_over_under_load() {
    let cluster = Arc::new(Cluster::start().expect("a cluster"));
    run(async {
        let load = Load::start(given::on_cluster(&cluster)).await;
        let slot = load.slot(&cluster);
        let seen = to(&cluster, move |cluster| {
            let graceful = cluster.failover(slot, Failover::Graceful);
            graceful.expect("a failover");
            Instant::now()
        })
        .await;
        let found = load.end(Some(seen), "cluster failover").await;
        assert_eq!(found.lost, 0, "the master helped");
    });
}

#[test]
fn a_cluster_replaces_a_killed_master_under_load() {
    let cluster = Arc::new(Cluster::start().expect("a cluster"));
    run(async {
        let load = Load::start(given::on_cluster(&cluster)).await;
        let slot = load.slot(&cluster);
        let seen = to(&cluster, move |cluster| {
            let owner = cluster.owner(slot).expect("an owner");
            cluster.nodes()[owner].kill().expect("a signal");
            cluster.owned_by_another(slot, owner).expect("another");
            Instant::now()
        })
        .await;
        load.end(Some(seen), "cluster master killed").await;
    });
}

#[test]
fn slots_move_under_load() {
    let cluster = Arc::new(Cluster::start().expect("a cluster"));
    run(async {
        let load = Load::start(given::on_cluster(&cluster)).await;
        let slots: Vec<_> = load
            .counters
            .iter()
            .map(|counter| slot_of(&cluster, counter))
            .collect();
        // There and back, each session's slot, key by key.
        let moved = to(&cluster, move |cluster| {
            let mut moved = 0;
            for slot in slots {
                let home = cluster.owner(slot).expect("an owner");
                for next in [(home + 1) % 3, home] {
                    let migration = cluster.migrate(slot, next).expect("a migration");
                    migration.move_keys(1).expect("moved");
                    migration.finish().expect("moved");
                    moved += 1;
                }
            }
            moved
        })
        .await;
        let redirects = load.driver.counters().redirects;
        let found = load.end(None, &format!("{moved} slots moved")).await;
        assert_eq!(found.lost, 0, "nothing is lost by moving");
        assert!(redirects > 0);
    });
}

/// Does something to servers, beside what is under way.
async fn to<S: Send + Sync + 'static, T: Send + 'static>(
    servers: &Arc<S>,
    deed: impl FnOnce(&S) -> T + Send + 'static,
) -> T {
    let servers = Arc::clone(servers);
    beside(move || deed(&servers)).await
}

/// Tasks that count in sessions which they share, until they are told to end.
struct Load {
    driver: RedisDriver,
    counters: Vec<Counter>,
    ledger: Arc<Ledger>,
    over: Arc<AtomicBool>,
    /// When the last changes were acknowledged.
    done: watch::Receiver<(u64, Instant)>,
    tasks: std::sync::Mutex<Vec<tokio::task::JoinHandle<()>>>,
}

impl Load {
    async fn start(builder: RedisBuilder) -> Self {
        let builder = builder.deadline(Duration::from_secs(2));
        let driver = connected(builder.connect_timeout(Duration::from_millis(500))).await;
        let mut counters = Vec::new();
        for _ in 0..SESSIONS {
            counters.push(Counter::create(&driver).await);
        }
        let ledger = Arc::new(Ledger::default());
        let over = Arc::new(AtomicBool::new(false));
        let (tell, mut done) = watch::channel((0, Instant::now()));
        let count = Arc::new(AtomicU64::new(0));
        let tasks = (0..TASKS).map(|task| {
            let counter = counters[task % SESSIONS];
            let (driver, ledger) = (driver.clone(), Arc::clone(&ledger));
            let (over, tell) = (Arc::clone(&over), tell.clone());
            let count = Arc::clone(&count);
            tokio::spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    let locked = task % 2 == 0;
                    if ledger.change(&driver, &counter, locked).await == Outcome::Done {
                        let count = count.fetch_add(1, Ordering::Relaxed) + 1;
                        tell.send_replace((count, Instant::now()));
                    }
                }
            })
        });
        let tasks = tasks.collect();
        let load = Self {
            driver,
            counters,
            ledger,
            over,
            done: done.clone(),
            tasks: std::sync::Mutex::new(tasks),
        };
        // It is under way.
        let running = done.wait_for(|(count, _)| *count >= AFTER).await;
        running.expect("it runs");
        load
    }

    /// The slot of the first session.
    fn slot(&self, cluster: &Cluster) -> u16 {
        slot_of(cluster, &self.counters[0])
    }

    /// Ends it after some more changes, and compares what is there with what was sent.
    async fn end(&self, seen: Option<Instant>, what: &str) -> Found {
        let mut done = self.done.clone();
        let mut first = None;
        if let Some(seen) = seen {
            let after = done.wait_for(|(_, at)| *at > seen).await;
            first = Some(after.expect("it runs").1 - seen);
        }
        let now = done.borrow().0;
        let more = done.wait_for(|(count, _)| *count >= now + AFTER).await;
        more.expect("it runs");
        self.over.store(true, Ordering::Relaxed);
        let tasks = std::mem::take(&mut *self.tasks.lock().expect("whole"));
        for task in join_all(tasks).await {
            task.expect("a task");
        }
        let found = self.compare(&self.driver).await;
        let first = first.map(|first| format!(", first success {first:?} after it was seen"));
        println!(
            "{what}: {}{}; {} acknowledged, {} of them lost, {} there, 0 torn",
            self.ledger,
            first.unwrap_or_default(),
            found.acknowledged,
            found.lost,
            found.there
        );
        found
    }

    async fn compare(&self, driver: &RedisDriver) -> Found {
        let found = self.ledger.find_all(driver, &self.counters).await;
        assert_eq!(found.gone, 0, "a session is gone");
        found
    }
}

fn slot_of(cluster: &Cluster, counter: &Counter) -> u16 {
    let record = format!("asm:{{{}}}", counter.key);
    cluster.slot_of(&record).expect("a slot")
}
