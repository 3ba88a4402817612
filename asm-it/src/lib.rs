//! Tests that need several crates at once: each codec over each driver.
//!
//! This crate is private. What it has to offer is in `tests/`; here is what they share with the fuzz
//! targets: every codec that there is, by name, and what hostile bytes must not do.

pub mod decoders;

mod chains;
mod hostile;
mod showing;

pub use chains::{COMPRESSORS, Chain, SEALS, all as all_chains, key, ring};
pub use hostile::{TARGETS, Target, feed};
pub use showing::Showing;
