//! A session driver on one transaction: a table of bytes behind a mutex, as SQL or a key-value
//! store would be.
//!
//! What every verb means is in `asm_entry::Entry`; here is only how one is loaded and stored:
//!
//! - a session is up to four rows, one for each part, and a transaction reads the rows that it is
//!   asked for and writes those that changed;
//! - the index of a user is a row;
//! - the head's row is what a scan for the dead looks at.
//!
//! There are no wake-ups and no feed: waiters look again once per recheck, and the driver lacks the
//! facet. Lockless fields and the index come with `asm-entry`, sweeping with the scan.
//!
//! # Example
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! use std::sync::Arc;
//! use asm_core::{Key, Open, Opened, SessionStore};
//! use asm_entry::{EntryDriver, TokioClock};
//! use entry_driver::{Table, TableStore};
//!
//! let table = Arc::new(Table::new());
//! let driver = EntryDriver::new(TableStore::new(table, Arc::new(TokioClock::new())));
//! let key = Key::from_bytes([1; Key::LEN]);
//! let opened = driver.open(&key, Open { lock: None }).await.unwrap();
//! assert_eq!(opened, Opened::Missing);
//! # });
//! ```

mod store;
mod table;

pub use store::TableStore;
pub use table::Table;
