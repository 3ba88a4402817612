//! A session driver on SQLite: sessions shared by the processes of one machine, in one file.
//!
//! What every verb means is in `asm_entry::Entry`. Here is how an entry is loaded and stored:
//!
//! - a session is up to four rows of one table, one for each part, and a transaction reads the rows
//!   that it is asked for and writes those that changed;
//! - the index of a user is a row of a second table; both tables say when a row is due, so that a
//!   sweep reads nothing that lives;
//! - SQL blocks, so each handle has a connection on a thread of its own. Requests are done in the
//!   order in which they were sent, also those whose caller has gone;
//! - a step runs on a read transaction first. Only one that changed something is run again as a
//!   write: readers of several processes do not wait for each other, nor for a writer.
//!
//! A waiter is woken at once when its lock is released through the same handle. One in another
//! process learns of it when it looks again, every 100 ms. There is no feed.
//!
//! The database is in WAL mode with `synchronous = NORMAL`: a killed process loses nothing, a power
//! failure perhaps the last commits, and never tears one.
//!
//! # Example
//!
//! ```
//! # let place = tempfile::tempdir().unwrap();
//! # let file = place.path().join("sessions.db");
//! # tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(async {
//! use asm_core::{Key, Open, Opened, SessionStore};
//! use sqlite_driver::SqliteStore;
//!
//! let driver = SqliteStore::open(&file).unwrap().into_driver();
//! let key = Key::from_bytes([1; Key::LEN]);
//! let opened = driver.open(&key, Open { lock: None }).await.unwrap();
//! assert_eq!(opened, Opened::Missing);
//! # });
//! ```

mod clock;
mod connection;
mod rows;
mod scan;
mod store;

pub use store::SqliteStore;
