//! Row R1 and rows Z1 to Z10: what must be exactly so, and what must never happen. Tests of the
//! workspace prove it; they are run here, and what they counted is read from what they print.
//!
//! As often as in `./test`, or with `--long` as often as the table of figures asks for.

mod table;
mod tests;

use std::{
    process::ExitCode,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use asm_bench::{Options, Report, Row};
use table::{PROOFS, Proof};
use tests::{Count, Failure, Tests};

fn main() -> ExitCode {
    match measure(&Options::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("proofs: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Failure> {
    let wanted = || {
        let wanted = PROOFS.iter().filter(|proof| options.wants(proof.id));
        wanted.filter(|proof| !options.quick || proof.quick.is_some())
    };
    let tests = Tests::build(wanted(), options)?;
    // Where nothing is timed, two at a time.
    let (alone, together): (Vec<_>, _) = wanted().enumerate().partition(|(_, proof)| proof.alone);
    let mut counts = run(&tests, &together, 2)?;
    counts.extend(run(&tests, &alone, 1)?);
    counts.sort_by_key(|(place, _, _)| *place);

    let mut report = Report::default();
    let mut silent = Vec::new();
    for (_, proof, count) in counts {
        // Nothing was tried, so nothing is known.
        if count.tries == 0 && count.violations == 0 {
            silent.push(proof.place());
            continue;
        }
        let what = format!("{}: {}", proof.what, proof.place());
        report.add(Row::zero(proof.id, what, count.violations, count.tries));
    }
    report.end(options)?;
    match silent[..] {
        [] => Ok(()),
        _ => Err(format!("without a figure: {}", silent.join("; ")).into()),
    }
}

type Placed = (usize, &'static Proof);
type Counted = (usize, &'static Proof, Count);

/// Runs these, so many at a time.
fn run(tests: &Tests, proofs: &[Placed], at_once: usize) -> Result<Vec<Counted>, Failure> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<Counted>, Failure> {
        let mut counts = Vec::new();
        while let Some((place, proof)) = proofs.get(next.fetch_add(1, Ordering::Relaxed)) {
            counts.push((*place, *proof, tests.run(proof)?));
        }
        Ok(counts)
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        let mut counts = Vec::new();
        for worker in workers {
            counts.extend(worker.join().expect("a worker does not panic")?);
        }
        Ok(counts)
    })
}
