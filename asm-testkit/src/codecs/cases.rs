//! The bodies of the cases on codecs: each panics when its sentence does not hold.

use std::{fmt::Debug, sync::Arc, thread};

use asm_core::{Codec, CodecContext, CodecRole, Encoded, Error, ErrorKind, Key, Part, Result};
use asm_session::SessionError;
use bytes::Bytes;

use super::{
    CodecSuite, KEY, LIMIT,
    contents::{MARK, noise, text},
};
use crate::{
    Harness, given,
    mutants::Mutant,
    run::runtime,
    sessions::{builder, built, client, open, saved, stored, value},
};

/// Text, and equal bytes, of every length that may be a corner.
pub fn reads_back_every_length(suite: &CodecSuite) {
    for len in lengths(suite) {
        for content in [text(len), vec![0; len].into()] {
            reads_back(suite, &content);
        }
    }
}

/// As long as texts, with nothing to be saved.
pub fn reads_back_what_does_not_repeat(suite: &CodecSuite) {
    for len in lengths(suite) {
        reads_back(suite, &noise(len));
    }
}

/// As much as sessions have by default, of each kind.
pub fn reads_back_4_mib(suite: &CodecSuite) {
    for content in [text(LIMIT), vec![b'x'; LIMIT].into(), noise(LIMIT)] {
        reads_back(suite, &content);
    }
}

/// With and without a name.
pub fn reads_back_every_part(suite: &CodecSuite) {
    let long = "f".repeat(70_000);
    let parts = ["", "f", "head", "\0\u{10ffff}/{}", &long].map(Part::Field);
    for part in [&[Part::Head, Part::Body][..], &parts].concat() {
        for content in [Bytes::new(), text(SAMPLE)] {
            let context = CodecContext {
                part,
                ..suite.context(LIMIT)
            };
            let encoded = suite.codec().encode(content.clone(), &context);
            if let Encoded::Coded(coded) = encoded.expect("an encoded part") {
                let decoded = suite.codec().decode(coded, &context);
                assert!(
                    decoded.expect("a decoded part") == content,
                    "{part:?} is not as it was"
                );
            }
        }
    }
}

/// One codec for all of them, each with a content of its own.
pub fn reads_back_on_many_threads(suite: &CodecSuite) {
    let codec = suite.codec();
    thread::scope(|scope| {
        for number in 0..THREADS {
            let codec = &codec;
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let content = text(SAMPLE + number * ROUNDS + round);
                    let context = suite.context(content.len());
                    let Ok(Encoded::Coded(coded)) = codec.encode(content.clone(), &context) else {
                        panic!("{} bytes of text are not coded", content.len());
                    };
                    let decoded = codec.decode(coded, &context).expect("decoded content");
                    assert!(decoded == content, "thread {number} got another's content");
                }
            });
        }
    });
}

/// Asked again, of another one, and after work.
pub fn keeps_its_name_and_role(suite: &CodecSuite) {
    let codec = suite.codec();
    let name = codec.name();
    for codec in [&codec, &codec, &suite.codec()] {
        assert_eq!(codec.name(), name, "the name has changed");
        assert_eq!(codec.role(), suite.role, "it has another role");
        let _ = codec.encode(text(SAMPLE), &suite.context(LIMIT));
        let _ = codec.decode(noise(SAMPLE), &suite.context(LIMIT));
    }
}

/// One codec that is given good and bad by turns.
pub fn is_as_before_after_hostile_bytes(suite: &CodecSuite) {
    let codec = suite.codec();
    let content = text(SAMPLE);
    let coded = suite.coded(&content);
    let context = suite.context(SAMPLE);
    for end in (0..coded.len()).step_by(7) {
        let _ = codec.decode(coded.slice(..end), &context);
        let _ = codec.decode(flipped(&coded, 8 * end), &suite.context(end));
        let _ = codec.encode(noise(end), &context);
        let decoded = codec.decode(coded.clone(), &context);
        assert!(
            decoded.is_ok_and(|decoded| decoded == content),
            "after bytes that were cut at {end} it reads no more what it read before"
        );
        let Ok(Encoded::Coded(again)) = codec.encode(content.clone(), &context) else {
            panic!("after bytes that were cut at {end} it encodes no more");
        };
        assert!(suite.decoded(&again, SAMPLE).expect("decoded") == content);
    }
}

/// One codec that is given much which does not shrink, again and again, and then what does.
pub fn is_as_before_after_noise(suite: &CodecSuite) {
    let codec = suite.codec();
    for len in NOISE {
        for round in 0..ROUNDS {
            let encoded = codec.encode(noise(len + round), &suite.context(LIMIT));
            encoded.expect("noise is coded or declined");
        }
        let content = text(len);
        let Ok(Encoded::Coded(coded)) = codec.encode(content.clone(), &suite.context(LIMIT)) else {
            panic!("after noise of {len} bytes it encodes no more");
        };
        let decoded = suite.decoded(&coded, len).expect("decoded");
        assert!(
            decoded == content,
            "after noise of {len} bytes it codes what is not the content"
        );
    }
}

/// Whatever the content, and however long.
pub fn shrinks_or_declines(suite: &CodecSuite) {
    for len in lengths(suite) {
        for content in [text(len), noise(len), vec![0; len].into()] {
            match suite.encoded(&content) {
                Encoded::Coded(coded) => {
                    assert!(coded.len() < len, "{len} bytes have become {}", coded.len());
                }
                Encoded::Declined(plain) => assert!(
                    plain == content,
                    "{len} bytes that were declined are not what they were"
                ),
            }
        }
    }
}

/// By a little in a text, by much where all is the same.
pub fn shrinks_what_repeats(suite: &CodecSuite) {
    let large = 1 << 16;
    let coded = suite.coded(&text(large)).len();
    assert!(coded < large * 9 / 10, "{large} bytes of text: {coded}");
    let coded = suite.coded(&vec![0; large].into()).len();
    assert!(coded < large / 10, "{large} equal bytes: {coded}");
}

/// What is left of coded content at every length.
pub fn survives_every_cut(suite: &CodecSuite) {
    let coded = suite.coded(&text(SAMPLE));
    for end in 0..coded.len() {
        survives(suite, &coded.slice(..end), SAMPLE, &format!("cut to {end}"));
    }
}

/// One bit at a time.
pub fn survives_every_flipped_bit(suite: &CodecSuite) {
    let coded = suite.coded(&text(SAMPLE));
    for bit in 0..8 * coded.len() {
        let what = format!("bit {bit} flipped");
        survives(suite, &flipped(&coded, bit), SAMPLE, &what);
    }
}

/// Random bytes, and coded content with a random edit or two.
pub fn survives_bytes_made_up(suite: &CodecSuite) {
    let mut random = fastrand::Rng::with_seed(71);
    let coded = suite.coded(&text(SAMPLE));
    for number in 0..MADE_UP {
        let mut bytes = match number % 2 {
            0 => noise(random.usize(..200)).to_vec(),
            _ => coded.to_vec(),
        };
        for _ in 0..random.usize(1..4) {
            let at = random.usize(..=bytes.len());
            let end = (at + random.usize(..9)).min(bytes.len());
            let new: Vec<u8> = (0..random.usize(..9)).map(|_| random.u8(..)).collect();
            bytes.splice(at..end, new);
        }
        let limit = [0, 1, SAMPLE, LIMIT][random.usize(..4)];
        survives(suite, &bytes.into(), limit, &format!("input {number}"));
    }
}

/// The instrument itself, without which the cases below show nothing.
pub fn measures_memory(suite: &CodecSuite) {
    let large = 10 << 20;
    let peak = suite.measured(&mut || drop(std::hint::black_box(vec![1_u8; large])));
    let range = large as u64..large as u64 + ROOM;
    assert!(
        range.contains(&peak),
        "{large} bytes are measured as {peak}"
    );
    let peak = suite.measured(&mut || {});
    assert!(peak < ROOM, "nothing is measured as {peak}");
}

/// Large numbers wherever a length may stand, and in front of nothing.
pub fn takes_no_memory_for_a_lie(suite: &CodecSuite) {
    let coded = suite.coded(&text(SAMPLE));
    let places = (0..coded.len().min(40)).chain(coded.len().saturating_sub(16)..coded.len());
    let mut lies = LIES.map(Bytes::from_static).to_vec();
    for place in places {
        for lie in LIES {
            let end = (place + lie.len()).min(coded.len());
            lies.push([&coded[..place], lie, &coded[end..]].concat().into());
        }
    }
    for lie in &lies {
        for limit in [0, 1, SAMPLE, 1 << 20] {
            takes_at_most(suite, lie, limit);
            survives(suite, lie, limit, "a length that lies");
        }
    }
}

/// Content that is a thousand times as long as what is coded of it.
pub fn takes_no_memory_for_a_bomb(suite: &CodecSuite) {
    let bomb = suite.coded(&vec![0; LIMIT].into());
    for limit in [0, 1, 1000, 1 << 16, LIMIT - 1, LIMIT] {
        takes_at_most(suite, &bomb, limit);
        match suite.decoded(&bomb, limit) {
            Ok(content) if limit == LIMIT => assert_eq!(content.len(), LIMIT),
            Err(error) if limit < LIMIT => assert_eq!(error.kind(), ErrorKind::TooLarge),
            other => panic!(
                "of {LIMIT} bytes, {limit} allowed, are decoded {}",
                told(&other)
            ),
        }
    }
}

/// Around it, and far from it.
pub fn decodes_up_to_the_limit(suite: &CodecSuite) {
    for len in [SAMPLE, SAMPLE + 1, 1 << 16] {
        let content = text(len);
        let coded = suite.coded(&content);
        for limit in [len, len + 1, LIMIT, u32::MAX as usize] {
            let decoded = suite.decoded(&coded, limit);
            assert!(
                matches!(&decoded, Ok(decoded) if *decoded == content),
                "of {len} bytes, {limit} allowed, are decoded {}",
                told(&decoded)
            );
        }
        for limit in [0, 1, len / 2, len - 1] {
            let decoded = suite.decoded(&coded, limit);
            let kind = decoded.as_ref().err().map(Error::kind);
            assert!(
                kind == Some(ErrorKind::TooLarge),
                "of {len} bytes, {limit} allowed, are decoded {}",
                told(&decoded)
            );
        }
    }
}

/// A word of it, in whatever can be read by whoever reads logs.
pub fn shows_nothing_that_it_carries(suite: &CodecSuite) {
    let codec = suite.codec();
    let content = text(SAMPLE);
    let coded = suite.coded(&content);
    let cuts = (0..coded.len()).step_by(5).map(|end| coded.slice(..end));
    let flips = (0..coded.len())
        .step_by(5)
        .map(|at| flipped(&coded, 8 * at));
    for bytes in cuts.chain(flips).chain([coded.clone(), content.clone()]) {
        for limit in [1, SAMPLE] {
            if let Err(error) = codec.decode(bytes.clone(), &suite.context(limit)) {
                shows_no_mark(&error);
                shows_no_mark(&codec);
            }
        }
    }
    for content in [content, noise(SAMPLE)] {
        match codec.encode(content, &suite.context(LIMIT)) {
            Ok(encoded) => shows_no_mark(&encoded),
            Err(error) => shows_no_mark(&error),
        }
    }
    shows_no_mark(&codec);
}

/// By this version of the codec.
pub fn reads_every_stored_vector(suite: &CodecSuite) {
    if suite.vectors.is_empty() {
        let plain = text(SAMPLE);
        panic!(
            "there is no vector to keep; of `asm_testkit::codecs::text({SAMPLE})` is made today: {}",
            hex(&suite.coded(&plain))
        );
    }
    for (number, vector) in suite.vectors.iter().enumerate() {
        let decoded = suite.decoded(&vector.stored, vector.plain.len());
        assert!(
            matches!(&decoded, Ok(decoded) if *decoded == vector.plain),
            "vector {number} is read no more: {}",
            told(&decoded)
        );
    }
}

/// Nothing and noise included.
pub fn seals_everything(suite: &CodecSuite) {
    for len in lengths(suite) {
        for content in [text(len), noise(len)] {
            match suite.encoded(&content) {
                Encoded::Coded(sealed) => assert!(
                    sealed.len() <= len + suite.overhead,
                    "{len} bytes have become {}, {} more were allowed",
                    sealed.len(),
                    suite.overhead
                ),
                Encoded::Declined(_) => panic!("{len} bytes are not sealed"),
            }
        }
    }
}

/// Not even a few bytes of it.
pub fn hides_what_it_seals(suite: &CodecSuite) {
    for content in [text(SAMPLE), noise(SAMPLE)] {
        let sealed = suite.coded(&content);
        let shown = content
            .windows(WINDOW)
            .any(|part| sealed.windows(WINDOW).any(|other| other == part));
        assert!(
            !shown,
            "{WINDOW} bytes of the content are seen in what was sealed"
        );
    }
}

/// By one codec, and by another one.
pub fn seals_nothing_twice_alike(suite: &CodecSuite) {
    let codec = suite.codec();
    let content = text(SAMPLE);
    let seal = |codec: &Arc<dyn Codec>| match codec.encode(content.clone(), &suite.context(LIMIT)) {
        Ok(Encoded::Coded(sealed)) => sealed,
        other => panic!("not sealed: {other:?}"),
    };
    let sealed: Vec<_> = (0..50)
        .flat_map(|_| [seal(&codec), seal(&suite.codec())])
        .collect();
    for (number, one) in sealed.iter().enumerate() {
        // Not only as a whole: a stream of one key and one nonce would show in most bytes.
        let alike = |other: &Bytes| one.iter().zip(other).filter(|(a, b)| a == b).count();
        assert!(
            sealed[..number]
                .iter()
                .all(|other| alike(other) < SAMPLE / 2),
            "the same content was sealed alike"
        );
    }
}

/// At every length.
pub fn refuses_every_cut(suite: &CodecSuite) {
    for content in [text(SAMPLE), Bytes::new()] {
        let sealed = suite.coded(&content);
        for end in 0..sealed.len() {
            refuses(suite, &sealed.slice(..end), &format!("cut to {end}"));
        }
        let longer = [&sealed, &b"\0"[..]].concat();
        refuses(suite, &longer.into(), "with a byte more");
    }
}

/// One bit at a time.
pub fn refuses_every_flipped_bit(suite: &CodecSuite) {
    for content in [text(SAMPLE), Bytes::new()] {
        let sealed = suite.coded(&content);
        for bit in 0..8 * sealed.len() {
            refuses(
                suite,
                &flipped(&sealed, bit),
                &format!("with bit {bit} flipped"),
            );
        }
    }
}

/// Which differs in one bit of its key.
pub fn refuses_what_is_of_another_session(suite: &CodecSuite) {
    let sealed = suite.coded(&text(SAMPLE));
    for at in [0, 7, 15] {
        let mut other = *KEY.as_bytes();
        other[at] ^= 1;
        let context = CodecContext {
            key: &Key::from_bytes(other),
            ..suite.context(SAMPLE)
        };
        is_tampered(&suite.codec().decode(sealed.clone(), &context));
    }
}

/// Every part as every other, names that are parts of each other included.
pub fn refuses_what_is_of_another_part(suite: &CodecSuite) {
    let parts = [
        Part::Head,
        Part::Body,
        Part::Field(""),
        Part::Field("a"),
        Part::Field("ab"),
        Part::Field("head"),
        Part::Field("body"),
    ];
    let context = |part| CodecContext {
        part,
        ..suite.context(SAMPLE)
    };
    for (here, written) in parts.iter().enumerate() {
        let encoded = suite.codec().encode(text(SAMPLE), &context(*written));
        let Ok(Encoded::Coded(sealed)) = encoded else {
            panic!("a part is not sealed");
        };
        for (there, read) in parts.iter().enumerate().filter(|(there, _)| *there != here) {
            let decoded = suite.codec().decode(sealed.clone(), &context(*read));
            assert!(decoded.is_err(), "part {here} is read as part {there}");
            is_tampered(&decoded);
        }
    }
}

/// Of which a byte is missing, or is another.
pub fn refuses_what_is_of_another_header(suite: &CodecSuite) {
    let sealed = suite.coded(&text(SAMPLE));
    for associated in [
        &b""[..],
        b"associate",
        b"associated\0",
        b"Associated",
        b"associatee",
    ] {
        let context = CodecContext {
            associated,
            ..suite.context(SAMPLE)
        };
        is_tampered(&suite.codec().decode(sealed.clone(), &context));
    }
}

/// By a stranger, in either direction.
pub fn leaves_what_an_unknown_key_sealed(suite: &CodecSuite) {
    let stranger = suite.stranger.as_ref().expect("a seal has a stranger");
    let context = suite.context(SAMPLE);
    for (writes, reads) in [(suite.codec(), stranger()), (stranger(), suite.codec())] {
        assert_eq!(writes.name(), reads.name(), "the stranger is another seal");
        let Ok(Encoded::Coded(sealed)) = writes.encode(text(SAMPLE), &context) else {
            panic!("{SAMPLE} bytes are not sealed");
        };
        match reads.decode(sealed, &context) {
            Err(error) if error.kind() == ErrorKind::Unreadable => {}
            other => panic!("expected Unreadable, and a stranger got {}", told(&other)),
        }
    }
}

/// Which differs in one bit.
pub fn refuses_another_half(suite: &CodecSuite) {
    let half = suite.client_half.expect("a half of the key");
    let sealed = suite.coded(&text(SAMPLE));
    for at in [0, 15, 31] {
        let mut other = half;
        other[at] ^= 0x80;
        let context = CodecContext {
            client_half: Some(&other),
            ..suite.context(SAMPLE)
        };
        is_tampered(&suite.codec().decode(sealed.clone(), &context));
    }
}

/// In neither direction is anything done without it that can be mistaken for content.
pub fn refuses_to_go_without_the_half(suite: &CodecSuite) {
    let without = CodecContext {
        client_half: None,
        ..suite.context(SAMPLE)
    };
    let sealed = suite.coded(&text(SAMPLE));
    let decoded = suite.codec().decode(sealed, &without);
    assert!(decoded.is_err(), "it is opened without the half");
    if let Ok(Encoded::Coded(sealed)) = suite.codec().encode(text(SAMPLE), &without) {
        let decoded = suite.decoded(&sealed, SAMPLE);
        assert!(decoded.is_err(), "it was sealed without the half");
    }
}

/// By whoever writes through it, and whoever only reads through it.
pub fn reads_back_a_session(suite: &CodecSuite) {
    on_a_storage(async |h| {
        let writes = built(builder(h).await.codec(suite.codec()));
        // Where records are sealed, nothing else is believed.
        let reads = match suite.role {
            CodecRole::Compress => built(builder(h).await.reads(suite.codec())),
            CodecRole::Seal => built(builder(h).await.codec(suite.codec())),
        };
        let cart = cart();
        let id = stored(&writes, |session| session.insert("cart", &cart)).await;
        for sessions in [&writes, &reads] {
            assert!(value::<String>(sessions, &id, "cart").await.as_ref() == Some(&cart));
            let mut session = open(sessions, &id).await;
            session.insert("more", &1).expect("a change");
            saved(&mut session).await;
        }
        assert!(value::<String>(&writes, &id, "cart").await == Some(cart));
    });
}

/// The error says which codec is missing, and nothing is written.
pub fn is_named_where_it_is_not_known(suite: &CodecSuite) {
    on_a_storage(async |h| {
        let writes = built(builder(h).await.codec(suite.codec()));
        let id = stored(&writes, |session| session.insert("cart", &cart())).await;
        let before = given::read(writes.driver(), &id.handle()).await;
        let stranger = built(builder(h).await);
        match stranger.open(&id.expose(), &client()).await {
            Err(SessionError::Store(error)) if error.kind() == ErrorKind::Unreadable => {
                let name = suite.codec().name().to_string();
                assert!(error.to_string().contains(&name), "{error} names no {name}");
            }
            Ok(mut session) => {
                let read = session.get::<String>("cart").expect("a text");
                session.discard();
                panic!(
                    "without the codec are read {} bytes",
                    read.map_or(0, |cart| cart.len())
                );
            }
            Err(other) => panic!("expected Unreadable, and without the codec is told {other:?}"),
        }
        let after = given::read(writes.driver(), &id.handle()).await;
        assert_eq!(before.version, after.version, "the record was written");
        assert!(before.data == after.data, "the record was changed");
    });
}

/// Bytes of text that a codec has no reason to decline, and few enough to flip each bit of.
const SAMPLE: usize = 3000;

const THREADS: usize = 8;
const ROUNDS: usize = 50;

/// Shorter, nearly as long, and longer than the pieces that deflate codes.
const NOISE: [usize; 3] = [3000, 16_000, 70_000];

/// Inputs of one case. A crate's own tests make more.
const MADE_UP: usize = 5000;

/// What decoding may take beyond the limit.
const ROOM: u64 = 64 << 10;

/// So many bytes together are no accident.
const WINDOW: usize = 12;

/// Large numbers in the ways in which they are written: 4 and 8 bytes in either order, 7 bits to a
/// byte, 255 to a byte.
const LIES: [&[u8]; 16] = [
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x7f\xff\xff\xff",
    b"\0\0\0\x80",
    b"\x80\0\0\0",
    b"\0\0\0\x10",
    b"\x10\0\0\0",
    b"\xff\xff\xff\xff\0",
    b"\xff\xff\xff\xff\x0f",
    b"\xff\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x0f",
    b"\xff\xff\xff\xff\x0f\0",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    b"\0\0\0\0\x01\0\0\0",
];

/// With sessions on a driver with which nothing is wrong.
fn on_a_storage(body: impl AsyncFnOnce(&dyn Harness)) {
    runtime().block_on(async {
        let harness = Mutant::healthy_storage();
        body(&*harness).await;
        harness.stop().await;
    });
}

/// What a session holds.
fn cart() -> String {
    String::from_utf8(text(SAMPLE).to_vec()).expect("a text")
}

fn lengths(suite: &CodecSuite) -> Vec<usize> {
    let around = |power: u32| (1 << power) - 1..=(1 << power) + 1;
    let corners = (7..=16).flat_map(around);
    (0..=66)
        .chain(corners)
        .chain(suite.sizes.iter().copied())
        .collect()
}

#[track_caller]
fn reads_back(suite: &CodecSuite, content: &Bytes) {
    let len = content.len();
    match suite.encoded(content) {
        Encoded::Coded(coded) => {
            let decoded = suite.decoded(&coded, len);
            assert!(
                matches!(&decoded, Ok(decoded) if decoded == content),
                "{len} bytes read back as {}",
                told(&decoded)
            );
        }
        Encoded::Declined(plain) => assert!(
            plain == *content,
            "{len} bytes that were declined are not what they were"
        ),
    }
}

fn flipped(coded: &Bytes, bit: usize) -> Bytes {
    let mut flipped = coded.to_vec();
    flipped[bit / 8] ^= 1 << (bit % 8);
    flipped.into()
}

#[track_caller]
fn survives(suite: &CodecSuite, bytes: &Bytes, limit: usize, what: &str) {
    use ErrorKind::{Corrupt, Tampered, TooLarge, Unreadable};
    match suite.decoded(bytes, limit) {
        Ok(content) => assert!(
            content.len() <= limit,
            "{what}: {} bytes were decoded, {limit} allowed",
            content.len()
        ),
        Err(error) => assert!(
            matches!(error.kind(), Corrupt | Tampered | TooLarge | Unreadable),
            "{what}: {error}"
        ),
    }
}

#[track_caller]
fn takes_at_most(suite: &CodecSuite, bytes: &Bytes, limit: usize) {
    let peak = suite.peak_of(bytes, limit);
    assert!(
        peak <= limit as u64 + ROOM,
        "to decode {} bytes, {limit} allowed, takes {peak} at once; they begin with {}",
        bytes.len(),
        hex(&bytes[..bytes.len().min(50)])
    );
}

#[track_caller]
fn refuses(suite: &CodecSuite, bytes: &Bytes, what: &str) {
    match suite.decoded(bytes, LIMIT) {
        // The name of the key may be what was edited, and then it is another key's.
        Err(error) if matches!(error.kind(), ErrorKind::Tampered | ErrorKind::Unreadable) => {}
        other => panic!("expected Tampered, and {what} it is {}", told(&other)),
    }
}

#[track_caller]
fn is_tampered(decoded: &Result<Bytes>) {
    match decoded {
        Err(error) if error.kind() == ErrorKind::Tampered => {}
        other => panic!("expected Tampered, and it is {}", told(other)),
    }
}

/// An answer without what is carried.
fn told(decoded: &Result<Bytes>) -> String {
    match decoded {
        Ok(content) => format!("{} bytes", content.len()),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn shows_no_mark(shown: &(impl Debug + ?Sized)) {
    let mut shown = format!("{shown:?}");
    // Bytes are shown in many ways.
    for part in [MARK, &MARK[..8], &hex(&MARK.as_bytes()[..8])] {
        assert!(!shown.contains(part), "it shows what it carries");
    }
    shown.retain(|c| !c.is_whitespace());
    let list = format!("{:?}", &MARK.as_bytes()[..8]).replace([' ', '[', ']'], "");
    assert!(!shown.contains(&list), "it shows what it carries");
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
