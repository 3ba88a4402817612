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
//! # How it works
//!
//! A session is a few keys with one hash tag, so in one slot of a cluster: the record, a string whose
//! short head holds its version, the last op ids, epoch and proofs, and the present grant of its lock;
//! the queue; the fields. Each verb is one round trip around one script,
//! which checks and changes in one step. The scripts are in `scripts/`, and the head of each says
//! what it takes, what it answers, and which sentences of the contract it keeps.
//!
//! **No script reads a record.** Lua looks at every byte several times: a script that answers 64 KiB
//! keeps the server busy for ten times as long as a GET does, and one that answers 1 KiB still takes
//! 1 µs more for it. So an open is a pipeline of GET, PTTL
//! and TIME; an open with the lock is the script and a GET behind it; and a save of more than
//! [`RedisBuilder::stage_above`] puts its bytes beside their place and lets the script move them
//! there, all of it still one round trip.
//!
//! **A lock is a part of its record.** Who holds it and until when is in the head, so that taking it,
//! checking it and giving it back is one read and one write of a few bytes, and no server drops a
//! lock without its session.
//!
//! **An open that takes the lock is a script.** `[SET NX PX, GET]` would cost the server some 3 µs
//! less in each cycle of open and save, and cannot do what must be one step: nothing in it depends on
//! whether there is such a session, whether the secret is its own, or whether somebody waits, and it
//! counts no fence. It would leave a lock for a session that nobody knows, and a newcomer would pass
//! the queue.
//!
//! **A lock is handed on, not polled for.** A waiter leaves a ticket. Whoever releases makes the next
//! one the holder in the same step and says so on the channel of its process; that grant is
//! provisional until the waiter's next call, which also reads the record. A waiter of the process
//! that releases is woken by the answer itself. Besides that a waiter looks again once per
//! [`RedisBuilder::recheck`], which bounds what a lost message costs, and is its sign of life.
//!
//! **Everything may be sent again.** Op ids and tokens are chosen before the first sending, and the
//! server remembers the last ones. The driver sends a call again by itself when its connection
//! fails, says so in the call, and never lets the client library do it. A call ends by
//! [`RedisBuilder::deadline`], whatever the server does; what arrives later is harmless. A lock that
//! was taken for a future which was dropped is released behind it on the same connection; where the
//! connection failed under the attempt, the server is told to refuse it when it comes late.
//!
//! **Many callers share a connection.** What those who can go on at the same time have to say is written
//! at once, which costs their process 40 % less. Over TLS, and on a connection of a pool, the client
//! library writes by itself, often each command alone.
//!
//! **Time is the server's.** No wall clock of a client is looked at. Grants, tickets, zombies and
//! index entries end at points of time of the server, as its own keys do. A step of its clock, or
//! another clock after a failover, ends a grant or a place in the queue sooner or later; a holder whose
//! grant was ended so is refused, whatever it believes.
//!
//! # What a failover can cost
//!
//! Replication of Redis is asynchronous: what was acknowledged in the last moments before a master
//! is lost may be lost with it, records and locks alike. What is left is some earlier state, whole. A
//! version is a number and the op id that made it, so a save that was based on a lost one is a
//! conflict, and a token that is not the holder in the surviving state is refused.
//!
//! `min-replicas-to-write` makes the window smaller, and is refused as `ReadOnly` where it strikes. As
//! many as there are replicas close it almost: a master that one of them has left refuses at once. With
//! one less it acknowledges, for the replicas that have not left yet, what no new master will have.
//!
//! A master that was only taken for dead, or was asked to step down, goes on for seconds until it is
//! told so. The driver listens to every sentinel, and leaves it as soon as one of them names another.
//!
//! # The server
//!
//! Redis 6.2 or newer, or Valkey. `maxmemory-policy` must be `noeviction`: any other drops sessions
//! when memory is short, their locks with them, and [`RedisBuilder::connect`] warns of it. A lost
//! record is never written over, but its user is logged out. A queue that was dropped forms again
//! within a recheck, perhaps in another order.
//!
//! A slot of a cluster that is being moved to another node refuses scripts on several keys until a
//! session has moved (`TRYAGAIN`); calls wait for that up to their deadline.
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
//!
//! A user without rights on channels, as Redis 7 makes one by default, is refused when it connects.
//! With [`RedisBuilder::without_notifications`] it needs none: a lock is handed on within a recheck
//! then, and there is no feed.
//!
//! # Several of these
//!
//! Two applications on one server take two prefixes. All processes of one application should agree
//! on the prefix, on [`RedisBuilder::recheck`] and on whether there are notifications.
//!
//! A driver answers from whichever tokio runtime asks; its connections live in the one in which it
//! was connected.

mod access;
mod builder;
mod check;
mod connection;
mod counters;
mod driver;
mod errors;
mod feed;
mod fields;
mod hub;
mod inventory;
mod keys;
mod link;
mod listening;
mod lock;
mod record;
mod scripts;
mod session;
mod subjects;
mod switches;
mod time;

pub use builder::{RedisBuilder, SteppedTime};
pub use counters::Counters;
pub use driver::RedisDriver;

/// The client library whose types the builder takes.
pub use redis;
