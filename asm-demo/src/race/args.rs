//! What can be chosen.

use clap::{CommandFactory, Parser, ValueEnum, error::ErrorKind, value_parser};
use serde::{Deserialize, Serialize};

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
/// mode has it. All tasks' first reads come before any write. A request that is told of a conflict
/// is made again. An increment that was acknowledged must be there at the end.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Where the sessions are: `memory`, `file:PATH` for the files of a directory, or the URL of a
    /// Redis server, such as `redis://127.0.0.1:6379`.
    #[arg(long, value_name = "DRIVER", default_value_t = DriverName::Memory)]
    pub(crate) driver: DriverName,

    /// Race through the bare verbs of the driver instead of through sessions.
    #[arg(long)]
    pub(crate) raw: bool,

    /// Which modes to run, separated by commas: of sessions optimistic, on-write, on-open, manual
    /// and off; with --raw locked, optimistic, mixed, lockless and off. [default: all]
    #[arg(
        long = "mode",
        value_enum,
        value_name = "MODES",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    modes: Vec<Mode>,

    /// How a session's counter is changed, separated by commas. [default: all]
    #[arg(
        long = "write",
        value_enum,
        value_name = "WAYS",
        value_delimiter = ',',
        conflicts_with = "raw"
    )]
    writes: Vec<Write>,

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

    /// How many processes the tasks are spread over. More than one need a driver that they share.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1,
        value_parser = value_parser!(u32).range(1..=64)
    )]
    pub(crate) processes: u32,

    /// Print one JSON object a line and mode instead of the table. Waits are in microseconds.
    #[arg(long)]
    pub(crate) json: bool,

    /// What ids, and the sessions that a task turns to, are drawn from. [default: random]
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
}

/// How much locking there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Mode {
    /// Raw: read and lock in one step, waiting in the queue if need be; save and unlock in one.
    Locked,
    /// Read; save if nobody else did; else apply the change to what they saved.
    Optimistic,
    /// Raw: half of the tasks `locked`, half of them `optimistic`.
    Mixed,
    /// Raw: read; add to a field beside the record, without a lock.
    Lockless,
    /// Sessions: read; take the lock before the first change.
    OnWrite,
    /// Sessions: read and lock in one step.
    OnOpen,
    /// Sessions: read; lock and unlock by hand.
    Manual,
    /// Read; save over whatever others saved, as a store without guards does. Loses.
    Off,
}

/// How a request changes the counter of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Write {
    /// Inserts one more than it read.
    Insert,
    /// Leaves the sum to a closure, which runs on whatever is there.
    Update,
    /// Adds one.
    Add,
    /// Reads and inserts in a transaction, which runs again after a conflict.
    Transact,
}

impl Args {
    /// Ends the process with a message if the arguments do not fit each other.
    pub(crate) fn check(&self) {
        if let Some(wrong) = self.wrong() {
            Self::command()
                .error(ErrorKind::ValueValidation, wrong)
                .exit()
        }
    }

    fn wrong(&self) -> Option<String> {
        let (tasks, sessions, requests) = (self.tasks, self.sessions, self.requests);
        if tasks <= sessions {
            return Some(format!(
                "--tasks ({tasks}) must be more than --sessions ({sessions}): nobody would meet"
            ));
        }
        if requests < u64::from(tasks) {
            return Some(format!(
                "--requests ({requests}) must be at least --tasks ({tasks}): each makes one"
            ));
        }
        let processes = self.processes;
        if processes > tasks {
            return Some(format!(
                "--processes ({processes}) must be at most --tasks ({tasks}): each runs one"
            ));
        }
        if processes > 1 && self.driver == DriverName::Memory {
            return Some(format!(
                "--processes ({processes}) cannot share the memory of one; choose another --driver"
            ));
        }
        let foreign = self.modes.iter().find(|mode| !mode.is_of(self.raw))?;
        let with = if self.raw { "without" } else { "with" };
        Some(format!(
            "--mode {} is there only {with} --raw",
            foreign.name()
        ))
    }

    /// The modes to run, in their order and each once.
    pub(crate) fn modes(&self) -> impl Iterator<Item = Mode> {
        let chosen = |mode: &&Mode| self.modes.is_empty() || self.modes.contains(mode);
        let all = Mode::value_variants()
            .iter()
            .filter(|mode| mode.is_of(self.raw));
        all.filter(chosen).copied()
    }

    /// How to change counters, in their order and each once; once and unnamed on the raw driver.
    pub(crate) fn writes(&self) -> Vec<Option<Write>> {
        if self.raw {
            return vec![None];
        }
        let chosen = |write: &&Write| self.writes.is_empty() || self.writes.contains(write);
        Write::value_variants()
            .iter()
            .filter(chosen)
            .copied()
            .map(Some)
            .collect()
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
            Self::OnWrite => "on-write",
            Self::OnOpen => "on-open",
            Self::Manual => "manual",
            Self::Off => "off",
        }
    }

    /// Whether it promises that nothing is lost.
    pub(crate) fn is_safe(self) -> bool {
        self != Self::Off
    }

    /// Whether it is there on the raw driver, or else for sessions.
    const fn is_of(self, raw: bool) -> bool {
        match self {
            Self::Optimistic | Self::Off => true,
            Self::Locked | Self::Mixed | Self::Lockless => raw,
            Self::OnWrite | Self::OnOpen | Self::Manual => !raw,
        }
    }
}

impl Write {
    /// Its name on the command line.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Add => "add",
            Self::Transact => "transact",
        }
    }
}
