//! However many wait, follow and write: few threads, few open files, and none left.

mod given;

use std::{fs, time::Duration};

use asm_core::*;
use asm_file::{Durability, FileDriver};
use futures_util::future::join_all;

const SESSIONS: u16 = 1024;
const WAITERS: u8 = 200;
const FOLLOWED: u16 = 10;
const THREADS: usize = 4;
const TTL: Duration = Duration::from_secs(3600);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiters_and_followers_cost_neither_threads_nor_descriptors() {
    let place = tempfile::tempdir().expect("a directory");
    // The workers of the runtime are there before anything is counted.
    join_all((0..8).map(|_| tokio::spawn(tokio::task::yield_now()))).await;
    let (files, threads) = (count("fd"), count("task"));
    let driver = FileDriver::builder(place.path())
        .durability(Durability::Atomic)
        .threads(THREADS)
        .build()
        .expect("a driver");

    // Every shard, and many at once.
    join_all((0..SESSIONS).map(|session| create(&driver, session))).await;
    let mut streams = Vec::new();
    for session in 0..FOLLOWED {
        let req = Subscribe {
            epoch: given::stamp().epoch,
            buffer: std::num::NonZeroUsize::MIN,
        };
        let feed = driver.changes().expect("the facet");
        match feed.subscribe(&key(session), req).await {
            Ok(Subscribed::Live(stream)) => streams.push(stream),
            other => panic!("{:?}", other.err()),
        }
    }
    let holder = acquire(&driver, 0).await;
    assert!(matches!(holder, Acquired::Held { .. }), "{holder:?}");
    let waiters: Vec<_> = (1..=WAITERS)
        .map(|id| {
            let driver = driver.clone();
            tokio::spawn(async move { acquire(&driver, id).await })
        })
        .collect();
    while waiting(&driver).await < usize::from(WAITERS) {
        tokio::task::yield_now().await;
    }
    join_all((0..SESSIONS).map(|session| touch(&driver, session))).await;

    // Directories, rings, what the watch has, what its busy threads have, and what counts them.
    let most = 256 + usize::from(FOLLOWED) + 3 + 3 * THREADS + 1;
    let open = count("fd") - files;
    assert!(open <= most, "{open} files are open");
    let busy = count("task") - threads;
    assert!(busy <= THREADS + 1, "{busy} threads for {WAITERS} waiters");
    let counters = driver.counters();
    let listen = (counters.waited_for, counters.followed);
    assert_eq!(listen, (1, usize::from(FOLLOWED)));
    println!("{WAITERS} waiters, {FOLLOWED} followers, 256 shards: {open} files, {busy} threads");

    for waiter in &waiters {
        waiter.abort();
    }
    for waiter in waiters {
        // Aborted, or over.
        let _ = waiter.await;
    }
    drop(streams);
    while driver.counters().under_way > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(waiting(&driver).await, 0);
    let counters = driver.counters();
    assert_eq!((counters.waited_for, counters.followed), (0, 0));
    assert!(counters.done >= 256, "{counters:?} for each shard");
    drop(driver);
    // Its threads end with it, by and by.
    while count("fd") > files {
        tokio::task::yield_now().await;
    }
}

fn key(session: u16) -> Key {
    let mut bytes = [0; 16];
    bytes[0] = session as u8;
    bytes[1] = (session >> 8) as u8;
    Key::from_bytes(bytes)
}

async fn create(driver: &FileDriver, session: u16) {
    let req = given::creation();
    driver.create(&key(session), req).await.expect("a session");
}

async fn touch(driver: &FileDriver, session: u16) {
    let req = Touch {
        epoch: given::stamp().epoch,
        ttl: 2 * TTL,
    };
    driver.touch(&key(session), req).await.expect("touched");
}

async fn acquire(driver: &FileDriver, id: u8) -> Acquired {
    let wish = LockWish {
        claim: given::claim(given::token(id)),
        epoch: given::stamp().epoch,
        wait: TTL,
        queue: None,
        known: None,
    };
    driver.acquire(&key(0), wish).await.expect("an answer")
}

async fn waiting(driver: &FileDriver) -> usize {
    let state = driver.inspect(&key(0)).await.expect("a look");
    state.waiters.len()
}

/// How many descriptors, or threads, this process has.
fn count(of: &str) -> usize {
    let there = fs::read_dir(format!("/proc/self/{of}"));
    there.expect("/proc").count()
}
