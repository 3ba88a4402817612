//! The driver: what an application is given.

use asm_core::forward_driver;
use asm_entry::EntryDriver;

use crate::{MemoryBuilder, store::MemoryStore};

/// Sessions in the memory of one process. A clone is a further handle on the same sessions; two
/// drivers made apart share nothing.
///
/// Waiting for a lock needs the runtime of its clock: a tokio runtime with time, by default.
#[derive(Clone, Debug)]
pub struct MemoryDriver {
    inner: EntryDriver<MemoryStore>,
}

impl MemoryDriver {
    /// A driver with the defaults of [`MemoryDriver::builder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Limits and clock to choose.
    #[must_use]
    pub fn builder() -> MemoryBuilder {
        MemoryBuilder::default()
    }

    /// How many sessions there are, those included whose life is over and that nobody has looked
    /// at since.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.inner.store().sessions()
    }

    /// How many bytes sessions and indexes take, without the maps around them.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.inner.store().bytes()
    }

    /// How many subjects have an index.
    #[must_use]
    pub fn subjects_indexed(&self) -> usize {
        self.inner.store().subjects()
    }

    /// How many wait for locks, and how many listen to feeds.
    #[must_use]
    pub fn listeners(&self) -> (usize, usize) {
        self.inner.store().listeners()
    }

    pub(crate) fn on(store: MemoryStore) -> Self {
        Self {
            inner: EntryDriver::new(store),
        }
    }
}

impl Default for MemoryDriver {
    fn default() -> Self {
        Self::new()
    }
}

forward_driver!([] MemoryDriver, |this| &this.inner);
