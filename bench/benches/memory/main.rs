//! Rows M1 to M4: what the memory driver costs. Rows G1, G4 and G7: what becomes of that with more
//! sessions and callers.

mod contenders;
mod growth;
mod pause;
mod size;
mod speed;

use std::{error::Error, process::ExitCode};

use asm_bench::{Options, Report};

fn main() -> ExitCode {
    let options = Options::read();
    let done = match &options.child {
        Some(contender) => size::child(contender),
        None => measure(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("memory: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let mut report = Report::default();
    speed::rows(options, &mut report)?;
    size::row(options, &mut report)?;
    pause::row(options, &mut report)?;
    growth::rows(options, &mut report)?;
    Ok(report.end(options)?)
}
