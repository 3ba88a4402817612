//! The search for the dead: through the sessions that are due, then through the indexes.

use asm_core::{Cursor, Error, ErrorKind, Key, Result, Subject, Timestamp};
use asm_entry::Due;
use bytes::Bytes;
use rusqlite::Connection;

use crate::{connection::failed, rows, store::transaction};

const SESSIONS: &str = "SELECT due, key FROM part
    WHERE due IS NOT NULL AND due <= ?1 AND (due, key) > (?2, ?3) ORDER BY due, key LIMIT ?4";
const INDEXES: &str = "SELECT due, name FROM subject
    WHERE due <= ?1 AND (due, name) > (?2, ?3) ORDER BY due, name LIMIT ?4";

/// Where a search goes on: after a row of one of the tables.
#[derive(Clone, Default)]
struct Place {
    indexes: bool,
    due: i64,
    name: Vec<u8>,
}

/// Looks at the next rows that are due, of one table.
pub(crate) fn due(
    connection: &mut Connection,
    from: Option<&Cursor>,
    batch: usize,
    now: Timestamp,
) -> Result<Due> {
    let from = from.map_or_else(|| Ok(Place::default()), Place::at)?;
    let found = look(connection, &from, batch, now).map_err(failed)?;
    let mut due = Due {
        examined: found.len() as u64,
        ..Due::default()
    };
    for (_, name) in &found {
        if from.indexes {
            // What cannot be read stays, and stays counted.
            due.failed += u64::from(settle_index(connection, name, now).is_err());
        } else {
            match name[..].try_into() {
                Ok(key) => due.keys.push(Key::from_bytes(key)),
                Err(_) => due.failed += 1,
            }
        }
    }
    due.next = match found.into_iter().nth(batch - 1) {
        Some((due, name)) => Some(Place { due, name, ..from }.cursor()),
        None if !from.indexes => Some(
            Place {
                indexes: true,
                ..Place::default()
            }
            .cursor(),
        ),
        None => None,
    };
    Ok(due)
}

fn look(
    connection: &Connection,
    from: &Place,
    batch: usize,
    now: Timestamp,
) -> rusqlite::Result<Vec<(i64, Vec<u8>)>> {
    let limit = i64::try_from(batch).unwrap_or(i64::MAX);
    let sql = if from.indexes { INDEXES } else { SESSIONS };
    let mut select = connection.prepare_cached(sql)?;
    let rows = select.query_map((rows::column(now), from.due, &from.name, limit), |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    rows.collect()
}

/// Drops what is over of an index, and the index when nothing is left.
fn settle_index(connection: &mut Connection, name: &[u8], now: Timestamp) -> Result<()> {
    let name = name.try_into();
    let foreign = |_| Error::new(ErrorKind::Corrupt, "an index of a foreign name");
    let subject = Subject::from_bytes(name.map_err(foreign)?);
    transaction(connection, |transaction, writes| {
        let mut index = rows::load_index(transaction, &subject)?;
        index.items(now);
        if writes {
            rows::store_index(transaction, &subject, &index).map_err(failed)?;
        }
        Ok(((), true))
    })
}

impl Place {
    fn cursor(&self) -> Cursor {
        let parts = [
            &[self.indexes.into()][..],
            &self.due.to_be_bytes(),
            &self.name,
        ];
        Cursor(Bytes::from(parts.concat()))
    }

    fn at(Cursor(bytes): &Cursor) -> Result<Self> {
        let parse = || {
            let (&indexes, rest) = bytes.split_first()?;
            let (due, name) = rest.split_first_chunk()?;
            (indexes <= 1).then(|| Self {
                indexes: indexes == 1,
                due: i64::from_be_bytes(*due),
                name: name.to_vec(),
            })
        };
        parse().ok_or_else(|| Error::new(ErrorKind::Invalid, "this cursor is not of SQLite"))
    }
}
