//! The decoders of asm-compress.

use std::sync::LazyLock;

use asm_compress::{
    Compress, Ratio, Threshold,
    cm::{self, Library},
};
use asm_core::{Codec, CodecContext, Encoded, ErrorKind, Key, Part, Result};
use bytes::Bytes;

use super::Target;

macro_rules! decoder {
    ($name:literal) => {
        Target {
            name: $name,
            feed: |input| decodes(codec($name), input),
            seeds: || coded_by(codec($name)),
            limit: limit_of,
        }
    };
}

pub(super) const TARGETS: &[Target] = &[
    decoder!("gzip"),
    decoder!("lzf"),
    decoder!("lz4"),
    decoder!("snappy"),
    Target {
        name: "cm",
        feed: decodes_cm,
        seeds: cm_seeds,
        limit: limit_of,
    },
    Target {
        name: "compressors",
        feed: reads_back,
        seeds: content_seeds,
        // Working memory, which is bounded by the length of the input.
        limit: |_| 8 << 20,
    },
    Target {
        name: "lzf_block",
        feed: agrees_on_lzf,
        seeds: lzf_seeds,
        limit: |_| 8 << 20,
    },
];

/// Every codec, for the whole process: whatever one input leaves behind in its memory meets the next.
static CODECS: LazyLock<Vec<Compress>> = LazyLock::new(|| {
    let always = |codec: Compress| codec.threshold(Threshold::ALWAYS);
    Compress::all().into_iter().map(always).collect()
});

fn codec(name: &str) -> &'static Compress {
    let codec = CODECS.iter().find(|codec| codec.name().as_str() == name);
    codec.expect("a codec of this name")
}

/// The first byte of an input says how much may be decoded.
const LIMITS: [usize; 6] = [0, 1, 100, 3000, 70_000, 1 << 20];

fn limit_of(input: &[u8]) -> usize {
    input
        .first()
        .map_or(0, |first| LIMITS[usize::from(*first) % LIMITS.len()])
}

fn decodes(codec: &Compress, input: &[u8]) {
    let coded = input.get(1..).unwrap_or_default();
    let limit = limit_of(input);
    let decoded = codec.decode(Bytes::copy_from_slice(coded), &context(limit));
    check(&decoded, limit);
}

fn decodes_cm(input: &[u8]) {
    let stored = input.get(1..).unwrap_or_default();
    let limit = limit_of(input);
    let decoded = cm::decode(Bytes::copy_from_slice(stored), limit);
    check(&decoded, limit);
}

/// Whatever is written is read, and is no longer than it was allowed to become.
fn reads_back(input: &[u8]) {
    let (ratio, plain) = content_of(input);
    for codec in &*CODECS {
        let codec = codec.clone().keep_raw(ratio);
        let encoded = codec.encode(plain.clone(), &context(0));
        match encoded.expect("no failure") {
            Encoded::Coded(coded) => {
                assert!(coded.len() < plain.len() && coded.len() <= ratio.of(plain.len()));
                let decoded = codec.decode(coded, &context(plain.len()));
                assert!(decoded.expect("our own") == plain);
            }
            Encoded::Declined(declined) => assert!(declined == plain),
        }
    }
    for library in Library::ALL {
        match cm::encode(plain.clone(), library, Threshold::ALWAYS) {
            Ok(stored) => assert!(cm::decode(stored, plain.len()).expect("our own") == plain),
            // The one thing that this form cannot write.
            Err(_) => assert!(library == Library::None && Library::of(&plain) != Library::None),
        }
    }
}

/// The first two bytes of an input say what content may become, and, seldom, that it is long: the rest
/// so many times, each time with other bits turned over.
fn content_of(input: &[u8]) -> (Ratio, Bytes) {
    const RATIOS: [f64; 4] = [1.0, 0.95, 0.5, 0.3];
    const LONGEST: usize = 24 << 10;
    let [first, second, rest @ ..] = input else {
        return (Ratio::ANY, Bytes::copy_from_slice(input));
    };
    let ratio = RATIOS[usize::from(*first) % RATIOS.len()];
    let times = match second {
        254 => 8,
        255 => 80,
        _ => 1,
    };
    let turned = |time| rest.iter().map(move |byte| byte ^ (time * 37) as u8);
    let plain = (0..times).flat_map(turned).take(LONGEST).collect();
    (Ratio::new(ratio).expect("a ratio"), plain)
}

/// Our LZF and the crate `lzf` say the same of a block, and that crate reads what ours wrote. It must
/// be told how long the content is, so it is asked only for what ours could decode; and its
/// compressor panics for some content, so it is asked for none (its blocks are among the seeds).
fn agrees_on_lzf(input: &[u8]) {
    let stored = [Library::Lzf.prefix().as_bytes(), input].concat();
    if let Ok(plain) = cm::decode(stored.into(), 1 << 20)
        && !input.is_empty()
    {
        let theirs = lzf::decompress(input, plain.len());
        assert!(theirs.is_ok_and(|theirs| theirs == plain));
    }
    let plain = Bytes::copy_from_slice(input);
    let ours = cm::encode(plain.clone(), Library::Lzf, Threshold::ALWAYS).expect("a block");
    if let (Library::Lzf, [_, _, _, _, block @ ..]) = (Library::of(&ours), &ours[..]) {
        let theirs = lzf::decompress(block, plain.len());
        assert!(theirs.is_ok_and(|theirs| theirs == plain));
    }
}

fn check(decoded: &Result<Bytes>, limit: usize) {
    match decoded {
        Ok(plain) => assert!(plain.len() <= limit, "{} bytes of {limit}", plain.len()),
        Err(error) => {
            let kind = error.kind();
            assert!(
                matches!(kind, ErrorKind::Corrupt | ErrorKind::TooLarge),
                "{error}"
            );
        }
    }
}

fn context(limit: usize) -> CodecContext<'static> {
    const KEY: Key = Key::from_bytes([7; 16]);
    CodecContext {
        key: &KEY,
        part: Part::Body,
        associated: b"",
        client_half: None,
        limit,
    }
}

fn contents() -> Vec<Vec<u8>> {
    let text: String = (0..80)
        .map(|n| format!("{{\"sku\":{n},\"price\":{}}},", n * 37))
        .collect();
    vec![
        Vec::new(),
        b"a".to_vec(),
        text.clone().into_bytes(),
        text.as_bytes()[..300].to_vec(),
        vec![0; 3000],
        b"abc".repeat(600),
        (0..=255).cycle().take(2000).collect(),
    ]
}

/// To become anything smaller or much smaller. The long ones are left to edits: they take long.
fn content_seeds() -> Vec<Vec<u8>> {
    let kinds = [[0, 0], [3, 0]];
    let of = |plain: Vec<u8>| kinds.map(|kind| [&kind, &plain[..]].concat());
    contents().into_iter().flat_map(of).collect()
}

/// Behind each limit.
fn coded_by(codec: &Compress) -> Vec<Vec<u8>> {
    let coded =
        contents()
            .into_iter()
            .filter_map(|plain| match codec.encode(plain.into(), &context(0)) {
                Ok(Encoded::Coded(coded)) => Some(coded),
                _ => None,
            });
    behind_limits(coded.map(Vec::from))
}

fn cm_seeds() -> Vec<Vec<u8>> {
    let stored = Library::ALL.into_iter().flat_map(|library| {
        let stored = move |plain: Vec<u8>| cm::encode(plain.into(), library, Threshold::ALWAYS);
        contents()
            .into_iter()
            .filter_map(move |plain| stored(plain).ok())
    });
    behind_limits(stored.map(Vec::from))
}

fn lzf_seeds() -> Vec<Vec<u8>> {
    let blocks = contents()
        .into_iter()
        .filter_map(|plain| lzf::compress(&plain).ok());
    blocks.chain(contents()).collect()
}

fn behind_limits(inputs: impl Iterator<Item = Vec<u8>>) -> Vec<Vec<u8>> {
    let behind = |input: &Vec<u8>, limit: u8| [&[limit], &input[..]].concat();
    let limits = 0..LIMITS.len() as u8;
    inputs
        .flat_map(|input| limits.clone().map(move |limit| behind(&input, limit)))
        .collect()
}
