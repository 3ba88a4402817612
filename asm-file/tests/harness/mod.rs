//! A root of one's own, and a hand on the clock. Each handle is a driver of its own on the same
//! root, as another process would have it.

use std::{
    collections::HashSet,
    fs,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use asm_core::{Clock, Driver};
use asm_file::{Durability, FileBuilder, FileDriver};
use asm_testkit::{Harness, ManualClock};
use async_trait::async_trait;
use tempfile::TempDir;

const RECHECK: Duration = Duration::from_secs(1);

/// Small enough to be filled with the smallest things there are.
const MAX_RECORD: usize = 64 * 1024;

/// Two namespaces are two roots: they share nothing but the clock.
#[derive(Debug)]
pub(crate) struct Files {
    clock: ManualClock,
    root: TempDir,
    neighbour: TempDir,
    /// All that were connected.
    drivers: Mutex<Vec<FileDriver>>,
    /// What they had done when somebody looked last.
    done: AtomicU64,
}

impl Files {
    pub(crate) fn new() -> Self {
        let place = || tempfile::tempdir().expect("a directory");
        Self {
            clock: ManualClock::new(),
            root: place(),
            neighbour: place(),
            drivers: Mutex::default(),
            done: AtomicU64::new(0),
        }
    }

    fn builder(&self, root: &TempDir) -> FileBuilder {
        FileDriver::builder(root.path())
            .durability(Durability::Atomic)
            .recheck(RECHECK)
            .threads(4)
            .max_record(MAX_RECORD)
            .clock(Arc::new(self.clock.clone()))
    }

    fn made(&self, builder: FileBuilder) -> Arc<dyn Driver> {
        let driver = builder.build().expect("a driver");
        self.drivers().push(driver.clone());
        Arc::new(driver)
    }

    fn drivers(&self) -> MutexGuard<'_, Vec<FileDriver>> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether something is under way, or was since this was asked last: one thread's work may have
    /// set off another's between two looks.
    fn busy(&self) -> bool {
        match self.done_if_idle() {
            Some(done) => self.done.swap(done, Ordering::SeqCst) != done,
            None => true,
        }
    }

    /// How much was done so far, unless something is under way.
    fn done_if_idle(&self) -> Option<u64> {
        let drivers = self.drivers();
        drivers.iter().try_fold(0, |done, driver| {
            let counters = driver.counters();
            (counters.under_way == 0).then_some(done + counters.done)
        })
    }
}

#[async_trait]
impl Harness for Files {
    async fn connect(&self) -> Arc<dyn Driver> {
        self.made(self.builder(&self.root))
    }

    async fn neighbour(&self) -> Arc<dyn Driver> {
        self.made(self.builder(&self.neighbour))
    }

    async fn connect_deaf(&self) -> Arc<dyn Driver> {
        self.made(self.builder(&self.root).without_notifications())
    }

    fn recheck(&self) -> Duration {
        RECHECK
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance_unless(by, || self.busy()).await;
    }

    async fn holdings(&self) -> usize {
        holdings(self.root.path()) + holdings(self.neighbour.path())
    }

    async fn stop(&self) {
        self.advance(Duration::ZERO).await;
        for driver in &*self.drivers() {
            let counters = driver.counters();
            assert_eq!(counters.waited_for, 0, "waiters left");
            assert_eq!(counters.followed, 0, "subscribers left");
            assert_eq!(counters.leftovers, 0, "writes that were not finished");
            assert_eq!(counters.foreign, 0, "files that nobody could read");
        }
        assert_eq!(self.clock.sleepers(), 0, "sleepers left");
    }
}

/// The sessions and indexes that have any file, and whatever else is in the shards; but not the
/// feeds, which are no storage: they go with their followers.
fn holdings(root: &Path) -> usize {
    let Ok(shards) = fs::read_dir(root) else {
        return 0;
    };
    let shards = shards.filter_map(|shard| fs::read_dir(shard.ok()?.path()).ok());
    let names = shards
        .flatten()
        .map(|entry| entry.expect("an entry").file_name());
    let names = names.map(|name| name.into_string().expect("a name of ours"));
    let things: HashSet<_> = names
        .filter(|name| name != "feed")
        .map(|name| name.split('.').next().map(str::to_owned))
        .collect();
    things.len()
}
