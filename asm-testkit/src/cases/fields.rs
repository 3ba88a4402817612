//! Lockless fields.

use std::{collections::HashSet, sync::Arc, time::Duration};

use asm_core::{
    Create, Deleted, Driver, ErrorKind, FieldChange, FieldFound, FieldName, FieldRead, FieldValue,
    FieldWrite, FieldWritten, Key, LocklessFields, Redacted, Result, Save, Snapshot,
};

use crate::{
    Harness, cancel_at, expect,
    given::{self, TTL},
    together::together,
};

/// How long ago the first sending of a resent change was.
const SENT: Duration = Duration::from_secs(1);

/// Bytes, numbers and lists, whatever is in them, read by another handle.
pub async fn keeps_values_of_every_kind(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let field = Field::of(&key, &session, "a");
    for bytes in [
        &b""[..],
        b"\0\0",
        b"\xff\xfe\xc3\x28",
        b"12",
        b"\r\n$-1\r\n",
    ] {
        let data = Redacted::from(bytes);
        expect::exactly(field.set(&r1, data.clone()).await, &FieldWritten::Done);
        field.expect(&r2, &FieldValue::Bytes(data)).await;
    }
    let field = Field::of(&key, &session, "b");
    for (by, sum) in [(1, 1), (0, 1), (41, 42), (-50, -8)] {
        assert_eq!(expect::number(field.incr(&r1, by).await), sum);
        field.expect(&r2, &FieldValue::Number(sum)).await;
    }
    let field = Field::of(&key, &session, "c");
    let mut all = Vec::new();
    for more in [&b""[..], b"\0", b"ab", b"\xff", b""] {
        all.extend_from_slice(more);
        let answer = field.write(&r1, FieldChange::Append(more.into())).await;
        expect::exactly(answer, &FieldWritten::Length(all.len()));
        let value = FieldValue::Bytes(all.clone().into());
        field.expect(&r2, &value).await;
    }
    let field = Field::of(&key, &session, "d");
    let mut items = Vec::new();
    for item in [&b""[..], b"\0", b"same", b"same", b"\xff\n", b""] {
        items.push(Redacted::from(item));
        let answer = field.write(&r1, FieldChange::Push(item.into())).await;
        expect::exactly(answer, &FieldWritten::Length(items.len()));
        field.expect(&r2, &FieldValue::List(items.clone())).await;
    }
}

/// What is of another kind stays as it is. Only `Set` replaces whatever is there.
pub async fn mixes_no_kinds(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let bytes = FieldChange::Set("5".into());
    let (number, item) = (FieldChange::Incr(5), FieldChange::Push("5".into()));
    let append = FieldChange::Append("6".into());
    let table = [
        (&bytes, vec![&number, &item]),
        (&number, vec![&append, &item]),
        (&item, vec![&append, &number]),
    ];
    for (i, (first, refused)) in table.into_iter().enumerate() {
        let field = Field::of(&key, &session, &format!("field {i}"));
        field.write(&r1, first.clone()).await.expect("an answer");
        let before = expect::value(field.read(&r1).await);
        for change in refused {
            let answer = field.write(&r1, change.clone()).await;
            expect::exactly(answer, &FieldWritten::WrongKind);
            field.expect(&r2, &before).await;
        }
        let data = given::data();
        expect::exactly(field.set(&r1, data.clone()).await, &FieldWritten::Done);
        field.expect(&r2, &FieldValue::Bytes(data)).await;
    }
}

/// Removed by `Take`, which answers what there was, or by `Clear`, of any kind; once only.
pub async fn removes_a_field(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let field = Field::of(&key, &session, "a");
    for change in [
        FieldChange::Set(Redacted::default()),
        FieldChange::Incr(0),
        FieldChange::Append("b".into()),
        FieldChange::Push(Redacted::default()),
    ] {
        field.write(&r1, change.clone()).await.expect("an answer");
        let value = expect::value(field.read(&r2).await);
        let taken = field.write(&r2, FieldChange::Take).await;
        expect::exactly(taken, &FieldWritten::Taken(Some(value)));
        expect::exactly(field.read(&r1).await, &FieldFound::Absent);
        let taken = field.write(&r1, FieldChange::Take).await;
        expect::exactly(taken, &FieldWritten::Taken(None));

        field.write(&r1, change).await.expect("an answer");
        for _ in 0..2 {
            let cleared = field.write(&r2, FieldChange::Clear).await;
            expect::exactly(cleared, &FieldWritten::Done);
            expect::exactly(field.read(&r1).await, &FieldFound::Absent);
        }
    }
}

/// Cut to the items that are there, however far beyond them and whichever way round. Other values
/// are read whole.
#[allow(clippy::reversed_empty_ranges, reason = "a caller may send one")]
pub async fn reads_a_part_of_a_list(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, session) = given::stored(&*driver).await;
    let list = Field::of(&key, &session, "list");
    let items: Vec<Redacted> = (0..5_u8).map(|i| Redacted::from(vec![i])).collect();
    for item in &items {
        let pushed = list.write(&driver, FieldChange::Push(item.clone())).await;
        pushed.expect("an answer");
    }
    for (wanted, there) in [
        (0..5, 0..5),
        (0..0, 0..0),
        (1..3, 1..3),
        (4..5, 4..5),
        (3..100, 3..5),
        (5..6, 5..5),
        (100..200, 5..5),
        (3..1, 3..3),
        (200..100, 5..5),
        (0..usize::MAX, 0..5),
        (usize::MAX - 1..usize::MAX, 5..5),
        (usize::MAX..0, 5..5),
    ] {
        let part = list.read_part(&driver, wanted.clone()).await;
        let expected = FieldValue::List(items[there].to_vec());
        assert_eq!(expect::value(part), expected, "{wanted:?}");
    }
    let bytes = Field::of(&key, &session, "bytes");
    let data = given::data();
    bytes.set(&driver, data.clone()).await.expect("an answer");
    let whole = bytes.read_part(&driver, 1..2).await;
    assert_eq!(expect::value(whole), FieldValue::Bytes(data));
    let none = Field::of(&key, &session, "none");
    expect::exactly(none.read_part(&driver, 1..2).await, &FieldFound::Absent);
}

/// No field write waits for a lock, disturbs one, or changes the record, its version, its lifetime.
pub async fn changes_fields_beside_the_record(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let (token, fence) = given::held(&*r1, &key, &session).await;
    let field = Field::of(&key, &session, "a");
    for change in every_change() {
        let answer = field.write(&r2, change).await.expect("an answer");
        assert!(!matches!(
            answer,
            FieldWritten::Missing | FieldWritten::Ended
        ));
        field.read(&r2).await.expect("an answer");
    }
    let state = r2.inspect(&key).await.expect("an answer");
    assert_eq!(state.holder.map(|holder| holder.fence), Some(fence));
    let after = given::read(&*r2, &key).await;
    assert_eq!(
        (after.version, after.stamp),
        (session.version, session.stamp)
    );
    assert!(after.data == session.data, "the data changed");
    let req = given::save_and_release(token, &session, given::data());
    expect::written(r1.save(&key, req).await);
}

/// Writing, reading, taking: none of it makes the session live longer.
pub async fn makes_no_session_live_longer(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, session) = given::stored(&*driver).await;
    let field = Field::of(&key, &session, "a");
    h.advance(TTL / 2).await;
    for change in every_change() {
        field.write(&driver, change).await.expect("an answer");
        field.read(&driver).await.expect("an answer");
    }
    h.advance(TTL / 2 + driver.info().ttl_resolution).await;
    expect::missing(driver.open(&key, given::open()).await);
    expect::exactly(field.read(&driver).await, &FieldFound::Missing);
}

/// A touch or save that makes the session live longer does so for its fields; one that makes it
/// shorter, too.
pub async fn ends_fields_when_their_session_ends(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let field = Field::of(&key, &session, "a");
    let value = FieldValue::Bytes(given::data());
    let FieldValue::Bytes(data) = &value else {
        unreachable!("made just above")
    };
    field.set(&r1, data.clone()).await.expect("an answer");

    h.advance(TTL / 2).await;
    expect::touched(r2.touch(&key, given::touch(&session, 3 * TTL)).await);
    h.advance(2 * TTL).await;
    field.expect(&r1, &value).await;

    expect::written(r2.save(&key, given::save(&session, given::data())).await);
    h.advance(TTL - Duration::from_secs(1)).await;
    field.expect(&r1, &value).await;
    h.advance(Duration::from_secs(1) + r1.info().ttl_resolution)
        .await;
    expect::exactly(field.read(&r1).await, &FieldFound::Missing);
}

/// Deleted or expired: none of its fields is there in the next session of that key, not even for
/// one who knows the epoch.
pub async fn leaves_no_field_to_the_next_session(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for delete in [true, false] {
        let (key, session) = given::stored(&*r1).await;
        let names = ["a", "b", "c"];
        for (name, change) in names.into_iter().zip(every_change()) {
            let field = Field::of(&key, &session, name);
            field.write(&r1, change).await.expect("an answer");
        }
        end(h, &*r2, &key, delete).await;
        let req = Create {
            stamp: session.stamp,
            ..given::create(given::data())
        };
        expect::created(r2.create(&key, req).await);
        for name in names {
            let field = Field::of(&key, &session, name);
            expect::exactly(field.read(&r1).await, &FieldFound::Absent);
        }
        expect::exactly(r2.delete(&key, given::log_out()).await, &Deleted::Done);
        assert_eq!(h.holdings().await, 0, "things left of a deleted session");
    }
}

/// No change, new or resent, brings a session back, and none leaves anything behind.
pub async fn revives_nothing_by_a_field(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for delete in [true, false] {
        let (key, session) = given::stored(&*r1).await;
        let field = Field::of(&key, &session, "a");
        let known = field.request(FieldChange::Incr(1));
        expect::number(fields(&r1).write_field(&key, known.clone()).await);
        end(h, &*r2, &key, delete).await;

        let changes = every_change().into_iter();
        let mut reqs: Vec<_> = changes.map(|change| field.request(change)).collect();
        reqs.push(known);
        for req in reqs {
            for resend in [None, Some(SENT)] {
                let req = FieldWrite {
                    resend,
                    ..req.clone()
                };
                let answer = fields(&r1).write_field(&key, req).await;
                expect::exactly(answer, &FieldWritten::Missing);
            }
        }
        expect::exactly(field.read(&r1).await, &FieldFound::Missing);
        expect::missing(r2.open(&key, given::open()).await);
        if delete {
            assert_eq!(h.holdings().await, 0, "things left by refused changes");
        }
    }
}

/// Every change at a key that was never used.
pub async fn leaves_no_field_at_an_unknown_key(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, session) = given::stored(&*driver).await;
    let unknown = Field::of(&given::key(), &session, "a");
    let holdings = h.holdings().await;
    for change in every_change() {
        let answer = unknown.write(&driver, change).await;
        expect::exactly(answer, &FieldWritten::Missing);
    }
    expect::exactly(unknown.read(&driver).await, &FieldFound::Missing);
    assert_eq!(
        h.holdings().await,
        holdings,
        "things left at an unknown key"
    );
    given::read(&*driver, &key).await;
}

/// A field write against a delete: it counts, or it is told that the session is gone; nothing is
/// left in either case.
pub async fn leaves_no_field_of_a_racing_delete(h: &dyn Harness) {
    for _ in 0..50 {
        let (r1, r2) = given::two(h).await;
        let (key, session) = given::stored(&*r1).await;
        let racers = (0..4).map(|i| {
            let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
            let field = Field::of(&key, &session, "a");
            async move {
                if i == 0 {
                    expect::exactly(driver.delete(&key, given::log_out()).await, &Deleted::Done);
                    return;
                }
                let mut over = false;
                for _ in 0..10 {
                    match field.incr(&driver, 1).await {
                        Ok(FieldWritten::Number(_)) => assert!(!over, "it came back"),
                        Ok(FieldWritten::Missing) => over = true,
                        other => panic!("expected Number or Missing, and it was {other:?}"),
                    }
                }
            }
        });
        together(racers).await;
        assert_eq!(h.holdings().await, 0, "things left of a deleted session");
    }
}

/// The id is renewed, the fields stay; and after an authentication they are the new epoch's.
pub async fn follows_a_rotation(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let value = FieldValue::Number(7);
    let before = Field::of(&key, &first, "a");
    assert_eq!(expect::number(before.incr(&r1, 7).await), 7);

    let mut renewal = given::save(&first, given::data());
    renewal.stamp.proofs.pending = Some(given::proof());
    expect::written(r2.save(&key, renewal).await);
    before.expect(&r1, &value).await;

    let second = given::read(&*r2, &key).await;
    let login = Save {
        stamp: given::stamp(),
        ..given::save(&second, given::data())
    };
    expect::written(r2.save(&key, login).await);
    let third = given::read(&*r2, &key).await;
    Field::of(&key, &third, "a").expect(&r1, &value).await;
}

/// Whoever opened before an authentication changes nothing any more and is shown nothing.
pub async fn refuses_fields_to_an_ended_epoch(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, first) = given::stored(&*r1).await;
    let login = Save {
        stamp: given::stamp(),
        ..given::save(&first, given::data())
    };
    expect::written(r2.save(&key, login).await);
    let second = given::read(&*r2, &key).await;
    let (stale, fresh) = (Field::of(&key, &first, "a"), Field::of(&key, &second, "a"));
    assert_eq!(expect::number(fresh.incr(&r2, 7).await), 7);

    for change in every_change() {
        let answer = stale.write(&r1, change).await;
        expect::exactly(answer, &FieldWritten::Ended);
    }
    expect::exactly(stale.read(&r1).await, &FieldFound::Ended);
    let absent = Field::of(&key, &first, "b");
    expect::exactly(absent.read(&r1).await, &FieldFound::Ended);
    fresh.expect(&r2, &FieldValue::Number(7)).await;
}

/// Whatever is in a name, it is a field of its own, of its own session, of its own namespace.
pub async fn keeps_hostile_names_inside(h: &dyn Harness) {
    let (ours, theirs) = (h.connect().await, h.neighbour().await);
    let (key, session) = given::stored(&*ours).await;
    let (other, _) = given::stored_as(&*ours, of_stamp(&session)).await;
    expect::created(theirs.create(&key, of_stamp(&session)).await);
    let holdings = h.holdings().await;

    let names = hostile_names(&key, &other);
    for (i, name) in names.iter().enumerate() {
        let field = Field::of(&key, &session, name);
        let data = Redacted::from(i.to_be_bytes().to_vec());
        expect::exactly(field.read(&ours).await, &FieldFound::Absent);
        expect::exactly(field.set(&ours, data).await, &FieldWritten::Done);
    }
    for (i, name) in names.iter().enumerate() {
        let data = Redacted::from(i.to_be_bytes().to_vec());
        let field = Field::of(&key, &session, name);
        field.expect(&ours, &FieldValue::Bytes(data)).await;
        expect::exactly(field.read(&theirs).await, &FieldFound::Absent);
        let elsewhere = Field::of(&other, &session, name);
        expect::exactly(elsewhere.read(&ours).await, &FieldFound::Absent);
    }
    for name in &names {
        let field = Field::of(&key, &session, name);
        let cleared = field.write(&ours, FieldChange::Clear).await;
        expect::exactly(cleared, &FieldWritten::Done);
    }
    assert_eq!(h.holdings().await, holdings, "a field left its session");
    let after = given::read(&*ours, &key).await;
    assert_eq!(after.version, session.version);
    assert!(after.data == session.data, "the data changed");
}

/// All fields of a session count together, and what is replaced or removed counts no more. A change
/// that would be too much changes nothing.
pub async fn limits_the_fields_of_a_session(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let limit = r1.info().max_record;
    let (half, most) = (limit / 2, limit / 4 * 3);
    let rest = limit - half + 1;
    let (a, b) = (
        Field::of(&key, &session, "a"),
        Field::of(&key, &session, "b"),
    );
    let zeros = |length: usize| Redacted::from(vec![0; length]);
    let refused = async |change: FieldChange| {
        let answer = b.write(&r1, change).await;
        expect::failure(answer, ErrorKind::TooLarge);
    };
    refused(FieldChange::Set(zeros(limit + 1))).await;
    refused(FieldChange::Append(zeros(limit + 1))).await;
    refused(FieldChange::Push(zeros(limit + 1))).await;
    expect::exactly(b.read(&r2).await, &FieldFound::Absent);

    for length in [half, most, most, half] {
        expect::exactly(a.set(&r1, zeros(length)).await, &FieldWritten::Done);
    }
    refused(FieldChange::Set(zeros(rest))).await;
    refused(FieldChange::Append(zeros(rest))).await;
    refused(FieldChange::Push(zeros(rest))).await;
    expect::exactly(b.read(&r2).await, &FieldFound::Absent);
    a.expect(&r2, &FieldValue::Bytes(zeros(half))).await;
    let answer = a.write(&r1, FieldChange::Append(zeros(rest))).await;
    expect::failure(answer, ErrorKind::TooLarge);
    a.expect(&r2, &FieldValue::Bytes(zeros(half))).await;

    let cleared = a.write(&r1, FieldChange::Clear).await;
    expect::exactly(cleared, &FieldWritten::Done);
    expect::exactly(b.set(&r1, zeros(most)).await, &FieldWritten::Done);
    let (_, neighbour) = given::stored(&*r1).await;
    assert_eq!(neighbour.version.number, 1, "others are not concerned");
}

/// The limit is no way out for endless small things: names and items count, too.
pub async fn limits_empty_fields(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, session) = given::stored(&*driver).await;
    let enough = driver.info().max_record / FieldName::MAX + 1;
    for i in 0..enough {
        let name = format!("{i:0>width$}", width = FieldName::MAX);
        match Field::of(&key, &session, &name)
            .set(&driver, Redacted::default())
            .await
        {
            Ok(FieldWritten::Done) => {}
            Err(error) if error.kind() == ErrorKind::TooLarge => return,
            other => panic!("expected Done or TooLarge, and it was {other:?}"),
        }
    }
    panic!("names alone passed the limit of a session's fields");
}

/// Both ends of the numbers; what does not fit changes nothing.
pub async fn refuses_a_sum_that_overflows(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    for (end, beyond) in [(i64::MAX, 1), (i64::MIN, -1)] {
        let field = Field::of(&key, &session, &format!("{end}"));
        assert_eq!(expect::number(field.incr(&r1, end).await), end);
        for by in [beyond, end] {
            let answer = field.incr(&r2, by).await;
            expect::exactly(answer, &FieldWritten::Overflow);
            field.expect(&r1, &FieldValue::Number(end)).await;
        }
        assert_eq!(expect::number(field.incr(&r1, -beyond).await), end - beyond);
        assert_eq!(expect::number(field.incr(&r1, beyond).await), end);
    }
    // Numbers of this size do not survive a detour through floating point.
    let field = Field::of(&key, &session, "odd");
    let odd = (1 << 53) + 1;
    assert_eq!(expect::number(field.incr(&r1, odd).await), odd);
    assert_eq!(expect::number(field.incr(&r2, -1).await), odd - 1);
    field.expect(&r2, &FieldValue::Number(odd - 1)).await;
}

/// And each caller is told a sum that no other was told.
pub async fn sums_parallel_increments_exactly(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let sums = together((0..8).map(|i| {
        let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
        let field = Field::of(&key, &session, "a");
        async move {
            let mut sums = Vec::new();
            for _ in 0..50 {
                sums.push(expect::number(field.incr(&driver, 1).await));
            }
            assert!(sums.is_sorted(), "sums went back");
            sums
        }
    }))
    .await;
    let told: HashSet<i64> = sums.into_iter().flatten().collect();
    assert!(
        told == (1..=400).collect(),
        "a sum was told twice, or not at all"
    );
    let field = Field::of(&key, &session, "a");
    field.expect(&r2, &FieldValue::Number(400)).await;
}

/// Items of lists and bytes of strings: each once, each caller's own in its order.
pub async fn keeps_every_parallel_item_once(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    together((0..8_u8).map(|i| {
        let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
        let list = Field::of(&key, &session, "list");
        let text = Field::of(&key, &session, "text");
        async move {
            for n in 0..20_u8 {
                let item = || Redacted::from(vec![i, n]);
                let pushed = list.write(&driver, FieldChange::Push(item())).await;
                assert!(matches!(pushed, Ok(FieldWritten::Length(_))), "{pushed:?}");
                let appended = text.write(&driver, FieldChange::Append(item())).await;
                assert!(
                    matches!(appended, Ok(FieldWritten::Length(_))),
                    "{appended:?}"
                );
            }
        }
    }))
    .await;
    let list = Field::of(&key, &session, "list");
    let FieldValue::List(items) = expect::value(list.read(&r2).await) else {
        panic!("expected a list");
    };
    let text = Field::of(&key, &session, "text");
    let FieldValue::Bytes(text) = expect::value(text.read(&r2).await) else {
        panic!("expected bytes");
    };
    let items: Vec<Vec<u8>> = items.iter().map(|item| item.to_vec()).collect();
    let pieces: Vec<Vec<u8>> = text.chunks(2).map(<[u8]>::to_vec).collect();
    for all in [items, pieces] {
        assert_eq!(all.len(), 160);
        for i in 0..8 {
            let own: Vec<u8> = all
                .iter()
                .filter(|item| item[0] == i)
                .map(|item| item[1])
                .collect();
            assert_eq!(own, (0..20).collect::<Vec<u8>>());
        }
    }
}

/// The others find nothing.
pub async fn hands_a_value_to_one_of_many_takers(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let values: Vec<(Field, Redacted)> = (0..100)
        .map(|i| (Field::of(&key, &session, &format!("{i}")), given::data()))
        .collect();
    for (field, data) in &values {
        let set = field.set(&r1, data.clone()).await;
        expect::exactly(set, &FieldWritten::Done);
    }
    let taken = together((0..8).map(|i| {
        let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
        let fields: Vec<Field> = values.iter().map(|(field, _)| field.clone()).collect();
        async move {
            let mut taken = Vec::new();
            for field in fields {
                taken.push(match field.write(&driver, FieldChange::Take).await {
                    Ok(FieldWritten::Taken(taken)) => taken,
                    other => panic!("expected Taken, and the answer was {other:?}"),
                });
            }
            taken
        }
    }))
    .await;
    for (i, (_, data)) in values.iter().enumerate() {
        let taken: Vec<&FieldValue> = taken.iter().filter_map(|all| all[i].as_ref()).collect();
        assert_eq!(taken, [&FieldValue::Bytes(data.clone())]);
    }
}

/// Whatever kind of change it was, and although others came between.
pub async fn answers_a_resent_change_as_the_first_time(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for others in 0..3 {
        for (i, change) in every_change().into_iter().enumerate() {
            let (key, session) = given::stored(&*r1).await;
            let field = Field::of(&key, &session, "a");
            if let FieldChange::Take | FieldChange::Clear = change {
                field.set(&r1, given::data()).await.expect("an answer");
            }
            let req = field.request(change);
            let first = fields(&r1).write_field(&key, req.clone()).await;
            let first = first.expect("an answer");
            for _ in 0..others {
                let again = every_change().swap_remove(i);
                field.write(&r2, again).await.expect("an answer");
            }
            let before = field.read(&r2).await.expect("an answer");
            for resend in [Some(SENT), Some(Duration::ZERO), Some(Duration::MAX), None] {
                let req = FieldWrite {
                    resend,
                    ..req.clone()
                };
                let answer = fields(&r1).write_field(&key, req).await;
                expect::exactly(answer, &first);
                expect::exactly(field.read(&r2).await, &before);
            }
        }
    }
}

/// The request itself was lost, not its answer.
pub async fn applies_a_resent_change_whose_first_never_arrived_once(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let field = Field::of(&key, &session, "a");
    for sum in 1..=3 {
        let req = FieldWrite {
            resend: Some(SENT),
            ..field.request(FieldChange::Incr(1))
        };
        for _ in 0..2 {
            let answer = fields(&r1).write_field(&key, req.clone()).await;
            assert_eq!(expect::number(answer), sum);
        }
        field.expect(&r2, &FieldValue::Number(sum)).await;
    }
}

/// Thousands of others later, the first answer or `Unknown`: never applied again, whether it was
/// applied before or not.
pub async fn never_applies_a_forgotten_change_again(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let (field, other) = (
        Field::of(&key, &session, "a"),
        Field::of(&key, &session, "b"),
    );
    let req = field.request(FieldChange::Incr(1));
    assert_eq!(
        expect::number(fields(&r1).write_field(&key, req.clone()).await),
        1
    );
    for _ in 0..2000 {
        expect::number(other.incr(&r2, 1).await);
    }
    h.advance(SENT).await;
    let late = FieldWrite {
        resend: Some(SENT),
        ..req
    };
    match fields(&r1).write_field(&key, late).await {
        Ok(FieldWritten::Number(1)) => {}
        Err(error) if error.kind() == ErrorKind::Unknown => {}
        other => panic!("expected 1 or Unknown, and the answer was {other:?}"),
    }
    field.expect(&r2, &FieldValue::Number(1)).await;
}

/// However much was forgotten: what is younger than all of it was not.
pub async fn applies_a_young_resend_after_many_old_changes(h: &dyn Harness) {
    let driver = h.connect().await;
    let (key, session) = given::stored(&*driver).await;
    let field = Field::of(&key, &session, "a");
    for _ in 0..2000 {
        expect::number(field.incr(&driver, 1).await);
    }
    h.advance(TTL / 2).await;
    let req = FieldWrite {
        resend: Some(SENT),
        ..field.request(FieldChange::Incr(1))
    };
    for _ in 0..2 {
        let answer = fields(&driver).write_field(&key, req.clone()).await;
        assert_eq!(expect::number(answer), 2001);
    }
}

/// Many callers, each answer lost once.
pub async fn counts_each_change_once_when_every_answer_is_lost(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    let (key, session) = given::stored(&*r1).await;
    let tallies = together((0..6).map(|i| {
        let driver = Arc::clone(if i % 2 == 0 { &r1 } else { &r2 });
        let field = Field::of(&key, &session, "a");
        async move {
            let mut tally = (0, 0);
            for _ in 0..50 {
                let req = field.request(FieldChange::Incr(1));
                let _lost = fields(&driver).write_field(&key, req.clone()).await;
                let again = FieldWrite {
                    resend: Some(SENT),
                    ..req
                };
                match fields(&driver).write_field(&key, again).await {
                    Ok(FieldWritten::Number(_)) => tally.0 += 1,
                    Err(error) if error.kind() == ErrorKind::Unknown => tally.1 += 1,
                    other => panic!("expected Number or Unknown, and it was {other:?}"),
                }
            }
            tally
        }
    }))
    .await;
    let acknowledged: i64 = tallies.iter().map(|tally| tally.0).sum();
    let doubtful: i64 = tallies.iter().map(|tally| tally.1).sum();
    let field = Field::of(&key, &session, "a");
    let FieldValue::Number(found) = expect::value(field.read(&r1).await) else {
        panic!("expected a number");
    };
    assert!(
        (acknowledged..=acknowledged + doubtful).contains(&found),
        "{found} found, {acknowledged} acknowledged, {doubtful} in doubt"
    );
}

/// Dropped at every await, then sent again.
pub async fn counts_a_dropped_change_once(h: &dyn Harness) {
    let (r1, r2) = given::two(h).await;
    for wait in 1.. {
        let (key, session) = given::stored(&*r1).await;
        let field = Field::of(&key, &session, "a");
        let req = field.request(FieldChange::Push(given::data()));
        let facet = fields(&r1);
        let finished = cancel_at(wait, facet.write_field(&key, req.clone())).await;
        let again = FieldWrite {
            resend: Some(SENT),
            ..req
        };
        let answer = fields(&r2).write_field(&key, again).await;
        expect::exactly(answer, &FieldWritten::Length(1));
        if finished.is_some() {
            break;
        }
    }
}

/// One field, as one who opened its session sees it.
#[derive(Clone)]
struct Field {
    key: Key,
    req: FieldRead,
}

impl Field {
    fn of(key: &Key, session: &Snapshot, name: &str) -> Self {
        Self {
            key: *key,
            req: FieldRead {
                name: FieldName::new(name).expect("a name that is allowed"),
                epoch: session.stamp.epoch,
                items: None,
            },
        }
    }

    fn request(&self, change: FieldChange) -> FieldWrite {
        FieldWrite {
            name: self.req.name.clone(),
            epoch: self.req.epoch,
            op: given::op(),
            resend: None,
            change,
        }
    }

    async fn write(&self, driver: &Arc<dyn Driver>, change: FieldChange) -> Result<FieldWritten> {
        let req = self.request(change);
        fields(driver).write_field(&self.key, req).await
    }

    async fn set(&self, driver: &Arc<dyn Driver>, data: Redacted) -> Result<FieldWritten> {
        self.write(driver, FieldChange::Set(data)).await
    }

    async fn incr(&self, driver: &Arc<dyn Driver>, by: i64) -> Result<FieldWritten> {
        self.write(driver, FieldChange::Incr(by)).await
    }

    async fn read(&self, driver: &Arc<dyn Driver>) -> Result<FieldFound> {
        fields(driver).read_field(&self.key, self.req.clone()).await
    }

    async fn read_part(
        &self,
        driver: &Arc<dyn Driver>,
        items: std::ops::Range<usize>,
    ) -> Result<FieldFound> {
        let req = FieldRead {
            items: Some(items),
            ..self.req.clone()
        };
        fields(driver).read_field(&self.key, req).await
    }

    async fn expect(&self, driver: &Arc<dyn Driver>, value: &FieldValue) {
        assert_eq!(expect::value(self.read(driver).await), *value);
    }
}

fn fields(driver: &Arc<dyn Driver>) -> &dyn LocklessFields {
    driver.fields().expect("the facet that was declared")
}

fn every_change() -> Vec<FieldChange> {
    vec![
        FieldChange::Set(given::data()),
        FieldChange::Incr(1),
        FieldChange::Append(given::data()),
        FieldChange::Push(given::data()),
        FieldChange::Take,
        FieldChange::Clear,
    ]
}

async fn end(h: &dyn Harness, driver: &dyn Driver, key: &Key, delete: bool) {
    if delete {
        expect::exactly(driver.delete(key, given::log_out()).await, &Deleted::Done);
    } else {
        h.advance(TTL + driver.info().ttl_resolution).await;
    }
}

/// A session of the same epoch and proofs.
fn of_stamp(session: &Snapshot) -> Create {
    Create {
        stamp: session.stamp,
        ..given::create(given::data())
    }
}

/// Names that some store could take for something of its own, or for one another.
fn hostile_names(key: &Key, other: &Key) -> Vec<String> {
    let mut names: Vec<String> = [
        "\0", "a", "A", "a\0", "a\0b", "a ", " a", "..", ".", "/", "../../x", "a/b", "a:b", "{a}",
        "}", "{", "*", "?", "[a]", "%00", "\n", "\r\n", "'", "\"", "\\", "--", "$1", "é",
        "e\u{301}", "lock", "queue", "record", "fields", "head", "body", "0", "-1", "null",
        "\u{feff}",
    ]
    .map(str::to_owned)
    .into();
    names.push(key.to_string());
    names.push(format!("asm:{{{other}}}"));
    names.push(format!("{other}:fields"));
    names.push("x".repeat(FieldName::MAX));
    names.push("x".repeat(FieldName::MAX - 1) + "y");
    names
}
