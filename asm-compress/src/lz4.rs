//! LZ4 behind a length: the block of <https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md>.

use asm_core::Result;
use lz4_flex::block::{compress_into, decompress_into, get_maximum_output_size};

use crate::{
    algorithm::Algorithm,
    claim::{LEN, claimed},
    errors::{corrupt, failed, refused},
};

const NAME: &str = "lz4";

/// A byte of a block makes at most 255 of content.
const GROWTH: usize = 255;

#[derive(Debug)]
pub(crate) struct Lz4;

impl Algorithm for Lz4 {
    fn name(&self) -> &'static str {
        NAME
    }

    fn compress(&self, plain: &[u8], most: usize) -> Result<Option<Vec<u8>>> {
        let Ok(len) = u32::try_from(plain.len()) else {
            return Ok(None);
        };
        let mut coded = vec![0; LEN + get_maximum_output_size(plain.len())];
        coded[..LEN].copy_from_slice(&len.to_le_bytes());
        let block = compress_into(plain, &mut coded[LEN..]).map_err(|error| failed(NAME, error))?;
        coded.truncate(LEN + block);
        Ok((coded.len() <= most).then_some(coded))
    }

    fn decompress(&self, coded: &[u8], limit: usize) -> Result<Vec<u8>> {
        let (len, block) = claimed(NAME, coded, limit, GROWTH)?;
        let mut plain = vec![0; len];
        let decoded = decompress_into(block, &mut plain).map_err(|error| refused(NAME, error))?;
        if decoded != len {
            return Err(corrupt(NAME, "the content is shorter than it says"));
        }
        Ok(plain)
    }
}
