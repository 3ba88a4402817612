//! `sweep`: removes the sessions whose life is over.

use std::{
    future,
    num::{NonZeroU64, NonZeroUsize},
    ops::ControlFlow,
    process::ExitCode,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use asm_session::{Cursor, Sessions, SweepProgress};
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use super::{Ended, Failure, Target, run};

const EXIT_CODES: &str = "Exit codes:
  0  all that was over is removed
  1  some records could not be read or removed; the rest was looked at
  2  wrong arguments
  3  the sweep could not be run to its end
  4  it was ended early, by --batches or by an interrupt (Ctrl-C); the answer says where to go on";

/// Removes the sessions whose life is over, and what writers that died have left.
///
/// Others may use the sessions meanwhile. None is removed that was touched after it was looked at.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(flatten)]
    target: Target,

    /// How many records to look at in one go, about.
    #[arg(long, value_name = "N", default_value = "1000")]
    batch: NonZeroUsize,

    /// End after so many batches. [default: when it is through]
    #[arg(long, value_name = "N")]
    batches: Option<NonZeroU64>,

    /// Go on where an earlier sweep was ended.
    #[arg(long, value_name = "PLACE")]
    from: Option<Place>,
}

/// A cursor, as it is printed and read.
#[derive(Clone, Debug)]
struct Place(Cursor);

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Answer {
    examined: u64,
    removed: u64,
    failed: u64,
    seconds: f64,
    /// Where to go on, `null` when it is through.
    next: Option<String>,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    run("sweep", &arguments.target, async |sessions| {
        sweep(arguments, sessions).await
    })
}

async fn sweep(arguments: &Arguments, sessions: &Sessions) -> Result<Ended, Failure> {
    let (began, bar) = (Instant::now(), bar());
    let interrupted = interrupted();
    let mut batches = 0;
    let from = arguments.from.clone().map(|Place(cursor)| cursor);
    let swept = sessions.sweep(from, arguments.batch, |progress| {
        show(&bar, progress);
        batches += 1;
        let enough = arguments.batches.is_some_and(|most| batches >= most.get());
        if enough || interrupted.load(Ordering::Relaxed) {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let swept = swept.await?;
    bar.finish_and_clear();
    let answer = Answer::of(swept, began);
    arguments.target.answer(&answer, &answer.words())?;
    Ok(answer.ended())
}

impl Answer {
    fn of(swept: SweepProgress, began: Instant) -> Self {
        Self {
            examined: swept.examined,
            removed: swept.removed,
            failed: swept.failed,
            seconds: began.elapsed().as_secs_f64(),
            next: swept.next.map(|cursor| Place(cursor).to_string()),
        }
    }

    fn ended(&self) -> Ended {
        if self.next.is_some() {
            Ended::Early
        } else if self.failed > 0 {
            Ended::InPart
        } else {
            Ended::Well
        }
    }

    fn words(&self) -> String {
        let Self {
            examined,
            removed,
            failed,
            seconds,
            next,
        } = self;
        let words = format!(
            "{examined} records looked at, {removed} sessions removed, {failed} failed, in {seconds:.1} s"
        );
        match next {
            Some(next) => format!("{words}\nended early; go on with --from {next}"),
            None => words,
        }
    }
}

/// A bar on a terminal, nothing else elsewhere.
fn bar() -> ProgressBar {
    let bar = ProgressBar::new(PARTS);
    let style = ProgressStyle::with_template("{wide_bar} {percent:>3} % {msg} {eta}");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

/// How many parts the bar has.
const PARTS: u64 = 10_000;

fn show(bar: &ProgressBar, progress: &SweepProgress) {
    match progress.done {
        Some(done) => bar.set_position((done * PARTS as f64) as u64),
        None => bar.unset_length(),
    }
    let SweepProgress {
        examined, removed, ..
    } = progress;
    bar.set_message(format!("{removed} of {examined} removed"));
}

/// Whether somebody has pressed Ctrl-C since; a second time ends the process.
fn interrupted() -> Arc<AtomicBool> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let told = Arc::clone(&interrupted);
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_err() {
            return;
        }
        told.store(true, Ordering::Relaxed);
        match tokio::signal::ctrl_c().await {
            Ok(()) => std::process::exit(130),
            Err(_) => future::pending().await,
        }
    });
    interrupted
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Option<Vec<u8>> = text
            .chars()
            .map(|digit| digit.to_digit(16).map(|digit| digit as u8))
            .collect();
        let pairs = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0);
        let bytes = pairs.map(|digits| {
            let pairs = digits.chunks_exact(2);
            pairs.map(|pair| pair[0] << 4 | pair[1]).collect::<Vec<_>>()
        });
        let bytes = bytes.ok_or("a place is what an earlier sweep has printed")?;
        Ok(Self(Cursor(bytes.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_reads_back_and_nothing_else_does() {
        let place = Place(Cursor("3f/00ff".into()));
        let read: Place = place.to_string().parse().expect("ours");
        assert_eq!(read.0, place.0);
        for foreign in ["", "3", "3g", "3f/00", "ääää"] {
            assert!(foreign.parse::<Place>().is_err(), "{foreign:?}");
        }
    }

    #[test]
    fn how_it_ended_is_told_by_what_is_left() {
        let answer = |failed, next: Option<&str>| Answer {
            examined: 9,
            removed: 7,
            failed,
            seconds: 0.5,
            next: next.map(str::to_owned),
        };
        assert_eq!(answer(0, None).ended(), Ended::Well);
        assert_eq!(answer(2, None).ended(), Ended::InPart);
        assert_eq!(answer(2, Some("3f")).ended(), Ended::Early);
        let words = answer(2, Some("3f")).words();
        assert!(words.contains("7 sessions removed") && words.ends_with("--from 3f"));
    }
}
