//! Clean-up of many, in bounded memory.

mod given;

use std::{fs, num::NonZeroUsize, sync::Arc, time::Duration};

use asm_core::*;
use asm_file::{Durability, FileDriver};
use asm_testkit::ManualClock;
use futures_util::{StreamExt, stream};

const TTL: Duration = Duration::from_secs(60);
const BATCH: usize = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousands_are_swept() {
    sweep(5_000).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes"]
async fn a_million_is_swept_in_bounded_memory() {
    sweep(1_000_000).await;
}

/// Every second one is over, and goes.
async fn sweep(sessions: u64) {
    let place = tempfile::tempdir().expect("a directory");
    let clock = ManualClock::new();
    let driver = FileDriver::builder(place.path())
        .durability(Durability::Atomic)
        .clock(Arc::new(clock.clone()))
        .build()
        .expect("a driver");
    stream::iter(0..sessions)
        .for_each_concurrent(64, |session| {
            let driver = &driver;
            async move {
                let req = Create {
                    op: OpId::from_bytes(session.to_be_bytes()),
                    resend: false,
                    stamp: given::stamp(),
                    data: vec![b'x'; 200].into(),
                    ttl: TTL * (1 + session as u32 % 2),
                    lock: None,
                };
                let key =
                    u128::from(session).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
                let key = Key::from_bytes(key.to_be_bytes());
                driver.create(&key, req).await.expect("a session");
            }
        })
        .await;
    clock.advance(TTL).await;
    let before = resident();
    let (mut all, mut from, mut most) = (Swept::default(), None, before);
    loop {
        let batch = NonZeroUsize::new(BATCH).expect("not zero");
        let sweeper = driver.sweeper().expect("the facet");
        let swept = sweeper
            .sweep(SweepStep { from, batch })
            .await
            .expect("a batch");
        assert!(swept.examined <= 2 * BATCH as u64, "{swept:?}");
        all.examined += swept.examined;
        all.removed += swept.removed;
        all.failed += swept.failed;
        most = most.max(resident());
        match swept.next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    println!(
        "{sessions} sessions: {} examined, {} removed; {} KiB resident before, {} KiB at most",
        all.examined, all.removed, before, most
    );
    assert_eq!(
        (all.examined, all.removed, all.failed),
        (sessions, sessions.div_ceil(2), 0)
    );
    assert!(
        most - before < 32 * 1024,
        "a sweep took {} KiB",
        most - before
    );
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
