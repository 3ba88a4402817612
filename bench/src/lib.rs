//! What ASM costs, measured against yardsticks in the same run.
//!
//! Machines are noisy, so a figure counts only as a ratio: contenders take turns, a few hundred
//! milliseconds each, and the ratio is taken within each round. Medians of the rounds are reported,
//! with the least and the greatest beside them.

mod burst;
mod callers;
mod cpu;
mod given;
mod options;
mod program;
mod report;
mod rounds;
mod row;
mod rss;
mod spread;

pub use burst::{Burst, Turn};
pub use callers::{Done, callers};
pub use cpu::{cpu_time, thread_cpu_time};
pub use given::{entries, key, op, stamp};
pub use options::{Options, QUICK};
pub use program::main;
pub use report::{Gap, Measured, Report, write};
pub use rounds::{cpu_seconds_for_one, rounds, seconds_for_one, try_rounds};
pub use row::{Goal, HEADS, Made, Point, Row, Unit, Verdict};
pub use rss::resident;
pub use spread::{Spread, quantile};
