//! What a seal refuses, and what it reads for ever.

use crate::{
    edits::{Refused, edited, none_is_accepted},
    given::{HANDLE, OTHER, at, body, key, ring, rotated},
};
use asm_core::{Codec, CodecContext, Encoded, ErrorKind, Part, Result};
use asm_crypt::{KeyId, KeyRing, Padding, Seal};
use bytes::Bytes;
use std::num::NonZeroU16;

type Make = fn(KeyRing) -> Seal;

/// Both suites.
const SUITES: [Make; 2] = [Seal::xchacha, Seal::aes_gcm];

const PLAIN: &[u8] = b"card 4111";

fn sealed(seal: &Seal, plain: &'static [u8], context: &CodecContext<'_>) -> Bytes {
    match seal.encode(Bytes::from_static(plain), context) {
        Ok(Encoded::Coded(coded)) => coded,
        other => panic!("it was not sealed: {other:?}"),
    }
}

#[track_caller]
fn refused(opened: Result<Bytes>, kind: ErrorKind) {
    let error = opened.expect_err("it should not open");
    assert_eq!(error.kind(), kind, "{error}");
}

#[test]
fn what_is_sealed_is_opened_and_not_seen() {
    let paddings = [
        Padding::None,
        Padding::Padme,
        Padding::Blocks(NonZeroU16::new(64).unwrap()),
    ];
    for make in SUITES {
        for padding in paddings {
            let seal = make(ring(1)).padding(padding);
            for len in [0, 1, 15, 16, 17, 63, 64, 65, 1000, 70_000] {
                let plain = Bytes::from(vec![b'x'; len]);
                let context = body(&HANDLE);
                let Encoded::Coded(coded) = seal.encode(plain.clone(), &context).unwrap() else {
                    panic!("a seal never declines");
                };
                let overhead = coded.len() - padding.padded(len);
                assert_eq!(
                    overhead,
                    if seal.name().as_str() == "aesgcm" {
                        33
                    } else {
                        45
                    }
                );
                assert!(!coded.windows(8).any(|window| window == [b'x'; 8]));
                assert!(seal.is_current(&coded));
                assert_eq!(seal.decode(coded, &context).unwrap(), plain);
                // Any seal of the suite reads it, however it pads itself.
                let Encoded::Coded(again) = seal.encode(plain.clone(), &context).unwrap() else {
                    panic!("a seal never declines");
                };
                assert_eq!(make(ring(1)).decode(again, &context).unwrap(), plain);
            }
        }
    }
}

#[test]
fn the_same_content_is_never_sealed_alike() {
    for make in SUITES {
        let seal = make(ring(1));
        let context = body(&HANDLE);
        let all: std::collections::HashSet<Bytes> =
            (0..1000).map(|_| sealed(&seal, PLAIN, &context)).collect();
        assert_eq!(all.len(), 1000);
    }
}

#[test]
fn what_is_bound_to_one_thing_opens_for_no_other() {
    for make in SUITES {
        let seal = make(ring(1));
        let place = |key, part, associated| CodecContext {
            key,
            part,
            associated,
            client_half: None,
            limit: 100,
        };
        // `Head`, `Body` and fields whose names and what follows could be mistaken for another's.
        let places = [
            place(&HANDLE, Part::Head, b"chain"),
            place(&HANDLE, Part::Body, b"chain"),
            place(&OTHER, Part::Head, b"chain"),
            place(&OTHER, Part::Body, b"chain"),
            place(&HANDLE, Part::Body, b"chains"),
            place(&HANDLE, Part::Body, b""),
            place(&HANDLE, Part::Field(""), b"chain"),
            place(&HANDLE, Part::Field("chain"), b""),
            place(&HANDLE, Part::Field("cha"), b"in"),
            place(&HANDLE, Part::Field("head"), b"chain"),
            place(&OTHER, Part::Field("chain"), b""),
            CodecContext {
                client_half: Some(&[3; 32]),
                ..place(&HANDLE, Part::Body, b"chain")
            },
            CodecContext {
                client_half: Some(&[4; 32]),
                ..place(&HANDLE, Part::Body, b"chain")
            },
        ];
        for (from, writer) in places.iter().enumerate() {
            let coded = sealed(&seal, PLAIN, writer);
            for (to, reader) in places.iter().enumerate() {
                let opened = seal.decode(coded.clone(), reader);
                match opened {
                    Ok(plain) if from == to => assert_eq!(plain, PLAIN),
                    opened => refused(opened, ErrorKind::Tampered),
                }
            }
        }
    }
}

#[test]
fn what_was_cut_or_lengthened_or_has_a_flipped_bit_is_tampered() {
    for make in SUITES {
        for padding in [Padding::None, Padding::Padme] {
            let seal = make(ring(1)).padding(padding);
            let context = body(&HANDLE);
            let coded = sealed(&seal, PLAIN, &context);
            for cut in 0..coded.len() {
                refused(
                    seal.decode(coded.slice(..cut), &context),
                    ErrorKind::Tampered,
                );
                // The id of its key is then something else.
                let rest = seal.decode(coded.slice(cut + 1..), &context);
                assert!(matches!(
                    rest.unwrap_err().kind(),
                    ErrorKind::Tampered | ErrorKind::Unreadable
                ));
            }
            let longer = [&coded, &b"\0"[..]].concat();
            refused(seal.decode(longer.into(), &context), ErrorKind::Tampered);
            for bit in 0..8 * coded.len() {
                let mut flipped = coded.to_vec();
                flipped[bit / 8] ^= 1 << (bit % 8);
                let of_the_id = (8..40).contains(&bit);
                let kind = match of_the_id {
                    true => ErrorKind::Unreadable,
                    false => ErrorKind::Tampered,
                };
                refused(seal.decode(flipped.into(), &context), kind);
            }
        }
    }
}

#[test]
fn an_old_key_reads_until_its_end_and_an_unknown_one_never() {
    for make in SUITES {
        let context = body(&HANDLE);
        let old = sealed(&make(ring(1)), PLAIN, &context);
        let both = make(rotated());
        assert_eq!(both.decode(old.clone(), &context).unwrap(), PLAIN);
        assert!(!both.is_current(&old));
        let new = sealed(&both, PLAIN, &context);
        assert!(both.is_current(&new));
        assert_eq!(make(ring(2)).decode(new.clone(), &context).unwrap(), PLAIN);
        refused(make(ring(1)).decode(new, &context), ErrorKind::Unreadable);
        refused(
            make(ring(2)).decode(old.clone(), &context),
            ErrorKind::Unreadable,
        );
        for (now, kind) in [(9, None), (10, Some(ErrorKind::Tampered))] {
            let ring = ring(2).reads_until(KeyId::new(1), &key(1), at(10));
            let seal = make(ring.unwrap().clock(move || at(now)));
            match kind {
                None => assert_eq!(seal.decode(old.clone(), &context).unwrap(), PLAIN),
                Some(kind) => refused(seal.decode(old.clone(), &context), kind),
            }
        }
        // Another key under the same id.
        let forged = KeyRing::new(KeyId::new(1), &key(7));
        refused(make(forged).decode(old, &context), ErrorKind::Tampered);
    }
}

#[test]
fn each_key_counts_the_records_that_it_opened() {
    let context = |part| CodecContext {
        part,
        ..body(&HANDLE)
    };
    let old = Seal::xchacha(ring(1));
    let both = Seal::xchacha(rotated());
    let parts = [Part::Head, Part::Body, Part::Field("log")];
    for part in parts {
        let coded = sealed(&old, PLAIN, &context(part));
        both.decode(coded, &context(part)).unwrap();
    }
    let coded = sealed(&both, PLAIN, &context(Part::Head));
    for _ in 0..2 {
        both.decode(coded.clone(), &context(Part::Head)).unwrap();
    }
    // What did not open does not count.
    both.decode(coded, &context(Part::Body)).unwrap_err();
    let counts = both.ring().usage().into_iter();
    let counts: Vec<_> = counts
        .map(|key| (key.id.get(), key.sealed, key.opened, key.records))
        .collect();
    assert_eq!(counts, [(2, 1, 2, 2), (1, 0, 3, 1)]);
}

#[test]
fn one_suite_opens_nothing_of_the_other() {
    let context = body(&HANDLE);
    for (writer, reader) in [(0, 1), (1, 0)] {
        let coded = sealed(&SUITES[writer](ring(1)), PLAIN, &context);
        refused(
            SUITES[reader](ring(1)).decode(coded, &context),
            ErrorKind::Tampered,
        );
    }
}

#[test]
fn what_is_over_the_limit_is_refused_before_it_is_opened() {
    for make in SUITES {
        for padding in [Padding::None, Padding::Padme] {
            let seal = make(ring(1)).padding(padding);
            let context = |limit| CodecContext {
                limit,
                ..body(&HANDLE)
            };
            let coded = sealed(&seal, PLAIN, &context(9));
            assert_eq!(seal.decode(coded.clone(), &context(9)).unwrap(), PLAIN);
            for limit in 0..9 {
                refused(
                    seal.decode(coded.clone(), &context(limit)),
                    ErrorKind::TooLarge,
                );
            }
            // It is not even tried: nobody finds out that it is forged.
            let mut large = coded.to_vec();
            large.resize(200_000, 0);
            refused(seal.decode(large.into(), &context(9)), ErrorKind::TooLarge);
        }
    }
}

#[test]
fn lengths_are_hidden_as_far_as_the_padding_says() {
    let seal = Seal::xchacha(ring(1)).padding(Padding::Padme);
    let context = body(&HANDLE);
    let lengths: std::collections::BTreeSet<(usize, usize)> = (1000..1007)
        .map(|len| {
            let plain = Bytes::from(vec![7; len]);
            let Ok(Encoded::Coded(coded)) = seal.encode(plain, &context) else {
                panic!("a seal never declines");
            };
            (coded.len(), seal.shown_len(len))
        })
        .collect();
    assert_eq!(lengths.len(), 1, "{lengths:?}");
    assert_eq!(Seal::xchacha(ring(1)).shown_len(1000), 1000);
}

/// Sealed with the [`key`]s of the tests, by another implementation: of the description in `Seal` and
/// the published ciphers.
#[test]
fn what_was_sealed_once_is_read_for_ever() {
    for (make, half, padding, hex) in VECTORS {
        let seal = make(rotated());
        let context = CodecContext {
            client_half: half,
            ..body(&HANDLE)
        };
        let again = seal.clone().padding(padding);
        let len = sealed(&again, PLAIN, &context).len();
        let coded: Vec<u8> = (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
            .collect();
        assert_eq!(coded.len(), len, "{hex}");
        assert_eq!(seal.decode(coded.into(), &context).unwrap(), PLAIN);
    }
}

type Vector = (Make, Option<&'static [u8; 32]>, Padding, &'static str);

const VECTORS: [Vector; 4] = [
    (
        Seal::xchacha,
        None,
        Padding::None,
        "00000000020b30557a9fc4e90e33587da2c7ec11365b80a5caef14395eefd62eb9df7c206bd40cc0\
        cbaebe2868bb89ee56558ddf0298",
    ),
    (
        Seal::aes_gcm,
        None,
        Padding::None,
        "00000000020b30557a9fc4e90e33587da279e82057a6bd2e472372b5a8bbbe8657d840f9561b3bba\
        cdb8",
    ),
    (
        Seal::xchacha,
        Some(&[9; 32]),
        Padding::Padme,
        "01000000020b30557a9fc4e90e33587da2c7ec11365b80a5caef14395e014e8309065325fbfca5d1\
        6bd3538c02b77c78c9568d96fda237",
    ),
    (
        Seal::aes_gcm,
        Some(&[9; 32]),
        Padding::Padme,
        "01000000020b30557a9fc4e90e33587da29d9057b3a05d1bf7f557ff2fdf9141aa063826e037fb32\
        81ffef",
    ),
];

#[test]
fn no_edit_is_accepted() {
    edit(20_000);
}

#[test]
#[ignore = "a million edits: about a minute in release"]
fn no_edit_of_a_million_is_accepted() {
    edit(1_000_000);
}

/// Edits a sealed part, of each suite with and without padding.
fn edit(tries: u64) {
    let context = body(&HANDLE);
    let suites = SUITES
        .into_iter()
        .flat_map(|make| [Padding::None, Padding::Padme].map(|padding| (make, padding)));
    let given: Vec<(Seal, [Bytes; 2])> = suites
        .map(|(make, padding)| {
            let seal = make(rotated()).padding(padding);
            let both = [PLAIN, b"card 4242"].map(|plain| sealed(&seal, plain, &context));
            (seal, both)
        })
        .collect();
    none_is_accepted(tries, |random| {
        let (seal, [coded, other]) = &given[random.usize(..given.len())];
        let edited = Bytes::from(edited(random, coded, other));
        if edited == *coded || edited == *other {
            return None;
        }
        let opened = seal.decode(edited, &context).map(drop);
        Some(opened.map_err(|error| match error.kind() {
            ErrorKind::Tampered => Refused::Tampered,
            ErrorKind::Unreadable => Refused::UnknownKey,
            ErrorKind::TooLarge => Refused::TooLarge,
            other => panic!("{other:?}"),
        }))
    });
}
