//! Tests that need several crates at once: each codec over each driver.
//!
//! This crate is private. What it has to offer is in `tests/`; here is what they share with the fuzz
//! targets: every codec that there is, by name, and what hostile bytes must not do
//! ([`Target`]).

mod chains;
mod mutations;
mod stored;
mod targets;

pub use chains::{COMPRESSORS, Chain, SEALS, all as all_chains, key, ring};
pub use mutations::Mutations;
pub use stored::{read, replace};
pub use targets::{Target, targets};
