//! The index of one subject.

use std::collections::HashSet;

use asm_core::{Key, Reserve, Reserved, Timestamp};
use serde::{Deserialize, Serialize};

/// Everything that a store keeps for one subject: which sessions it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectEntry {
    generation: u64,
    /// In the order in which they were first reserved.
    items: Vec<SubjectItem>,
}

/// One session of a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectItem {
    /// The session.
    pub key: Key,
    /// When it was first reserved.
    pub since: Timestamp,
    /// The generation that it was last reserved under.
    pub generation: u64,
    /// When the entry ends, if nothing ends it before.
    pub until: Timestamp,
}

impl SubjectEntry {
    /// Lists a session, unless that would be one too many.
    pub fn reserve(&mut self, now: Timestamp, req: &Reserve) -> Reserved {
        self.settle(now);
        let others = self.items.iter().filter(|item| item.key != req.key).count();
        if req.cap.is_some_and(|cap| others >= cap.get() as usize) {
            return Reserved::Full;
        }
        if self.items.is_empty() {
            // An index that was dropped when it was empty must not count anew.
            self.advance(now);
        }
        let generation = self.generation;
        let until = now + req.ttl;
        match self.items.iter_mut().find(|item| item.key == req.key) {
            Some(item) => {
                item.generation = generation;
                item.until = item.until.max(until);
            }
            None => self.items.push(SubjectItem {
                key: req.key,
                since: now,
                generation,
                until,
            }),
        }
        Reserved::Done { generation }
    }

    /// When the next entry of it is over, so that a sweep should [look](Self::items) at it. `None`
    /// when it [is empty](Self::is_empty).
    #[must_use]
    pub fn next_due(&self) -> Option<Timestamp> {
        self.items.iter().map(|item| item.until).min()
    }

    /// Whether an entry of it is over.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.next_due().is_some_and(|due| due <= now)
    }

    /// The sessions that may still live, the one reserved first standing first.
    pub fn items(&mut self, now: Timestamp) -> &[SubjectItem] {
        self.settle(now);
        &self.items
    }

    /// The present generation.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Starts a new generation; answers all sessions but the one to keep.
    pub fn revoke(&mut self, now: Timestamp, keep: Option<Key>) -> Vec<Key> {
        self.settle(now);
        self.advance(now);
        let generation = self.generation;
        let mut revoked = Vec::with_capacity(self.items.len());
        for item in &mut self.items {
            if Some(item.key) == keep {
                item.generation = generation;
            } else {
                revoked.push(item.key);
            }
        }
        revoked
    }

    /// Drops sessions; answers how many there were.
    pub fn forget(&mut self, keys: &[Key]) -> usize {
        let before = self.items.len();
        let keys: HashSet<_> = keys.iter().collect();
        self.items.retain(|item| !keys.contains(&item.key));
        before - self.items.len()
    }

    /// How many sessions are listed, those included whose entry is over and that nobody has looked
    /// at since.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether a store may drop it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Its stored form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let items = self.items.iter().map(StoredItem::of).collect();
        crate::stored::encode(&StoredSubject {
            generation: self.generation,
            items,
        })
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    /// `Corrupt` for anything else.
    pub fn decode(bytes: &[u8]) -> asm_core::Result<Self> {
        let stored: StoredSubject = crate::stored::decode(bytes)?;
        Ok(Self {
            generation: stored.generation,
            items: stored.items.into_iter().map(StoredItem::restore).collect(),
        })
    }

    fn settle(&mut self, now: Timestamp) {
        self.items.retain(|item| item.until > now);
    }

    /// Generations are times, as far as these have moved on: they grow across a dropped index.
    fn advance(&mut self, now: Timestamp) {
        self.generation = now.as_micros().max(self.generation.saturating_add(1));
    }
}

#[derive(Serialize, Deserialize)]
struct StoredSubject {
    generation: u64,
    items: Vec<StoredItem>,
}

#[derive(Serialize, Deserialize)]
struct StoredItem {
    key: [u8; Key::LEN],
    since: u64,
    generation: u64,
    until: u64,
}

impl StoredItem {
    fn of(item: &SubjectItem) -> Self {
        Self {
            key: *item.key.as_bytes(),
            since: item.since.as_micros(),
            generation: item.generation,
            until: item.until.as_micros(),
        }
    }

    fn restore(self) -> SubjectItem {
        SubjectItem {
            key: Key::from_bytes(self.key),
            since: Timestamp::from_micros(self.since),
            generation: self.generation,
            until: Timestamp::from_micros(self.until),
        }
    }
}
