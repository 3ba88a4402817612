//! `serve`: a site on this machine that shows what sessions do.
//!
//! - `site`: what all pages share, the layers around them.
//! - `guard`: what a request must be, and what every response says.
//! - `pages`: one module for each step; `frame`: what all of them have; `words`: answers of one
//!   sentence; `assets`: style and script.
//! - `runs`: requests that are sent together, by the `visitor`; `lane`: what one of them did, as the
//!   driver saw it; `picture`: how that is drawn.
//! - `vault`: sessions whose records are looked at.

mod assets;
mod frame;
mod guard;
mod lane;
mod pages;
mod picture;
mod runs;
mod site;
mod vault;
mod visitor;
mod words;

use std::{
    future::IntoFuture,
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use clap::Parser;
use tokio::{net::TcpListener, sync::watch};

use crate::drivers::DriverName;
use site::Site;
use visitor::Visitor;

/// What an exit code says, for `--help`.
pub(crate) const EXIT_CODES: &str = "Exit codes:
  0  it was ended, by an interrupt (Ctrl-C) or a request to terminate
  2  wrong arguments
  3  it could not be served: the port is taken, or the store is out of reach";

/// How long requests that are under way may take when it is to end.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves a site on this machine that shows what sessions do: log in, 20 requests at once in each
/// mode, ids that are renewed under fire, devices, live changes, locks, records as they are stored.
///
/// It listens on the loopback interface only, and ends with Ctrl-C.
#[derive(Clone, Debug, Parser)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct Args {
    /// Where the sessions are: `memory`, `file:PATH` for the files of a directory, or the URL of a
    /// Redis server, such as `redis://127.0.0.1:6379`.
    #[arg(long, value_name = "DRIVER", default_value_t = DriverName::Memory)]
    driver: DriverName,

    /// The port to listen on; 0 for any that is free.
    #[arg(long, value_name = "PORT", default_value_t = 7878)]
    port: u16,
}

/// Why it could not be served.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("the store: {0}")]
    Driver(#[from] asm_core::Error),
    #[error("the settings of the site: {0}")]
    Unsound(#[from] site::Unsound),
    #[error(
        "port {0} is taken by another program; choose another one with --port, or any that is free \
         with --port 0"
    )]
    Taken(u16),
    #[error("port {0} is not allowed to this user; choose one above 1023 with --port")]
    Denied(u16),
    #[error("the network, or the terminal: {0}")]
    Io(#[from] io::Error),
}

/// Serves on a runtime of its own.
pub(crate) fn main(args: &Args) -> ExitCode {
    let served = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(Failure::from)
        .and_then(|runtime| runtime.block_on(serve(args)));
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("serve: {failure}");
            ExitCode::from(3)
        }
    }
}

async fn serve(args: &Args) -> Result<(), Failure> {
    let listener = listen(args.port).await?;
    let address = listener.local_addr()?;
    let driver = args.driver.storage().await?.connect();
    let (stop, stopped) = watch::channel(false);
    let visitor = Visitor { site: address };
    let site = Site::new(driver, args.driver.to_string(), visitor, stopped)?;
    let interrupts = Interrupts::new()?;
    announce(address, &args.driver)?;
    let router = site.router();
    let app = router.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(listener, app).with_graceful_shutdown(async move {
        site.stopped().await;
    });
    tokio::select! {
        served = served.into_future() => Ok(served?),
        () = end(interrupts, stop) => Ok(()),
    }
}

async fn listen(port: u16) -> Result<TcpListener, Failure> {
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    bound.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => Failure::Taken(port),
        io::ErrorKind::PermissionDenied => Failure::Denied(port),
        _ => Failure::Io(error),
    })
}

fn announce(address: SocketAddr, driver: &DriverName) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "http://{address}/ (driver {driver}; Ctrl-C ends it)")?;
    out.flush()
}

/// Lets everything end that is under way, once it is told to; after a while, or when it is told
/// again, it waits no more.
async fn end(mut interrupts: Interrupts, stop: watch::Sender<bool>) {
    interrupts.next().await;
    let _ = stop.send(true);
    let _ = tokio::time::timeout(PATIENCE, interrupts.next()).await;
}

/// Ctrl-C, and on Unix what service managers send.
/// From when it is made, none of them ends the process by itself.
struct Interrupts {
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

impl Interrupts {
    #[cfg(unix)]
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
        })
    }

    #[cfg(not(unix))]
    #[expect(clippy::unnecessary_wraps, reason = "elsewhere it may fail")]
    fn new() -> io::Result<Self> {
        Ok(Self {})
    }

    #[cfg(unix)]
    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    #[cfg(not(unix))]
    async fn next(&mut self) {
        let _ = tokio::signal::ctrl_c().await;
    }
}
