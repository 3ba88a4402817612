//! What a driver is asked with.

use asm_core::{Epoch, Key, OpId, Proof, Proofs, Stamp};
use serde_json::{Value, json};

/// The key of the session of this number, which lies anywhere among all keys.
#[must_use]
pub fn key(session: u32) -> Key {
    let spread = u128::from(session).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Key::from_bytes(spread.to_be_bytes())
}

/// A name that no other write has.
#[must_use]
pub fn op() -> OpId {
    OpId::from_bytes(fastrand::u64(..).to_be_bytes())
}

/// The epoch and proofs of every session.
#[must_use]
pub fn stamp() -> Stamp {
    Stamp {
        epoch: Epoch::new(1),
        proofs: Proofs {
            current: Proof::from_bytes([1; 16]),
            pending: None,
        },
    }
}

/// What a session of a shop holds, besides what is counted in it: about 1 KiB of JSON under a few keys.
#[must_use]
pub fn entries() -> Vec<(&'static str, Value)> {
    let line = |number: u32| {
        json!({
            "article": format!("A-{:06}", number * 7919),
            "title": "A teapot with a spout, blue",
            "count": number % 5 + 1,
            "price": 1999 + number,
            "gift": number.is_multiple_of(2),
        })
    };
    vec![
        ("locale", json!("de-AT")),
        (
            "user",
            json!({ "id": 4711, "name": "Ada Lovelace", "roles": ["buyer"], "since": 1_760_000_000 }),
        ),
        ("cart", (1..=9).map(line).collect()),
        ("seen", json!([4711, 815, 42, 7, 1999, 2718])),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_about_a_kibibyte() {
        let bytes: usize = entries()
            .iter()
            .map(|(key, value)| key.len() + value.to_string().len())
            .sum();
        assert!((900..1100).contains(&bytes), "{bytes}");
    }
}
