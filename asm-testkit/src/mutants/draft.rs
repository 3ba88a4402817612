//! An entry taken apart, so that a mutant can put it together wrongly.

use asm_core::{LockToken, OpId, Proof};
use asm_entry::{Entry, Parts, StoredParts};
use bytes::Bytes;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// The parts of an entry as they are stored; head and lock in the form in which `asm-entry` stores
/// them.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    pub(super) head: Head,
    pub(super) body: Option<Bytes>,
    pub(super) lock: Lock,
    pub(super) fields: Option<Bytes>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) number: u64,
    pub(super) ops: [[u8; OpId::LEN]; OpId::REMEMBERED],
    pub(super) expires: u64,
    pub(super) epoch: u64,
    pub(super) current: [u8; Proof::LEN],
    pub(super) pending: Option<[u8; Proof::LEN]>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Lock {
    pub(super) fence: u64,
    pub(super) grant: Option<Grant>,
    pub(super) queue: Vec<Ticket>,
    pub(super) released: Vec<[u8; LockToken::LEN]>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) token: [u8; LockToken::LEN],
    pub(super) label: String,
    pub(super) until: u64,
    pub(super) confirmed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Ticket {
    pub(super) token: [u8; LockToken::LEN],
    pub(super) label: String,
    pub(super) epoch: u64,
    pub(super) until: u64,
    pub(super) silent: u64,
}

impl Draft {
    /// What is in an entry; nothing in a vacant one.
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        Some(Self {
            head: read(&entry.part(Parts::HEAD)?),
            body: entry.part(Parts::BODY),
            lock: entry
                .part(Parts::LOCK)
                .map_or_else(Lock::default, |lock| read(&lock)),
            fields: entry.part(Parts::FIELDS),
        })
    }

    /// The entry that this is.
    pub(super) fn entry(self) -> Entry {
        let stored = StoredParts {
            head: Some(write(&self.head)),
            body: self.body,
            lock: Some(write(&self.lock)),
            fields: self.fields,
        };
        Entry::decode(Parts::ALL, stored).expect("parts as asm-entry stores them")
    }
}

fn read<T: DeserializeOwned>(stored: &[u8]) -> T {
    postcard::from_bytes(stored).expect("the form in which asm-entry stores it")
}

fn write(part: &impl Serialize) -> Bytes {
    postcard::to_allocvec(part)
        .expect("numbers, bytes and text")
        .into()
}
