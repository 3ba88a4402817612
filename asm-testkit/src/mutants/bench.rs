//! The storage that mutants are made on: entries in a map, with the places where it can be broken.

use std::{
    collections::HashMap,
    fmt::Debug,
    num::NonZeroUsize,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use asm_core::{
    Change, Clock, Cursor, DriverInfo, Error, ErrorKind, Key, Listed, Result, Shared, Subject,
    Timestamp,
};
use asm_entry::{
    Census, Due, Effects, Entry, EntryDriver, EntryStore, Feed, Parts, Scan, SubjectEntry, Task,
    Timing, Turn, Wakeups,
};
use async_trait::async_trait;
use futures_util::FutureExt;

use super::draft::Draft;
use crate::ManualClock;

/// A handle on a storage, as a driver.
pub(super) type Base = EntryDriver<Bench>;

/// A handle on a storage.
#[derive(Debug)]
pub(super) struct Bench {
    storage: Arc<Storage>,
    clock: Arc<dyn Clock>,
    flaws: Flaws,
    deaf: bool,
}

/// What is broken below the verbs. By default nothing is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flaws {
    pub(super) timing: Timing,
    pub(super) max_record: usize,
    /// Changes an entry after each step on it; told what it was before, and the time.
    pub(super) step: Option<fn(&Draft, &mut Draft, Timestamp)>,
    /// Whether work that nobody waits for is done.
    pub(super) detaches: bool,
    /// Whether a waiter is woken.
    pub(super) wakes: bool,
    /// What subscribers are told of a change.
    pub(super) publishes: fn(Change) -> Option<Change>,
    /// Whether the time of a step is the client's.
    pub(super) asks_the_client: bool,
    /// Whether a neighbour has the same storage.
    pub(super) one_namespace: bool,
}

impl Flaws {
    pub(super) const NONE: Self = Self {
        timing: Timing::of_recheck(RECHECK),
        max_record: 1 << 20,
        step: None,
        detaches: true,
        wakes: true,
        publishes: Some,
        asks_the_client: false,
        one_namespace: false,
    };
}

pub(super) const RECHECK: Duration = Duration::from_secs(1);

/// What the handles of one namespace share.
#[derive(Debug)]
pub(super) struct Storage {
    clock: ManualClock,
    entries: Mutex<HashMap<Key, Entry>>,
    indexes: Mutex<HashMap<Subject, SubjectEntry>>,
    wakeups: Wakeups,
    feed: Feed,
    litter: AtomicUsize,
}

impl Storage {
    pub(super) fn new(clock: &ManualClock) -> Arc<Self> {
        Arc::new(Self {
            clock: clock.clone(),
            entries: Mutex::default(),
            indexes: Mutex::default(),
            wakeups: Wakeups::new(),
            feed: Feed::new(),
            litter: AtomicUsize::new(0),
        })
    }

    /// A handle, as a driver.
    pub(super) fn connect(self: &Arc<Self>, flaws: Flaws, clock: Arc<dyn Clock>) -> Base {
        Base::new(Bench {
            storage: Arc::clone(self),
            clock,
            flaws,
            deaf: false,
        })
    }

    /// A handle whose wake-ups get lost, as a driver.
    pub(super) fn connect_deaf(self: &Arc<Self>, flaws: Flaws) -> Base {
        Base::new(Bench {
            storage: Arc::clone(self),
            clock: Arc::new(self.clock.clone()),
            flaws,
            deaf: true,
        })
    }

    /// What is stored, the expired excepted, which waits to be swept.
    pub(super) fn holdings(&self) -> usize {
        let now = self.clock.now();
        let entries = lock(&self.entries);
        let living = entries.values().filter(|entry| entry.expires() > now);
        living.count() + lock(&self.indexes).len() + self.litter.load(Ordering::Relaxed)
    }

    /// Panics when somebody still listens.
    pub(super) fn stop(&self) {
        assert!(self.wakeups.is_empty(), "waiters left");
        assert!(self.feed.is_empty(), "subscribers left");
    }
}

impl Bench {
    pub(super) fn now(&self) -> Timestamp {
        self.storage.clock.now()
    }

    /// Leaves something behind that no verb shows.
    pub(super) fn litter(&self) {
        self.storage.litter.fetch_add(1, Ordering::Relaxed);
    }

    /// What is stored under this key, taken apart.
    pub(super) fn look(&self, key: &Key) -> Option<Draft> {
        lock(&self.storage.entries).get(key).and_then(Draft::of)
    }

    /// Changes what is stored under this key, if there is something.
    pub(super) fn edit(&self, key: &Key, edit: impl FnOnce(&mut Draft)) {
        let mut entries = lock(&self.storage.entries);
        if let Some(entry) = entries.get_mut(key)
            && let Some(mut draft) = Draft::of(entry)
        {
            edit(&mut draft);
            *entry = draft.entry();
        }
    }

    /// Stores this, whatever is there.
    pub(super) fn put(&self, key: &Key, draft: Draft) {
        lock(&self.storage.entries).insert(*key, draft.entry());
    }

    /// Changes the index of this subject.
    pub(super) fn edit_index<R>(
        &self,
        subject: &Subject,
        edit: impl FnOnce(&mut SubjectEntry, Timestamp) -> R,
    ) -> R {
        let now = self.now();
        let mut indexes = lock(&self.storage.indexes);
        let answer = edit(indexes.entry(*subject).or_default(), now);
        indexes.retain(|_, index| !index.is_empty());
        answer
    }

    fn run<R>(&self, key: &Key, step: impl FnOnce(&mut Entry, &mut Turn) -> R) -> R {
        let mut entries = lock(&self.storage.entries);
        let entry = entries.entry(*key).or_insert_with(Entry::vacant);
        let now = if self.flaws.asks_the_client {
            self.clock.now()
        } else {
            self.now()
        };
        let mut turn = Turn::new(now, self.flaws.timing);
        let before = self.flaws.step.and_then(|_| Draft::of(entry));
        let answer = step(entry, &mut turn);
        if let (Some(flaw), Some(before), Some(mut after)) =
            (self.flaws.step, before, Draft::of(entry))
        {
            flaw(&before, &mut after, now);
            *entry = after.entry();
        }
        entry.written();
        if entry.is_vacant() {
            entries.remove(key);
        }
        drop(entries);
        self.deliver(key, &turn.into_effects());
        answer
    }

    /// Also from a handle that hears nothing itself.
    fn deliver(&self, key: &Key, effects: &Effects) {
        for token in effects.wakes().iter().filter(|_| self.flaws.wakes) {
            self.storage.wakeups.wake(token);
        }
        if let Some((change, epoch)) = effects.change()
            && let Some(change) = (self.flaws.publishes)(change)
        {
            self.storage.feed.publish(key, change, epoch);
        }
    }
}

impl EntryStore for Bench {
    fn info(&self) -> DriverInfo {
        let mut info = DriverInfo::new("bench", Shared::Process);
        info.max_record = self.flaws.max_record;
        info
    }

    fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    async fn transact<R, F>(&self, key: &Key, _: Parts, step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut Entry, &mut Turn) -> R + Send + 'static,
    {
        Ok(self.run(key, step))
    }

    async fn transact_subject<R, F>(&self, subject: &Subject, step: F) -> Result<R>
    where
        R: Send + 'static,
        F: FnMut(&mut SubjectEntry, Timestamp) -> R + Send + 'static,
    {
        Ok(self.edit_index(subject, step))
    }

    fn detach(&self, task: Task) {
        if self.flaws.detaches {
            // No transaction waits, so neither does the task.
            let _ = task.now_or_never();
        }
    }

    fn timing(&self) -> Timing {
        self.flaws.timing
    }

    fn wakeups(&self) -> Option<&Wakeups> {
        (!self.deaf).then_some(&self.storage.wakeups)
    }

    fn feed(&self) -> Option<&Feed> {
        Some(&self.storage.feed)
    }

    fn scan(&self) -> Option<&dyn Scan> {
        Some(self)
    }

    fn census(&self) -> Option<&dyn Census> {
        Some(self)
    }
}

/// A cursor is a key: the first that was not looked at.
#[async_trait]
impl Scan for Bench {
    async fn due(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Due> {
        let (over, alive, next) = self.walk(from.as_ref(), batch)?;
        Ok(Due {
            examined: (over.len() + alive.len()) as u64,
            failed: 0,
            next,
            keys: over,
        })
    }
}

#[async_trait]
impl Census for Bench {
    async fn alive(&self, from: Option<Cursor>, batch: NonZeroUsize) -> Result<Listed> {
        let (_, keys, next) = self.walk(from.as_ref(), batch)?;
        Ok(Listed {
            keys,
            failed: 0,
            next,
        })
    }
}

impl Bench {
    /// What of the next few is over, and what lives.
    fn walk(
        &self,
        from: Option<&Cursor>,
        batch: NonZeroUsize,
    ) -> Result<(Vec<Key>, Vec<Key>, Option<Cursor>)> {
        let now = self.now();
        let from = from.map(key_of).transpose()?;
        let entries = lock(&self.storage.entries);
        let mut keys: Vec<&Key> = entries.keys().collect();
        keys.sort();
        let first = from.map_or(0, |from| keys.partition_point(|key| **key < from));
        let batch = keys[first..].iter().take(batch.get());
        let next = keys.get(first + batch.len());
        let next = next.map(|key| Cursor(key.as_bytes().to_vec().into()));
        let batch = batch.map(|key| **key);
        let (over, alive) = batch.partition(|key| entries[key].expires() <= now);
        Ok((over, alive, next))
    }
}

fn key_of(cursor: &Cursor) -> Result<Key> {
    let bytes = cursor.0[..].try_into();
    bytes
        .map(Key::from_bytes)
        .map_err(|_| Error::new(ErrorKind::Invalid, "this cursor is not of the bench"))
}

/// Lets others go first that many times, between two steps that should be one.
pub(super) fn gap(times: usize) {
    (0..times).for_each(|_| thread::yield_now());
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
