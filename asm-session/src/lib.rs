//! What applications hold: sessions that stay correct when one client sends many requests at once.

mod accept;
mod builder;
mod client;
mod clock;
mod counters;
mod decisions;
mod entries;
mod envelope;
mod error;
mod events;
mod fields;
mod format;
mod head;
mod id;
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
mod take;
mod wire;

/// Names of the store that an application meets: handles, fences, what operators see of locks, what
/// a feed tells, times.
pub use asm_core::{Broken, Change, Fence, Holder, Key, Label, LockState, Timestamp, Waiter};
pub use builder::SessionsBuilder;
pub use client::{Bots, Client, ClientKind};
pub use counters::Counters;
pub use decisions::{Decisions, Undecided, Verdict};
pub use error::{Conflict, InvalidReason, Result, SessionError, ValueAction, ValueError};
pub use events::{EndReason, Event, Events};
pub use fields::{Field, Fields};
#[cfg(feature = "msgpack")]
pub use format::MessagePack;
pub use format::{Format, Json, Visit};
pub use id::{Draw, IdSource, OsRandom, SessionId};
pub use info::SessionInfo;
pub use life::Watch;
pub use lifetimes::{Growth, Lifetimes, LifetimesBuilder};
pub use lock::LockKeeper;
pub use modes::{LockMode, OnConflict, OnLockTimeout};
pub use operator::SessionHandle;
pub use policy::RotationPolicy;
pub use profile::{Networks, Profile, ProfilePolicy};
pub use rotation::Rotation;
pub use save::{IdRotation, Saved};
pub use session::{IdUpdate, Origin, Session};
pub use sessions::Sessions;
pub use subjects::{AtCap, SubjectSession, SubjectSessions};

/// The version of `erased_serde` whose types a [`Format`] is made of.
pub use erased_serde;
