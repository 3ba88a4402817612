//! What was sent and what was acknowledged, to be compared with what is there in the end.
//!
//! Every save names the version that it was based on, so the versions of a session are a chain. Of
//! whatever survives of it, each link must be a save that was sent; a link that was acknowledged
//! and is not in the chain was lost.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use asm_core::*;
use asm_redis::RedisDriver;
use asm_testkit::{expect, given as make};

/// A session whose record counts its changes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counter {
    pub(crate) key: Key,
    pub(crate) stamp: Stamp,
    /// The version that it was created as.
    pub(crate) first: Version,
}

/// What became of one change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    Done,
    /// Somebody else was first.
    Refused,
    /// The lock was not ours any more.
    LockLost,
    /// It did not come to the save.
    Failed(Kind),
    /// The session is not there any more.
    Missing,
    /// Whether it was saved can no longer be told.
    Unknown,
    /// The lock was not to be had, and nobody else wanted it.
    Busy,
}

/// The part of an error that is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(pub(crate) ErrorKind);

/// All changes of all sessions.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    sent: Mutex<HashMap<(Key, OpId), Sent>>,
    outcomes: Mutex<BTreeMap<Outcome, u64>>,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    base: Version,
    acknowledged: bool,
}

/// What survived.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Found {
    /// Changes that were acknowledged.
    pub(crate) acknowledged: u64,
    /// Of those, the ones that are not there.
    pub(crate) lost: u64,
    /// Changes that are there.
    pub(crate) there: u64,
    /// Sessions that are not.
    pub(crate) gone: u64,
}

impl Counter {
    pub(crate) async fn create(driver: &RedisDriver) -> Self {
        let req = make::create("0");
        let stamp = req.stamp;
        let key = make::key();
        let first = expect::created(driver.create(&key, req).await);
        Self { key, stamp, first }
    }

    /// As it is while nobody has changed it.
    pub(crate) fn unchanged(&self) -> Snapshot {
        Snapshot {
            version: self.first,
            stamp: self.stamp,
            data: "0".into(),
            left: None,
            now: Timestamp::from_micros(0),
        }
    }
}

impl Found {
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.lost += other.lost;
        self.there += other.there;
        self.gone += other.gone;
    }
}

impl Ledger {
    /// Counts once more: with the lock, or based on what was read.
    pub(crate) async fn change(
        &self,
        driver: &RedisDriver,
        counter: &Counter,
        locked: bool,
    ) -> Outcome {
        self.change_while(driver, counter, locked, async {}).await
    }

    /// As [`Ledger::change`], while this happens between the open and the save.
    pub(crate) async fn change_while(
        &self,
        driver: &RedisDriver,
        counter: &Counter,
        locked: bool,
        meanwhile: impl Future<Output = ()>,
    ) -> Outcome {
        let outcome = match self.changed(driver, counter, locked, meanwhile).await {
            Ok(outcome) => outcome,
            Err(error) if error.kind() == ErrorKind::Unknown => Outcome::Unknown,
            Err(error) => Outcome::Failed(Kind(error.kind())),
        };
        *lock(&self.outcomes).entry(outcome).or_default() += 1;
        outcome
    }

    /// How often that came out.
    pub(crate) fn count(&self, outcome: Outcome) -> u64 {
        lock(&self.outcomes).get(&outcome).copied().unwrap_or(0)
    }

    /// How many did not come to the save.
    pub(crate) fn failures(&self) -> u64 {
        let outcomes = lock(&self.outcomes);
        let failed = outcomes
            .iter()
            .filter(|(outcome, _)| matches!(outcome, Outcome::Failed(_)));
        failed.map(|(_, count)| count).sum()
    }

    /// Compares a session with what was sent; `None` when it is not there any more. Panics when the
    /// record is not one that was sent, whole and based on another one that was.
    pub(crate) async fn find(&self, driver: &RedisDriver, counter: &Counter) -> Option<Found> {
        let snapshot = match driver.open(&counter.key, make::open()).await {
            Ok(Opened::Missing) => return None,
            opened => expect::found(opened),
        };
        let count = snapshot.version.number - 1;
        assert_eq!(&*snapshot.data, count.to_string().as_bytes(), "not whole");
        assert_eq!(snapshot.stamp, counter.stamp, "not whole");
        let sent = lock(&self.sent);
        let mut there = Vec::new();
        let mut version = snapshot.version;
        while version.number > 1 {
            let link = sent.get(&(counter.key, version.op));
            let link = link.unwrap_or_else(|| panic!("version {} was never sent", version.number));
            assert_eq!(link.base.number + 1, version.number, "a gap in the chain");
            there.push(version.op);
            version = link.base;
        }
        let mine = sent.iter().filter(|((key, _), _)| *key == counter.key);
        let acknowledged: Vec<_> = mine
            .filter(|(_, link)| link.acknowledged)
            .map(|((_, op), _)| *op)
            .collect();
        let there: std::collections::HashSet<_> = there.into_iter().collect();
        let lost = acknowledged.iter().filter(|op| !there.contains(op)).count();
        Some(Found {
            acknowledged: acknowledged.len() as u64,
            lost: lost as u64,
            there: there.len() as u64,
            gone: 0,
        })
    }

    /// All sessions together.
    pub(crate) async fn find_all(&self, driver: &RedisDriver, counters: &[Counter]) -> Found {
        let mut all = Found::default();
        for counter in counters {
            let Some(found) = self.find(driver, counter).await else {
                all.gone += 1;
                continue;
            };
            all.add(found);
        }
        all
    }

    async fn changed(
        &self,
        driver: &RedisDriver,
        counter: &Counter,
        locked: bool,
        meanwhile: impl Future<Output = ()>,
    ) -> Result<Outcome> {
        let (token, opened) = if locked {
            let claim = make::claim();
            let token = claim.token;
            let proof = counter.stamp.proofs.current;
            let opened = driver
                .open(&counter.key, make::open_locked(claim, proof))
                .await;
            if opened.is_err() {
                // It may be ours; who gives up says so.
                driver.abandon(&counter.key, &token);
            }
            (Some(token), opened?)
        } else {
            (None, driver.open(&counter.key, make::open()).await?)
        };
        let (snapshot, token) = match opened {
            Opened::Found {
                snapshot,
                lock: OpenedLock::NotAsked | OpenedLock::Held(_),
            } => (snapshot, token),
            Opened::Found {
                snapshot,
                lock: OpenedLock::Busy,
            } => match self.waited(driver, counter, snapshot).await? {
                Ok((snapshot, token)) => (snapshot, Some(token)),
                Err(outcome) => return Ok(outcome),
            },
            Opened::Missing => return Ok(Outcome::Missing),
            other => panic!("{other:?}"),
        };
        meanwhile.await;
        self.save(driver, counter, &snapshot, token).await
    }

    async fn waited(
        &self,
        driver: &RedisDriver,
        counter: &Counter,
        snapshot: Snapshot,
    ) -> Result<Result<(Snapshot, LockToken), Outcome>> {
        let wish = make::wish(&snapshot);
        let token = wish.claim.token;
        let acquired = driver.acquire(&counter.key, wish).await;
        if acquired.is_err() {
            driver.abandon(&counter.key, &token);
        }
        Ok(match acquired? {
            Acquired::Held {
                snapshot: newer, ..
            } => Ok((newer.unwrap_or(snapshot), token)),
            Acquired::Busy => Err(Outcome::Busy),
            Acquired::Missing => Err(Outcome::Missing),
            other => panic!("{other:?}"),
        })
    }

    async fn save(
        &self,
        driver: &RedisDriver,
        counter: &Counter,
        snapshot: &Snapshot,
        token: Option<LockToken>,
    ) -> Result<Outcome> {
        let data = snapshot.version.number.to_string();
        let mut save = match token {
            Some(token) => make::save_and_release(token, snapshot, data),
            None => make::save(snapshot, data),
        };
        let sent = Sent {
            base: snapshot.version,
            acknowledged: false,
        };
        lock(&self.sent).insert((counter.key, save.op), sent);
        loop {
            match driver.save(&counter.key, save.clone()).await {
                // Until it is known: that is what the op id is for.
                Err(error) if error.is_retryable() => save.resend = true,
                Err(error) => return Err(error),
                Ok(Written::Done { version, .. }) => {
                    assert_eq!(version.number, snapshot.version.number + 1);
                    let mut sent = lock(&self.sent);
                    let link = sent.get_mut(&(counter.key, save.op));
                    link.expect("it was sent").acknowledged = true;
                    return Ok(Outcome::Done);
                }
                Ok(refused @ (Written::Conflict(_) | Written::Locked | Written::LockLost)) => {
                    if let Some(token) = &token {
                        driver.abandon(&counter.key, token);
                    }
                    return Ok(match refused {
                        Written::LockLost => Outcome::LockLost,
                        _ => Outcome::Refused,
                    });
                }
                Ok(Written::Missing) => return Ok(Outcome::Missing),
                Ok(other) => panic!("{other:?}"),
            }
        }
    }
}

impl PartialOrd for Kind {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Kind {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.to_string().cmp(&other.0.to_string())
    }
}

impl fmt::Display for Ledger {
    /// Each outcome and how often it came out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcomes = lock(&self.outcomes);
        let mut words = outcomes.iter().map(|(outcome, count)| match outcome {
            Outcome::Failed(Kind(kind)) => format!("{count} {kind}"),
            outcome => format!("{count} {outcome:?}").to_lowercase(),
        });
        write!(f, "{}", words.next().unwrap_or_default())?;
        words.try_for_each(|word| write!(f, ", {word}"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
