//! What tests on real servers begin with, beside what the testkit gives.

// Each test uses what it needs of it.
#![allow(dead_code)]

pub(crate) mod ledger;
pub(crate) mod verbs;

use std::{future::Future, time::Duration};

use asm_core::*;
use asm_redis::{RedisBuilder, RedisDriver};
use asm_servers::{Cluster, Sentinels, Server};
use tokio::runtime::{Builder, Handle, RuntimeFlavor};

/// How long a test may take before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(1800);

/// Runs it to its end, on two threads, with a watchdog.
#[track_caller]
pub(crate) fn run<T>(body: impl Future<Output = T>) -> T {
    run_on(Builder::new_multi_thread().worker_threads(2), body)
}

/// The same on one thread, where time can be paused: it passes by itself then, while nobody on this
/// thread can go on, and however long that thread takes for the rest is not seen.
#[track_caller]
pub(crate) fn run_in_still_time<T>(body: impl Future<Output = T>) -> T {
    run_on(&mut Builder::new_current_thread(), body)
}

/// Whether time can be paused.
pub(crate) fn time_stands() -> bool {
    Handle::current().runtime_flavor() == RuntimeFlavor::CurrentThread
}

#[track_caller]
fn run_on<T>(builder: &mut Builder, body: impl Future<Output = T>) -> T {
    let runtime = builder.enable_all().build().expect("a runtime");
    let outcome = runtime.block_on(async { tokio::time::timeout(PATIENCE, body).await });
    runtime.shutdown_background();
    outcome.expect("it hung")
}

/// Runs what blocks (an operation on servers) beside what is under way.
pub(crate) async fn beside<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(body).await {
        Ok(answer) => answer,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A driver on one server, with a prefix of its own.
pub(crate) async fn driver(server: &Server) -> RedisDriver {
    connected(RedisDriver::builder().url(server.url())).await
}

pub(crate) async fn connected(builder: RedisBuilder) -> RedisDriver {
    builder.connect().await.expect("a driver")
}

pub(crate) fn on_sentinels(group: &Sentinels) -> RedisBuilder {
    RedisDriver::builder()
        .sentinel(Sentinels::MASTER, group.sentinels().iter().map(address))
        .sentinel_credentials("", group.password())
}

pub(crate) fn on_cluster(cluster: &Cluster) -> RedisBuilder {
    RedisDriver::builder().cluster(cluster.nodes().iter().map(address))
}

/// Without the password, which is not part of where it is.
fn address(server: &Server) -> String {
    format!("redis://{}", server.addr())
}

/// Waits, asking again and again, until the answer is yes.
pub(crate) async fn until(mut condition: impl AsyncFnMut() -> bool) {
    let mut again = tokio::time::interval(Duration::from_millis(1));
    while !condition().await {
        again.tick().await;
    }
}

/// How many wait for the lock of a session.
pub(crate) async fn waiters(driver: &RedisDriver, key: &Key) -> usize {
    let state = driver.inspect(key).await.expect("a look");
    state.waiters.len()
}

/// The value at this share of the sorted values, such as 0.99.
pub(crate) fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let last = values.len().saturating_sub(1);
    let place = (last as f64 * share).round() as usize;
    values.get(place).copied().unwrap_or_default()
}
