//! What an application is given: both stores, plus what this backend can do beyond them.

use std::time::Duration;

use crate::{ChangeFeed, Inventory, LockStore, LocklessFields, SessionStore, SubjectIndex, Sweep};

/// The version of the contract that this crate states. A driver tells in [`DriverInfo::contract`]
/// which one it was written for; the testkit refuses another than its own.
pub const CONTRACT: u32 = 1;

/// A whole backend.
///
/// A facet is there when its accessor answers `Some`: the ability and its implementation cannot
/// disagree. Code that needs one asks for it once, at start-up:
///
/// ```
/// use asm_core::{Driver, Error, ErrorKind, LocklessFields, Result};
///
/// fn counters(driver: &dyn Driver) -> Result<&dyn LocklessFields> {
///     driver
///         .fields()
///         .ok_or_else(|| Error::new(ErrorKind::Unsupported, "this driver has no lockless fields"))
/// }
/// ```
pub trait Driver: SessionStore + LockStore {
    /// What there is to know about it. Costs nothing.
    fn info(&self) -> DriverInfo;

    /// Values beside the record that are changed without the lock.
    fn fields(&self) -> Option<&dyn LocklessFields> {
        None
    }

    /// A feed of what others do to a session.
    fn changes(&self) -> Option<&dyn ChangeFeed> {
        None
    }

    /// The sessions of a user.
    fn subjects(&self) -> Option<&dyn SubjectIndex> {
        None
    }

    /// Clean-up, for a backend that does not expire records by itself.
    fn sweeper(&self) -> Option<&dyn Sweep> {
        None
    }

    /// A list of what is stored, for operators.
    fn inventory(&self) -> Option<&dyn Inventory> {
        None
    }
}

/// What there is to know about a driver.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverInfo {
    /// A short name for logs and errors, such as `"memory"`.
    pub name: &'static str,
    /// The [`CONTRACT`] that it keeps.
    pub contract: u32,
    /// Who sees the same sessions.
    pub shared: Shared,
    /// The largest record in bytes.
    pub max_record: usize,
    /// The longest time by which a lifetime may be off.
    pub ttl_resolution: Duration,
}

impl DriverInfo {
    /// A driver of this name that keeps the present [`CONTRACT`], with a record limit of 1 MiB and
    /// lifetimes exact to the millisecond. Set the fields that differ.
    ///
    /// ```
    /// use asm_core::{DriverInfo, Shared};
    ///
    /// let mut info = DriverInfo::new("tape", Shared::Machine);
    /// info.max_record = 64 * 1024;
    /// ```
    #[must_use]
    pub const fn new(name: &'static str, shared: Shared) -> Self {
        Self {
            name,
            contract: CONTRACT,
            shared,
            max_record: 1024 * 1024,
            ttl_resolution: Duration::from_millis(1),
        }
    }
}

/// Who sees the same sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Shared {
    /// One process.
    Process,
    /// The processes of one machine.
    Machine,
    /// Many machines.
    Network,
}
