//! What can be chosen.

use std::path::PathBuf;

use clap::Parser;

/// Measures rows of the table of figures, each against its yardstick in the same run.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Only these rows, separated by commas. [default: all]
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    rows: Vec<String>,

    /// How many rounds. [default: 7, or 3 when it is to be quick]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    rounds: Option<u32>,

    /// Few rounds, short ones, and no curve beyond 10,000.
    #[arg(long)]
    pub quick: bool,

    /// What is counted is tried as often as the table of figures asks for, which takes hours.
    #[arg(long)]
    pub long: bool,

    /// Write the rows into this file too, as one JSON object a line.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// What a child process of this program measures.
    #[arg(long, hide = true)]
    pub child: Option<String>,

    /// What `cargo bench` says to every program.
    #[arg(long, hide = true)]
    bench: bool,
}

impl Options {
    /// Those of the command line.
    #[must_use]
    pub fn read() -> Self {
        Self::parse()
    }

    /// How many rounds.
    #[must_use]
    pub fn rounds(&self) -> u32 {
        self.rounds.unwrap_or(if self.quick { 3 } else { 7 })
    }

    /// How many sessions there are along a curve, which ends with so many.
    #[must_use]
    pub fn sizes(&self, last: u32) -> Vec<u32> {
        let last = if self.quick { last.min(10_000) } else { last };
        let sizes = [1_000, 10_000, 100_000, 1_000_000];
        sizes.into_iter().filter(|size| *size <= last).collect()
    }

    /// How many callers there are along a curve.
    #[must_use]
    pub fn callers(&self) -> Vec<u32> {
        let callers: &[u32] = if self.quick {
            &[1, 16, 256]
        } else {
            &[1, 2, 4, 16, 64, 256]
        };
        callers.to_vec()
    }

    /// Whether this row is to be measured.
    #[must_use]
    pub fn wants(&self, id: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| row.eq_ignore_ascii_case(id))
    }
}
