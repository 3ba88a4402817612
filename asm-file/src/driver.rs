//! The driver: what an application is given.

use std::{path::Path, sync::Arc};

use asm_core::{Result, forward_driver};
use asm_entry::EntryDriver;

use crate::{Counters, Disk, FileBuilder, store::FileStore};

/// Sessions in files. A clone is a further handle, and so is another driver on the same root, in
/// this process or in another one.
///
/// Waiting for a lock needs the runtime of its clock: a tokio runtime with time, by default.
#[derive(Clone, Debug)]
pub struct FileDriver {
    inner: EntryDriver<FileStore>,
}

impl FileDriver {
    /// A driver on this root, with the defaults of [`FileDriver::builder`].
    ///
    /// # Errors
    /// Those of [`FileBuilder::build`].
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        Self::builder(root).build()
    }

    /// Durability, limits and clock to choose.
    #[must_use]
    pub fn builder(root: impl AsRef<Path>) -> FileBuilder {
        FileBuilder::at(root.as_ref())
    }

    /// The same on a [`Disk`] of one's own. Others are not heard of there: waiters learn of their
    /// grants when they come from this driver, else by their recheck, and there is no feed.
    #[must_use]
    pub fn on(disk: Arc<dyn Disk>) -> FileBuilder {
        FileBuilder::on(disk)
    }

    /// What it has met so far, and what it has to do.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.inner.store().counters()
    }

    pub(crate) fn over(store: FileStore) -> Self {
        Self {
            inner: EntryDriver::new(store),
        }
    }
}

forward_driver!([] FileDriver, |this| &this.inner);
