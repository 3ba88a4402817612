//! What the tests begin with.

use asm_core::{CodecContext, Key, Part, Timestamp};
use asm_crypt::{KeyId, KeyRing, SecretKey};

pub(crate) const HANDLE: Key = Key::from_bytes([1; 16]);
pub(crate) const OTHER: Key = Key::from_bytes([2; 16]);

/// Keys that stay the same, so that what they sealed is read for ever.
pub(crate) fn key(number: u8) -> SecretKey {
    let bytes: Vec<u8> = (0_u32..32)
        .map(|at| (at * at * 29 + at * 101 + u32::from(number) * 57) as u8)
        .collect();
    SecretKey::from_bytes(&bytes).expect("a key")
}

/// A ring of the key of this number.
pub(crate) fn ring(number: u8) -> KeyRing {
    KeyRing::new(KeyId::new(number.into()), &key(number))
}

/// A ring that writes with 2 and reads with 1.
pub(crate) fn rotated() -> KeyRing {
    ring(2).reads(KeyId::new(1), &key(1)).expect("two keys")
}

/// The body of a session.
pub(crate) fn body(key: &Key) -> CodecContext<'_> {
    CodecContext {
        key,
        part: Part::Body,
        associated: b"header",
        client_half: None,
        limit: 1 << 20,
    }
}

/// That time of a clock that stands.
pub(crate) fn at(secs: u64) -> Timestamp {
    Timestamp::from_micros(secs * 1_000_000)
}
