//! The lock: grants, tickets, hand-off.

use std::{collections::VecDeque, time::Duration};

use asm_core::{
    Acquired, Broken, Claim, Epoch, Fence, Holder, Label, LockState, LockToken, LockWish,
    OpenedLock, Released, Renewed, Timestamp, Waiter,
};
use serde::{Deserialize, Serialize};

use crate::{Entry, Outcome, Parts, Turn};

/// How many released tokens a lock remembers.
const REMEMBERED: usize = 4;

/// The lock of one session, as far as it has any.
#[derive(Debug, Default)]
pub(crate) struct Lock {
    /// Of the last grant. It stays when the lock is free, so that no number comes back.
    fence: u64,
    grant: Option<Grant>,
    queue: VecDeque<Ticket>,
    /// Tokens that held or waited and gave up, the newest first.
    released: VecDeque<LockToken>,
}

#[derive(Debug)]
pub(crate) struct Grant {
    token: LockToken,
    label: Label,
    until: Timestamp,
    /// Whether the holder knows. A hand-off waits for it.
    confirmed: bool,
}

#[derive(Debug)]
struct Ticket {
    token: LockToken,
    label: Label,
    epoch: Epoch,
    /// When its wait is over.
    until: Timestamp,
    /// When it is taken for dead, unless it shows itself.
    silent: Timestamp,
}

/// What a waiter wants of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take the lock, or wait (on) for it.
    Join,
    /// Take the lock if it has just been handed over, else wait no more.
    Leave,
}

/// What one step of acquiring gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Stepped {
    /// The acquisition is over.
    Answer(Acquired),
    /// It waits. It is woken when the lock is handed to it; without that it should look again
    /// after this time at the latest, or after one recheck.
    Queued {
        /// When something will lapse that concerns it.
        look_again: Duration,
    },
}

impl Entry {
    /// One step towards the lock. `wish.wait` is what is left of the wait.
    ///
    /// # Errors
    /// None but the need for a part.
    pub fn acquire(&mut self, turn: &mut Turn, wish: &LockWish, step: Step) -> Outcome<Stepped> {
        self.needs(Parts::LOCK)?;
        if self.settle(turn).is_none() {
            return Ok(Stepped::Answer(Acquired::Missing));
        }
        let claim = &wish.claim;
        if self.epoch() != wish.epoch || self.was_released(&claim.token) {
            return Ok(Stepped::Answer(Acquired::Ended));
        }
        if self.may_take(&claim.token) {
            return self.take(turn, wish).map(Stepped::Answer);
        }
        Ok(match step {
            Step::Join => self.queue_up(turn, wish),
            Step::Leave => {
                self.withdraw(&claim.token);
                Stepped::Answer(Acquired::Busy)
            }
        })
    }

    /// Makes our grant last longer; never shorter.
    ///
    /// # Errors
    /// None but the need for a part.
    pub fn renew(
        &mut self,
        turn: &mut Turn,
        token: &LockToken,
        hold: Duration,
    ) -> Outcome<Renewed> {
        self.needs(Parts::LOCK)?;
        if self.settle(turn).is_none() {
            return Ok(Renewed::Missing);
        }
        if !self.is_held_by(token) {
            return Ok(Renewed::Lost);
        }
        let until = turn.now() + hold;
        let grant = self.lock_mut().grant.as_mut();
        Ok(grant.map_or(Renewed::Lost, |grant| {
            grant.until = grant.until.max(until);
            Renewed::Done {
                left: grant.until.since(turn.now()),
            }
        }))
    }

    /// Ends our grant and hands the lock on, or withdraws our ticket.
    ///
    /// # Errors
    /// None but the need for a part.
    pub fn release(&mut self, turn: &mut Turn, token: &LockToken) -> Outcome<Released> {
        self.needs(Parts::LOCK)?;
        self.settle(turn);
        if self.end_grant_of(token) {
            self.settle_lock(turn);
            return Ok(Released::Done);
        }
        if self.withdraw(token) {
            return Ok(Released::Withdrawn);
        }
        Ok(if self.was_released(token) {
            Released::Done
        } else {
            Released::NotHeld
        })
    }

    /// Ends a grant by force: the one of this fence, or whichever there is.
    ///
    /// # Errors
    /// None but the need for a part.
    pub fn break_lock(&mut self, turn: &mut Turn, fence: Option<Fence>) -> Outcome<Broken> {
        self.needs(Parts::LOCK)?;
        self.settle(turn);
        let present = self.fence();
        if fence.is_some_and(|fence| fence != present) || !self.is_locked() {
            return Ok(Broken::NotHeld);
        }
        let label = self.lock_mut().grant.take().map(|grant| grant.label);
        self.settle_lock(turn);
        Ok(Broken::Done {
            fence: present,
            label: label.unwrap_or_default(),
        })
    }

    /// Who holds the lock and who waits.
    ///
    /// # Errors
    /// None but the need for a part.
    pub fn inspect(&mut self, turn: &mut Turn) -> Outcome<LockState> {
        self.needs(Parts::LOCK)?;
        self.settle(turn);
        let Some(lock) = self.lock() else {
            return Ok(LockState::default());
        };
        let now = turn.now();
        Ok(LockState {
            holder: lock.grant.as_ref().map(|grant| Holder {
                fence: self.fence(),
                label: grant.label.clone(),
                left: grant.until.since(now),
                confirmed: grant.confirmed,
            }),
            waiters: lock.queue.iter().map(|ticket| ticket.show(now)).collect(),
        })
    }

    /// Whose grant there is, as far as the lock was loaded.
    #[must_use]
    pub fn holder(&self) -> Option<LockToken> {
        self.lock()?.grant().map(|grant| grant.token)
    }

    /// Whose tickets there are, the next first, as far as the lock was loaded.
    pub fn waiting(&self) -> impl Iterator<Item = LockToken> {
        self.lock().into_iter().flat_map(Lock::waiting)
    }

    /// Ends the grant and the tickets of those who have died, and hands the lock on: for a store
    /// that can tell, before the step. Whoever it cannot tell about is alive, and its hold or its
    /// silence ends it.
    pub fn bury(&mut self, turn: &mut Turn, is_dead: impl Fn(&LockToken) -> bool) {
        let anybody = self.holder().is_some_and(|token| is_dead(&token))
            || self.waiting().any(|token| is_dead(&token));
        if !anybody || self.settle(turn).is_none() {
            return;
        }
        let lock = self.lock_mut();
        lock.grant.take_if(|grant| is_dead(&grant.token));
        lock.queue.retain(|ticket| !is_dead(&ticket.token));
        self.settle_lock(turn);
    }

    /// Ends what is over: the grant, tickets that are late, silent or of another epoch. A lock that
    /// is free then goes to the head of the queue.
    pub(crate) fn settle_lock(&mut self, turn: &mut Turn) {
        if self
            .lock()
            .is_none_or(|lock| lock.is_settled(turn.now(), self.epoch()))
        {
            return;
        }
        let (now, epoch) = (turn.now(), self.epoch());
        let lock = self.lock_mut();
        lock.grant.take_if(|grant| grant.until <= now);
        lock.queue.retain(|ticket| {
            if ticket.epoch != epoch {
                turn.wake(ticket.token);
            }
            ticket.is_live(now, epoch)
        });
        if lock.grant.is_none()
            && let Some(next) = lock.queue.pop_front()
        {
            turn.wake(next.token);
            lock.hand(Grant {
                token: next.token,
                label: next.label,
                until: now + turn.timing().confirm,
                confirmed: false,
            });
        }
    }

    /// The lock for an open: only if nobody has it and nobody waits.
    pub(crate) fn try_lock(&mut self, turn: &Turn, claim: &Claim) -> OpenedLock {
        if self.is_held_by(&claim.token) {
            OpenedLock::Held(self.fence())
        } else if self.is_locked() || self.was_released(&claim.token) {
            OpenedLock::Busy
        } else {
            OpenedLock::Held(self.grant(turn, claim))
        }
    }

    /// A full grant from now.
    pub(crate) fn grant(&mut self, turn: &Turn, claim: &Claim) -> Fence {
        self.lock_mut().hand(Grant {
            token: claim.token,
            label: claim.label.clone(),
            until: turn.now() + claim.hold,
            confirmed: true,
        });
        self.fence()
    }

    /// Ends the grant of this token, and remembers that it did.
    pub(crate) fn end_grant_of(&mut self, token: &LockToken) -> bool {
        let ours = |grant: &Grant| grant.token == *token;
        if !self.grant_is(ours) {
            return false;
        }
        let lock = self.lock_mut();
        lock.grant = None;
        lock.remember(*token);
        true
    }

    /// A settled lock is free only if nobody waits; a hand-off is taken by the one it is for.
    fn may_take(&self, token: &LockToken) -> bool {
        !self.is_locked() || self.grant_is(|grant| grant.token == *token)
    }

    fn take(&mut self, turn: &Turn, wish: &LockWish) -> Outcome<Acquired> {
        let snapshot = if wish.known == Some(self.version()) {
            None
        } else {
            Some(self.snapshot(turn)?)
        };
        let fence = if !self.is_locked() {
            self.grant(turn, &wish.claim)
        } else {
            self.confirm(turn, &wish.claim);
            self.fence()
        };
        Ok(Acquired::Held { fence, snapshot })
    }

    /// Turns a provisional grant into a full one. A confirmed one stays as it is.
    fn confirm(&mut self, turn: &Turn, claim: &Claim) {
        if self.grant_is(|grant| grant.confirmed) {
            return;
        }
        if let Some(grant) = &mut self.lock_mut().grant {
            grant.confirmed = true;
            grant.until = turn.now() + claim.hold;
        }
    }

    fn queue_up(&mut self, turn: &Turn, wish: &LockWish) -> Stepped {
        let now = turn.now();
        let silent = now + turn.timing().silence;
        let token = wish.claim.token;
        let queued = self.lock().map_or(0, |lock| lock.queue.len());
        if let Some(position) = self.lock().and_then(|lock| lock.position(&token)) {
            self.lock_mut().queue[position].silent = silent;
        } else if wish.wait.is_zero() {
            return Stepped::Answer(Acquired::Busy);
        } else if wish.queue.is_some_and(|limit| queued >= limit as usize) {
            return Stepped::Answer(Acquired::QueueFull);
        } else {
            self.lock_mut().queue.push_back(Ticket {
                token,
                label: wish.claim.label.clone(),
                epoch: wish.epoch,
                until: now + wish.wait,
                silent,
            });
        }
        Stepped::Queued {
            look_again: self.look_again(now, &token),
        }
    }

    /// Everybody looks when the session's life is over; only the next in the queue when the grant
    /// is, so that a lapse does not bring all of them at once.
    fn look_again(&self, now: Timestamp, token: &LockToken) -> Duration {
        let life = self.expires();
        let lapse = self.lock().and_then(|lock| {
            let next = lock.position(token)? == 0;
            lock.grant
                .as_ref()
                .filter(|_| next)
                .map(|grant| grant.until)
        });
        lapse.map_or(life, |lapse| lapse.min(life)).since(now)
    }

    fn withdraw(&mut self, token: &LockToken) -> bool {
        let Some(position) = self.lock().and_then(|lock| lock.position(token)) else {
            return false;
        };
        let lock = self.lock_mut();
        lock.queue.remove(position);
        lock.remember(*token);
        true
    }

    fn is_locked(&self) -> bool {
        self.grant_is(|_| true)
    }

    fn is_held_by(&self, token: &LockToken) -> bool {
        self.grant_is(|grant| grant.is_held_by(token))
    }

    fn grant_is(&self, right: impl Fn(&Grant) -> bool) -> bool {
        self.lock().and_then(Lock::grant).is_some_and(right)
    }

    /// The number of the last grant, 0 before the first.
    pub(crate) fn fence(&self) -> Fence {
        Fence::new(self.lock().map_or(0, |lock| lock.fence))
    }

    fn was_released(&self, token: &LockToken) -> bool {
        self.lock()
            .is_some_and(|lock| lock.released.contains(token))
    }
}

impl Grant {
    /// Whether this token has the lock and knows it.
    pub(crate) fn is_held_by(&self, token: &LockToken) -> bool {
        self.confirmed && self.token == *token
    }
}

impl Ticket {
    fn is_live(&self, now: Timestamp, epoch: Epoch) -> bool {
        self.until > now && self.silent > now && self.epoch == epoch
    }

    fn show(&self, now: Timestamp) -> Waiter {
        Waiter {
            label: self.label.clone(),
            left: self.until.since(now),
        }
    }
}

impl Lock {
    pub(crate) fn grant(&self) -> Option<&Grant> {
        self.grant.as_ref()
    }

    pub(crate) fn waiting(&self) -> impl Iterator<Item = LockToken> {
        self.queue.iter().map(|ticket| ticket.token)
    }

    fn is_settled(&self, now: Timestamp, epoch: Epoch) -> bool {
        let granted = match &self.grant {
            Some(grant) => grant.until > now,
            None => self.queue.is_empty(),
        };
        granted && self.queue.iter().all(|ticket| ticket.is_live(now, epoch))
    }

    fn position(&self, token: &LockToken) -> Option<usize> {
        self.queue.iter().position(|ticket| ticket.token == *token)
    }

    fn hand(&mut self, grant: Grant) {
        self.fence = self.fence.saturating_add(1);
        self.grant = Some(grant);
    }

    fn remember(&mut self, token: LockToken) {
        self.released.truncate(REMEMBERED - 1);
        self.released.push_front(token);
    }
}

/// The lock as it is stored.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredLock {
    fence: u64,
    grant: Option<StoredGrant>,
    queue: Vec<StoredTicket>,
    released: Vec<[u8; LockToken::LEN]>,
}

#[derive(Serialize, Deserialize)]
struct StoredGrant {
    token: [u8; LockToken::LEN],
    label: String,
    until: u64,
    confirmed: bool,
}

#[derive(Serialize, Deserialize)]
struct StoredTicket {
    token: [u8; LockToken::LEN],
    label: String,
    epoch: u64,
    until: u64,
    silent: u64,
}

impl StoredLock {
    pub(crate) fn of(lock: &Lock) -> Self {
        Self {
            fence: lock.fence,
            grant: lock.grant.as_ref().map(StoredGrant::of),
            queue: lock.queue.iter().map(StoredTicket::of).collect(),
            released: lock
                .released
                .iter()
                .map(|token| *token.as_bytes())
                .collect(),
        }
    }

    pub(crate) fn restore(self) -> Lock {
        let released = self.released.into_iter().map(LockToken::from_bytes);
        Lock {
            fence: self.fence,
            grant: self.grant.map(StoredGrant::restore),
            queue: self.queue.into_iter().map(StoredTicket::restore).collect(),
            released: released.take(REMEMBERED).collect(),
        }
    }
}

impl StoredGrant {
    fn of(grant: &Grant) -> Self {
        Self {
            token: *grant.token.as_bytes(),
            label: grant.label.as_str().to_owned(),
            until: grant.until.as_micros(),
            confirmed: grant.confirmed,
        }
    }

    fn restore(self) -> Grant {
        Grant {
            token: LockToken::from_bytes(self.token),
            label: Label::new(&self.label),
            until: Timestamp::from_micros(self.until),
            confirmed: self.confirmed,
        }
    }
}

impl StoredTicket {
    fn of(ticket: &Ticket) -> Self {
        Self {
            token: *ticket.token.as_bytes(),
            label: ticket.label.as_str().to_owned(),
            epoch: ticket.epoch.get(),
            until: ticket.until.as_micros(),
            silent: ticket.silent.as_micros(),
        }
    }

    fn restore(self) -> Ticket {
        Ticket {
            token: LockToken::from_bytes(self.token),
            label: Label::new(&self.label),
            epoch: Epoch::new(self.epoch),
            until: Timestamp::from_micros(self.until),
            silent: Timestamp::from_micros(self.silent),
        }
    }
}
