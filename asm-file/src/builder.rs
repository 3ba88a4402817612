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
    existing: bool,
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
            existing: false,
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
        self.max_record = bytes;
        self
    }

    /// How often a waiter looks again when nothing wakes it: 1 s by default, 1 ms at least. A hand-off is
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
    /// `flock` must hold between the processes of that machine. Such a file system may notice that
    /// there is no room, or that the server is gone, after a write that went well: at
    /// [`Durability::Atomic`] nothing asks for it then.
    #[must_use]
    pub fn allow_network(mut self) -> Self {
        self.network = true;
        self
    }

    /// Makes no root where none is: for tools of operators, whose directory may be misspelt.
    #[must_use]
    pub fn existing(mut self) -> Self {
        self.existing = true;
        self
    }

    /// Without notifications a waiter learns what other processes do by its recheck alone, and
    /// there is no feed: for machines that have none to spare.
    #[must_use]
    pub fn without_notifications(mut self) -> Self {
        self.notifications = false;
        self
    }

    /// How many threads may be busy with files at the same time: 16 by default, 1 at least. They are started
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
    /// `Invalid` for a setting out of its range; for a directory that holds something else, or nothing where one is to
    /// [exist](Self::existing), is of another format, is reached by a
    /// symbolic link, belongs to somebody else, or is writable by others; `Unsupported` on a
    /// network file system, without `/proc`, or when processes of another time namespace use it;
    /// `Unavailable` when another process is opening it for longer than the patience; those of the
    /// system.
    pub fn build(self) -> Result<FileDriver> {
        self.check().map_err(opening)?;
        let this = Process::this().map_err(|error| {
            Error::new(ErrorKind::Other, "the system gives no random bytes").because(error)
        });
        let this = this.map_err(opening)?;
        let (disk, fs, clock): (Arc<dyn Disk>, _, Arc<dyn Clock>) = match self.place {
            Place::Root(path) => {
                let opening_of = root::Opening {
                    network: self.network,
                    existing: self.existing,
                    patience: self.patience,
                };
                let root = root::open(&path, &opening_of).map_err(opening)?;
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
            boot: root::boot().map_err(opening)?.to_be_bytes(),
            this,
            tally: Tally::default(),
            watch: Arc::new(Watch::new(watched)),
        };
        Ok(FileDriver::over(FileStore::new(files, self.threads)))
    }
}

impl FileBuilder {
    fn check(&self) -> Result<()> {
        let wrong = if self.max_record > LARGEST {
            "the largest record is larger than 1 GiB"
        } else if self.timing.recheck < SHORTEST {
            "the recheck is shorter than 1 ms"
        } else if self.threads == 0 {
            "there is no thread for the files"
        } else {
            return Ok(());
        };
        Err(Error::new(ErrorKind::Invalid, wrong))
    }
}

const LARGEST: usize = 1 << 30;
const SHORTEST: Duration = Duration::from_millis(1);

fn opening(error: Error) -> Error {
    error.during("open").by("file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_its_range_is_refused_before_anything_is_made() {
        let place = tempfile::tempdir().expect("a directory");
        let root = place.path().join("root");
        let wrong: [fn(FileBuilder) -> FileBuilder; 3] = [
            |builder| builder.max_record(LARGEST + 1),
            |builder| builder.recheck(Duration::ZERO),
            |builder| builder.threads(0),
        ];
        for wrong in wrong {
            let refused = wrong(FileDriver::builder(&root)).build();
            assert_eq!(refused.expect_err("refused").kind(), ErrorKind::Invalid);
            assert!(!root.exists());
        }
        let least = FileDriver::builder(&root).recheck(SHORTEST).threads(1);
        drop(least.max_record(LARGEST).build().expect("in range"));
    }
}
