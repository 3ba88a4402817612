//! Decoders of compressed content, which hostile bytes are given to.
//!
//! A target panics when a sentence does not hold: an answer beyond the limit, an error of no kind,
//! something read back that is not what was written, a difference from another implementation.

mod compress;
mod mutate;

pub use mutate::Mutations;

/// A function that hostile bytes are given to.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder of seeds in `fuzz/seeds` and its file in
    /// `fuzz/fuzz_targets`.
    pub name: &'static str,
    /// Panics when something is wrong.
    pub run: fn(&[u8]),
    /// Inputs that lead far into it, beside those in its folder.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// The most bytes that an input may make it take at once, beyond 64 KiB.
    pub limit: fn(&[u8]) -> usize,
}

/// Every decoder.
pub const TARGETS: &[Target] = compress::TARGETS;

impl Target {
    /// The target of this name.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn named(name: &str) -> &'static Self {
        let target = TARGETS.iter().find(|target| target.name == name);
        target.unwrap_or_else(|| panic!("there is no target {name}"))
    }
}
