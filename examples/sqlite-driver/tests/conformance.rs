//! The contract, on sessions in a database. Each handle is a connection of its own, as another
//! process would have it.

use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_core::{Clock, Driver};
use asm_entry::{EntryDriver, EntryStore as _};
use asm_testkit::{Harness, ManualClock};
use async_trait::async_trait;
use rusqlite::Connection;
use sqlite_driver::SqliteStore;
use tempfile::TempDir;

asm_testkit::conformance! {
    setup: || async { Databases::new() },
    facets: [fields, subjects, sweeper],
}

/// Small enough to be filled with the smallest things there are.
const MAX_RECORD: usize = 64 * 1024;

const SESSIONS: &str = "sessions.db";
const NEIGHBOUR: &str = "neighbour.db";

/// Two databases on one clock.
#[derive(Debug)]
struct Databases {
    clock: ManualClock,
    place: TempDir,
    drivers: Mutex<Vec<EntryDriver<SqliteStore>>>,
}

impl Databases {
    fn new() -> Self {
        Self {
            clock: ManualClock::new(),
            place: tempfile::tempdir().expect("a directory"),
            drivers: Mutex::default(),
        }
    }

    fn driver(&self, name: &str) -> Arc<dyn Driver> {
        let clock = Arc::new(self.clock.clone());
        let store = SqliteStore::open_on(self.place.path().join(name), clock);
        let driver = store
            .expect("a database")
            .max_record(MAX_RECORD)
            .into_driver();
        self.drivers().push(driver.clone());
        Arc::new(driver)
    }

    fn drivers(&self) -> MutexGuard<'_, Vec<EntryDriver<SqliteStore>>> {
        self.drivers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn busy(&self) -> bool {
        self.drivers()
            .iter()
            .any(|driver| driver.store().under_way() > 0)
    }
}

#[async_trait]
impl Harness for Databases {
    async fn connect(&self) -> Arc<dyn Driver> {
        self.driver(SESSIONS)
    }

    async fn neighbour(&self) -> Arc<dyn Driver> {
        self.driver(NEIGHBOUR)
    }

    /// Through one handle they are, through another they are not.
    fn wakes_waiters(&self) -> bool {
        false
    }

    fn recheck(&self) -> Duration {
        self.drivers()[0].store().timing().recheck
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance_unless(by, || self.busy()).await;
    }

    async fn holdings(&self) -> usize {
        let files = [SESSIONS, NEIGHBOUR].map(|name| self.place.path().join(name));
        files
            .iter()
            .filter(|file| file.exists())
            .map(|file| holdings(file))
            .sum()
    }

    async fn stop(&self) {
        self.advance(Duration::ZERO).await;
        assert_eq!(self.clock.sleepers(), 0, "sleepers left");
    }
}

/// How many sessions and indexes have a row.
fn holdings(file: &Path) -> usize {
    const COUNT: &str = "SELECT
        (SELECT count(DISTINCT key) FROM part) + (SELECT count(*) FROM subject)";
    let connection = Connection::open(file).expect("a database");
    let count = connection.query_row(COUNT, (), |row| row.get::<_, u32>(0));
    count.expect("a count") as usize
}
