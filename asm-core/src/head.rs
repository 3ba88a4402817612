//! The head of a record: the few values of a session that a driver reads and checks by itself.

use std::fmt;

use crate::opaque::opaque;

opaque! {
    /// One write, named by its author before it is sent for the first time (8 random bytes).
    ///
    /// A record remembers its last [`OpId::REMEMBERED`] op ids, so that a write whose answer was
    /// lost can be sent again and is counted once.
    OpId, 8
}

impl OpId {
    /// How many op ids a record remembers, the newest included.
    pub const REMEMBERED: usize = 4;
}

/// One state of a record: the number of writes up to it, and the op id of the last.
///
/// Two versions are equal only if both parts are. A number alone would match again after a
/// failover that lost some writes and counted others anew.
///
/// ```
/// use asm_core::{OpId, Version};
///
/// let ours = Version { number: 7, op: OpId::from_bytes([1; 8]) };
/// let theirs = Version { number: 7, op: OpId::from_bytes([2; 8]) };
/// assert_ne!(ours, theirs);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Version {
    /// 1 for a created record, one more with each save.
    pub number: u64,
    /// The write that made this version.
    pub op: OpId,
}

/// A time between two authentications of one session, compared for equality only.
///
/// Each authentication starts a new one. Every request after the open carries the epoch that it
/// was opened under, and is told `Ended` by the store when another one has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// The epoch of this name. Names should be random, so that two histories never share one.
    #[must_use]
    pub const fn new(name: u64) -> Self {
        Self(name)
    }

    /// The name, as a driver stores it.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

/// The first 16 bytes of the SHA-256 of a session's secret, by which a driver tells who may take
/// the lock in the same step as an open.
///
/// Comparison takes the same time wherever two proofs differ.
///
/// ```
/// use asm_core::Proof;
///
/// let proof = Proof::from_bytes([7; 16]);
/// assert_eq!(proof, Proof::from_bytes([7; 16]));
/// assert_eq!(format!("{proof:?}"), "Proof(..)");
/// ```
#[derive(Clone, Copy, Eq)]
pub struct Proof([u8; 16]);

opaque!(@common Proof, 16);

impl PartialEq for Proof {
    fn eq(&self, other: &Self) -> bool {
        let difference = self
            .0
            .iter()
            .zip(&other.0)
            .fold(0, |sum, (a, b)| sum | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

/// Whose open may take the lock: the current secret and, during a renewal, the pending one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proofs {
    /// Of the secret that is current.
    pub current: Proof,
    /// Of the secret that was handed out and not yet presented.
    pub pending: Option<Proof>,
}

impl Proofs {
    /// Whether `proof` is one of them. Both are looked at in any case.
    ///
    /// ```
    /// use asm_core::{Proof, Proofs};
    ///
    /// let proofs = Proofs { current: Proof::from_bytes([1; 16]), pending: None };
    /// assert!(proofs.accept(&Proof::from_bytes([1; 16])));
    /// assert!(!proofs.accept(&Proof::from_bytes([2; 16])));
    /// ```
    #[must_use]
    pub fn accept(&self, proof: &Proof) -> bool {
        let pending = self.pending.as_ref().unwrap_or(&self.current);
        (self.current == *proof) | (*pending == *proof)
    }
}

/// The part of the head that the author of a write decides. Everything else in the head is the
/// driver's own.
///
/// A save that changes it is a rotation; one that changes its epoch is an authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The epoch from this write on.
    pub epoch: Epoch,
    /// The proofs from this write on.
    pub proofs: Proofs,
}

impl fmt::Display for Version {
    /// Shows the number alone.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.number.fmt(f)
    }
}
