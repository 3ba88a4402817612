//! Sessions in the memory of one process.
//!
//! For tests, tools, and sites of one process that may forget its sessions when it ends. Every
//! facet is there: lockless fields, change feed, subject index, sweep.
//!
//! ```
//! use asm_core::{Create, Epoch, Key, Open, Opened, OpId, Proof, Proofs, SessionStore, Stamp};
//! use asm_memory::MemoryDriver;
//! use std::time::Duration;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> asm_core::Result<()> {
//! let driver = MemoryDriver::new();
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
//! let Opened::Found { snapshot, .. } = driver.open(&key, Open { lock: None }).await? else {
//!     panic!("it lives for an hour")
//! };
//! assert_eq!(&snapshot.data[..], b"cart");
//! # Ok(())
//! # }
//! ```
//!
//! # How it works
//!
//! Sessions are `asm_entry::Entry`s in 64 maps, each behind a mutex that is held for one verb and
//! never across an await. A record is [`Bytes`](bytes::Bytes): opening one shares it.
//!
//! A session whose life is over answers as missing at once and takes memory until somebody looks
//! at it, until a [sweep](asm_core::Sweep), or until the driver is short of room. Memory is
//! bounded by [`MemoryBuilder::max_sessions`] and [`MemoryBuilder::max_bytes`]; what does not fit
//! is refused as `Full`, and nothing is evicted: losing a session because others came is a
//! surprise logout.

mod builder;
mod driver;
mod shards;
mod store;

pub use builder::MemoryBuilder;
pub use driver::MemoryDriver;
