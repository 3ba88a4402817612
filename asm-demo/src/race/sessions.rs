//! What a request does, through sessions.

use std::{sync::Arc, time::Duration};

use asm_session::{Client, IdUpdate, LockMode, Session as Opened, SessionError, Sessions};

use super::{
    Failure,
    args::{Mode, Write},
    course::{Counter, Session},
    tally::Notes,
    watched::{Queues, Waits, Watched},
};
use crate::{drivers::Storage, observed::Observed};

/// The entry that is counted in.
const COUNT: &str = "count";
/// Longer than any request, and short enough to end if the process is stopped.
const HOLD: Duration = Duration::from_secs(60);
/// Longer than the longest queue of requests.
const WAIT: Duration = Duration::from_secs(600);

/// What makes the counters of a race in this mode, counting this way.
pub(super) struct Through {
    mode: Mode,
    write: Write,
    queues: Arc<Queues>,
}

impl Through {
    pub(super) fn new(mode: Mode, write: Write) -> Self {
        let queues = Arc::default();
        Self {
            mode,
            write,
            queues,
        }
    }

    /// One task's counter.
    pub(super) fn counter(&self, storage: &Storage) -> Result<SessionCounter, Failure> {
        SessionCounter::new(self.mode, self.write, storage, &self.queues)
    }

    /// The most of this process that waited for one lock at once.
    pub(super) fn longest_queue(&self) -> usize {
        self.queues.most()
    }
}

/// Counts in an entry of a session, with `Sessions` and a handle of its own.
pub(super) struct SessionCounter {
    sessions: Sessions,
    waits: Arc<Waits>,
    client: Client,
    write: Write,
}

/// A session that a request has read, and what it read.
pub(super) struct Read {
    session: Opened,
    count: u64,
}

impl SessionCounter {
    fn new(
        mode: Mode,
        write: Write,
        storage: &Storage,
        queues: &Arc<Queues>,
    ) -> Result<Self, Failure> {
        let waits = Arc::new(Waits::default());
        let driver = Observed {
            driver: storage.connect(),
            observer: Watched {
                queues: Arc::clone(queues),
                waits: Arc::clone(&waits),
            },
        };
        let sessions = Sessions::builder(driver)
            .lock_mode(lock_mode(mode))
            .lock_hold(HOLD)
            .lock_wait(WAIT)
            .lock_queue(None)
            .build()?;
        Ok(Self {
            sessions,
            waits,
            client: Client::default(),
            write,
        })
    }

    /// Makes the request that has read go on to its end.
    async fn finish(&self, id: &str, read: Read) -> Result<(), SessionError> {
        if self.write == Write::Transact {
            return self.sessions.transact(id, &self.client, bump).await;
        }
        let Read { mut session, count } = match self.sessions.mode() {
            LockMode::OnOpen => self.open(&self.sessions, id).await?,
            _ => read,
        };
        let writing = session.write().await?;
        match self.write {
            Write::Update => {
                writing.update(COUNT, |count: Option<u64>| Some(count.unwrap_or(0) + 1))?;
            }
            Write::Add => {
                writing.add(COUNT, 1)?;
            }
            Write::Insert | Write::Transact => writing.insert(COUNT, &(count + 1))?,
        }
        writing.close().await?;
        Ok(())
    }

    /// The sessions that the first half of a request reads through. Where the whole request has the
    /// lock, the first half is that of one before it: the page on which the user clicked.
    fn readers(&self) -> Sessions {
        if self.write == Write::Transact || self.sessions.mode() == LockMode::OnOpen {
            self.sessions.with_mode(LockMode::ReadOnly)
        } else {
            self.sessions.clone()
        }
    }

    async fn open(&self, sessions: &Sessions, id: &str) -> Result<Read, SessionError> {
        let session = sessions.open(id, &self.client).await?;
        let count = session.get_or(COUNT, 0)?;
        Ok(Read { session, count })
    }
}

impl Counter for SessionCounter {
    type Id = Arc<str>;
    type Read = Read;

    fn show(id: &Arc<str>) -> String {
        id.to_string()
    }

    fn parse(text: &str) -> Option<Arc<str>> {
        Some(text.into())
    }

    async fn create(&mut self) -> Result<Arc<str>, Failure> {
        let mut session = self.sessions.create(&self.client)?;
        session.write().await?.insert(COUNT, &0)?;
        session.close().await?;
        match session.id_update() {
            IdUpdate::Issue(id) => Ok(id.expose().as_str().into()),
            _ => Err(Failure::Vanished),
        }
    }

    async fn read(&mut self, id: &Arc<str>) -> Result<Read, Failure> {
        Ok(self.open(&self.readers(), id).await?)
    }

    async fn write(
        &mut self,
        session: &Session<Arc<str>>,
        mut read: Read,
        notes: &mut Notes,
    ) -> Result<bool, Failure> {
        let before = self.sessions.counters();
        // Told of a conflict, the request is made again.
        while let Err(error) = self.finish(&session.id, read).await {
            let SessionError::Conflict(_) = error else {
                return Err(error.into());
            };
            read = self.open(&self.readers(), &session.id).await?;
            tokio::task::yield_now().await;
        }
        let after = self.sessions.counters();
        notes.conflicts += after.conflicts - before.conflicts;
        notes.merges += after.merges - before.merges;
        notes.waits.extend(self.waits.take());
        Ok(true)
    }

    async fn count(&mut self, id: &Arc<str>) -> Result<u64, Failure> {
        let readers = self.sessions.with_mode(LockMode::ReadOnly);
        let session = readers.open(id, &self.client).await?;
        session.get(COUNT)?.ok_or(Failure::NoCounter)
    }
}

fn bump(session: &mut Opened) -> Result<(), SessionError> {
    let count: u64 = session.get_or(COUNT, 0)?;
    session.insert(COUNT, &(count + 1))
}

fn lock_mode(mode: Mode) -> LockMode {
    match mode {
        Mode::OnWrite => LockMode::OnWrite,
        Mode::OnOpen => LockMode::OnOpen,
        Mode::Manual => LockMode::Manual,
        Mode::Off => LockMode::Off,
        // The others are of the raw driver.
        _ => LockMode::Optimistic,
    }
}
