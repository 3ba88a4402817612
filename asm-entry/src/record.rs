//! The verbs of the record: create, open, save, touch, delete.

use asm_core::{
    Change, Claim, Create, Created, Delete, Deleted, Error, ErrorKind, Fence, OpId, Open, OpenLock,
    Opened, OpenedLock, Save, Touch, Touched, Written,
};

use crate::{Entry, Outcome, Parts, Turn, entry::Refusal};

impl Entry {
    /// Stores a first record.
    ///
    /// # Errors
    /// `Full`; `Unknown` for a resend that cannot be resolved any more.
    pub fn create(&mut self, turn: &mut Turn, req: &Create) -> Outcome<Created> {
        self.needs(Parts::LOCK)?;
        if self.settle(turn).is_some() {
            return self.create_again(turn, req);
        }
        turn.make_room(0, size_of::<Self>() + req.data.len())?;
        self.write(req.op, req.stamp, req.data.clone(), turn.now() + req.ttl);
        let fence = req.lock.as_ref().map(|claim| self.grant(turn, claim));
        Ok(Created::Done {
            version: self.version(),
            fence,
            now: turn.now(),
        })
    }

    /// The key is in use: by this very request, if it was sent before.
    fn create_again(&self, turn: &Turn, req: &Create) -> Outcome<Created> {
        match self.version_of(req.op) {
            Some(version) => Ok(Created::Done {
                version,
                fence: req.lock.as_ref().and_then(|claim| self.fence_of(claim)),
                now: turn.now(),
            }),
            None if req.resend && self.version().number > OpId::REMEMBERED as u64 => {
                Err(unresolved().into())
            }
            None => Ok(Created::Taken),
        }
    }

    fn fence_of(&self, claim: &Claim) -> Option<Fence> {
        let held = self.lock()?.grant()?.is_held_by(&claim.token);
        held.then(|| self.fence())
    }

    /// Reads the record and, if asked, tries the lock.
    ///
    /// # Errors
    /// None but the need for a part.
    pub fn open(&mut self, turn: &mut Turn, req: &Open) -> Outcome<Opened> {
        if self.settle(turn).is_none() {
            return Ok(Opened::Missing);
        }
        let snapshot = self.snapshot(turn)?;
        let lock = match &req.lock {
            None => OpenedLock::NotAsked,
            Some(OpenLock { claim, proof }) => {
                self.needs(Parts::LOCK)?;
                if self.stamp().proofs.accept(proof) {
                    self.try_lock(turn, claim)
                } else {
                    OpenedLock::Unproven
                }
            }
        };
        Ok(Opened::Found { snapshot, lock })
    }

    /// Writes a new version, if the guard holds.
    ///
    /// # Errors
    /// `Full`; `Unknown` for a resend that cannot be resolved any more.
    pub fn save(&mut self, turn: &mut Turn, req: &Save) -> Outcome<Written> {
        self.needs(Parts::LOCK)?;
        let alive = self.settle(turn).is_some();
        if let Some(version) = self.version_of(req.op) {
            let now = turn.now();
            return Ok(Written::Done { version, now });
        }
        if !alive {
            return Ok(Written::Missing);
        }
        if req.resend && self.may_have_forgotten(req) {
            return Err(unresolved().into());
        }
        if let Some(refusal) = self.check(turn, &req.guard)? {
            return Ok(refusal.into());
        }
        turn.make_room(self.body().map_or(0, |body| body.len()), req.data.len())?;
        self.write_next(turn, req);
        Ok(Written::Done {
            version: self.version(),
            now: turn.now(),
        })
    }

    /// Had the first sending of this save been applied, it would have made the version after its
    /// guard's; the op ids of the newest versions are remembered.
    fn may_have_forgotten(&self, req: &Save) -> bool {
        let ours = req.guard.version.number.saturating_add(1);
        self.version().number.saturating_sub(ours) >= OpId::REMEMBERED as u64
    }

    fn write_next(&mut self, turn: &mut Turn, req: &Save) {
        let rotated = req.stamp != self.stamp();
        self.write(req.op, req.stamp, req.data.clone(), turn.now() + req.ttl);
        let version = self.version();
        let change = if rotated {
            Change::Rotated(version)
        } else {
            Change::Saved(version)
        };
        turn.publish(change, req.stamp.epoch);
        if let (true, Some(token)) = (req.release, &req.guard.held) {
            self.end_grant_of(token);
        }
        // A new epoch ends the tickets of the old one; a released lock goes to the next.
        self.settle_lock(turn);
    }

    /// Extends the lifetime. Needs the head only.
    pub fn touch(&mut self, turn: &mut Turn, req: &Touch) -> Touched {
        if self.settle(turn).is_none() {
            return Touched::Missing;
        }
        if self.epoch() != req.epoch {
            return Touched::Ended;
        }
        self.extend(turn.now() + req.ttl);
        Touched::Done {
            left: self.expires().since(turn.now()),
            now: turn.now(),
        }
    }

    /// Ends the session, if the guard holds.
    ///
    /// # Errors
    /// None but the need for a part.
    pub fn delete(&mut self, turn: &mut Turn, req: &Delete) -> Outcome<Deleted> {
        self.needs(Parts::LOCK)?;
        if self.settle(turn).is_none() {
            return Ok(Deleted::Nothing);
        }
        if let Some(guard) = &req.only_if
            && let Some(refusal) = self.check(turn, guard)?
        {
            return Ok(refusal.into());
        }
        self.vanish(turn);
        Ok(Deleted::Done)
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

/// Too much came between a write and its resend.
pub(crate) fn unresolved() -> Error {
    Error::new(
        ErrorKind::Unknown,
        "this write may have been applied before, and its op id is no longer remembered",
    )
}
