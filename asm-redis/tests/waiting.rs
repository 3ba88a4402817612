//! What waiting costs the server, as the server counts it, and who is served.

mod given;

use std::time::{Duration, Instant};

use asm_core::*;
use asm_redis::RedisDriver;
use asm_servers::Server;
use asm_testkit::{expect, given as make};
use given::{beside, run, until, waiters};

const WAITERS: usize = 50;

/// Nobody asks the server for anything while he waits, and a hand-off costs a release and a claim.
#[test]
fn nobody_polls_while_he_waits() {
    run(async {
        let place = Place::start(Duration::from_secs(3600)).await;
        let driver = place.driver().await;
        let (key, snapshot) = make::stored(&driver).await;
        let (held, _) = make::held(&driver, &key, &snapshot).await;
        let others = [place.driver().await, place.driver().await];
        let queue = queued(&others, &key, &snapshot, WAITERS).await;

        place.reset();
        // The server has run all of this while they wait.
        for _ in 0..2_000 {
            place
                .server
                .call::<()>(&["SET", "unrelated", "1"])
                .expect("an answer");
        }
        let quiet = place.calls();
        assert_eq!(quiet.of("set"), 2_000);
        for command in [
            "evalsha",
            "eval",
            "get",
            "pttl",
            "exists",
            "hget",
            "publish",
            "subscribe",
        ] {
            assert_eq!(quiet.of(command), 0, "{command}: {quiet:?}");
        }

        place.reset();
        expect::exactly(driver.release(&key, &held).await, &Released::Done);
        for waiter in queue {
            waiter.await.expect("a waiter");
        }
        let busy = place.calls();
        // Our own release, and for each waiter a claim and a release.
        let scripts = u64::try_from(1 + 2 * WAITERS).expect("few");
        assert_eq!(busy.of("evalsha") + busy.of("eval"), scripts, "{busy:?}");
        println!("{WAITERS} waiters: 0 calls while they waited, 2 for each hand-off");
    });
}

/// With nothing to hear, a waiter looks once in each recheck interval, which has a jitter of a
/// quarter.
#[test]
fn a_waiter_looks_once_in_each_interval() {
    const RECHECK: Duration = Duration::from_millis(100);
    const LOOKS: u64 = 10;
    run(async {
        let place = Place::start(RECHECK).await;
        let driver = place.driver().await;
        let (key, snapshot) = make::stored(&driver).await;
        let waiting = place.behind_a_holder(&driver, &key, &snapshot).await;
        place.reset();
        let began = Instant::now();
        let waiting = tokio::spawn(waiting);
        let mut looks = 0;
        until(async || {
            let calls = place.calls();
            looks = calls.of("evalsha") + calls.of("eval");
            looks >= LOOKS
        })
        .await;
        // There is no interval before the first, and a machine under load takes longer for the others.
        let intervals = u32::try_from(looks - 1).expect("few");
        let took = began.elapsed();
        assert!(took >= intervals * (RECHECK * 3 / 4), "{looks} in {took:?}");
        waiting.abort();
        println!("{looks} looks in {took:?}");
    });
}

/// A session that is gone takes its queue along as soon as somebody wants its lock with an open: who
/// still waits is told then.
#[test]
fn a_queue_that_outlived_its_session_ends_with_the_next_open() {
    run(async {
        let place = Place::start(Duration::from_secs(3600)).await;
        let driver = place.driver().await;
        let (key, snapshot) = make::stored(&driver).await;
        let waiting = place.behind_a_holder(&driver, &key, &snapshot).await;
        let waiting = tokio::spawn(waiting);
        until(async || waiters(&driver, &key).await == 1).await;
        // As a server does that evicts.
        let record = format!("asm:{{{key}}}");
        let exists = |name: String| place.server.call::<bool>(&["EXISTS", &name]);
        place.server.call::<()>(&["DEL", &record]).expect("gone");
        assert!(exists(format!("{record}:queue")).expect("an answer"));
        let open = make::open_locked(make::claim(), snapshot.stamp.proofs.current);
        expect::missing(driver.open(&key, open).await);
        assert!(!exists(format!("{record}:queue")).expect("an answer"));
        expect::exactly(waiting.await.expect("a waiter"), &Acquired::Missing);
    });
}

/// A waiter in the process that releases is woken by it, and not by way of the server.
#[test]
fn a_waiter_next_door_is_woken_without_the_network() {
    run(async {
        let place = Place::start(Duration::from_secs(3600)).await;
        let driver = place.driver().await;
        let (key, snapshot) = make::stored(&driver).await;
        let (held, _) = make::held(&driver, &key, &snapshot).await;
        let queue = queued(std::slice::from_ref(&driver), &key, &snapshot, WAITERS).await;
        place.reset();
        expect::exactly(driver.release(&key, &held).await, &Released::Done);
        for waiter in queue {
            waiter.await.expect("a waiter");
        }
        assert_eq!(place.calls().of("publish"), 0);
        let counters = driver.counters();
        assert_eq!(
            (counters.wakes, counters.wakes_next_door),
            (0, WAITERS as u64)
        );
        assert_eq!(counters.waiting, 0);
    });
}

/// Places of tickets that the server dropped count for nobody.
#[test]
fn a_queue_that_was_dropped_is_no_queue() {
    run(async {
        let place = Place::start(Duration::from_secs(3600)).await;
        let driver = place.driver().await;
        let (key, snapshot) = make::stored(&driver).await;
        let (held, first) = make::held(&driver, &key, &snapshot).await;
        let lost = queued(std::slice::from_ref(&driver), &key, &snapshot, 2).await;
        let queue = format!("asm:{{{key}}}:queue");
        let dropped = place.server.call::<u64>(&["UNLINK", &queue]);
        assert_eq!(dropped.expect("an answer"), 1);
        let never = LockWish {
            queue: Some(0),
            ..make::wish(&snapshot)
        };
        expect::exactly(driver.acquire(&key, never).await, &Acquired::QueueFull);
        assert_eq!(waiters(&driver, &key).await, 0);
        // Whoever comes next is the first.
        let next = queued(std::slice::from_ref(&driver), &key, &snapshot, 1).await;
        expect::exactly(driver.release(&key, &held).await, &Released::Done);
        for waiter in next {
            assert!(waiter.await.expect("a waiter") > first);
        }
        lost.iter().for_each(tokio::task::JoinHandle::abort);
    });
}

/// Those next door are not served before those who came earlier.
#[test]
fn those_next_door_wait_their_turn() {
    run(async {
        let place = Place::start(Duration::from_secs(3600)).await;
        let drivers = [
            place.driver().await,
            place.driver().await,
            place.driver().await,
        ];
        let (key, snapshot) = make::stored(&drivers[0]).await;
        let (held, first) = make::held(&drivers[0], &key, &snapshot).await;
        let queue = queued(&drivers, &key, &snapshot, WAITERS).await;
        let released = drivers[0].release(&key, &held).await;
        expect::exactly(released, &Released::Done);
        let mut fences = vec![first];
        for waiter in queue {
            fences.push(waiter.await.expect("a waiter"));
        }
        // In the order in which they came, with nobody in between.
        let steps = fences.windows(2).map(|pair| pair[1].get() - pair[0].get());
        let violations = steps.filter(|step| *step != 1).count();
        assert_eq!(violations, 0, "{fences:?}");
        println!(
            "{WAITERS} waiters of {} processes: 0 out of order",
            drivers.len()
        );
    });
}

/// A server whose commands are counted.
struct Place {
    server: Server,
    recheck: Duration,
}

#[derive(Debug)]
struct Calls(Vec<(String, u64)>);

impl Place {
    async fn start(recheck: Duration) -> Self {
        Self {
            server: beside(|| Server::start().expect("a server")).await,
            recheck,
        }
    }

    /// A further process, as far as the server can tell.
    async fn driver(&self) -> RedisDriver {
        let builder = RedisDriver::builder().url(self.server.url());
        given::connected(builder.recheck(self.recheck)).await
    }

    /// Takes the lock, and answers what another process does that waits for it for an hour.
    async fn behind_a_holder(
        &self,
        driver: &RedisDriver,
        key: &Key,
        snapshot: &Snapshot,
    ) -> impl Future<Output = Result<Acquired>> + use<> {
        make::held(driver, key, snapshot).await;
        let (waiter, key) = (self.driver().await, *key);
        let wish = LockWish {
            wait: Duration::from_secs(3600),
            ..make::wish(snapshot)
        };
        async move { waiter.acquire(&key, wish).await }
    }

    fn reset(&self) {
        let reset = self.server.call::<()>(&["CONFIG", "RESETSTAT"]);
        reset.expect("an answer");
    }

    fn calls(&self) -> Calls {
        Calls(self.server.command_stats().expect("an answer"))
    }
}

impl Calls {
    fn of(&self, command: &str) -> u64 {
        let found = self.0.iter().find(|(name, _)| name == command);
        found.map_or(0, |(_, calls)| *calls)
    }
}

/// Waiters in this order, on these handles in turn. Each releases when it was served, and answers
/// the fence of its grant.
async fn queued(
    drivers: &[RedisDriver],
    key: &Key,
    snapshot: &Snapshot,
    count: usize,
) -> Vec<tokio::task::JoinHandle<Fence>> {
    let mut queue = Vec::new();
    for (number, driver) in drivers.iter().cycle().take(count).enumerate() {
        let (handle, key, wish) = (driver.clone(), *key, make::wish(snapshot));
        queue.push(tokio::spawn(async move {
            let token = wish.claim.token;
            let fence = expect::held(handle.acquire(&key, wish).await);
            expect::exactly(handle.release(&key, &token).await, &Released::Done);
            fence
        }));
        until(async || waiters(driver, &key).await == number + 1).await;
    }
    queue
}
