//! Row R1 and rows Z1 to Z10: what must be exactly so, and what must never happen. Tests of the
//! workspace prove it; they are run here, and what they counted is read from what they print.
//!
//! As often as in `./test`, or with `--long` as often as the table of figures asks for.

mod table;
mod tests;

use std::{error::Error, process::ExitCode};

use asm_bench::{Options, Report, Row};
use table::PROOFS;
use tests::Tests;

fn main() -> ExitCode {
    match measure(&Options::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proofs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let wanted = || PROOFS.iter().filter(|proof| options.wants(proof.id));
    let tests = Tests::build(wanted(), options.long)?;
    let mut report = Report::default();
    let mut silent = Vec::new();
    for proof in wanted() {
        let count = tests.run(proof)?;
        // Nothing was tried, so nothing is known.
        if count.tries == 0 && count.violations == 0 {
            silent.push(format!("{} {}", proof.package, proof.target));
            continue;
        }
        let what = format!("{}: {}", proof.what, proof.place());
        report.add(Row::zero(proof.id, what, count.violations, count.tries));
    }
    report.end(options)?;
    match silent[..] {
        [] => Ok(()),
        _ => Err(format!("without a figure: {}", silent.join(", ")).into()),
    }
}
