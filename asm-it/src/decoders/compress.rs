//! The decoders of asm-compress.

use asm_compress::{
    Compress, Ratio, Threshold,
    cm::{self, Library},
};
use asm_core::{Codec, CodecContext, Encoded, ErrorKind, Key, Part, Result};
use bytes::Bytes;

use super::Target;

pub(super) const TARGETS: &[Target] = &[
    decoder("gzip", |input| decodes(&Compress::gzip(), input)),
    decoder("lzf", |input| decodes(&Compress::lzf(), input)),
    decoder("lz4", |input| decodes(&Compress::lz4(), input)),
    decoder("snappy", |input| decodes(&Compress::snappy(), input)),
    Target {
        name: "cm",
        run: decodes_cm,
        seeds: cm_seeds,
        limit: limit_of,
    },
    Target {
        name: "compressors",
        run: reads_back,
        seeds: contents,
        // Working memory, which is bounded by the length of the input.
        limit: |_| 8 << 20,
    },
    Target {
        name: "lzf_block",
        run: agrees_on_lzf,
        seeds: lzf_seeds,
        limit: |_| 8 << 20,
    },
];

const fn decoder(name: &'static str, run: fn(&[u8])) -> Target {
    Target {
        name,
        run,
        seeds: match name.as_bytes() {
            b"gzip" => || coded_by(&Compress::gzip()),
            b"lzf" => || coded_by(&Compress::lzf()),
            b"lz4" => || coded_by(&Compress::lz4()),
            _ => || coded_by(&Compress::snappy()),
        },
        limit: limit_of,
    }
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

/// Whatever is written is read, and is no longer than it was.
fn reads_back(input: &[u8]) {
    let plain = Bytes::copy_from_slice(input);
    for codec in Compress::all() {
        let codec = codec.threshold(Threshold::ALWAYS).keep_raw(Ratio::ANY);
        match codec
            .encode(plain.clone(), &context(0))
            .expect("no failure")
        {
            Encoded::Coded(coded) => {
                assert!(coded.len() < plain.len());
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

/// Behind each limit.
fn coded_by(codec: &Compress) -> Vec<Vec<u8>> {
    let codec = codec.clone().threshold(Threshold::ALWAYS);
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
