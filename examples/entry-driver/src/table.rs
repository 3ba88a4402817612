//! The table: rows of bytes, and what their names are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use asm_core::{Key, Result, Subject};
use asm_entry::{Changes, Entry, Parts, StoredParts};

/// Rows of bytes, in the order of their names. Who has the mutex has a transaction.
#[derive(Default)]
pub struct Table(Mutex<Rows>);

pub(crate) type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The parts of a session, each a row: which kind of name it has.
const PARTS: [(Parts, u8); 4] = [
    (Parts::HEAD, b'h'),
    (Parts::BODY, b'b'),
    (Parts::LOCK, b'l'),
    (Parts::FIELDS, b'f'),
];

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many sessions and indexes have a row. A session whose head is gone, and whose other rows
    /// are not, counts.
    #[must_use]
    pub fn owners(&self) -> usize {
        let rows = self.begin();
        let owners: BTreeSet<_> = rows.keys().map(|name| &name[1..]).collect();
        owners.len()
    }

    pub(crate) fn begin(&self) -> MutexGuard<'_, Rows> {
        // No step of ours leaves the rows in between: a panic elsewhere has spoilt nothing.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Table {
    /// Shows no row: names and bytes are not for logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Table")
            .field("owners", &self.owners())
            .finish()
    }
}

/// `SELECT`: the wanted parts of a session, and its head in any case.
pub(crate) fn load(rows: &Rows, key: &Key, wanted: Parts) -> Result<Entry> {
    let wanted = wanted | Parts::HEAD;
    let row = |part, kind| {
        let row = rows.get(&name(kind, key.as_bytes()));
        row.filter(|_| wanted.contains(part))
            .cloned()
            .map(Into::into)
    };
    let [head, body, lock, fields] = PARTS.map(|(part, kind)| row(part, kind));
    let stored = StoredParts {
        head,
        body,
        lock,
        fields,
    };
    Entry::decode(wanted, stored)
}

/// `DELETE` and `UPSERT`: what a step changed of a session.
pub(crate) fn store(rows: &mut Rows, key: &Key, entry: &Entry) {
    let Changes { clear, write } = entry.changes();
    for (part, kind) in PARTS {
        let name = name(kind, key.as_bytes());
        if clear {
            rows.remove(&name);
        }
        if write.contains(part) {
            put(rows, name, entry.part(part).map(Into::into));
        }
    }
}

pub(crate) fn put(rows: &mut Rows, name: Vec<u8>, row: Option<Vec<u8>>) {
    match row {
        Some(row) => rows.insert(name, row),
        None => rows.remove(&name),
    };
}

pub(crate) fn index_name(subject: &Subject) -> Vec<u8> {
    name(b's', subject.as_bytes())
}

/// The sessions after this one, in the order of their keys, each with its head if that can be read.
pub(crate) fn heads(rows: &Rows, after: Option<Key>) -> impl Iterator<Item = (Key, Result<Entry>)> {
    let first = match after {
        Some(key) => Bound::Excluded(name(b'h', key.as_bytes())),
        None => Bound::Included(vec![b'h']),
    };
    let heads = rows.range((first, Bound::Excluded(vec![b'h' + 1])));
    heads.filter_map(|(name, _)| {
        let key = Key::from_bytes(name[1..].try_into().ok()?);
        Some((key, load(rows, &key, Parts::HEAD)))
    })
}

/// Names of one kind have one length, so no name is the beginning of another.
fn name(kind: u8, bytes: &[u8]) -> Vec<u8> {
    [&[kind], bytes].concat()
}
