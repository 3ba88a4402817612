//! What a request does, through the verbs of a driver.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use asm_core::{
    Acquired, Claim, Create, Created, Driver, Epoch, FieldChange, FieldFound, FieldName, FieldRead,
    FieldValue, FieldWrite, FieldWritten, Guard, Key, Label, LockToken, LockWish, LocklessFields,
    OpId, Open, OpenLock, Opened, OpenedLock, Proof, Proofs, Redacted, Save, Snapshot, Stamp,
    Written,
};
use fastrand::Rng;
use tokio::task;

use super::{
    Failure,
    args::Mode,
    course::{Counter, Session},
    tally::Notes,
};
use crate::drivers::Storage;

/// Longer than any race, so that nothing ends by itself.
const TTL: Duration = Duration::from_secs(24 * 3600);
/// Longer than any request, and short enough to end if the process is stopped.
const HOLD: Duration = Duration::from_secs(60);
/// Longer than the longest queue of requests.
const WAIT: Duration = Duration::from_secs(600);

/// No request of the race renews its id.
const STAMP: Stamp = Stamp {
    epoch: Epoch::new(1),
    proofs: Proofs {
        current: Proof::from_bytes([1; Proof::LEN]),
        pending: None,
    },
};

/// What makes the counters of a race in this mode.
pub(super) struct Raw {
    mode: Mode,
    field: FieldName,
}

impl Raw {
    pub(super) fn new(mode: Mode) -> Result<Self, Failure> {
        let field = FieldName::new("count")?;
        Ok(Self { mode, field })
    }

    /// One task's counter.
    pub(super) fn counter(&self, storage: &Storage, number: u32, rng: Rng) -> RawCounter {
        RawCounter {
            driver: storage.connect(),
            way: Way::of(self.mode, number),
            field: self.field.clone(),
            rng,
        }
    }
}

/// How one task writes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Locked,
    Optimistic,
    Lockless,
    Off,
}

impl Way {
    fn of(mode: Mode, task: u32) -> Self {
        match mode {
            Mode::Mixed if task.is_multiple_of(2) => Self::Locked,
            Mode::Locked => Self::Locked,
            Mode::Mixed | Mode::Optimistic => Self::Optimistic,
            Mode::Lockless => Self::Lockless,
            Mode::Off => Self::Off,
            Mode::OnWrite | Mode::OnOpen | Mode::Manual => unreachable!("a mode of sessions"),
        }
    }
}

/// Counts in the record of a session, or in a field beside it, on a handle of its own.
pub(super) struct RawCounter {
    driver: Arc<dyn Driver>,
    way: Way,
    field: FieldName,
    rng: Rng,
}

/// A record that was read; with the lock, if it was asked for and free.
pub(super) struct Read {
    snapshot: Snapshot,
    held: Option<LockToken>,
}

impl Counter for RawCounter {
    type Id = Key;
    type Read = Read;

    fn show(id: &Key) -> String {
        id.to_string()
    }

    fn parse(text: &str) -> Option<Key> {
        Key::from_hex(text)
    }

    async fn create(&mut self) -> Result<Key, Failure> {
        let key = Key::from_bytes(self.random());
        let create = Create {
            op: self.op(),
            resend: false,
            stamp: STAMP,
            data: encode(0),
            ttl: TTL,
            lock: None,
        };
        match self.driver.create(&key, create).await? {
            Created::Done { .. } => Ok(key),
            _ => Err(Failure::Taken),
        }
    }

    async fn read(&mut self, key: &Key) -> Result<Read, Failure> {
        let wish = (self.way == Way::Locked).then(|| OpenLock {
            claim: self.claim(),
            proof: STAMP.proofs.current,
        });
        let token = wish.as_ref().map(|wish| wish.claim.token);
        match self.driver.open(key, Open { lock: wish }).await? {
            Opened::Found { snapshot, lock } => Ok(Read {
                snapshot,
                held: token.filter(|_| matches!(lock, OpenedLock::Held(_))),
            }),
            _ => Err(Failure::Vanished),
        }
    }

    async fn write(
        &mut self,
        session: &Session<Key>,
        read: Read,
        notes: &mut Notes,
    ) -> Result<bool, Failure> {
        match self.way {
            Way::Locked => self.save_locked(session, read, notes).await,
            Way::Optimistic => self.save_if_unchanged(session, read, notes, next).await,
            Way::Off => {
                let own = next(&read.snapshot)?;
                let whatever_is_there = move |_: &Snapshot| Ok(own.clone());
                self.save_if_unchanged(session, read, notes, whatever_is_there)
                    .await
            }
            Way::Lockless => self.add_to_field(&session.id).await,
        }
    }

    async fn count(&mut self, key: &Key) -> Result<u64, Failure> {
        if self.way == Way::Lockless {
            return self.read_field(key).await;
        }
        match self.driver.open(key, Open { lock: None }).await? {
            Opened::Found { snapshot, .. } => decode(&snapshot.data),
            _ => Err(Failure::Vanished),
        }
    }
}

impl RawCounter {
    /// Saves under the lock, and ends it.
    async fn save_locked(
        &mut self,
        session: &Session<Key>,
        read: Read,
        notes: &mut Notes,
    ) -> Result<bool, Failure> {
        let (token, snapshot) = match read.held {
            Some(token) => (token, read.snapshot),
            None => match self.queue_up(session, read.snapshot, notes).await? {
                Some(held) => held,
                None => return Ok(false),
            },
        };
        let save = self.save(Guard::held(token, &snapshot), next(&snapshot)?);
        let written = self.driver.save(&session.id, save).await?;
        Ok(matches!(written, Written::Done { .. }))
    }

    /// Waits for the lock; answers it with the record as it is then, or `None` when it was refused.
    async fn queue_up(
        &mut self,
        session: &Session<Key>,
        known: Snapshot,
        notes: &mut Notes,
    ) -> Result<Option<(LockToken, Snapshot)>, Failure> {
        let claim = self.claim();
        let token = claim.token;
        let wish = LockWish {
            claim,
            epoch: STAMP.epoch,
            wait: WAIT,
            queue: None,
            known: Some(known.version),
        };
        let began = Instant::now();
        let acquired = {
            let _waiting = session.queue.enter();
            self.driver.acquire(&session.id, wish).await?
        };
        notes.waits.push(began.elapsed());
        let Acquired::Held { snapshot, .. } = acquired else {
            return Ok(None);
        };
        // Again between a read and its write.
        task::yield_now().await;
        Ok(Some((token, snapshot.unwrap_or(known))))
    }

    /// Saves what `change` makes of the record, if that is still the one that was read; else what
    /// it makes of the one that is there by now. Queues for the lock if somebody has it.
    async fn save_if_unchanged(
        &mut self,
        session: &Session<Key>,
        read: Read,
        notes: &mut Notes,
        change: impl Fn(&Snapshot) -> Result<Redacted, Failure> + Send + Sync,
    ) -> Result<bool, Failure> {
        let mut snapshot = read.snapshot;
        let mut guard = Guard::unchanged(&snapshot);
        loop {
            let save = self.save(guard, change(&snapshot)?);
            match self.driver.save(&session.id, save).await? {
                Written::Done { .. } => return Ok(true),
                Written::Conflict(fresh) => {
                    notes.conflicts += 1;
                    guard = Guard::unchanged(&fresh);
                    snapshot = fresh;
                }
                Written::Locked => match self.queue_up(session, snapshot, notes).await? {
                    Some((token, fresh)) => {
                        guard = Guard::held(token, &fresh);
                        snapshot = fresh;
                    }
                    None => return Ok(false),
                },
                _ => return Ok(false),
            }
        }
    }

    async fn add_to_field(&mut self, key: &Key) -> Result<bool, Failure> {
        let write = FieldWrite {
            name: self.field.clone(),
            epoch: STAMP.epoch,
            op: self.op(),
            resend: None,
            change: FieldChange::Incr(1),
        };
        let written = self.fields()?.write_field(key, write).await?;
        Ok(matches!(written, FieldWritten::Number(_)))
    }

    async fn read_field(&self, key: &Key) -> Result<u64, Failure> {
        let read = FieldRead {
            name: self.field.clone(),
            epoch: STAMP.epoch,
            items: None,
        };
        match self.fields()?.read_field(key, read).await? {
            FieldFound::Value(FieldValue::Number(count)) => {
                count.try_into().map_err(|_| Failure::NoCounter)
            }
            FieldFound::Value(_) => Err(Failure::NoCounter),
            FieldFound::Absent => Ok(0),
            _ => Err(Failure::Vanished),
        }
    }

    fn fields(&self) -> Result<&dyn LocklessFields, Failure> {
        self.driver.fields().ok_or(Failure::NoFields)
    }

    fn save(&mut self, guard: Guard, data: Redacted) -> Save {
        Save {
            op: self.op(),
            resend: false,
            guard,
            stamp: STAMP,
            data,
            ttl: TTL,
            release: true,
        }
    }

    fn claim(&mut self) -> Claim {
        Claim {
            token: LockToken::from_bytes(self.random()),
            hold: HOLD,
            label: Label::default(),
        }
    }

    fn op(&mut self) -> OpId {
        OpId::from_bytes(self.random())
    }

    fn random<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0; N];
        self.rng.fill(&mut bytes);
        bytes
    }
}

/// The record that counts one more.
fn next(snapshot: &Snapshot) -> Result<Redacted, Failure> {
    Ok(encode(decode(&snapshot.data)? + 1))
}

fn encode(count: u64) -> Redacted {
    count.to_be_bytes().to_vec().into()
}

fn decode(data: &[u8]) -> Result<u64, Failure> {
    let bytes = data.try_into().map_err(|_| Failure::NoCounter)?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use asm_core::{Key, Result, SessionStore};
    use asm_memory::MemoryDriver;
    use asm_testkit::{Layer, Layered};

    use super::*;
    use crate::race::{course::Course, tally::Tally};

    async fn run(mode: Mode, tasks: u32, requests: u64, storage: &Storage, sessions: u32) -> Tally {
        let raw = Raw::new(mode).expect("a good name");
        let mut judge = raw.counter(storage, 0, Rng::with_seed(1));
        let mut met = Vec::new();
        for _ in 0..sessions {
            met.push(judge.create().await.expect("stored"));
        }
        let course = Course::new(tasks, requests, met.clone(), 2);
        let made = |number, rng| Ok(raw.counter(storage, number, rng));
        let mut tally = course.run(made, async { Ok(()) }).await.expect("runs");
        for session in &met {
            tally.found += judge.count(session).await.expect("there");
        }
        tally
    }

    /// A store that never compares versions, as most do not.
    #[derive(Clone, Debug)]
    struct Careless(MemoryDriver);

    #[async_trait::async_trait]
    impl Layer for Careless {
        fn inner(&self) -> &dyn Driver {
            &self.0
        }

        async fn save(&self, key: &Key, mut req: Save) -> Result<Written> {
            loop {
                match self.0.save(key, req.clone()).await? {
                    Written::Conflict(fresh) => req.guard.version = fresh.version,
                    written => return Ok(written),
                }
            }
        }
    }

    async fn lost(mode: Mode, storage: Storage) -> u64 {
        let tally = run(mode, 8, 20_000, &storage, 2).await;
        assert_eq!(tally.acknowledged, 20_000);
        tally.acknowledged - tally.found
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_store_that_does_not_look_at_versions_is_found_out() {
        let careless = || Storage::of(Arc::new(Layered::new(Careless(MemoryDriver::new()))));
        assert!(lost(Mode::Optimistic, careless()).await > 0);
        assert_eq!(lost(Mode::Locked, careless()).await, 0);
        assert_eq!(
            lost(Mode::Optimistic, Storage::of(MemoryDriver::new())).await,
            0
        );
    }

    /// On one thread, where who runs when is the same each time.
    #[tokio::test]
    async fn all_but_the_holder_queue_up_for_a_lock() {
        let tally = run(Mode::Locked, 12, 200, &Storage::of(MemoryDriver::new()), 1).await;
        assert_eq!(tally.longest_queue, 11);
        assert_eq!(tally.found, 200);
    }
}
