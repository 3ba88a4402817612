//! What others do who wait for a lock: they ask again and again, whoever asks first after a release has
//! it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use asm_bench::{Burst, Turn};
use asm_servers::Server;
use redis::{RedisResult, Script, aio::MultiplexedConnection};
use tokio::task::yield_now;

use crate::locks::{HOLD, pause};

const RELEASE: &str = r"
if redis.call('GET', KEYS[1]) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
";

/// A lock that is asked for at such intervals.
#[derive(Clone)]
pub(crate) struct Poller {
    connection: MultiplexedConnection,
    release: Script,
    every: Duration,
}

impl Poller {
    pub(crate) async fn new(server: &Server, every: Duration) -> RedisResult<Self> {
        Ok(Self {
            connection: asm_servers::connection(server.url()).await?,
            release: Script::new(RELEASE),
            every,
        })
    }

    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    pub(crate) async fn burst(&self, waiters: u32) -> Burst {
        let lock: Arc<str> = format!("polled:{}", fastrand::u64(..)).into();
        assert!(self.take(&lock, 0).await, "nobody else has it");
        let asked = Arc::new(AtomicU32::new(0));
        let tasks: Vec<_> = (1..=waiters)
            .map(|token| {
                let (one, lock, asked) = (self.clone(), Arc::clone(&lock), Arc::clone(&asked));
                tokio::spawn(async move { one.turn(&lock, token, &asked).await })
            })
            .collect();
        while asked.load(Ordering::Relaxed) < waiters {
            yield_now().await;
        }
        let began = Instant::now();
        self.give(&lock, 0).await;
        let mut turns = Vec::new();
        for task in tasks {
            turns.push(task.await.expect("a task that does not fail"));
        }
        turns.sort_by_key(|(came, _)| *came);
        let turns = turns.into_iter().map(|(_, turn)| turn).collect();
        Burst { began, turns }
    }

    /// As the how manieth it came, and when it had the lock.
    async fn turn(&self, lock: &str, token: u32, asked: &AtomicU32) -> (u32, Turn) {
        // They came at different times.
        pause(self.every.mul_f64(fastrand::f64())).await;
        let mut came = None;
        while !self.take(lock, token).await {
            came = came.or_else(|| Some(asked.fetch_add(1, Ordering::Relaxed)));
            pause(self.every).await;
        }
        let came = came.expect("somebody has it until all have come");
        let held = Instant::now();
        pause(HOLD).await;
        let released = Instant::now();
        self.give(lock, token).await;
        (came, Turn { held, released })
    }

    async fn take(&self, lock: &str, token: u32) -> bool {
        let mut set = redis::cmd("SET");
        set.arg(lock).arg(token).arg("NX").arg("PX").arg(600_000);
        let taken: Option<String> = set
            .query_async(&mut self.connection.clone())
            .await
            .expect("an answer");
        taken.is_some()
    }

    async fn give(&self, lock: &str, token: u32) {
        let mut release = self.release.key(lock);
        let given: u32 = release
            .arg(token)
            .invoke_async(&mut self.connection.clone())
            .await
            .expect("an answer");
        assert_eq!(given, 1, "it was ours");
    }
}
