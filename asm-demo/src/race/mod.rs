//! `race`: many tasks count in the same sessions at once. What was acknowledged must be there.
//!
//! - `args`: what can be chosen.
//! - `course`: who runs when: tasks, sessions, the moment between a read and its write.
//! - `sessions`: what a request does, through sessions.
//! - `raw`: what a request does, through the bare verbs of a driver.
//! - `watched`: the driver under both, which times those who wait for locks.
//! - `team`: this process alone, or several.
//! - `tally`: what is measured.
//! - `report`: the table, the JSON, and the verdict.

mod args;
mod course;
mod raw;
mod report;
mod sessions;
mod tally;
mod team;
mod watched;

use std::{io, process::ExitCode, thread::available_parallelism};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::runtime::Runtime;

pub(crate) use args::Args;
use report::{Report, Row};

/// Why the race could not be run to its end.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Driver(#[from] asm_core::Error),
    #[error(transparent)]
    Session(#[from] asm_session::SessionError),
    #[error("a session of the race is not there any more")]
    Vanished,
    #[error("a session of the race holds something that is no counter")]
    NoCounter,
    #[error("the key of a new session is taken")]
    Taken,
    #[error("this driver has no lockless fields; choose other modes with --mode")]
    NoFields,
    #[error("the processes of this race do not share the sessions of its driver")]
    NotShared,
    #[error("a process of the race has failed")]
    Talk,
    #[error("the race cannot talk to its processes, or to you: {0}")]
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
    let runtime = runtime()?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    let mut report = Report::begin(args, seed, io::stdout())?;
    for mode in args.modes() {
        for write in args.writes() {
            let progress = progress(mode.name(), args.requests);
            let tally = runtime.block_on(team::race(args, seed, mode, write, progress))?;
            report.row(&Row::new(args, seed, mode, write, &tally))?;
        }
    }
    report.end()
}

/// Runs one process's part of a race that several run.
pub(crate) fn process() -> ExitCode {
    let ended = runtime()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(team::take_part()));
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("race: {failure}");
            ExitCode::from(3)
        }
    }
}

/// At least two threads, so that tasks run at the same time and not only in turns.
fn runtime() -> io::Result<Runtime> {
    let threads = available_parallelism().map_or(2, |cores| cores.get().max(2));
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(threads)
        .enable_all()
        .build()
}

/// A bar on a terminal, nothing else elsewhere.
fn progress(mode: &'static str, requests: u64) -> ProgressBar {
    let bar = ProgressBar::new(requests).with_message(mode);
    let style = ProgressStyle::with_template("{msg:>10} {wide_bar} {human_pos}/{human_len} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
