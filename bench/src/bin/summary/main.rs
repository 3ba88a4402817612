//! Puts together what the benches measured: one file of figures; and of a full run tables, plots, and
//! the figures in the README.

mod figures;
mod machine;
mod plots;
mod results;

use std::{
    error::Error,
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

use asm_bench::{Row, read, write};
use clap::Parser;

/// Puts together what the benches measured.
#[derive(Debug, Parser)]
struct Options {
    /// What they wrote.
    rows: Vec<PathBuf>,

    /// Write the figures into this file, an object a row.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,

    /// Write RESULTS.md, the plots, and the tables in the README.
    #[arg(long)]
    keep: bool,

    /// Draw the plots again, of the rows that were kept last.
    #[arg(long)]
    plots: bool,
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
    let (kept, drawn) = (home.join("rows.jsonl"), home.join("plots"));
    if options.plots {
        return plots::draw(&read(&kept)?, &drawn);
    }
    let mut rows = Vec::new();
    for path in &options.rows {
        rows.extend(read(path)?);
    }
    // What a row of the table of figures is measured by stays in the order in which it was measured.
    rows.sort_by(|a, b| figures::place(&a.id).cmp(&figures::place(&b.id)));
    if let Some(path) = &options.json {
        fs::write(path, figures::json(&rows)?)?;
    }
    if options.keep {
        write(&kept, &rows)?;
        plots::draw(&rows, &drawn)?;
        fs::write(home.join("RESULTS.md"), results::page(&rows, home)?)?;
        let readme = home.join("../README.md");
        let text = fs::read_to_string(&readme)?;
        fs::write(readme, results::quoted(&text, &rows)?)?;
    }
    println!("{}", figures::verdict(&rows));
    match figures::missing(&rows)[..] {
        [] => Ok(()),
        ref missing => Err(format!("not measured: {}", missing.join(", ")).into()),
    }
}

/// The rows of an id.
fn of<'a>(rows: &'a [Row], id: &str) -> impl Iterator<Item = &'a Row> {
    rows.iter().filter(move |row| row.id == id)
}
