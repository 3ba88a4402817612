//! Records as they lie in a store, beneath the sessions.

use std::time::Duration;

use asm_core::{Driver, Guard, Key, OpId, Open, Opened, Save, Snapshot, Written};
use bytes::Bytes;

/// The life of what is put there.
const TTL: Duration = Duration::from_secs(3600);

/// What the store holds.
///
/// # Panics
/// When there is nothing.
pub async fn read(driver: &dyn Driver, key: &Key) -> Snapshot {
    match driver.open(key, Open { lock: None }).await {
        Ok(Opened::Found { snapshot, .. }) => snapshot,
        other => panic!("a record was expected, and the answer was {other:?}"),
    }
}

/// Puts these bytes in the place of a record, as somebody does who can write the store.
///
/// # Panics
/// When there is none.
pub async fn replace(driver: &dyn Driver, key: &Key, bytes: Bytes) {
    let before = read(driver, key).await;
    let save = Save {
        op: OpId::from_bytes(fastrand::u64(..).to_be_bytes()),
        resend: false,
        guard: Guard {
            epoch: before.stamp.epoch,
            version: before.version,
            held: None,
        },
        stamp: before.stamp,
        data: bytes.into(),
        ttl: TTL,
        release: false,
    };
    match driver.save(key, save).await {
        Ok(Written::Done { .. }) => {}
        other => panic!("a save was expected, and the answer was {other:?}"),
    }
}
