//! `race`: many tasks count in the same sessions at once. What was acknowledged must be there.
//!
//! - `args`: what can be chosen.
//! - `course`: who runs when: tasks, sessions, the moment between a read and its write.
//! - `raw`: what a request does, through the verbs of a driver.
//! - `tally`: what is measured.
//! - `report`: the table, the JSON, and the verdict.

mod args;
mod course;
mod raw;
mod report;
mod tally;

use std::{io, process::ExitCode, thread::available_parallelism};

use indicatif::{ProgressBar, ProgressStyle};

pub(crate) use args::{Args, EXIT_CODES};
use course::Course;
use report::{Report, Row};

/// Why the race could not be run to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Driver(#[from] asm_core::Error),
    #[error("a session of the race is not there any more")]
    Vanished,
    #[error("a session of the race holds something that is no counter")]
    NoCounter,
    #[error("the key of a new session is taken")]
    Taken,
    #[error("this driver has no lockless fields; choose other modes with --mode")]
    NoFields,
    #[error("cannot write the report: {0}")]
    Output(#[from] io::Error),
}

/// Runs the race on a runtime of its own.
pub(crate) fn main(args: &Args) -> ExitCode {
    args.check();
    match run(args) {
        Ok(complaints) if complaints.is_empty() => ExitCode::SUCCESS,
        Ok(complaints) => {
            for complaint in complaints {
                eprintln!("race: {complaint}");
            }
            ExitCode::from(1)
        }
        Err(failure) => {
            eprintln!("race: {failure}");
            ExitCode::from(3)
        }
    }
}

/// Runs each mode; answers what went wrong.
fn run(args: &Args) -> Result<Vec<String>, Failure> {
    // At least two threads, so that tasks run at the same time and not only in turns.
    let threads = available_parallelism().map_or(2, |cores| cores.get().max(2));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_time()
        .build()?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut report = Report::begin(args, seed, io::stdout())?;
    for mode in args.modes() {
        let storage = args.driver.storage();
        let course = Course::new(args, seed, progress(mode.name(), args.requests));
        let tally = runtime.block_on(raw::race(mode, &storage, &course))?;
        report.row(&Row::new(args, seed, mode, &tally))?;
    }
    report.end()
}

/// A bar on a terminal, nothing else elsewhere.
fn progress(mode: &'static str, requests: u64) -> ProgressBar {
    let bar = ProgressBar::new(requests).with_message(mode);
    let style = ProgressStyle::with_template("{msg:>10} {wide_bar} {human_pos}/{human_len} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
