//! Finding what is over, and what lives, a part of a shard at a time.

use std::{collections::BTreeMap, num::NonZeroUsize, sync::Arc};

use asm_core::{Cursor, Error, ErrorKind, Key, Listed, Result, Subject};
use asm_entry::{Census, Due, Scan};
use async_trait::async_trait;

use crate::{
    fs::SHARDS,
    layout::{Kind, TEMP, is_stem},
    ring,
    store::FileStore,
    transaction::Files,
};

/// How many sessions and indexes one look keeps in mind at most, whatever batch is wished for.
const MOST: usize = 10_000;

/// What was found in a part of a shard.
#[derive(Default)]
struct Found {
    due: Due,
    alive: Vec<Key>,
    /// Sessions and indexes looked at.
    looked_at: usize,
    /// Where to go on in this shard.
    next: Option<String>,
    /// What may lie there without a record, or without anybody who needs it.
    orphans: Vec<Key>,
    litter: bool,
    indexes: Vec<Subject>,
}

/// A cursor is the number of a shard and the last name that was looked at in it.
#[async_trait]
impl Scan for FileStore {
    async fn due(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Due> {
        let (mut shard, mut after) = position(from.as_ref())?;
        let (mut due, mut room) = (Due::default(), batch.get().min(MOST));
        loop {
            let found = self.beside(move |files| Ok(files.search(shard, &after, room)));
            let found = found.await?;
            due.keys.extend(found.due.keys);
            due.examined += found.due.examined;
            due.failed += found.due.failed;
            if found.litter || !found.orphans.is_empty() {
                let clean = move |files: &Arc<Files>| files.clean(shard, &found.orphans);
                due.failed += u64::from(self.in_turn(shard, None, clean).await.is_err());
            }
            for index in found.indexes {
                let settle = move |files: &Arc<Files>| {
                    files.transact_subject(&index, |index, now| {
                        index.items(now);
                    })
                };
                due.failed += u64::from(self.in_turn(shard, None, settle).await.is_err());
            }
            let Some(next) = behind(shard, found.next) else {
                return Ok(due);
            };
            (shard, after) = next;
            room = room.saturating_sub(found.looked_at);
            if room == 0 {
                due.next = Some(cursor(shard, &after));
                return Ok(due);
            }
        }
    }

    fn progress(&self, at: &Cursor) -> Option<f64> {
        part_before(at)
    }
}

/// The cursors are the same.
#[async_trait]
impl Census for FileStore {
    async fn alive(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Listed> {
        let (mut shard, mut after) = position(from.as_ref())?;
        let (mut listed, mut room) = (Listed::default(), batch.get().min(MOST));
        loop {
            let found = self.beside(move |files| Ok(files.search(shard, &after, room)));
            let found = found.await?;
            listed.keys.extend(found.alive);
            listed.failed += found.due.failed;
            let Some(next) = behind(shard, found.next) else {
                return Ok(listed);
            };
            (shard, after) = next;
            room = room.saturating_sub(found.looked_at);
            if room == 0 {
                listed.next = Some(cursor(shard, &after));
                return Ok(listed);
            }
        }
    }

    fn progress(&self, at: &Cursor) -> Option<f64> {
        part_before(at)
    }
}

/// Where to go on behind what was looked at in a shard.
fn behind(shard: u8, last: Option<String>) -> Option<(u8, String)> {
    match last {
        Some(last) => Some((shard, last)),
        None => Some((shard.checked_add(1)?, String::new())),
    }
}

fn cursor(shard: u8, after: &str) -> Cursor {
    Cursor(format!("{shard:02x}/{after}").into())
}

/// Keys are random, so the place in their order says which part lies before it.
fn part_before(at: &Cursor) -> Option<f64> {
    let (shard, after) = position(Some(at)).ok()?;
    let digits = after.get(2..10).unwrap_or("0");
    let within = f64::from(u32::from_str_radix(digits, 16).ok()?) / f64::from(u32::MAX);
    Some((f64::from(shard) + within) / SHARDS as f64)
}

impl Files {
    /// Looks at the next sessions and indexes of a shard. Memory is bounded by their number, not by
    /// the shard's. A shard that cannot be listed is passed over, and counted.
    fn search(&self, shard: u8, after: &str, most: usize) -> Found {
        let mut found = Found::default();
        // By stem, with the kinds of files that there are.
        let mut stems: BTreeMap<String, Vec<Kind>> = BTreeMap::new();
        let listed = self.disk.names(shard, &mut |name| {
            if after.is_empty() && (name == TEMP || name == ring::NAME) {
                found.litter = true;
            }
            let Some((stem, kind)) = Kind::of_name(name) else {
                return;
            };
            if stem <= after {
                return;
            }
            if let Some(kinds) = stems.get_mut(stem) {
                kinds.push(kind);
                return;
            }
            if stems.len() == most {
                found.next = Some(String::new());
                match stems.last_entry() {
                    Some(last) if last.key().as_str() > stem => drop(last.remove()),
                    _ => return,
                }
            }
            stems.insert(stem.to_owned(), vec![kind]);
        });
        if let Err(error) = listed {
            tracing::warn!(%error, shard, "cannot list a shard: the sweep passes it over");
            found.due.failed += 1;
            found.next = None;
            return found;
        }
        found.looked_at = stems.len();
        if let (Some(next), Some(last)) = (&mut found.next, stems.keys().next_back()) {
            next.clone_from(last);
        }
        for (stem, kinds) in stems {
            self.examine(shard, &stem, &kinds, &mut found);
        }
        found
    }

    fn examine(&self, shard: u8, stem: &str, kinds: &[Kind], found: &mut Found) {
        if let Some(subject) = subject(stem).filter(|_| kinds.contains(&Kind::Index)) {
            match self.lists_what_is_over(&subject) {
                Ok(true) => found.indexes.push(subject),
                Ok(false) => {}
                Err(_) => found.due.failed += 1,
            }
        }
        let Some(key) = Key::from_hex(stem).filter(|key| key.as_bytes()[0] == shard) else {
            return;
        };
        if kinds.contains(&Kind::Record) {
            found.due.examined += 1;
            match self.is_due(&key) {
                Ok(Some(true)) => found.due.keys.push(key),
                Ok(Some(false)) => found.alive.push(key),
                Ok(None) => {}
                Err(_) => found.due.failed += 1,
            }
        } else if !kinds.is_empty() {
            found.orphans.push(key);
        }
    }
}

fn position(from: Option<&Cursor>) -> Result<(u8, String)> {
    let Some(cursor) = from else {
        return Ok((0, String::new()));
    };
    let parse = || {
        let (shard, after) = str::from_utf8(&cursor.0).ok()?.split_once('/')?;
        let shard = u8::from_str_radix(shard, 16)
            .ok()
            .filter(|_| shard.len() == 2)?;
        (after.is_empty() || is_stem(after)).then(|| (shard, after.to_owned()))
    };
    parse().ok_or_else(|| Error::new(ErrorKind::Invalid, "this cursor is not of the file driver"))
}

fn subject(stem: &str) -> Option<Subject> {
    let (first, second) = stem.split_at_checked(32)?;
    let (first, second) = (Key::from_hex(first)?, Key::from_hex(second)?);
    let mut bytes = [0; Subject::LEN];
    bytes[..16].copy_from_slice(first.as_bytes());
    bytes[16..].copy_from_slice(second.as_bytes());
    Some(Subject::from_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_tells_which_part_lies_before_it() {
        let rounded = |at: &Cursor| part_before(at).map(|part| (part * 1e6).round());
        assert_eq!(rounded(&cursor(0, "")), Some(0.0));
        assert_eq!(rounded(&cursor(0x80, "")), Some(500_000.0));
        let key = format!("4080000000{}", "0".repeat(22));
        assert_eq!(rounded(&cursor(0x40, &key)), Some(251_953.0));
        assert_eq!(rounded(&cursor(0x40, "x")), None);
        assert_eq!(rounded(&Cursor(b"4/".to_vec().into())), None);
    }

    #[test]
    fn behind_a_shard_is_the_next_one_and_behind_the_last_nothing() {
        let next = |shard, after: Option<&str>| behind(shard, after.map(str::to_owned));
        assert_eq!(next(7, Some("x")), Some((7, "x".to_owned())));
        assert_eq!(next(7, None), Some((8, String::new())));
        assert_eq!(next(255, None), None);
    }
}
