//! A connection on a thread of its own, and what its errors mean.

use std::{
    fmt,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use asm_core::{Error, ErrorKind, Result};
use rusqlite::ErrorCode;
use tokio::sync::oneshot;

/// How long a statement waits for another process's transaction.
const PATIENCE: Duration = Duration::from_secs(5);

/// `due` is when the row may go, in microseconds of store time; only heads and indexes have one.
const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS part (
        key BLOB NOT NULL, kind INTEGER NOT NULL, bytes BLOB NOT NULL, due INTEGER,
        PRIMARY KEY (key, kind)
    );
    CREATE INDEX IF NOT EXISTS part_due ON part (due, key) WHERE due IS NOT NULL;
    CREATE TABLE IF NOT EXISTS subject (
        name BLOB PRIMARY KEY, bytes BLOB NOT NULL, due INTEGER NOT NULL
    );
    CREATE INDEX IF NOT EXISTS subject_due ON subject (due);
    CREATE TABLE IF NOT EXISTS clock (boot TEXT, started INTEGER NOT NULL, latest INTEGER NOT NULL);
";

type Job = Box<dyn FnOnce(&mut rusqlite::Connection) + Send>;

/// Where jobs are sent to.
pub(crate) struct Connection {
    jobs: mpsc::Sender<Job>,
    under_way: Arc<AtomicUsize>,
}

impl Connection {
    /// Opens the database, which is made if there is none.
    pub(crate) fn open(file: &Path) -> rusqlite::Result<rusqlite::Connection> {
        let connection = rusqlite::Connection::open(file)?;
        connection.busy_timeout(PATIENCE)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        Ok(connection)
    }

    /// Gives the connection a thread, which ends when this is dropped and all jobs are done.
    pub(crate) fn spawn(mut connection: rusqlite::Connection) -> Result<Self> {
        let (jobs, inbox) = mpsc::channel::<Job>();
        let work = move || {
            for job in inbox {
                job(&mut connection);
            }
        };
        thread::Builder::new()
            .name("sqlite".to_owned())
            .spawn(work)
            .map_err(|error| Error::new(ErrorKind::Unavailable, "no thread").because(error))?;
        Ok(Self {
            jobs,
            under_way: Arc::default(),
        })
    }

    /// Does a job after all that were sent before, whether or not the caller waits for it.
    pub(crate) async fn run<R: Send + 'static>(
        &self,
        job: impl FnOnce(&mut rusqlite::Connection) -> Result<R> + Send + 'static,
    ) -> Result<R> {
        let (tell, answer) = oneshot::channel();
        let under_way = Arc::clone(&self.under_way);
        under_way.fetch_add(1, Ordering::SeqCst);
        let job: Job = Box::new(move |connection| {
            // Nobody to tell: the caller was dropped.
            let _ = tell.send(job(connection));
            under_way.fetch_sub(1, Ordering::SeqCst);
        });
        let gone = || Error::new(ErrorKind::Unknown, "the connection's thread has ended");
        self.jobs.send(job).map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// How many jobs were sent and are not done.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.load(Ordering::SeqCst)
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("under_way", &self.under_way())
            .finish_non_exhaustive()
    }
}

/// A failed statement: nothing of its transaction happened.
pub(crate) fn failed(error: rusqlite::Error) -> Error {
    let kind = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => ErrorKind::Timeout,
        Some(ErrorCode::DiskFull) => ErrorKind::Full,
        Some(ErrorCode::ReadOnly) => ErrorKind::ReadOnly,
        Some(ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied) => {
            ErrorKind::Denied
        }
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ErrorKind::Corrupt,
        Some(ErrorCode::TooBig) => ErrorKind::TooLarge,
        Some(ErrorCode::CannotOpen | ErrorCode::SystemIoFailure | ErrorCode::OutOfMemory) => {
            ErrorKind::Unavailable
        }
        _ => ErrorKind::Other,
    };
    // The source names statements and files, never a bound value.
    Error::new(kind, "SQLite refused").because(error)
}
