//! Clean-up of many, in bounded memory, and in another process where it was left.

mod given;

use std::{fs, num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use asm_core::*;
use asm_file::{Durability, FileDriver};
use asm_testkit::ManualClock;
use futures_util::{StreamExt, stream};
use tokio::time::Instant;

const TTL: Duration = Duration::from_secs(60);
const BATCH: usize = 1000;
/// One of so many is not over.
const LIVING: u64 = 10;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_are_swept() {
    sweep(5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: a million that are over"]
async fn a_million_is_swept_in_bounded_memory() {
    sweep(1_000_000).await;
}

/// So many are over, and go; others stay. Half-way another driver goes on.
async fn sweep(over: u64) {
    let place = tempfile::tempdir().expect("a directory");
    let clock = ManualClock::new();
    let living = over / LIVING;
    let filled = Instant::now();
    fill(&driver(place.path(), &clock), over, living).await;
    let filled = filled.elapsed();
    assert_eq!(listed(&driver(place.path(), &clock)).await, over + living);
    list_under(&driver(place.path(), &clock), 0, &[TTL, TTL]).await;
    list_under(&driver(place.path(), &clock), 1, &[TTL, 2 * TTL]).await;
    assert_eq!(files(place.path()), over + living + 2);
    clock.advance(TTL).await;

    let (before, began) = (resident(), Instant::now());
    let (mut all, mut from, mut most, mut done) = (Swept::default(), None, before, 0.0);
    let mut sweeping = driver(place.path(), &clock);
    loop {
        let batch = NonZeroUsize::new(BATCH).expect("not zero");
        let sweeper = sweeping.sweeper().expect("the facet");
        let step = SweepStep { from, batch };
        let swept = sweeper.sweep(step).await.expect("a batch");
        assert!(swept.examined <= BATCH as u64, "{swept:?}");
        all.examined += swept.examined;
        all.removed += swept.removed;
        all.failed += swept.failed;
        most = most.max(resident());
        let Some(next) = swept.next else {
            break;
        };
        let now = sweeper.progress(&next).expect("known");
        assert!(done < now && now <= 1.0, "from {done} to {now}");
        if done < 0.5 && now >= 0.5 {
            sweeping = driver(place.path(), &clock);
        }
        (done, from) = (now, Some(next));
    }
    println!(
        "{over} over and {living} alive, made in {filled:.1?}: {} looked at and {} removed in {:.1?}; \
         {before} KiB resident before, {most} KiB at most",
        all.examined,
        all.removed,
        began.elapsed(),
    );
    assert_eq!(
        (all.examined, all.removed, all.failed),
        (over + living, over, 0)
    );
    // The index that lists somebody yet stays.
    assert_eq!(files(place.path()), living + 1);
    let grown = most - before;
    assert!(grown < 16 * 1024, "a sweep took {grown} KiB");
}

fn driver(root: &Path, clock: &ManualClock) -> FileDriver {
    FileDriver::builder(root)
        .durability(Durability::Atomic)
        .clock(Arc::new(clock.clone()))
        .build()
        .expect("a driver")
}

async fn fill(driver: &FileDriver, over: u64, living: u64) {
    let ttls = (0..over).map(|_| TTL).chain((0..living).map(|_| 2 * TTL));
    let sessions = stream::iter(ttls.enumerate());
    let fill = sessions.for_each_concurrent(64, async |(session, ttl)| {
        let req = Create {
            data: vec![b'x'; 200].into(),
            ttl,
            ..given::creation()
        };
        let key = (session as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
        let key = Key::from_bytes(key.to_be_bytes());
        driver.create(&key, req).await.expect("a session");
    });
    fill.await;
}

/// Fills the index of a subject with sessions that live so long.
async fn list_under(driver: &FileDriver, subject: u8, ttls: &[Duration]) {
    let subject = Subject::from_bytes([subject; Subject::LEN]);
    let subjects = driver.subjects().expect("the facet");
    for (session, ttl) in (0..).zip(ttls) {
        let req = Reserve {
            key: Key::from_bytes([session; Key::LEN]),
            ttl: *ttl,
            cap: None,
        };
        let reserved = subjects.reserve(&subject, req).await;
        assert!(
            matches!(reserved, Ok(Reserved::Done { .. })),
            "{reserved:?}"
        );
    }
}

/// How many an operator's list shows, batch by batch; how far it is rises with each.
async fn listed(driver: &FileDriver) -> u64 {
    let inventory = driver.inventory().expect("the facet");
    let batch = NonZeroUsize::new(BATCH).expect("not zero");
    let (mut all, mut from, mut done) = (0, None, 0.0);
    loop {
        let listed = inventory.list_sessions(ListStep { from, batch }).await;
        let listed = listed.expect("a batch");
        all += listed.keys.len() as u64;
        let Some(next) = listed.next else {
            return all;
        };
        let now = inventory.progress(&next).expect("known");
        assert!(done < now && now <= 1.0, "from {done} to {now}");
        (done, from) = (now, Some(next));
    }
}

/// How many files the shards have.
fn files(root: &Path) -> u64 {
    let shards = fs::read_dir(root).expect("the root").flatten();
    let shards = shards.filter_map(|shard| fs::read_dir(shard.path()).ok());
    shards.map(|shard| shard.count() as u64).sum()
}

/// What this process takes, in KiB.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_ascii_whitespace().next());
    number
        .and_then(|number| number.parse().ok())
        .expect("a number")
}
