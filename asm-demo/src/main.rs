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
    /// Shows what there is to know about sessions, and who holds their locks.
    Inspect(operator::inspect::Arguments),
    /// Ends a grant of a session's lock by force.
    Unlock(operator::unlock::Arguments),
    /// Ends sessions, for everybody and at once.
    Revoke(operator::revoke::Arguments),
    /// Counts the sessions that are there: of what kind, how large, how long they live.
    Stats(operator::stats::Arguments),
    /// Copies all sessions to another store, while both are in use.
    Copy(operator::copy::Arguments),
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
        Some(Command::Inspect(arguments)) => operator::inspect::main(&arguments),
        Some(Command::Unlock(arguments)) => operator::unlock::main(&arguments),
        Some(Command::Revoke(arguments)) => operator::revoke::main(&arguments),
        Some(Command::Stats(arguments)) => operator::stats::main(&arguments),
        Some(Command::Copy(arguments)) => operator::copy::main(&arguments),
        Some(Command::Sweep(arguments)) => operator::sweep::main(&arguments),
        Some(Command::Handoff(args)) => handoff::main(&args),
        Some(Command::RaceProcess) => race::process(),
    }
}
