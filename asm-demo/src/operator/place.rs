//! Where a command goes on that was ended early.

use std::{fmt, str::FromStr};

use asm_core::Cursor;

/// A cursor, as it is printed and read.
#[derive(Clone, Debug)]
pub(crate) struct Place(pub(super) Cursor);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
            .collect();
        let pairs = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0);
        let bytes = pairs.map(|digits| {
            let pairs = digits.chunks_exact(2);
            pairs.map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<_>>()
        });
        let bytes = bytes.ok_or("a place is what an earlier sweep has printed")?;
        Ok(Self(Cursor(bytes.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_does() {
        let place = Place(Cursor("3f/00ff".into()));
        let read: Place = place.to_string().parse().expect("ours");
        assert_eq!(read.0, place.0);
        for foreign in ["", "3", "3g", "3f/00", "ääää"] {
            assert!(foreign.parse::<Place>().is_err(), "{foreign:?}");
        }
    }
}
