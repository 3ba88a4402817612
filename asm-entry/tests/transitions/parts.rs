//! Parts: what is loaded, what is written back, and hostile bytes.

use asm_core::*;
use asm_entry::{Changes, Entry, Interrupt, Parts, Step, StoredParts};
use proptest::prelude::*;

use crate::given::*;

/// A session that has something in every part.
fn full() -> World {
    let mut world = World::locked();
    world.acquire(&wish(2));
    world.acquire(&wish(3));
    world.release(3);
    for (id, change) in [
        FieldChange::Set("bytes".into()),
        FieldChange::Incr(-3),
        FieldChange::Push("item".into()),
        FieldChange::Take,
        FieldChange::Set("again".into()),
    ]
    .into_iter()
    .enumerate()
    {
        for name in ["a", "b", "c"] {
            let req = FieldWrite {
                name: FieldName::new(name).unwrap(),
                epoch: Epoch::new(1),
                op: OpId::from_bytes([id as u8, name.as_bytes()[0], 0, 0, 0, 0, 0, 0]),
                resend: None,
                change: change.clone(),
            };
            world
                .turn(|entry, turn| entry.write_field(turn, &req, 1000))
                .unwrap();
        }
    }
    let guard = Guard::held(token(1), &world.open().unwrap());
    let rotated = Save {
        stamp: stamp(1, 1, Some(2)),
        ..save(2, guard)
    };
    world.save(&rotated);
    world
}

fn stored(entry: &Entry) -> StoredParts {
    StoredParts {
        head: entry.part(Parts::HEAD),
        body: entry.part(Parts::BODY),
        lock: entry.part(Parts::LOCK),
        fields: entry.part(Parts::FIELDS),
    }
}

#[test]
fn an_entry_reads_back_from_its_parts() {
    let mut world = full();
    let parts = stored(&world.entry);
    let mut again = World {
        entry: Entry::decode(Parts::ALL, parts.clone()).unwrap(),
        ..World::empty()
    };
    assert!(again.entry.changes().is_empty());
    assert_eq!(format!("{:?}", stored(&again.entry)), format!("{parts:?}"));
    assert_eq!(again.entry.weight(), world.entry.weight());
    assert_eq!(again.open(), world.open());
    assert_eq!(again.inspect(), world.inspect());
    assert_eq!(again.renew(1, HOLD), world.renew(1, HOLD));
    assert_eq!(again.release(3), Released::Done, "it is remembered");
    for (id, change) in [
        (9, FieldChange::Incr(1)),
        (10, FieldChange::Push("x".into())),
    ] {
        let req = FieldWrite {
            name: FieldName::new("b").unwrap(),
            epoch: Epoch::new(1),
            op: op(id),
            resend: None,
            change,
        };
        let here = world
            .turn(|entry, turn| entry.write_field(turn, &req, 1000))
            .unwrap();
        let there = again
            .turn(|entry, turn| entry.write_field(turn, &req, 1000))
            .unwrap();
        assert_eq!(here, there);
    }
}

#[test]
fn remembered_answers_read_back() {
    let mut world = World::with_session();
    let write = |id, name: &str, change| FieldWrite {
        name: FieldName::new(name).unwrap(),
        epoch: Epoch::new(1),
        op: op(id),
        resend: None,
        change,
    };
    let requests = [
        write(1, "n", FieldChange::Incr(i64::MAX)),
        write(2, "n", FieldChange::Incr(1)),
        write(3, "n", FieldChange::Push("x".into())),
        write(4, "l", FieldChange::Push("x".into())),
        write(5, "l", FieldChange::Take),
        write(6, "l", FieldChange::Take),
        write(7, "s", FieldChange::Set("x".into())),
        write(8, "s", FieldChange::Append("y".into())),
        write(9, "n", FieldChange::Clear),
        write(10, "s", FieldChange::Clear),
    ];
    let send = |world: &mut World, request: &FieldWrite| {
        world.turn(|entry, turn| entry.write_field(turn, request, 1000))
    };
    let answers = requests
        .each_ref()
        .map(|request| send(&mut world, request).unwrap());
    // No value is left, and the answers are.
    let entry = Entry::decode(Parts::ALL, stored(&world.entry)).unwrap();
    let mut again = World { entry, ..world };
    assert_eq!(
        requests
            .each_ref()
            .map(|request| send(&mut again, request).unwrap()),
        answers
    );
    for id in 11..=17 {
        send(&mut again, &write(id, "m", FieldChange::Incr(1))).unwrap();
    }
    let entry = Entry::decode(Parts::ALL, stored(&again.entry)).unwrap();
    let mut again = World { entry, ..again };
    let forgotten = FieldWrite {
        resend: Some(SECOND),
        ..requests[0].clone()
    };
    assert_eq!(kind(send(&mut again, &forgotten)), ErrorKind::Unknown);
}

#[test]
fn a_change_names_the_parts_that_it_touched() {
    let wrote = |write| Changes {
        clear: false,
        write,
    };
    let mut world = World::with_session();
    assert_eq!(world.entry.changes(), wrote(Parts::HEAD | Parts::BODY));
    assert!(!world.entry.changes().is_empty());
    let mut after = |step: &mut dyn FnMut(&mut World)| {
        world.entry.written();
        step(&mut world);
        world.entry.changes()
    };
    assert!(
        after(&mut |world| {
            world.open();
        })
        .is_empty()
    );
    assert!(
        after(&mut |world| {
            world.inspect();
        })
        .is_empty()
    );
    assert!(
        after(&mut |world| {
            world.touch(1, SECOND);
        })
        .is_empty()
    );
    assert_eq!(
        after(&mut |world| {
            world.touch(1, 2 * TTL);
        }),
        wrote(Parts::HEAD)
    );
    assert_eq!(
        after(&mut |world| {
            world.acquire(&wish(1));
        }),
        wrote(Parts::LOCK)
    );
    assert!(
        after(&mut |world| {
            world.acquire(&wish(1));
        })
        .is_empty()
    );
    assert_eq!(
        after(&mut |world| {
            world.acquire(&wish(2));
        }),
        wrote(Parts::LOCK)
    );
    assert!(
        after(&mut |world| {
            world.inspect();
        })
        .is_empty()
    );
    assert!(
        after(&mut |world| {
            world.release(9);
        })
        .is_empty()
    );
    assert_eq!(
        after(&mut |world| {
            world.release(1);
        }),
        wrote(Parts::LOCK)
    );
    let count = FieldWrite {
        name: FieldName::new("n").unwrap(),
        epoch: Epoch::new(1),
        op: op(1),
        resend: None,
        change: FieldChange::Incr(1),
    };
    let mut incr = |world: &mut World| {
        world
            .turn(|entry, turn| entry.write_field(turn, &count, 99))
            .unwrap();
    };
    assert_eq!(after(&mut incr), wrote(Parts::FIELDS));
    assert!(after(&mut incr).is_empty(), "a resend");
    let gone = Changes {
        clear: true,
        write: Parts::NONE,
    };
    assert_eq!(
        after(&mut |world| {
            world.delete(None);
        }),
        gone
    );
    assert!(
        after(&mut |world| {
            world.delete(None);
        })
        .is_empty()
    );
}

#[test]
fn what_was_not_loaded_is_asked_for_and_not_guessed() {
    let parts = stored(&full().entry);
    let load = |loaded: Parts| {
        let kept =
            |part, bytes: &Option<bytes::Bytes>| bytes.clone().filter(|_| loaded.contains(part));
        let stored = StoredParts {
            head: parts.head.clone(),
            body: kept(Parts::BODY, &parts.body),
            lock: kept(Parts::LOCK, &parts.lock),
            fields: kept(Parts::FIELDS, &parts.fields),
        };
        World {
            entry: Entry::decode(loaded, stored).unwrap(),
            ..World::empty()
        }
    };
    fn asked<T: std::fmt::Debug>(outcome: Result<T, Interrupt>) -> Parts {
        match outcome {
            Err(Interrupt::Needs(parts)) => parts,
            other => panic!("{other:?}"),
        }
    }
    let guard = Guard::held(token(1), &full().open().unwrap());
    let stale = Guard {
        version: Version {
            number: 0,
            ..guard.version
        },
        ..guard
    };

    let mut head = load(Parts::HEAD);
    let plain = Open { lock: None };
    let locking = Open {
        lock: Some(OpenLock {
            claim: claim(5),
            proof: proof(1),
        }),
    };
    assert_eq!(asked(head.turn(|e, t| e.open(t, &plain))), Parts::BODY);
    assert_eq!(
        asked(load(Parts::BODY).turn(|e, t| e.open(t, &locking))),
        Parts::LOCK
    );
    assert_eq!(
        asked(head.turn(|e, t| e.create(t, &create(9, "x")))),
        Parts::LOCK
    );
    assert_eq!(
        asked(head.turn(|e, t| e.save(t, &save(9, guard)))),
        Parts::LOCK
    );
    assert_eq!(
        asked(head.turn(|e, t| e.delete(t, &Delete { only_if: None }))),
        Parts::LOCK
    );
    assert_eq!(
        asked(head.turn(|e, t| e.acquire(t, &wish(1), Step::Join))),
        Parts::LOCK
    );
    assert_eq!(
        asked(head.turn(|e, t| e.release(t, &token(1)))),
        Parts::LOCK
    );
    assert_eq!(
        asked(head.turn(|e, t| e.renew(t, &token(1), HOLD))),
        Parts::LOCK
    );
    assert_eq!(asked(head.turn(|e, t| e.break_lock(t, None))), Parts::LOCK);
    assert_eq!(asked(head.turn(Entry::inspect)), Parts::LOCK);

    let mut lock = load(Parts::LOCK);
    assert_eq!(
        asked(lock.turn(|e, t| e.save(t, &save(9, stale)))),
        Parts::BODY
    );
    let delete = Delete {
        only_if: Some(stale),
    };
    assert_eq!(asked(lock.turn(|e, t| e.delete(t, &delete))), Parts::BODY);
    assert_eq!(
        asked(lock.turn(|e, t| e.acquire(t, &wish(1), Step::Join))),
        Parts::BODY
    );
    let known = LockWish {
        known: Some(guard.version),
        ..wish(1)
    };
    assert_eq!(fence(&lock.acquire(&known)), Some(1));
    let name = || FieldName::new("a").unwrap();
    let epoch = Epoch::new(1);
    let read = FieldRead {
        name: name(),
        epoch,
        items: None,
    };
    assert_eq!(
        asked(lock.turn(|e, t| e.read_field(t, &read))),
        Parts::FIELDS
    );
    let change = FieldChange::Clear;
    let write = FieldWrite {
        name: name(),
        epoch,
        op: op(1),
        resend: None,
        change,
    };
    assert_eq!(
        asked(lock.turn(|e, t| e.write_field(t, &write, 9))),
        Parts::FIELDS
    );

    // A save needs no body, and writes one.
    assert_eq!(version(&lock.save(&save(9, guard))), Some(3));
    assert_eq!(lock.entry.changes().write, Parts::HEAD | Parts::BODY);
    assert!(lock.entry.part(Parts::BODY).is_some());
    assert!(load(Parts::HEAD).entry.part(Parts::BODY).is_none());
}

#[test]
fn a_part_that_is_not_ours_is_corrupt() {
    let parts = stored(&full().entry);
    let corrupt = |stored: StoredParts| {
        let error = Entry::decode(Parts::ALL, stored).expect_err("not ours");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    };
    let cut = |bytes: &Option<bytes::Bytes>| {
        let bytes = bytes.as_ref().unwrap();
        Some(bytes.slice(..bytes.len() - 1))
    };
    let longer =
        |bytes: &Option<bytes::Bytes>| Some([&bytes.as_ref().unwrap()[..], &[0]].concat().into());
    for spoil in [
        &cut as &dyn Fn(&Option<bytes::Bytes>) -> Option<bytes::Bytes>,
        &longer,
    ] {
        corrupt(StoredParts {
            head: spoil(&parts.head),
            ..parts.clone()
        });
        corrupt(StoredParts {
            lock: spoil(&parts.lock),
            ..parts.clone()
        });
        corrupt(StoredParts {
            fields: spoil(&parts.fields),
            ..parts.clone()
        });
    }
    corrupt(StoredParts {
        body: None,
        ..parts.clone()
    });
    let mut zero = parts.head.clone().unwrap().to_vec();
    zero[0] = 0;
    corrupt(StoredParts {
        head: Some(zero.into()),
        ..parts.clone()
    });
    let vacant = StoredParts {
        head: None,
        ..parts
    };
    assert!(Entry::decode(Parts::ALL, vacant).unwrap().is_vacant());
    assert!(Entry::vacant().part(Parts::HEAD).is_none());
    assert!(Entry::vacant().part(Parts::BODY).is_none());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn hostile_parts_never_panic(
        part in 0..3_usize,
        at in any::<prop::sample::Index>(),
        flip in 1..=255_u8,
        noise in prop::collection::vec(any::<u8>(), 0..64),
        replace in any::<bool>(),
    ) {
        let mut parts = stored(&full().entry);
        let victim = [&mut parts.head, &mut parts.lock, &mut parts.fields]
            .into_iter()
            .nth(part)
            .unwrap();
        let mut bytes = victim.take().unwrap().to_vec();
        if replace {
            bytes = noise;
        } else {
            let at = at.index(bytes.len());
            bytes[at] ^= flip;
        }
        *victim = Some(bytes.into());
        if let Ok(entry) = Entry::decode(Parts::ALL, parts) {
            let mut world = World { entry, ..World::empty() };
            world.inspect();
            world.acquire(&wish(7));
            world.release(1);
            world.open();
            let _ = stored(&world.entry);
        }
    }
}
