//! Row R1 and rows Z1 to Z10: what must be exactly so, and what must never happen. Tests of the
//! workspace prove it; they are run here, and what they counted is read from what they print.
//!
//! As often as in `./test`, or with `--long` as often as the table of figures asks for.

mod table;
mod tests;

use std::{
    error::Error,
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Command, ExitCode},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use asm_bench::{Made, Options, QUICK, Report, Row};
use table::{PROOFS, Proof};
use tests::{Count, Failure, Tests};
use time::OffsetDateTime;

fn main() -> ExitCode {
    asm_bench::main("proofs", |options, report| {
        measure(options, report).map_err(|error| error as Box<dyn Error>)
    })
}

fn measure(options: &Options, report: &mut Report) -> Result<(), Failure> {
    let mut wanted: Vec<(usize, &Proof)> = PROOFS
        .iter()
        .filter_map(|proof| Some((options.place(proof.id, proof.what)?, proof)))
        .collect();
    wanted.sort_by_key(|(place, _)| *place);
    let (run, left): (Vec<&Proof>, Vec<&Proof>) = wanted
        .into_iter()
        .map(|(_, proof)| proof)
        .partition(|proof| !options.quick || proof.quick.is_some());
    let record = options
        .record
        .as_deref()
        .map(|path| Record::new(path, options));
    let record = record.transpose()?;
    let counts = match &options.from {
        Some(path) => vec![read(path, &run, record.as_ref())?],
        None => tried(options, &run, record.as_ref())?,
    };

    let (mut silent, mut broken) = (Vec::new(), Vec::new());
    for (proof, count) in counts {
        if count.violations > 0 {
            broken.push(proof.part());
        }
        match row(proof, count) {
            Some(row) => report.add(row),
            None => silent.push(proof.part()),
        }
    }
    for proof in left {
        report.leave_out(proof.id, proof.part(), QUICK);
    }
    match (&silent[..], &broken[..]) {
        ([], []) => Ok(()),
        ([], _) => Err(format!("it happened: {}", broken.join("; ")).into()),
        _ => Err(format!("without a figure: {}", silent.join("; ")).into()),
    }
}

/// Nothing when nothing was tried, so that nothing is known.
fn row(proof: &Proof, count: Count) -> Option<Row> {
    let Count { tries, violations } = count;
    let row = Row::zero(proof.id, proof.part(), violations, tries);
    (tries > 0 || violations > 0).then(|| row.wanted(proof.wanted))
}

type Counted = (&'static Proof, Count);

/// What a test printed that was run by itself.
fn read(
    path: &Path,
    proofs: &[&'static Proof],
    record: Option<&Record>,
) -> Result<Counted, Failure> {
    let [proof] = proofs else {
        return Err("what was printed is that of one part: `--rows Z1:memory`".into());
    };
    let count = Count::read(proof.line, &fs::read_to_string(path)?)?;
    keep(record, proof, count)?;
    Ok((proof, count))
}

/// Short ones two at a time where nothing is timed, long ones one after the other in the order in which
/// they are wished for.
fn tried(
    options: &Options,
    proofs: &[&'static Proof],
    record: Option<&Record>,
) -> Result<Vec<Counted>, Failure> {
    let tests = Tests::build(proofs.iter().copied(), options)?;
    let numbered = proofs.iter().copied().enumerate();
    let (alone, together): (Vec<_>, _) =
        numbered.partition(|(_, proof)| proof.alone || options.long);
    let mut counts = run(&tests, &together, 2, record)?;
    counts.extend(run(&tests, &alone, 1, record)?);
    counts.sort_by_key(|(place, _, _)| *place);
    Ok(counts
        .into_iter()
        .map(|(_, proof, count)| (proof, count))
        .collect())
}

type Placed = (usize, &'static Proof);

/// Runs these, so many at a time.
fn run(
    tests: &Tests,
    proofs: &[Placed],
    at_once: usize,
    record: Option<&Record>,
) -> Result<Vec<(usize, &'static Proof, Count)>, Failure> {
    let next = AtomicUsize::new(0);
    let work = || -> Result<Vec<_>, Failure> {
        let mut counts = Vec::new();
        while let Some((place, proof)) = proofs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let count = tests.run(proof)?;
            keep(record, proof, count)?;
            counts.push((*place, *proof, count));
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

fn keep(record: Option<&Record>, proof: &Proof, count: Count) -> Result<(), Failure> {
    match (record, row(proof, count)) {
        // What failed before it counted anything is no figure.
        (Some(record), Some(row)) if count.tries > 0 => record.add(row),
        _ => Ok(()),
    }
}

/// A file that grows with each part that was tried, so that hours are not lost with the last one.
struct Record {
    file: Mutex<File>,
    commit: String,
}

impl Record {
    fn new(path: &Path, options: &Options) -> Result<Self, Failure> {
        let file = File::options().append(true).create(true).open(path)?;
        let commit = options.commit.clone().map_or_else(checked_out, Ok)?;
        Ok(Self {
            file: file.into(),
            commit,
        })
    }

    fn add(&self, mut row: Row) -> Result<(), Failure> {
        row.made = Some(Made {
            date: OffsetDateTime::now_utc().date().to_string(),
            commit: self.commit.clone(),
        });
        eprintln!("{}", row.cells().join(" | "));
        let line = serde_json::to_string(&row)? + "\n";
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(file.write_all(line.as_bytes())?)
    }
}

/// The commit that is built, with a `+` behind it where a crate of the workspace differs from it.
fn checked_out() -> Result<String, Failure> {
    let git = |arguments: &[&str]| -> Result<String, Failure> {
        let home = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let output = Command::new("git")
            .args(arguments)
            .current_dir(home)
            .output()?;
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout)?.trim().to_owned()),
            false => Err("git does not tell the commit: name it with --commit".into()),
        }
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    let changes = git(&[
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        "asm-*",
        "Cargo.lock",
    ])?;
    Ok(commit + if changes.is_empty() { "" } else { "+" })
}
