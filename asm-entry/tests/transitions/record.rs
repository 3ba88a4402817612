//! Transitions of the record.

use std::time::Duration;

use crate::given::*;
use asm_core::*;
use asm_entry::{Entry, Stepped, Timing, Turn};

#[test]
fn a_created_record_opens_with_all_it_was_given() {
    let mut world = World::empty();
    let Created::Done {
        version,
        fence,
        now,
    } = world.create(7, "data")
    else {
        panic!("refused")
    };
    assert_eq!((version.number, version.op, fence), (1, op(7), None));
    assert_eq!(now, world.now);
    world.pass(SECOND);
    let snapshot = world.open().expect("there");
    assert_eq!(snapshot.version, version);
    assert_eq!(snapshot.stamp, stamp(1, 1, None));
    assert_eq!(&snapshot.data[..], b"data");
    assert_eq!(snapshot.left, Some(TTL - SECOND));
    assert_eq!(snapshot.now, world.now);
    assert_eq!(world.entry.expires(), world.now + (TTL - SECOND));
}

#[test]
fn a_taken_key_is_refused_and_left_alone() {
    let mut world = World::with_session();
    let before = world.open();
    assert_eq!(world.create(2, "two"), Created::Taken);
    assert_eq!(world.open(), before);
}

#[test]
fn a_resent_create_answers_as_the_first_time_while_it_is_remembered() {
    let mut world = World::empty();
    let mut req = create(1, "one");
    req.lock = Some(claim(1));
    let first = world.turn(|entry, turn| entry.create(turn, &req)).unwrap();
    assert!(matches!(first, Created::Done { fence: Some(_), .. }));
    req.resend = true;
    assert_eq!(
        world.turn(|entry, turn| entry.create(turn, &req)).unwrap(),
        first
    );

    world.release(1);
    let again = world.turn(|entry, turn| entry.create(turn, &req)).unwrap();
    assert!(
        matches!(again, Created::Done { fence: None, .. }),
        "the lock is over"
    );

    for id in 2..=4 {
        world.save_next(id);
    }
    let again = world.turn(|entry, turn| entry.create(turn, &req)).unwrap();
    assert!(matches!(again, Created::Done { version, .. } if version.number == 1));

    let stranger = Create {
        op: op(99),
        ..req.clone()
    };
    assert_eq!(
        world
            .turn(|entry, turn| entry.create(turn, &stranger))
            .unwrap(),
        Created::Taken,
        "four versions are remembered, and it made none of them"
    );
    world.save_next(5);
    let forgotten = world.turn(|entry, turn| entry.create(turn, &req));
    assert_eq!(kind(forgotten), ErrorKind::Unknown);
    req.resend = false;
    assert_eq!(
        world.turn(|entry, turn| entry.create(turn, &req)).unwrap(),
        Created::Taken
    );
}

#[test]
fn life_ends_exactly_at_its_end() {
    let mut world = World::with_session();
    world.pass(TTL - Duration::from_micros(1));
    assert!(world.open().is_some());
    world.pass(Duration::from_micros(1));
    assert!(world.open().is_none());
    assert_eq!(world.change, Some((Change::Ended, Epoch::new(1))));
    assert!(world.entry.is_vacant());
    assert!(world.entry.changes().clear);
    assert!(world.open().is_none());
    assert_eq!(world.change, None, "it ends once");
}

#[test]
fn a_key_can_be_used_again_after_the_end() {
    let mut world = World::locked();
    world.pass(TTL);
    world.create(2, "two");
    let snapshot = world.open().expect("there");
    assert_eq!(
        (snapshot.version.number, &snapshot.data[..]),
        (1, &b"two"[..])
    );
    assert_eq!(world.inspect(), LockState::default());
    assert!(world.entry.changes().clear);
}

#[test]
fn a_save_makes_the_next_version() {
    let mut world = World::with_session();
    world.pass(SECOND);
    let guard = Guard::unchanged(&world.open().unwrap());
    let written = world.save(&Save {
        ttl: SECOND,
        ..save(2, guard)
    });
    let version = Version {
        number: 2,
        op: op(2),
    };
    assert_eq!(
        written,
        Written::Done {
            version,
            now: world.now
        }
    );
    assert_eq!(world.change, Some((Change::Saved(version), Epoch::new(1))));
    let snapshot = world.open().unwrap();
    assert_eq!((snapshot.version, snapshot.left), (version, Some(SECOND)));
    assert_eq!(&snapshot.data[..], &[2, 2]);
}

#[test]
fn a_stale_guard_is_told_what_is_there() {
    let mut world = World::with_session();
    let guard = Guard::unchanged(&world.open().unwrap());
    world.save_next(2);
    let present = world.open().unwrap();
    let mut other_op = guard;
    other_op.version = Version {
        op: op(9),
        ..present.version
    };
    for guard in [guard, other_op] {
        assert_eq!(
            world.save(&save(3, guard)),
            Written::Conflict(present.clone())
        );
        assert_eq!(world.change, None);
        assert_eq!(world.open().as_ref(), Some(&present));
    }
}

#[test]
fn a_resent_save_counts_once() {
    let mut world = World::with_session();
    let guard = Guard::unchanged(&world.open().unwrap());
    let mut first = save(2, guard);
    assert_eq!(version(&world.save(&first)), Some(2));
    first.resend = true;
    assert_eq!(version(&world.save(&first)), Some(2));
    for id in 3..=5 {
        world.save_next(id);
        assert_eq!(version(&world.save(&first)), Some(2), "after save {id}");
    }
    world.save_next(6);
    assert_eq!(world.save_err(&first), ErrorKind::Unknown);
    first.resend = false;
    assert!(matches!(world.save(&first), Written::Conflict(_)));
    assert_eq!(world.open().unwrap().version.number, 6);
}

#[test]
fn a_resend_that_never_arrived_is_told_apart_as_long_as_it_can_be() {
    let mut world = World::with_session();
    let guard = Guard::unchanged(&world.open().unwrap());
    let lost = Save {
        resend: true,
        ..save(9, guard)
    };
    for id in 2..=5 {
        world.save_next(id);
        assert!(
            matches!(world.save(&lost), Written::Conflict(_)),
            "after save {id}"
        );
    }
    world.save_next(6);
    assert_eq!(world.save_err(&lost), ErrorKind::Unknown);
    let from_the_future = Version {
        number: u64::MAX,
        op: op(3),
    };
    let guard = Guard {
        version: from_the_future,
        ..guard
    };
    assert!(matches!(
        world.save(&Save { guard, ..lost }),
        Written::Conflict(_)
    ));
}

#[test]
fn the_checks_of_a_save_come_in_order() {
    let mut world = World::locked();
    let snapshot = world.open().unwrap();
    let stale = Version {
        number: 0,
        op: op(8),
    };
    let wrong = Guard {
        epoch: Epoch::new(2),
        version: stale,
        held: Some(token(2)),
    };
    assert_eq!(world.save(&save(2, wrong)), Written::Ended);
    let wrong = Guard {
        epoch: Epoch::new(1),
        ..wrong
    };
    assert_eq!(world.save(&save(2, wrong)), Written::LockLost);
    let wrong = Guard {
        held: None,
        ..wrong
    };
    assert_eq!(world.save(&save(2, wrong)), Written::Locked);
    let wrong = Guard {
        held: Some(token(1)),
        ..wrong
    };
    assert_eq!(
        world.save(&save(2, wrong)),
        Written::Conflict(snapshot.clone())
    );
    let right = Guard::held(token(1), &snapshot);
    assert_eq!(version(&world.save(&save(2, right))), Some(2));
    // The op id is looked up before everything else.
    let wrong = Guard {
        epoch: Epoch::new(2),
        ..wrong
    };
    assert_eq!(version(&world.save(&save(2, wrong))), Some(2));
    for id in 3..=8 {
        let guard = Guard::held(token(1), &world.open().unwrap());
        world.save(&save(id, guard));
    }
    let lost = Save {
        resend: true,
        ..save(90, wrong)
    };
    assert_eq!(
        world.save_err(&lost),
        ErrorKind::Unknown,
        "before the epoch"
    );
    world.delete(None);
    assert_eq!(world.save(&lost), Written::Missing, "before the resend");
}

#[test]
fn a_save_never_revives() {
    let mut world = World::with_session();
    let guard = Guard::unchanged(&world.open().unwrap());
    world.delete(None);
    assert_eq!(world.save(&save(2, guard)), Written::Missing);
    let mut world = World::with_session();
    world.pass(TTL);
    assert_eq!(world.save(&save(2, guard)), Written::Missing);
    assert!(world.entry.is_vacant());
    assert_eq!(world.touch(1, TTL), Touched::Missing);
}

#[test]
fn a_save_may_release_in_the_same_step() {
    let mut world = World::locked();
    let mut patient = wish(2);
    patient.known = Some(world.open().unwrap().version);
    world.acquire(&patient);
    let guard = Guard::held(token(1), &world.open().unwrap());
    let last = Save {
        release: true,
        ..save(2, guard)
    };
    assert_eq!(version(&world.save(&last)), Some(2));
    assert_eq!(world.woken, [token(2)]);
    assert_eq!(world.release(1), Released::Done, "a retry");
    // A resend does not release what has since been handed to the same token's successor.
    assert_eq!(
        version(&world.save(&Save {
            resend: true,
            ..last
        })),
        Some(2)
    );
    let Stepped::Answer(Acquired::Held { fence, snapshot }) = world.acquire(&patient) else {
        panic!("it was handed over")
    };
    assert_eq!(fence, Fence::new(2));
    assert_eq!(snapshot.map(|snapshot| snapshot.version.number), Some(2));
    // Without a held lock there is nothing to end.
    let mut world = World::with_session();
    let guard = Guard::unchanged(&world.open().unwrap());
    let free = Save {
        release: true,
        ..save(2, guard)
    };
    assert_eq!(version(&world.save(&free)), Some(2));
    assert!(world.woken.is_empty());
}

#[test]
fn a_refused_save_does_not_release() {
    let mut world = World::locked();
    let mut guard = Guard::held(token(1), &world.open().unwrap());
    guard.version.number = 9;
    let req = Save {
        release: true,
        ..save(2, guard)
    };
    assert!(matches!(world.save(&req), Written::Conflict(_)));
    assert!(world.inspect().holder.is_some());
}

#[test]
fn a_new_stamp_is_a_rotation() {
    let mut world = World::with_session();
    let guard = Guard::unchanged(&world.open().unwrap());
    let renewed = Save {
        stamp: stamp(1, 1, Some(2)),
        ..save(2, guard)
    };
    world.save(&renewed);
    let version = Version {
        number: 2,
        op: op(2),
    };
    assert_eq!(
        world.change,
        Some((Change::Rotated(version), Epoch::new(1)))
    );
    assert_eq!(world.open().unwrap().stamp, stamp(1, 1, Some(2)));

    let guard = Guard::unchanged(&world.open().unwrap());
    let login = Save {
        stamp: stamp(5, 3, None),
        ..save(3, guard)
    };
    world.save(&login);
    let version = Version {
        number: 3,
        op: op(3),
    };
    assert_eq!(
        world.change,
        Some((Change::Rotated(version), Epoch::new(5)))
    );
    assert_eq!(world.save(&save(4, guard)), Written::Ended);
    assert_eq!(world.touch(1, TTL), Touched::Ended);
    assert_eq!(world.delete(Some(guard)), Deleted::Ended);
    assert!(world.open().is_some());
}

#[test]
fn a_touch_only_ever_lengthens() {
    let mut world = World::with_session();
    let before = world.open().unwrap();
    let now = world.now;
    assert_eq!(world.touch(1, SECOND), Touched::Done { left: TTL, now });
    world.entry.written();
    assert_eq!(world.touch(1, TTL), Touched::Done { left: TTL, now });
    assert!(world.entry.changes().is_empty(), "nothing to write back");
    assert_eq!(world.open().unwrap(), before);
    assert_eq!(
        world.touch(1, 2 * TTL),
        Touched::Done { left: 2 * TTL, now }
    );
    assert_eq!(world.change, None);
    let after = world.open().unwrap();
    assert_eq!(
        after,
        Snapshot {
            left: Some(2 * TTL),
            ..before
        }
    );
}

#[test]
fn a_delete_without_a_guard_wins() {
    let mut world = World::locked();
    world.acquire(&wish(2));
    world.acquire(&wish(3));
    assert_eq!(world.delete(None), Deleted::Done);
    assert_eq!(world.woken, [token(2), token(3)]);
    assert_eq!(world.change, Some((Change::Ended, Epoch::new(1))));
    assert_eq!(world.delete(None), Deleted::Nothing);
    assert_eq!(world.renew(1, HOLD), Renewed::Missing);
    assert_eq!(world.acquire(&wish(2)), Stepped::Answer(Acquired::Missing));
}

#[test]
fn a_guarded_delete_keeps_its_guard() {
    let mut world = World::locked();
    let snapshot = world.open().unwrap();
    let free = Guard::unchanged(&snapshot);
    assert_eq!(world.delete(Some(free)), Deleted::Locked);
    let stranger = Guard::held(token(2), &snapshot);
    assert_eq!(world.delete(Some(stranger)), Deleted::LockLost);
    let mut stale = Guard::held(token(1), &snapshot);
    stale.version.number = 0;
    assert_eq!(
        world.delete(Some(stale)),
        Deleted::Conflict(snapshot.clone())
    );
    assert_eq!(
        world.delete(Some(Guard::held(token(1), &snapshot))),
        Deleted::Done
    );
}

#[test]
fn an_open_takes_the_lock_only_with_a_proof() {
    let with = |id, by| Open {
        lock: Some(OpenLock {
            claim: claim(id),
            proof: proof(by),
        }),
    };
    let lock = |opened| match opened {
        Opened::Found { lock, .. } => lock,
        other => panic!("{other:?}"),
    };
    let mut world = World::with_session();
    assert_eq!(
        lock(world.open_with(&Open { lock: None })),
        OpenedLock::NotAsked
    );
    assert_eq!(lock(world.open_with(&with(1, 9))), OpenedLock::Unproven);
    assert_eq!(world.inspect(), LockState::default());
    assert_eq!(
        lock(world.open_with(&with(1, 1))),
        OpenedLock::Held(Fence::new(1))
    );
    world.pass(SECOND);
    assert_eq!(
        lock(world.open_with(&with(1, 1))),
        OpenedLock::Held(Fence::new(1))
    );
    assert_eq!(
        world.inspect().holder.unwrap().left,
        HOLD - SECOND,
        "not longer"
    );
    assert_eq!(lock(world.open_with(&with(2, 1))), OpenedLock::Busy);
    assert_eq!(lock(world.open_with(&with(2, 9))), OpenedLock::Unproven);
    world.release(1);
    assert_eq!(
        lock(world.open_with(&with(1, 1))),
        OpenedLock::Busy,
        "never again"
    );
    assert_eq!(
        lock(world.open_with(&with(2, 1))),
        OpenedLock::Held(Fence::new(2))
    );
    // Behind a hand-off nobody takes it.
    world.acquire(&wish(3));
    world.release(2);
    assert_eq!(lock(world.open_with(&with(4, 1))), OpenedLock::Busy);
    assert_eq!(
        lock(world.open_with(&with(3, 1))),
        OpenedLock::Busy,
        "not by an open"
    );
}

#[test]
fn growth_beyond_the_room_is_refused_and_changes_nothing() {
    let own = size_of::<Entry>();
    let mut entry = Entry::vacant();
    assert_eq!(entry.weight(), 0);
    let turn = |room| Turn::new(Timestamp::from_micros(5), Timing::default()).with_room(room);
    let refused = entry.create(&mut turn(own + 2), &create(1, "one"));
    assert_eq!(kind(refused), ErrorKind::Full);
    assert!(entry.is_vacant() && entry.changes().is_empty());
    entry.create(&mut turn(own + 3), &create(1, "one")).unwrap();
    assert_eq!(entry.weight(), own + 3);

    let mut open = || match entry.open(&mut turn(0), &Open { lock: None }).unwrap() {
        Opened::Found { snapshot, .. } => Guard::unchanged(&snapshot),
        other => panic!("{other:?}"),
    };
    let guard = open();
    assert_eq!(
        kind(entry.save(&mut turn(2), &save(6, guard))),
        ErrorKind::Full
    );
    assert!(matches!(
        entry.save(&mut turn(3), &save(6, guard)),
        Ok(Written::Done { .. })
    ));
    assert_eq!(entry.weight(), own + 6);
}
