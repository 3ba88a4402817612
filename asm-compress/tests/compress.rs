//! The options of the codec, and its formats beside other implementations.

use std::io::Read as _;

use asm_compress::{
    Compress, Ratio, Threshold,
    cm::{self, Library},
};
use asm_core::{Codec, CodecContext, Encoded, ErrorKind, Key, Part};
use asm_testkit::{
    Log,
    codecs::{noise, text},
};
use bytes::Bytes;

const KEY: Key = Key::from_bytes([1; 16]);

fn context(limit: usize) -> CodecContext<'static> {
    CodecContext {
        key: &KEY,
        part: Part::Body,
        associated: b"",
        client_half: None,
        limit,
    }
}

fn coded(codec: &Compress, plain: &Bytes) -> Option<Bytes> {
    match codec
        .encode(plain.clone(), &context(0))
        .expect("no failure")
    {
        Encoded::Coded(coded) => Some(coded),
        Encoded::Declined(declined) => {
            assert_eq!(declined, *plain);
            None
        }
    }
}

/// All that compress.
fn algorithms() -> impl Iterator<Item = Compress> {
    let is_one = |codec: &Compress| codec.name().as_str() != "none";
    Compress::all().into_iter().filter(is_one)
}

#[test]
fn names_stand_for_algorithms() {
    let names = ["gzip", "lzf", "lz4", "snappy", "none"];
    for name in names {
        let codec = Compress::from_name(name).expect("a name");
        assert_eq!(codec.name().as_str(), name);
        assert_eq!(
            name.parse::<Compress>().expect("a name").name(),
            codec.name()
        );
    }
    let all: Vec<_> = Compress::all()
        .iter()
        .map(|codec| codec.name().to_string())
        .collect();
    assert_eq!(all, names);
    for wrong in ["", "GZIP", "zstd", "gzip ", "0"] {
        let error = Compress::from_name(wrong).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
    }
}

#[test]
fn only_gzip_has_levels() {
    for level in [0, 10, u32::MAX] {
        let error = Compress::gzip().level(level).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    for codec in Compress::all() {
        assert_eq!(
            codec.clone().level(6).is_ok(),
            codec.name().as_str() == "gzip"
        );
    }
    let plain = text(20_000);
    let len = |level| {
        let codec = Compress::gzip().level(level).expect("a level");
        let coded = coded(&codec, &plain).expect("smaller");
        // Whatever the level of the reader.
        let decoded = Compress::gzip().decode(coded.clone(), &context(plain.len()));
        assert_eq!(decoded.expect("content"), plain);
        coded.len()
    };
    assert!(
        len(9) <= len(6) && len(6) < len(1),
        "{} {} {}",
        len(9),
        len(6),
        len(1)
    );
}

#[test]
fn the_threshold_is_the_least_that_is_compressed() {
    for codec in algorithms() {
        for at in [100, 2048, 5000] {
            let codec = codec.clone().threshold(Threshold::at(at));
            assert!(coded(&codec, &text(at - 1)).is_none());
            assert!(coded(&codec, &text(at)).is_some(), "{codec:?}");
            assert!(coded(&codec, &text(at + 1)).is_some());
        }
        assert!(coded(&codec, &text(2047)).is_none(), "2048 unless set");
        assert!(coded(&codec, &text(2048)).is_some());
        let codec = codec.threshold(Threshold::OFF);
        assert!(coded(&codec, &text(1 << 20)).is_none());
        let counters = codec.counters();
        assert!(counters.small >= 5 && counters.useless == 0, "{counters:?}");
    }
}

#[test]
fn what_shrinks_too_little_stays_as_it_is_and_is_counted() {
    // A half of it is chance.
    let plain = Bytes::from([noise(5000), vec![0; 5000].into()].concat());
    for codec in algorithms() {
        let ratio = |part| codec.clone().keep_raw(Ratio::new(part).expect("a ratio"));
        assert!(coded(&ratio(0.6), &plain).is_some(), "{codec:?}");
        assert!(coded(&ratio(0.4), &plain).is_none(), "{codec:?}");
        assert!(coded(&codec, &noise(5000)).is_none());
        assert!(coded(&ratio(1.0), &noise(5000)).is_none());
        let counters = codec.counters();
        assert_eq!((counters.compressed, counters.useless), (1, 3));
        assert_eq!(counters.bytes_before, 10_000);
        assert!((5000..6000).contains(&counters.bytes_after), "{counters:?}");
    }
    for wrong in [0.0, -1.0, 1.01, f64::NAN, f64::INFINITY] {
        assert!(Ratio::new(wrong).is_err(), "{wrong}");
    }
}

/// By its name and its length, and nothing of what is in it.
#[test]
fn what_stays_as_it_is_is_logged() {
    let log = Log::capture();
    for codec in algorithms() {
        let name = codec.name();
        for (codec, why) in [
            (codec.clone(), "it would not shrink enough"),
            (codec.clone().limit(4999), "over the limit"),
        ] {
            assert!(coded(&codec, &noise(5000)).is_none());
            let lines: Vec<String> = log.take().into_iter().map(|line| line.text).collect();
            let told = format!("message={why}: stored as it is codec=\"{name}\" len=5000 ");
            assert_eq!(lines, [told]);
        }
        // Which is the rule, and so worth no line.
        assert!(coded(&codec, &text(100)).is_none());
        assert!(coded(&codec, &text(5000)).is_some());
        assert_eq!(log.take().len(), 0);
    }
}

#[test]
fn a_limit_of_its_own_is_kept_in_both_directions() {
    for codec in algorithms() {
        let limited = codec.clone().limit(3000);
        let fits = coded(&limited, &text(3000)).expect("within the limit");
        assert!(coded(&limited, &text(3001)).is_none());
        assert_eq!(
            limited.decode(fits, &context(1 << 20)).expect("content"),
            text(3000)
        );
        let longer = coded(&codec, &text(3001)).expect("no limit");
        let error = limited.decode(longer, &context(1 << 20)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        assert_eq!(limited.counters().refused, 1);
    }
}

#[test]
fn none_compresses_nothing_and_reads_all() {
    let none = Compress::none().threshold(Threshold::ALWAYS);
    assert!(coded(&none, &text(10_000)).is_none());
    let names: Vec<_> = none
        .relatives()
        .iter()
        .map(|codec| codec.name().to_string())
        .collect();
    assert_eq!(names, ["gzip", "lzf", "lz4", "snappy", "none"]);
    let error = none
        .decode(Bytes::from_static(b"x"), &context(9))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn any_gzip_tool_reads_it_and_is_read() {
    for plain in [text(2048), text(100_000), vec![0; 5000].into()] {
        let ours = coded(&Compress::gzip(), &plain).expect("smaller");
        let mut read = Vec::new();
        let mut tool = flate2::read::GzDecoder::new(&ours[..]);
        tool.read_to_end(&mut read).expect("a member");
        assert_eq!(read, plain);

        let mut tool = flate2::bufread::GzEncoder::new(&plain[..], flate2::Compression::fast());
        let mut theirs = Vec::new();
        tool.read_to_end(&mut theirs).expect("a member");
        let decoded = Compress::gzip().decode(theirs.into(), &context(plain.len()));
        assert_eq!(decoded.expect("content"), plain);
    }
}

/// The facts that made the lengths be read here.
#[test]
fn what_the_libraries_believe_is_not_believed() {
    let nothing = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0]);
    assert_eq!(
        lz4_flex::block::decompress(&nothing[4..], 0).expect("nothing"),
        b""
    );
    let error = Compress::lz4()
        .decode(nothing.clone(), &context(usize::MAX))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    let error = Compress::lz4()
        .decode(nothing, &context(1 << 22))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);

    let six = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    assert_eq!(
        snap::raw::decompress_len(&six).expect("a length"),
        u32::MAX as usize
    );
    let error = Compress::snappy()
        .decode(six.clone(), &context(1 << 22))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let error = Compress::snappy()
        .decode(six, &context(usize::MAX))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn a_damaged_gzip_member_is_told_by_its_checksum() {
    let plain = text(5000);
    let ours = coded(&Compress::gzip(), &plain).expect("smaller");
    let mut accepted = 0;
    for bit in 0..8 * ours.len() {
        let mut damaged = ours.to_vec();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // Time and system stand in the header, and say nothing about the content.
        let is_hint = (4..10).contains(&(bit / 8));
        let decoded = Compress::gzip().decode(damaged.into(), &context(plain.len()));
        assert_eq!(decoded.is_ok(), is_hint, "bit {bit}");
        accepted += u64::from(decoded.is_ok() && !is_hint);
    }
    println!("{} damaged members, {accepted} accepted", 8 * ours.len());
}

#[test]
fn the_crate_lzf_and_ours_read_each_other() {
    let mut theirs_read = 0;
    for len in (20..3000).chain([8192, 70_000]) {
        let plain = text(len);
        let stored = cm::encode(plain.clone(), Library::Lzf, Threshold::ALWAYS).expect("a block");
        if let Some(block) = stored.strip_prefix(b":lz:") {
            assert_eq!(lzf::decompress(block, len).expect("ours"), plain);
        }
        if let Ok(block) = lzf::compress(&plain) {
            let stored = [&b":lz:"[..], &block].concat();
            assert_eq!(cm::decode(stored.into(), len).expect("theirs"), plain);
            theirs_read += 1;
        }
    }
    assert!(theirs_read > 2500, "{theirs_read} blocks of theirs");
}

/// Found by a fuzzer: why that crate is no more than a reference.
#[test]
fn the_crate_lzf_panics_where_ours_does_not() {
    let found = include_bytes!("../../fuzz/seeds/lzf_block/the-crate-lzf-panics");
    assert!(std::panic::catch_unwind(|| lzf::compress(found)).is_err());
    let plain = Bytes::from_static(found);
    let codec = Compress::lzf()
        .threshold(Threshold::ALWAYS)
        .keep_raw(Ratio::ANY);
    if let Some(coded) = coded(&codec, &plain) {
        assert_eq!(
            codec.decode(coded, &context(plain.len())).expect("content"),
            plain
        );
    }
    let stored = cm::encode(plain.clone(), Library::Lzf, Threshold::OFF).expect("stored");
    assert_eq!(cm::decode(stored, plain.len()).expect("content"), plain);
}
