//! Rows R2 to R8 and L2 to L5: what the redis driver costs, against bare commands and the stores of
//! others, on one server of its own. Rows G2, G5 and G6: what becomes of that with more sessions and
//! callers.

mod bare;
mod cycles;
mod growth;
mod locks;
mod peers;
mod polling;

use std::{error::Error, process::ExitCode};

use asm_bench::{Options, Report};
use asm_servers::Server;
use tokio::runtime::{Builder, Runtime};

fn main() -> ExitCode {
    match measure(&Options::read()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redis: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: &Options) -> Result<(), Box<dyn Error>> {
    let server = Server::start()?;
    let runtime = runtime()?;
    let mut report = Report::default();
    cycles::measure(options, &mut report, &runtime, &server)?;
    peers::measure(options, &mut report, &runtime, &server)?;
    locks::measure(options, &mut report, &runtime, &server)?;
    growth::measure(options, &mut report, &runtime)?;
    Ok(report.end(options)?)
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}
