//! Transitions of lockless fields.

use std::time::Duration;

use asm_core::*;

use crate::given::*;

const LIMIT: usize = 1000;

impl World {
    fn write_with(&mut self, req: &FieldWrite, limit: usize) -> Result<FieldWritten, ErrorKind> {
        match self.turn(|entry, turn| entry.write_field(turn, req, limit)) {
            Ok(written) => Ok(written),
            failed => Err(kind(failed)),
        }
    }

    fn write(&mut self, id: u8, name: &str, change: FieldChange) -> FieldWritten {
        self.write_with(&write(id, name, change), LIMIT)
            .expect("within the limit")
    }

    fn read(&mut self, name: &str) -> FieldFound {
        self.read_with(&read(name))
    }

    fn read_with(&mut self, req: &FieldRead) -> FieldFound {
        self.turn(|entry, turn| entry.read_field(turn, req))
            .unwrap()
    }
}

fn write(id: u8, name: &str, change: FieldChange) -> FieldWrite {
    FieldWrite {
        name: FieldName::new(name).unwrap(),
        epoch: Epoch::new(1),
        op: op(id),
        resend: None,
        change,
    }
}

fn read(name: &str) -> FieldRead {
    FieldRead {
        name: FieldName::new(name).unwrap(),
        epoch: Epoch::new(1),
        items: None,
    }
}

fn bytes(value: &'static str) -> FieldFound {
    FieldFound::Value(FieldValue::Bytes(value.into()))
}

fn list(items: &[&'static str]) -> FieldValue {
    FieldValue::List(items.iter().map(|item| (*item).into()).collect())
}

#[test]
fn each_change_does_what_it_says() {
    let mut world = World::with_session();
    assert_eq!(world.read("a"), FieldFound::Absent);
    assert_eq!(
        world.write(1, "a", FieldChange::Set("x".into())),
        FieldWritten::Done
    );
    assert_eq!(world.read("a"), bytes("x"));
    assert_eq!(
        world.write(2, "a", FieldChange::Append("yz".into())),
        FieldWritten::Length(3)
    );
    assert_eq!(world.read("a"), bytes("xyz"));
    assert_eq!(
        world.write(3, "b", FieldChange::Append("q".into())),
        FieldWritten::Length(1)
    );
    assert_eq!(
        world.write(4, "n", FieldChange::Incr(5)),
        FieldWritten::Number(5)
    );
    assert_eq!(
        world.write(5, "n", FieldChange::Incr(-7)),
        FieldWritten::Number(-2)
    );
    assert_eq!(
        world.write(6, "l", FieldChange::Push("1".into())),
        FieldWritten::Length(1)
    );
    assert_eq!(
        world.write(7, "l", FieldChange::Push("2".into())),
        FieldWritten::Length(2)
    );
    assert_eq!(world.read("l"), FieldFound::Value(list(&["1", "2"])));
    let taken = Some(FieldValue::Number(-2));
    assert_eq!(
        world.write(8, "n", FieldChange::Take),
        FieldWritten::Taken(taken)
    );
    assert_eq!(
        world.write(9, "n", FieldChange::Take),
        FieldWritten::Taken(None)
    );
    assert_eq!(world.write(10, "b", FieldChange::Clear), FieldWritten::Done);
    assert_eq!(world.read("b"), FieldFound::Absent);
    assert_eq!(
        world.write(11, "l", FieldChange::Set("s".into())),
        FieldWritten::Done
    );
    assert_eq!(world.read("l"), bytes("s"));
    assert_eq!(world.open().unwrap().version.number, 1);
}

#[test]
fn a_change_of_another_kind_changes_nothing() {
    let mut world = World::with_session();
    world.write(1, "a", FieldChange::Set("x".into()));
    world.write(2, "n", FieldChange::Incr(1));
    world.write(3, "l", FieldChange::Push("1".into()));
    let mut next = 10;
    let mut wrong = |world: &mut World, name, change| {
        next += 1;
        assert_eq!(world.write(next, name, change), FieldWritten::WrongKind);
    };
    wrong(&mut world, "a", FieldChange::Incr(1));
    wrong(&mut world, "a", FieldChange::Push("2".into()));
    wrong(&mut world, "n", FieldChange::Append("2".into()));
    wrong(&mut world, "n", FieldChange::Push("2".into()));
    wrong(&mut world, "l", FieldChange::Append("2".into()));
    wrong(&mut world, "l", FieldChange::Incr(1));
    assert_eq!(world.read("a"), bytes("x"));
    assert_eq!(world.read("n"), FieldFound::Value(FieldValue::Number(1)));
    assert_eq!(world.read("l"), FieldFound::Value(list(&["1"])));
}

#[test]
fn a_sum_that_does_not_fit_is_refused() {
    let mut world = World::with_session();
    world.write(1, "n", FieldChange::Incr(i64::MAX));
    assert_eq!(
        world.write(2, "n", FieldChange::Incr(1)),
        FieldWritten::Overflow
    );
    assert_eq!(
        world.write(3, "m", FieldChange::Incr(i64::MIN)),
        FieldWritten::Number(i64::MIN)
    );
    assert_eq!(
        world.write(4, "m", FieldChange::Incr(-1)),
        FieldWritten::Overflow
    );
    assert_eq!(
        world.read("n"),
        FieldFound::Value(FieldValue::Number(i64::MAX))
    );
}

#[test]
fn a_range_of_a_list_is_cut_to_what_is_there() {
    let mut world = World::with_session();
    for (id, item) in ["0", "1", "2"].into_iter().enumerate() {
        world.write(id as u8, "l", FieldChange::Push(item.into()));
    }
    #[expect(clippy::reversed_empty_ranges, reason = "a caller may send one")]
    for (range, items) in [
        (0..3, &["0", "1", "2"][..]),
        (1..2, &["1"]),
        (2..99, &["2"]),
        (3..9, &[]),
        (5..9, &[]),
        (2..1, &[]),
    ] {
        let req = FieldRead {
            items: Some(range.clone()),
            ..read("l")
        };
        assert_eq!(
            world.read_with(&req),
            FieldFound::Value(list(items)),
            "{range:?}"
        );
    }
    world.write(9, "a", FieldChange::Set("whole".into()));
    let req = FieldRead {
        items: Some(0..1),
        ..read("a")
    };
    assert_eq!(world.read_with(&req), bytes("whole"));
}

#[test]
fn fields_end_with_their_session_and_epoch() {
    let mut world = World::with_session();
    world.write(1, "a", FieldChange::Set("x".into()));
    let foreign = FieldRead {
        epoch: Epoch::new(2),
        ..read("a")
    };
    assert_eq!(world.read_with(&foreign), FieldFound::Ended);
    let foreign = FieldWrite {
        epoch: Epoch::new(2),
        ..write(2, "a", FieldChange::Clear)
    };
    assert_eq!(world.write_with(&foreign, LIMIT), Ok(FieldWritten::Ended));
    assert_eq!(world.read("a"), bytes("x"));
    world.delete(None);
    assert_eq!(world.read("a"), FieldFound::Missing);
    assert_eq!(
        world.write(3, "a", FieldChange::Incr(1)),
        FieldWritten::Missing
    );
    assert!(world.entry.is_vacant());
    world.create(1, "one");
    assert_eq!(world.read("a"), FieldFound::Absent);
}

#[test]
fn a_resent_change_counts_once_and_answers_as_the_first_time() {
    let mut world = World::with_session();
    world.write(1, "t", FieldChange::Set("x".into()));
    let changes = [
        ("n", FieldChange::Incr(2)),
        ("a", FieldChange::Append("ab".into())),
        ("l", FieldChange::Push("p".into())),
        ("t", FieldChange::Take),
        ("n", FieldChange::Push("wrong".into())),
    ];
    for (id, (name, change)) in (10..).zip(changes) {
        let mut req = write(id, name, change);
        let first = world.write_with(&req, LIMIT);
        req.resend = Some(SECOND);
        assert_eq!(world.write_with(&req, LIMIT), first);
    }
    assert_eq!(world.read("n"), FieldFound::Value(FieldValue::Number(2)));
    assert_eq!(world.read("l"), FieldFound::Value(list(&["p"])));
}

#[test]
fn a_resend_is_unknown_once_it_may_have_been_forgotten() {
    let mut world = World::with_session();
    let first = write(1, "n", FieldChange::Incr(1));
    world.write_with(&first, LIMIT).unwrap();
    for id in 2..=16 {
        world.pass(SECOND);
        world.write(id, "m", FieldChange::Incr(1));
    }
    let resent = |id, age| FieldWrite {
        resend: Some(age),
        ..write(id, "n", FieldChange::Incr(1))
    };
    let known = world.write_with(&resent(1, 15 * SECOND), LIMIT);
    assert_eq!(known, Ok(FieldWritten::Number(1)), "sixteen are remembered");
    world.pass(SECOND);
    world.write(17, "m", FieldChange::Incr(1));
    let age = 16 * SECOND;
    assert_eq!(
        world.write_with(&resent(1, age), LIMIT),
        Err(ErrorKind::Unknown)
    );
    // One that was first sent after the newest forgotten change never arrived.
    let younger = age - Duration::from_micros(1);
    assert_eq!(
        world.write_with(&resent(99, younger), LIMIT),
        Ok(FieldWritten::Number(2))
    );
    let fresh = write(98, "n", FieldChange::Incr(1));
    assert_eq!(world.write_with(&fresh, LIMIT), Ok(FieldWritten::Number(3)));
}

#[test]
fn the_fields_together_stay_within_the_limit() {
    let mut world = World::with_session();
    // Each field costs its name and 16 bytes, each item 16 bytes.
    let set = |id, len| write(id, "a", FieldChange::Set(vec![0; len].into()));
    assert_eq!(world.write_with(&set(1, 84), 100), Err(ErrorKind::TooLarge));
    assert_eq!(world.read("a"), FieldFound::Absent);
    assert_eq!(world.write_with(&set(2, 83), 100), Ok(FieldWritten::Done));
    assert_eq!(
        world.write_with(&set(3, 83), 100),
        Ok(FieldWritten::Done),
        "in its place"
    );
    assert_eq!(world.write_with(&set(4, 84), 100), Err(ErrorKind::TooLarge));
    let append = |id, len| write(id, "a", FieldChange::Append(vec![0; len].into()));
    assert_eq!(
        world.write_with(&append(5, 1), 100),
        Err(ErrorKind::TooLarge)
    );
    assert_eq!(
        world.write_with(&append(6, 0), 100),
        Ok(FieldWritten::Length(83))
    );
    let count = write(7, "n", FieldChange::Incr(1));
    assert_eq!(world.write_with(&count, 116), Err(ErrorKind::TooLarge));
    assert_eq!(world.write_with(&count, 117), Ok(FieldWritten::Number(1)));
    let again = write(8, "n", FieldChange::Incr(1));
    assert_eq!(
        world.write_with(&again, 117),
        Ok(FieldWritten::Number(2)),
        "no larger"
    );
    let push = |id, len| write(id, "l", FieldChange::Push(vec![0; len].into()));
    assert_eq!(world.write_with(&push(9, 3), 152), Err(ErrorKind::TooLarge));
    assert_eq!(
        world.write_with(&push(10, 3), 153),
        Ok(FieldWritten::Length(1))
    );
    assert_eq!(
        world.write_with(&push(11, 3), 171),
        Err(ErrorKind::TooLarge)
    );
    assert_eq!(
        world.write_with(&push(12, 3), 172),
        Ok(FieldWritten::Length(2))
    );
    // Making it lighter is allowed above the limit.
    assert_eq!(world.write_with(&set(13, 1), 10), Ok(FieldWritten::Done));
    let take = write(14, "l", FieldChange::Take);
    assert!(matches!(
        world.write_with(&take, 10),
        Ok(FieldWritten::Taken(Some(_)))
    ));
}

#[test]
fn the_weight_follows_every_change() {
    let mut world = World::with_session();
    let own = world.entry.weight();
    let mut id = 0;
    let mut weigh = |world: &mut World, name, change| {
        id += 1;
        world.write(id, name, change);
        world.entry.weight() - own
    };
    assert_eq!(weigh(&mut world, "a", FieldChange::Set("xyz".into())), 20);
    assert_eq!(weigh(&mut world, "a", FieldChange::Append("12".into())), 22);
    assert_eq!(weigh(&mut world, "n", FieldChange::Incr(1)), 39);
    assert_eq!(weigh(&mut world, "l", FieldChange::Push("i".into())), 73);
    assert_eq!(weigh(&mut world, "l", FieldChange::Push("ij".into())), 91);
    // What was taken is remembered as the answer: 5 bytes.
    assert_eq!(weigh(&mut world, "a", FieldChange::Take), 74);
    assert_eq!(weigh(&mut world, "l", FieldChange::Clear), 22);
    assert_eq!(weigh(&mut world, "n", FieldChange::Clear), 5);
    for _ in 0..13 {
        assert_eq!(weigh(&mut world, "n", FieldChange::Clear), 5);
    }
    assert_eq!(weigh(&mut world, "n", FieldChange::Clear), 0, "forgotten");
}

#[test]
fn growth_beyond_the_room_is_refused() {
    let mut world = World::with_session();
    let mut turn = asm_entry::Turn::new(world.now, asm_entry::Timing::default()).with_room(16);
    let req = write(1, "n", FieldChange::Incr(1));
    assert_eq!(
        kind(world.entry.write_field(&mut turn, &req, LIMIT)),
        ErrorKind::Full
    );
    let mut turn = asm_entry::Turn::new(world.now, asm_entry::Timing::default()).with_room(17);
    let written = world.entry.write_field(&mut turn, &req, LIMIT).unwrap();
    assert_eq!(written, FieldWritten::Number(1));
}
