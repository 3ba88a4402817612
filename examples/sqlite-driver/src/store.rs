//! The transaction, and the scan for the dead.

use std::{num::NonZeroUsize, path::Path, sync::Arc, time::Duration};

use asm_core::{
    Clock, Cursor, DriverInfo, Error, ErrorKind, Key, Result, Shared, Subject, Timestamp,
};
use asm_entry::{
    Due, Entry, EntryDriver, EntryStore, Parts, Scan, SubjectEntry, Task, Timing, Turn, Wakeups,
};
use async_trait::async_trait;
use rusqlite::{Transaction, TransactionBehavior};
use tokio::runtime::Handle;

use crate::{
    clock::MachineClock,
    connection::{Connection, failed},
    rows, scan,
};

/// Sessions in a database. Several stores on one file, in one process or in several, are several
/// handles on its sessions.
#[derive(Debug)]
pub struct SqliteStore {
    connection: Connection,
    clock: Arc<dyn Clock>,
    wakeups: Arc<Wakeups>,
    max_record: usize,
    /// For work that goes on without its caller.
    runtime: Handle,
}

impl SqliteStore {
    /// The sessions in this file, which is made if there is none.
    ///
    /// # Errors
    /// `Invalid` outside of a tokio runtime; else what SQLite says of the file.
    pub fn open(file: impl AsRef<Path>) -> Result<Self> {
        let mut connection = Connection::open(file.as_ref()).map_err(failed)?;
        let clock = MachineClock::of(&mut connection).map_err(failed)?;
        Self::new(connection, Arc::new(clock))
    }

    /// The same, on the time of this clock, which must be one for all handles on the file.
    ///
    /// # Errors
    /// As of [`open`](Self::open).
    pub fn open_on(file: impl AsRef<Path>, clock: Arc<dyn Clock>) -> Result<Self> {
        let connection = Connection::open(file.as_ref()).map_err(failed)?;
        Self::new(connection, clock)
    }

    fn new(connection: rusqlite::Connection, clock: Arc<dyn Clock>) -> Result<Self> {
        let runtime = Handle::try_current()
            .map_err(|error| Error::new(ErrorKind::Invalid, "no runtime here").because(error))?;
        Ok(Self {
            connection: Connection::spawn(connection)?,
            clock,
            wakeups: Arc::default(),
            max_record: 1024 * 1024,
            runtime,
        })
    }

    /// Limits records, and the fields of a session together, to so many bytes. The default is
    /// 1 MiB.
    #[must_use]
    pub fn max_record(mut self, bytes: usize) -> Self {
        self.max_record = bytes;
        self
    }

    /// The driver.
    #[must_use]
    pub fn into_driver(self) -> EntryDriver<Self> {
        EntryDriver::new(self)
    }

    /// How many requests were sent and are not done.
    #[must_use]
    pub fn under_way(&self) -> usize {
        self.connection.under_way()
    }
}

impl EntryStore for SqliteStore {
    fn info(&self) -> DriverInfo {
        let mut info = DriverInfo::new("sqlite", Shared::Machine);
        info.max_record = self.max_record;
        info
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    async fn transact<R, F>(&self, key: &Key, parts: Parts, mut step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut Entry, &mut Turn) -> R + Send + 'static,
    {
        let (key, timing) = (*key, self.timing());
        let (clock, wakeups) = (Arc::clone(&self.clock), Arc::clone(&self.wakeups));
        let job = move |connection: &mut rusqlite::Connection| {
            let (answer, turn) = transaction(connection, |transaction, writes| {
                let mut entry = rows::load(transaction, &key, parts)?;
                // The time is taken inside, so that no entry sees it go back.
                let mut turn = Turn::new(clock.now(), timing);
                let answer = step(&mut entry, &mut turn);
                if writes {
                    rows::store(transaction, &key, &entry).map_err(failed)?;
                }
                Ok(((answer, turn), !entry.changes().is_empty()))
            })?;
            // Here and not in `deliver`: the caller may be gone, and its waiters are not.
            for token in turn.into_effects().wakes() {
                wakeups.wake(token);
            }
            Ok(answer)
        };
        self.connection.run(job).await
    }

    async fn transact_subject<R, F>(&self, subject: &Subject, mut step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut SubjectEntry, Timestamp) -> R + Send + 'static,
    {
        let (subject, clock) = (*subject, Arc::clone(&self.clock));
        let job = move |connection: &mut rusqlite::Connection| {
            transaction(connection, |transaction, writes| {
                let mut index = rows::load_index(transaction, &subject)?;
                let before = index.clone();
                let answer = step(&mut index, clock.now());
                if writes {
                    rows::store_index(transaction, &subject, &index).map_err(failed)?;
                }
                Ok((answer, index != before))
            })
        };
        self.connection.run(job).await
    }

    fn detach(&self, task: Task) {
        self.runtime.spawn(task);
    }

    fn timing(&self) -> Timing {
        Timing::of_recheck(Duration::from_millis(100))
    }

    fn wakeups(&self) -> Option<&Wakeups> {
        Some(&self.wakeups)
    }

    fn scan(&self) -> Option<&dyn Scan> {
        Some(self)
    }
}

#[async_trait]
impl Scan for SqliteStore {
    async fn due(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Due> {
        let now = self.clock.now();
        let job = move |connection: &mut rusqlite::Connection| {
            scan::due(connection, from.as_ref(), batch.get(), now)
        };
        self.connection.run(job).await
    }
}

/// Runs a step that answers whether it has something to write: as a reader, and when it has, once
/// more as the writer, whom nobody else can come between.
pub(crate) fn transaction<R>(
    connection: &mut rusqlite::Connection,
    mut step: impl FnMut(&Transaction<'_>, bool) -> Result<(R, bool)>,
) -> Result<R> {
    let reader = connection.transaction().map_err(failed)?;
    let (answer, changes) = step(&reader, false)?;
    if !changes {
        return Ok(answer);
    }
    drop(reader);
    let writer = connection
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let (answer, _) = step(&writer, true)?;
    writer.commit().map_err(unsure)?;
    Ok(answer)
}

/// A commit that failed may still stand in the log.
fn unsure(error: rusqlite::Error) -> Error {
    Error::new(ErrorKind::Unknown, "the commit failed").because(error)
}
