//! The semantics of every session verb as pure code, and the adapter that makes a whole driver of
//! one transaction.
//!
//! **Who should depend on this crate:** authors of drivers whose backend has transactions (a map
//! behind a mutex, files behind a lock, SQL), and tests that want to know what a verb means.
//!
//! [`Entry`] is everything that a store keeps for one session: record, lock, queue, fields. Each
//! verb is a transition on it: no I/O, no randomness, no clock of its own. [`SubjectEntry`] is the
//! same for the index of one user. They define what every operation means; a driver that is
//! written by hand is compared with them, answer by answer.
//!
//! A backend implements [`EntryStore`]: run a step on an entry, atomically. [`EntryDriver`] makes
//! an `asm_core::Driver` of it, with waiting, hand-off, cancellation, lockless fields, index, and
//! (if the backend can [`Scan`], or brings [`Wakeups`] or a [`Feed`]) sweeping, wake-ups and the
//! change feed.
//!
//! # Example
//!
//! What happens to a record when its holder is late:
//!
//! ```
//! use std::time::Duration;
//! use asm_core::*;
//! use asm_entry::{Entry, Step, Stepped, Timing, Turn};
//!
//! let start = Timestamp::from_micros(0);
//! let stamp = Stamp {
//!     epoch: Epoch::new(1),
//!     proofs: Proofs { current: Proof::from_bytes([1; 16]), pending: None },
//! };
//! let claim = |id| Claim {
//!     token: LockToken::from_bytes([id; 16]),
//!     hold: Duration::from_secs(10),
//!     label: Label::default(),
//! };
//!
//! let mut entry = Entry::vacant();
//! let mut turn = Turn::new(start, Timing::default());
//! entry.create(&mut turn, &Create {
//!     op: OpId::from_bytes([1; 8]),
//!     resend: false,
//!     stamp,
//!     data: "cart".into(),
//!     ttl: Duration::from_secs(3600),
//!     lock: Some(claim(1)),
//! }).unwrap();
//!
//! // Eleven seconds later the hold is over, and a second one takes the lock.
//! let mut turn = Turn::new(start + Duration::from_secs(11), Timing::default());
//! let wish = LockWish {
//!     claim: claim(2), epoch: stamp.epoch, wait: Duration::ZERO, queue: None, known: None,
//! };
//! let Stepped::Answer(Acquired::Held { fence, .. }) =
//!     entry.acquire(&mut turn, &wish, Step::Join).unwrap() else { panic!() };
//! assert_eq!(fence, Fence::new(2));
//! ```

mod adapter;
#[cfg(feature = "tokio")]
mod clock;
mod entry;
mod feed;
mod fields;
mod lock;
mod record;
mod store;
mod stored;
mod subjects;
mod turn;
mod wakeups;

pub use adapter::EntryDriver;
#[cfg(feature = "tokio")]
pub use clock::TokioClock;
pub use entry::{Entry, Interrupt, Outcome};
pub use feed::Feed;
pub use lock::{Step, Stepped};
pub use store::{Census, Due, EntryStore, Following, Scan, Task};
pub use stored::{Changes, Parts, StoredParts};
pub use subjects::{SubjectEntry, SubjectItem};
pub use turn::{Effects, Timing, Turn};
pub use wakeups::{Ear, Wakeups};
