//! A map in shards, each behind a mutex of its own.

use std::{
    hash::{BuildHasher, Hash},
    sync::{Mutex, MutexGuard, PoisonError},
};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

/// How many shards there are. Measured against lock-free maps: on writes 64 mutexes are faster.
pub(crate) const SHARDS: usize = 64;

/// How many places a search looks at while it keeps others waiting.
pub(crate) const LOOK: usize = 1024;

/// A map in shards. Values are boxed, so that the free places of a table cost a pointer each.
#[derive(Debug)]
pub(crate) struct Shards<K, V> {
    shards: Vec<Mutex<Shard<K, V>>>,
    hasher: DefaultHashBuilder,
}

type Shard<K, V> = HashTable<Box<Slot<K, V>>>;

/// A key and its value.
#[derive(Debug)]
struct Slot<K, V> {
    key: K,
    value: V,
}

impl<K: Hash + Eq + Copy, V> Shards<K, V> {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// Runs a step on the value of this key, which is made when it is not there, and does not stay
    /// when it is nothing afterwards.
    #[inline(always)] // What a step takes and answers would be copied from frame to frame.
    pub(crate) fn with<R>(
        &self,
        key: &K,
        nothing: impl FnOnce() -> V,
        is_nothing: impl FnOnce(&V) -> bool,
        step: impl FnOnce(&mut V) -> R,
    ) -> R {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.lock(shard_of(hash));
        match shard.entry(
            hash,
            |slot| slot.key == *key,
            |slot| self.hasher.hash_one(slot.key),
        ) {
            Entry::Occupied(mut place) => {
                let answer = step(&mut place.get_mut().value);
                if is_nothing(&place.get().value) {
                    place.remove();
                }
                answer
            }
            Entry::Vacant(place) => {
                let mut value = nothing();
                let answer = step(&mut value);
                if !is_nothing(&value) {
                    place.insert(Box::new(Slot { key: *key, value }));
                }
                answer
            }
        }
    }

    /// Looks at the next few values from a place on; answers how many places it looked at, and where
    /// to go on. Places move when a table grows; what was missed by that is found the next time.
    pub(crate) fn look(&self, from: Place, mut at: impl FnMut(&K, &V)) -> (usize, Option<Place>) {
        let shard = self.lock(from.shard);
        let end = shard.num_buckets().min(from.bucket.saturating_add(LOOK));
        for slot in (from.bucket..end).filter_map(|bucket| shard.get_bucket(bucket)) {
            at(&slot.key, &slot.value);
        }
        let (looked, next) = (end.saturating_sub(from.bucket), from.shard + 1);
        if end < shard.num_buckets() {
            return (
                looked,
                Some(Place {
                    bucket: end,
                    ..from
                }),
            );
        }
        let next = (next < SHARDS).then_some(Place {
            shard: next,
            bucket: 0,
        });
        (looked, next)
    }

    pub(crate) fn len(&self) -> usize {
        (0..SHARDS).map(|shard| self.lock(shard).len()).sum()
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard<K, V>> {
        // A step is pure and does not panic; were it to, its entry would still be whole.
        self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a search through all shards goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    shard: usize,
    bucket: usize,
}

impl Place {
    const LEN: usize = 9;

    /// For a cursor.
    pub(crate) fn to_bytes(self) -> [u8; Self::LEN] {
        let mut bytes = [0; Self::LEN];
        bytes[0] = self.shard as u8;
        bytes[1..].copy_from_slice(&(self.bucket as u64).to_be_bytes());
        bytes
    }

    /// What [`Place::to_bytes`] made; `None` if it did not.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (&shard, bucket) = bytes.split_first()?;
        let bucket = u64::from_be_bytes(bucket.try_into().ok()?);
        (usize::from(shard) < SHARDS).then_some(Self {
            shard: shard.into(),
            bucket: bucket.try_into().ok()?,
        })
    }
}

/// Bits of the hash that the tables use for neither place nor tag.
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}
