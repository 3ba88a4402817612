//! One transaction: load, step, commit.
//!
//! Every commit is one rename, or one removal. A change of the record takes the lock with it, so
//! that both change or neither; a lock that changes alone has a file of its own, and of the two the
//! one with the higher number is the lock. So a crash at any moment leaves the state before or
//! after.

use std::{collections::HashSet, io, sync::Arc};

use asm_core::{
    Clock, Epoch, Error, ErrorKind, Key, LockToken, Open, Opened, Result, Subject, Timestamp,
};
use asm_entry::{Entry, Following, Parts, StoredParts, SubjectEntry, Timing, Turn};
use bytes::Bytes;

use crate::{
    counters::Tally,
    disk::{Disk, Durability},
    errors::{failed, in_doubt},
    fs::Fs,
    layout::{self, Kind, Life, LockBlock, OVERHEAD, Record, TEMP},
    process::Process,
    ring::{self, News},
    watch::{Look, Watch, shard_of},
};

/// What all threads of a driver share.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) disk: Arc<dyn Disk>,
    /// The same, when it is the real one: others can be told of changes there.
    pub(crate) fs: Option<Arc<Fs>>,
    pub(crate) durability: Durability,
    pub(crate) max_record: usize,
    pub(crate) timing: Timing,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) boot: [u8; 16],
    pub(crate) this: Process,
    pub(crate) tally: Tally,
    pub(crate) watch: Arc<Watch>,
}

/// What is stored for one session.
struct Loaded {
    entry: Entry,
    /// Of the record. `None` when there is none.
    life: Option<Life>,
    /// The lock in the record, as it is there.
    embedded: Bytes,
    /// The lock; empty when it was not asked for.
    lock: LockBlock,
}

impl Loaded {
    fn nothing() -> Self {
        Self {
            entry: Entry::vacant(),
            life: None,
            embedded: Bytes::new(),
            lock: LockBlock::default(),
        }
    }
}

/// What came of a look.
pub(crate) enum Looked<R> {
    Answer(R),
    /// The step would change something, which takes a transaction.
    WouldChange,
    /// The record cannot be read without waiting.
    NotAtHand,
}

/// Why a commit has failed, or may have.
enum Failure {
    /// Nothing has happened.
    Before(Error),
    /// It has happened; what it survives is not known.
    After(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Before(error)
    }
}

impl Files {
    /// Runs a step that may change nothing, without the critical section: the record is one file,
    /// and what is read of it is one moment of it.
    pub(crate) fn look<R>(
        &self,
        key: &Key,
        step: &mut impl FnMut(&mut Entry, &mut Turn) -> R,
    ) -> Result<Looked<R>> {
        let loaded = self.load(key, Parts::HEAD)?;
        Ok(self.look_at(loaded, step))
    }

    /// The same where nobody may wait.
    pub(crate) fn look_at_once<R>(
        &self,
        key: &Key,
        step: &mut impl FnMut(&mut Entry, &mut Turn) -> R,
    ) -> Result<Looked<R>> {
        let name = Kind::Record.name_of(key.as_bytes());
        let bytes = self.disk.read_at_once(shard_of(key), &name, self.limit());
        let Some(bytes) = bytes else {
            return Ok(Looked::NotAtHand);
        };
        let loaded = self.loaded(key, Parts::HEAD, &bytes.into())?;
        Ok(self.look_at(loaded, step))
    }

    fn look_at<R>(
        &self,
        mut loaded: Loaded,
        step: &mut impl FnMut(&mut Entry, &mut Turn) -> R,
    ) -> Looked<R> {
        let mut turn = Turn::new(self.clock.now(), self.timing);
        let answer = step(&mut loaded.entry, &mut turn);
        if loaded.entry.changes().is_empty() {
            Looked::Answer(answer)
        } else {
            Looked::WouldChange
        }
    }

    /// Runs a step as one transaction.
    pub(crate) fn transact<R>(
        self: &Arc<Self>,
        key: &Key,
        parts: Parts,
        mut step: impl FnMut(&mut Entry, &mut Turn) -> R,
    ) -> Result<R> {
        let shard = shard_of(key);
        let section = self.enter(shard)?;
        let mut loaded = self.load(key, parts)?;
        // The time is taken inside, so that no session sees it go back.
        let mut turn = Turn::new(self.clock.now(), self.timing);
        let locked = parts.contains(Parts::LOCK);
        if locked {
            self.bury(shard, &mut loaded, &mut turn);
        }
        let was_due = loaded.entry.expires() <= turn.now();
        let answer = step(&mut loaded.entry, &mut turn);
        let owners = self.owners(&loaded);
        let committed = self.commit(key, &mut loaded, &owners, was_due);
        if let Err(Failure::Before(error)) = committed {
            return Err(error);
        }
        let effects = turn.into_effects();
        if locked {
            self.note_waiters(key, &loaded, &owners);
        }
        if let (Some(fs), Some((change, epoch))) = (&self.fs, effects.change()) {
            let news = News {
                key: *key,
                change,
                epoch,
            };
            if let Err(error) = fs.shard(shard).and_then(|shard| ring::tell(&shard, &news)) {
                tracing::warn!(%error, shard, "cannot tell those who follow");
            }
        }
        drop(section);
        for token in effects.wakes() {
            self.watch.wakeups.wake(token);
        }
        match committed {
            Err(Failure::After(error)) => Err(error),
            _ => Ok(answer),
        }
    }

    /// Runs a step on an index, as one transaction.
    pub(crate) fn transact_subject<R>(
        &self,
        subject: &Subject,
        mut step: impl FnMut(&mut SubjectEntry, Timestamp) -> R,
    ) -> Result<R> {
        let shard = subject.as_bytes()[0];
        let _section = self.enter(shard)?;
        let name = Kind::Index.name_of(subject.as_bytes());
        let mut before = self.load_subject(shard, &name, subject)?;
        let mut after = before.clone();
        let answer = step(&mut after, self.clock.now());
        if after == before {
            return Ok(answer);
        }
        before = after;
        let written = if before.is_empty() {
            self.remove(shard, &name)
        } else {
            let content = before.encode();
            let owner = subject.as_bytes();
            let bytes = layout::frame(Kind::Index, owner, Life::NONE, &[&content]);
            self.replace(shard, &name, &bytes, true)
        };
        match written {
            Ok(()) => Ok(answer),
            Err(Failure::Before(error) | Failure::After(error)) => Err(error),
        }
    }

    /// Begins to hear what others do to this session.
    pub(crate) fn follow(self: &Arc<Self>, key: &Key) -> Result<Following> {
        let Some(fs) = self.fs.as_ref().filter(|_| self.watch.is_on()) else {
            return Ok(Following::default());
        };
        let shard = shard_of(key);
        let _section = self.enter(shard)?;
        let version = self.version(key)?.map_or(0, |(number, _)| number);
        let look: Arc<dyn Look> = Arc::clone(self) as _;
        let follow = || {
            let directory = fs.shard(shard)?;
            self.watch.follow(&look, &directory, key, version)
        };
        let follower = follow().map_err(|error| {
            Error::new(ErrorKind::Unavailable, "cannot watch for changes").because(error)
        })?;
        Ok(Following::until_dropped(follower))
    }

    /// Whether the life of a session is over; `None` when there is none, whatever has its name.
    pub(crate) fn is_due(&self, key: &Key) -> Result<Option<bool>> {
        let Some(bytes) = self.read(shard_of(key), &Kind::Record.name_of(key.as_bytes()))? else {
            return Ok(None);
        };
        let head = Record::unframe(key, &bytes).map(|(_, record)| record.head);
        let entry = head.map(|head| {
            let stored = StoredParts {
                head: Some(head),
                ..StoredParts::default()
            };
            Entry::decode(Parts::HEAD, stored)
        });
        match entry {
            Some(Ok(entry)) => Ok(Some(entry.expires() <= self.clock.now())),
            _ => {
                self.tally.foreign("a record", shard_of(key));
                Err(Error::new(
                    ErrorKind::Corrupt,
                    "a record is torn, or not ours",
                ))
            }
        }
    }

    /// Whether a session of a subject is over, and the index still lists it.
    pub(crate) fn lists_what_is_over(&self, subject: &Subject) -> Result<bool> {
        let name = Kind::Index.name_of(subject.as_bytes());
        let index = self.load_subject(subject.as_bytes()[0], &name, subject)?;
        Ok(index.is_due(self.clock.now()))
    }

    /// Removes what writers that have died left in a shard, and what lies beside these sessions
    /// without a record. In the critical section nobody else is writing.
    pub(crate) fn clean(&self, shard: u8, orphans: &[Key]) -> Result<()> {
        let _section = self.enter(shard)?;
        let doing = "removing what was left behind";
        let remove = |name: &str| {
            let removed = self.disk.remove(shard, name);
            if removed.map_err(|error| failed(doing, error))? {
                self.tally.leftover(shard);
            }
            Ok::<_, Error>(())
        };
        remove(TEMP)?;
        for key in orphans {
            if self
                .read(shard, &Kind::Record.name_of(key.as_bytes()))?
                .is_none()
            {
                remove(&Kind::Lock.name_of(key.as_bytes()))?;
                remove(&Kind::Fields.name_of(key.as_bytes()))?;
            }
        }
        if let Some(fs) = &self.fs {
            let cleaned = fs.shard(shard).and_then(|shard| ring::clean(&shard));
            cleaned.map_err(|error| failed(doing, error))?;
        }
        Ok(())
    }

    fn enter(&self, shard: u8) -> Result<Box<dyn std::any::Any>> {
        let section = self.disk.lock(shard);
        section.map_err(|error| failed("entering the critical section of a shard", error))
    }

    /// How large a file of ours may be: a record, its lock, and what is around them.
    fn limit(&self) -> usize {
        self.max_record.saturating_mul(2).saturating_add(OVERHEAD)
    }

    /// The bytes of a file; `None` also for what is not a file of ours.
    fn read(&self, shard: u8, name: &str) -> Result<Option<Bytes>> {
        match self.disk.read(shard, name, self.limit()) {
            Ok(bytes) => Ok(bytes.map(Bytes::from)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                self.tally.foreign("a file", shard);
                Ok(None)
            }
            Err(error) => Err(failed("reading a file", error)),
        }
    }

    fn load(&self, key: &Key, parts: Parts) -> Result<Loaded> {
        let shard = shard_of(key);
        match self.read(shard, &Kind::Record.name_of(key.as_bytes()))? {
            Some(bytes) => self.loaded(key, parts, &bytes),
            None => Ok(Loaded::nothing()),
        }
    }

    /// What a record says, together with what lies beside it.
    fn loaded(&self, key: &Key, parts: Parts, bytes: &Bytes) -> Result<Loaded> {
        let shard = shard_of(key);
        let Some((life, record)) = Record::unframe(key, bytes) else {
            self.tally.foreign("a record", shard);
            return Ok(Loaded::nothing());
        };
        let mut stored = StoredParts {
            head: Some(record.head),
            body: Some(record.body),
            ..StoredParts::default()
        };
        let mut lock = LockBlock::default();
        if parts.contains(Parts::LOCK) {
            lock = self.load_lock(key, life, &record.lock)?;
            stored.lock = (!lock.part.is_empty()).then(|| Bytes::copy_from_slice(&lock.part));
        }
        if parts.contains(Parts::FIELDS) {
            stored.fields = self.load_beside(key, Kind::Fields, life)?;
        }
        match Entry::decode(parts | Parts::HEAD | Parts::BODY, stored) {
            Ok(entry) => Ok(Loaded {
                entry,
                life: Some(life),
                embedded: record.lock,
                lock,
            }),
            Err(_) => {
                self.tally.foreign("a record", shard);
                Ok(Loaded::nothing())
            }
        }
    }

    /// The lock that is valid: the one in the record, or the one beside it.
    fn load_lock(&self, key: &Key, life: Life, embedded: &Bytes) -> Result<LockBlock> {
        let decode = |bytes: &Bytes| {
            let block = LockBlock::decode(bytes);
            if block.is_none() {
                self.tally.foreign("a lock", shard_of(key));
            }
            block.unwrap_or_default()
        };
        let inside = match embedded.is_empty() {
            true => LockBlock::default(),
            false => decode(embedded),
        };
        let beside = self.load_beside(key, Kind::Lock, life)?;
        let beside = beside.as_ref().map(decode).unwrap_or_default();
        Ok(if beside.number > inside.number {
            beside
        } else {
            inside
        })
    }

    /// What lies beside a record and belongs to it.
    fn load_beside(&self, key: &Key, kind: Kind, life: Life) -> Result<Option<Bytes>> {
        let shard = shard_of(key);
        let Some(bytes) = self.read(shard, &kind.name_of(key.as_bytes()))? else {
            return Ok(None);
        };
        match layout::unframe(kind, key.as_bytes(), &bytes) {
            Some((of, content)) => Ok((of == life).then_some(content)),
            None => {
                self.tally.foreign("what lies beside a record", shard);
                Ok(None)
            }
        }
    }

    fn load_subject(&self, shard: u8, name: &str, subject: &Subject) -> Result<SubjectEntry> {
        let Some(bytes) = self.read(shard, name)? else {
            return Ok(SubjectEntry::default());
        };
        let content = layout::unframe(Kind::Index, subject.as_bytes(), &bytes);
        let index = content.and_then(|(_, content)| SubjectEntry::decode(&content).ok());
        if index.is_none() {
            self.tally.foreign("an index", shard);
        }
        Ok(index.unwrap_or_default())
    }

    /// Ends what those had who have died.
    fn bury(&self, shard: u8, loaded: &mut Loaded, turn: &mut Turn) {
        let lock = &loaded.lock;
        if lock.owners.is_empty() {
            return;
        }
        let rebooted = lock.boot != self.boot;
        // Each process is asked about once, however many of its tasks wait.
        let owners: HashSet<&Process> = lock.owners.iter().map(|(_, owner)| owner).collect();
        let dead = owners
            .into_iter()
            .filter(|owner| owner.is_dead_to(&self.this));
        let dead: HashSet<&Process> = dead.collect();
        let is_dead = |token: &LockToken| {
            rebooted || lock.owner(token).is_some_and(|owner| dead.contains(owner))
        };
        let before = loaded.entry.changes();
        loaded.entry.bury(turn, is_dead);
        if loaded.entry.changes() != before {
            self.tally.buried(shard);
        }
    }

    /// Who the tokens of a lock belong to. New ones are ours: it was our step that took them in.
    fn owners(&self, loaded: &Loaded) -> Vec<([u8; LockToken::LEN], Process)> {
        let tokens = loaded
            .entry
            .holder()
            .into_iter()
            .chain(loaded.entry.waiting());
        tokens
            .map(|token| {
                let owner = loaded.lock.owner(&token).unwrap_or(&self.this);
                (*token.as_bytes(), *owner)
            })
            .collect()
    }

    /// Stores what has changed.
    fn commit(
        &self,
        key: &Key,
        loaded: &mut Loaded,
        owners: &[([u8; LockToken::LEN], Process)],
        was_due: bool,
    ) -> Result<(), Failure> {
        let (changes, shard) = (loaded.entry.changes(), shard_of(key));
        if changes.is_empty() {
            return Ok(());
        }
        if loaded.entry.is_vacant() {
            return self.remove_session(key, was_due);
        }
        let record = changes.write.contains(Parts::HEAD) || changes.write.contains(Parts::BODY);
        let lock = changes.write.contains(Parts::LOCK);
        let fields = changes.write.contains(Parts::FIELDS);
        let life = match loaded.life.filter(|_| !changes.clear) {
            Some(life) => life,
            None => Life::new().map_err(no_randomness)?,
        };
        let block = LockBlock {
            number: loaded.lock.number.saturating_add(u64::from(lock)),
            boot: self.boot,
            part: loaded
                .entry
                .part(Parts::LOCK)
                .map(Vec::from)
                .unwrap_or_default(),
            owners: owners.to_vec(),
        };
        let part = |part| loaded.entry.part(part).unwrap_or_default();
        let beside = |kind, content: &[u8]| layout::frame(kind, key.as_bytes(), life, &[content]);
        let (kind, bytes) = match (record, lock, fields) {
            (true, _, false) => {
                let has_lock = !block.part.is_empty();
                let embedded = match (has_lock, changes.clear) {
                    (true, _) => block.encode().into(),
                    // It was not loaded, so it stays as it is.
                    (false, false) => loaded.embedded.clone(),
                    (false, true) => Bytes::new(),
                };
                let record = Record {
                    head: part(Parts::HEAD),
                    lock: embedded,
                    body: part(Parts::BODY),
                };
                (Kind::Record, record.frame(key, life))
            }
            (false, true, false) => (Kind::Lock, beside(Kind::Lock, &block.encode())),
            (false, false, true) => (Kind::Fields, beside(Kind::Fields, &part(Parts::FIELDS))),
            _ => {
                let error = "fields change by themselves, and this step changed more";
                return Err(Error::new(ErrorKind::Other, error).into());
            }
        };
        // No lease outlives a boot, so of a lock only the number of the grant is worth a sync.
        let matters = kind != Kind::Lock;
        self.replace(shard, &kind.name_of(key.as_bytes()), &bytes, matters)?;
        if changes.clear {
            self.remove_beside(key);
        }
        loaded.lock = block;
        Ok(())
    }

    /// The record is removed first: with it the session is over, and what lies beside it belongs
    /// to nobody.
    fn remove_session(&self, key: &Key, was_due: bool) -> Result<(), Failure> {
        let (shard, name) = (shard_of(key), Kind::Record.name_of(key.as_bytes()));
        let removed = if was_due {
            // Should it come back, it is still due.
            self.disk
                .remove(shard, &name)
                .map(drop)
                .map_err(|error| Failure::Before(failed("removing a file", error)))
        } else {
            self.remove(shard, &name)
        };
        if !matches!(removed, Err(Failure::Before(_))) {
            self.remove_beside(key);
        }
        removed
    }

    /// Nobody reads it any more, so that a failure costs a file until the next sweep.
    fn remove_beside(&self, key: &Key) {
        for kind in [Kind::Lock, Kind::Fields] {
            let name = kind.name_of(key.as_bytes());
            if let Err(error) = self.disk.remove(shard_of(key), &name) {
                tracing::warn!(%error, "cannot remove what lay beside a record");
            }
        }
    }

    /// Removes a file, as durably as a deletion has to be.
    fn remove(&self, shard: u8, name: &str) -> Result<(), Failure> {
        let removed = self.disk.remove(shard, name);
        let removed = removed.map_err(|error| failed("removing a file", error))?;
        if removed && self.durability >= Durability::Data {
            self.sync(shard)?;
        }
        Ok(())
    }

    /// Puts new bytes under a name, all of them or none.
    fn replace(&self, shard: u8, name: &str, bytes: &[u8], matters: bool) -> Result<(), Failure> {
        if bytes.len() > self.limit() {
            let error = "the file would be larger than what is read again";
            return Err(Error::new(ErrorKind::TooLarge, error).into());
        }
        let sync =
            self.durability == Durability::Full || matters && self.durability == Durability::Data;
        if let Err(error) = self.write(shard, name, bytes, sync) {
            // Nobody knows what became of its bytes, so it is not tried again.
            let _ = self.disk.remove(shard, TEMP);
            return Err(failed("writing a file", error).into());
        }
        if self.durability == Durability::Full {
            self.sync(shard)?;
        }
        Ok(())
    }

    fn write(&self, shard: u8, name: &str, bytes: &[u8], sync: bool) -> io::Result<()> {
        let mut file = match self.disk.create(shard, TEMP, bytes) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                // Nobody else writes now: whoever did has died.
                self.disk.remove(shard, TEMP)?;
                self.tally.leftover(shard);
                self.disk.create(shard, TEMP, bytes)?
            }
            other => other?,
        };
        if sync {
            file.sync()?;
        }
        self.disk.rename(shard, TEMP, name)
    }

    fn sync(&self, shard: u8) -> Result<(), Failure> {
        let synced = self.disk.sync(shard);
        synced.map_err(|error| {
            Failure::After(in_doubt(
                "it is done, and may not outlive the machine",
                error,
            ))
        })
    }

    /// Sees to it that those who wait through this driver hear of it.
    fn note_waiters(
        self: &Arc<Self>,
        key: &Key,
        loaded: &Loaded,
        owners: &[([u8; LockToken::LEN], Process)],
    ) {
        let holder = loaded.entry.holder();
        let mut ours = HashSet::new();
        let mut neighbour = None;
        for (token, owner) in owners {
            let token = LockToken::from_bytes(*token);
            if Some(token) == holder {
                neighbour = owner.pid_for(&self.this);
            } else if *owner == self.this {
                ours.insert(token);
            }
        }
        let look: Arc<dyn Look> = Arc::clone(self) as _;
        self.watch.wait_for(&look, key, ours, neighbour);
    }
}

impl Look for Files {
    fn waiting(&self, key: &Key) -> Result<HashSet<LockToken>> {
        let loaded = self.load(key, Parts::HEAD | Parts::LOCK)?;
        Ok(loaded.entry.waiting().collect())
    }

    fn version(&self, key: &Key) -> Result<Option<(u64, Epoch)>> {
        let mut found = None;
        self.look(key, &mut |entry, turn| {
            if let Ok(Opened::Found { snapshot, .. }) = entry.open(turn, &Open { lock: None }) {
                found = Some((snapshot.version.number, snapshot.stamp.epoch));
            }
        })?;
        Ok(found)
    }
}

fn no_randomness(error: getrandom::Error) -> Error {
    Error::new(ErrorKind::Other, "the system gives no random bytes").because(error)
}
