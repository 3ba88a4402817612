//! Locks: who holds, who waits, and how each ends.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use asm_core::{
    Acquired, Broken, Claim, Create, Delete, Deleted, Driver, Guard, Key, Label, LockState,
    LockToken, LockWish, Opened, OpenedLock, Proofs, Released, Renewed, Save, Snapshot, Stamp,
    Written,
};
use futures_util::{future::join_all, poll};
use tokio::task::yield_now;

use crate::{
    Chaos, Harness, ManualClock, cancel_at, count_awaits, expect, given,
    given::{HOLD, TTL, WAIT},
    sessions::raced,
    together::{gap, together},
    waiting::{Waiting, answered, holder, is_free, lock, resumed, until, waiters},
};

const MOMENT: Duration = Duration::from_millis(100);

/// R2 becomes holder only after R1's lock has ended.
pub async fn second_holds_after_the_first(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, first) = given::held(&*r1, &key, &snapshot).await;

    let waiting = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;
    h.advance(HOLD / 2).await;
    assert!(
        !waiting.is_over(),
        "a waiter has an answer while the lock is held"
    );
    assert_eq!(holder(&*r2, &key).await, Some(first));

    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    assert!(waiting.held(h).await > first);
}

/// When R2's wait is over first, it is told so.
pub async fn tells_when_the_wait_is_over(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (_, first) = given::held(&*r1, &key, &snapshot).await;

    let wish = LockWish {
        wait: HOLD / 2,
        ..given::wish(&snapshot)
    };
    let waiting = Waiting::queued(&r2, &key, wish).await;
    h.advance(HOLD / 2 + MOMENT).await;
    expect::exactly(waiting.answer(h).await, &Acquired::Busy);
    let left = lock(&*r1, &key).await;
    assert_eq!(left.holder.map(|holder| holder.fence), Some(first));
    assert_eq!(left.waiters, [], "a wish that is over left its ticket");
}

/// Whoever holds, holds alone: 16 requests on two handles, each on a thread of its own.
pub async fn never_two_hold_at_once(h: &dyn Harness) {
    const REQUESTS: usize = 16;
    const CYCLES: u64 = 25;

    let drivers = [h.connect().await, h.connect().await];
    let (key, snapshot) = given::stored(&*drivers[0]).await;
    let wakes = h.wakes_waiters();
    let (held, entered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    together((0..REQUESTS).map(|request| {
        let (driver, snapshot) = (Arc::clone(&drivers[request % 2]), snapshot.clone());
        let (held, entered) = (Arc::clone(&held), Arc::clone(&entered));
        async move {
            for _ in 0..CYCLES {
                let token = if wakes {
                    let wish = given::wish(&snapshot);
                    let token = wish.claim.token;
                    expect::held(driver.acquire(&key, wish).await);
                    token
                } else {
                    tried_until_held(&*driver, &key, &snapshot).await
                };
                assert!(!held.swap(true, Ordering::SeqCst), "two hold the lock");
                entered.fetch_add(1, Ordering::SeqCst);
                yield_now().await;
                held.store(false, Ordering::SeqCst);
                expect::exactly(driver.release(&key, &token).await, &Released::Done);
            }
        }
    }))
    .await;
    assert_eq!(entered.load(Ordering::SeqCst), REQUESTS as u64 * CYCLES);
    assert!(is_free(&*drivers[0], &key).await);
}

/// Open+lock has the same observable effect as acquire then open.
pub async fn opens_with_lock_as_acquire_then_open(h: &dyn Harness) {
    let driver = h.connect().await;
    let create = given::create(given::data());
    let (one, before) = given::stored_as(&*driver, create.clone()).await;
    let (two, _) = given::stored_as(&*driver, create).await;
    let (claim, proof) = (given::claim(), before.stamp.proofs.current);

    let opened = driver
        .open(&one, given::open_locked(claim.clone(), proof))
        .await;
    let (in_one_step, OpenedLock::Held(fence)) = expect::found_with(opened) else {
        panic!("an open did not take a free lock");
    };
    let attempt = LockWish {
        claim: claim.clone(),
        ..given::attempt(&before)
    };
    assert_eq!(expect::held(driver.acquire(&two, attempt).await), fence);
    let in_two_steps = given::read(&*driver, &two).await;

    assert_eq!(in_one_step.data, in_two_steps.data);
    assert_eq!(in_one_step.version, in_two_steps.version);
    assert_same(&lock(&*driver, &one).await, &lock(&*driver, &two).await);
    for key in [one, two] {
        expect::exactly(driver.release(&key, &claim.token).await, &Released::Done);
        assert!(is_free(&*driver, &key).await);
    }
}

/// Save+unlock has the same observable effect as save then release.
pub async fn saves_with_release_as_save_then_release(h: &dyn Harness) {
    let driver = h.connect().await;
    let mut seen = Vec::new();
    for in_one_step in [true, false] {
        let (key, before) = given::stored(&*driver).await;
        let (token, _) = given::held(&*driver, &key, &before).await;
        let waiting = Waiting::queued(&driver, &key, given::wish(&before)).await;
        let save = given::save_held(token, &before, "saved");
        let save = Save {
            release: in_one_step,
            ..save
        };
        let version = expect::written(driver.save(&key, save).await);
        if !in_one_step {
            expect::exactly(driver.release(&key, &token).await, &Released::Done);
        }
        let (fence, newer) = expect::held_with(waiting.answer(h).await);
        let newer = newer.expect("the record is newer than the one the waiter knew");
        assert_eq!(newer.version, version);
        // What the holder could send after its lock has ended.
        let released = driver.release(&key, &token).await.expect("an answer");
        let renewed = driver.renew(&key, &token, HOLD).await.expect("an answer");
        let again = LockWish {
            claim: Claim {
                token,
                ..given::claim()
            },
            ..given::attempt(&newer)
        };
        let again = driver.acquire(&key, again).await.expect("an answer");
        seen.push((version.number, fence, newer.data, released, renewed, again));
    }
    assert_eq!(seen[0], seen[1]);
}

/// A grant comes with the record when it is newer than the one known, as an open would show it.
pub async fn acquires_with_the_record_when_newer(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, known) = given::stored(&*driver).await;
    let (token, _) = given::held(&*driver, &key, &known).await;
    driver.release(&key, &token).await.expect("a release");

    let cycle = async |known| {
        let wish = LockWish {
            known,
            ..given::attempt(&given::read(&*driver, &key).await)
        };
        let token = wish.claim.token;
        let (_, snapshot) = expect::held_with(driver.acquire(&key, wish).await);
        driver.release(&key, &token).await.expect("a release");
        snapshot.map(|snapshot| snapshot.data)
    };
    assert_eq!(cycle(Some(known.version)).await, None);
    assert_eq!(cycle(None).await, Some(known.data.clone()));
    expect::written(driver.save(&key, given::save(&known, "newer")).await);
    assert_eq!(cycle(Some(known.version)).await, Some("newer".into()));
}

/// The lock expires by itself after its hold.
pub async fn expires_after_its_hold(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (_, first) = given::held(&*r1, &key, &snapshot).await;

    h.advance(HOLD - MOMENT).await;
    assert_eq!(
        holder(&*r2, &key).await,
        Some(first),
        "a hold was cut short"
    );
    expect::exactly(
        r2.acquire(&key, given::attempt(&snapshot)).await,
        &Acquired::Busy,
    );
    h.advance(2 * MOMENT).await;
    assert_eq!(holder(&*r2, &key).await, None, "a lock outlived its hold");
    given::held(&*r2, &key, &snapshot).await;
}

/// A lock that a record was born with, or that came with an open, expires as any other.
pub async fn expires_however_it_was_taken(h: &dyn Harness) {
    let driver = h.connect().await;
    let born = Create {
        lock: Some(given::claim()),
        ..given::create(given::data())
    };
    let (key, snapshot) = given::stored_as(&*driver, born).await;
    assert!(
        !is_free(&*driver, &key).await,
        "a record was not born locked"
    );
    h.advance(HOLD + MOMENT).await;
    assert!(
        is_free(&*driver, &key).await,
        "the lock of a birth outlived its hold"
    );

    let open = given::open_locked(given::claim(), snapshot.stamp.proofs.current);
    let (_, held) = expect::found_with(driver.open(&key, open).await);
    assert!(matches!(held, OpenedLock::Held(_)));
    h.advance(HOLD + MOMENT).await;
    assert!(
        is_free(&*driver, &key).await,
        "the lock of an open outlived its hold"
    );
}

/// When the hold is over, the first in the queue has the lock without anybody's release.
pub async fn expiry_serves_the_queue(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (_, first) = given::held(&*r1, &key, &snapshot).await;
    let waiting = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;
    h.advance(HOLD + h.recheck()).await;
    assert!(waiting.held(h).await > first);
}

/// Renewal extends only the holder's.
pub async fn renews_only_for_the_holder(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &snapshot).await;
    let waiting = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;
    h.advance(HOLD / 2).await;

    let before = lock(&*r1, &key).await;
    for stranger in [given::token(), waiting.token] {
        expect::exactly(r2.renew(&key, &stranger, HOLD).await, &Renewed::Lost);
    }
    assert_same(&lock(&*r1, &key).await, &before);

    about(expect::renewed(r1.renew(&key, &token, HOLD).await), HOLD);
    about(left_to_holder(&*r2, &key).await, HOLD);
    h.advance(HOLD - MOMENT).await;
    assert!(!waiting.is_over(), "a renewed lock was handed on");
}

/// Renewal never shortens.
pub async fn renewal_never_shortens(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, snapshot) = given::stored(&*driver).await;
    let (token, _) = given::held(&*driver, &key, &snapshot).await;
    for shorter in [Duration::from_secs(1), Duration::ZERO] {
        about(
            expect::renewed(driver.renew(&key, &token, shorter).await),
            HOLD,
        );
        about(left_to_holder(&*driver, &key).await, HOLD);
    }
}

/// An expired lock cannot be renewed, nor one that was released, broken, or never there.
pub async fn renews_nothing_that_has_ended(h: &dyn Harness) {
    let driver = h.connect().await;
    for end in Loss::ALL {
        let (key, snapshot) = given::stored(&*driver).await;
        let (token, _) = given::held(&*driver, &key, &snapshot).await;
        end.happen(h, &*driver, &key, &snapshot, &token).await;
        let before = holder(&*driver, &key).await;
        expect::exactly(driver.renew(&key, &token, HOLD).await, &Renewed::Lost);
        assert_eq!(holder(&*driver, &key).await, before, "{end:?}");
    }
    let nowhere = driver.renew(&given::key(), &given::token(), HOLD).await;
    expect::exactly(nowhere, &Renewed::Missing);
}

/// A save after the lock was lost never changes the record; it answers `LockLost`, however the lock
/// was lost.
pub async fn saves_nothing_after_a_loss(h: &dyn Harness) {
    let driver = h.connect().await;
    for loss in Loss::ALL {
        let (key, before) = given::stored(&*driver).await;
        let (token, _) = given::held(&*driver, &key, &before).await;
        loss.happen(h, &*driver, &key, &before, &token).await;
        for release in [false, true] {
            let save = Save {
                release,
                ..given::save_held(token, &before, "too late")
            };
            expect::exactly(driver.save(&key, save).await, &Written::LockLost);
        }
        let after = given::read(&*driver, &key).await;
        assert_eq!(
            (after.version, &after.data),
            (before.version, &before.data),
            "{loss:?}"
        );
    }
}

/// A holder that was overtaken is told `LockLost` also when the new one has saved.
pub async fn saves_nothing_over_the_next_holders_save(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, before) = given::stored(&*r1).await;
    let (late, _) = given::held(&*r1, &key, &before).await;
    h.advance(HOLD + MOMENT).await;
    let (token, _) = given::held(&*r2, &key, &before).await;
    let save = given::save_and_release(token, &before, "the next holder's");
    let version = expect::written(r2.save(&key, save).await);

    let save = given::save_held(late, &before, "too late");
    expect::exactly(r1.save(&key, save).await, &Written::LockLost);
    assert_eq!(given::read(&*r2, &key).await.version, version);
}

/// Release by a stranger changes nothing and says so.
pub async fn strangers_release_nothing(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let free = r2.release(&key, &given::token()).await;
    expect::exactly(free, &Released::NotHeld);

    given::held(&*r1, &key, &snapshot).await;
    let _waiting = Waiting::queued(&r1, &key, given::wish(&snapshot)).await;
    let before = lock(&*r1, &key).await;
    expect::exactly(r2.release(&key, &given::token()).await, &Released::NotHeld);
    r2.abandon(&key, &given::token());
    yield_now().await;
    assert_same(&lock(&*r1, &key).await, &before);
}

/// Release by a holder whose lock was lost changes nothing and says so.
pub async fn former_holders_release_nothing(h: &dyn Harness) {
    let driver = h.connect().await;
    for loss in [Loss::Expired, Loss::Broken, Loss::Overtaken] {
        let (key, snapshot) = given::stored(&*driver).await;
        let (token, _) = given::held(&*driver, &key, &snapshot).await;
        loss.happen(h, &*driver, &key, &snapshot, &token).await;
        let before = holder(&*driver, &key).await;
        expect::exactly(driver.release(&key, &token).await, &Released::NotHeld);
        assert_eq!(holder(&*driver, &key).await, before, "{loss:?}");
    }
}

/// A retry of a release that worked reports success, also when three others held the lock since.
pub async fn retried_release_is_done(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (first, _) = given::held(&*r1, &key, &snapshot).await;
    expect::exactly(r1.release(&key, &first).await, &Released::Done);
    for _ in 0..3 {
        let (token, fence) = given::held(&*r2, &key, &snapshot).await;
        expect::exactly(r1.release(&key, &first).await, &Released::Done);
        assert_eq!(
            holder(&*r2, &key).await,
            Some(fence),
            "a retry ended another's grant"
        );
        expect::exactly(r2.release(&key, &token).await, &Released::Done);
    }
    expect::exactly(r1.release(&key, &first).await, &Released::Done);

    let (token, _) = given::held(&*r1, &key, &snapshot).await;
    let save = given::save_and_release(token, &snapshot, "saved");
    expect::written(r1.save(&key, save).await);
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
}

/// A release of a waiting token withdraws its ticket.
pub async fn release_withdraws_a_ticket(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, first) = given::held(&*r1, &key, &snapshot).await;
    let withdrawn = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;
    let next = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;

    expect::exactly(
        r1.release(&key, &withdrawn.token).await,
        &Released::Withdrawn,
    );
    assert_eq!(waiters(&*r1, &key).await, 1);
    assert_eq!(holder(&*r1, &key).await, Some(first));
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    assert!(next.held(h).await > first);
    h.advance(h.recheck()).await;
    expect::exactly(withdrawn.answer(h).await, &Acquired::Ended);
}

/// A token that was released is never granted again: neither one that held nor one that waited.
pub async fn grants_no_released_token(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, snapshot) = given::stored(&*driver).await;
    let (held, _) = given::held(&*driver, &key, &snapshot).await;
    let waiting = Waiting::queued(&driver, &key, given::wish(&snapshot)).await;
    let waited = waiting.token;
    expect::exactly(driver.release(&key, &waited).await, &Released::Withdrawn);
    expect::exactly(driver.release(&key, &held).await, &Released::Done);
    drop(waiting);

    let proof = snapshot.stamp.proofs.current;
    for token in [held, waited] {
        let claim = Claim {
            token,
            ..given::claim()
        };
        let wish = LockWish {
            claim: claim.clone(),
            ..given::wish(&snapshot)
        };
        expect::exactly(driver.acquire(&key, wish).await, &Acquired::Ended);
        let opened = driver.open(&key, given::open_locked(claim, proof)).await;
        let (_, lock) = expect::found_with(opened);
        assert!(
            !matches!(lock, OpenedLock::Held(_)),
            "an open took a released token's lock"
        );
    }
    assert!(is_free(&*driver, &key).await);
}

/// Acquiring with a token that already holds answers `Held`, and is the same grant.
pub async fn holds_on_a_second_asking(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let wish = given::wish(&snapshot);
    let first = expect::held(r1.acquire(&key, wish.clone()).await);
    let _others = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;

    for driver in [&r1, &r2] {
        assert_eq!(
            expect::held(driver.acquire(&key, wish.clone()).await),
            first
        );
        let open = given::open_locked(wish.claim.clone(), snapshot.stamp.proofs.current);
        let (_, held) = expect::found_with(driver.open(&key, open).await);
        assert_eq!(held, OpenedLock::Held(first));
    }
    assert_eq!(waiters(&*r1, &key).await, 1);
}

/// A wish that was sent twice while it waits is one ticket and one grant.
pub async fn waits_once_when_sent_twice(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &snapshot).await;
    let wish = given::wish(&snapshot);
    let one = Waiting::queued(&r1, &key, wish.clone()).await;
    let two = Waiting::begin(&r2, &key, wish);
    for _ in 0..100 {
        yield_now().await;
        assert_eq!(waiters(&*r1, &key).await, 1);
    }
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    h.advance(h.recheck()).await;
    let fence = one.held(h).await;
    assert_eq!(two.held(h).await, fence);
    assert_eq!(holder(&*r1, &key).await, Some(fence));
}

/// Fences strictly grow over all grants of a session, across release, hand-off, expiry, break and
/// regenerate, however the lock is taken.
pub async fn fences_strictly_grow(h: &dyn Harness) {
    let driver = h.connect().await;
    let claim = given::claim();
    let key = given::key();
    let born = Create {
        lock: Some(claim.clone()),
        ..given::create(given::data())
    };
    let mut fences = vec![expect::born_locked(driver.create(&key, born).await)];
    driver.release(&key, &claim.token).await.expect("a release");

    for round in 0..60 {
        let snapshot = given::read(&*driver, &key).await;
        let (token, fence) = given::held(&*driver, &key, &snapshot).await;
        fences.push(fence);
        let waiting = Waiting::queued(&driver, &key, given::wish(&snapshot)).await;
        match round % 4 {
            0 => drop(driver.release(&key, &token).await.expect("a release")),
            1 => drop(expect::broken(driver.break_lock(&key, Some(fence)).await)),
            2 => h.advance(HOLD + h.recheck()).await,
            _ => {
                let mut save = given::save_and_release(token, &snapshot, given::data());
                save.stamp.proofs = given::stamp().proofs;
                expect::written(driver.save(&key, save).await);
            }
        }
        let token = waiting.token;
        fences.push(waiting.held(h).await);
        driver.release(&key, &token).await.expect("a release");

        let snapshot = given::read(&*driver, &key).await;
        let claim = given::claim();
        let open = given::open_locked(claim.clone(), snapshot.stamp.proofs.current);
        let (_, OpenedLock::Held(fence)) = expect::found_with(driver.open(&key, open).await) else {
            panic!("an open did not take a free lock");
        };
        fences.push(fence);
        driver.release(&key, &claim.token).await.expect("a release");
    }
    assert!(
        fences.is_sorted_by(|earlier, later| earlier < later),
        "{fences:?}"
    );
}

/// `break_lock` frees the lock; the former holder's next save is `LockLost` and `inspect` no longer
/// shows it.
pub async fn break_frees_the_lock(h: &dyn Harness) {
    let (r1, operator) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let mut wish = given::attempt(&snapshot);
    wish.claim.label = Label::new("POST /checkout");
    let token = wish.claim.token;
    let fence = expect::held(r1.acquire(&key, wish.clone()).await);

    let shown = lock(&*operator, &key).await.holder.expect("a holder");
    assert_eq!(
        (shown.fence, shown.label, shown.confirmed),
        (fence, wish.claim.label.clone(), true)
    );
    let broken = Broken::Done {
        fence,
        label: wish.claim.label,
    };
    expect::exactly(operator.break_lock(&key, None).await, &broken);
    assert!(is_free(&*operator, &key).await);
    let save = given::save_held(token, &snapshot, "too late");
    expect::exactly(r1.save(&key, save).await, &Written::LockLost);
    assert_eq!(given::read(&*r1, &key).await.data, snapshot.data);
    expect::exactly(operator.break_lock(&key, None).await, &Broken::NotHeld);
}

/// `break_lock` hands the lock to the first in the queue.
pub async fn break_serves_the_queue(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (_, broken) = given::held(&*r1, &key, &snapshot).await;
    let waiting = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;
    assert_eq!(expect::broken(r1.break_lock(&key, None).await), broken);
    assert!(waiting.held(h).await > broken);
}

/// Of two breakers that name the same grant exactly one breaks.
pub async fn one_of_two_breakers_breaks(h: &dyn Harness) {
    let drivers = [h.connect().await, h.connect().await];
    let (key, snapshot) = given::stored(&*drivers[0]).await;
    for _ in 0..50 {
        let (_, fence) = given::held(&*drivers[0], &key, &snapshot).await;
        let broken = together(drivers.clone().map(|driver| async move {
            driver
                .break_lock(&key, Some(fence))
                .await
                .expect("an answer")
        }))
        .await;
        let done = broken
            .iter()
            .filter(|broken| matches!(broken, Broken::Done { .. }));
        assert_eq!(done.count(), 1, "{broken:?}");
    }
}

/// A later grant is never broken by naming an earlier one.
pub async fn later_grant_is_not_broken(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, earlier) = given::held(&*r1, &key, &snapshot).await;
    let waiting = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;
    r1.release(&key, &token).await.expect("a release");
    let later = waiting.held(h).await;
    expect::exactly(r1.break_lock(&key, Some(earlier)).await, &Broken::NotHeld);
    assert_eq!(holder(&*r1, &key).await, Some(later));
    assert_eq!(
        expect::broken(r1.break_lock(&key, Some(later)).await),
        later
    );
}

/// Grants follow arrival order among live waiters: 40 of them, on two handles in turn.
pub async fn grants_follow_arrival(h: &dyn Harness) {
    let drivers = [h.connect().await, h.connect().await];
    let (key, snapshot) = given::stored(&*drivers[0]).await;
    let (mut token, mut fence) = given::held(&*drivers[0], &key, &snapshot).await;
    let mut queue = Vec::new();
    for place in 0..40 {
        let patient = LockWish {
            wait: TTL,
            ..given::wish(&snapshot)
        };
        queue.push(Waiting::queued(&drivers[place % 2], &key, patient).await);
    }
    for (place, next) in queue.into_iter().enumerate() {
        expect::exactly(
            drivers[place % 2].release(&key, &token).await,
            &Released::Done,
        );
        token = next.token;
        let granted = next.held(h).await;
        assert_eq!(
            granted.get(),
            fence.get() + 1,
            "waiter {place} was passed over"
        );
        fence = granted;
    }
}

/// One release wakes exactly one waiter.
pub async fn release_wakes_one(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, snapshot) = given::stored(&*driver).await;
    let (token, _) = given::held(&*driver, &key, &snapshot).await;
    let mut queue = Vec::new();
    for _ in 0..5 {
        queue.push(Waiting::queued(&driver, &key, given::wish(&snapshot)).await);
    }
    expect::exactly(driver.release(&key, &token).await, &Released::Done);
    answered(h, || queue[0].is_over()).await;
    h.advance(h.recheck()).await;
    assert_eq!(queue.iter().filter(|waiting| waiting.is_over()).count(), 1);
    assert_eq!(waiters(&*driver, &key).await, 4);
}

/// A newcomer never passes a live queue, neither by waiting nor by a try nor by an open.
pub async fn newcomers_pass_no_queue(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, first) = given::held(&*r1, &key, &snapshot).await;
    // Two waiters whose processes stand still, so that the hand-off stays open for a while.
    let mut still = [
        pin!(r2.acquire(&key, given::wish(&snapshot))),
        pin!(r2.acquire(&key, given::wish(&snapshot))),
    ];
    for (place, waiter) in still.iter_mut().enumerate() {
        until(async || {
            assert!(poll!(waiter.as_mut()).is_pending());
            waiters(&*r1, &key).await == place + 1
        })
        .await;
    }
    expect::exactly(r1.release(&key, &token).await, &Released::Done);

    expect::exactly(
        r1.acquire(&key, given::attempt(&snapshot)).await,
        &Acquired::Busy,
    );
    let open = given::open_locked(given::claim(), snapshot.stamp.proofs.current);
    let (_, busy) = expect::found_with(r1.open(&key, open).await);
    assert_eq!(busy, OpenedLock::Busy);
    let save = r1
        .save(&key, given::save(&snapshot, "not in between"))
        .await;
    expect::exactly(save, &Written::Locked);

    let newcomer = Waiting::queued(&r1, &key, given::wish(&snapshot)).await;
    let mut last = first;
    for waiter in still {
        let fence = resumed(h, waiter).await;
        assert!(
            fence > last && !newcomer.is_over(),
            "a newcomer passed the queue"
        );
        last = fence;
        expect::broken(r1.break_lock(&key, Some(fence)).await);
    }
    assert!(newcomer.held(h).await > last);
}

/// Waiter n+1 of a queue limit n fails at once with `QueueFull`; whoever leaves makes room.
pub async fn full_queue_refuses(h: &dyn Harness) {
    const LIMIT: u32 = 3;
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &snapshot).await;
    let wish = || LockWish {
        queue: Some(LIMIT),
        ..given::wish(&snapshot)
    };
    let mut queue = Vec::new();
    for _ in 0..LIMIT {
        queue.push(Waiting::queued(&r1, &key, wish()).await);
    }
    expect::exactly(r2.acquire(&key, wish()).await, &Acquired::QueueFull);
    assert_eq!(waiters(&*r2, &key).await, LIMIT as usize);

    // Being resent, a wish is not one more.
    let again = Waiting::begin(
        &r2,
        &key,
        LockWish {
            claim: Claim {
                token: queue[0].token,
                ..given::claim()
            },
            ..wish()
        },
    );
    for _ in 0..100 {
        yield_now().await;
    }
    assert!(!again.is_over(), "a resent wish found its own queue full");
    drop(again);

    drop(queue);
    until(async || is_only_held(&*r1, &key).await).await;
    let waiting = Waiting::queued(&r2, &key, wish()).await;
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    waiting.held(h).await;
}

/// However many come at once: 3 of 16 wait, and the others are told.
pub async fn full_queue_refuses_a_crowd(h: &dyn Harness) {
    const LIMIT: usize = 3;
    const CROWD: usize = 16;

    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &snapshot).await;
    let refused = Arc::new(AtomicUsize::new(0));
    let crowd = (0..CROWD).map(|one| {
        let driver = Arc::clone(if one % 2 == 0 { &r1 } else { &r2 });
        let (snapshot, refused) = (snapshot.clone(), Arc::clone(&refused));
        async move {
            gap().await;
            let wish = LockWish {
                queue: Some(LIMIT as u32),
                ..given::wish(&snapshot)
            };
            let own = wish.claim.token;
            match driver.acquire(&key, wish).await.expect("an answer") {
                Acquired::Held { .. } => {
                    driver.release(&key, &own).await.expect("an answer");
                    true
                }
                Acquired::QueueFull => {
                    if refused.fetch_add(1, Ordering::SeqCst) + 1 == CROWD - LIMIT {
                        assert_eq!(waiters(&*driver, &key).await, LIMIT);
                        driver.release(&key, &token).await.expect("an answer");
                    }
                    false
                }
                other => panic!("neither held nor refused: {other:?}"),
            }
        }
    });
    let held = raced(h, crowd).await;
    assert_eq!(held.into_iter().filter(|held| *held).count(), LIMIT);
}

/// Limit 0 means never wait.
pub async fn limit_zero_never_waits(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, snapshot) = given::stored(&*driver).await;
    let wish = || LockWish {
        queue: Some(0),
        ..given::wish(&snapshot)
    };
    let free = wish();
    let token = free.claim.token;
    expect::held(driver.acquire(&key, free).await);
    expect::exactly(driver.acquire(&key, wish()).await, &Acquired::QueueFull);
    assert_eq!(waiters(&*driver, &key).await, 0);
    expect::exactly(driver.release(&key, &token).await, &Released::Done);
    expect::held(driver.acquire(&key, wish()).await);
}

/// No limit means no cap.
pub async fn no_limit_no_cap(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, snapshot) = given::stored(&*driver).await;
    given::held(&*driver, &key, &snapshot).await;
    let mut queue = Vec::new();
    for _ in 0..100 {
        queue.push(Waiting::begin(&driver, &key, given::wish(&snapshot)));
    }
    until(async || waiters(&*driver, &key).await == queue.len()).await;
}

/// A wait of 0 is a try.
pub async fn zero_wait_is_a_try(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &snapshot).await;
    expect::exactly(
        r2.acquire(&key, given::attempt(&snapshot)).await,
        &Acquired::Busy,
    );
    assert!(is_only_held(&*r2, &key).await, "a try left a ticket");
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    given::held(&*r2, &key, &snapshot).await;
}

/// The wait is measured from the call on the harness's clock.
pub async fn waits_from_the_call(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let mut first = given::attempt(&snapshot);
    first.claim.hold = 4 * WAIT;
    expect::held(r1.acquire(&key, first).await);
    h.advance(WAIT).await;
    let waiting = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;
    h.advance(WAIT - MOMENT).await;
    assert!(!waiting.is_over(), "a wait was cut short");
    h.advance(2 * MOMENT).await;
    expect::exactly(waiting.answer(h).await, &Acquired::Busy);
}

/// A waiter that gives up delays nobody.
pub async fn no_delay_by_a_waiter_that_gives_up(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &snapshot).await;
    let short = LockWish {
        wait: HOLD / 2,
        queue: Some(1),
        ..given::wish(&snapshot)
    };
    let impatient = Waiting::queued(&r1, &key, short).await;
    h.advance(HOLD / 2 + MOMENT).await;
    expect::exactly(impatient.answer(h).await, &Acquired::Busy);
    let wish = LockWish {
        queue: Some(1),
        ..given::wish(&snapshot)
    };
    let next = Waiting::queued(&r2, &key, wish).await;
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    next.held(h).await;
}

/// A waiter that is dropped delays nobody and counts against no limit, at once.
pub async fn no_delay_by_a_dropped_waiter(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &snapshot).await;
    let wish = || LockWish {
        queue: Some(1),
        ..given::wish(&snapshot)
    };
    let dropped = Waiting::queued(&r1, &key, wish()).await;
    drop(dropped);
    until(async || is_only_held(&*r2, &key).await).await;
    let next = Waiting::queued(&r2, &key, wish()).await;
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    next.held(h).await;
}

/// A waiter whose process stopped after the lock was handed to it delays nobody beyond confirm time
/// + recheck; until then the grant is shown as not confirmed.
pub async fn no_delay_by_a_stopped_holder_to_be(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, _) = given::held(&*r1, &key, &snapshot).await;
    let mut long = given::wish(&snapshot);
    long.claim.hold = 10 * HOLD;
    let mut stopped = pin!(r1.acquire(&key, long));
    until(async || {
        assert!(poll!(stopped.as_mut()).is_pending());
        waiters(&*r2, &key).await == 1
    })
    .await;
    let next = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;

    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    let handed = lock(&*r2, &key).await.holder.expect("a hand-off");
    assert!(
        !handed.confirmed,
        "a grant is confirmed that nobody knows of"
    );
    assert!(!next.is_over());
    h.advance(h.confirm() + h.recheck()).await;
    assert!(next.held(h).await > handed.fence);
    assert!(lock(&*r2, &key).await.holder.expect("the next").confirmed);
}

/// A waiter whose process stopped while it waits counts against no limit after confirm time +
/// recheck.
pub async fn stopped_waiter_takes_no_place(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let mut first = given::attempt(&snapshot);
    first.claim.hold = 10 * HOLD;
    expect::held(r1.acquire(&key, first).await);
    let wish = || LockWish {
        wait: 10 * HOLD,
        queue: Some(1),
        ..given::wish(&snapshot)
    };
    let mut stopped = pin!(r1.acquire(&key, wish()));
    until(async || {
        assert!(poll!(stopped.as_mut()).is_pending());
        waiters(&*r2, &key).await == 1
    })
    .await;
    expect::exactly(r2.acquire(&key, wish()).await, &Acquired::QueueFull);
    h.advance(h.confirm() + h.recheck()).await;
    assert_eq!(
        waiters(&*r2, &key).await,
        0,
        "a stopped waiter is still in the queue"
    );
    Waiting::queued(&r2, &key, wish()).await;
}

/// A waiter that lives keeps its place for its whole wait.
pub async fn live_waiter_keeps_its_place(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let mut first = given::attempt(&snapshot);
    first.claim.hold = 10 * HOLD;
    let token = first.claim.token;
    expect::held(r1.acquire(&key, first).await);
    let patient = LockWish {
        wait: 10 * HOLD,
        ..given::wish(&snapshot)
    };
    let earlier = Waiting::queued(&r1, &key, patient.clone()).await;
    let later = LockWish {
        claim: given::claim(),
        ..patient
    };
    let later = Waiting::queued(&r2, &key, later).await;
    h.advance(10 * h.recheck()).await;
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    earlier.held(h).await;
    assert!(!later.is_over());
}

/// An open with lock that is cancelled at any await leaves no lock.
pub async fn cancelled_open_leaves_no_lock(h: &dyn Harness) {
    let plain = h.connect().await;
    let trial = async |cut: Cut| {
        let (key, snapshot) = given::stored(&*plain).await;
        let open = given::open_locked(given::claim(), snapshot.stamp.proofs.current);
        let driver = pausing(h).await;
        let cancelled = cut.apply(driver.open(&key, open)).await.is_none();
        if cancelled {
            until(async || is_free(&*plain, &key).await).await;
        }
        cancelled
    };
    at_each_await(trial).await;
}

/// A create with lock that is cancelled at any await leaves no lock.
pub async fn cancelled_create_leaves_no_lock(h: &dyn Harness) {
    let plain = h.connect().await;
    let trial = async |cut: Cut| {
        let key = given::key();
        let create = Create {
            lock: Some(given::claim()),
            ..given::create(given::data())
        };
        let driver = pausing(h).await;
        let cancelled = cut.apply(driver.create(&key, create)).await.is_none();
        if cancelled {
            until(async || is_free(&*plain, &key).await).await;
        }
        cancelled
    };
    at_each_await(trial).await;
}

/// An acquire of a free lock that is cancelled at any await leaves no lock.
pub async fn cancelled_acquire_leaves_no_lock(h: &dyn Harness) {
    let plain = h.connect().await;
    let trial = async |cut: Cut| {
        let (key, snapshot) = given::stored(&*plain).await;
        let driver = pausing(h).await;
        let cancelled = cut
            .apply(driver.acquire(&key, given::wish(&snapshot)))
            .await
            .is_none();
        if cancelled {
            until(async || is_free(&*plain, &key).await).await;
        }
        cancelled
    };
    at_each_await(trial).await;
}

/// A waiting acquire that is cancelled at any await, before, while or after the lock is handed to
/// it, leaves no lock and no ticket, and the next waiter has the lock without time passing.
pub async fn cancelled_waiter_leaves_nothing(h: &dyn Harness) {
    let plain = h.connect().await;
    let trial = async |cut: Cut| {
        let (key, snapshot) = given::stored(&*plain).await;
        let (token, _) = given::held(&*plain, &key, &snapshot).await;
        let driver = pausing(h).await;
        let wish = given::wish(&snapshot);
        let task =
            tokio::spawn(async move { cut.apply(driver.acquire(&key, wish)).await.is_none() });
        until(async || task.is_finished() || waiters(&*plain, &key).await == 1).await;
        let next =
            (!task.is_finished()).then(|| Waiting::begin(&plain, &key, given::wish(&snapshot)));
        expect::exactly(plain.release(&key, &token).await, &Released::Done);
        answered(h, || task.is_finished()).await;
        let cancelled = task.await.expect("an acquire that does not panic");
        if cancelled {
            if let Some(next) = next {
                let token = next.token;
                next.held(h).await;
                expect::exactly(plain.release(&key, &token).await, &Released::Done);
            }
            until(async || is_free(&*plain, &key).await).await;
        }
        cancelled
    };
    at_each_await(trial).await;
}

/// A save with release that is cancelled at any await happened as a whole or not at all: with it the
/// lock has ended, without it a release ends it; sent again it is done once.
pub async fn cancelled_save_leaves_no_lock(h: &dyn Harness) {
    let plain = h.connect().await;
    let trial = async |cut: Cut| {
        let (key, before) = given::stored(&*plain).await;
        let (token, _) = given::held(&*plain, &key, &before).await;
        let save = given::save_and_release(token, &before, "saved");
        let driver = pausing(h).await;
        let cancelled = cut.apply(driver.save(&key, save.clone())).await.is_none();
        if cancelled {
            h.advance(Duration::ZERO).await;
            let happened = given::read(&*plain, &key).await.version != before.version;
            assert_eq!(
                is_free(&*plain, &key).await,
                happened,
                "half a save happened"
            );
            let resend = Save {
                resend: true,
                ..save
            };
            let version = expect::written(plain.save(&key, resend).await);
            assert_eq!(version.number, before.version.number + 1);
            expect::exactly(plain.release(&key, &token).await, &Released::Done);
            assert!(is_free(&*plain, &key).await);
        }
        cancelled
    };
    at_each_await(trial).await;
}

/// `abandon` frees a lock, or withdraws a ticket, without anybody waiting for it.
pub async fn abandon_frees_the_lock(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, snapshot) = given::stored(&*driver).await;
    let (token, _) = given::held(&*driver, &key, &snapshot).await;
    let waiting = Waiting::queued(&driver, &key, given::wish(&snapshot)).await;
    let next = Waiting::queued(&driver, &key, given::wish(&snapshot)).await;
    driver.abandon(&key, &waiting.token);
    until(async || waiters(&*driver, &key).await == 1).await;
    driver.abandon(&key, &token);
    let token = next.token;
    next.held(h).await;
    driver.abandon(&key, &token);
    until(async || is_free(&*driver, &key).await).await;
    driver.abandon(&given::key(), &given::token());
}

/// A lost wake-up delays a waiter by at most the recheck interval.
pub async fn lost_wake_up_delays_by_a_recheck(h: &dyn Harness) {
    let (r1, deaf) = (h.connect().await, h.connect_deaf().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, first) = given::held(&*r1, &key, &snapshot).await;
    let waiting = Waiting::queued(&deaf, &key, given::wish(&snapshot)).await;
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    h.advance(h.recheck()).await;
    until(async || waiting.is_over()).await;
    assert!(waiting.held(h).await > first);
}

/// A spurious wake-up is harmless.
pub async fn spurious_wake_up_is_harmless(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, snapshot) = given::stored(&*r1).await;
    let (token, first) = given::held(&*r1, &key, &snapshot).await;
    let mut woken = pin!(r2.acquire(&key, given::wish(&snapshot)));
    until(async || {
        assert!(poll!(woken.as_mut()).is_pending());
        waiters(&*r1, &key).await == 1
    })
    .await;
    let before = lock(&*r1, &key).await;
    for _ in 0..100 {
        assert!(poll!(woken.as_mut()).is_pending());
    }
    assert_same(&lock(&*r1, &key).await, &before);
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    assert!(resumed(h, woken).await > first);
}

/// Read-only open never waits, never touches the lock, never changes the record.
pub async fn reading_disturbs_nothing(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, before) = given::stored(&*r1).await;
    given::held(&*r1, &key, &before).await;
    let _waiting = Waiting::queued(&r1, &key, given::wish(&before)).await;
    let state = lock(&*r1, &key).await;
    for _ in 0..10 {
        let read = given::read(&*r2, &key).await;
        assert_eq!(
            (read.version, read.stamp, &read.data),
            (before.version, before.stamp, &before.data)
        );
        about(read.left.expect("a lifetime"), TTL);
    }
    assert_same(&lock(&*r1, &key).await, &state);
}

/// Locking an unknown session leaves nothing behind.
pub async fn locking_nothing_leaves_nothing(h: &dyn Harness) {
    let driver = h.connect().await;
    let (_, snapshot) = given::stored(&*driver).await;
    let before = h.holdings().await;
    lock_in_every_way(h, &*driver, &given::key(), &snapshot).await;
    assert_eq!(h.holdings().await, before);
}

/// Locking an expired or deleted session leaves nothing behind.
pub async fn locking_the_dead_leaves_nothing(h: &dyn Harness) {
    let driver = h.connect().await;
    let (deleted, snapshot) = given::stored(&*driver).await;
    given::held(&*driver, &deleted, &snapshot).await;
    expect::exactly(
        driver.delete(&deleted, given::log_out()).await,
        &Deleted::Done,
    );
    lock_in_every_way(h, &*driver, &deleted, &snapshot).await;
    assert_eq!(h.holdings().await, 0);

    let (expired, snapshot) = given::stored(&*driver).await;
    given::held(&*driver, &expired, &snapshot).await;
    h.advance(TTL + MOMENT).await;
    lock_in_every_way(h, &*driver, &expired, &snapshot).await;
    given::swept(&*driver).await;
    assert_eq!(h.holdings().await, 0);
}

/// A holder paused for ten holds that wakes up cannot save, rotate, renew, or delete under its lock;
/// it may still log out.
pub async fn paused_holder_changes_nothing(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    for overtaken in [false, true] {
        let (key, before) = given::stored(&*r1).await;
        let (token, _) = given::held(&*r1, &key, &before).await;
        h.advance(10 * HOLD).await;
        if overtaken {
            given::held(&*r2, &key, &before).await;
        }
        let save = given::save_held(token, &before, "too late");
        let rotate = Save {
            stamp: given::stamp(),
            ..save.clone()
        };
        for save in [save, rotate] {
            expect::exactly(r1.save(&key, save).await, &Written::LockLost);
        }
        expect::exactly(r1.renew(&key, &token, HOLD).await, &Renewed::Lost);
        let delete = Delete {
            only_if: Some(Guard::held(token, &before)),
        };
        expect::exactly(r1.delete(&key, delete).await, &Deleted::LockLost);
        let after = given::read(&*r2, &key).await;
        assert_eq!(
            (after.version, after.stamp, &after.data),
            (before.version, before.stamp, &before.data)
        );
        expect::exactly(r1.delete(&key, given::log_out()).await, &Deleted::Done);
    }
}

/// Clock steps of ±1 h on any client change none of the above.
pub async fn wrong_clocks_change_nothing(h: &dyn Harness) {
    let hour = Duration::from_secs(3600);
    let right = h.connect().await;
    for ahead in [true, false] {
        let wrong = h.connect_with_clock_off(hour, ahead).await;
        for (r1, r2) in [(&right, &wrong), (&wrong, &right)] {
            let (key, snapshot) = given::stored(&**r1).await;
            about(
                given::read(&**r2, &key).await.left.expect("a lifetime"),
                TTL,
            );
            let (token, first) = given::held(&**r1, &key, &snapshot).await;
            about(left_to_holder(&**r2, &key).await, HOLD);
            let waiting = Waiting::queued(r2, &key, given::wish(&snapshot)).await;
            h.advance(HOLD / 2).await;
            assert!(!waiting.is_over(), "a wrong clock ended a hold or a wait");
            about(expect::renewed(r1.renew(&key, &token, HOLD).await), HOLD);
            h.advance(HOLD - MOMENT).await;
            assert!(!waiting.is_over(), "a wrong clock ended a hold or a wait");
            h.advance(MOMENT + h.recheck()).await;
            assert!(waiting.held(h).await > first);
            let late = given::save_held(token, &snapshot, "too late");
            expect::exactly(r1.save(&key, late).await, &Written::LockLost);
            h.advance(TTL).await;
            expect::missing(r2.open(&key, given::open()).await);
        }
    }
}

/// Acquiring twice through one handle neither deadlocks nor double-releases.
pub async fn acquires_twice_through_one_handle(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, snapshot) = given::stored(&*driver).await;
    let (first, fence) = given::held(&*driver, &key, &snapshot).await;
    expect::exactly(
        driver.acquire(&key, given::attempt(&snapshot)).await,
        &Acquired::Busy,
    );
    let second = Waiting::queued(&driver, &key, given::wish(&snapshot)).await;
    expect::exactly(driver.release(&key, &first).await, &Released::Done);
    let token = second.token;
    let second = second.held(h).await;
    assert!(second > fence);
    expect::exactly(driver.release(&key, &first).await, &Released::Done);
    assert_eq!(
        holder(&*driver, &key).await,
        Some(second),
        "a lock was released twice"
    );
    expect::exactly(driver.release(&key, &token).await, &Released::Done);
    assert!(is_free(&*driver, &key).await);
}

/// A session that expires while R2 waits is reported as expired, not as empty.
pub async fn expiry_is_told_to_waiters(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let short = Create {
        ttl: HOLD / 2,
        ..given::create(given::data())
    };
    let (key, snapshot) = given::stored_as(&*r1, short).await;
    given::held(&*r1, &key, &snapshot).await;
    let one = Waiting::queued(&r1, &key, given::wish(&snapshot)).await;
    let two = Waiting::queued(&r2, &key, given::wish(&snapshot)).await;
    h.advance(HOLD / 2 + h.recheck()).await;
    for waiting in [one, two] {
        expect::exactly(waiting.answer(h).await, &Acquired::Missing);
    }
    assert!(is_free(&*r2, &key).await);
}

/// After a Renew, a waiter of the old id gets the lock in its old place.
pub async fn renewed_id_keeps_the_queue(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, before) = given::stored(&*r1).await;
    let (token, first) = given::held(&*r1, &key, &before).await;
    let earlier = Waiting::queued(&r2, &key, given::wish(&before)).await;
    let mut save = given::save_held(token, &before, "rotated");
    save.stamp.proofs = Proofs {
        current: before.stamp.proofs.current,
        pending: Some(given::proof()),
    };
    expect::written(r1.save(&key, save).await);
    let later = Waiting::queued(&r1, &key, given::wish(&before)).await;
    assert_eq!(holder(&*r1, &key).await, Some(first));
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    let (fence, newer) = expect::held_with(earlier.answer(h).await);
    assert!(fence > first && !later.is_over());
    assert_eq!(newer.map(|newer| newer.data), Some("rotated".into()));
}

/// After an Authenticate, waiters that opened with an ended id are told so, and take no lock; the
/// one that authenticated goes on.
pub async fn ended_epoch_is_told_to_waiters(h: &dyn Harness) {
    let (r1, r2) = (h.connect().await, h.connect().await);
    let (key, before) = given::stored(&*r1).await;
    let (token, first) = given::held(&*r1, &key, &before).await;
    let one = Waiting::queued(&r1, &key, given::wish(&before)).await;
    let two = Waiting::queued(&r2, &key, given::wish(&before)).await;
    let save = given::save_held(token, &before, "authenticated");
    let login = Save {
        stamp: given::stamp(),
        ..save
    };
    expect::written(r1.save(&key, login).await);
    h.advance(h.recheck()).await;
    for waiting in [one, two] {
        expect::exactly(waiting.answer(h).await, &Acquired::Ended);
    }
    expect::exactly(
        r2.acquire(&key, given::wish(&before)).await,
        &Acquired::Ended,
    );
    assert!(is_only_held(&*r2, &key).await);

    about(expect::renewed(r1.renew(&key, &token, HOLD).await), HOLD);
    expect::exactly(r1.release(&key, &token).await, &Released::Done);
    let after = given::read(&*r1, &key).await;
    assert!(given::held(&*r2, &key, &after).await.1 > first);
}

/// An open with a secret that is not the session's takes no lock and joins no queue: 10^5 forged
/// secrets on ten known handles, half of them locked.
pub async fn forged_secrets_take_no_lock(h: &dyn Harness) {
    let driver = h.connect().await;
    let mut sessions = Vec::new();
    for place in 0..10 {
        let (key, snapshot) = given::stored(&*driver).await;
        if place % 2 == 0 {
            given::held(&*driver, &key, &snapshot).await;
        }
        let state = lock(&*driver, &key).await;
        sessions.push((key, snapshot, state));
    }
    // Many at a time: on a networked store one after another would take a minute.
    for batch in 0..1000 {
        let tries = (0..100).map(|place| {
            let (key, ..) = &sessions[place % sessions.len()];
            driver.open(key, given::open_locked(given::claim(), given::proof()))
        });
        for (place, answer) in join_all(tries).await.into_iter().enumerate() {
            let (_, snapshot, _) = &sessions[place % sessions.len()];
            let (found, refused) = expect::found_with(answer);
            assert_eq!(refused, OpenedLock::Unproven);
            assert_eq!(found.version, snapshot.version);
        }
        if batch % 10 == 0 {
            for (key, _, state) in &sessions {
                assert_same(&lock(&*driver, key).await, state);
            }
        }
    }
    for (key, _, state) in &sessions {
        assert_same(&lock(&*driver, key).await, state);
    }
}

/// The current secret and the pending one take the lock, former ones do not; a busy open still
/// answers the record.
pub async fn busy_open_answers_the_record(h: &dyn Harness) {
    let driver = h.connect().await;
    let pending = given::proof();
    let stamp = given::stamp();
    let both = Stamp {
        proofs: Proofs {
            pending: Some(pending),
            ..stamp.proofs
        },
        ..stamp
    };
    let (key, snapshot) = given::stored_as(
        &*driver,
        Create {
            stamp: both,
            ..given::create(given::data())
        },
    )
    .await;
    for proof in [stamp.proofs.current, pending] {
        let claim = given::claim();
        let open = given::open_locked(claim.clone(), proof);
        let (_, held) = expect::found_with(driver.open(&key, open).await);
        assert!(matches!(held, OpenedLock::Held(_)), "{held:?}");
        let open = given::open_locked(given::claim(), proof);
        let (found, busy) = expect::found_with(driver.open(&key, open).await);
        assert_eq!((busy, &found.data), (OpenedLock::Busy, &snapshot.data));
        assert_eq!(waiters(&*driver, &key).await, 0, "an open joined the queue");
        expect::exactly(driver.release(&key, &claim.token).await, &Released::Done);
    }
    let mut rotated = given::save(&snapshot, given::data());
    rotated.stamp.proofs = given::stamp().proofs;
    expect::written(driver.save(&key, rotated).await);
    for former in [stamp.proofs.current, pending] {
        let open = given::open_locked(given::claim(), former);
        let (_, refused) = expect::found_with(driver.open(&key, open).await);
        assert_eq!(refused, OpenedLock::Unproven);
    }
    assert!(is_free(&*driver, &key).await);
}

/// How a holder can come to hold no more.
#[derive(Clone, Copy, Debug)]
enum Loss {
    Expired,
    Broken,
    Overtaken,
    Released,
}

impl Loss {
    const ALL: [Self; 4] = [Self::Expired, Self::Broken, Self::Overtaken, Self::Released];

    async fn happen(
        self,
        h: &dyn Harness,
        driver: &dyn Driver,
        key: &Key,
        snapshot: &Snapshot,
        token: &LockToken,
    ) {
        match self {
            Self::Expired => h.advance(HOLD + MOMENT).await,
            Self::Broken => drop(expect::broken(driver.break_lock(key, None).await)),
            Self::Overtaken => {
                h.advance(HOLD + MOMENT).await;
                given::held(driver, key, snapshot).await;
            }
            Self::Released => expect::exactly(driver.release(key, token).await, &Released::Done),
        }
    }
}

/// Awaits on each side of the verb, so that there are some also with drivers that never wait.
const PAUSES: usize = 3;

/// A handle whose calls wait before they reach the driver and before their answer is given.
async fn pausing(h: &dyn Harness) -> Arc<dyn Driver> {
    let chaos = Chaos::over(h.connect().await, ManualClock::new());
    chaos.layer().pause(PAUSES);
    Arc::new(chaos)
}

/// Where a trial drops its future, or that it counts the awaits instead.
#[derive(Clone, Debug)]
struct Cut {
    at: Option<usize>,
    counted: Arc<AtomicUsize>,
}

impl Cut {
    fn at(at: Option<usize>) -> Self {
        Self {
            at,
            counted: Arc::default(),
        }
    }

    /// `None` when the future was dropped half-way.
    async fn apply<F: Future>(&self, future: F) -> Option<F::Output> {
        if let Some(n) = self.at {
            return cancel_at(n, future).await;
        }
        let (output, awaits) = count_awaits(future).await;
        self.counted.store(awaits, Ordering::SeqCst);
        Some(output)
    }
}

/// Counts the awaits of the trial, then runs it once for each of them. The trial answers whether its
/// future was dropped. Where the number is up to a network, the least of some counts is taken, and it
/// is tried again until each was met.
async fn at_each_await(trial: impl AsyncFn(Cut) -> bool) {
    let mut awaits = usize::MAX;
    for _ in 0..5 {
        let count = Cut::at(None);
        assert!(!trial(count.clone()).await);
        awaits = awaits.min(count.counted.load(Ordering::SeqCst));
    }
    assert!(awaits >= 2 * PAUSES, "counted {awaits} awaits");
    for n in 1..=awaits {
        let mut tries = 0;
        while !trial(Cut::at(Some(n))).await {
            tries += 1;
            assert!(tries < 100, "await {n} of {awaits} was never met");
        }
    }
}

/// Tries again and again: for drivers whose waiters learn of a grant as time passes, while it stands
/// still.
async fn tried_until_held(driver: &dyn Driver, key: &Key, of: &Snapshot) -> LockToken {
    loop {
        let attempt = given::attempt(of);
        let token = attempt.claim.token;
        match driver.acquire(key, attempt).await {
            Ok(Acquired::Held { .. }) => return token,
            Ok(Acquired::Busy) => yield_now().await,
            other => panic!("a try gave {other:?}"),
        }
    }
}

/// Asks for the lock of a session that is not there, in each way that there is.
async fn lock_in_every_way(h: &dyn Harness, driver: &dyn Driver, key: &Key, of: &Snapshot) {
    let open = given::open_locked(given::claim(), of.stamp.proofs.current);
    expect::exactly(driver.open(key, open).await, &Opened::Missing);
    for wish in [given::attempt(of), given::wish(of)] {
        expect::exactly(driver.acquire(key, wish).await, &Acquired::Missing);
    }
    let token = given::token();
    expect::exactly(driver.renew(key, &token, HOLD).await, &Renewed::Missing);
    expect::exactly(driver.release(key, &token).await, &Released::NotHeld);
    expect::exactly(driver.break_lock(key, None).await, &Broken::NotHeld);
    driver.abandon(key, &token);
    h.advance(Duration::ZERO).await;
    assert!(is_free(driver, key).await);
    expect::missing(driver.open(key, given::open()).await);
}

/// Somebody holds, and nobody waits.
async fn is_only_held(driver: &dyn Driver, key: &Key) -> bool {
    let state = lock(driver, key).await;
    state.holder.is_some() && state.waiters.is_empty()
}

async fn left_to_holder(driver: &dyn Driver, key: &Key) -> Duration {
    lock(driver, key).await.holder.expect("a holder").left
}

/// The same holder and the same waiters, with about the same time left.
#[track_caller]
fn assert_same(one: &LockState, other: &LockState) {
    let names = |state: &LockState| {
        let holder = state
            .holder
            .as_ref()
            .map(|holder| (holder.fence, holder.label.clone(), holder.confirmed));
        let waiters: Vec<_> = state
            .waiters
            .iter()
            .map(|waiter| waiter.label.clone())
            .collect();
        (holder, waiters)
    };
    assert_eq!(names(one), names(other));
    let times = |state: &LockState| {
        let holder = state.holder.iter().map(|holder| holder.left);
        holder
            .chain(state.waiters.iter().map(|waiter| waiter.left))
            .collect::<Vec<_>>()
    };
    for (one, other) in times(one).into_iter().zip(times(other)) {
        about(one, other);
    }
}

/// Time stands still in a case, or nearly so.
#[track_caller]
fn about(left: Duration, expected: Duration) {
    assert!(
        left.abs_diff(expected) < Duration::from_secs(1),
        "{left:?} left, not {expected:?}"
    );
}
