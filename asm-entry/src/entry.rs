//! What a store keeps for one session.

use std::time::Duration;

use asm_core::{
    Change, Epoch, Error, ErrorKind, Guard, OpId, Proof, Proofs, Redacted, Result, Snapshot, Stamp,
    Timestamp, Version,
};
use bytes::BytesMut;

use crate::{Changes, Parts, Turn, fields::Fields, lock::Lock};

/// Everything that a store keeps for one session; each verb is a transition on it.
///
/// Every verb first *settles* the entry: what is over by now ends before anything else happens, and
/// a free lock goes to the head of its queue. So whoever looks first serves those who wait.
///
/// The layout is meant for millions of them in memory: what few sessions use is behind pointers.
#[derive(Debug)]
pub struct Entry {
    /// Number of writes; 0 in a vacant entry.
    number: u64,
    /// The last op ids, the newest first. As many count as there were writes.
    ops: [OpId; OpId::REMEMBERED],
    expires: Timestamp,
    epoch: Epoch,
    current: Proof,
    pending: Option<Box<Proof>>,
    /// `None` when it was not loaded.
    body: Option<Redacted>,
    lock: Option<Box<Lock>>,
    fields: Option<Box<Fields>>,
    loaded: Parts,
    changes: Changes,
}

/// What a transition answers: its outcome, or why it stopped without changing the session.
pub type Outcome<T> = Result<T, Interrupt>;

/// Why a transition stopped without changing the session.
#[derive(Debug)]
pub enum Interrupt {
    /// It needs these parts too. Load them and run it again.
    Needs(Parts),
    /// It failed.
    Failed(Error),
}

impl From<Error> for Interrupt {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl From<Interrupt> for Error {
    /// For one who has no more parts to load.
    fn from(interrupt: Interrupt) -> Self {
        match interrupt {
            Interrupt::Failed(error) => error,
            Interrupt::Needs(_) => {
                let error = "the store did not load a part that it was asked for";
                Self::new(ErrorKind::Other, error)
            }
        }
    }
}

/// Why a guarded write is refused.
pub(crate) enum Refusal {
    Ended,
    LockLost,
    Locked,
    Conflict(Snapshot),
}

impl Entry {
    /// An entry without a session, all of whose parts are loaded.
    #[must_use]
    pub fn vacant() -> Self {
        Self {
            number: 0,
            ops: [OpId::from_bytes([0; OpId::LEN]); OpId::REMEMBERED],
            expires: Timestamp::from_micros(0),
            epoch: Epoch::new(0),
            current: Proof::from_bytes([0; Proof::LEN]),
            pending: None,
            body: Some(Redacted::default()),
            lock: None,
            fields: None,
            loaded: Parts::ALL,
            changes: Changes::default(),
        }
    }

    /// Whether there is no session in it. Says nothing about expiry: only a verb looks at the
    /// time.
    #[must_use]
    pub fn is_vacant(&self) -> bool {
        self.number == 0
    }

    /// When its session's life is over.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// Bytes that it takes in memory: itself, its body and its fields, as far as loaded. A vacant
    /// entry takes none.
    #[must_use]
    pub fn weight(&self) -> usize {
        if self.is_vacant() {
            return 0;
        }
        let body = self.body.as_ref().map_or(0, |body| body.len());
        let fields = self.fields.as_ref().map_or(0, |fields| fields.weight());
        size_of::<Self>() + body + fields
    }

    /// What is left of the session's life, `None` when there is none. Ends what is over, and is
    /// all that a sweep has to do.
    pub fn settle(&mut self, turn: &mut Turn) -> Option<Duration> {
        if self.is_vacant() {
            return None;
        }
        if self.expires <= turn.now() {
            self.vanish(turn);
            return None;
        }
        if self.loaded.contains(Parts::LOCK) {
            self.settle_lock(turn);
        }
        Some(self.expires.since(turn.now()))
    }

    /// What was changed since it was made or decoded, for the store to write back.
    #[must_use]
    pub fn changes(&self) -> Changes {
        self.changes
    }

    /// Forgets what was changed: it is written.
    pub fn written(&mut self) {
        self.changes = Changes::default();
    }

    /// Gives back what it cost to share the body with a request that is gone by now. For a store
    /// that keeps entries in memory, after a step and its answer.
    ///
    /// Bytes that were ever cloned keep a counter on the heap, 32 bytes with its bookkeeping.
    pub fn compact(&mut self) {
        if let Some(body) = self.body.take() {
            let alone = body.into_bytes().try_into_mut();
            let body = alone.map_or_else(|shared| shared, BytesMut::freeze);
            self.body = Some(body.into());
        }
    }

    /// Ends the session: record, lock, queue and fields. Everybody who waits is told.
    pub(crate) fn vanish(&mut self, turn: &mut Turn) {
        for token in self.lock.iter().flat_map(|lock| lock.waiting()) {
            turn.wake(token);
        }
        turn.publish(Change::Ended, self.epoch);
        *self = Self {
            changes: Changes {
                clear: true,
                write: Parts::NONE,
            },
            ..Self::vacant()
        };
    }

    /// Whether everything that the guard says is true. The order is part of the contract.
    pub(crate) fn check(&self, turn: &Turn, guard: &Guard) -> Outcome<Option<Refusal>> {
        Ok(if guard.epoch != self.epoch {
            Some(Refusal::Ended)
        } else if let Some(refusal) = self.check_lock(guard) {
            Some(refusal)
        } else if guard.version != self.version() {
            Some(Refusal::Conflict(self.snapshot(turn)?))
        } else {
            None
        })
    }

    fn check_lock(&self, guard: &Guard) -> Option<Refusal> {
        let grant = self.lock.as_ref().and_then(|lock| lock.grant());
        match (&guard.held, grant) {
            (None, None) => None,
            (None, Some(_)) => Some(Refusal::Locked),
            (Some(token), Some(grant)) if grant.is_held_by(token) => None,
            (Some(_), _) => Some(Refusal::LockLost),
        }
    }

    /// Makes the next version of the record, or the first.
    pub(crate) fn write(&mut self, op: OpId, stamp: Stamp, data: Redacted, expires: Timestamp) {
        self.number += 1;
        self.ops.rotate_right(1);
        self.ops[0] = op;
        self.epoch = stamp.epoch;
        self.current = stamp.proofs.current;
        self.pending = stamp.proofs.pending.map(Box::new);
        self.body = Some(data);
        self.expires = expires;
        self.changed(Parts::HEAD | Parts::BODY);
    }

    /// The version that this write made, if it is remembered.
    pub(crate) fn version_of(&self, op: OpId) -> Option<Version> {
        let remembered = usize::try_from(self.number).unwrap_or(usize::MAX);
        let age = self
            .ops
            .iter()
            .take(remembered)
            .position(|known| *known == op)?;
        Some(Version {
            number: self.number - age as u64,
            op,
        })
    }

    pub(crate) fn version(&self) -> Version {
        Version {
            number: self.number,
            op: self.ops[0],
        }
    }

    pub(crate) fn stamp(&self) -> Stamp {
        Stamp {
            epoch: self.epoch,
            proofs: Proofs {
                current: self.current,
                pending: self.pending.as_deref().copied(),
            },
        }
    }

    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    pub(crate) fn snapshot(&self, turn: &Turn) -> Outcome<Snapshot> {
        let data = self.body.clone().ok_or(Interrupt::Needs(Parts::BODY))?;
        Ok(Snapshot {
            version: self.version(),
            stamp: self.stamp(),
            data,
            left: Some(self.expires.since(turn.now())),
            now: turn.now(),
        })
    }

    /// Makes the life longer; never shorter.
    pub(crate) fn extend(&mut self, expires: Timestamp) {
        if expires > self.expires {
            self.expires = expires;
            self.changed(Parts::HEAD);
        }
    }

    pub(crate) fn lock(&self) -> Option<&Lock> {
        self.lock.as_deref()
    }

    /// The lock, to be changed.
    pub(crate) fn lock_mut(&mut self) -> &mut Lock {
        self.changed(Parts::LOCK);
        self.lock.get_or_insert_default()
    }

    pub(crate) fn fields(&self) -> Option<&Fields> {
        self.fields.as_deref()
    }

    /// The fields, to be changed.
    pub(crate) fn fields_mut(&mut self) -> &mut Fields {
        self.changed(Parts::FIELDS);
        self.fields.get_or_insert_default()
    }

    /// The record's bytes, `None` when they were not loaded.
    pub(crate) fn body(&self) -> Option<&Redacted> {
        self.body.as_ref()
    }

    pub(crate) fn needs(&self, parts: Parts) -> Outcome<()> {
        if self.loaded.contains(parts) {
            Ok(())
        } else {
            Err(Interrupt::Needs(parts))
        }
    }

    fn changed(&mut self, parts: Parts) {
        self.changes.write = self.changes.write | parts;
    }
}

impl Entry {
    /// The head in its stored form.
    pub(crate) fn store_head(&self) -> StoredHead {
        StoredHead {
            number: self.number,
            ops: self.ops.map(|op| *op.as_bytes()),
            expires: self.expires.as_micros(),
            epoch: self.epoch.get(),
            current: *self.current.as_bytes(),
            pending: self.pending.as_deref().map(|proof| *proof.as_bytes()),
        }
    }

    /// An entry of what was stored; parts that are not in `loaded` are unknown.
    pub(crate) fn restore(
        loaded: Parts,
        head: &StoredHead,
        body: Option<Redacted>,
        lock: Option<Lock>,
        fields: Option<Fields>,
    ) -> Result<Self> {
        if head.number == 0 || head.number == u64::MAX {
            let what = "a stored head has no version, or the last one";
            return Err(Error::new(ErrorKind::Corrupt, what));
        }
        Ok(Self {
            number: head.number,
            ops: head.ops.map(OpId::from_bytes),
            expires: Timestamp::from_micros(head.expires),
            epoch: Epoch::new(head.epoch),
            current: Proof::from_bytes(head.current),
            pending: head.pending.map(|proof| Box::new(Proof::from_bytes(proof))),
            body,
            lock: lock.map(Box::new),
            fields: fields.map(Box::new),
            loaded,
            changes: Changes::default(),
        })
    }
}

/// The head as it is stored.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct StoredHead {
    number: u64,
    ops: [[u8; OpId::LEN]; OpId::REMEMBERED],
    expires: u64,
    epoch: u64,
    current: [u8; Proof::LEN],
    pending: Option<[u8; Proof::LEN]>,
}

const _: () = assert!(
    size_of::<Entry>() <= 136,
    "a million sessions in memory pay for each byte of this"
);
