//! What session drivers and codecs implement, and nothing that only applications use.
//!
//! **Who should depend on this crate:** authors of drivers (where sessions live) and of codecs (how
//! records are compressed or sealed). Applications use `asm-session` over it, and a driver of their
//! choice.
//!
//! A driver stores one opaque record per session under a [`Key`], together with one exclusive,
//! expiring, fenced lock. It implements two traits, [`SessionStore`] and [`LockStore`], and the
//! empty-handed [`Driver`] over them; whatever it can do beyond that is a *facet*, reached through
//! an accessor that answers `None` by default: [`LocklessFields`], [`ChangeFeed`],
//! [`SubjectIndex`], [`Sweep`], [`Inventory`].
//!
//! # Five rules that hold everywhere
//!
//! 1. **Every verb is atomic.** It happens as a whole or not at all, and is one round trip on a
//!    networked store.
//! 2. **Outcomes are `Ok`, failures are `Err`.** Busy, missing, lost, conflicting and ended are
//!    values that the caller must branch on. An [`Error`] means that the state is unknown or that
//!    the request is impossible.
//! 3. **Requests are exhaustive structs.** Drivers destructure them, so that a new wish breaks the
//!    build of a driver that would ignore it.
//! 4. **Store time decides**, never a client's clock. Requests carry durations, answers carry the
//!    store's now.
//! 5. **Sending again is safe.** Tokens and op ids are chosen before the first send; the same verb
//!    with the same one has the effect, and gives the answer, of once.
//!
//! The sentences under each trait method are the contract. `asm-testkit` has a case for each, and
//! its chapter "Writing a driver" shows the two ways to a driver: a transaction over
//! `asm-entry`'s `Entry`, or the verbs by hand.
//!
//! # Example
//!
//! An application's code is written once for every driver:
//!
//! ```
//! use asm_core::{Driver, Key, Open, Opened, Result};
//!
//! /// How many bytes this session has, if it lives.
//! async fn size(driver: &dyn Driver, key: &Key) -> Result<Option<usize>> {
//!     Ok(match driver.open(key, Open { lock: None }).await? {
//!         Opened::Found { snapshot, .. } => Some(snapshot.data.len()),
//!         _ => None,
//!     })
//! }
//! ```

mod clock;
mod codec;
mod driver;
mod error;
mod feed;
mod fields;
mod forward;
mod head;
mod inventory;
mod key;
mod lock;
mod opaque;
mod redacted;
mod store;
mod subjects;
mod sweep;

pub use clock::{Clock, Timestamp};
pub use codec::{Codec, CodecContext, CodecName, CodecRole, Encoded, Part};
pub use driver::{CONTRACT, Driver, DriverInfo, Shared};
pub use error::{Error, ErrorKind, Result};
pub use feed::{Change, ChangeFeed, ChangeStream, Subscribe, Subscribed};
pub use fields::{
    FieldChange, FieldFound, FieldName, FieldRead, FieldValue, FieldWrite, FieldWritten,
    LocklessFields,
};
pub use head::{Epoch, OpId, Proof, Proofs, Stamp, Version};
pub use inventory::{Inventory, ListStep, Listed};
pub use key::{Key, Subject};
pub use lock::{
    Acquired, Broken, Claim, Fence, Holder, Label, LockState, LockStore, LockToken, LockWish,
    Released, Renewed, Waiter,
};
pub use redacted::Redacted;
pub use store::{
    Create, Created, Delete, Deleted, Guard, Open, OpenLock, Opened, OpenedLock, Save,
    SessionStore, Snapshot, Touch, Touched, Written,
};
pub use subjects::{Bound, Listing, Reserve, Reserved, Revoked, SubjectIndex};
pub use sweep::{Cursor, Sweep, SweepStep, Swept};

#[doc(hidden)]
pub use forward::Answer as __Answer;
