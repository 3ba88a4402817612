//! One session: a record and its lock. No I/O and no waiting: a verb is what it does to this value.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use asm_core::{
    Acquired, Create, Created, Delete, Deleted, Error, ErrorKind, Guard, LockWish, OpId, Open,
    OpenLock, Opened, OpenedLock, Redacted, Result, Save, Snapshot, Stamp, Timestamp, Touch,
    Touched, Version, Written,
};
use tokio::sync::Notify;

use crate::lock::{Lock, NoPlace};

#[derive(Debug)]
pub(crate) struct Session {
    /// The number of writes, and the names of the last ones, the newest first.
    number: u64,
    ops: VecDeque<OpId>,
    stamp: Stamp,
    data: Redacted,
    expires: Timestamp,
    pub(crate) lock: Lock,
}

/// One step towards a lock.
pub(crate) enum Step {
    Over(Acquired),
    /// Wait for the bell, and look again after this time at the latest.
    Wait(Arc<Notify>, Duration),
}

enum Refusal {
    Ended,
    LockLost,
    Locked,
    Conflict(Snapshot),
}

impl Session {
    // Requests are destructured: a wish that comes with a later version breaks this build, instead
    // of being ignored.
    pub(crate) fn create(now: Timestamp, req: Create) -> (Self, Created) {
        let Create {
            op,
            resend: _,
            stamp,
            data,
            ttl,
            lock,
        } = req;
        let mut session = Self {
            number: 1,
            ops: VecDeque::from([op]),
            stamp,
            data,
            expires: now + ttl,
            lock: Lock::default(),
        };
        let created = Created::Done {
            version: session.version(),
            fence: lock.and_then(|claim| session.lock.take(now, &claim)),
            now,
        };
        (session, created)
    }

    /// The key is in use: by this very request, if it was sent before.
    pub(crate) fn create_again(&self, now: Timestamp, req: &Create) -> Result<Created> {
        match self.version_of(req.op) {
            Some(version) => Ok(Created::Done {
                version,
                fence: req
                    .lock
                    .as_ref()
                    .and_then(|claim| self.lock.fence_of(&claim.token)),
                now,
            }),
            None if req.resend && self.forgot(0) => Err(unresolved()),
            None => Ok(Created::Taken),
        }
    }

    /// Whether it lives. Ends what is over in its lock; the whole of it, its owner removes.
    pub(crate) fn settle(&mut self, now: Timestamp) -> bool {
        self.lock.settle(now, self.stamp.epoch);
        self.expires > now
    }

    pub(crate) fn open(&mut self, now: Timestamp, req: &Open) -> Opened {
        let Open { lock } = req;
        let lock = match lock {
            None => OpenedLock::NotAsked,
            Some(OpenLock { proof, .. }) if !self.stamp.proofs.accept(proof) => {
                OpenedLock::Unproven
            }
            Some(OpenLock { claim, .. }) => {
                let fence = self.lock.try_take(now, claim);
                fence.map_or(OpenedLock::Busy, OpenedLock::Held)
            }
        };
        Opened::Found {
            snapshot: self.snapshot(now),
            lock,
        }
    }

    /// The order of the checks is part of the contract.
    pub(crate) fn save(&mut self, now: Timestamp, req: Save) -> Result<Written> {
        let Save {
            op,
            resend,
            guard,
            stamp,
            data,
            ttl,
            release,
        } = req;
        if let Some(version) = self.version_of(op) {
            return Ok(Written::Done { version, now });
        }
        if resend && self.forgot(guard.version.number) {
            return Err(unresolved());
        }
        if let Some(refusal) = self.refuses(now, &guard) {
            return Ok(refusal.into());
        }
        self.number += 1;
        self.ops.truncate(OpId::REMEMBERED - 1);
        self.ops.push_front(op);
        self.stamp = stamp;
        self.data = data;
        self.expires = now + ttl;
        if let (true, Some(token)) = (release, &guard.held) {
            self.lock.release(token);
        }
        let version = self.version();
        Ok(Written::Done { version, now })
    }

    pub(crate) fn touch(&mut self, now: Timestamp, req: &Touch) -> Touched {
        let Touch { epoch, ttl } = req;
        if *epoch != self.stamp.epoch {
            return Touched::Ended;
        }
        self.expires = self.expires.max(now + *ttl);
        let left = self.expires.since(now);
        Touched::Done { left, now }
    }

    pub(crate) fn delete(&mut self, now: Timestamp, req: &Delete) -> Deleted {
        let Delete { only_if } = req;
        if let Some(guard) = only_if
            && let Some(refusal) = self.refuses(now, guard)
        {
            return refusal.into();
        }
        self.expires = now;
        Deleted::Done
    }

    /// `wish.wait` is what is left of the wait; zero asks for the last time.
    pub(crate) fn acquire(&mut self, now: Timestamp, wish: &LockWish) -> Step {
        let claim = &wish.claim;
        if wish.epoch != self.stamp.epoch || self.lock.was_released(&claim.token) {
            return Step::Over(Acquired::Ended);
        }
        if let Some(fence) = self.lock.take(now, claim) {
            let newer = wish.known != Some(self.version());
            let snapshot = newer.then(|| self.snapshot(now));
            return Step::Over(Acquired::Held { fence, snapshot });
        }
        match self.lock.queue_up(now, wish) {
            Ok(bell) => Step::Wait(bell, self.lock.left(now).min(self.expires.since(now))),
            Err(NoPlace::Full) => Step::Over(Acquired::QueueFull),
            Err(NoPlace::WaitIsOver) => Step::Over(Acquired::Busy),
        }
    }

    fn refuses(&self, now: Timestamp, guard: &Guard) -> Option<Refusal> {
        let Guard {
            epoch,
            version,
            held,
        } = guard;
        if *epoch != self.stamp.epoch {
            return Some(Refusal::Ended);
        }
        match held {
            Some(token) if self.lock.fence_of(token).is_none() => return Some(Refusal::LockLost),
            None if !self.lock.is_free() => return Some(Refusal::Locked),
            _ => {}
        }
        (*version != self.version()).then(|| Refusal::Conflict(self.snapshot(now)))
    }

    /// Whether a write on the version of this number may have happened, and its name be forgotten.
    fn forgot(&self, base: u64) -> bool {
        self.number > base.saturating_add(OpId::REMEMBERED as u64)
    }

    /// The version that this write made, as far as it is remembered.
    fn version_of(&self, op: OpId) -> Option<Version> {
        let age = self.ops.iter().position(|known| *known == op)?;
        let number = self.number - age as u64;
        Some(Version { number, op })
    }

    fn version(&self) -> Version {
        Version {
            number: self.number,
            op: self.ops[0],
        }
    }

    fn snapshot(&self, now: Timestamp) -> Snapshot {
        Snapshot {
            version: self.version(),
            stamp: self.stamp,
            data: self.data.clone(),
            left: Some(self.expires.since(now)),
            now,
        }
    }
}

impl From<Refusal> for Written {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Ended => Self::Ended,
            Refusal::LockLost => Self::LockLost,
            Refusal::Locked => Self::Locked,
            Refusal::Conflict(snapshot) => Self::Conflict(snapshot),
        }
    }
}

impl From<Refusal> for Deleted {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Ended => Self::Ended,
            Refusal::LockLost => Self::LockLost,
            Refusal::Locked => Self::Locked,
            Refusal::Conflict(snapshot) => Self::Conflict(snapshot),
        }
    }
}

fn unresolved() -> Error {
    let message = "this write may have happened before, and its name is no longer remembered";
    Error::new(ErrorKind::Unknown, message)
}
