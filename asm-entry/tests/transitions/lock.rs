//! Transitions of the lock.

use std::time::Duration;

use crate::given::*;
use asm_core::*;
use asm_entry::{Entry, Parts, Step, Stepped, Timing, Turn};

const MICRO: Duration = Duration::from_micros(1);
const BUSY: Stepped = Stepped::Answer(Acquired::Busy);

#[test]
fn a_free_lock_is_granted_with_the_record_when_it_is_news() {
    let mut world = World::with_session();
    let snapshot = world.open().unwrap();
    let held = world.acquire(&wish(1));
    let news = Some(snapshot.clone());
    assert_eq!(
        held,
        Stepped::Answer(Acquired::Held {
            fence: Fence::new(1),
            snapshot: news
        })
    );
    world.release(1);
    let known = LockWish {
        known: Some(snapshot.version),
        ..wish(2)
    };
    let held = Acquired::Held {
        fence: Fence::new(2),
        snapshot: None,
    };
    assert_eq!(world.acquire(&known), Stepped::Answer(held));
}

#[test]
fn acquiring_again_changes_nothing() {
    let mut world = World::locked();
    world.pass(SECOND);
    assert_eq!(fence(&world.acquire(&wish(1))), Some(1));
    let holder = world.inspect().holder.unwrap();
    assert_eq!(
        (holder.fence, holder.left, holder.confirmed),
        (Fence::new(1), HOLD - SECOND, true)
    );
    assert_eq!(holder.label.as_str(), "holder 1");
}

#[test]
fn nothing_is_left_of_a_wish_for_no_session() {
    let mut world = World::empty();
    assert_eq!(world.acquire(&wish(1)), Stepped::Answer(Acquired::Missing));
    assert_eq!(world.release(1), Released::NotHeld);
    assert_eq!(world.break_lock(None), Broken::NotHeld);
    assert_eq!(world.inspect(), LockState::default());
    assert_eq!(world.renew(1, HOLD), Renewed::Missing);
    assert!(world.entry.is_vacant() && world.entry.changes().is_empty());
    let mut world = World::with_session();
    let foreign = LockWish {
        epoch: Epoch::new(2),
        ..wish(1)
    };
    assert_eq!(world.acquire(&foreign), Stepped::Answer(Acquired::Ended));
    assert_eq!(world.inspect(), LockState::default());
}

#[test]
fn a_wait_of_zero_is_a_try() {
    let mut world = World::locked();
    let hasty = LockWish {
        wait: Duration::ZERO,
        ..wish(2)
    };
    assert_eq!(world.acquire(&hasty), BUSY);
    assert!(world.queue().is_empty());
}

#[test]
fn the_queue_takes_as_many_as_each_wish_allows() {
    let mut world = World::locked();
    let limited = |id, limit| LockWish {
        queue: Some(limit),
        ..wish(id)
    };
    let full = Stepped::Answer(Acquired::QueueFull);
    assert_eq!(world.acquire(&limited(2, 0)), full);
    assert!(look_again(&world.acquire(&limited(2, 1))).is_some());
    assert!(
        look_again(&world.acquire(&limited(2, 1))).is_some(),
        "it waits already"
    );
    assert_eq!(world.acquire(&limited(3, 1)), full);
    assert!(look_again(&world.acquire(&limited(3, 2))).is_some());
    assert!(look_again(&world.acquire(&wish(4))).is_some());
    assert_eq!(world.queue(), ["holder 2", "holder 3", "holder 4"]);
}

#[test]
fn a_release_hands_over_provisionally_and_wakes_one() {
    let mut world = World::locked();
    for id in 2..=4 {
        world.acquire(&wish(id));
    }
    assert_eq!(world.release(1), Released::Done);
    assert_eq!(world.woken, [token(2)]);
    let holder = world.inspect().holder.unwrap();
    assert_eq!((holder.fence, holder.confirmed), (Fence::new(2), false));
    assert_eq!(
        (holder.left, holder.label.as_str()),
        (2 * SECOND, "holder 2")
    );
    // It counts as held by another for everybody, the one it is for included.
    let guard = Guard::unchanged(&world.open().unwrap());
    assert_eq!(world.save(&save(5, guard)), Written::Locked);
    let early = Guard {
        held: Some(token(2)),
        ..guard
    };
    assert_eq!(world.save(&save(5, early)), Written::LockLost);
    assert_eq!(world.renew(2, HOLD), Renewed::Lost);
    world.pass(SECOND);
    assert_eq!(fence(&world.acquire(&wish(2))), Some(2));
    let holder = world.inspect().holder.unwrap();
    assert_eq!((holder.left, holder.confirmed), (HOLD, true));
    assert_eq!(world.queue(), ["holder 3", "holder 4"]);
}

#[test]
fn an_unconfirmed_grant_falls_to_the_next() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    world.acquire(&wish(3));
    world.release(1);
    world.pass(2 * SECOND - MICRO);
    assert!(look_again(&world.acquire(&wish(3))) == Some(MICRO));
    assert!(world.woken.is_empty());
    world.pass(MICRO);
    assert_eq!(fence(&world.acquire(&wish(3))), Some(3));
    assert_eq!(world.woken, [token(3)]);
    // The late one joins at the tail.
    world.acquire(&wish(4));
    world.acquire(&wish(2));
    assert_eq!(world.queue(), ["holder 4", "holder 2"]);
}

#[test]
fn a_newcomer_does_not_pass_the_queue() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    world.pass(2 * SECOND);
    world.acquire(&wish(2));
    world.pass(HOLD - 4 * SECOND);
    world.acquire(&wish(2));
    world.pass(2 * SECOND);
    // The hold is over, and whoever looks first serves the one who waits.
    assert!(look_again(&world.acquire(&wish(3))).is_some());
    assert_eq!(world.woken, [token(2)]);
    assert_eq!(fence(&world.acquire(&wish(2))), Some(2));
}

#[test]
fn a_grant_ends_exactly_at_the_end_of_its_hold() {
    let mut world = World::locked();
    let guard = Guard::held(token(1), &world.open().unwrap());
    world.pass(HOLD - MICRO);
    assert_eq!(version(&world.save(&save(2, guard))), Some(2));
    world.pass(MICRO);
    let guard = Guard::held(token(1), &world.open().unwrap());
    assert_eq!(world.save(&save(3, guard)), Written::LockLost);
    assert_eq!(world.renew(1, HOLD), Renewed::Lost);
    assert_eq!(world.release(1), Released::NotHeld);
    assert_eq!(world.inspect(), LockState::default());
    assert_eq!(fence(&world.acquire(&wish(2))), Some(2));
}

#[test]
fn a_renewal_lengthens_and_never_shortens() {
    let mut world = World::locked();
    world.pass(4 * SECOND);
    assert_eq!(world.renew(1, SECOND), Renewed::Done { left: 6 * SECOND });
    assert_eq!(world.renew(1, HOLD), Renewed::Done { left: HOLD });
    assert_eq!(world.renew(2, HOLD), Renewed::Lost);
    assert_eq!(world.inspect().holder.unwrap().left, HOLD);
}

#[test]
fn a_release_tells_what_it_did() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    assert_eq!(world.release(3), Released::NotHeld);
    assert_eq!(world.release(2), Released::Withdrawn);
    assert!(world.queue().is_empty());
    assert_eq!(world.release(2), Released::Done);
    assert_eq!(world.release(1), Released::Done);
    assert_eq!(world.release(1), Released::Done, "a retry");
    for id in 3..=5 {
        assert!(fence(&world.acquire(&wish(id))).is_some());
        world.release(id);
    }
    assert_eq!(world.release(1), Released::Done, "four are remembered");
    world.acquire(&wish(6));
    world.release(6);
    assert_eq!(world.release(1), Released::NotHeld);
}

#[test]
fn a_token_that_was_released_is_never_granted_again() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    world.release(2);
    world.release(1);
    for id in [1, 2] {
        assert_eq!(world.acquire(&wish(id)), Stepped::Answer(Acquired::Ended));
    }
    assert_eq!(world.inspect(), LockState::default());
}

#[test]
fn a_break_names_its_grant() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    assert_eq!(world.break_lock(Some(2)), Broken::NotHeld);
    let label = Label::new("holder 1");
    let done = Broken::Done {
        fence: Fence::new(1),
        label,
    };
    assert_eq!(world.break_lock(Some(1)), done);
    assert_eq!(world.woken, [token(2)]);
    assert_eq!(
        world.break_lock(Some(1)),
        Broken::NotHeld,
        "a later grant stays"
    );
    let guard = Guard::held(token(1), &world.open().unwrap());
    assert_eq!(world.save(&save(2, guard)), Written::LockLost);
    assert_eq!(world.release(1), Released::NotHeld);
    assert!(matches!(world.break_lock(None), Broken::Done { fence, .. } if fence.get() == 2));
    assert_eq!(world.break_lock(None), Broken::NotHeld);
    assert_eq!(fence(&world.acquire(&wish(3))), Some(3));
}

#[test]
fn leaving_takes_what_has_just_come_and_else_goes() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    world.acquire(&wish(3));
    assert_eq!(world.step(&wish(3), Step::Leave), BUSY);
    assert_eq!(world.queue(), ["holder 2"]);
    world.release(1);
    assert_eq!(fence(&world.step(&wish(2), Step::Leave)), Some(2));
    assert_eq!(world.step(&wish(4), Step::Leave), BUSY, "it never waited");
    assert!(world.queue().is_empty());
}

#[test]
fn a_ticket_ends_with_its_wait() {
    let mut world = World::locked();
    let short = LockWish {
        wait: SECOND,
        ..wish(2)
    };
    world.acquire(&short);
    assert_eq!(world.inspect().waiters[0].left, SECOND);
    world.pass(SECOND - MICRO);
    assert_eq!(world.queue().len(), 1);
    world.pass(MICRO);
    assert!(world.queue().is_empty());
    assert!(world.woken.is_empty());
    assert_eq!(world.step(&short, Step::Leave), BUSY);
}

#[test]
fn a_silent_ticket_ends_and_a_sign_of_life_keeps_it() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    world.acquire(&wish(3));
    world.pass(3 * SECOND - MICRO);
    world.acquire(&wish(3));
    assert_eq!(world.queue().len(), 2);
    world.pass(MICRO);
    assert_eq!(world.queue(), ["holder 3"]);
    assert_eq!(world.inspect().waiters[0].left, WAIT - 3 * SECOND);
}

#[test]
fn only_the_next_looks_when_the_grant_lapses() {
    let mut world = World::locked();
    assert_eq!(look_again(&world.acquire(&wish(2))), Some(HOLD));
    assert_eq!(look_again(&world.acquire(&wish(3))), Some(TTL));
    let mut world = World::with_session();
    world.pass(TTL - SECOND);
    world.acquire(&wish(1));
    assert_eq!(
        look_again(&world.acquire(&wish(2))),
        Some(SECOND),
        "its life ends first"
    );
}

#[test]
fn a_new_epoch_ends_the_tickets_of_the_old() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    let guard = Guard::held(token(1), &world.open().unwrap());
    let login = Save {
        stamp: stamp(2, 2, None),
        ..save(2, guard)
    };
    assert_eq!(version(&world.save(&login)), Some(2));
    assert_eq!(world.woken, [token(2)]);
    assert!(world.queue().is_empty());
    assert_eq!(world.acquire(&wish(2)), Stepped::Answer(Acquired::Ended));
    let guard = Guard::held(token(1), &world.open().unwrap());
    assert_eq!(
        version(&world.save(&Save {
            stamp: login.stamp,
            ..save(3, guard)
        })),
        Some(3)
    );
    let fresh = LockWish {
        epoch: Epoch::new(2),
        ..wish(3)
    };
    assert!(look_again(&world.acquire(&fresh)).is_some());
}

#[test]
fn fences_grow_over_release_lapse_and_break() {
    let mut world = World::with_session();
    let mut last = 0;
    for round in 0..30_u8 {
        let next = fence(&world.acquire(&wish(round))).expect("free");
        assert_eq!(next, last + 1);
        last = next;
        match round % 3 {
            0 => {
                world.release(round);
            }
            1 => {
                world.break_lock(None);
            }
            _ => world.pass(HOLD),
        }
    }
}

#[test]
fn waiters_are_told_when_the_session_ends() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    world.pass(TTL - HOLD);
    world.acquire(&wish(2));
    world.pass(HOLD);
    assert_eq!(world.acquire(&wish(2)), Stepped::Answer(Acquired::Missing));
    assert_eq!(world.change, Some((Change::Ended, Epoch::new(1))));
}

#[test]
fn a_store_may_have_intervals_of_its_own() {
    let mut world = World::locked();
    let timing = Timing::of_recheck(5 * SECOND);
    let mut turn = Turn::new(world.now, timing);
    world
        .entry
        .acquire(&mut turn, &wish(2), Step::Join)
        .unwrap();
    world.entry.release(&mut turn, &token(1)).unwrap();
    assert_eq!(world.inspect().holder.unwrap().left, 10 * SECOND);
}

#[test]
fn the_dead_are_buried_and_the_living_served() {
    let mut world = World::locked();
    for id in 2..=4 {
        world.acquire(&wish(id));
    }
    let of_the_living = |entry: &Entry| (entry.holder(), entry.waiting().collect::<Vec<_>>());
    let all = (Some(token(1)), vec![token(2), token(3), token(4)]);
    world.entry.written();

    world.turn(|entry, turn| entry.bury(turn, |_| false));
    assert_eq!(of_the_living(&world.entry), all);
    assert!(world.entry.changes().is_empty(), "nobody had died");

    // A waiter, then the holder and the next: the lock goes to the first who lives.
    world.turn(|entry, turn| entry.bury(turn, |dead| *dead == token(3)));
    let left = (Some(token(1)), vec![token(2), token(4)]);
    assert_eq!(of_the_living(&world.entry), left);
    assert!(world.woken.is_empty());
    world.turn(|entry, turn| entry.bury(turn, |dead| [token(1), token(2)].contains(dead)));
    assert_eq!(of_the_living(&world.entry), (Some(token(4)), vec![]));
    assert_eq!(world.woken, [token(4)]);
    assert_eq!(world.entry.changes().write, Parts::LOCK);
    assert_eq!(fence(&world.acquire(&wish(4))), Some(2));
    assert_eq!(world.release(1), Released::NotHeld);

    // No number comes back, also when all have died.
    world.turn(|entry, turn| entry.bury(turn, |_| true));
    assert_eq!(world.inspect(), LockState::default());
    assert_eq!(fence(&world.acquire(&wish(5))), Some(3));
}

#[test]
fn nobody_is_buried_in_a_session_that_is_over() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    world.pass(TTL);
    world.turn(|entry, turn| entry.bury(turn, |_| true));
    assert!(world.entry.is_vacant());
    assert_eq!(world.woken, [token(2)]);
    assert_eq!(world.change, Some((Change::Ended, Epoch::new(1))));
    world.turn(|entry, turn| entry.bury(turn, |_| true));
    assert!(world.woken.is_empty());
}
