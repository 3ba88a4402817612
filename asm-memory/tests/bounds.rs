//! What only this driver promises: that its memory is bounded, and what it gives back.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use asm_core::{
    Created, Cursor, Driver, ErrorKind, FieldChange, FieldName, FieldWrite, Guard, Key, ListStep,
    LockStore, Reserve, Reserved, Save, SessionStore, Subject, Subscribe, SweepStep, Written,
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

/// Sweeps to the end. Answers how much it looked at, and how much it removed.
async fn sweep(driver: &MemoryDriver) -> (u64, u64) {
    let sweeper = driver.sweeper().expect("it sweeps");
    let (mut from, mut examined, mut removed) = (None, 0, 0);
    loop {
        let batch = NonZeroUsize::new(100).expect("not zero");
        let step = SweepStep {
            from: from.clone(),
            batch,
        };
        let swept = sweeper.sweep(step).await.expect("memory");
        examined += swept.examined;
        removed += swept.removed;
        if swept.next.is_none() {
            return (examined, removed);
        }
        assert_ne!(swept.next, from, "it goes on");
        let part = swept.next.as_ref().and_then(|next| sweeper.progress(next));
        assert_eq!(part, None, "places move: it cannot tell how far it is");
        from = swept.next;
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
    assert_eq!(sweep(&driver).await, (100, 0));
    assert_eq!((driver.sessions(), driver.subjects_indexed()), (50, 50));
    clock.advance(HOUR).await;
    assert_eq!(sweep(&driver).await, (100, 50));
    assert_eq!((driver.sessions(), driver.subjects_indexed()), (0, 0));
    assert_eq!(driver.bytes(), 0);
}

#[tokio::test]
async fn an_index_that_does_not_fit_is_refused() {
    async fn reserve(driver: &MemoryDriver) -> Result<Reserved, ErrorKind> {
        let reserve = Reserve {
            key: given::key(),
            ttl: HOUR,
            cap: None,
        };
        let subjects = driver.subjects().expect("it has an index");
        let subject = Subject::from_bytes([7; 32]);
        let reserved = subjects.reserve(&subject, reserve).await;
        reserved.map_err(|error| error.kind())
    }

    let (first, _) = driver(|builder| builder);
    reserve(&first).await.expect("there is room");
    let weight = first.bytes();
    assert!(weight > Key::LEN, "an entry names a session, at least");
    let (driver, _) = driver(|builder| builder.max_bytes(3 * weight));
    for _ in 0..3 {
        reserve(&driver).await.expect("there is room");
    }
    let refused = reserve(&driver).await.expect_err("there is none");
    assert_eq!(refused, ErrorKind::Full);
    assert_eq!(driver.bytes(), 3 * weight);
}

#[tokio::test]
async fn the_dead_make_room_for_bytes() {
    let (driver, clock) = driver(|builder| builder.max_bytes(500_000).max_record(1000));
    while create(&driver, 1000).await.is_ok() {}
    let full = driver.sessions();
    clock.advance(HOUR).await;
    // As above: the first that is in need may find none of the dead, and some later one does. Those
    // that come after it may fill all of that room again.
    let mut fewest = full;
    for _ in 0..128 {
        let _ = create(&driver, 1000).await;
        fewest = fewest.min(driver.sessions());
    }
    assert!(fewest < full, "{full} were there");
}

/// Of what a stranger may have written into a cursor, nothing harms.
#[tokio::test]
async fn any_cursor_is_read_or_refused() {
    let (driver, _) = driver(|builder| builder);
    let inventory = driver.inventory().expect("it lists");
    let sweeper = driver.sweeper().expect("it sweeps");
    let batch = NonZeroUsize::MIN;
    let mut read = 0;
    for (table, shard) in (0..=255).flat_map(|table| (0..=255).map(move |shard| (table, shard))) {
        let mut bytes = vec![u8::MAX; 10];
        (bytes[0], bytes[1]) = (table, shard);
        let from = Some(Cursor(bytes.into()));
        let step = ListStep {
            from: from.clone(),
            batch,
        };
        let listed = inventory.list_sessions(step).await;
        let swept = sweeper.sweep(SweepStep { from, batch }).await;
        assert_eq!(listed.is_ok(), swept.is_ok());
        match listed {
            Ok(_) => read += 1,
            Err(error) => assert_eq!(error.kind(), ErrorKind::Invalid),
        }
    }
    assert_eq!(read, 2 * 64, "two tables of 64 shards");
}

/// There are more in each table than one look takes in.
#[tokio::test]
async fn a_sweep_of_many_goes_on_where_it_was() {
    const MANY: u64 = 64 * 1024;
    let (driver, clock) = driver(|builder| builder);
    for _ in 0..MANY {
        create(&driver, 0).await.expect("there is room");
    }
    let inventory = driver.inventory().expect("it lists");
    let step = ListStep {
        from: None,
        batch: NonZeroUsize::MIN,
    };
    let listed = inventory.list_sessions(step).await.expect("memory");
    let next = listed.next.expect("there are more");
    assert_eq!(inventory.progress(&next), None, "nor can a list");
    clock.advance(HOUR).await;
    assert_eq!(sweep(&driver).await, (MANY, MANY));
    assert_eq!((driver.sessions(), driver.bytes()), (0, 0));
}

#[tokio::test]
async fn who_waits_and_who_listens_is_counted() {
    let (driver, _) = driver(|builder| builder);
    let (key, record) = given::stored(&driver).await;
    given::held(&driver, &key, &record).await;
    let subscribe = Subscribe {
        epoch: record.stamp.epoch,
        buffer: NonZeroUsize::MIN,
    };
    let feed = driver.changes().expect("it has a feed");
    let feed = feed.subscribe(&key, subscribe).await.expect("memory");
    assert_eq!(driver.listeners(), (0, 1));
    let (waiting, wish) = (driver.clone(), given::wish(&record));
    let waiter = tokio::spawn(async move { waiting.acquire(&key, wish).await });
    while driver.listeners() != (1, 1) {
        tokio::task::yield_now().await;
    }
    waiter.abort();
    drop(feed);
    while driver.listeners() != (0, 0) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_is_shown_of_it_is_how_much_there_is() {
    let (driver, _) = driver(|builder| builder);
    let (key, _) = given::stored(&driver).await;
    let shown = format!("{driver:?}");
    assert!(shown.contains("sessions: 1"), "{shown}");
    assert!(!shown.contains(&key.to_string()), "{shown}");
}
