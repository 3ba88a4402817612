//! What can be chosen.

use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind, value_parser};
use serde::Serialize;

use crate::drivers::DriverName;

/// What an exit code says, for `--help`.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  nothing acknowledged was lost, and `off` showed that there was something to lose
  1  a mode but `off` lost an increment, made one up or refused one; or the race proves nothing:
     `off` lost none, or fewer than half of the tasks were ever under way together
  2  wrong arguments
  3  the race could not be run to its end";

/// Lets many tasks count in the same sessions, and counts what is lost.
///
/// Each request reads a counter, lets the others go on, and writes the counter one higher, as its
/// mode has it. All tasks' first reads come before any write. An increment that was acknowledged
/// must be there at the end.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Where the sessions are.
    #[arg(long, value_enum, value_name = "NAME", default_value_t = DriverName::Memory)]
    pub(crate) driver: DriverName,

    /// Which modes to run, separated by commas. [default: all]
    #[arg(long = "mode", value_enum, value_name = "MODES", value_delimiter = ',')]
    modes: Vec<Mode>,

    /// How many requests each mode makes, in all.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 20_000,
        value_parser = value_parser!(u64).range(1..)
    )]
    pub(crate) requests: u64,

    /// How many sessions they meet in. Fewer than tasks, or nobody would meet.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4,
        value_parser = value_parser!(u32).range(1..)
    )]
    pub(crate) sessions: u32,

    /// How many tasks make requests at the same time, each on a handle of its own.
    #[arg(
        long,
        visible_alias = "overlap",
        value_name = "N",
        default_value_t = 32,
        value_parser = value_parser!(u32).range(2..=100_000)
    )]
    pub(crate) tasks: u32,

    /// Print one JSON object a line and mode instead of the table. Waits are in microseconds.
    #[arg(long)]
    pub(crate) json: bool,

    /// What ids, and the sessions that a task turns to, are drawn from. [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// How a request changes the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// Read and lock in one step, waiting in the queue if need be; save and unlock in one step.
    Locked,
    /// Read; save if nobody else did; else apply the change again to what they saved.
    Optimistic,
    /// Half of the tasks `locked`, half of them `optimistic`.
    Mixed,
    /// Read; add to a field beside the record, without a lock.
    Lockless,
    /// Read; save over whatever others saved, as a store without guards does. Loses.
    Off,
}

impl Args {
    /// Ends the process with a message if the arguments do not fit each other.
    pub(crate) fn check(&self) {
        let (tasks, sessions) = (self.tasks, self.sessions);
        let wrong = if tasks <= sessions {
            format!(
                "--tasks ({tasks}) must be more than --sessions ({sessions}): nobody would meet"
            )
        } else if self.requests < u64::from(tasks) {
            let requests = self.requests;
            format!("--requests ({requests}) must be at least --tasks ({tasks}): each makes one")
        } else {
            return;
        };
        Self::command()
            .error(ErrorKind::ValueValidation, wrong)
            .exit()
    }

    /// The modes to run, in their order and each once.
    pub(crate) fn modes(&self) -> impl Iterator<Item = Mode> {
        let chosen = |mode: &&Mode| self.modes.is_empty() || self.modes.contains(mode);
        Mode::value_variants().iter().filter(chosen).copied()
    }
}

impl Mode {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Locked => "locked",
            Self::Optimistic => "optimistic",
            Self::Mixed => "mixed",
            Self::Lockless => "lockless",
            Self::Off => "off",
        }
    }

    /// Whether it promises that nothing is lost.
    pub(crate) fn is_safe(self) -> bool {
        self != Self::Off
    }
}
