//! One conformance suite for every session driver, and the tools to test with.
//!
//! - [`conformance!`] gives a driver one named test for each case of the contract; its author
//!   writes a [`Harness`].

pub mod cases;
pub mod expect;
pub mod given;

mod case;
mod conformance;
mod harness;
mod run;

pub use case::{CASES, Case, Facet, Needs, SENTENCES};
pub use harness::Harness;
pub use run::{Failure, Suite, Way};
