//! The transaction, and the scan for the dead.

use std::{num::NonZeroUsize, sync::Arc};

use asm_core::{
    Clock, Cursor, DriverInfo, Error, ErrorKind, Key, Result, Shared, Subject, Timestamp,
};
use asm_entry::{Due, Entry, EntryStore, Parts, Scan, SubjectEntry, Task, Turn};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;

use crate::table::{self, Table};

/// Sessions in a [`Table`]. Several stores on one table are several handles on its sessions.
#[derive(Debug)]
pub struct TableStore {
    table: Arc<Table>,
    clock: Arc<dyn Clock>,
}

impl TableStore {
    /// The sessions in this table, on the time of this clock.
    pub fn new(table: Arc<Table>, clock: Arc<dyn Clock>) -> Self {
        Self { table, clock }
    }
}

impl EntryStore for TableStore {
    fn info(&self) -> DriverInfo {
        let mut info = DriverInfo::new("table", Shared::Process);
        // All fields of a session are one row, which each change of one writes anew.
        info.max_record = 64 * 1024;
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
        let (answer, turn) = {
            let mut rows = self.table.begin();
            let mut entry = table::load(&rows, key, parts)?;
            // The time is taken inside, so that no entry sees it go back.
            let mut turn = Turn::new(self.clock.now(), self.timing());
            let answer = step(&mut entry, &mut turn);
            table::store(&mut rows, key, &entry);
            (answer, turn)
        };
        turn.into_effects().deliver(key, self);
        Ok(answer)
    }

    async fn transact_subject<R, F>(&self, subject: &Subject, mut step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut SubjectEntry, Timestamp) -> R + Send + 'static,
    {
        let mut rows = self.table.begin();
        let name = table::index_name(subject);
        let stored = rows.get(&name);
        let index = stored.map(|row| SubjectEntry::decode(row)).transpose()?;
        let mut index = index.unwrap_or_default();
        let answer = step(&mut index, self.clock.now());
        let row = (!index.is_empty()).then(|| index.encode());
        table::put(&mut rows, name, row);
        Ok(answer)
    }

    fn detach(&self, task: Task) {
        // No transaction here waits, so neither does the task. A store with I/O spawns it on the
        // runtime that it was built in.
        let _ = task.now_or_never();
    }

    fn scan(&self) -> Option<&dyn Scan> {
        Some(self)
    }
}

/// A cursor is the last key that was looked at.
#[async_trait]
impl Scan for TableStore {
    async fn due(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Due> {
        let after = from.as_ref().map(key_of).transpose()?;
        let (rows, now) = (self.table.begin(), self.clock.now());
        let mut heads = table::heads(&rows, after).peekable();
        let mut due = Due::default();
        for (key, head) in heads.by_ref().take(batch.get()) {
            due.examined += 1;
            due.next = Some(Cursor(Bytes::copy_from_slice(key.as_bytes())));
            match head {
                Ok(head) if head.expires() <= now => due.keys.push(key),
                Ok(_) => {}
                Err(_) => due.failed += 1,
            }
        }
        if heads.peek().is_none() {
            due.next = None;
        }
        Ok(due)
    }
}

fn key_of(cursor: &Cursor) -> Result<Key> {
    let bytes = cursor.0[..].try_into();
    bytes
        .map(Key::from_bytes)
        .map_err(|_| Error::new(ErrorKind::Invalid, "this cursor is not a key"))
}
