//! What php-redis-session-abstract stores, for whoever moves a PHP site over.
//!
//! The library behind the session handlers of Magento and OpenMage (`Cm_RedisSession`) compresses
//! what PHP serialized, and says in the first four bytes with what:
//!
//! | prefix | what follows | in PHP |
//! |---|---|---|
//! | `:gz:` | a zlib stream (RFC 1950), not a gzip one | `gzcompress` |
//! | `:lz:` | an LZF block, without a length | `lzf_compress` |
//! | `:l4:` | the length (4 bytes, little-endian), one LZ4 block | `lz4_compress` |
//! | `:sn:` | a raw Snappy block | `snappy_compress` |
//! | none of these | what PHP serialized, as it is | |
//!
//! ```
//! use asm_compress::{Threshold, cm::{self, Library}};
//! use bytes::Bytes;
//!
//! # fn main() -> asm_core::Result<()> {
//! let session = Bytes::from("cart|a:1:{s:3:\"sku\";s:4:\"A-17\";}".repeat(100));
//! let stored = cm::encode(session.clone(), Library::Gzip, Threshold::at(2048))?;
//! assert!(stored.starts_with(b":gz:"));
//! assert_eq!(Library::of(&stored), Library::Gzip);
//! assert_eq!(cm::decode(stored, 1 << 20)?, session);
//! # Ok(())
//! # }
//! ```
//!
//! # Limits of this form
//!
//! - It cannot mark content as *not* compressed. A session that happens to begin with a prefix is
//!   taken for a compressed one by every reader, PHP's and this one. PHP's own serialization never
//!   begins so (it begins with the name of a variable). [`encode`] compresses such content whatever
//!   the threshold says, and refuses it for [`Library::None`].
//! - It has no checksum, but for zlib's: other damage may decode to other content. Only a [`Compress`](crate::Compress)
//!   inside an envelope, below a seal, is safe from it.
//! - `:lz:` and `:gz:` do not say how long their content is. [`decode`] counts first and decodes then,
//!   so that it takes no more memory than there is content; that costs it twice the time.
//! - PHP stores an empty session when `lzf_compress` fails, which it does for content that does not
//!   shrink. [`encode`] never does; a session that was lost so is an empty one here, too.
//!
//! # lzf
//!
//! Blocks are made and read by this crate. The C library, PHP's extension, and the crate `lzf` read
//! what is made here, and what they make is read here: the tests have blocks of them.

use std::sync::Arc;

use asm_core::{ErrorKind, Result};
use bytes::Bytes;

use crate::{
    Threshold,
    algorithm::{Algorithm, compiled_in, missing},
    errors::{invalid, too_large},
};

/// With what a session was compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Library {
    /// Not at all.
    None,
    /// zlib: `:gz:`.
    Gzip,
    /// LZF: `:lz:`.
    Lzf,
    /// LZ4: `:l4:`.
    Lz4,
    /// Snappy: `:sn:`.
    Snappy,
}

impl Library {
    /// Every one.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Lzf, Self::Lz4, Self::Snappy];

    /// The one that its name stands for in the configuration of PHP: `gzip`, `lzf`, `lz4`, `snappy`
    /// or `none`.
    ///
    /// # Errors
    /// `Invalid` for any other name.
    pub fn from_name(name: &str) -> Result<Self> {
        let named = |library: &Self| library.name() == name;
        let library = Self::ALL.into_iter().find(named);
        library.ok_or_else(|| invalid("a library is gzip, lzf, lz4, snappy or none"))
    }

    /// Its name in the configuration of PHP.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Lzf => "lzf",
            Self::Lz4 => "lz4",
            Self::Snappy => "snappy",
        }
    }

    /// The one that stored bytes begin with.
    #[must_use]
    pub fn of(stored: &[u8]) -> Self {
        let begins = |library: &Self| {
            *library != Self::None && stored.starts_with(library.prefix().as_bytes())
        };
        let library = Self::ALL.into_iter().find(begins);
        library.unwrap_or(Self::None)
    }

    /// What is in front of its bytes.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip => ":gz:",
            Self::Lzf => ":lz:",
            Self::Lz4 => ":l4:",
            Self::Snappy => ":sn:",
        }
    }
}

/// The stored form of a session, compressed from this length on if that makes it shorter.
///
/// # Errors
/// `Invalid` for content that begins with a prefix and is not to be compressed, `Unsupported` for a
/// library that is not compiled in.
pub fn encode(plain: Bytes, library: Library, threshold: Threshold) -> Result<Bytes> {
    let looks_compressed = Library::of(&plain) != Library::None;
    if library == Library::None {
        if looks_compressed {
            return Err(invalid("it begins as what is compressed does"));
        }
        return Ok(plain);
    }
    if !threshold.admits(plain.len()) && !looks_compressed {
        return Ok(plain);
    }
    let coded = algorithm(ErrorKind::Unsupported, library)?.compress_for_php(&plain)?;
    let coded = coded.ok_or_else(|| invalid("it is too long for this library"))?;
    let stored_len = library.prefix().len() + coded.len();
    if stored_len >= plain.len() && !looks_compressed {
        return Ok(plain);
    }
    Ok([library.prefix().as_bytes(), &coded].concat().into())
}

/// The content of a stored session, if that has no more bytes than the limit.
///
/// # Errors
/// `Corrupt` for what does not decode, `TooLarge` over the limit, `Unreadable` for a library that is
/// not compiled in.
pub fn decode(stored: Bytes, limit: usize) -> Result<Bytes> {
    let library = Library::of(&stored);
    if library == Library::None {
        if stored.len() > limit {
            return Err(too_large(library.name(), stored.len() as u64, limit));
        }
        return Ok(stored);
    }
    let coded = &stored[library.prefix().len()..];
    let algorithm = algorithm(ErrorKind::Unreadable, library)?;
    Ok(algorithm.decompress_from_php(coded, limit)?.into())
}

fn algorithm(kind: ErrorKind, library: Library) -> Result<Arc<dyn Algorithm>> {
    let name = library.name();
    compiled_in(name).ok_or_else(|| missing(kind, name))
}
