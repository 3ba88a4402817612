//! What only this driver promises: that its memory is bounded, and what it gives back.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use asm_core::{
    Created, Driver, ErrorKind, FieldChange, FieldName, FieldWrite, Guard, Reserve, Reserved, Save,
    SessionStore, Subject, SweepStep, Written,
};
use asm_memory::{MemoryBuilder, MemoryDriver};
use asm_testkit::{ManualClock, given};

const HOUR: Duration = Duration::from_secs(3600);

fn driver(limits: impl FnOnce(MemoryBuilder) -> MemoryBuilder) -> (MemoryDriver, ManualClock) {
    let clock = ManualClock::new();
    let builder = MemoryDriver::builder().clock(Arc::new(clock.clone()));
    (limits(builder).build(), clock)
}

async fn create(driver: &MemoryDriver, bytes: usize) -> Result<Created, ErrorKind> {
    let mut create = given::create(vec![1; bytes]);
    create.ttl = HOUR;
    let created = driver.create(&given::key(), create).await;
    created.map_err(|error| error.kind())
}

/// Sweeps to the end.
async fn sweep(driver: &MemoryDriver) -> u64 {
    let sweeper = driver.sweeper().expect("it sweeps");
    let (mut from, mut removed) = (None, 0);
    loop {
        let batch = NonZeroUsize::new(100).expect("not zero");
        let swept = sweeper.sweep(SweepStep { from, batch }).await;
        let swept = swept.expect("memory");
        removed += swept.removed;
        from = swept.next;
        if from.is_none() {
            return removed;
        }
    }
}

#[tokio::test]
async fn one_session_too_many_is_refused() {
    let (driver, _) = driver(|builder| builder.max_sessions(3));
    for _ in 0..3 {
        assert!(matches!(
            create(&driver, 10).await,
            Ok(Created::Done { .. })
        ));
    }
    assert_eq!(create(&driver, 0).await, Err(ErrorKind::Full));
    assert_eq!(driver.sessions(), 3);
}

#[tokio::test]
async fn bytes_that_do_not_fit_are_refused_and_nothing_is_changed() {
    let (driver, _) = driver(|builder| builder.max_bytes(2000).max_record(1500));
    let (key, before) = given::stored(&driver).await;
    let used = driver.bytes();
    let guard = Guard::unchanged(&before);
    let save = |len: usize| Save {
        data: vec![2; len].into(),
        ..given::save(&before, "")
    };
    assert_eq!(save(0).guard, guard);
    let refused = driver.save(&key, save(1500)).await;
    assert!(
        matches!(refused, Ok(Written::Done { .. })),
        "it fits: {refused:?}"
    );
    assert_eq!(driver.bytes(), used - before.data.len() + 1500);
    assert_eq!(create(&driver, 1000).await, Err(ErrorKind::Full));
    let write = FieldWrite {
        name: FieldName::new("log").expect("a good name"),
        epoch: before.stamp.epoch,
        op: given::op(),
        resend: None,
        change: FieldChange::Set(vec![3; 1000].into()),
    };
    let fields = driver.fields().expect("it has fields");
    let refused = fields.write_field(&key, write).await;
    assert_eq!(refused.map_err(|error| error.kind()), Err(ErrorKind::Full));
    assert_eq!(driver.bytes(), used - before.data.len() + 1500);
}

#[tokio::test]
async fn the_dead_make_room_for_the_living() {
    let (driver, clock) = driver(|builder| builder.max_sessions(500));
    for _ in 0..500 {
        create(&driver, 10).await.expect("there is room");
    }
    clock.advance(HOUR).await;
    // Each step clears a few places, so a bounded number of attempts finds room.
    let mut refused = 0;
    while create(&driver, 10).await.is_err() {
        refused += 1;
        assert!(refused <= 128, "as many as there are tables");
    }
    assert!(driver.sessions() < 500);
}

#[tokio::test]
async fn a_sweep_gives_back_all_that_is_over() {
    let (driver, clock) = driver(|builder| builder);
    let subjects = driver.subjects().expect("it has an index");
    for user in 0..50 {
        create(&driver, 10).await.expect("there is room");
        let reserve = Reserve {
            key: given::key(),
            ttl: HOUR,
            cap: None,
        };
        let reserved = subjects
            .reserve(&Subject::from_bytes([user; 32]), reserve)
            .await;
        assert!(matches!(reserved, Ok(Reserved::Done { .. })));
    }
    assert_eq!(sweep(&driver).await, 0);
    assert_eq!((driver.sessions(), driver.subjects_indexed()), (50, 50));
    clock.advance(HOUR).await;
    assert_eq!(sweep(&driver).await, 50);
    assert_eq!((driver.sessions(), driver.subjects_indexed()), (0, 0));
    assert_eq!(driver.bytes(), 0);
}

#[tokio::test]
async fn what_is_shown_of_it_is_how_much_there_is() {
    let (driver, _) = driver(|builder| builder);
    let (key, _) = given::stored(&driver).await;
    let shown = format!("{driver:?}");
    assert!(shown.contains("sessions: 1"), "{shown}");
    assert!(!shown.contains(&key.to_string()), "{shown}");
}
