//! Each verb once, as an application would go through them.

use std::{num::NonZeroUsize, time::Duration};

use asm_core::*;
use asm_redis::RedisDriver;
use asm_testkit::given as make;
use futures_util::StreamExt;

/// Goes through every verb of the driver with two handles, for records of this size.
///
/// # Errors
/// The first error that any of them answers. Panics when one answers something wrong.
pub(crate) async fn all(driver: &RedisDriver, other: &RedisDriver, size: usize) -> Result<()> {
    let req = make::create(make::bytes(size));
    let (key, proof, epoch) = (make::key(), req.stamp.proofs.current, req.stamp.epoch);
    let again = Create {
        resend: true,
        ..req.clone()
    };
    let done = driver.create(&key, req).await?;
    assert!(matches!(done, Created::Done { .. }), "{done:?}");
    let done = driver.create(&key, again).await?;
    assert!(matches!(done, Created::Done { .. }), "{done:?}");
    let born = Create {
        lock: Some(make::claim()),
        ..make::create(make::bytes(size))
    };
    driver.create(&make::key(), born).await?;

    let feed = driver.changes().expect("the facet");
    let subscribe = Subscribe {
        epoch,
        buffer: NonZeroUsize::MIN.saturating_add(9),
    };
    let Subscribed::Live(mut changes) = feed.subscribe(&key, subscribe).await? else {
        panic!("the session lives");
    };

    let claim = make::claim();
    let opened = other
        .open(&key, make::open_locked(claim.clone(), proof))
        .await?;
    let Opened::Found {
        snapshot,
        lock: OpenedLock::Held(fence),
    } = opened
    else {
        panic!("{opened:?}");
    };
    other.renew(&key, &claim.token, 2 * make::HOLD).await?;
    let waiting = {
        let (driver, wish) = (driver.clone(), make::wish(&snapshot));
        let token = wish.claim.token;
        let task = tokio::spawn(async move { driver.acquire(&key, wish).await });
        (token, task)
    };
    let mut again = tokio::time::interval(Duration::from_millis(1));
    while other.inspect(&key).await?.waiters.is_empty() {
        again.tick().await;
        if waiting.1.is_finished() {
            let denied = waiting.1.await.expect("a waiter");
            return Err(denied.expect_err("another holds the lock"));
        }
    }
    let save = make::save_and_release(claim.token, &snapshot, make::bytes(size));
    let written = other.save(&key, save.clone()).await?;
    assert!(matches!(written, Written::Done { .. }), "{written:?}");
    let resend = Save {
        resend: true,
        ..save
    };
    assert_eq!(other.save(&key, resend).await?.version(), written.version());
    let (token, task) = waiting;
    let acquired = task.await.expect("a waiter")?;
    let Acquired::Held {
        fence: next,
        snapshot: Some(snapshot),
    } = acquired
    else {
        panic!("{acquired:?}");
    };
    assert!(next > fence);
    let change = changes.next().await;
    assert!(matches!(change, Some(Change::Saved(_))), "{change:?}");
    let state = driver.inspect(&key).await?;
    assert_eq!(state.holder.map(|holder| holder.fence), Some(next));
    assert_eq!(other.break_lock(&key, Some(fence)).await?, Broken::NotHeld);
    driver.break_lock(&key, None).await?;
    assert_eq!(driver.release(&key, &token).await?, Released::NotHeld);
    let tried = driver.acquire(&key, make::attempt(&snapshot)).await?;
    assert!(matches!(tried, Acquired::Held { .. }), "{tried:?}");
    driver.break_lock(&key, None).await?;
    driver
        .touch(&key, make::touch(&snapshot, 2 * make::TTL))
        .await?;

    fields(driver, &key, epoch).await?;
    subjects(driver, &key).await?;

    let guarded = Delete {
        only_if: Some(Guard::unchanged(&snapshot)),
    };
    assert_eq!(driver.delete(&key, guarded).await?, Deleted::Done);
    assert_eq!(changes.next().await, Some(Change::Ended));
    assert_eq!(driver.open(&key, make::open()).await?, Opened::Missing);
    Ok(())
}

async fn fields(driver: &RedisDriver, key: &Key, epoch: Epoch) -> Result<()> {
    let fields = driver.fields().expect("the facet");
    let name = || FieldName::new("n").expect("a name");
    for change in changes() {
        let write = FieldWrite {
            name: name(),
            epoch,
            op: make::op(),
            resend: None,
            change,
        };
        let resend = FieldWrite {
            resend: Some(Duration::from_secs(60)),
            ..write.clone()
        };
        let first = fields.write_field(key, write).await?;
        assert_eq!(fields.write_field(key, resend).await?, first);
    }
    let read = FieldRead {
        name: name(),
        epoch,
        items: Some(0..1),
    };
    let found = fields.read_field(key, read).await?;
    assert!(
        matches!(&found, FieldFound::Value(FieldValue::List(items)) if items.len() == 1),
        "{found:?}"
    );
    Ok(())
}

/// Each kind of change of one field, in an order in which they can be.
pub(crate) fn changes() -> [FieldChange; 7] {
    [
        FieldChange::Set(make::bytes(10)),
        FieldChange::Take,
        FieldChange::Incr(2),
        FieldChange::Clear,
        FieldChange::Append(make::bytes(10)),
        FieldChange::Clear,
        FieldChange::Push(make::bytes(10)),
    ]
}

async fn subjects(driver: &RedisDriver, key: &Key) -> Result<()> {
    let subjects = driver.subjects().expect("the facet");
    let subject = make::subject();
    for key in [*key, make::key()] {
        let reserve = Reserve {
            key,
            ttl: make::TTL,
            cap: std::num::NonZeroU32::new(5),
        };
        let reserved = subjects.reserve(&subject, reserve).await?;
        assert!(matches!(reserved, Reserved::Done { .. }), "{reserved:?}");
    }
    // The other one was never stored.
    assert_eq!(subjects.list(&subject).await?.sessions.len(), 1);
    assert_eq!(subjects.revoke(&subject, Some(*key)).await?.keys, []);
    assert_eq!(subjects.forget(&subject, vec![*key]).await?, 1);
    Ok(())
}

trait Numbered {
    fn version(&self) -> Option<Version>;
}

impl Numbered for Written {
    fn version(&self) -> Option<Version> {
        match self {
            Self::Done { version, .. } => Some(*version),
            _ => None,
        }
    }
}
