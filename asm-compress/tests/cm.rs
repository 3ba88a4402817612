//! The stored form of PHP: what its libraries made, and what this crate makes.

use asm_compress::{
    Threshold,
    cm::{self, Library},
};
use asm_core::ErrorKind;
use bytes::Bytes;

/// A session as PHP serializes it, and what C's zlib (at PHP's level 1), liblzf, LZ4 and Snappy made
/// of it, behind the prefixes.
const SESSION: &[u8] = include_bytes!("vectors/php.txt");
const STORED: [(Library, &[u8]); 5] = [
    (Library::None, SESSION),
    (Library::Gzip, include_bytes!("vectors/php-gz.bin")),
    (Library::Lzf, include_bytes!("vectors/php-lz.bin")),
    (Library::Lz4, include_bytes!("vectors/php-l4.bin")),
    (Library::Snappy, include_bytes!("vectors/php-sn.bin")),
];

#[test]
fn what_php_stored_is_read() {
    for (library, stored) in STORED {
        assert_eq!(Library::of(stored), library);
        let limit = SESSION.len();
        let plain = cm::decode(Bytes::from_static(stored), limit).expect("a session");
        assert_eq!(plain, SESSION, "{library:?}");
        let error = cm::decode(Bytes::from_static(stored), limit - 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge, "{library:?}: {error}");
    }
}

#[test]
fn what_is_stored_here_is_read_by_their_libraries() {
    let plain = Bytes::from_static(SESSION);
    for library in Library::ALL {
        let stored = cm::encode(plain.clone(), library, Threshold::ALWAYS).expect("stored");
        let coded = stored
            .strip_prefix(library.prefix().as_bytes())
            .expect("its prefix");
        let read = match library {
            Library::None => coded.to_vec(),
            Library::Lzf => lzf::decompress(coded, plain.len()).expect("a block"),
            // Other libraries than asm-compress has, for these three, read them in the table above
            // the other way round; here the frames are compared.
            Library::Gzip => {
                assert_eq!(coded[0] & 0x0f, 8, "deflate");
                assert_eq!(
                    u16::from_be_bytes([coded[0], coded[1]]) % 31,
                    0,
                    "a zlib header"
                );
                cm::decode(stored.clone(), plain.len())
                    .expect("a stream")
                    .to_vec()
            }
            Library::Lz4 => {
                assert_eq!(coded[..4], (plain.len() as u32).to_le_bytes());
                cm::decode(stored.clone(), plain.len())
                    .expect("a block")
                    .to_vec()
            }
            Library::Snappy => {
                let mut len = plain.len();
                let mut varint = Vec::new();
                while len > 0 {
                    let more = u8::from(len > 0x7f) << 7;
                    varint.push((len & 0x7f) as u8 | more);
                    len >>= 7;
                }
                assert!(coded.starts_with(&varint));
                cm::decode(stored.clone(), plain.len())
                    .expect("a block")
                    .to_vec()
            }
        };
        assert_eq!(read, plain, "{library:?}");
        if library != Library::None {
            assert!(
                stored.len() < plain.len() / 2,
                "{library:?}: {}",
                stored.len()
            );
        }
    }
}

#[test]
fn every_length_reads_back() {
    for library in Library::ALL {
        for len in (0..300).chain([2047, 2048, 2049, 65_535, 65_536, 1 << 20]) {
            let plain: Bytes = SESSION.iter().copied().cycle().take(len).collect();
            for threshold in [Threshold::ALWAYS, Threshold::default(), Threshold::OFF] {
                let stored = cm::encode(plain.clone(), library, threshold).expect("stored");
                assert!(stored.len() <= plain.len());
                assert_eq!(cm::decode(stored, len).expect("a session"), plain);
            }
        }
    }
}

#[test]
fn small_and_useless_content_stays_as_it_is() {
    let noise: Bytes = std::iter::repeat_with(|| fastrand::u8(128..))
        .take(5000)
        .collect();
    for library in Library::ALL {
        let small = Bytes::from_static(&SESSION[..2047]);
        for plain in [small, noise.clone()] {
            let stored = cm::encode(plain.clone(), library, Threshold::default());
            // Seven of eight bits are chance: only gzip makes an eighth of it.
            if library != Library::Gzip || plain.len() < 5000 {
                assert_eq!(stored.expect("stored"), plain, "{library:?}");
            }
        }
    }
}

#[test]
fn content_that_looks_compressed_is_compressed_or_refused() {
    for prefix in Library::ALL
        .map(Library::prefix)
        .into_iter()
        .filter(|it| !it.is_empty())
    {
        let plain = Bytes::from(format!("{prefix}x"));
        for library in Library::ALL {
            match cm::encode(plain.clone(), library, Threshold::OFF) {
                Ok(stored) => {
                    assert_eq!(Library::of(&stored), library);
                    assert_eq!(cm::decode(stored, 100).expect("a session"), plain);
                }
                Err(error) => {
                    assert_eq!(library, Library::None);
                    assert_eq!(error.kind(), ErrorKind::Invalid);
                }
            }
        }
        // What nobody compressed does not decode to something else.
        let error = cm::decode(plain, 1000).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
    }
}

#[test]
fn every_cut_is_refused_or_shorter() {
    for (library, stored) in STORED {
        for end in 4..stored.len() {
            let cut = Bytes::from_static(&stored[..end]);
            match cm::decode(cut, SESSION.len()) {
                // An LZF block has no length: what is cut between two steps is a shorter one.
                Ok(plain) => {
                    assert!(matches!(library, Library::Lzf | Library::None));
                    assert!(SESSION.starts_with(&plain));
                }
                Err(error) => assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}"),
            }
        }
    }
}

#[test]
fn a_bomb_takes_no_more_than_the_limit() {
    let bomb = Bytes::from(vec![0; 4 << 20]);
    for library in Library::ALL.into_iter().filter(|it| *it != Library::None) {
        let stored = cm::encode(bomb.clone(), library, Threshold::ALWAYS).expect("stored");
        for limit in [0, 1000, (4 << 20) - 1] {
            let peak = allocation_counter::measure(|| {
                let error = cm::decode(stored.clone(), limit).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::TooLarge);
            });
            assert!(
                peak.bytes_max <= limit as u64 + (64 << 10),
                "{library:?}: {peak:?}"
            );
        }
    }
}

#[test]
fn names_are_those_of_php() {
    for library in Library::ALL {
        assert_eq!(Library::from_name(library.name()).expect("a name"), library);
    }
    let error = Library::from_name("zstd").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
}
