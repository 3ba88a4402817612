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
    asm_bench::main("memory", measure)
}

fn measure(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    if let Some(contender) = &options.child {
        return size::child(contender);
    }
    speed::rows(options, report)?;
    size::row(options, report)?;
    pause::row(options, report)?;
    growth::rows(options, report)
}
