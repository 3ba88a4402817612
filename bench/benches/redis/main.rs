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
    asm_bench::main("redis", measure)
}

fn measure(options: &Options, report: &mut Report) -> Result<(), Box<dyn Error>> {
    let server = Server::start()?;
    let runtime = runtime()?;
    cycles::measure(options, report, &runtime, &server)?;
    peers::measure(options, report, &runtime, &server)?;
    locks::measure(options, report, &runtime, &server)?;
    growth::measure(options, report, &runtime)
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
}
