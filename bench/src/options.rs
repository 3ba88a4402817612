//! What can be chosen.

use std::path::PathBuf;

use clap::Parser;

/// Measures rows of the table of figures, each against its yardstick in the same run.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Only these rows, separated by commas. [default: all]
    #[arg(long, value_name = "IDS", value_delimiter = ',')]
    rows: Vec<String>,

    /// How many rounds.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 7,
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub rounds: u32,

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

    /// Whether this row is to be measured.
    #[must_use]
    pub fn wants(&self, id: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|row| row.eq_ignore_ascii_case(id))
    }
}
