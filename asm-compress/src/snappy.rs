//! Snappy: the raw block of
//! <https://github.com/google/snappy/blob/main/format_description.txt>.

use asm_core::Result;
use snap::raw::{Decoder, Encoder, decompress_len, max_compress_len};

use crate::{
    algorithm::Algorithm,
    errors::{corrupt, failed, refused, too_large},
    pool::Pool,
};

const NAME: &str = "snappy";

/// Three bytes of a block make at most 64 of content.
const GROWTH: usize = 22;

/// Encoders have a table that is worth keeping.
#[derive(Debug, Default)]
pub(crate) struct Snappy(Pool<Encoder>);

impl Algorithm for Snappy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn compress(&self, plain: &[u8], most: usize) -> Result<Option<Vec<u8>>> {
        // 0 says that it is too long.
        let longest = max_compress_len(plain.len());
        if longest == 0 {
            return Ok(None);
        }
        let mut coded = vec![0; longest];
        let len = self.0.lend(Encoder::new, |encoder| {
            let len = encoder.compress(plain, &mut coded);
            len.map(Some).map_err(|error| failed(NAME, error))
        })?;
        Ok(len.filter(|len| *len <= most).map(|len| {
            coded.truncate(len);
            coded
        }))
    }

    fn decompress(&self, coded: &[u8], limit: usize) -> Result<Vec<u8>> {
        let len = decompress_len(coded).map_err(|error| refused(NAME, error))?;
        if len > limit {
            return Err(too_large(NAME, len as u64, limit));
        }
        if len > coded.len().saturating_mul(GROWTH) {
            return Err(corrupt(NAME, "so few bytes cannot become so many"));
        }
        let mut plain = vec![0; len];
        let decoded = Decoder::new().decompress(coded, &mut plain);
        let decoded = decoded.map_err(|error| refused(NAME, error))?;
        if decoded != len {
            return Err(corrupt(NAME, "the content is shorter than it says"));
        }
        Ok(plain)
    }
}
