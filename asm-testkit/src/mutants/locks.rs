//! What can be wrong with locks.

use std::{collections::HashMap, future::poll_fn, pin::pin, task::Poll, time::Duration};

use asm_core::{
    Acquired, Broken, Fence, Key, LockState, LockStore, LockToken, LockWish, Open, OpenLock,
    Opened, OpenedLock, Released, Renewed, Result, Save, SessionStore, Touch, Written,
};

use super::{
    bench::{Base, gap},
    draft::Draft,
    mutants,
};

const LONG: Duration = Duration::from_secs(1_000_000_000);

fn holder(base: &Base, key: &Key) -> Option<LockToken> {
    let grant = base.store().look(key)?.lock.grant?;
    Some(LockToken::from_bytes(grant.token))
}

fn queue_grew(before: &Draft, after: &Draft) -> bool {
    after.lock.queue.len() > before.lock.queue.len()
}

mutants! {
    /// The token is not checked: any says that it holds.
    token_not_checked {
        kills: [
            locks::saves_nothing_after_a_loss,
            locks::saves_nothing_over_the_next_holders_save,
            locks::break_frees_the_lock,
        ],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if req.guard.held.is_some() {
                    req.guard.held = holder(&self.base, key);
                }
                self.base.save(key, req).await
            }
        },
    }

    /// Who does not hold may save while another does.
    lock_not_checked {
        kills: [locks::newcomers_pass_no_queue, feed::tells_of_nothing_but_changes],
        wrong: {
            async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
                if req.guard.held.is_none() {
                    req.guard.held = holder(&self.base, key);
                }
                self.base.save(key, req).await
            }
        },
    }

    /// Two hold at once.
    two_holders {
        kills: [
            locks::tells_when_the_wait_is_over,
            locks::expires_after_its_hold,
            locks::waits_from_the_call,
            locks::no_delay_by_a_waiter_that_gives_up,
        ],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                match self.base.acquire(key, wish).await {
                    Ok(Acquired::Busy) => Ok(Acquired::Held {
                        fence: Fence::new(u64::MAX),
                        snapshot: None,
                    }),
                    answer => answer,
                }
            }
        },
    }

    /// A waiter holds before the holder has let go.
    holds_too_early {
        kills: [locks::never_two_hold_at_once],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                let attempt = LockWish { wait: Duration::ZERO, ..wish.clone() };
                let answer = self.base.acquire(key, attempt).await;
                gap(20);
                match answer {
                    Ok(Acquired::Busy) if !wish.wait.is_zero() => Ok(Acquired::Held {
                        fence: Fence::new(u64::MAX),
                        snapshot: None,
                    }),
                    answer => answer,
                }
            }
        },
    }

    /// Anybody releases.
    release_by_anyone {
        kills: [
            locks::strangers_release_nothing,
            locks::former_holders_release_nothing,
            locks::locking_nothing_leaves_nothing,
        ],
        wrong: {
            async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
                match self.base.release(key, token).await {
                    Ok(Released::NotHeld) => {
                        self.base.break_lock(key, None).await?;
                        Ok(Released::Done)
                    }
                    answer => answer,
                }
            }
        },
    }

    /// A release always says that it worked.
    release_is_always_done {
        kills: [
            locks::strangers_release_nothing,
            locks::former_holders_release_nothing,
            locks::release_withdraws_a_ticket,
        ],
        wrong: {
            async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
                self.base.release(key, token).await?;
                Ok(Released::Done)
            }
        },
    }

    /// Released tokens are not remembered.
    forgets_released_tokens {
        kills: [
            locks::retried_release_is_done,
            locks::grants_no_released_token,
            locks::acquires_twice_through_one_handle,
        ],
        flaws: { step: Some(|_, after, _| after.lock.released.clear()), },
    }

    /// A release does not withdraw a ticket.
    release_leaves_tickets {
        kills: [
            locks::retried_release_is_done,
            locks::release_withdraws_a_ticket,
            locks::cancelled_save_leaves_no_lock,
        ],
        wrong: {
            async fn release(&self, key: &Key, token: &LockToken) -> Result<Released> {
                if holder(&self.base, key) == Some(*token) {
                    return self.base.release(key, token).await;
                }
                Ok(Released::NotHeld)
            }
        },
    }

    /// An expired lock is renewed.
    renew_after_expiry {
        kills: [
            locks::renews_only_for_the_holder,
            locks::renews_nothing_that_has_ended,
            locks::paused_holder_changes_nothing,
        ],
        wrong: {
            async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
                match self.base.renew(key, token, hold).await {
                    Ok(Renewed::Lost) => Ok(Renewed::Done { left: hold }),
                    answer => answer,
                }
            }
        },
    }

    /// A renewal shortens.
    renew_shortens {
        kills: [locks::renewal_never_shortens],
        wrong: {
            async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
                let until = (self.base.store().now() + hold).as_micros();
                let renewed = self.base.renew(key, token, hold).await?;
                if matches!(renewed, Renewed::Done { .. }) {
                    self.base.store().edit(key, |draft| {
                        if let Some(grant) = &mut draft.lock.grant {
                            grant.until = until;
                        }
                    });
                    return Ok(Renewed::Done { left: hold });
                }
                Ok(renewed)
            }
        },
    }

    /// A stranger renews.
    renew_by_anyone {
        kills: [
            locks::renews_only_for_the_holder,
            locks::renews_nothing_that_has_ended,
            locks::paused_holder_changes_nothing,
        ],
        wrong: {
            async fn renew(&self, key: &Key, token: &LockToken, hold: Duration) -> Result<Renewed> {
                let token = holder(&self.base, key).unwrap_or(*token);
                self.base.renew(key, &token, hold).await
            }
        },
    }

    /// A lock never expires.
    lock_never_expires {
        kills: [
            locks::expires_after_its_hold,
            locks::expires_however_it_was_taken,
            locks::renewal_never_shortens,
        ],
        flaws: {
            step: Some(|_, after, _| {
                if let Some(grant) = &mut after.lock.grant {
                    grant.until = u64::MAX;
                }
            }),
        },
    }

    /// A lock taken with an open never expires.
    open_lock_never_expires {
        kills: [locks::opens_with_lock_as_acquire_then_open, locks::expires_however_it_was_taken],
        wrong: {
            async fn open(&self, key: &Key, mut req: Open) -> Result<Opened> {
                if let Some(lock) = &mut req.lock {
                    lock.claim.hold = LONG;
                }
                self.base.open(key, req).await
            }
        },
    }

    /// The fence starts again when nobody holds.
    fence_resets {
        kills: [locks::fences_strictly_grow, locks::ended_epoch_is_told_to_waiters],
        flaws: {
            step: Some(|_, after, _| {
                if after.lock.grant.is_none() {
                    after.lock.fence = 0;
                }
            }),
        },
    }

    /// Who came last is served first.
    lifo_queue {
        kills: [locks::release_wakes_one, locks::no_delay_by_a_stopped_holder_to_be],
        flaws: {
            step: Some(|before, after, _| {
                if queue_grew(before, after) {
                    after.lock.queue.rotate_right(1);
                }
            }),
        },
    }

    /// A release serves two: the second loses its place.
    two_wake_ups {
        kills: [locks::grants_follow_arrival],
        flaws: {
            step: Some(|before, after, _| {
                if after.lock.fence > before.lock.fence && !after.lock.queue.is_empty() {
                    after.lock.queue.remove(0);
                }
            }),
        },
    }

    /// A newcomer passes the queue when the lock comes free.
    newcomer_passes_the_queue {
        kills: [locks::newcomers_pass_no_queue],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                let token = *wish.claim.token.as_bytes();
                self.base.store().edit(key, |draft| {
                    if let Some(grant) = &mut draft.lock.grant
                        && !grant.confirmed
                    {
                        grant.token = token;
                    }
                });
                self.base.acquire(key, wish).await
            }
        },
    }

    /// The queue takes one too many.
    queue_limit_off_by_one {
        kills: [locks::limit_zero_never_waits],
        wrong: {
            async fn acquire(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
                wish.queue = wish.queue.map(|limit| limit + 1);
                self.base.acquire(key, wish).await
            }
        },
    }

    /// The limit of the queue is looked at before, in a step of its own.
    queue_limit_in_steps {
        kills: [locks::full_queue_refuses_a_crowd],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                let state = self.base.inspect(key).await?;
                let is_full = |limit| state.waiters.len() >= limit as usize;
                if state.holder.is_some() && wish.queue.is_some_and(is_full) {
                    return Ok(Acquired::QueueFull);
                }
                gap(50);
                self.base.acquire(key, LockWish { queue: None, ..wish }).await
            }
        },
    }

    /// A queue has at most three places.
    hidden_queue_limit {
        kills: [locks::no_limit_no_cap],
        wrong: {
            async fn acquire(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
                wish.queue = Some(wish.queue.unwrap_or(3).min(3));
                self.base.acquire(key, wish).await
            }
        },
    }

    /// A full queue is told as busy.
    full_is_busy {
        kills: [
            locks::full_queue_refuses,
            locks::limit_zero_never_waits,
            locks::stopped_waiter_takes_no_place,
        ],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                match self.base.acquire(key, wish).await {
                    Ok(Acquired::QueueFull) => Ok(Acquired::Busy),
                    answer => answer,
                }
            }
        },
    }

    /// A try waits a second.
    try_waits {
        kills: [locks::zero_wait_is_a_try],
        wrong: {
            async fn acquire(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
                wish.wait = wish.wait.max(Duration::from_secs(1));
                self.base.acquire(key, wish).await
            }
        },
    }

    /// A wait is twice as long as it should be.
    waits_too_long {
        kills: [locks::waits_from_the_call],
        wrong: {
            async fn acquire(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
                wish.wait *= 2;
                self.base.acquire(key, wish).await
            }
        },
    }

    /// Nobody ever waits.
    never_waits {
        kills: [locks::second_holds_after_the_first],
        wrong: {
            async fn acquire(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
                wish.wait = Duration::ZERO;
                self.base.acquire(key, wish).await
            }
        },
    }

    /// A cancelled request leaves its ticket, or its lock.
    leaks_a_waiter_on_cancel {
        kills: [
            locks::cancelled_open_leaves_no_lock,
            locks::cancelled_create_leaves_no_lock,
            locks::cancelled_acquire_leaves_no_lock,
            locks::cancelled_waiter_leaves_nothing,
        ],
        flaws: { detaches: false, },
        wrong: {
            fn abandon(&self, _: &Key, _: &LockToken) {}
        },
    }

    /// Tickets of the dead are kept for good.
    dead_waiters_stay {
        kills: [locks::stopped_waiter_takes_no_place, locks::abandon_frees_the_lock],
        flaws: {
            detaches: false,
            step: Some(|_, after, _| {
                for ticket in &mut after.lock.queue {
                    ticket.silent = u64::MAX;
                }
            }),
        },
    }

    /// A waiter is taken for dead between two rechecks.
    live_waiters_are_dropped {
        kills: [locks::second_holds_after_the_first],
        flaws: {
            step: Some(|before, after, now| {
                if !queue_grew(before, after) && before.lock.queue.len() == after.lock.queue.len() {
                    after.lock.queue.retain(|ticket| ticket.silent > now.as_micros() + 2_999_999);
                }
            }),
        },
    }

    /// A grant that was handed over never expires unconfirmed.
    grant_never_expires_unconfirmed {
        kills: [locks::no_delay_by_a_dropped_waiter],
        flaws: {
            detaches: false,
            step: Some(|_, after, _| {
                if let Some(grant) = &mut after.lock.grant
                    && !grant.confirmed
                {
                    grant.until = u64::MAX;
                }
            }),
        },
    }

    /// A lost wake-up is never made up for.
    waits_for_wake_ups_only {
        kills: [locks::stopped_waiter_takes_no_place, locks::lost_wake_up_delays_by_a_recheck],
        flaws: {
            timing: asm_entry::Timing {
                recheck: Duration::from_secs(1_000),
                confirm: Duration::from_secs(2),
                silence: Duration::from_secs(3_000),
            },
        },
    }

    /// A waiter that is woken for nothing, again and again, gives up.
    gives_up_when_woken {
        kills: [locks::spurious_wake_up_is_harmless],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                let mut acquire = pin!(self.base.acquire(key, wish));
                let mut polls = 0;
                poll_fn(|context| {
                    polls += 1;
                    match acquire.as_mut().poll(context) {
                        Poll::Pending if polls > 50 => Poll::Ready(Ok(Acquired::Busy)),
                        answer => answer,
                    }
                })
                .await
            }
        },
    }

    /// A waiter has no patience.
    waits_too_briefly {
        kills: [
            locks::expiry_serves_the_queue,
            locks::waits_from_the_call,
            locks::no_delay_by_a_stopped_holder_to_be,
            locks::live_waiter_keeps_its_place,
        ],
        wrong: {
            async fn acquire(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
                wish.wait = wish.wait.min(Duration::from_millis(1_500));
                self.base.acquire(key, wish).await
            }
        },
    }

    /// A key of a lock is made for a session that there is not.
    lock_key_for_unknown_ids {
        kills: [locks::locking_nothing_leaves_nothing, locks::locking_the_dead_leaves_nothing],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                let acquired = self.base.acquire(key, wish).await;
                if matches!(acquired, Ok(Acquired::Missing)) {
                    self.base.store().litter();
                }
                acquired
            }
        },
    }

    /// A busy open answers no record.
    busy_open_without_record {
        kills: [
            locks::grants_no_released_token,
            locks::newcomers_pass_no_queue,
            locks::busy_open_answers_the_record,
        ],
        wrong: {
            async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
                match self.base.open(key, req).await {
                    Ok(Opened::Found { lock: OpenedLock::Busy, .. }) => Ok(Opened::Missing),
                    answer => answer,
                }
            }
        },
    }

    /// The lock is taken before the proof is looked at.
    locks_before_the_proof {
        kills: [locks::forged_secrets_take_no_lock, locks::busy_open_answers_the_record],
        wrong: {
            async fn open(&self, key: &Key, mut req: Open) -> Result<Opened> {
                if let Some(OpenLock { proof, .. }) = &mut req.lock
                    && let Some(draft) = self.base.store().look(key)
                {
                    *proof = asm_core::Proof::from_bytes(draft.head.current);
                }
                self.base.open(key, req).await
            }
        },
    }

    /// Only the current proof takes the lock.
    pending_proof_is_forged {
        kills: [locks::busy_open_answers_the_record],
        wrong: {
            async fn open(&self, key: &Key, mut req: Open) -> Result<Opened> {
                if let Some(draft) = self.base.store().look(key)
                    && req.lock.as_ref().is_some_and(|lock| {
                        draft.head.pending == Some(*lock.proof.as_bytes())
                    })
                {
                    req.lock = None;
                }
                self.base.open(key, req).await
            }
        },
    }

    /// An open queues, or pushes others aside.
    open_breaks_the_lock {
        kills: [locks::holds_on_a_second_asking, locks::busy_open_answers_the_record],
        wrong: {
            async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
                if req.lock.is_some() {
                    self.base.break_lock(key, None).await?;
                }
                self.base.open(key, req).await
            }
        },
    }

    /// A read breaks the lock.
    read_breaks_the_lock {
        kills: [
            locks::opens_with_lock_as_acquire_then_open,
            locks::expires_however_it_was_taken,
            locks::cancelled_save_leaves_no_lock,
        ],
        wrong: {
            async fn open(&self, key: &Key, req: Open) -> Result<Opened> {
                if req.lock.is_none() {
                    self.base.break_lock(key, None).await?;
                }
                self.base.open(key, req).await
            }
        },
    }

    /// A save does not release.
    save_does_not_release {
        kills: [locks::cancelled_save_leaves_no_lock],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                self.base.save(key, Save { release: false, ..req }).await
            }
        },
    }

    /// A save always releases.
    save_always_releases {
        kills: [locks::renewed_id_keeps_the_queue, locks::ended_epoch_is_told_to_waiters],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                self.base.save(key, Save { release: true, ..req }).await
            }
        },
    }

    /// A grant never brings the record.
    grant_without_record {
        kills: [
            locks::saves_with_release_as_save_then_release,
            locks::acquires_with_the_record_when_newer,
            locks::renewed_id_keeps_the_queue,
        ],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                match self.base.acquire(key, wish).await {
                    Ok(Acquired::Held { fence, .. }) => Ok(Acquired::Held {
                        fence,
                        snapshot: None,
                    }),
                    answer => answer,
                }
            }
        },
    }

    /// A holder that asks again waits for itself.
    waits_for_itself {
        kills: [locks::holds_on_a_second_asking],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                if holder(&self.base, key) == Some(wish.claim.token) {
                    return Ok(Acquired::Busy);
                }
                self.base.acquire(key, wish).await
            }
        },
    }

    /// One who asks again waits twice.
    waits_twice {
        kills: [locks::second_holds_after_the_first],
        flaws: {
            step: Some(|before, after, _| {
                if queue_grew(before, after)
                    && let Some(ticket) = after.lock.queue.last().cloned()
                {
                    after.lock.queue.push(ticket);
                }
            }),
        },
    }

    /// A wish that is sent again stands in the queue again.
    resent_wish_queues_again {
        kills: [locks::waits_once_when_sent_twice, locks::full_queue_refuses],
        wrong: {
            async fn acquire(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
                let token = *wish.claim.token.as_bytes();
                let queued = self.base.store().look(key).is_some_and(|draft| {
                    draft.lock.queue.iter().any(|ticket| ticket.token == token)
                });
                if queued {
                    wish.claim.token = LockToken::from_bytes(token.map(|byte| !byte));
                }
                self.base.acquire(key, wish).await
            }
        },
    }

    /// A break leaves the holder.
    break_leaves_the_holder {
        kills: [
            locks::former_holders_release_nothing,
            locks::break_frees_the_lock,
            locks::one_of_two_breakers_breaks,
        ],
        wrong: {
            async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
                let before = self.base.store().look(key);
                let broken = self.base.break_lock(key, fence).await;
                if let Some(before) = before {
                    self.base.store().edit(key, |draft| draft.lock = before.lock);
                }
                broken
            }
        },
    }

    /// A break serves nobody.
    break_forgets_the_queue {
        kills: [locks::break_serves_the_queue],
        wrong: {
            async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
                self.base.store().edit(key, |draft| draft.lock.queue.clear());
                self.base.break_lock(key, fence).await
            }
        },
    }

    /// A break breaks a later grant.
    breaks_a_later_grant {
        kills: [locks::later_grant_is_not_broken],
        wrong: {
            async fn break_lock(&self, key: &Key, _: Option<Fence>) -> Result<Broken> {
                self.base.break_lock(key, None).await
            }
        },
    }

    /// Every breaker is told that it broke.
    break_is_always_done notes HashMap<Key, Broken> {
        kills: [locks::break_frees_the_lock, locks::one_of_two_breakers_breaks],
        wrong: {
            async fn break_lock(&self, key: &Key, fence: Option<Fence>) -> Result<Broken> {
                let broken = self.base.break_lock(key, fence).await?;
                self.notes.with(|notes| match broken {
                    Broken::NotHeld => Ok(notes.get(key).cloned().unwrap_or(Broken::NotHeld)),
                    done => {
                        notes.insert(*key, done.clone());
                        Ok(done)
                    }
                })
            }
        },
    }

    /// Waiters of a session that is over are told that it is busy.
    expiry_is_busy {
        kills: [
            locks::locking_nothing_leaves_nothing,
            locks::locking_the_dead_leaves_nothing,
            locks::expiry_is_told_to_waiters,
            trouble::answers_although_others_wait,
        ],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                match self.base.acquire(key, wish).await {
                    Ok(Acquired::Missing) => Ok(Acquired::Busy),
                    answer => answer,
                }
            }
        },
    }

    /// The epoch of a waiter is not looked at.
    lock_ignores_the_epoch {
        kills: [records::refuses_every_request_of_an_ended_epoch],
        wrong: {
            async fn acquire(&self, key: &Key, mut wish: LockWish) -> Result<Acquired> {
                if let Some(draft) = self.base.store().look(key) {
                    wish.epoch = asm_core::Epoch::new(draft.head.epoch);
                }
                self.base.acquire(key, wish).await
            }
        },
    }

    /// A renewal of the id drops the queue.
    renewal_drops_the_queue {
        kills: [locks::renewed_id_keeps_the_queue],
        flaws: {
            step: Some(|before, after, _| {
                if before.head.pending != after.head.pending {
                    after.lock.queue.clear();
                }
            }),
        },
    }

    /// A holder's save is refused as lost when the lock is its own.
    holder_cannot_save {
        kills: [
            locks::saves_with_release_as_save_then_release,
            locks::saves_nothing_over_the_next_holders_save,
            locks::cancelled_save_leaves_no_lock,
        ],
        wrong: {
            async fn save(&self, key: &Key, req: Save) -> Result<Written> {
                match req.guard.held {
                    Some(_) => Ok(Written::LockLost),
                    None => self.base.save(key, req).await,
                }
            }
        },
    }

    /// Inspecting shows nobody.
    inspect_shows_nobody {
        kills: [
            locks::expires_however_it_was_taken,
            locks::renewal_never_shortens,
            locks::retried_release_is_done,
        ],
        wrong: {
            async fn inspect(&self, _: &Key) -> Result<LockState> {
                Ok(LockState::default())
            }
        },
    }

    /// A lock outlives its session's deadline by keeping it alive.
    lock_extends_the_session {
        kills: [
            locks::reading_disturbs_nothing,
            locks::locking_the_dead_leaves_nothing,
            locks::wrong_clocks_change_nothing,
        ],
        wrong: {
            async fn acquire(&self, key: &Key, wish: LockWish) -> Result<Acquired> {
                let touch = Touch { epoch: wish.epoch, ttl: LONG };
                self.base.touch(key, touch).await?;
                self.base.acquire(key, wish).await
            }
        },
    }
}
