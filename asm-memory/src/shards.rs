//! A map in shards, each behind a mutex of its own.

use std::{
    hash::{BuildHasher, Hash},
    sync::{Mutex, MutexGuard, PoisonError},
};

use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

/// How many shards there are. Measured against lock-free maps: on writes 64 mutexes are faster.
pub(crate) const SHARDS: usize = 64;

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

    /// Runs a step on the value of this key, which is made when it is not there. It stays if the
    /// step answers so.
    pub(crate) fn with<R>(
        &self,
        key: &K,
        vacant: impl FnOnce() -> V,
        step: impl FnOnce(&mut V) -> (R, Stay),
    ) -> R {
        let hash = self.hasher.hash_one(key);
        let mut shard = self.lock(shard_of(hash));
        match shard.entry(
            hash,
            |slot| slot.key == *key,
            |slot| self.hasher.hash_one(slot.key),
        ) {
            Entry::Occupied(mut place) => {
                let (answer, stay) = step(&mut place.get_mut().value);
                if stay == Stay::No {
                    place.remove();
                }
                answer
            }
            Entry::Vacant(place) => {
                let mut value = vacant();
                let (answer, stay) = step(&mut value);
                if stay == Stay::Yes {
                    place.insert(Box::new(Slot { key: *key, value }));
                }
                answer
            }
        }
    }

    /// Looks at every value of one shard.
    pub(crate) fn look(&self, shard: usize, mut at: impl FnMut(&K, &V)) {
        for slot in self.lock(shard).iter() {
            at(&slot.key, &slot.value);
        }
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

/// Whether a value stays in the map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    Yes,
    No,
}

/// Bits of the hash that the tables use for neither place nor tag.
fn shard_of(hash: u64) -> usize {
    (hash >> 40) as usize % SHARDS
}
