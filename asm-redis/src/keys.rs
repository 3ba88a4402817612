//! The names of keys and channels.
//!
//! | name | what |
//! |---|---|
//! | `asm:{<handle>}` | the record, with the present grant of the lock |
//! | `asm:{<handle>}:queue` | the tickets |
//! | `asm:{<handle>}:fields` | the lockless fields |
//! | `asm:{<handle>}:stage:<op id>` | a record on its way to its place |
//! | `asm:{<handle>}:feed` | channel: changes of a session |
//! | `asm:{s:<subject>}` | sessions of a user |
//! | `asm:{s:<subject>}:until` | the same, by the end of their entries |
//! | `asm:wake:<process>` | channel: grants for waiters of a process |
//!
//! Everything of one session has the same hash tag, so it is in one slot of a cluster. Names are
//! our own hex; nothing that a client sends is ever part of one.

use asm_core::{Key, OpId, Result, Subject};

use crate::builder::invalid;

/// What all names begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Prefix(Box<str>);

impl Prefix {
    const MAX: usize = 64;

    pub(crate) fn new(text: &str) -> Result<Self> {
        let fits = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
        if text.is_empty() || text.len() > Self::MAX || !text.chars().all(fits) {
            return Err(invalid(
                "a prefix has 1 to 64 bytes of letters, digits and - _ . : /",
            ));
        }
        Ok(Self(text.into()))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn session(&self, key: &Key) -> SessionKeys {
        let mut tag = String::with_capacity(self.0.len() + 2 * Key::LEN + 3);
        tag.push_str(&self.0);
        tag.push_str(":{");
        hex(&mut tag, key.as_bytes());
        tag.push('}');
        SessionKeys(tag)
    }

    pub(crate) fn subject(&self, subject: &Subject) -> SubjectKeys {
        let mut index = String::with_capacity(self.0.len() + 2 * Subject::LEN + 5);
        index.push_str(&self.0);
        index.push_str(":{s:");
        hex(&mut index, subject.as_bytes());
        index.push('}');
        SubjectKeys(index)
    }

    /// The channel of a process.
    pub(crate) fn wake(&self, process: &[u8; 8]) -> String {
        let mut name = format!("{}:wake:", self.0);
        hex(&mut name, process);
        name
    }

    /// The session whose record has this name.
    pub(crate) fn key_of_record(&self, name: &[u8]) -> Option<Key> {
        let tag = name.strip_prefix(self.0.as_bytes())?.strip_prefix(b":{")?;
        let handle = tag.strip_suffix(b"}")?;
        Key::from_hex(std::str::from_utf8(handle).ok()?)
    }

    /// What matches the names of records, and no other name.
    pub(crate) fn pattern_of_records(&self) -> String {
        format!("{}:{{{}}}", self.0, "?".repeat(2 * Key::LEN))
    }

    /// The session whose feed this is.
    pub(crate) fn key_of_feed(&self, name: &[u8]) -> Option<Key> {
        self.key_of_record(name.strip_suffix(b":feed")?)
    }
}

/// The names of one session.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SessionKeys(String);

impl SessionKeys {
    pub(crate) fn record(&self) -> &str {
        &self.0
    }

    pub(crate) fn queue(&self) -> String {
        self.part(":queue")
    }

    pub(crate) fn fields(&self) -> String {
        self.part(":fields")
    }

    pub(crate) fn feed(&self) -> String {
        self.part(":feed")
    }

    /// Each write has a stage of its own, so that two never share one.
    pub(crate) fn stage(&self, op: OpId) -> String {
        let mut name = self.part(":stage:");
        hex(&mut name, op.as_bytes());
        name
    }

    fn part(&self, part: &str) -> String {
        let mut name = String::with_capacity(self.0.len() + part.len() + 16);
        name.push_str(&self.0);
        name.push_str(part);
        name
    }
}

/// The names of one subject.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct SubjectKeys(String);

impl SubjectKeys {
    pub(crate) fn index(&self) -> &str {
        &self.0
    }

    pub(crate) fn until(&self) -> String {
        format!("{}:until", self.0)
    }
}

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16384;

/// The cluster's slot of a name: CRC16 (XMODEM) of its hash tag, by the cluster specification.
pub(crate) fn slot(name: &str) -> u16 {
    let tag = name
        .split_once('{')
        .and_then(|(_, rest)| rest.split_once('}'))
        .map(|(tag, _)| tag)
        .filter(|tag| !tag.is_empty());
    crc16::State::<crc16::XMODEM>::calculate(tag.unwrap_or(name).as_bytes()) % SLOTS
}

fn hex(to: &mut String, bytes: &[u8]) {
    const DIGITS: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    for byte in bytes {
        to.push(DIGITS[usize::from(byte >> 4)]);
        to.push(DIGITS[usize::from(byte & 15)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_of_a_session_are_in_one_slot() {
        let prefix = Prefix::new("asm").expect("a good prefix");
        let key = Key::from_bytes([0xab; 16]);
        let keys = prefix.session(&key);
        let slots = [
            keys.record().to_owned(),
            keys.queue(),
            keys.fields(),
            keys.stage(OpId::from_bytes([1; 8])),
        ]
        .map(|name| slot(&name));
        assert!(slots.iter().all(|other| *other == slots[0]), "{slots:?}");
        assert_eq!(prefix.key_of_record(keys.record().as_bytes()), Some(key));
        assert_eq!(prefix.key_of_feed(keys.feed().as_bytes()), Some(key));
        assert_eq!(prefix.key_of_record(keys.queue().as_bytes()), None);
    }

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(slot("123456789"), 0x31c3);
        assert_eq!(slot("foo{}{bar}"), slot("foo{}{bar}"));
        assert_eq!(slot("{user1000}.following"), slot("user1000"));
    }

    #[test]
    fn a_prefix_cannot_leave_its_place() {
        for wrong in ["", "a b", "a\0", "{a}", "a*", "ä", "a\r\n", &"x".repeat(65)] {
            assert!(Prefix::new(wrong).is_err(), "{wrong:?}");
        }
        for right in ["a", "shop:eu-1", "A_b.c/d"] {
            assert!(Prefix::new(right).is_ok(), "{right:?}");
        }
    }
}
