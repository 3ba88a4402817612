//! The rows of a session and of an index, and the statements that read and write them.

use asm_core::{Key, Result, Subject, Timestamp};
use asm_entry::{Changes, Entry, Parts, StoredParts, SubjectEntry};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension as _};

use crate::connection::failed;

/// The parts of a session, each a row: which `kind` it has. They are bits, so that a set of them
/// is a number.
const PARTS: [(Parts, u8); 4] = [
    (Parts::HEAD, 1),
    (Parts::BODY, 2),
    (Parts::LOCK, 4),
    (Parts::FIELDS, 8),
];

/// The wanted parts of a session, and its head in any case.
pub(crate) fn load(connection: &Connection, key: &Key, wanted: Parts) -> Result<Entry> {
    let wanted = wanted | Parts::HEAD;
    let read = || {
        let mut stored = [const { None }; PARTS.len()];
        let mut select = connection
            .prepare_cached("SELECT kind, bytes FROM part WHERE key = ? AND kind & ? != 0")?;
        let mut rows = select.query((key.as_bytes(), kinds(wanted)))?;
        while let Some(row) = rows.next()? {
            let kind: u8 = row.get(0)?;
            let bytes: Vec<u8> = row.get(1)?;
            if let Some(place) = PARTS.iter().position(|part| part.1 == kind) {
                stored[place] = Some(Bytes::from(bytes));
            }
        }
        Ok(stored)
    };
    let [head, body, lock, fields] = read().map_err(failed)?;
    let stored = StoredParts {
        head,
        body,
        lock,
        fields,
    };
    Entry::decode(wanted, stored)
}

/// What a step changed of a session.
pub(crate) fn store(connection: &Connection, key: &Key, entry: &Entry) -> rusqlite::Result<()> {
    let Changes { clear, write } = entry.changes();
    let gone = PARTS
        .iter()
        .filter(|(part, _)| clear || write.contains(*part) && entry.part(*part).is_none());
    let gone: u8 = gone.map(|(_, kind)| kind).sum();
    if gone > 0 {
        connection
            .prepare_cached("DELETE FROM part WHERE key = ? AND kind & ? != 0")?
            .execute((key.as_bytes(), gone))?;
    }
    for (part, kind) in PARTS {
        let Some(bytes) = entry.part(part).filter(|_| write.contains(part)) else {
            continue;
        };
        let due = (part == Parts::HEAD).then(|| column(entry.expires()));
        connection
            .prepare_cached("INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?)")?
            .execute((key.as_bytes(), kind, &bytes[..], due))?;
    }
    Ok(())
}

/// The index of a subject, an empty one if there is none.
pub(crate) fn load_index(connection: &Connection, subject: &Subject) -> Result<SubjectEntry> {
    let read = || {
        let mut select = connection.prepare_cached("SELECT bytes FROM subject WHERE name = ?")?;
        let row = |row: &rusqlite::Row<'_>| row.get::<_, Vec<u8>>(0);
        select.query_row((subject.as_bytes(),), row).optional()
    };
    let stored = read().map_err(failed)?;
    let index = stored.map(|bytes| SubjectEntry::decode(&bytes));
    Ok(index.transpose()?.unwrap_or_default())
}

/// An index after a step, unless that left it as it was.
pub(crate) fn store_index(
    connection: &Connection,
    subject: &Subject,
    index: &SubjectEntry,
) -> rusqlite::Result<()> {
    match index.next_due() {
        None => connection
            .prepare_cached("DELETE FROM subject WHERE name = ?")?
            .execute((subject.as_bytes(),))?,
        Some(next) => connection
            .prepare_cached("INSERT OR REPLACE INTO subject VALUES (?, ?, ?)")?
            .execute((subject.as_bytes(), index.encode(), column(next)))?,
    };
    Ok(())
}

/// A time as a column has it: microseconds. No such number is reached by a clock.
pub(crate) fn column(time: Timestamp) -> i64 {
    i64::try_from(time.as_micros()).unwrap_or(i64::MAX)
}

fn kinds(parts: Parts) -> u8 {
    let wanted = PARTS.iter().filter(|(part, _)| parts.contains(*part));
    wanted.map(|(_, kind)| kind).sum()
}
