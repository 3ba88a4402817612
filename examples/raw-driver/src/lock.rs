//! The lock of one session: a grant, a queue, and what both leave behind.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use asm_core::{
    Broken, Claim, Epoch, Fence, Holder, Label, LockState, LockToken, LockWish, Released, Renewed,
    Timestamp, Waiter,
};
use tokio::sync::Notify;

/// How often a waiter looks again when nothing wakes it.
pub(crate) const RECHECK: Duration = Duration::from_secs(1);

/// How long a grant that was handed on waits for its waiter's next call.
const CONFIRM: Duration = RECHECK.saturating_mul(2);

/// How long a ticket lives without a sign of life.
const SILENCE: Duration = RECHECK.saturating_mul(3);

/// How many released tokens a lock remembers.
const REMEMBERED: usize = 4;

#[derive(Debug, Default)]
pub(crate) struct Lock {
    /// The number of the last grant. It outlives the grant, so that no number comes back.
    fence: u64,
    grant: Option<Grant>,
    queue: VecDeque<Ticket>,
    /// The newest first. A call that comes after its own release must not take the lock again.
    released: VecDeque<LockToken>,
}

#[derive(Debug)]
struct Grant {
    token: LockToken,
    label: Label,
    until: Timestamp,
    /// `false` between a hand-off and the waiter's next call.
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
    bell: Arc<Notify>,
}

/// Why there is no place in the queue.
pub(crate) enum NoPlace {
    Full,
    WaitIsOver,
}

impl Lock {
    /// Ends what is over, and hands a free lock to the head of the queue. Every verb begins and ends
    /// with this, so nothing depends on a task that runs, and no verb hands on by itself.
    pub(crate) fn settle(&mut self, now: Timestamp, epoch: Epoch) {
        self.grant.take_if(|grant| grant.until <= now);
        self.queue.retain(|ticket| ticket.is_live(now, epoch));
        if self.grant.is_none()
            && let Some(next) = self.queue.pop_front()
        {
            self.give(next.token, next.label.clone(), now + CONFIRM, false);
        }
    }

    /// The lock for who may wait: its own grant, confirmed from now on, or a new one if the lock is
    /// free. (A settled lock is free only if nobody waits.)
    pub(crate) fn take(&mut self, now: Timestamp, claim: &Claim) -> Option<Fence> {
        match &mut self.grant {
            None => self.give_to(now, claim),
            Some(grant) if grant.token != claim.token => return None,
            Some(grant) if grant.confirmed => {}
            Some(grant) => {
                grant.confirmed = true;
                grant.until = now + claim.hold;
            }
        }
        Some(self.fence())
    }

    /// The lock for who opens: only if nobody has it and nobody waits.
    pub(crate) fn try_take(&mut self, now: Timestamp, claim: &Claim) -> Option<Fence> {
        if self.grant.is_none() && !self.was_released(&claim.token) {
            self.give_to(now, claim);
        }
        self.fence_of(&claim.token)
    }

    /// A place in the queue, the old one if there is one. Asking for it is a sign of life.
    pub(crate) fn queue_up(
        &mut self,
        now: Timestamp,
        wish: &LockWish,
    ) -> Result<Arc<Notify>, NoPlace> {
        let token = wish.claim.token;
        if wish.wait.is_zero() {
            self.withdraw(&token);
            return Err(NoPlace::WaitIsOver);
        }
        if let Some(position) = self.position(&token) {
            let ticket = &mut self.queue[position];
            ticket.silent = now + SILENCE;
            return Ok(Arc::clone(&ticket.bell));
        }
        if wish
            .queue
            .is_some_and(|most| self.queue.len() >= most as usize)
        {
            return Err(NoPlace::Full);
        }
        let bell = Arc::new(Notify::new());
        self.queue.push_back(Ticket {
            token,
            label: wish.claim.label.clone(),
            epoch: wish.epoch,
            until: now + wish.wait,
            silent: now + SILENCE,
            bell: Arc::clone(&bell),
        });
        Ok(bell)
    }

    pub(crate) fn renew(&mut self, now: Timestamp, token: &LockToken, hold: Duration) -> Renewed {
        match &mut self.grant {
            Some(grant) if grant.is_held_by(token) => {
                grant.until = grant.until.max(now + hold);
                let left = grant.until.since(now);
                Renewed::Done { left }
            }
            _ => Renewed::Lost,
        }
    }

    pub(crate) fn release(&mut self, token: &LockToken) -> Released {
        if self.grant.take_if(|grant| grant.token == *token).is_some() {
            self.remember(*token);
            Released::Done
        } else if self.withdraw(token) {
            Released::Withdrawn
        } else if self.was_released(token) {
            Released::Done
        } else {
            Released::NotHeld
        }
    }

    pub(crate) fn break_grant(&mut self, fence: Option<Fence>) -> Broken {
        let present = self.fence();
        let named = |_: &mut Grant| fence.is_none_or(|fence| fence == present);
        match self.grant.take_if(named) {
            Some(Grant { label, .. }) => Broken::Done {
                fence: present,
                label,
            },
            None => Broken::NotHeld,
        }
    }

    pub(crate) fn inspect(&self, now: Timestamp) -> LockState {
        LockState {
            holder: self.grant.as_ref().map(|grant| Holder {
                fence: self.fence(),
                label: grant.label.clone(),
                left: grant.until.since(now),
                confirmed: grant.confirmed,
            }),
            waiters: Vec::from_iter(self.queue.iter().map(|ticket| Waiter {
                label: ticket.label.clone(),
                left: ticket.until.since(now),
            })),
        }
    }

    /// The grant of this token, if it holds the lock and knows it.
    pub(crate) fn fence_of(&self, token: &LockToken) -> Option<Fence> {
        let grant = self.grant.as_ref()?;
        grant.is_held_by(token).then(|| self.fence())
    }

    pub(crate) fn is_free(&self) -> bool {
        self.grant.is_none()
    }

    /// What is left of the grant that a waiter waits for.
    pub(crate) fn left(&self, now: Timestamp) -> Duration {
        let grant = self.grant.as_ref();
        grant.map_or(Duration::ZERO, |grant| grant.until.since(now))
    }

    pub(crate) fn was_released(&self, token: &LockToken) -> bool {
        self.released.contains(token)
    }

    fn give_to(&mut self, now: Timestamp, claim: &Claim) {
        self.give(claim.token, claim.label.clone(), now + claim.hold, true);
    }

    fn give(&mut self, token: LockToken, label: Label, until: Timestamp, confirmed: bool) {
        self.fence += 1;
        self.grant = Some(Grant {
            token,
            label,
            until,
            confirmed,
        });
    }

    fn withdraw(&mut self, token: &LockToken) -> bool {
        let Some(position) = self.position(token) else {
            return false;
        };
        self.queue.remove(position);
        self.remember(*token);
        true
    }

    fn remember(&mut self, token: LockToken) {
        self.released.truncate(REMEMBERED - 1);
        self.released.push_front(token);
    }

    fn position(&self, token: &LockToken) -> Option<usize> {
        self.queue.iter().position(|ticket| ticket.token == *token)
    }

    fn fence(&self) -> Fence {
        Fence::new(self.fence)
    }
}

impl Grant {
    fn is_held_by(&self, token: &LockToken) -> bool {
        self.confirmed && self.token == *token
    }
}

impl Ticket {
    fn is_live(&self, now: Timestamp, epoch: Epoch) -> bool {
        self.until > now && self.silent > now && self.epoch == epoch
    }
}

/// A ticket that leaves the queue rings, for whatever reason it leaves: its waiter then asks, and is
/// told. Nobody can forget it, and nobody else is woken.
impl Drop for Ticket {
    fn drop(&mut self) {
        self.bell.notify_one();
    }
}
