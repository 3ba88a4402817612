//! What applications hold: sessions that stay correct when one client sends many requests at once.

mod client;
mod clock;
mod decisions;
mod entries;
mod envelope;
mod error;
mod events;
mod fields;
mod format;
mod head;
mod id;
mod journal;
mod lifetimes;
mod lock;
mod modes;
mod once;
mod policy;
mod profile;
mod rotation;
mod save;
mod session;
mod sessions;
mod subjects;
mod wire;

pub use client::{Bots, Client, ClientKind};
pub use error::{Conflict, InvalidReason, Result, SessionError, ValueAction, ValueError};
#[cfg(feature = "msgpack")]
pub use format::MessagePack;
pub use format::{Format, Json, Visit};
pub use id::{Draw, IdSource, OsRandom, SessionId};
pub use lifetimes::{Growth, Lifetimes, LifetimesBuilder};
pub use profile::{Networks, Profile, ProfilePolicy};
pub use rotation::Rotation;

/// The version of `erased_serde` whose types a [`Format`] is made of.
pub use erased_serde;
