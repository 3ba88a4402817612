//! Clean-up, as the application's own task.

use std::{
    fmt::{self, Debug},
    num::NonZeroUsize,
};

use async_trait::async_trait;
use bytes::Bytes;

use crate::Result;

/// Clean-up for a backend that does not expire records by itself.
///
/// - It removes sessions whose life is over, and never one that was touched after the scan saw it.
/// - It goes in batches, continues after an error, and counts both.
#[async_trait]
pub trait Sweep: Debug + Send + Sync + 'static {
    /// One batch. Start without a cursor and go on with the one answered, until there is none.
    ///
    /// # Errors
    /// `Invalid` for a cursor that this driver did not make. An error at one record is counted in
    /// [`Swept::failed`] and does not end the sweep.
    async fn sweep(&self, step: SweepStep) -> Result<Swept>;

    /// Which part of a sweep lies behind a cursor, from 0 to 1; about, for those who watch it.
    /// `None` when the driver cannot tell.
    fn progress(&self, at: &Cursor) -> Option<f64> {
        let _ = at;
        None
    }
}

/// Where a sweep goes on. Its bytes are the driver's own and may be kept across processes. They may
/// name a session, so `Debug` shows their length only.
#[derive(Clone, PartialEq, Eq)]
pub struct Cursor(pub Bytes);

impl Debug for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Cursor({} bytes)", self.0.len())
    }
}

/// One batch of a sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepStep {
    /// Where to go on. `None` starts.
    pub from: Option<Cursor>,
    /// How many records to look at, about.
    pub batch: NonZeroUsize,
}

/// What one batch did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Records looked at.
    pub examined: u64,
    /// Sessions removed.
    pub removed: u64,
    /// Records that could not be read or removed.
    pub failed: u64,
    /// Where to go on. `None` when the sweep is through.
    pub next: Option<Cursor>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Broom;

    #[async_trait]
    impl Sweep for Broom {
        async fn sweep(&self, _: SweepStep) -> Result<Swept> {
            Ok(Swept::default())
        }
    }

    #[test]
    fn who_cannot_tell_how_far_it_is_says_nothing() {
        assert_eq!(Broom.progress(&Cursor(Bytes::new())), None);
    }
}
