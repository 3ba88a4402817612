//! Limits and clock of a driver.

use std::{sync::Arc, time::Duration};

use asm_core::Clock;
use asm_entry::{Timing, TokioClock};

use crate::{MemoryDriver, store::MemoryStore};

/// Limits and clock of a [`MemoryDriver`].
///
/// ```
/// use asm_memory::MemoryDriver;
///
/// let driver = MemoryDriver::builder()
///     .max_sessions(10_000)
///     .max_bytes(64 << 20)
///     .max_record(64 << 10)
///     .build();
/// assert_eq!(driver.sessions(), 0);
/// ```
#[derive(Clone, Debug)]
pub struct MemoryBuilder {
    pub(crate) max_sessions: usize,
    pub(crate) max_bytes: usize,
    pub(crate) max_record: usize,
    pub(crate) timing: Timing,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Default for MemoryBuilder {
    fn default() -> Self {
        Self {
            max_sessions: 1_000_000,
            max_bytes: 1 << 30,
            max_record: 1 << 20,
            timing: Timing::default(),
            clock: Arc::new(TokioClock::new()),
        }
    }
}

impl MemoryBuilder {
    /// The most sessions, 1,000,000 by default. One more is refused as `Full`.
    ///
    /// Writers in parallel may pass this and the limit of bytes by one write each.
    #[must_use]
    pub fn max_sessions(mut self, count: usize) -> Self {
        self.max_sessions = count;
        self
    }

    /// The most bytes that sessions may take, 1 GiB by default: records, fields, index entries, and
    /// 136 bytes for each session itself. Locks, queues and the maps around all that come on top. A write that needs more is refused as `Full` and changes nothing.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// The largest record in bytes, 1 MiB by default; also the most that the lockless fields of one
    /// session may weigh. More is refused as `TooLarge`.
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes;
        self
    }

    /// How often a waiter looks again when nothing wakes it: 1 s by default, 1 ms at least. A
    /// hand-off is provisional for twice that time.
    #[must_use]
    pub fn recheck(mut self, interval: Duration) -> Self {
        self.timing = Timing::of_recheck(interval.max(Duration::from_millis(1)));
        self
    }

    /// Where time comes from; tokio's by default.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The driver, empty.
    #[must_use]
    pub fn build(self) -> MemoryDriver {
        MemoryDriver::on(MemoryStore::new(self))
    }
}
