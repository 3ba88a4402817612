//! A length in front of what was compressed, believed only as far as it can be true.

use asm_core::Result;

use crate::errors::{corrupt, too_large};

/// Bytes of the length.
pub(crate) const LEN: usize = 4;

/// Splits the length off, which is at most the limit, and no more than `growth` times as many bytes
/// as there are.
pub(crate) fn claimed<'a>(
    algorithm: &str,
    coded: &'a [u8],
    limit: usize,
    growth: usize,
) -> Result<(usize, &'a [u8])> {
    let Some((len, block)) = coded.split_first_chunk::<LEN>() else {
        return Err(corrupt(algorithm, "there is no length"));
    };
    let len = u32::from_le_bytes(*len);
    let within = usize::try_from(len).ok().filter(|len| *len <= limit);
    let len = within.ok_or_else(|| too_large(algorithm, len.into(), limit))?;
    if len > block.len().saturating_mul(growth) {
        return Err(corrupt(algorithm, "so few bytes cannot become so many"));
    }
    Ok((len, block))
}
