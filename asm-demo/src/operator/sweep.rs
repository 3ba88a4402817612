//! `sweep`: removes the sessions whose life is over.

use std::{
    num::{NonZeroU64, NonZeroUsize},
    ops::ControlFlow,
    process::ExitCode,
    time::Instant,
};

use asm_session::{Sessions, SweepProgress};
use clap::Parser;
use serde::Serialize;

use super::{
    Ended, Failure, Target,
    place::Place,
    progress::{Interrupt, Progress, Tell, walk},
    run,
};

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
    let (began, interrupt) = (Instant::now(), Interrupt::listen());
    let from = arguments.from.clone().map(|Place(cursor)| cursor);
    let mut batches = 0;
    let tell = |bar: &Progress, progress: &SweepProgress| {
        bar.show(progress.done, told(progress));
        batches += 1;
        let enough = arguments.batches.is_some_and(|most| batches >= most.get());
        if enough || interrupt.came() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let through = async |tell: Tell<'_, _>| sessions.sweep(from, arguments.batch, tell).await;
    walk(through, tell, |swept| {
        let answer = Answer::of(swept, began);
        arguments.target.answers.print(&answer, &answer.words())?;
        Ok(answer.ended())
    })
    .await
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

/// What there is to say on the way.
fn told(progress: &SweepProgress) -> String {
    let SweepProgress {
        examined, removed, ..
    } = progress;
    format!("{removed} of {examined} removed")
}

#[cfg(test)]
mod tests {
    use super::*;

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
