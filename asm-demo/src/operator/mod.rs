//! What operators do to the sessions that are there: a module for each command.
//!
//! - [`Target`]: where the sessions are, and how to answer. Every command has it.
//! - [`run`]: opens them, runs the command, and makes an exit code of how it ended.

pub(crate) mod sweep;

use std::{
    io::{self, Write},
    process::ExitCode,
};

use asm_session::Sessions;
use clap::{Args, CommandFactory, error::ErrorKind};
use serde::Serialize;

use crate::{Cli, drivers::DriverName};

/// Where the sessions are, and how to answer.
#[derive(Clone, Debug, Args)]
pub(crate) struct Target {
    /// Where the sessions are: `file:PATH` for the files of a directory, or the URL of a Redis server.
    /// Nothing is made that is not there.
    #[arg(long, value_name = "DRIVER")]
    driver: DriverName,

    /// Answer with one JSON object.
    #[arg(long)]
    json: bool,
}

/// How a command ended that could be run to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All of it is done.
    Well,
    /// Some of it could not be done.
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
    if target.driver == DriverName::Memory {
        let wrong = "the memory of this process has no sessions yet; choose another --driver";
        Cli::command()
            .error(ErrorKind::ValueValidation, wrong)
            .exit()
    }
    let ended = runtime().map_err(Failure::from).and_then(|runtime| {
        runtime.block_on(async {
            let driver = target.driver.existing().await?;
            let sessions = Sessions::builder(driver).build()?;
            command(&sessions).await
        })
    });
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

impl Target {
    /// Prints what there is to say: as JSON, or for people.
    fn answer(&self, answer: &impl Serialize, words: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string(answer)?)
        } else {
            writeln!(out, "{words}")
        }
    }
}

fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
}
