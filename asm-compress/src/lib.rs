//! Session records made smaller.
//!
//! [`Compress`] is a codec: `Sessions::builder(..).codec(Compress::lz4())` writes through it, and
//! reads whatever any algorithm wrote that is compiled in, so that a live store is switched from one
//! to another, to another threshold, or to none, by one line of configuration and with nothing lost.
//!
//! ```
//! use asm_compress::{Compress, Threshold};
//!
//! # fn main() -> asm_core::Result<()> {
//! let codec = Compress::from_name("gzip")?
//!     .level(9)?
//!     .threshold(Threshold::at(4096));
//! # Ok(())
//! # }
//! ```
//!
//! # Which one
//!
//! LZ4 or Snappy where time counts, gzip where memory counts, LZF where others write it. The README
//! has a table of all on carts, profiles and PHP's sessions of 1 to 64 KiB, which the bench `compress`
//! measures. Of a cart of 8 KiB:
//!
//! | | times smaller | µs to write | µs to read |
//! |---|---|---|---|
//! | LZ4 | 2.72 | 5 | 2 |
//! | Snappy | 2.86 | 5 | 2 |
//! | LZF | 2.81 | 8 | 2 |
//! | gzip, level 1 | 3.08 | 12 | 8 |
//! | gzip, level 6 | 4.50 | 35 | 9 |
//! | gzip, level 9 | 4.55 | 49 | 9 |
//!
//! Below 2 KiB none is worth it, so smaller content is stored as it is unless [`Threshold`] says
//! otherwise, and so is content that would not shrink ([`Ratio`]).
//!
//! # Why zlib-rs, at level 6
//!
//! gzip is made by flate2 on zlib-rs, which is Rust and needs no C compiler. Measured beside
//! miniz_oxide and C's zlib, without header and checksum, on a cart of 8 KiB: times smaller (µs to
//! write / to read):
//!
//! | level | zlib-rs | miniz_oxide | C zlib |
//! |---|---|---|---|
//! | 1 | 3.11 (9.5 / 5.5) | 3.56 (15.1 / 9.6) | 3.93 (16.2 / 7.1) |
//! | 3 | 4.26 (27.1 / 6.6) | 4.24 (29.9 / 7.9) | 4.09 (17.3 / 7.0) |
//! | 5 | 4.53 (30.5 / 6.1) | 4.52 (38.6 / 7.5) | 4.42 (27.4 / 6.6) |
//! | 6 | 4.55 (31.7 / 6.1) | 4.58 (50.7 / 7.5) | 4.49 (32.7 / 6.5) |
//! | 7 | 4.68 (41.8 / 5.9) | 4.60 (55.3 / 7.4) | 4.59 (40.1 / 6.4) |
//! | 9 | 4.60 (43.5 / 6.0) | 4.60 (53.7 / 7.5) | 4.62 (50.2 / 6.4) |
//!
//! zlib-rs reads fastest of all, and records are read more often than written; it writes as fast as C
//! from 8 KiB on, and faster than miniz_oxide. Level 6 is where more time stops to buy much: level 7
//! takes a third more for 3 %. Level 1 is a poor bargain beside LZ4.
//!
//! # Stored forms
//!
//! | name | after the envelope | made by |
//! |---|---|---|
//! | `gzip` | one member of RFC 1952 without name or comment; any gzip tool reads it | flate2 on zlib-rs |
//! | `lzf` | the length (4 bytes, little-endian), one LZF block | this crate |
//! | `lz4` | the length (4 bytes, little-endian), one LZ4 block | lz4_flex |
//! | `snappy` | one raw Snappy block, which begins with its length | snap |
//!
//! # Hostile bytes
//!
//! A store is not trusted. Each decoder compares the length that the bytes claim with what may be
//! decoded, and with what so few bytes can become at all, before it takes memory, and the real
//! length after. What was found in the libraries, and how they are called because of it:
//!
//! - `lz4_flex::block::decompress_size_prepended` takes as much memory as four bytes claim: five
//!   bytes ask for 4 GiB. `ff ff ff ff 00` decodes to nothing, without an error. Here the length is
//!   read by us, the room is ours, and what was decoded must fill it.
//! - `snap::raw::Decoder::decompress_vec` does the same with six bytes. Here the length is asked for
//!   first, and the room is ours.
//! - `flate2` neither limits what it writes nor believes in a length. Here it is given as much room
//!   as the trailer says and the limit allows; the checksum and the length of the trailer are
//!   compared by us.
//! - The crate `lzf` panics while it compresses some content (an index out of bounds, found by a
//!   fuzzer), fails for content that does not shrink, and is given up by its author. The block is
//!   simple, so it is [written here](mod@cm#lzf), without unsafe code; that crate is what the tests
//!   compare with, each side reading the other's blocks.
//!
//! # PHP
//!
//! [`cm`] reads and writes what php-redis-session-abstract stores, for whoever moves a site over.
//!
//! # Features
//!
//! `gzip`, `lzf`, `lz4` and `snappy`, all on by default. A record made by one that is not compiled
//! in is refused with an error that names it, and left as it is.

pub mod cm;

mod algorithm;
#[cfg(any(feature = "lz4", feature = "lzf"))]
mod claim;
mod compress;
mod counters;
mod errors;
#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "lzf")]
mod lzf;
#[cfg(any(feature = "gzip", feature = "snappy"))]
mod pool;
mod settings;
#[cfg(feature = "snappy")]
mod snappy;

pub use compress::Compress;
pub use counters::Counters;
pub use settings::{Ratio, Threshold};
