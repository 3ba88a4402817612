//! Who is compared: each can make a session, and read it and write it anew.

use std::{
    collections::hash_map::RandomState,
    error::Error,
    hash::BuildHasher,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use asm_core::{
    Create, Created, Driver, Epoch, Guard, Key, OpId, Open, Opened, Proof, Proofs, Save,
    SessionStore as _, Stamp, Written,
};
use asm_memory::MemoryDriver;
use asm_session::{Client, IdUpdate, Sessions};
use bytes::Bytes;
use dashmap::DashMap;
use fastrand::Rng;
use hashbrown::HashMap;
use serde_json::Value;
use time::OffsetDateTime;
use tower_sessions::{
    MemoryStore, SessionStore as _,
    session::{Id, Record},
};

/// Long enough to be out of the way.
pub(crate) const TTL: Duration = Duration::from_secs(24 * 3600);

/// A store of sessions.
pub(crate) trait Contender: Clone + Send + Sync + 'static {
    /// Makes a session of these bytes.
    fn create(&self, key: u128, data: &[u8]) -> impl Future<Output = ()> + Send;

    /// Reads a session, and writes it anew with these bytes.
    fn cycle(&self, key: u128, data: &[u8], rng: &mut Rng) -> impl Future<Output = ()> + Send;
}

/// ASM's memory driver: an open, and a guarded save of what was opened.
pub(crate) struct Ours<D: ?Sized>(Arc<D>);

impl Ours<MemoryDriver> {
    /// By its type, with room for millions of sessions.
    pub(crate) fn new() -> Self {
        let builder = MemoryDriver::builder()
            .max_sessions(10_000_000)
            .max_bytes(16 << 30);
        Self(Arc::new(builder.build()))
    }

    /// The same sessions, as applications hold a driver: `Arc<dyn Driver>`.
    pub(crate) fn erased(&self) -> Ours<dyn Driver> {
        Ours(Arc::clone(&self.0) as Arc<dyn Driver>)
    }
}

impl<D: ?Sized> Clone for Ours<D> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<D: Driver + ?Sized> Contender for Ours<D> {
    async fn create(&self, key: u128, data: &[u8]) {
        create(&*self.0, key, data, TTL).await;
    }

    async fn cycle(&self, key: u128, data: &[u8], rng: &mut Rng) {
        let key = Key::from_bytes(key.to_ne_bytes());
        let opened = self.0.open(&key, Open { lock: None }).await;
        let Ok(Opened::Found { snapshot, .. }) = opened else {
            panic!("the session is there: {opened:?}");
        };
        let save = Save {
            op: OpId::from_bytes(rng.u64(..).to_ne_bytes()),
            resend: false,
            guard: Guard::unchanged(&snapshot),
            stamp: snapshot.stamp,
            data: Bytes::copy_from_slice(data).into(),
            ttl: TTL,
            release: false,
        };
        match self.0.save(&key, save).await {
            // With two writers now and then both mean the same session.
            Ok(Written::Done { .. } | Written::Conflict(_)) => {}
            other => panic!("a save of what was just opened: {other:?}"),
        }
    }
}

/// Makes a session of these bytes and this lifetime.
pub(crate) async fn create<D: Driver + ?Sized>(driver: &D, key: u128, data: &[u8], ttl: Duration) {
    let create = Create {
        op: OpId::from_bytes([1; OpId::LEN]),
        resend: false,
        stamp: Stamp {
            epoch: Epoch::new(1),
            proofs: Proofs {
                current: Proof::from_bytes([1; Proof::LEN]),
                pending: None,
            },
        },
        data: Bytes::copy_from_slice(data).into(),
        ttl,
        lock: None,
    };
    let created = driver
        .create(&Key::from_bytes(key.to_ne_bytes()), create)
        .await;
    assert!(matches!(created, Ok(Created::Done { .. })), "{created:?}");
}

/// Sessions of values, as an application holds them: it presents an id.
#[derive(Clone)]
pub(crate) struct OfSessions {
    sessions: Sessions,
    ids: Arc<[String]>,
    text: Arc<str>,
}

impl OfSessions {
    /// So many of them, with these bytes as a text.
    pub(crate) async fn new(count: usize, data: &[u8]) -> Result<Self, Box<dyn Error>> {
        let driver = MemoryDriver::builder().max_sessions(10_000_000).build();
        let sessions = Sessions::builder(driver).build()?;
        let text = String::from_utf8(data.to_vec())?;
        let mut ids = Vec::new();
        for _ in 0..count {
            let mut session = sessions.create(&Client::default())?;
            session.insert("data", &text)?;
            session.close().await?;
            let IdUpdate::Issue(id) = session.id_update() else {
                return Err("a new session issues its id".into());
            };
            ids.push(id.expose().to_string());
        }
        Ok(Self {
            sessions,
            ids: ids.into(),
            text: text.into(),
        })
    }
}

impl Contender for OfSessions {
    async fn create(&self, _: u128, _: &[u8]) {}

    async fn cycle(&self, key: u128, _: &[u8], _: &mut Rng) {
        let id = &self.ids[key as usize % self.ids.len()];
        let opened = self.sessions.open(id, &Client::default()).await;
        let mut session = opened.expect("the session is there");
        session.insert("data", &*self.text).expect("a text");
        // With two writers now and then both mean the same session; then theirs is merged.
        session.close().await.expect("saved");
    }
}

/// A lock-free map of bytes: no lifetimes, versions or guards.
#[derive(Clone, Default)]
pub(crate) struct LockFreeMap(Arc<DashMap<u128, Bytes>>);

impl Contender for LockFreeMap {
    async fn create(&self, key: u128, data: &[u8]) {
        self.0.insert(key, Bytes::copy_from_slice(data));
    }

    async fn cycle(&self, key: u128, data: &[u8], _: &mut Rng) {
        let read = self.0.get(&key).map(|bytes| bytes.value().clone());
        assert!(read.is_some());
        self.0.insert(key, Bytes::copy_from_slice(data));
    }
}

/// A sharded map of bytes and when they expire.
#[derive(Clone)]
pub(crate) struct ShardedMap {
    shards: Arc<[Mutex<Shard>]>,
    hasher: RandomState,
}

type Shard = HashMap<u128, (Bytes, u64)>;

impl Default for ShardedMap {
    fn default() -> Self {
        Self {
            shards: (0..64).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }
}

impl Contender for ShardedMap {
    async fn create(&self, key: u128, data: &[u8]) {
        let value = (Bytes::copy_from_slice(data), TTL.as_secs());
        self.shard(key).insert(key, value);
    }

    async fn cycle(&self, key: u128, data: &[u8], _: &mut Rng) {
        let read = self.shard(key).get(&key).cloned();
        assert!(read.is_some());
        self.create(key, data).await;
    }
}

impl ShardedMap {
    fn shard(&self, key: u128) -> MutexGuard<'_, Shard> {
        let place = (self.hasher.hash_one(key) >> 40) as usize % self.shards.len();
        self.shards[place]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The memory store of tower-sessions: whole records, unguarded.
#[derive(Clone)]
pub(crate) struct TowerSessions {
    store: MemoryStore,
    value: Value,
}

impl TowerSessions {
    /// Whose sessions hold these bytes as a text.
    pub(crate) fn new(data: &[u8]) -> Self {
        Self {
            store: MemoryStore::default(),
            value: Value::String(String::from_utf8_lossy(data).into_owned()),
        }
    }
}

impl Contender for TowerSessions {
    async fn create(&self, key: u128, _: &[u8]) {
        let record = Record {
            id: Id(key.cast_signed()),
            data: [("data".to_owned(), self.value.clone())].into(),
            expiry_date: OffsetDateTime::now_utc() + TTL,
        };
        self.store.save(&record).await.expect("saved");
    }

    async fn cycle(&self, key: u128, _: &[u8], _: &mut Rng) {
        let id = Id(key.cast_signed());
        let loaded = self.store.load(&id).await.expect("loaded");
        let mut record = loaded.expect("the session is there");
        record.data.insert("data".to_owned(), self.value.clone());
        record.expiry_date = OffsetDateTime::now_utc() + TTL;
        self.store.save(&record).await.expect("saved");
    }
}
