//! The contract, on a store that makes it as hard for the adapter as a store may: it keeps each
//! part as bytes and loads no more than it is asked for, waits before and after each transaction,
//! and runs every other step twice, as after a serialization failure.

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroUsize,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_core::{
    Clock, Cursor, Driver, DriverInfo, Error, ErrorKind, Key, Listed, Redacted, Released, Result,
    Shared, Subject, SweepStep, Timestamp,
};
use asm_entry::{
    Census, Changes, Due, Entry, EntryDriver, EntryStore, Feed, Parts, Scan, StoredParts,
    SubjectEntry, Task, Timing, Turn, Wakeups,
};
use asm_testkit::{Harness, ManualClock, expect, given};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::task::yield_now;

mod whole {
    asm_testkit::conformance! {
        setup: || async { super::Stores::new(super::Extras::All) },
        facets: [fields, changes, subjects, sweeper, inventory],
    }
}

mod without_wakeups_and_feed {
    asm_testkit::conformance! {
        setup: || async { super::Stores::new(super::Extras::None) },
        facets: [fields, subjects, sweeper, inventory],
    }
}

/// One that cannot be removed now keeps nobody else, and is tried again.
#[tokio::test]
async fn a_sweep_goes_on_after_what_it_cannot_remove() {
    const SESSIONS: u64 = 5;
    let stores = Stores::new(Extras::None);
    let driver = stores.connect().await;
    let mut keys = Vec::new();
    for _ in 0..SESSIONS {
        keys.push(given::stored(&*driver).await.0);
    }
    keys.sort_unstable();
    stores.storage.tables().broken.insert(keys[1]);
    stores.advance(2 * given::TTL).await;
    let sweeper = driver.sweeper().expect("the facet");
    let sweep = || {
        let batch = NonZeroUsize::MIN.saturating_add(99);
        sweeper.sweep(SweepStep { from: None, batch })
    };
    let swept = sweep().await.expect("a sweep");
    assert_eq!((swept.examined, swept.next), (SESSIONS, None));
    assert_eq!((swept.removed, swept.failed), (SESSIONS - 1, 1));
    stores.storage.tables().broken.clear();
    let swept = sweep().await.expect("a sweep");
    assert_eq!((swept.examined, swept.removed, swept.failed), (1, 1, 0));
}

#[test]
fn what_the_store_tells_of_its_progress_is_told() {
    let stores = Stores::new(Extras::All);
    let driver = driver(&stores.storage, Extras::All);
    let at = Cursor(Bytes::from_static(&[64]));
    let sweeper = driver.sweeper().expect("it sweeps");
    assert_eq!(sweeper.progress(&at), Some(0.25));
    let inventory = driver.inventory().expect("it lists");
    assert_eq!(inventory.progress(&at), Some(0.25));
}

/// Who waits asks the store for nothing, and a release wakes the next one alone.
#[tokio::test]
async fn a_hand_off_is_two_transactions_however_many_wait() {
    const WAITERS: usize = 10;
    let stores = Stores::new(Extras::All);
    let (driver, other) = (stores.connect().await, stores.connect().await);
    let (key, snapshot) = given::stored(&*driver).await;
    let (token, first) = given::held(&*driver, &key, &snapshot).await;
    let mut waiting = Vec::new();
    for place in 1..=WAITERS {
        let (other, wish) = (Arc::clone(&other), given::wish(&snapshot));
        waiting.push(tokio::spawn(async move { other.acquire(&key, wish).await }));
        while driver.inspect(&key).await.expect("a look").waiters.len() < place {
            yield_now().await;
        }
    }
    let transactions = || stores.storage.tables().transactions;
    // On one thread: all who can go on have gone on by then.
    let rest = async || {
        for _ in 0..1_000 {
            yield_now().await;
        }
    };
    rest().await;
    let before = transactions();
    rest().await;
    assert_eq!(transactions(), before, "somebody polls");
    let released = driver.release(&key, &token).await;
    expect::exactly(released, &Released::Done);
    rest().await;
    assert_eq!(transactions() - before, 2, "a release and a claim");
    let next = waiting.remove(0).await.expect("a waiter");
    assert!(expect::held(next) > first);
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
}

const RECHECK: Duration = Duration::from_secs(1);

/// What a store has of the things that it may leave out: wake-ups and a feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extras {
    All,
    AllButWakeups,
    None,
}

/// What two handles share.
#[derive(Debug)]
struct Storage {
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
    wakeups: Wakeups,
    feed: Feed,
}

#[derive(Debug, Default)]
struct Tables {
    entries: HashMap<Key, StoredParts>,
    indexes: HashMap<Subject, Redacted>,
    transactions: u64,
    /// Those of which no transaction succeeds.
    broken: HashSet<Key>,
}

#[derive(Debug)]
struct Store {
    storage: Arc<Storage>,
    extras: Extras,
}

impl Storage {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tables {
    fn is_rolled_back(&mut self) -> bool {
        self.transactions += 1;
        self.transactions.is_multiple_of(2)
    }

    fn load(&self, key: &Key, parts: Parts) -> Result<Entry> {
        let stored = self.entries.get(key).cloned().unwrap_or_default();
        let wanted = |part, bytes: Option<Bytes>| bytes.filter(|_| parts.contains(part));
        let loaded = StoredParts {
            head: stored.head,
            body: wanted(Parts::BODY, stored.body),
            lock: wanted(Parts::LOCK, stored.lock),
            fields: wanted(Parts::FIELDS, stored.fields),
        };
        Entry::decode(parts | Parts::HEAD, loaded)
    }

    fn store(&mut self, key: &Key, entry: &Entry) {
        let Changes { clear, write } = entry.changes();
        let mut stored = self.entries.remove(key).unwrap_or_default();
        if clear {
            stored = StoredParts::default();
        }
        for (part, place) in [
            (Parts::HEAD, &mut stored.head),
            (Parts::BODY, &mut stored.body),
            (Parts::LOCK, &mut stored.lock),
            (Parts::FIELDS, &mut stored.fields),
        ] {
            if write.contains(part) {
                *place = entry.part(part);
            }
        }
        let StoredParts {
            head,
            body,
            lock,
            fields,
        } = &stored;
        if [head, body, lock, fields].iter().any(|part| part.is_some()) {
            self.entries.insert(*key, stored);
        }
    }
}

impl EntryStore for Store {
    fn info(&self) -> DriverInfo {
        let mut info = DriverInfo::new("parts", Shared::Process);
        info.max_record = 16 * 1024;
        info
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.storage.clock
    }

    async fn transact<R, F>(&self, key: &Key, parts: Parts, mut step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut Entry, &mut Turn) -> R + Send + 'static,
    {
        yield_now().await;
        let (answer, turn) = {
            let mut tables = self.storage.tables();
            if tables.broken.contains(key) {
                return Err(Error::new(ErrorKind::Unavailable, "it is broken"));
            }
            let turn = || Turn::new(self.storage.clock.now(), self.timing());
            if tables.is_rolled_back() {
                step(&mut tables.load(key, parts)?, &mut turn());
            }
            let (mut entry, mut turn) = (tables.load(key, parts)?, turn());
            let answer = step(&mut entry, &mut turn);
            tables.store(key, &entry);
            (answer, turn)
        };
        turn.into_effects().deliver(key, self);
        yield_now().await;
        Ok(answer)
    }

    async fn transact_subject<R, F>(&self, subject: &Subject, mut step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut SubjectEntry, Timestamp) -> R + Send + 'static,
    {
        yield_now().await;
        let answer = {
            let mut tables = self.storage.tables();
            let load = || match tables.indexes.get(subject) {
                Some(stored) => SubjectEntry::decode(stored),
                None => Ok(SubjectEntry::default()),
            };
            let now = self.storage.clock.now();
            step(&mut load()?, now);
            let mut index = load()?;
            let answer = step(&mut index, now);
            if index.is_empty() {
                tables.indexes.remove(subject);
            } else {
                tables.indexes.insert(*subject, index.encode().into());
            }
            answer
        };
        yield_now().await;
        Ok(answer)
    }

    fn detach(&self, task: Task) {
        drop(tokio::spawn(task));
    }

    fn timing(&self) -> Timing {
        Timing::of_recheck(RECHECK)
    }

    fn wakeups(&self) -> Option<&Wakeups> {
        (self.extras == Extras::All).then_some(&self.storage.wakeups)
    }

    fn feed(&self) -> Option<&Feed> {
        (self.extras != Extras::None).then_some(&self.storage.feed)
    }

    fn scan(&self) -> Option<&dyn Scan> {
        Some(self)
    }

    fn census(&self) -> Option<&dyn Census> {
        Some(self)
    }
}

/// Some sessions, whether each lives, and where to go on.
type LookedAt = (Vec<(Key, bool)>, Option<Cursor>);

/// A cursor is the last key that was looked at.
#[async_trait]
impl Scan for Store {
    async fn due(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Due> {
        yield_now().await;
        let (looked_at, next) = self.look(from, batch)?;
        let examined = looked_at.len() as u64;
        let due = looked_at.into_iter().filter(|(_, alive)| !alive);
        Ok(Due {
            keys: due.map(|(key, _)| key).collect(),
            examined,
            failed: 0,
            next,
        })
    }

    fn progress(&self, at: &Cursor) -> Option<f64> {
        part(at)
    }
}

#[async_trait]
impl Census for Store {
    async fn alive(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Listed> {
        yield_now().await;
        let (looked_at, next) = self.look(from, batch)?;
        let alive = looked_at.into_iter().filter(|(_, alive)| *alive);
        Ok(Listed {
            keys: alive.map(|(key, _)| key).collect(),
            failed: 0,
            next,
        })
    }

    fn progress(&self, at: &Cursor) -> Option<f64> {
        part(at)
    }
}

/// Keys are random: which part of all is below one.
fn part(at: &Cursor) -> Option<f64> {
    at.0.first().map(|first| f64::from(*first) / 256.0)
}

impl Store {
    /// The next few sessions, and which of them live.
    fn look(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<LookedAt> {
        let from = from.map(|Cursor(bytes)| <[u8; Key::LEN]>::try_from(&bytes[..]));
        let from = from
            .transpose()
            .map_err(|_| Error::new(ErrorKind::Invalid, "this cursor is not a key"))?
            .map(Key::from_bytes);
        let tables = self.storage.tables();
        let mut keys: Vec<_> = tables.entries.keys().copied().collect();
        keys.sort_unstable();
        keys.retain(|key| Some(*key) > from);
        let more = keys.len() > batch.get();
        keys.truncate(batch.get());
        let last = keys.last().filter(|_| more);
        let next = last.map(|key| Cursor(Bytes::copy_from_slice(key.as_bytes())));
        let now = self.storage.clock.now();
        let looked_at = keys.into_iter().map(|key| {
            let alive = tables.load(&key, Parts::HEAD)?.expires() > now;
            Ok((key, alive))
        });
        Ok((looked_at.collect::<Result<_>>()?, next))
    }
}

/// Two storages on one clock.
#[derive(Debug)]
struct Stores {
    clock: ManualClock,
    storage: Arc<Storage>,
    neighbour: Arc<Storage>,
    extras: Extras,
}

impl Stores {
    fn new(extras: Extras) -> Self {
        let clock = ManualClock::new();
        let storage = || {
            Arc::new(Storage {
                clock: Arc::new(clock.clone()),
                tables: Mutex::default(),
                wakeups: Wakeups::new(),
                feed: Feed::new(),
            })
        };
        Self {
            storage: storage(),
            neighbour: storage(),
            clock,
            extras,
        }
    }
}

fn driver(storage: &Arc<Storage>, extras: Extras) -> Arc<dyn Driver> {
    let storage = Arc::clone(storage);
    Arc::new(EntryDriver::new(Store { storage, extras }))
}

#[async_trait]
impl Harness for Stores {
    async fn connect(&self) -> Arc<dyn Driver> {
        driver(&self.storage, self.extras)
    }

    async fn neighbour(&self) -> Arc<dyn Driver> {
        driver(&self.neighbour, self.extras)
    }

    async fn connect_deaf(&self) -> Arc<dyn Driver> {
        match self.extras {
            Extras::All => driver(&self.storage, Extras::AllButWakeups),
            extras => driver(&self.storage, extras),
        }
    }

    fn wakes_waiters(&self) -> bool {
        self.extras == Extras::All
    }

    fn recheck(&self) -> Duration {
        RECHECK
    }

    fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    async fn advance(&self, by: Duration) {
        self.clock.advance(by).await;
    }

    async fn holdings(&self) -> usize {
        let count = |storage: &Storage| {
            let tables = storage.tables();
            tables.entries.len() + tables.indexes.len()
        };
        count(&self.storage) + count(&self.neighbour)
    }

    async fn stop(&self) {
        for storage in [&self.storage, &self.neighbour] {
            assert!(storage.wakeups.is_empty(), "waiters left");
            assert!(storage.feed.is_empty(), "subscribers left");
        }
        assert_eq!(self.clock.sleepers(), 0, "sleepers left");
    }
}
