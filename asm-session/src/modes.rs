//! How much locking an application wants.

/// How much locking an application wants, as with a database's isolation levels.
///
/// The chapter on [locking and isolation](crate::docs::locking) has an example of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum LockMode {
    /// Reads and never waits; every change is refused. What is read is one snapshot.
    ReadOnly,
    /// Takes no lock. A save that meets a newer version merges both and tries again; after some
    /// tries under the lock. No update is lost; write skew is possible.
    #[default]
    Optimistic,
    /// Reads without the lock; [`Session::write`](crate::Session::write) takes it before the first
    /// change. Whoever read something before that which has changed is told `Conflict` there.
    OnWrite,
    /// Takes the lock with the open, and keeps it until the session is closed: requests run one
    /// after the other.
    OnOpen,
    /// Reads without the lock; the application calls [`Session::lock`](crate::Session::lock) and
    /// [`Session::unlock`](crate::Session::unlock). Changes are refused in between.
    Manual,
    /// Takes no lock. A save overwrites all values with this session's: the last write wins.
    /// Rotations, lifetimes and subjects of others stand, and nothing is brought back to life.
    Off,
}

impl LockMode {
    /// Whether a change needs the lock first.
    pub(crate) const fn changes_need_lock(self) -> bool {
        matches!(self, Self::OnWrite | Self::OnOpen | Self::Manual)
    }
}

/// What becomes of an entry that this session read, then wrote, and somebody else changed in
/// between.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnConflict {
    /// Nothing is saved, and the save fails with a `Conflict` that names the entries.
    #[default]
    Fail,
    /// This session's value is stored.
    Mine,
    /// The other's value stays.
    Theirs,
}

/// What happens when another one holds the lock for as long as we were to wait.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OnLockTimeout {
    /// It is an error: `LockTimeout` or `QueueFull`.
    #[default]
    Fail,
    /// The session can be read, and refuses every change.
    ReadOnly,
}
