//! A history with each kind of change, and what can be seen of it.

// Each test uses what it needs of it.
#![allow(dead_code)]

use std::{num::NonZeroUsize, time::Duration};

use asm_core::*;
use asm_file::FileDriver;

pub(crate) const STEPS: usize = 12;

/// The steps that take the lock.
pub(crate) const LOCKS: [usize; 3] = [2, 6, 8];

const TTL: Duration = Duration::from_secs(3600);
pub(crate) const KEY: Key = Key::from_bytes([0xa5; 16]);

/// What can be seen of the one session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) record: Option<(u64, Redacted)>,
    pub(crate) held: Option<Fence>,
    pub(crate) field: Option<FieldValue>,
}

/// Goes through one step of the history. `resend`: once more.
pub(crate) async fn play(driver: &FileDriver, step: usize, resend: bool) -> Result<()> {
    let sent = Sent {
        driver,
        op: OpId::from_bytes([step as u8 + 1; 8]),
        resend,
    };
    match step {
        0 => sent.create("one", None).await,
        1 => sent.save("two", None, false).await,
        // Who was told that it failed tries again as somebody else.
        2 | 6 if resend => sent.acquire(99).await,
        2 => sent.acquire(2).await,
        3 => sent.save("three", Some(2), false).await,
        4 => sent.incr().await,
        5 => sent.save("four", Some(2), true).await,
        6 => sent.acquire(6).await,
        7 => sent.delete().await,
        8 => sent.create("five", Some(8)).await,
        9 => sent.incr().await,
        10 => sent.save("six", Some(8), true).await,
        _ => sent.delete().await,
    }
}

/// What there is.
pub(crate) async fn observe(driver: &FileDriver) -> Result<State> {
    let Opened::Found { snapshot, .. } = driver.open(&KEY, Open { lock: None }).await? else {
        return Ok(State::default());
    };
    let read = FieldRead {
        name: FieldName::new("n")?,
        epoch: snapshot.stamp.epoch,
        items: None,
    };
    let fields = driver.fields().expect("the facet");
    let field = match fields.read_field(&KEY, read).await? {
        FieldFound::Value(value) => Some(value),
        _ => None,
    };
    Ok(State {
        record: Some((snapshot.version.number, snapshot.data)),
        held: driver
            .inspect(&KEY)
            .await?
            .holder
            .map(|holder| holder.fence),
        field,
    })
}

/// Whatever is there can be ended, and another session begun.
pub(crate) async fn use_it(driver: &FileDriver) -> Result<()> {
    driver.delete(&KEY, Delete { only_if: None }).await?;
    let sent = Sent {
        driver,
        op: OpId::from_bytes([77; 8]),
        resend: false,
    };
    sent.create("afresh", Some(77)).await?;
    let state = observe(driver).await?;
    assert_eq!(state.record, Some((1, "afresh".into())));
    assert_eq!((state.held, state.field), (Some(Fence::new(1)), None));
    Ok(())
}

/// One whole sweep: how many sessions it removed.
pub(crate) async fn sweep(driver: &FileDriver) -> u64 {
    let (mut from, mut removed) = (None, 0);
    loop {
        let batch = NonZeroUsize::MIN.saturating_add(999);
        let sweeper = driver.sweeper().expect("the facet");
        let swept = sweeper
            .sweep(SweepStep { from, batch })
            .await
            .expect("a batch");
        assert_eq!(swept.failed, 0);
        removed += swept.removed;
        match swept.next {
            Some(next) => from = Some(next),
            None => return removed,
        }
    }
}

/// A session that lives for an hour, without a lock.
pub(crate) fn creation() -> Create {
    Create {
        op: OpId::from_bytes([1; 8]),
        resend: false,
        stamp: stamp(),
        data: "data".into(),
        ttl: TTL,
        lock: None,
    }
}

pub(crate) fn stamp() -> Stamp {
    Stamp {
        epoch: Epoch::new(5),
        proofs: Proofs {
            current: Proof::from_bytes([3; 16]),
            pending: None,
        },
    }
}

pub(crate) fn token(id: u8) -> LockToken {
    LockToken::from_bytes([id; 16])
}

pub(crate) fn claim(token: LockToken) -> Claim {
    Claim {
        token,
        hold: TTL,
        label: Label::new("test"),
    }
}

/// One request, sent for the first time or again.
struct Sent<'a> {
    driver: &'a FileDriver,
    op: OpId,
    resend: bool,
}

impl Sent<'_> {
    async fn create(&self, data: &'static str, lock: Option<u8>) -> Result<()> {
        let req = Create {
            op: self.op,
            resend: self.resend,
            stamp: stamp(),
            data: data.into(),
            ttl: TTL,
            lock: lock.map(|id| claim(token(id))),
        };
        let created = self.driver.create(&KEY, req).await?;
        assert!(matches!(created, Created::Done { .. }), "{created:?}");
        Ok(())
    }

    async fn save(&self, data: &'static str, held: Option<u8>, release: bool) -> Result<()> {
        // What a first sending was based on is one version back when it has happened.
        let opened = self.driver.open(&KEY, Open { lock: None }).await?;
        let Opened::Found { snapshot, .. } = opened else {
            panic!("nothing to save over");
        };
        let req = Save {
            op: self.op,
            resend: self.resend,
            guard: Guard {
                held: held.map(token),
                ..Guard::unchanged(&snapshot)
            },
            stamp: stamp(),
            data: data.into(),
            ttl: TTL,
            release,
        };
        let written = self.driver.save(&KEY, req).await?;
        assert!(matches!(written, Written::Done { .. }), "{written:?}");
        Ok(())
    }

    async fn acquire(&self, id: u8) -> Result<()> {
        let wish = LockWish {
            claim: claim(token(id)),
            epoch: stamp().epoch,
            wait: Duration::ZERO,
            queue: None,
            known: None,
        };
        let acquired = self.driver.acquire(&KEY, wish).await?;
        assert!(matches!(acquired, Acquired::Held { .. }), "{acquired:?}");
        Ok(())
    }

    async fn incr(&self) -> Result<()> {
        let req = FieldWrite {
            name: FieldName::new("n")?,
            epoch: stamp().epoch,
            op: self.op,
            resend: self.resend.then_some(TTL),
            change: FieldChange::Incr(3),
        };
        let fields = self.driver.fields().expect("the facet");
        let written = fields.write_field(&KEY, req).await?;
        assert!(matches!(written, FieldWritten::Number(3)), "{written:?}");
        Ok(())
    }

    async fn delete(&self) -> Result<()> {
        let deleted = self.driver.delete(&KEY, Delete { only_if: None }).await?;
        let twice = self.resend && deleted == Deleted::Nothing;
        assert!(twice || deleted == Deleted::Done, "{deleted:?}");
        Ok(())
    }
}
