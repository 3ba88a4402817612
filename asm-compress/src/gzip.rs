//! gzip (RFC 1952) and zlib (RFC 1950) around deflate (RFC 1951).

use std::sync::Arc;

use asm_core::Result;
use flate2::{Compression, Crc, Decompress, FlushCompress, FlushDecompress, Status};

use crate::{
    algorithm::Algorithm,
    errors::{corrupt, failed, invalid, refused, too_large},
    pool::Pool,
};

const NAME: &str = "gzip";

/// Magic, deflate, no flags, no time, no hint, unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// Checksum and length of the content.
const TRAILER: usize = 8;

/// A byte of deflate makes at most 1032 of content.
const GROWTH: usize = 1032;

/// Content is decoded in such pieces when nobody knows how long it is.
const PIECE: usize = 16 << 10;

/// States of deflate have hundreds of KiB each, those of inflate tens, and both are worth keeping.
#[derive(Debug)]
pub(crate) struct Gzip {
    level: u32,
    deflating: Pool<flate2::Compress>,
    inflating: Pool<Decompress>,
}

impl Default for Gzip {
    fn default() -> Self {
        Self::of_level(Self::LEVEL)
    }
}

impl Gzip {
    /// What gzip itself takes, and where more time stops to buy much: the tables of the crate's
    /// documentation tell.
    const LEVEL: u32 = 6;

    fn of_level(level: u32) -> Self {
        Self {
            level,
            deflating: Pool::default(),
            inflating: Pool::default(),
        }
    }
}

impl Algorithm for Gzip {
    fn name(&self) -> &'static str {
        NAME
    }

    fn compress(&self, plain: &[u8], most: usize) -> Result<Option<Vec<u8>>> {
        let new = || flate2::Compress::new(Compression::new(self.level), false);
        let mut coded = Vec::with_capacity(most);
        coded.extend_from_slice(&HEADER);
        // The reset of zlib-rs 0.6.8 forgets where in its buffer the bytes began that found no room:
        // the next stream then has a smaller buffer, and panics. So such a state is not kept.
        let fits = self.deflating.lend(new, |deflate| {
            deflate.reset();
            let ended = put_deflated(deflate, plain, &mut coded)?;
            Ok(ended.then_some(()))
        })?;
        if fits.is_none() || coded.len() + TRAILER > most {
            return Ok(None);
        }
        coded.extend_from_slice(&checksum(plain).to_le_bytes());
        coded.extend_from_slice(&(plain.len() as u32).to_le_bytes());
        Ok(Some(coded))
    }

    fn decompress(&self, coded: &[u8], limit: usize) -> Result<Vec<u8>> {
        let (deflated, sum, len) = member(coded)?;
        if len > limit {
            return Err(too_large(NAME, len as u64, limit));
        }
        if len > deflated.len().saturating_mul(GROWTH) {
            return Err(corrupt(NAME, "so few bytes cannot become so many"));
        }
        // One more, to see whether there is more.
        let mut plain = Vec::with_capacity(len + 1);
        let new = || Decompress::new(false);
        let used = self.inflating.lend(new, |inflate| {
            inflate.reset(false);
            let status = inflate.decompress_vec(deflated, &mut plain, FlushDecompress::Finish);
            let status = status.map_err(|error| refused(NAME, error))?;
            Ok((status == Status::StreamEnd).then_some(inflate.total_in()))
        })?;
        if used != Some(deflated.len() as u64) || plain.len() != len {
            return Err(corrupt(NAME, "the content is not as long as it says"));
        }
        if checksum(&plain) != sum {
            return Err(corrupt(NAME, "the checksum does not fit"));
        }
        Ok(plain)
    }

    /// A zlib stream.
    fn compress_for_php(&self, plain: &[u8]) -> Result<Option<Vec<u8>>> {
        compress_zlib(plain).map(Some)
    }

    fn decompress_from_php(&self, coded: &[u8], limit: usize) -> Result<Vec<u8>> {
        decompress_zlib(coded, limit)
    }

    fn at_level(&self, level: u32) -> Result<Arc<dyn Algorithm>> {
        match level {
            1..=9 => Ok(Arc::new(Self::of_level(level))),
            _ => Err(invalid("a level is a number from 1 to 9")),
        }
    }
}

fn compress_zlib(plain: &[u8]) -> Result<Vec<u8>> {
    let mut deflate = flate2::Compress::new(Compression::new(Gzip::LEVEL), true);
    // Five bytes for each block that does not shrink, and the frame.
    let mut coded = Vec::with_capacity(plain.len() + plain.len() / 1000 + 64);
    loop {
        let done = deflate.total_in() as usize;
        if put_deflated(&mut deflate, &plain[done..], &mut coded)? {
            return Ok(coded);
        }
        coded.reserve(PIECE);
    }
}

/// The content of a zlib stream, which does not say how long it is: it is decoded twice, because
/// memory is taken only for what is there.
fn decompress_zlib(coded: &[u8], limit: usize) -> Result<Vec<u8>> {
    let len = len_of_zlib(coded, limit)?;
    let mut plain = Vec::with_capacity(len + 1);
    let mut inflate = Decompress::new(true);
    let status = inflate.decompress_vec(coded, &mut plain, FlushDecompress::Finish);
    match status.map_err(|error| refused(NAME, error))? {
        Status::StreamEnd if plain.len() == len => Ok(plain),
        _ => Err(corrupt(NAME, "the content is not as long as it was")),
    }
}

fn len_of_zlib(coded: &[u8], limit: usize) -> Result<usize> {
    let mut inflate = Decompress::new(true);
    let mut piece = Vec::with_capacity(PIECE);
    loop {
        let (used, made) = (inflate.total_in() as usize, inflate.total_out());
        piece.clear();
        let status = inflate.decompress_vec(&coded[used..], &mut piece, FlushDecompress::None);
        let status = status.map_err(|error| refused(NAME, error))?;
        if inflate.total_out() > limit as u64 {
            return Err(too_large(NAME, inflate.total_out(), limit));
        }
        if status == Status::StreamEnd {
            if inflate.total_in() != coded.len() as u64 {
                return Err(corrupt(NAME, "there is a rest"));
            }
            return Ok(inflate.total_out() as usize);
        }
        if (inflate.total_in() as usize, inflate.total_out()) == (used, made) {
            return Err(corrupt(NAME, "bytes are missing"));
        }
    }
}

/// Whether there was room for all of it.
fn put_deflated(deflate: &mut flate2::Compress, plain: &[u8], coded: &mut Vec<u8>) -> Result<bool> {
    let status = deflate.compress_vec(plain, coded, FlushCompress::Finish);
    let status = status.map_err(|error| failed(NAME, error))?;
    Ok(status == Status::StreamEnd)
}

/// What was deflated, the checksum and the length.
fn member(coded: &[u8]) -> Result<(&[u8], u32, usize)> {
    let known = |header: &[u8; HEADER.len()]| header[..4] == HEADER[..4];
    let rest = match coded.split_first_chunk() {
        Some((header, rest)) if known(header) => rest,
        _ => return Err(corrupt(NAME, "it does not begin as a gzip member of ours")),
    };
    let Some((deflated, trailer)) = rest.split_last_chunk::<TRAILER>() else {
        return Err(corrupt(NAME, "bytes are missing"));
    };
    let [a, b, c, d, e, f, g, h] = *trailer;
    let (sum, len) = (
        u32::from_le_bytes([a, b, c, d]),
        u32::from_le_bytes([e, f, g, h]),
    );
    Ok((deflated, sum, len as usize))
}

fn checksum(plain: &[u8]) -> u32 {
    let mut sum = Crc::new();
    sum.update(plain);
    sum.sum()
}
