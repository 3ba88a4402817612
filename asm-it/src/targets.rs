//! Everything that is fed with bytes from outside, as functions that panic when those do harm: for
//! the fuzz targets, and for the tests that give each of them a bounded number of inputs.
//!
//! Harm is an answer that is believed and forged, or beyond a limit, an error of no kind, something
//! read back that is not what was written, a difference from another implementation.

mod compress;
mod records;

/// A function that hostile bytes are given to.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its file in `fuzz/fuzz_targets` and its folder in `fuzz/seeds`.
    pub name: &'static str,
    /// Feeds it once.
    pub feed: fn(&[u8]),
    /// Inputs that get far, to be edited, beside those in its folder.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The most bytes that an input may make it take at once, beyond its own length and 64 KiB.
    pub limit: fn(&[u8]) -> usize,
}

/// All of them.
pub fn targets() -> impl Iterator<Item = &'static Target> {
    records::TARGETS.iter().chain(compress::TARGETS)
}

impl Target {
    /// The one of this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn named(name: &str) -> &'static Self {
        let target = targets().find(|target| target.name == name);
        target.unwrap_or_else(|| panic!("there is no target {name}"))
    }
}
