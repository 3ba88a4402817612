//! One conformance suite for every session driver, and the tools to test with.
//!
//! - [`conformance!`] gives a driver one named test for each case of the contract; its author
//!   writes a [`Harness`].
//! - [`codec_conformance!`] does the same for a codec; [`codecs`] tells what it takes.
//! - [`ManualClock`] is time that a test moves by hand, [`WrongClock`] a machine's that is off.
//! - [`Layer`] makes a driver that differs from the one inside in a verb or two; [`Counting`],
//!   [`Chaos`] and [`Showing`] are made with it.
//! - [`Log`] keeps what a thread logs.
//! - [`history`] tells of what many requests did whether all of it can have been right.
//! - [`cancel_at`] drops a future at its n-th await, [`count_awaits`] tells how many there are.
//!
//! The chapter [`writing_a_driver`] tells how to write one, and how to run the suite on it.
//!
//! # For tests only
//!
//! A driver depends on this crate as a dev-dependency. Applications that test code of their own
//! against a troubled store may use the tools, too.

pub mod cases;
pub mod codecs;
pub mod expect;
pub mod given;
pub mod history;
pub mod model;
pub mod mutants;
pub mod sessions;

mod canaries;
mod cancel;
mod case;
mod chaos;
mod clock;
mod conformance;
mod contract;
mod counting;
mod harness;
mod layer;
mod log;
mod run;
mod showing;
mod table;
mod together;
mod waiting;

pub use cancel::{cancel_at, count_awaits};
pub use case::{CASES, Case, Facet, Needs, SENTENCES};
pub use chaos::{Chaos, Fault, Odds};
pub use clock::{ManualClock, WrongClock};
pub use contract::{CONTRACT, Promise};
pub use counting::{Calls, Counting};
pub use harness::Harness;
pub use layer::{Call, Layer, Layered, Verb};
pub use log::{Line, Log};
pub use run::{Failure, Suite, Way};
pub use showing::Showing;
pub use table::contract_table;

#[doc = include_str!("../docs/writing-a-driver.md")]
pub mod writing_a_driver {}
