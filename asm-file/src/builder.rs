//! What a driver can be told.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use asm_core::{Clock, Error, ErrorKind, Result};
use asm_entry::{Timing, TokioClock};

use crate::{
    Disk, Durability, FileDriver, counters::Tally, process::Process, root, store::FileStore,
    transaction::Files, watch::Watch,
};

/// Where the sessions are, and how they are kept: made by [`FileDriver::builder`].
///
/// ```
/// use asm_file::{Durability, FileDriver};
///
/// # fn main() -> asm_core::Result<()> {
/// # let place = tempfile::tempdir().expect("a directory");
/// let driver = FileDriver::builder(place.path().join("sessions"))
///     .durability(Durability::Full)
///     .max_record(64 << 10)
///     .build()?;
/// # drop(driver);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct FileBuilder {
    place: Place,
    durability: Durability,
    max_record: usize,
    timing: Timing,
    clock: Option<Arc<dyn Clock>>,
    network: bool,
    notifications: bool,
    threads: usize,
    patience: Duration,
}

#[derive(Clone, Debug)]
enum Place {
    Root(PathBuf),
    Disk(Arc<dyn Disk>),
}

impl FileBuilder {
    pub(crate) fn at(path: &Path) -> Self {
        Self::in_place(Place::Root(path.to_owned()))
    }

    pub(crate) fn on(disk: Arc<dyn Disk>) -> Self {
        Self::in_place(Place::Disk(disk))
    }

    fn in_place(place: Place) -> Self {
        Self {
            place,
            durability: Durability::default(),
            max_record: 1 << 20,
            timing: Timing::default(),
            clock: None,
            network: false,
            notifications: true,
            threads: 16,
            patience: Duration::from_secs(5),
        }
    }

    /// What an acknowledged change survives, [`Durability::Data`] by default.
    #[must_use]
    pub fn durability(mut self, level: Durability) -> Self {
        self.durability = level;
        self
    }

    /// The largest record in bytes, 1 MiB by default and 1 GiB at most; also the most that the
    /// lockless fields of one session may weigh. More is refused as `TooLarge`. A stored session
    /// that is more than twice as large cannot be read (`Unreadable`) and is left as it is.
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes.min(1 << 30);
        self
    }

    /// How often a waiter looks again when nothing wakes it, 1 s by default. A hand-off is
    /// provisional for twice that time. All processes on a root should agree.
    #[must_use]
    pub fn recheck(mut self, interval: Duration) -> Self {
        self.timing = Timing::of_recheck(interval);
        self
    }

    /// Where time comes from; by default the machine's time since its boot, dated by the root. All
    /// processes on a root must have the same.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Accepts a root on a network file system. It must then be used by one machine only, and its
    /// `flock` must hold between the processes of that machine.
    #[must_use]
    pub fn allow_network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Without notifications a waiter learns what other processes do by its recheck alone, and
    /// there is no feed: for machines that have none to spare.
    #[must_use]
    pub fn without_notifications(mut self) -> Self {
        self.notifications = false;
        self
    }

    /// How many threads may be busy with files at the same time, 16 by default. They are started
    /// when there is work.
    #[must_use]
    pub fn threads(mut self, most: usize) -> Self {
        self.threads = most;
        self
    }

    /// How long a call waits for another process to leave the critical section of a shard, 5 s by
    /// default. Being in it takes as long as a write; only a process that was stopped inside keeps
    /// others out for longer. They are then told `Unavailable`.
    #[must_use]
    pub fn patience(mut self, longest: Duration) -> Self {
        self.patience = longest;
        self
    }

    /// Opens the root; makes it if the directory is not there, or is empty. Blocks for some
    /// milliseconds.
    ///
    /// # Errors
    /// `Invalid` for a directory that holds something else, is of another format, is reached by a
    /// symbolic link, belongs to somebody else, or is writable by others; `Unsupported` on a
    /// network file system, or when processes of another time namespace use it; those of the
    /// system.
    pub fn build(self) -> Result<FileDriver> {
        let this = Process::this().map_err(|error| {
            Error::new(ErrorKind::Other, "the system gives no random bytes").because(error)
        });
        let this = this.map_err(opening)?;
        let (disk, fs, clock): (Arc<dyn Disk>, _, Arc<dyn Clock>) = match self.place {
            Place::Root(path) => {
                let root = root::open(&path, self.network, self.patience).map_err(opening)?;
                let fs = Arc::new(root.fs);
                (Arc::clone(&fs) as _, Some(fs), Arc::new(root.clock))
            }
            Place::Disk(disk) => (disk, None, Arc::new(TokioClock::new())),
        };
        let watched = fs.clone().filter(|_| self.notifications);
        let files = Files {
            disk,
            fs,
            durability: self.durability,
            max_record: self.max_record,
            timing: self.timing,
            clock: self.clock.unwrap_or(clock),
            boot: root::boot(),
            this,
            tally: Tally::default(),
            watch: Arc::new(Watch::new(watched)),
        };
        Ok(FileDriver::over(FileStore::new(files, self.threads)))
    }
}

fn opening(error: Error) -> Error {
    error.during("open").by("file")
}
