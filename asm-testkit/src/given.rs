//! What cases begin with: fresh names, and requests of which a case changes the one part it is
//! about.
//!
//! Names come from a generator that the operating system seeds, so that two runs on one server
//! never meet.

use std::{collections::HashSet, num::NonZeroUsize, sync::Arc, time::Duration};

use asm_core::{
    Claim, Create, Created, Delete, Driver, Epoch, Fence, Guard, Key, Label, LockToken, LockWish,
    OpId, Open, OpenLock, Proof, Proofs, Redacted, Save, Snapshot, Stamp, Subject, SweepStep,
    Touch,
};

use crate::{Harness, expect};

/// The lifetime that sessions are given.
pub const TTL: Duration = Duration::from_secs(3600);

/// How long grants last.
pub const HOLD: Duration = Duration::from_secs(10);

/// How long waiters wait.
pub const WAIT: Duration = Duration::from_secs(15);

/// A key that nobody has used.
#[must_use]
pub fn key() -> Key {
    Key::from_bytes(random())
}

/// A new op id.
#[must_use]
pub fn op() -> OpId {
    OpId::from_bytes(random())
}

/// A new token.
#[must_use]
pub fn token() -> LockToken {
    LockToken::from_bytes(random())
}

/// The proof of a new secret.
#[must_use]
pub fn proof() -> Proof {
    Proof::from_bytes(random())
}

/// A subject that nobody has used.
#[must_use]
pub fn subject() -> Subject {
    Subject::from_bytes(random())
}

/// A new epoch.
#[must_use]
pub fn epoch() -> Epoch {
    Epoch::new(fastrand::u64(..))
}

/// A new epoch with the proof of a new secret, and none pending.
#[must_use]
pub fn stamp() -> Stamp {
    Stamp {
        epoch: epoch(),
        proofs: Proofs {
            current: proof(),
            pending: None,
        },
    }
}

/// Data that no other write has.
#[must_use]
pub fn data() -> Redacted {
    Redacted::from(random::<16>().to_vec())
}

/// That many random bytes.
#[must_use]
pub fn bytes(length: usize) -> Redacted {
    let mut bytes = vec![0; length];
    fastrand::fill(&mut bytes);
    bytes.into()
}

/// A claim under a new token, for [`HOLD`].
#[must_use]
pub fn claim() -> Claim {
    Claim {
        token: token(),
        hold: HOLD,
        label: Label::new("GET /case"),
    }
}

/// Stores this, not locked, for [`TTL`], under a new stamp.
#[must_use]
pub fn create(data: impl Into<Redacted>) -> Create {
    Create {
        op: op(),
        resend: false,
        stamp: stamp(),
        data: data.into(),
        ttl: TTL,
        lock: None,
    }
}

/// Reads, and asks for no lock.
#[must_use]
pub fn open() -> Open {
    Open { lock: None }
}

/// Reads, and asks for the lock.
#[must_use]
pub fn open_locked(claim: Claim, proof: Proof) -> Open {
    Open {
        lock: Some(OpenLock { claim, proof }),
    }
}

/// Waits for the lock of the session that this is a snapshot of: a new claim, up to [`WAIT`], in a
/// queue without limit, the record known.
#[must_use]
pub fn wish(of: &Snapshot) -> LockWish {
    LockWish {
        claim: claim(),
        epoch: of.stamp.epoch,
        wait: WAIT,
        queue: None,
        known: Some(of.version),
    }
}

/// Tries the lock, as [`wish`], without waiting.
#[must_use]
pub fn attempt(of: &Snapshot) -> LockWish {
    LockWish {
        wait: Duration::ZERO,
        ..wish(of)
    }
}

/// Saves over this snapshot while nobody holds the lock, for [`TTL`].
#[must_use]
pub fn save(over: &Snapshot, data: impl Into<Redacted>) -> Save {
    Save {
        op: op(),
        resend: false,
        guard: Guard::unchanged(over),
        stamp: over.stamp,
        data: data.into(),
        ttl: TTL,
        release: false,
    }
}

/// Saves over this snapshot under the lock of this token, and keeps the lock.
#[must_use]
pub fn save_held(token: LockToken, over: &Snapshot, data: impl Into<Redacted>) -> Save {
    Save {
        guard: Guard::held(token, over),
        ..save(over, data)
    }
}

/// Saves over this snapshot under the lock of this token, and releases it.
#[must_use]
pub fn save_and_release(token: LockToken, over: &Snapshot, data: impl Into<Redacted>) -> Save {
    Save {
        release: true,
        ..save_held(token, over, data)
    }
}

/// Extends the lifetime of the session that this is a snapshot of.
#[must_use]
pub fn touch(of: &Snapshot, ttl: Duration) -> Touch {
    Touch {
        epoch: of.stamp.epoch,
        ttl,
    }
}

/// Deletes whatever is there.
#[must_use]
pub fn log_out() -> Delete {
    Delete { only_if: None }
}

/// Two handles on one storage, as two processes have them.
pub async fn two(h: &dyn Harness) -> (Arc<dyn Driver>, Arc<dyn Driver>) {
    (h.connect().await, h.connect().await)
}

/// A session, stored and opened.
pub async fn stored(driver: &dyn Driver) -> (Key, Snapshot) {
    stored_as(driver, create(data())).await
}

/// The session that this makes, stored and opened.
pub async fn stored_as(driver: &dyn Driver, req: Create) -> (Key, Snapshot) {
    let key = key();
    match driver.create(&key, req).await {
        Ok(Created::Done { .. }) => {}
        other => panic!("a session should be created, and the answer was {other:?}"),
    }
    let snapshot = read(driver, &key).await;
    (key, snapshot)
}

/// What is stored under this key, which must be there.
pub async fn read(driver: &dyn Driver, key: &Key) -> Snapshot {
    expect::found(driver.open(key, open()).await)
}

/// Takes the free lock of a session, for [`HOLD`].
pub async fn held(driver: &dyn Driver, key: &Key, of: &Snapshot) -> (LockToken, Fence) {
    let wish = attempt(of);
    let token = wish.claim.token;
    (token, expect::held(driver.acquire(key, wish).await))
}

/// Removes what has expired, if the driver does not do so by itself.
pub async fn swept(driver: &dyn Driver) {
    let Some(sweeper) = driver.sweeper() else {
        return;
    };
    let batch = NonZeroUsize::MIN.saturating_add(99);
    let (mut from, mut seen) = (None, HashSet::new());
    loop {
        let swept = sweeper.sweep(SweepStep { from, batch }).await;
        let Some(next) = swept.expect("a batch").next else {
            return;
        };
        assert!(
            seen.insert(next.0.clone()),
            "the sweep goes round in circles"
        );
        from = Some(next);
    }
}

fn random<const N: usize>() -> [u8; N] {
    std::array::from_fn(|_| fastrand::u8(..))
}
