//! Each algorithm, held to the suite of the testkit. What must be read for ever was made by the
//! libraries of others: Python's zlib, liblzf, the LZ4 and the Snappy of their authors.

use asm_compress::{Compress, Threshold};
use asm_testkit::codecs::{Vector, text};

/// The content of all vectors: the text of the testkit, which begins in the same way for ever.
const PLAIN: usize = 3000;

macro_rules! conformance_of {
    ($($name:ident)*) => {$(
        mod $name {
            asm_testkit::codec_conformance! {
                compressor: || super::Compress::$name().threshold(super::Threshold::ALWAYS),
                peak: |run| allocation_counter::measure(run).bytes_max,
                vectors: super::vectors(stringify!($name)),
                settings: { sizes: [2047, 2048, 2049, 8191, 8192, 8193, 8200, 100_000] },
            }
        }
    )*};
}

conformance_of! { gzip lzf lz4 snappy }

mod with_a_threshold {
    asm_testkit::codec_conformance! {
        compressor: super::Compress::lz4,
        peak: |run| allocation_counter::measure(run).bytes_max,
        vectors: super::vectors("lz4"),
    }
}

/// What others made, and what this crate made in its first version.
fn vectors(name: &str) -> Vec<Vector> {
    let read = |file: &str| {
        let path = format!("{}/tests/vectors/{file}", env!("CARGO_MANIFEST_DIR"));
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
    };
    ["theirs", "ours"]
        .map(|maker| Vector::new(text(PLAIN), read(&format!("{name}-{maker}.bin"))))
        .to_vec()
}

/// Makes those of ours that are missing; one that is there stays as it is.
#[test]
#[ignore = "makes vectors for a new algorithm: cargo test -p asm-compress -- --ignored vectors_of_ours"]
fn vectors_of_ours() {
    use asm_core::{Codec, CodecContext, Encoded, Key, Part};
    let context = CodecContext {
        key: &Key::from_bytes([0; 16]),
        part: Part::Body,
        associated: b"",
        client_half: None,
        limit: PLAIN,
    };
    for codec in Compress::all() {
        let name = codec.name();
        let path = format!(
            "{}/tests/vectors/{name}-ours.bin",
            env!("CARGO_MANIFEST_DIR")
        );
        if let Ok(Encoded::Coded(coded)) = codec.encode(text(PLAIN), &context)
            && !std::fs::exists(&path).expect("a folder")
        {
            std::fs::write(path, coded).expect("a place for a vector");
        }
    }
}
