//! Puts together what the benches measured, and what longer runs counted: one file of figures; and of
//! a sound run that is to be kept tables, plots, and the figures in the README.

mod figures;
mod machine;
mod plots;
mod results;
mod run;

use std::{
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use asm_bench::{Measured, Row, write};
use clap::{Parser, ValueEnum};

use crate::run::Run;

/// Puts together what the benches measured.
#[derive(Debug, Parser)]
struct Options {
    /// What they wrote.
    rows: Vec<PathBuf>,

    /// Write the figures into this file, an object a row.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// What kind of run it was.
    #[arg(long, value_enum, default_value_t)]
    kind: Kind,

    /// A bench that failed.
    #[arg(long, value_name = "BENCH")]
    failed: Vec<String>,

    /// The server that was measured.
    #[arg(long, value_name = "PROGRAM", default_value = "redis-server")]
    server: PathBuf,

    /// Draw the plots again, of the rows that were kept last.
    #[arg(long)]
    plots: bool,
}

/// What kind of run it was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// All as often as asked for.
    #[default]
    Full,
    /// What must not happen as often as in `./test`.
    Bounded,
    /// Of fewer and shorter rounds, and not kept.
    Quick,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("summary: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let home = Path::new(env!("CARGO_MANIFEST_DIR"));
    if options.plots {
        return plots::draw(&rows(&home.join("rows.jsonl"))?, &home.join("plots"));
    }
    let mut measured = Measured::default();
    for path in &options.rows {
        measured.read(path)?;
    }
    let (longer, parts) = (rows(&home.join("zeros.jsonl"))?, home.join("parts"));
    let run = Run::of(
        measured,
        &longer,
        &run::read_parts(&parts)?,
        &options.failed,
    );
    if let Some(path) = &options.json {
        fs::write(path, figures::json(&run)?)?;
    }
    println!("{}", figures::verdict(&run));
    if options.kind == Kind::Quick {
        println!("a quick run judges speed by three short rounds, where five are asked for");
    }
    if !run.wrong.is_empty() {
        return Err(format!("nothing is kept\n  {}", run.wrong.join("\n  ")).into());
    }
    if options.kind != Kind::Quick {
        keep(&run, home, options)?;
        run::write_parts(&parts, &run.parts())?;
    }
    Ok(())
}

fn keep(run: &Run, home: &Path, options: &Options) -> Result<(), Box<dyn Error>> {
    let machine = machine::lines(home, &options.server)?;
    let page = results::page(run, options.kind, &machine)?;
    let readme = home.join("../README.md");
    let text = results::quoted(&fs::read_to_string(&readme)?, &run.rows)?;
    plots::draw(&run.rows, &home.join("plots"))?;
    write(&home.join("rows.jsonl"), &run.rows)?;
    fs::write(home.join("RESULTS.md"), page)?;
    Ok(fs::write(readme, text)?)
}

/// The rows in a file.
fn rows(path: &Path) -> io::Result<Vec<Row>> {
    let mut measured = Measured::default();
    measured.read(path)?;
    Ok(measured.rows)
}

/// The rows of an id.
fn of<'a>(rows: &'a [Row], id: &str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.id == id)
}
