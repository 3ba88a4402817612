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

pub use error::{Conflict, InvalidReason, Result, SessionError, ValueAction, ValueError};
