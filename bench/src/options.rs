//! What can be chosen.

use std::path::PathBuf;

use clap::Parser;

/// Measures rows of the table of figures, each against its yardstick in the same run.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Only these rows, separated by commas, as `R3`; of what must not happen `Z1:files` is the part
    /// in whose words "files" stands. [default: all]
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

    /// What is counted is added to this file, too, as soon as it is.
    #[arg(long, value_name = "FILE", requires = "long")]
    pub record: Option<PathBuf>,

    /// What is counted is read from this file, into which the test of one part wrote what it printed.
    #[arg(long, value_name = "FILE", requires = "record", requires = "commit")]
    pub from: Option<PathBuf>,

    /// The commit that was run. [default: the one that is checked out]
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,

    /// What a child process of this program measures.
    #[arg(long, hide = true)]
    pub child: Option<String>,

    /// What `cargo bench` says to every program.
    #[arg(long, hide = true)]
    bench: bool,
}

/// Why a row is left out by `--quick`.
pub const QUICK: &str = "left out of a quick run";

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

    /// How many sessions there are along a curve, which ends with so many. What is beyond a quick run
    /// is left out.
    pub fn sizes(&self, last: u32, left_out: impl FnMut(u32)) -> Vec<u32> {
        let sizes = [1_000, 10_000, 100_000, 1_000_000];
        let sizes = sizes.into_iter().filter(|size| *size <= last);
        self.along(sizes, |size| size <= 10_000, left_out)
    }

    /// How many callers there are along a curve. What is beyond a quick run is left out.
    pub fn callers(&self, left_out: impl FnMut(u32)) -> Vec<u32> {
        let callers = [1, 2, 4, 16, 64, 256];
        self.along(
            callers.into_iter(),
            |callers| [1, 16, 256].contains(&callers),
            left_out,
        )
    }

    fn along(
        &self,
        all: impl Iterator<Item = u32>,
        quick: impl Fn(u32) -> bool,
        left_out: impl FnMut(u32),
    ) -> Vec<u32> {
        let (here, beyond): (Vec<_>, Vec<_>) = all.partition(|at| !self.quick || quick(*at));
        beyond.into_iter().for_each(left_out);
        here
    }

    /// Whether this row is to be measured.
    #[must_use]
    pub fn wants(&self, id: &str) -> bool {
        self.place(id, "").is_some()
    }

    /// Which of the wishes this part of a row is, if it is any.
    #[must_use]
    pub fn place(&self, id: &str, what: &str) -> Option<usize> {
        if self.rows.is_empty() {
            return Some(0);
        }
        self.rows
            .iter()
            .position(|wish| match wish.split_once(':') {
                Some((wish, word)) => wish.eq_ignore_ascii_case(id) && what.contains(word),
                None => wish.eq_ignore_ascii_case(id),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_chosen_by_id_or_part() {
        let options = |rows: &[&str]| {
            Options::parse_from(["bench"].iter().chain(rows).copied().collect::<Vec<_>>())
        };
        assert!(options(&[]).wants("R2"));
        let some = options(&["--rows", "z9,Z1:files"]);
        assert!(some.wants("Z9") && !some.wants("Z1") && !some.wants("Z2"));
        assert_eq!(some.place("Z9", "edits"), Some(0));
        assert_eq!(some.place("Z1", "lost updates, files"), Some(1));
        assert_eq!(some.place("Z1", "lost updates, redis"), None);
    }
}
