//! How the length of what is sealed is hidden.

use std::num::NonZeroU16;

/// How the length of what is sealed is hidden: whoever sees sealed bytes sees how many there are,
/// and often that tells what is in them.
///
/// Padding is added under the seal, after compression. With it the envelope shows a rounded length,
/// too.
///
/// ```
/// use asm_crypt::Padding;
/// use std::num::NonZeroU16;
///
/// let blocks = Padding::Blocks(NonZeroU16::new(256).unwrap());
/// assert_eq!((blocks.padded(1), blocks.padded(255), blocks.padded(256)), (256, 256, 512));
/// assert_eq!((Padding::Padme.padded(1000), Padding::Padme.padded(1007)), (1024, 1024));
/// assert_eq!(Padding::None.padded(1000), 1000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Padding {
    /// Not at all.
    #[default]
    None,
    /// Up to the next multiple of so many bytes: the right one for records that are small and of
    /// about the same size.
    Blocks(NonZeroU16),
    /// Up to the next length of which only the first bits are set: at most 12 % longer, and of all
    /// lengths up to 1 MiB 300 are told apart. It is *Padmé*, of "Reducing Metadata Leakage
    /// from Encrypted Files and Communication with PURBs" (PoPETs 2019).
    Padme,
}

impl Padding {
    /// How many bytes content of `len` bytes takes under the seal.
    #[must_use]
    pub fn padded(self, len: usize) -> usize {
        match self {
            Self::None => len,
            // One byte marks where the padding begins.
            Self::Blocks(block) => (len + 1).next_multiple_of(block.get().into()),
            Self::Padme => padme(len + 1),
        }
    }

    /// Appends padding. The content begins at `start`.
    pub(crate) fn pad(self, out: &mut Vec<u8>, start: usize) {
        if self != Self::None {
            let padded = start + self.padded(out.len() - start);
            out.push(MARK);
            out.resize(padded, 0);
        }
    }

    /// The length of the content of what has any padding at all, as in ISO/IEC 7816-4.
    pub(crate) fn unpadded(padded: &[u8]) -> Option<usize> {
        let end = padded.iter().rposition(|byte| *byte != 0)?;
        (padded[end] == MARK).then_some(end)
    }
}

/// The most bytes that content of at most `limit` bytes can have with any padding.
pub(crate) const fn most_padded(limit: usize) -> usize {
    limit
        .saturating_add(limit / 8)
        .saturating_add(u16::MAX as usize + 1)
}

/// Stands behind the content, and before the zeros.
const MARK: u8 = 0x80;

fn padme(len: usize) -> usize {
    let Some(exponent) = len.checked_ilog2() else {
        return len;
    };
    let bits = exponent.checked_ilog2().map_or(1, |bits| bits + 1);
    let mask = (1_usize << exponent.saturating_sub(bits)) - 1;
    len.saturating_add(mask) & !mask
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> [Padding; 5] {
        let blocks = |size| Padding::Blocks(NonZeroU16::new(size).unwrap());
        [
            Padding::None,
            blocks(1),
            blocks(100),
            blocks(u16::MAX),
            Padding::Padme,
        ]
    }

    #[test]
    fn what_was_padded_is_found_again() {
        for padding in all() {
            for len in (0..300).chain([4095, 4096, 65_535]) {
                for last in [0, MARK, 7] {
                    let mut out = vec![1, 2, 3];
                    out.resize(3 + len, last);
                    padding.pad(&mut out, 3);
                    assert_eq!(out.len() - 3, padding.padded(len));
                    assert!(out.len() - 3 <= most_padded(len));
                    if padding != Padding::None {
                        assert_eq!(Padding::unpadded(&out[3..]), Some(len), "{padding:?}");
                    }
                }
            }
        }
        assert_eq!(Padding::unpadded(&[]), None);
        assert_eq!(Padding::unpadded(&[0; 9]), None);
        assert_eq!(Padding::unpadded(&[MARK, 1, 0]), None);
    }

    #[test]
    fn padme_costs_at_most_an_eighth_and_tells_few_lengths_apart() {
        let mut apart = 0;
        for len in 1..=1 << 20 {
            let padded = padme(len);
            assert!(padded >= len && padded <= len + len / 8, "{len}");
            apart += usize::from(padded == len);
        }
        assert_eq!(apart, 300);
        // As the paper has it for a few lengths.
        assert_eq!([1, 8, 9, 10, 11].map(padme), [1, 8, 10, 10, 12]);
    }
}
