//! Names of things in a store: sessions and subjects.

use std::fmt;

use crate::opaque::opaque;

opaque! {
    /// Where one session is stored: the public half of its id, 16 bytes, the same for the
    /// session's whole life.
    ///
    /// A key is not a secret and opens nothing; [`Display`](fmt::Display) shows it as 32
    /// lowercase hex digits for logs and operators' tools. `Debug` does not show it, so that no
    /// structure that happens to hold one tells more than its author meant to.
    ///
    /// ```
    /// use asm_core::Key;
    ///
    /// let key = Key::from_bytes([0xab; 16]);
    /// assert_eq!(key.to_string(), "abababababababababababababababab");
    /// assert_eq!(Key::from_hex(&key.to_string()), Some(key));
    /// assert_eq!(format!("{key:?}"), "Key(..)");
    /// ```
    Key, 16
}

impl Key {
    /// Reads what [`Display`](fmt::Display) wrote: exactly 32 lowercase hex digits. Anything else
    /// is `None`.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let digits: &[u8; 2 * Self::LEN] = text.as_bytes().try_into().ok()?;
        let mut bytes = [0; Self::LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        Some(Self(bytes))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

opaque! {
    /// To whom sessions belong: a digest of the application's name for a user.
    ///
    /// Drivers only ever see the digest, so a name can be as long and as hostile as it likes, and
    /// a dump of the store lists no users.
    Subject, 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_32_lowercase_hex_digits_are_a_key() {
        for wrong in [
            "",
            "ab",
            "AB000000000000000000000000000000",
            "0g000000000000000000000000000000",
            "000000000000000000000000000000000",
            "é00000000000000000000000000000",
        ] {
            assert_eq!(Key::from_hex(wrong), None, "{wrong:?}");
        }
        let all = Key::from_hex("0123456789abcdef0123456789abcdef").expect("valid");
        assert_eq!(all.as_bytes()[..4], [0x01, 0x23, 0x45, 0x67]);
    }
}
