//! Sessions in Redis or Valkey, shared by many machines.
//!
//! One server, Sentinel, or Cluster; TCP, TLS or a unix socket. Every facet is there but the sweep:
//! the server ends by itself what is over.
//!
//! ```no_run
//! use asm_core::{Key, Open, SessionStore};
//! use asm_redis::RedisDriver;
//!
//! # async fn example() -> asm_core::Result<()> {
//! let driver = RedisDriver::connect("redis://127.0.0.1").await?;
//! let opened = driver.open(&Key::from_bytes([1; 16]), Open { lock: None }).await?;
//! # drop(opened);
//! # Ok(())
//! # }
//! ```
//!
//! # What its user must be allowed
//!
//! On a server with users the driver needs these commands, on its own keys and channels, and no
//! others:
//!
//! ```text
#![doc = include_str!("../minimal.acl")]
//! ```
//!
//! With another prefix than `asm` the two patterns change with it. Beyond that: `+role` with
//! Sentinel, `+cluster|slots +asking` in a Cluster, `+select` for another database than 0. With
//! `+script|load` the scripts are there before the first call; without it they come along with it.

mod access;
mod builder;
mod check;
mod counters;
mod driver;
mod errors;
mod feed;
mod fields;
mod hub;
mod keys;
mod link;
mod lock;
mod record;
mod scripts;
mod session;
mod subjects;
mod time;

pub use builder::{RedisBuilder, Shift};
pub use counters::Counters;
pub use driver::RedisDriver;

/// The client library whose types the builder takes.
pub use redis;
