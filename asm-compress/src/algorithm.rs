//! What an algorithm can do, and which ones are compiled in.

use std::{fmt::Debug, sync::Arc};

use asm_core::{Error, ErrorKind, Result};

use crate::errors::invalid;

/// One way to make bytes fewer.
pub(crate) trait Algorithm: Debug + Send + Sync {
    fn name(&self) -> &'static str;

    /// `None` when it has more than `most` bytes, or is too long for this algorithm.
    fn compress(&self, plain: &[u8], most: usize) -> Result<Option<Vec<u8>>>;

    /// The content, which has at most so many bytes.
    fn decompress(&self, coded: &[u8], limit: usize) -> Result<Vec<u8>>;

    /// What PHP's functions make, where that is something else.
    fn compress_for_php(&self, plain: &[u8]) -> Result<Option<Vec<u8>>> {
        self.compress(plain, usize::MAX)
    }

    /// The content of what PHP's functions made, which has at most so many bytes.
    fn decompress_from_php(&self, coded: &[u8], limit: usize) -> Result<Vec<u8>> {
        self.decompress(coded, limit)
    }

    /// The same, trying as hard as this.
    fn at_level(&self, _level: u32) -> Result<Arc<dyn Algorithm>> {
        Err(invalid(format!("{} has no levels", self.name())))
    }
}

/// Every name that there is, whether compiled in or not.
pub(crate) const NAMES: [&str; 4] = ["gzip", "lzf", "lz4", "snappy"];

type Make = fn() -> Arc<dyn Algorithm>;

const COMPILED_IN: &[(&str, Make)] = &[
    #[cfg(feature = "gzip")]
    ("gzip", || Arc::new(crate::gzip::Gzip::default())),
    #[cfg(feature = "lzf")]
    ("lzf", || Arc::new(crate::lzf::Lzf)),
    #[cfg(feature = "lz4")]
    ("lz4", || Arc::new(crate::lz4::Lz4)),
    #[cfg(feature = "snappy")]
    ("snappy", || Arc::new(crate::snappy::Snappy::default())),
];

/// The algorithm of a known name.
pub(crate) fn compiled_in(name: &str) -> Option<Arc<dyn Algorithm>> {
    let found = COMPILED_IN.iter().find(|(known, _)| *known == name);
    found.map(|(_, make)| make())
}

/// It is known, and not compiled in.
pub(crate) fn missing(kind: ErrorKind, name: &str) -> Error {
    let why = format!("{name} is not compiled in: asm-compress needs its feature {name}");
    Error::new(kind, why)
}
