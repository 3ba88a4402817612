//! What every bench begins and ends with.

use std::{error::Error, process::ExitCode};

use crate::{Options, Report};

/// Measures what the command line asks for, and reports it.
pub fn main(
    name: &str,
    measure: impl FnOnce(&Options, &mut Report) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    match run(measure) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{name}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(
    measure: impl FnOnce(&Options, &mut Report) -> Result<(), Box<dyn Error>>,
) -> Result<(), Box<dyn Error>> {
    let options = Options::read();
    let mut report = Report::new(options.json.as_deref())?;
    measure(&options, &mut report)?;
    Ok(report.end()?)
}
