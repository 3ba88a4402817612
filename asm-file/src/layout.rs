//! Names of files, and what is in them.
//!
//! A file is a frame around its content: magic and kind, a checksum, the *life* it belongs to. The
//! checksum covers the name, so that a file under another's name is foreign. A life is one session
//! from its creation to its end: a file that was left behind by a former session of the same key is
//! told by it.

use asm_core::{Key, LockToken};
use bytes::{BufMut, Bytes};
use serde::{Deserialize, Serialize};

use crate::process::Process;

/// What is being written gets its name last. One at a time in a shard, so one name is enough.
pub(crate) const TEMP: &str = "new";

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Head and body of a session, and the lock as of the same moment.
    Record = b's',
    /// A lock that changed by itself.
    Lock = b'l',
    /// Lockless fields.
    Fields = b'f',
    /// The index of a subject.
    Index = b'u',
}

impl Kind {
    pub(crate) fn name_of(self, owner: &[u8]) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut name = String::with_capacity(2 * owner.len() + 2);
        for byte in owner {
            name.push(char::from(DIGITS[usize::from(byte >> 4)]));
            name.push(char::from(DIGITS[usize::from(byte & 15)]));
        }
        name.push('.');
        name.push(char::from(self as u8));
        name
    }

    /// The hex digits and the kind of one of our names.
    pub(crate) fn of_name(name: &str) -> Option<(&str, Self)> {
        let (stem, kind) = name.split_once('.')?;
        let kind = match kind {
            "s" => Self::Record,
            "l" => Self::Lock,
            "f" => Self::Fields,
            "u" => Self::Index,
            _ => return None,
        };
        is_stem(stem).then_some((stem, kind))
    }
}

/// Whether this is the first part of a name of ours: the digits of a key, or of a subject.
pub(crate) fn is_stem(stem: &str) -> bool {
    let hex = |digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    matches!(stem.len(), 32 | 64) && stem.bytes().all(hex)
}

/// Which session, from its creation to its end, a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life([u8; 16]);

impl Life {
    /// Of what belongs to no session.
    pub(crate) const NONE: Self = Self([0; 16]);

    /// One that never was.
    pub(crate) fn new() -> Result<Self, getrandom::Error> {
        let mut life = [0; 16];
        getrandom::fill(&mut life)?;
        Ok(Self(life))
    }
}

const MAGIC: [u8; 4] = *b"ASM1";
/// Magic, kind, checksum, life.
const HEADER: usize = 4 + 1 + 4 + 16;

/// What a file holds beyond its content, at most.
pub(crate) const OVERHEAD: usize = 64 * 1024;

/// The bytes of a file.
pub(crate) fn frame(kind: Kind, owner: &[u8], life: Life, content: &[&[u8]]) -> Vec<u8> {
    let length: usize = content.iter().map(|part| part.len()).sum();
    let mut bytes = Vec::with_capacity(HEADER + length);
    bytes.put_slice(&MAGIC);
    bytes.put_u8(kind as u8);
    bytes.put_u32(0);
    bytes.put_slice(&life.0);
    content.iter().for_each(|part| bytes.put_slice(part));
    let sum = checksum(owner, &bytes);
    bytes[5..9].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// Life and content of a file; `None` when it is torn, or not ours.
pub(crate) fn unframe(kind: Kind, owner: &[u8], bytes: &Bytes) -> Option<(Life, Bytes)> {
    let header: &[u8; HEADER] = bytes.first_chunk()?;
    if header[..4] != MAGIC || header[4] != kind as u8 {
        return None;
    }
    if header[5..9] != checksum(owner, bytes).to_be_bytes() {
        return None;
    }
    let life = Life(header[9..].try_into().ok()?);
    Some((life, bytes.slice(HEADER..)))
}

/// Of everything but the checksum itself.
fn checksum(owner: &[u8], bytes: &[u8]) -> u32 {
    let mut sum = crc32fast::Hasher::new();
    sum.update(owner);
    sum.update(&bytes[..5]);
    sum.update(&bytes[9..]);
    sum.finalize()
}

/// The content of a record.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub(crate) head: Bytes,
    /// A [`LockBlock`], empty when there was none.
    pub(crate) lock: Bytes,
    pub(crate) body: Bytes,
}

impl Record {
    pub(crate) fn frame(&self, key: &Key, life: Life) -> Vec<u8> {
        let lengths = [self.head.len(), self.lock.len()].map(|length| length as u32);
        let lengths = lengths.map(u32::to_be_bytes);
        let content = [
            &lengths[0][..],
            &lengths[1],
            &self.head,
            &self.lock,
            &self.body,
        ];
        frame(Kind::Record, key.as_bytes(), life, &content)
    }

    pub(crate) fn unframe(key: &Key, bytes: &Bytes) -> Option<(Life, Self)> {
        let (life, content) = unframe(Kind::Record, key.as_bytes(), bytes)?;
        let length = |at: usize| {
            let length = content.get(at..)?.first_chunk()?;
            Some(u32::from_be_bytes(*length) as usize)
        };
        let (head, lock) = (length(0)?, length(4)?);
        let (head, lock) = (8..8 + head, 8 + head..8 + head + lock);
        if lock.end > content.len() {
            return None;
        }
        let record = Self {
            body: content.slice(lock.end..),
            head: content.slice(head),
            lock: content.slice(lock),
        };
        Some((life, record))
    }
}

/// A lock, and which processes its tokens belong to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct LockBlock {
    /// One more with each change. Of the two that there may be, in the record and beside it, the
    /// higher one is the lock.
    pub(crate) number: u64,
    /// On which boot of the machine it was written. No holder outlives a boot.
    pub(crate) boot: [u8; 16],
    /// The lock as [`Entry`](asm_entry::Entry) stores it.
    pub(crate) part: Vec<u8>,
    /// Who the tokens of the grant and of the queue belong to.
    pub(crate) owners: Vec<([u8; LockToken::LEN], Process)>,
}

impl LockBlock {
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Serialization into memory fails for no value of ours.
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// The last of all numbers would leave none for the next change.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        match postcard::take_from_bytes::<Self>(bytes) {
            Ok((block, [])) if block.number < u64::MAX => Some(block),
            _ => None,
        }
    }

    pub(crate) fn owner(&self, token: &LockToken) -> Option<&Process> {
        let mut owners = self.owners.iter();
        owners
            .find(|(owned, _)| owned == token.as_bytes())
            .map(|(_, process)| process)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key = Key::from_bytes([7; 16]);

    fn record() -> Record {
        Record {
            head: Bytes::from_static(b"head"),
            lock: Bytes::from_static(b"lock!"),
            body: Bytes::from_static(b"body\0"),
        }
    }

    #[test]
    fn a_record_reads_back_under_its_own_name_alone() {
        let life = Life::new().expect("randomness");
        let bytes = Bytes::from(record().frame(&KEY, life));
        let (read, parts) = Record::unframe(&KEY, &bytes).expect("ours");
        assert_eq!(read, life);
        assert_eq!(parts.head, "head");
        assert_eq!(parts.lock, "lock!");
        assert_eq!(parts.body, "body\0");
        assert!(Record::unframe(&Key::from_bytes([8; 16]), &bytes).is_none());
        assert!(unframe(Kind::Fields, KEY.as_bytes(), &bytes).is_none());
    }

    #[test]
    fn no_cut_and_no_flipped_bit_goes_unseen() {
        let whole = record().frame(&KEY, Life::NONE);
        for length in 0..whole.len() {
            let cut = Bytes::copy_from_slice(&whole[..length]);
            assert!(Record::unframe(&KEY, &cut).is_none(), "cut to {length}");
        }
        for bit in 0..8 * whole.len() {
            let mut edited = whole.clone();
            edited[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::unframe(&KEY, &edited.into()).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn lying_lengths_are_refused() {
        for (head, lock) in [(u32::MAX, 0), (0, u32::MAX), (u32::MAX, u32::MAX), (1, 1)] {
            let content = [head.to_be_bytes(), lock.to_be_bytes()].concat();
            let bytes = frame(Kind::Record, KEY.as_bytes(), Life::NONE, &[&content]);
            assert!(Record::unframe(&KEY, &bytes.into()).is_none());
        }
    }

    #[test]
    fn a_lock_reads_back_unless_it_could_never_change_again() {
        let block = |number| LockBlock {
            number,
            part: vec![1, 2],
            ..LockBlock::default()
        };
        let decoded = |number| LockBlock::decode(&block(number).encode());
        assert_eq!(
            decoded(u64::MAX - 1).map(|block| block.part),
            Some(vec![1, 2])
        );
        assert!(decoded(u64::MAX).is_none());
        assert!(LockBlock::decode(&[block(1).encode(), vec![0]].concat()).is_none());
    }

    #[test]
    fn names_read_back_and_foreign_ones_do_not() {
        for kind in [Kind::Record, Kind::Lock, Kind::Fields, Kind::Index] {
            let name = kind.name_of(&[0xab; 16]);
            assert_eq!(Kind::of_name(&name), Some((&*"ab".repeat(16), kind)));
        }
        for foreign in ["", "new", "feed", ".s", "ab.s", "ab/../ab.s", "0.s.s"] {
            assert_eq!(Kind::of_name(foreign), None);
        }
        let upper = format!("{}.s", "AB".repeat(16));
        assert_eq!(Kind::of_name(&upper), None);
    }
}
