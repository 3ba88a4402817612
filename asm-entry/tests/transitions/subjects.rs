//! Transitions of the index of one subject.

use std::num::NonZeroU32;

use asm_core::*;
use asm_entry::SubjectEntry;

use crate::given::*;

fn key(id: u8) -> Key {
    Key::from_bytes([id; 16])
}

fn reserve(id: u8, cap: Option<u32>) -> Reserve {
    Reserve {
        key: key(id),
        ttl: TTL,
        cap: cap.and_then(NonZeroU32::new),
    }
}

fn at(seconds: u32) -> Timestamp {
    Timestamp::from_micros(1_000_000_000) + SECOND * seconds
}

fn keys(index: &mut SubjectEntry, now: Timestamp) -> Vec<Key> {
    index.items(now).iter().map(|item| item.key).collect()
}

#[test]
fn sessions_stand_in_the_order_in_which_they_came() {
    let mut index = SubjectEntry::default();
    assert!(index.is_empty());
    for id in [3, 1, 2] {
        index.reserve(at(u32::from(id)), &reserve(id, None));
    }
    index.reserve(at(9), &reserve(3, None));
    assert_eq!(keys(&mut index, at(9)), [key(3), key(1), key(2)]);
    let first = index.items(at(9))[0];
    assert_eq!((first.since, first.until), (at(3), at(9) + TTL));
    assert_eq!((index.len(), index.is_empty()), (3, false));
}

#[test]
fn a_cap_counts_the_others() {
    let mut index = SubjectEntry::default();
    assert!(matches!(
        index.reserve(at(0), &reserve(1, Some(2))),
        Reserved::Done { .. }
    ));
    assert!(matches!(
        index.reserve(at(0), &reserve(2, Some(2))),
        Reserved::Done { .. }
    ));
    assert_eq!(index.reserve(at(0), &reserve(3, Some(2))), Reserved::Full);
    assert!(matches!(
        index.reserve(at(0), &reserve(2, Some(2))),
        Reserved::Done { .. }
    ));
    assert_eq!(index.forget(&[key(1), key(9)]), 1);
    assert_eq!(keys(&mut index, at(0)), [key(2)]);
    assert!(matches!(
        index.reserve(at(0), &reserve(3, Some(2))),
        Reserved::Done { .. }
    ));
}

#[test]
fn an_entry_ends_with_its_time_and_reserving_never_shortens_it() {
    let mut index = SubjectEntry::default();
    index.reserve(at(0), &reserve(1, None));
    index.reserve(
        at(1),
        &Reserve {
            ttl: SECOND,
            ..reserve(1, None)
        },
    );
    assert!(!index.is_due(at(3599)) && index.is_due(at(3600)));
    assert_eq!(keys(&mut index, at(3599)), [key(1)]);
    assert!(keys(&mut index, at(3600)).is_empty());
    index.reserve(at(0), &reserve(1, None));
    assert!(matches!(
        index.reserve(at(3600), &reserve(2, Some(1))),
        Reserved::Done { .. }
    ));
}

#[test]
fn a_revocation_starts_a_generation_and_keeps_what_it_is_told_to() {
    let mut index = SubjectEntry::default();
    let Reserved::Done { generation: old } = index.reserve(at(0), &reserve(1, None)) else {
        panic!("refused")
    };
    index.reserve(at(0), &reserve(2, None));
    assert_eq!(index.revoke(at(0), Some(key(1))), [key(2)]);
    let new = index.generation();
    assert!(new > old);
    let generations: Vec<_> = index
        .items(at(0))
        .iter()
        .map(|item| item.generation)
        .collect();
    assert_eq!(generations, [new, old]);
    assert_eq!(
        index.reserve(at(0), &reserve(3, None)),
        Reserved::Done { generation: new }
    );
    assert_eq!(
        index.reserve(at(0), &reserve(2, None)),
        Reserved::Done { generation: new }
    );
    assert_eq!(index.items(at(0))[1].generation, new, "it moved along");
    assert_eq!(index.revoke(at(0), None), [key(1), key(2), key(3)]);
    assert!(index.revoke(at(3600), None).is_empty());
}

#[test]
fn a_generation_never_comes_back_when_an_empty_index_was_dropped() {
    let mut index = SubjectEntry::default();
    index.reserve(at(0), &reserve(1, None));
    index.revoke(at(5), None);
    let before = index.generation();
    let mut anew = SubjectEntry::default();
    let Reserved::Done { generation } = anew.reserve(at(6), &reserve(1, None)) else {
        panic!("refused")
    };
    assert!(generation > before);
}

#[test]
fn its_stored_form_reads_back_and_nothing_else_does() {
    let mut index = SubjectEntry::default();
    index.reserve(at(0), &reserve(1, None));
    index.reserve(at(1), &reserve(2, None));
    index.revoke(at(2), Some(key(1)));
    let bytes = index.encode();
    assert_eq!(SubjectEntry::decode(&bytes).unwrap(), index);
    for end in 0..bytes.len() {
        let error = SubjectEntry::decode(&bytes[..end]).expect_err("cut short");
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(SubjectEntry::decode(&longer).is_err());
}
