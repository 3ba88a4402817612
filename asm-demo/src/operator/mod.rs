//! What operators do to the sessions that are there: a module for each command.
//!
//! - [`Target`]: where the sessions are, and how to answer. Every command has it, but for `copy`, which
//!   has two places.
//! - [`run`]: opens them, runs the command, and makes an exit code of how it ended.
//! - [`Consent`]: asks before something is ended that users would miss.

pub(crate) mod copy;
pub(crate) mod inspect;
pub(crate) mod revoke;
pub(crate) mod stats;
pub(crate) mod sweep;
pub(crate) mod unlock;

mod codecs;
mod place;
mod progress;

use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
    time::Duration,
};

use asm_core::{Driver, Key};
use asm_session::{Lifetimes, Sessions, SessionsBuilder};
use clap::{Args, CommandFactory, error::ErrorKind};
use serde::Serialize;

use crate::{Cli, drivers::DriverName};

/// Where the sessions are, and how to answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// Where the sessions are: `file:PATH` for the files of a directory, or the URL of a Redis server,
    /// with `#PREFIX` behind it unless names there begin with `asm`. Nothing is made that is not there.
    #[arg(long, value_name = "DRIVER")]
    driver: DriverName,

    #[command(flatten)]
    keys: codecs::Keys,

    #[command(flatten)]
    answers: Answers,
}

/// How to answer.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Answers {
    /// Answer with JSON: an object on each line.
    #[arg(long)]
    json: bool,
}

/// How a command ended that could be run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All of it is done.
    Well,
    /// Some of it could not be done, or there was nothing to do it to.
    InPart,
    /// It was told to end before its time.
    Early,
}

/// Why a command could not be run to its end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error(transparent)]
    Session(#[from] asm_session::SessionError),
    #[error(transparent)]
    Driver(#[from] asm_core::Error),
    #[error("cannot talk to you, or to the system: {0}")]
    Output(#[from] io::Error),
}

/// Runs a command on the sessions of its target.
pub(crate) fn run(
    name: &str,
    target: &Target,
    command: impl AsyncFnOnce(&Sessions) -> Result<Ended, Failure>,
) -> ExitCode {
    run_with(name, target, |builder| builder, command)
}

/// The same on sessions that are set up in a certain way.
fn run_with(
    name: &str,
    target: &Target,
    set: impl FnOnce(SessionsBuilder) -> SessionsBuilder,
    command: impl AsyncFnOnce(&Sessions) -> Result<Ended, Failure>,
) -> ExitCode {
    target.driver.check_outlives_the_process();
    in_runtime(name, async {
        let driver = target.driver.existing().await?;
        let builder = target.keys.set(sessions_of(driver)?);
        let sessions = set(builder).build()?;
        command(&sessions).await
    })
}

/// Sessions as their operators see them: those of applications with any settings. An absolute
/// timeout is an application's own, and none here, so that no living session is taken for one that is
/// over.
fn sessions_of(driver: Arc<dyn Driver>) -> asm_session::Result<SessionsBuilder> {
    let lifetimes = Lifetimes::builder().absolute(None).build()?;
    Ok(Sessions::builder(driver).lifetimes(lifetimes))
}

/// Runs a command, and makes an exit code of how it ended.
fn in_runtime(name: &str, command: impl Future<Output = Result<Ended, Failure>>) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let ended = runtime
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(command));
    match ended {
        Ok(Ended::Well) => ExitCode::SUCCESS,
        Ok(Ended::InPart) => ExitCode::from(1),
        Ok(Ended::Early) => ExitCode::from(4),
        Err(failure) => {
            eprintln!("{name}: {failure}");
            ExitCode::from(3)
        }
    }
}

impl DriverName {
    /// Ends the process unless there can be sessions.
    fn check_outlives_the_process(&self) {
        if *self == Self::Memory {
            wrong("the memory of this process has no sessions yet; choose another driver");
        }
    }
}

impl Answers {
    /// Prints what there is to say: as JSON, or for people.
    fn print(self, answer: &impl Serialize, words: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(answer)?)
        } else {
            writeln!(out, "{words}")
        }
    }
}

/// Ends the process: the arguments make no sense.
fn wrong(why: &str) -> ! {
    Cli::command().error(ErrorKind::ValueValidation, why).exit()
}

/// A session, by the public half of its id. A text that is none ends the process: here, and not
/// where the command line is read, so that no error repeats it.
pub(crate) fn handle(text: &str) -> Key {
    parsed(text).unwrap_or_else(|why| wrong(why))
}

/// What is no handle is not repeated by the error: it may be a whole id.
fn parsed(text: &str) -> Result<Key, &'static str> {
    Key::from_hex(text)
        .ok_or("a handle is 32 lowercase hex digits, as logs and lists show it; an id is none")
}

/// Whether what would end something is to be done.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Consent {
    /// Do it without asking.
    #[arg(long, short)]
    yes: bool,
}

impl Consent {
    /// Asks whoever sits at the terminal. Where nobody does, `--yes` must have said so.
    fn to(self, what: &str) -> io::Result<bool> {
        if self.yes {
            return Ok(true);
        }
        if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
            wrong(&format!("{what}: there is nobody to be asked; say --yes"));
        }
        asked(what, &mut io::stdin().lock(), &mut io::stderr().lock())
    }
}

/// Only a yes is one.
fn asked(what: &str, from: &mut impl BufRead, to: &mut impl Write) -> io::Result<bool> {
    write!(to, "{what}? [y/N] ")?;
    to.flush()?;
    let mut answer = String::new();
    from.read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes" | "Yes" | "YES"))
}

/// What is said when it was not wanted.
const NOTHING_DONE: &str = "nothing was done";

/// A time as operators like it: the two largest parts.
fn spelled(time: Duration) -> String {
    let seconds = time.as_secs();
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3600 % 24, "h"),
        (seconds / 60 % 60, "min"),
        (seconds % 60, "s"),
    ];
    let told: Vec<String> = parts
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    match told.is_empty() {
        true => format!("{} ms", time.as_millis()),
        false => told.join(" "),
    }
}

/// Bytes as operators like them.
fn bytes(count: u64) -> String {
    indicatif::BinaryBytes(count).to_string()
}

#[cfg(test)]
mod tests {
    use asm_memory::MemoryDriver;
    use asm_session::Client;
    use asm_testkit::ManualClock;

    use super::*;

    #[tokio::test]
    async fn a_session_that_its_application_lets_live_is_not_over_for_operators() {
        const DAY: Duration = Duration::from_secs(86_400);
        let clock = ManualClock::new();
        let driver = MemoryDriver::builder().clock(Arc::new(clock.clone()));
        let driver: Arc<dyn Driver> = Arc::new(driver.build());
        let lifetimes = Lifetimes::builder()
            .idle(60 * DAY)
            .max(60 * DAY)
            .first(None);
        let lifetimes = lifetimes.absolute(None).build().expect("sound");
        let application = Sessions::builder(Arc::clone(&driver)).lifetimes(lifetimes);
        let application = application.build().expect("sound");
        let mut session = application.create(&Client::default()).expect("randomness");
        session.insert("n", &1).expect("a change");
        session.close().await.expect("a save");
        clock.advance(40 * DAY).await;
        let operators = sessions_of(driver).and_then(SessionsBuilder::build);
        let seen = operators.expect("sound").by_handle(session.handle());
        assert!(seen.stored().await.expect("an answer").is_some());
    }

    #[test]
    fn only_a_yes_is_a_yes() {
        for (answer, meant) in [
            ("y\n", true),
            ("Yes \n", true),
            ("\n", false),
            ("", false),
            ("no\n", false),
            ("yesterday\n", false),
        ] {
            let mut shown = Vec::new();
            let said = asked("End it", &mut answer.as_bytes(), &mut shown);
            assert_eq!(said.expect("it reads"), meant, "{answer:?}");
            assert_eq!(shown, b"End it? [y/N] ");
        }
    }

    #[test]
    fn a_handle_is_told_from_an_id_which_is_not_repeated() {
        assert!(parsed("0123456789abcdef0123456789abcdef").is_ok());
        let id = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJw";
        for wrong in [id, "", "0123456789ABCDEF0123456789ABCDEF"] {
            let why = parsed(wrong).expect_err("no handle");
            assert!(!why.contains(id));
        }
    }

    #[test]
    fn times_are_told_by_their_largest_parts() {
        for (seconds, told) in [
            (0.25, "250 ms"),
            (59.0, "59 s"),
            (61.0, "1 min 1 s"),
            (3600.0, "1 h"),
            (90_000.0, "1 d 1 h"),
            (86_460.0, "1 d"),
        ] {
            assert_eq!(spelled(Duration::from_secs_f64(seconds)), told);
        }
    }
}
