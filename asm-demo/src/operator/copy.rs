//! `copy`: copies sessions to another store, while both are in use.

use std::{num::NonZeroUsize, ops::ControlFlow, path::PathBuf, process::ExitCode, time::Instant};

use asm_compress::Compress;
use asm_session::{CopyProgress, Sessions};
use clap::Parser;
use serde::Serialize;

use super::{
    Answers, Consent, Ended, Failure, NOTHING_DONE, codecs, in_runtime,
    place::Place,
    progress::{Interrupt, Progress, Tell, walk},
    sessions_of, wrong,
};
use crate::drivers::DriverName;

const EXIT_CODES: &str = "Exit codes:
  0  the other store has all of them
  1  some could not be copied, or were left alone because they are in use there; the rest is there
  2  wrong arguments
  3  the copy could not be made to its end
  4  it was ended early, by an interrupt (Ctrl-C); the answer says where to go on";

/// Copies all sessions to another store, while they are in use.
///
/// Ids, lives, subjects, entries and lockless fields are kept; locks stay where they are. To do it
/// again costs little: what has not changed is only read. Copies are to be used in the other store
/// after the last copy only: one that was saved there is left alone, and counted as foreign, but a log
/// out there is undone by the next copy.
///
/// A move: copy until hardly anything changes; stop what writes; copy once more, with
/// --end-copies; start on the other store.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    /// Where the sessions are: `file:PATH`, or the URL of a Redis server, with `#PREFIX` behind it
    /// unless names there begin with `asm`. Nothing is changed there.
    #[arg(long, value_name = "DRIVER")]
    from: DriverName,

    /// Where they are to be, too.
    #[arg(long, value_name = "DRIVER")]
    to: DriverName,

    #[command(flatten)]
    answers: Answers,

    #[command(flatten)]
    consent: Consent,

    /// Then end the copies whose originals are over. It is for the last copy of a move: later, what
    /// lives on in the other store would be ended, too, because it is over where it came from.
    #[arg(long)]
    end_copies: bool,

    /// What records are compressed with: `none`, `gzip`, `lzf`, `lz4` or `snappy`.
    #[arg(long, value_name = "NAME", default_value = "none")]
    compress: String,

    /// The file with the keys that seal the records where they are.
    #[arg(long, value_name = "FILE")]
    from_keys: Option<PathBuf>,

    /// The file with the keys that are to seal the copies.
    #[arg(long, value_name = "FILE")]
    to_keys: Option<PathBuf>,

    /// The keys are split with the clients: bodies are copied as they are.
    #[arg(long, requires = "from_keys", requires = "to_keys")]
    split: bool,

    /// How many records to look at in one go, about.
    #[arg(long, value_name = "N", default_value = "1000")]
    batch: NonZeroUsize,

    /// Go on where an earlier copy was ended.
    #[arg(long, value_name = "PLACE")]
    at: Option<Place>,
}

/// What is printed as JSON.
#[derive(Debug, Serialize)]
struct Answer {
    /// `copy`, or `end-copies`.
    step: &'static str,
    examined: u64,
    copied: u64,
    updated: u64,
    unchanged: u64,
    foreign: u64,
    ended: u64,
    failed: u64,
    seconds: f64,
    /// Where to go on, `null` when it is through.
    next: Option<String>,
}

/// Runs the command.
pub(crate) fn main(arguments: &Arguments) -> ExitCode {
    for driver in [&arguments.from, &arguments.to] {
        driver.check_outlives_the_process();
    }
    if arguments.from == arguments.to {
        wrong("--from and --to are the same place");
    }
    let Ok(compress) = Compress::from_name(&arguments.compress) else {
        wrong("--compress is `none`, `gzip`, `lzf`, `lz4` or `snappy`");
    };
    in_runtime("copy", async {
        let from = sessions_of(arguments.from.existing().await?)?;
        let (keys, split) = (arguments.from_keys.as_deref(), arguments.split);
        let from = codecs::set(from, Compress::none(), keys, split).build()?;
        let to = sessions_of(arguments.to.storage().await?.connect())?;
        let to = codecs::set(to, compress, arguments.to_keys.as_deref(), split).build()?;
        copy(arguments, &from, &to).await
    })
}

async fn copy(arguments: &Arguments, from: &Sessions, to: &Sessions) -> Result<Ended, Failure> {
    let question = "End the copies whose originals are over";
    if arguments.end_copies && !arguments.consent.to(question)? {
        eprintln!("{NOTHING_DONE}");
        return Ok(Ended::InPart);
    }
    let (batch, interrupt) = (arguments.batch, Interrupt::listen());
    let at = arguments.at.clone().map(|Place(cursor)| cursor);
    let copied = step("copy", arguments.answers, &interrupt, async |tell| {
        from.copy_to(to, at, batch, tell).await
    });
    let copied = copied.await?;
    if !arguments.end_copies || copied.ended() == Ended::Early {
        return Ok(copied.ended());
    }
    let ended = step("end-copies", arguments.answers, &interrupt, async |tell| {
        to.end_copies(from, None, batch, tell).await
    });
    let ended = ended.await?;
    Ok(match ended.ended() {
        // What is in use in the other store is no failure of a copy that is over.
        Ended::InPart if ended.failed == 0 => copied.ended(),
        Ended::Well => copied.ended(),
        worse => worse,
    })
}

/// Goes through a store, and prints what became of it.
async fn step(
    name: &'static str,
    answers: Answers,
    interrupt: &Interrupt,
    through: impl AsyncFnOnce(Tell<'_, CopyProgress>) -> asm_session::Result<CopyProgress>,
) -> Result<Answer, Failure> {
    let began = Instant::now();
    let tell = |bar: &_, progress: &_| tell(bar, interrupt, progress);
    walk(through, tell, |progress| {
        let answer = Answer::of(name, progress, began);
        answers.print(&answer, &answer.words())?;
        Ok(answer)
    })
    .await
}

fn tell(bar: &Progress, interrupt: &Interrupt, progress: &CopyProgress) -> ControlFlow<()> {
    let CopyProgress {
        examined,
        copied,
        updated,
        ended,
        ..
    } = progress;
    let changed = copied + updated + ended;
    bar.show(progress.done, format!("{changed} of {examined} written"));
    match interrupt.came() {
        true => ControlFlow::Break(()),
        false => ControlFlow::Continue(()),
    }
}

impl Answer {
    fn of(step: &'static str, progress: CopyProgress, began: Instant) -> Self {
        Self {
            step,
            examined: progress.examined,
            copied: progress.copied,
            updated: progress.updated,
            unchanged: progress.unchanged,
            foreign: progress.foreign,
            ended: progress.ended,
            failed: progress.failed,
            seconds: began.elapsed().as_secs_f64(),
            next: progress.next.map(|cursor| Place(cursor).to_string()),
        }
    }

    fn ended(&self) -> Ended {
        if self.next.is_some() {
            Ended::Early
        } else if self.failed + self.foreign > 0 {
            Ended::InPart
        } else {
            Ended::Well
        }
    }

    fn words(&self) -> String {
        let Self {
            step,
            examined,
            copied,
            updated,
            unchanged,
            foreign,
            ended,
            failed,
            seconds,
            next,
        } = self;
        let words = format!(
            "{step}: {examined} sessions looked at, {copied} copied, {updated} updated, \
             {unchanged} unchanged, {foreign} foreign, {ended} ended, {failed} failed, in {seconds:.1} s"
        );
        match next {
            Some(next) => format!("{words}\nended early; go on with --at {next}"),
            None => words,
        }
    }
}
