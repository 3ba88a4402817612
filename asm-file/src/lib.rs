//! Sessions in files, shared by the processes of one machine.
//!
//! For small sites, tools and tests that want no server, and for whoever needs sessions to survive
//! a restart. Several processes on one root behave as several handles do; every facet is there:
//! lockless fields, change feed, subject index, sweep. Linux only: it uses `flock` on directories,
//! inotify, pidfds and `/proc`.
//!
//! ```
//! use asm_core::{Create, Epoch, Key, Open, Opened, OpId, Proof, Proofs, SessionStore, Stamp};
//! use asm_file::FileDriver;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> asm_core::Result<()> {
//! # let place = tempfile::tempdir().expect("a directory");
//! # let root = place.path().join("sessions");
//! let driver = FileDriver::open(&root)?;
//! let key = Key::from_bytes([1; 16]);
//! driver.create(&key, Create {
//!     op: OpId::from_bytes([1; 8]),
//!     resend: false,
//!     stamp: Stamp {
//!         epoch: Epoch::new(1),
//!         proofs: Proofs { current: Proof::from_bytes([1; 16]), pending: None },
//!     },
//!     data: "cart".into(),
//!     ttl: Duration::from_secs(3600),
//!     lock: None,
//! }).await?;
//!
//! // After a restart, or in another process:
//! let driver = FileDriver::open(&root)?;
//! let Opened::Found { snapshot, .. } = driver.open(&key, Open { lock: None }).await? else {
//!     panic!("it lives for an hour")
//! };
//! assert_eq!(&snapshot.data[..], b"cart");
//! # Ok(())
//! # }
//! ```
//!
//! # What survives what
//!
//! | [`Durability`] | the end of a process (`kill -9`, panic) | the end of the machine (power, kernel) |
//! |---|---|---|
//! | `Atomic` | everything acknowledged | a session is what it was before some of its last changes, or is gone (torn, or never there); a deleted one may come back |
//! | `Data` (default) | everything acknowledged | a session is whole: as of its last change, or of one before the last few seconds (for a new one: not there); a deletion that was acknowledged stays |
//! | `Full` | everything acknowledged | everything acknowledged |
//!
//! Locks and queues end with the machine at every level. Below `Full` the number of the last grants
//! (the fence) may be lost with them, so that numbers come back that were given out in the last
//! seconds before the machine ended.
//!
//! A change that failed (no space, an error of the disk) has not happened, and leaves nothing
//! behind. One exception: at `Full`, and for a deletion at `Data`, the change is there when its
//! names cannot be synced; the answer is then `Unknown`.
//!
//! # How it works
//!
//! A root has 256 directories, the *shards*, by the first byte of a session's key; a session has up
//! to three files there, named by its key in hex: `.s` is the record, `.l` its lock when that
//! changed by itself, `.f` its lockless fields. The index of a subject is a file `.u`. Each begins
//! with a checksum over its name and content, and with the *life* it belongs to, a random number
//! that a session is born with.
//!
//! - **A transaction** enters the critical section of the shard (`flock` on its directory, for as
//!   long as a write takes), reads, runs the verb, and commits. Every commit is one rename or one
//!   removal, so that a crash at any moment leaves the state before or after. A save that changes
//!   the lock, too, puts it into the record; of the two locks there may be, the one with the higher
//!   number is valid. A deletion removes the record first; a lock or fields that a crash left
//!   beside it are of another life than the next session's, and are never taken for its own.
//! - **A read** needs no critical section: the record is one file, replaced at once. What is open is
//!   one moment of it, with its lifetime; the lock is no part of a plain read.
//! - **A lock** is a lease in a file, never a `flock` that is held. It carries who its holder and
//!   waiters are: a process that has died on the same boot and in the same pid namespace is found
//!   out at once; one that hangs, or is elsewhere, is ended by its hold.
//! - **Waiting**: waiters queue in the file. One thread per process watches the directories of
//!   those who wait (inotify) and the processes they wait for (pidfd), and wakes the one whose turn
//!   it is; should that fail, each looks again once per recheck.
//! - **Store time** is the machine's time since its boot, dated once per boot in the root, so that
//!   it is the same for all processes and no step of the wall clock moves it. A new boot is dated
//!   by the wall clock, and never before the last time a driver was opened on the root. So a record
//!   keeps what was left of its life, less the time that the machine was off, give or take the error
//!   of the wall clock at the two boots.
//! - **No call blocks an async thread**: files are the business of at most
//!   [`threads`](FileBuilder::threads) threads of the driver's own. What the system has in memory
//!   is read where it is asked for, by calls that answer at once or not at all (`openat2` with
//!   `RESOLVE_CACHED`, `preadv2` with `RWF_NOWAIT`), up to 64 KiB; where it knows no such calls, or
//!   the root is on a network, by the threads. The driver keeps at most 256 directories open, one
//!   file per shard that is followed, one descriptor per process whose lock is waited for, and three
//!   per busy thread.
//! - **Clean-up** is the application's task ([`Sweep`](asm_core::Sweep)): a batch at a time, of
//!   10,000 records at most, whose names are all that is in memory. A cursor is a place in the order
//!   of keys, so that any process can go on, and knows how far it is. What cannot be read is counted
//!   and passed over.
//!
//! # What it refuses
//!
//! Roots and directories that others may write to or that belong to somebody else; symbolic links
//! anywhere below the root; network file systems, unless
//! [`allow_network`](FileBuilder::allow_network) says that one machine only uses it; a directory
//! that holds something else. What is under a name of ours and is torn, foreign, a link, a pipe or
//! a directory counts as no session: it is left where it is, counted
//! ([`Counters::foreign`]) and logged. What cannot be read (permissions, a failing disk) is an
//! error, never an empty session.
//!
//! # Limits
//!
//! - A process that is stopped (`SIGSTOP`) within the microseconds of its critical section keeps
//!   the others out of that shard; they are told `Unavailable` after
//!   [`patience`](FileBuilder::patience).
//! - The feed tells of a save once it is in the file. A writer that is killed between the two makes
//!   the followers miss it until the next change, which then says `Lagged`.
//! - A backup is a copy of the root. Of a root in use, take a snapshot of the file system.

mod builder;
mod counters;
mod disk;
mod driver;
mod errors;
mod fs;
mod layout;
mod pool;
mod process;
mod ring;
mod root;
mod store;
mod sweep;
mod time;
mod transaction;
mod watch;

pub use builder::FileBuilder;
pub use counters::Counters;
pub use disk::{Disk, Durability, Fresh};
pub use driver::FileDriver;
