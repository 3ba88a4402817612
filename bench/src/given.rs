//! What a driver is asked with.

use asm_core::{Epoch, Key, OpId, Proof, Proofs, Stamp};

/// The key of the session of this number, which lies anywhere among all keys.
#[must_use]
pub fn key(session: u32) -> Key {
    let spread = u128::from(session).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Key::from_bytes(spread.to_be_bytes())
}

/// A name that no other write has.
#[must_use]
pub fn op() -> OpId {
    OpId::from_bytes(fastrand::u64(..).to_be_bytes())
}

/// The epoch and proofs of every session.
#[must_use]
pub fn stamp() -> Stamp {
    Stamp {
        epoch: Epoch::new(1),
        proofs: Proofs {
            current: Proof::from_bytes([1; 16]),
            pending: None,
        },
    }
}
