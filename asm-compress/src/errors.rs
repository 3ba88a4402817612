//! What goes wrong.

use asm_core::{Error, ErrorKind};

/// The bytes are none that this algorithm made.
#[cfg(any(feature = "gzip", feature = "lzf", feature = "lz4", feature = "snappy"))]
pub(crate) fn corrupt(algorithm: &str, what: &str) -> Error {
    Error::new(ErrorKind::Corrupt, format!("{algorithm}: {what}"))
}

/// The library says so.
#[cfg(any(feature = "gzip", feature = "lz4", feature = "snappy"))]
pub(crate) fn refused(
    algorithm: &str,
    by: impl std::error::Error + Send + Sync + 'static,
) -> Error {
    corrupt(algorithm, "the bytes do not decode").because(by)
}

/// The library could not compress.
#[cfg(any(feature = "gzip", feature = "lz4", feature = "snappy"))]
pub(crate) fn failed(algorithm: &str, by: impl std::error::Error + Send + Sync + 'static) -> Error {
    let what = format!("{algorithm}: compression failed");
    Error::new(ErrorKind::Other, what).because(by)
}

/// The content is longer than may be decoded.
pub(crate) fn too_large(algorithm: &str, len: u64, limit: usize) -> Error {
    let what = format!("{algorithm}: the content has {len} bytes, the limit is {limit}");
    Error::new(ErrorKind::TooLarge, what)
}

/// The settings make no sense.
pub(crate) fn invalid(what: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(ErrorKind::Invalid, what)
}
