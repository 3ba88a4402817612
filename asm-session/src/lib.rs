//! What applications hold: sessions that stay correct when one client sends many requests at once.
//!
//! A browser fires ten requests, a user logs out while another tab saves, a worker pauses for a
//! minute and then writes. Here no update is lost, no session comes back from the dead, nobody is
//! logged out by surprise, and the application says how much locking it wants.
//!
//! **Who should depend on this crate:** applications, and the layers between a web framework and
//! them. It takes a driver, which says where sessions live, from another crate.
//!
//! ```
//! use asm_memory::MemoryDriver;
//! use asm_session::{Client, IdUpdate, Sessions};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> asm_session::Result<()> {
//! let sessions = Sessions::builder(MemoryDriver::new()).build()?;
//! let client = Client::default();
//!
//! // A request without a cookie. A new session stores nothing before its first save.
//! let mut session = sessions.open_or_create(None, &client).await?;
//! session.insert("cart", &["book"])?;
//! session.add("visits", 1)?;
//! session.close().await?;
//! let IdUpdate::Issue(cookie) = session.id_update() else { panic!("it is new") };
//!
//! // The next one.
//! let mut session = sessions.open_or_create(Some(&cookie.expose()), &client).await?;
//! let cart: Option<Vec<String>> = session.get("cart")?;
//! assert_eq!(cart.unwrap_or_default(), ["book"]);
//! assert_eq!(session.add("visits", 1)?, 2);
//! session.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Chapters
//!
//! - [`docs::locking`]: the modes, an example of each, write skew, how locks end
//! - [`docs::merging`]: what a save makes of what others saved
//! - [`docs::ids`]: ids, and how they are replaced
//! - [`docs::lifetimes`]: how long sessions live
//! - [`docs::bytes`]: codecs and seals
//! - [`docs::presets`]: a site with funny pictures, a shop, a bank
//! - [`docs::faq`]: why it is as it is, and what is left out
//!
//! # Features
//!
//! - `tokio` (on by default): the clock and the tasks of a tokio runtime. Without it,
//!   [`SessionsBuilder::clock`] is to be set.
//! - `msgpack`: values as MessagePack.

mod accept;
mod access;
mod builder;
mod client;
mod clock;
mod copying;
mod counters;
mod decisions;
pub mod docs;
mod entries;
mod envelope;
mod error;
mod events;
mod fields;
mod format;
mod head;
mod head_journal;
mod id;
mod identity;
mod in_flight;
mod info;
mod journal;
mod life;
mod lifetimes;
mod lock;
mod locking;
mod modes;
mod once;
mod open;
mod operator;
mod policy;
mod profile;
mod rotation;
mod save;
mod session;
mod sessions;
mod subjects;
mod sweeping;
mod take;
mod transact;
mod wire;

/// Names of the store that an application meets: handles, fences, what operators see of locks, what
/// a feed tells, where a clean-up goes on, times.
pub use asm_core::{
    Broken, Change, Cursor, Fence, Holder, Key, Label, LockState, Timestamp, Waiter,
};
pub use builder::SessionsBuilder;
pub use client::{Bots, Client, ClientKind};
pub use copying::CopyProgress;
pub use counters::Counters;
pub use decisions::{Decisions, Undecided, Verdict};
pub use error::{Conflict, InvalidReason, Result, SessionError, ValueAction, ValueError};
pub use events::{EndReason, Event, Events};
pub use fields::{Field, Fields};
#[cfg(feature = "msgpack")]
pub use format::MessagePack;
pub use format::{Format, Json, Visit};
pub use id::{Draw, IdSource, OsRandom, SessionId};
pub use identity::IdUpdate;
pub use info::SessionInfo;
pub use life::Watch;
pub use lifetimes::{Growth, Lifetimes, LifetimesBuilder};
pub use lock::LockKeeper;
pub use modes::{LockMode, OnConflict, OnLockTimeout};
pub use operator::{SessionHandle, StoredSession};
pub use policy::RotationPolicy;
pub use profile::{Networks, Profile, ProfilePolicy};
pub use rotation::Rotation;
pub use save::{IdRotation, Saved};
pub use session::{Origin, Session};
pub use sessions::Sessions;
pub use subjects::{AtCap, SubjectSession, SubjectSessions};
pub use sweeping::SweepProgress;

/// The version of `erased_serde` whose types a [`Format`] is made of.
pub use erased_serde;
