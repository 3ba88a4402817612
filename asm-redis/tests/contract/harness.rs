//! A prefix of one's own on a server, and a hand on the clock. Each handle is a driver of its own,
//! as another process would have it.

use std::{
    collections::HashSet,
    fmt::{self, Debug},
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use asm_core::{Clock, Driver, Timestamp};
use asm_redis::{RedisBuilder, RedisDriver, SteppedTime, redis};
use asm_servers::{Address, Sentinels, Shared};
use asm_testkit::{Harness, ManualClock, WrongClock};
use async_trait::async_trait;
use futures_util::future::join_all;
use redis::{Value, aio::MultiplexedConnection};
use tokio::task::yield_now;

const RECHECK: Duration = Duration::from_secs(1);

/// Lowers what is left of every key of a prefix: what time does.
const AGE: &str = r"
local cursor = '0'
repeat
  local found = redis.call('SCAN', cursor, 'MATCH', ARGV[1] .. ':{*', 'COUNT', 1000)
  cursor = found[1]
  for _, name in ipairs(found[2]) do
    local left = redis.call('PTTL', name)
    if left >= 0 then
      -- The index of a subject is kept for as long as it says, all else so much longer.
      local by = name:find(':{s:', 1, true) and ARGV[2] or ARGV[3]
      redis.call('PEXPIRE', name, string.format('%.0f', left - by))
    end
  end
until cursor == '0'
";

/// The servers of a test: how to make a driver on them, and all of them that hold data.
struct Servers {
    builder: Box<dyn Fn() -> RedisBuilder + Send + Sync>,
    masters: Vec<String>,
    shared: Shared,
}

/// Two namespaces are two prefixes.
pub(crate) struct Redis {
    servers: Servers,
    masters: Vec<MultiplexedConnection>,
    /// Two runs at the same time do not meet.
    prefix: String,
    clock: ManualClock,
    time: SteppedTime,
    /// What of a move is less than a millisecond, to be moved with the next.
    rest: Mutex<Duration>,
    /// All that were connected.
    drivers: Mutex<Vec<RedisDriver>>,
}

impl Redis {
    /// One server; the query is part of its URL.
    pub(crate) async fn alone(query: &'static str) -> Self {
        let shared = Shared::server().expect("a server");
        let url = shared.servers()[0].url();
        let masters = vec![url.clone()];
        let builder = move || RedisDriver::builder().url(format!("{url}/{query}"));
        Self::on(Servers {
            builder: Box::new(builder),
            masters,
            shared,
        })
        .await
    }

    /// A master that Sentinel watches.
    pub(crate) async fn sentinel() -> Self {
        let shared = Shared::sentinel().expect("servers");
        let masters = vec![shared.servers()[0].url()];
        let sentinels: Vec<_> = shared.sentinels().iter().map(Address::url).collect();
        let password = shared.sentinel_password().to_owned();
        let builder = move || {
            RedisDriver::builder()
                .sentinel(Sentinels::MASTER, sentinels.clone())
                .sentinel_credentials("", password.clone())
        };
        Self::on(Servers {
            builder: Box::new(builder),
            masters,
            shared,
        })
        .await
    }

    /// Three masters.
    pub(crate) async fn cluster() -> Self {
        let shared = Shared::cluster().expect("servers");
        let nodes: Vec<_> = shared.servers().iter().map(Address::url).collect();
        let masters = nodes[..3].to_vec();
        let builder = move || RedisDriver::builder().cluster(nodes.clone());
        Self::on(Servers {
            builder: Box::new(builder),
            masters,
            shared,
        })
        .await
    }

    async fn on(servers: Servers) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let mut masters = Vec::new();
        for url in &servers.masters {
            let connection = asm_servers::connection(url.as_str()).await;
            masters.push(connection.expect("a connection"));
        }
        let clock = ManualClock::new();
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        let random = fastrand::u64(..);
        Self {
            servers,
            masters,
            prefix: format!("t{random:x}-{number}"),
            time: SteppedTime::new(clock.now()),
            clock,
            rest: Mutex::default(),
            drivers: Mutex::default(),
        }
    }

    fn builder(&self, namespace: &str) -> RedisBuilder {
        (self.servers.builder)()
            .prefix(format!("{}{namespace}", self.prefix))
            .recheck(RECHECK)
            .deadline(Duration::from_secs(20))
            .without_check()
            .clock(Arc::new(self.clock.clone()))
            .time(self.time.clone())
    }

    async fn made(&self, builder: RedisBuilder) -> Arc<dyn Driver> {
        let driver = builder.connect().await.expect("a driver");
        self.drivers().push(driver.clone());
        Arc::new(driver)
    }

    fn drivers(&self) -> MutexGuard<'_, Vec<RedisDriver>> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets everything that is under way come to its end: what was sent is answered, what was
    /// published is heard, and nobody sends any more.
    async fn settle(&self) {
        let drivers = self.drivers().clone();
        let mut quiet = 0;
        while quiet < 2 {
            let before = calls(&drivers);
            turns().await;
            join_all(drivers.iter().map(RedisDriver::caught_up)).await;
            turns().await;
            let busy = drivers.iter().any(|driver| driver.counters().under_way > 0);
            quiet = if busy || calls(&drivers) != before {
                0
            } else {
                quiet + 1
            };
        }
    }

    async fn age(&self, by: Duration) {
        self.time.advance(by);
        let whole = {
            let mut rest = self.rest.lock().unwrap_or_else(PoisonError::into_inner);
            let all = *rest + by;
            let whole = Duration::from_millis(u64::try_from(all.as_millis()).expect("years"));
            *rest = all - whole;
            whole
        };
        for master in &self.masters {
            for namespace in ["", "-neighbour"] {
                let mut age = redis::cmd("EVAL");
                age.arg(AGE).arg(0);
                age.arg(format!("{}{namespace}", self.prefix));
                age.arg(u64::try_from(whole.as_millis()).expect("years"));
                let slower = u128::from(SteppedTime::SLOWER);
                age.arg(u64::try_from(by.as_micros() * slower / 1000).expect("years"));
                let aged: Value = age.query_async(&mut master.clone()).await.expect("aged");
                assert_eq!(aged, Value::Nil);
            }
        }
    }

    async fn keys(&self) -> Vec<String> {
        let mut all = Vec::new();
        for master in &self.masters {
            let mut keys = redis::cmd("KEYS");
            keys.arg(format!("{}*", self.prefix));
            let keys: Vec<String> = keys.query_async(&mut master.clone()).await.expect("keys");
            all.extend(keys);
        }
        all
    }
}

/// Lets every other task of this thread run until it has nothing left to do.
async fn turns() {
    for _ in 0..64 {
        yield_now().await;
    }
}

fn calls(drivers: &[RedisDriver]) -> u64 {
    drivers.iter().map(|driver| driver.counters().calls).sum()
}

/// The time of what is stored. Its sleeps end when it is moved.
#[derive(Clone, Debug)]
struct StoreClock {
    time: SteppedTime,
    alarms: ManualClock,
}

impl Clock for StoreClock {
    fn now(&self) -> Timestamp {
        self.time.now()
    }

    fn sleep(&self, by: Duration) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        self.alarms.sleep(by)
    }
}

impl Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("servers", &self.servers.shared.servers().len())
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Harness for Redis {
    async fn connect(&self) -> Arc<dyn Driver> {
        self.made(self.builder("")).await
    }

    async fn neighbour(&self) -> Arc<dyn Driver> {
        self.made(self.builder("-neighbour")).await
    }

    async fn connect_with_clock_off(&self, by: Duration, ahead: bool) -> Arc<dyn Driver> {
        let clock = WrongClock::new(Arc::new(self.clock.clone()), by, ahead);
        self.made(self.builder("").clock(Arc::new(clock))).await
    }

    async fn connect_deaf(&self) -> Arc<dyn Driver> {
        self.made(self.builder("").without_notifications()).await
    }

    fn recheck(&self) -> Duration {
        RECHECK
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(StoreClock {
            time: self.time.clone(),
            alarms: self.clock.clone(),
        })
    }

    async fn advance(&self, by: Duration) {
        let end = self.clock.now() + by;
        loop {
            self.settle().await;
            let due = self.clock.next_alarm().filter(|due| *due <= end);
            let next = due.unwrap_or(end);
            let step = next.since(self.clock.now());
            self.age(step).await;
            self.clock.advance(step).await;
            if due.is_none() {
                break;
            }
        }
        self.settle().await;
    }

    async fn holdings(&self) -> usize {
        self.settle().await;
        let keys = self.keys().await;
        let session = |key: &String| key.split_once('}').map(|(session, _)| session.to_owned());
        let things: HashSet<_> = keys.iter().map(session).collect();
        things.len()
    }

    async fn stop(&self) {
        self.settle().await;
        let drivers = std::mem::take(&mut *self.drivers());
        for driver in &drivers {
            let counters = driver.counters();
            assert_eq!(counters.waiting, 0, "waiters left");
            assert_eq!(counters.following, 0, "subscribers left");
        }
        let keys = self.keys().await;
        for master in &self.masters {
            for key in &keys {
                let mut unlink = redis::cmd("UNLINK");
                unlink.arg(key);
                // In a cluster each key is on one of them.
                let _ = unlink.query_async::<Value>(&mut master.clone()).await;
            }
        }
        assert_eq!(self.clock.sleepers(), 0, "sleepers left");
        let staged = keys.iter().filter(|key| key.contains(":stage:")).count();
        assert_eq!(staged, 0, "staged writes left");
    }
}
