//! Entries in maps.

use std::{
    cmp::Ordering::{Equal, Greater, Less},
    fmt,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use asm_core::{
    Clock, Cursor, DriverInfo, Error, ErrorKind, Key, Listed, Result, Shared, Subject, Timestamp,
};
use asm_entry::{
    Census, Due, Entry, EntryStore, Feed, Parts, Scan, SubjectEntry, SubjectItem, Task, Timing,
    Turn, Wakeups,
};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::FutureExt;

use crate::{
    MemoryBuilder,
    shards::{LOOK, Place, Shards},
};

/// Entries in maps. No transaction of it ever waits.
pub(crate) struct MemoryStore {
    settings: MemoryBuilder,
    entries: Shards<Key, Entry>,
    indexes: Shards<Subject, SubjectEntry>,
    sessions: AtomicUsize,
    bytes: AtomicUsize,
    /// Where the dead are searched for next when room is short.
    reclaim: Mutex<Walk>,
    wakeups: Wakeups,
    feed: Feed,
}

impl MemoryStore {
    pub(crate) fn new(settings: MemoryBuilder) -> Self {
        Self {
            settings,
            entries: Shards::new(),
            indexes: Shards::new(),
            sessions: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            reclaim: Mutex::default(),
            wakeups: Wakeups::new(),
            feed: Feed::new(),
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.sessions.load(Ordering::Relaxed)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn subjects(&self) -> usize {
        self.indexes.len()
    }

    pub(crate) fn listeners(&self) -> (usize, usize) {
        (self.wakeups.len(), self.feed.len())
    }

    /// Runs a step at once.
    #[inline(always)] // See `Shards::with`.
    fn run<R>(&self, key: &Key, step: impl FnOnce(&mut Entry, &mut Turn) -> R) -> R {
        let mut effects = None;
        let run = |entry: &mut Entry| {
            // The time is taken under the lock, so that the entry never sees it go back.
            let turn = Turn::new(self.settings.clock.now(), self.settings.timing);
            let mut turn = turn.with_room(self.room(entry));
            let before = (entry.is_vacant(), entry.weight());
            let answer = step(entry, &mut turn);
            if entry.changes().write.contains(Parts::BODY) {
                entry.compact();
            }
            entry.written();
            self.count(before, (entry.is_vacant(), entry.weight()));
            effects = Some(turn.into_effects());
            answer
        };
        let answer = self.entries.with(key, Entry::vacant, Entry::is_vacant, run);
        if let Some(effects) = effects {
            effects.deliver(key, self);
        }
        answer
    }

    /// By how many bytes an entry may grow.
    fn room(&self, entry: &Entry) -> usize {
        if entry.is_vacant() && self.sessions() >= self.settings.max_sessions {
            return 0;
        }
        self.settings.max_bytes.saturating_sub(self.bytes())
    }

    fn count(&self, before: (bool, usize), after: (bool, usize)) {
        match (before.0, after.0) {
            (true, false) => self.sessions.fetch_add(1, Ordering::Relaxed),
            (false, true) => self.sessions.fetch_sub(1, Ordering::Relaxed),
            _ => 0,
        };
        self.weigh(before.1, after.1);
    }

    fn weigh(&self, before: usize, after: usize) {
        // Nothing is written to what all threads share when nothing changes.
        match after.cmp(&before) {
            Greater => self.bytes.fetch_add(after - before, Ordering::Relaxed),
            Less => self.bytes.fetch_sub(before - after, Ordering::Relaxed),
            Equal => 0,
        };
    }

    /// Below this much room the dead are searched for: a record, or an eighth if that is less.
    fn spare(&self) -> usize {
        self.settings.max_record.min(self.settings.max_bytes / 8)
    }

    /// When room is short, a step first clears the dead from a few places, the next step from the
    /// next few.
    fn reclaim_if_short(&self) {
        let short = self.sessions() >= self.settings.max_sessions
            || self.bytes().saturating_add(self.spare()) > self.settings.max_bytes;
        // One at a time is enough.
        let Some(mut walk) = short.then(|| self.reclaim.try_lock().ok()).flatten() else {
            return;
        };
        let mut found = Found::default();
        *walk = self.look_on(*walk, &mut found).1.unwrap_or_default();
        drop(walk);
        for key in &found.due.keys {
            self.run(key, Entry::settle);
        }
    }

    /// Looks at the next few places: notes sessions, and drops what is over in indexes.
    /// Answers how many places these were, and where to go on.
    fn look_on(&self, from: Walk, found: &mut Found) -> (usize, Option<Walk>) {
        let now = self.settings.clock.now();
        let Walk { table, place } = from;
        match table {
            Table::Entries => {
                let (looked, next) = self.entries.look(place, |key, entry| {
                    found.due.examined += 1;
                    let keys = match entry.expires() <= now {
                        true => &mut found.due.keys,
                        false => &mut found.alive,
                    };
                    keys.push(*key);
                });
                let then = Walk::of(Table::Indexes, Place::default());
                (
                    looked,
                    Some(next.map_or(then, |place| Walk::of(table, place))),
                )
            }
            Table::Indexes => {
                let mut stale = Vec::new();
                let (looked, next) = self.indexes.look(place, |subject, index| {
                    found.due.examined += 1;
                    if index.is_due(now) {
                        stale.push(*subject);
                    }
                });
                for subject in &stale {
                    self.settle_index(subject);
                }
                (looked, next.map(|place| Walk::of(table, place)))
            }
        }
    }

    fn settle_index(&self, subject: &Subject) {
        let settle = |index: &mut SubjectEntry| {
            let before = weight(index);
            index.items(self.settings.clock.now());
            self.weigh(before, weight(index));
        };
        self.indexes.with(
            subject,
            SubjectEntry::default,
            SubjectEntry::is_empty,
            settle,
        );
    }
}

/// Where a search for the dead goes on: through all entries, then through all indexes.
#[derive(Clone, Copy, Debug, Default)]
struct Walk {
    table: Table,
    place: Place,
}

#[derive(Clone, Copy, Debug, Default)]
enum Table {
    #[default]
    Entries,
    Indexes,
}

impl Walk {
    fn of(table: Table, place: Place) -> Self {
        Self { table, place }
    }

    fn cursor(self) -> Cursor {
        let table = [self.table as u8];
        Cursor(Bytes::from([&table[..], &self.place.to_bytes()].concat()))
    }

    fn at(Cursor(bytes): &Cursor) -> Option<Self> {
        let (table, place) = bytes.split_first()?;
        let table = match table {
            0 => Table::Entries,
            1 => Table::Indexes,
            _ => return None,
        };
        Some(Self::of(table, Place::from_bytes(place)?))
    }
}

impl fmt::Debug for MemoryStore {
    /// Shows how much there is, not what.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore")
            .field("sessions", &self.sessions())
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

impl EntryStore for MemoryStore {
    const WHOLE: bool = true;

    fn info(&self) -> DriverInfo {
        let mut info = DriverInfo::new("memory", Shared::Process);
        info.max_record = self.settings.max_record;
        info
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.settings.clock
    }

    async fn transact<R, F>(&self, key: &Key, _: Parts, step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut Entry, &mut Turn) -> R + Send + 'static,
    {
        self.reclaim_if_short();
        Ok(self.run(key, step))
    }

    async fn transact_subject<R, F>(&self, subject: &Subject, mut step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut SubjectEntry, Timestamp) -> R + Send + 'static,
    {
        self.reclaim_if_short();
        let run = |index: &mut SubjectEntry| {
            let now = self.settings.clock.now();
            let before = index.clone();
            let answer = step(index, now);
            let (old, new) = (weight(&before), weight(index));
            if new > old && self.bytes() + (new - old) > self.settings.max_bytes {
                *index = before;
                return Err(full());
            }
            self.weigh(old, new);
            Ok(answer)
        };
        self.indexes
            .with(subject, SubjectEntry::default, SubjectEntry::is_empty, run)
    }

    fn detach(&self, task: Task) {
        // No transaction waits, so neither does the task.
        let _ = task.now_or_never();
    }

    fn timing(&self) -> Timing {
        self.settings.timing
    }

    fn wakeups(&self) -> Option<&Wakeups> {
        Some(&self.wakeups)
    }

    fn feed(&self) -> Option<&Feed> {
        Some(&self.feed)
    }

    fn scan(&self) -> Option<&dyn Scan> {
        Some(self)
    }

    fn census(&self) -> Option<&dyn Census> {
        Some(self)
    }
}

#[async_trait]
impl Scan for MemoryStore {
    async fn due(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Due> {
        let Found { due, .. } = self.look(from.as_ref(), batch)?;
        Ok(due)
    }
}

#[async_trait]
impl Census for MemoryStore {
    async fn alive(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Listed> {
        let Found { due, alive } = self.look(from.as_ref(), batch)?;
        Ok(Listed {
            keys: alive,
            failed: due.failed,
            next: due.next,
        })
    }
}

/// What some steps of a walk found.
#[derive(Default)]
struct Found {
    due: Due,
    alive: Vec<Key>,
}

impl MemoryStore {
    /// Walks on by about so many records.
    fn look(&self, from: Option<&Cursor>, batch: NonZeroUsize) -> Result<Found> {
        let mut found = Found::default();
        let mut walk = Some(from.map_or(Ok(Walk::default()), walk_of)?);
        // Most places may be free: they count too, so that a step ends.
        let mut left = batch.get().max(LOOK).saturating_mul(2);
        while let Some(from) = walk {
            if found.due.examined >= batch.get() as u64 || left == 0 {
                found.due.next = Some(from.cursor());
                break;
            }
            let (looked, next) = self.look_on(from, &mut found);
            left = left.saturating_sub(looked);
            walk = next;
        }
        Ok(found)
    }
}

fn walk_of(cursor: &Cursor) -> Result<Walk> {
    Walk::at(cursor).ok_or_else(|| {
        Error::new(
            ErrorKind::Invalid,
            "this cursor is not of the memory driver",
        )
    })
}

fn weight(index: &SubjectEntry) -> usize {
    index.len() * size_of::<SubjectItem>()
}

fn full() -> Error {
    Error::new(ErrorKind::Full, "the store has no room for an index entry")
}
