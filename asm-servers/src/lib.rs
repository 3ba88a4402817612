//! Real servers for tests and benches: redis (or valkey) alone, under Sentinel, as a Cluster, and a
//! proxy in front of them that counts and makes trouble.
//!
//! | | what it is |
//! |---|---|
//! | [`Server`] | one server: TCP, unix socket, TLS, password, ACL users, memory limit |
//! | [`Sentinels`] | a master, two replicas and three sentinels |
//! | [`Cluster`] | three masters and three replicas |
//! | [`Shared`] | one of each kind, for all processes of a test run |
//! | [`connection`] | what a test says to a server itself |
//! | [`Proxy`] | between a client and a server: counts commands and round trips, loses answers |
//!
//! ```no_run
//! use asm_servers::Server;
//!
//! let server = Server::start()?;
//! let answer: String = server.call(&["PING"])?;
//! assert_eq!(answer, "PONG");
//!
//! server.stop()?; // SIGSTOP: it is there and does not answer
//! server.cont()?;
//! server.kill()?; // SIGKILL: its port refuses
//! server.restart()?; // the same port, the same directory
//! # Ok::<(), asm_servers::Error>(())
//! ```
//!
//! # Whose they are
//!
//! A [`Server`] belongs to the value that it was started as: dropped, it is killed and its directory
//! removed, also when a test panics. For a test process that is killed itself there is a *warden*: a
//! shell that reads from a pipe which this process holds open. It is told the id of each server, and
//! when the pipe ends, for whatever reason, it kills those that are left by their ids and removes
//! their directory. This needs no unsafe code and works on every Unix. A death signal
//! (`PR_SET_PDEATHSIG`) would be bound to the *thread* that started the server, which in a test
//! ends long before the process. What stays open is the moment between the start of a server and
//! the word to the warden: some microseconds.
//!
//! # What it costs
//!
//! A server is there after some 10 ms, a Sentinel group after about a second, and a Cluster after
//! two and a half, because a Cluster takes no writes before that. One case of a suite cannot pay for
//! that, above all where each test has a process of its own (`cargo nextest`). So cases that do their
//! server no harm use [`Shared`]: the first who asks starts it, and the last who is gone ends it.
//!
//! # Time
//!
//! Whatever a function here waits for it has seen: an answer, a role, the state of the Cluster. It
//! looks again every few milliseconds, and gives up after [`PATIENCE`] with an error that shows the
//! end of the server's log. All calls block, so under a load in the same runtime they belong on
//! `spawn_blocking` or a thread of their own.
//!
//! # What must be installed
//!
//! `redis-server`, 7.0 or newer; `valkey-server` is taken where it is missing. Without either every
//! start is [`Error::Missing`], which says how to install it.

mod cluster;
mod connection;
mod error;
mod frames;
mod place;
mod program;
mod proxy;
mod sentinels;
mod server;
mod shared;
mod tls;
mod warden;
mod watch;

pub use cluster::{Cluster, ClusterBuilder, Failover, Migration};
pub use connection::connection;
pub use error::{Error, Result};
pub use program::Program;
pub use proxy::{Command, Counts, Direction, Fate, Proxy};
pub use sentinels::{Sentinels, SentinelsBuilder, Switch};
pub use server::{Server, ServerBuilder};
pub use shared::{Address, Shared};
pub use tls::{Certificate, Certificates};
pub use watch::{PATIENCE, until};
