//! Shows and runs Advanced Session Management.

mod drivers;
mod handoff;
mod observed;
mod operator;
mod race;
mod serve;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Shows and runs Advanced Session Management. Without a command, it is `serve`.
#[derive(Debug, Parser)]
#[command(
    version,
    about,
    args_conflicts_with_subcommands = true,
    after_help = serve::EXIT_CODES
)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: serve::Args,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serves a site on this machine that shows what sessions do.
    Serve(serve::Args),
    /// Lets many tasks count in the same sessions, and counts what is lost.
    Race(race::Args),
    /// Removes the sessions whose life is over.
    Sweep(operator::sweep::Arguments),
    /// Lets requests wait for one lock, and measures how long it takes from one to the next.
    Handoff(handoff::Args),
    /// A process of `race --processes`, told what to do on its standard input.
    #[command(hide = true)]
    RaceProcess,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        None => serve::main(&cli.serve),
        Some(Command::Serve(args)) => serve::main(&args),
        Some(Command::Race(args)) => race::main(&args),
        Some(Command::Sweep(arguments)) => operator::sweep::main(&arguments),
        Some(Command::Handoff(args)) => handoff::main(&args),
        Some(Command::RaceProcess) => race::process(),
    }
}
