//! The keys of an application: one writes, all read.

use std::{
    fmt::{self, Debug},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime},
};

use asm_core::{Key, Timestamp};
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::{
    KeyError, KeyId, SecretKey, date,
    key::{secret_file, secret_variable},
};

/// The keys of an application. One writes; all read, until their end.
///
/// From each key a ring derives one for each purpose (records, cookies, handles), and forgets the
/// key itself. What it holds is wiped when the last clone is dropped. A ring is cheap to clone, and
/// clones count together.
///
/// ```
/// use asm_crypt::{KeyId, KeyRing, SecretKey};
/// use std::time::Duration;
///
/// let ring = KeyRing::new(KeyId::new(2), &SecretKey::generate()?)
///     .reads(KeyId::new(1), &SecretKey::generate()?)?;
/// assert_eq!(ring.writes(), KeyId::new(2));
///
/// // The same as text: of a file, a variable, a vault. The first one writes.
/// let (new, old) = (SecretKey::generate()?, SecretKey::generate()?);
/// let text = format!(
///     "2 {}\n1 {} until 2030-01-31 # retired",
///     *new.expose_base64(),
///     *old.expose_base64()
/// );
/// assert_eq!(KeyRing::parse(&text)?.writes(), KeyId::new(2));
/// # Ok::<(), asm_crypt::KeyError>(())
/// ```
#[derive(Clone)]
pub struct KeyRing {
    /// The first one writes.
    keys: Vec<Arc<RingKey>>,
    now: Now,
}

impl KeyRing {
    /// A ring of one key, which writes and reads. It has no end: whoever sets one to the key that
    /// writes sets the moment at which nothing is saved any more.
    #[must_use]
    pub fn new(id: KeyId, key: &SecretKey) -> Self {
        Self {
            keys: vec![Arc::new(RingKey::new(id, key, None))],
            now: Arc::new(wall_clock),
        }
    }

    /// Another key, which only reads.
    ///
    /// # Errors
    /// `SameId`, `SameKey`.
    pub fn reads(self, id: KeyId, key: &SecretKey) -> Result<Self, KeyError> {
        self.with(RingKey::new(id, key, None))
    }

    /// Another key, which only reads, and not from `end` on: then what was sealed with it is
    /// refused as tampered.
    ///
    /// # Errors
    /// `SameId`, `SameKey`.
    pub fn reads_until(self, id: KeyId, key: &SecretKey, end: Timestamp) -> Result<Self, KeyError> {
        self.with(RingKey::new(id, key, Some(end)))
    }

    /// Takes the time from here instead of the wall clock of the process. For tests.
    #[must_use]
    pub fn clock(mut self, now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        self.now = Arc::new(now);
        self
    }

    /// Reads the text of a ring: entries on lines, or with commas between them, of the form
    /// `ID BASE64` or `ID BASE64 until YYYY-MM-DD` (midnight UTC). The first one writes. A `#`
    /// begins a comment.
    ///
    /// # Errors
    /// `NoKey`, `Entry`; as [`SecretKey::from_base64`]; `SameId`, `SameKey`.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let lines = text.lines().map(|line| line.split('#').next());
        let entries = lines.flatten().flat_map(|line| line.split(','));
        let entries = entries.map(str::trim).filter(|entry| !entry.is_empty());
        let mut ring: Option<Self> = None;
        for (index, text) in entries.enumerate() {
            let wrong = |why| KeyError::Entry {
                entry: index + 1,
                why,
            };
            let entry = Entry::parse(text).map_err(wrong)?;
            let key = SecretKey::from_base64(entry.key)?;
            ring = Some(match (ring, entry.end) {
                (None, None) => Self::new(entry.id, &key),
                (None, Some(_)) => return Err(wrong("the key that writes has no end")),
                (Some(ring), end) => ring.with(RingKey::new(entry.id, &key, end))?,
            });
        }
        ring.ok_or(KeyError::NoKey)
    }

    /// [Reads](Self::parse) a ring from a file.
    ///
    /// # Errors
    /// As [`SecretKey::from_file`] and [`parse`](Self::parse).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, KeyError> {
        Self::parse(&secret_file(path.as_ref())?)
    }

    /// [Reads](Self::parse) a ring from a variable of the environment.
    ///
    /// # Errors
    /// As [`SecretKey::from_env`] and [`parse`](Self::parse).
    pub fn from_env(variable: &str) -> Result<Self, KeyError> {
        Self::parse(&secret_variable(variable)?)
    }

    /// The key that writes.
    #[must_use]
    pub fn writes(&self) -> KeyId {
        self.writer().id
    }

    /// What each key did in this process so far, the one that writes first.
    #[must_use]
    pub fn usage(&self) -> Vec<KeyUsage> {
        self.keys.iter().map(|key| key.usage()).collect()
    }

    /// A name for a session in places that must not be matched with the store, like statistics that
    /// leave the house: 32 hex digits, the same for a handle as long as the same key writes.
    ///
    /// It is HMAC-SHA-256 under a key of its own, cut to 16 bytes.
    ///
    /// ```
    /// # use asm_crypt::{KeyId, KeyRing, SecretKey};
    /// # use asm_core::Key;
    /// # let ring = KeyRing::new(KeyId::new(1), &SecretKey::generate()?);
    /// let handle = Key::from_bytes([7; 16]);
    /// assert_eq!(ring.pseudonym(&handle), ring.pseudonym(&handle));
    /// assert_ne!(ring.pseudonym(&handle), handle.to_string());
    /// # Ok::<(), asm_crypt::KeyError>(())
    /// ```
    #[must_use]
    pub fn pseudonym(&self, handle: &Key) -> String {
        let mac = Hmac::<Sha256>::new_from_slice(&self.writer().handle.0);
        // An HMAC takes a key of any length.
        let mac = mac.map(|mac| mac.chain_update(handle.as_bytes()).finalize());
        let tag = mac.map(|tag| tag.into_bytes().to_vec()).unwrap_or_default();
        tag.iter()
            .take(Key::LEN)
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// What a key did in this process, since the ring was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeyUsage {
    /// The key.
    pub id: KeyId,
    /// From when it reads nothing more.
    pub ends: Option<Timestamp>,
    /// Things sealed with it: heads and bodies of records, items of fields, cookies.
    pub sealed: u64,
    /// Things opened with it.
    pub opened: u64,
    /// Records opened with it. Of a key that no longer writes: how often an old record was met.
    pub records: u64,
}

impl KeyRing {
    fn with(mut self, key: RingKey) -> Result<Self, KeyError> {
        for other in &self.keys {
            if other.id == key.id {
                return Err(KeyError::SameId(key.id));
            }
            if other.record.0 == key.record.0 {
                return Err(KeyError::SameKey(other.id, key.id));
            }
        }
        self.keys.push(Arc::new(key));
        Ok(self)
    }

    pub(crate) fn writer(&self) -> &RingKey {
        &self.keys[0]
    }

    pub(crate) fn reader(&self, id: KeyId) -> Reader<'_> {
        match self.keys.iter().find(|key| key.id == id) {
            None => Reader::Unknown,
            Some(key) if key.ends.is_some_and(|end| end <= self.now()) => Reader::Ended,
            Some(key) => Reader::Known(key),
        }
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.now)()
    }
}

impl Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.usage()).finish()
    }
}

/// Whether a key reads.
pub(crate) enum Reader<'a> {
    Known(&'a RingKey),
    Ended,
    Unknown,
}

/// What was derived from a key, and what it did.
pub(crate) struct RingKey {
    pub(crate) id: KeyId,
    ends: Option<Timestamp>,
    pub(crate) record: Derived,
    pub(crate) cookie: Derived,
    handle: Derived,
    pub(crate) sealed: AtomicU64,
    pub(crate) opened: AtomicU64,
    pub(crate) records: AtomicU64,
}

impl RingKey {
    /// HKDF (RFC 5869) over SHA-256, with an `info` for each purpose.
    fn new(id: KeyId, key: &SecretKey, ends: Option<Timestamp>) -> Self {
        let root = Derived::extract(b"asm-crypt 1 root", key.bytes());
        Self {
            id,
            ends,
            record: root.expand(&[b"record"]),
            cookie: root.expand(&[b"cookie"]),
            handle: root.expand(&[b"handle"]),
            sealed: AtomicU64::new(0),
            opened: AtomicU64::new(0),
            records: AtomicU64::new(0),
        }
    }

    fn usage(&self) -> KeyUsage {
        KeyUsage {
            id: self.id,
            ends: self.ends,
            sealed: self.sealed.load(Relaxed),
            opened: self.opened.load(Relaxed),
            records: self.records.load(Relaxed),
        }
    }
}

/// A key of 32 bytes that was derived from another one. Wiped when it is dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(crate) struct Derived(pub(crate) [u8; 32]);

impl Derived {
    /// The first step of HKDF: a key of what may be longer, and not evenly random.
    pub(crate) fn extract(salt: &[u8], material: &[u8]) -> Self {
        let (mut extracted, _) = Hkdf::<Sha256>::extract(Some(salt), material);
        let mut key = Self([0; 32]);
        key.0.copy_from_slice(&extracted);
        extracted.as_mut_slice().zeroize();
        key
    }

    /// The second step: a key for one thing.
    pub(crate) fn expand(&self, info: &[&[u8]]) -> Self {
        let mut key = Self([0; 32]);
        // Both only fail for other lengths than these.
        if let Ok(hkdf) = Hkdf::<Sha256>::from_prk(&self.0) {
            let expanded = hkdf.expand_multi_info(info, &mut key.0);
            debug_assert!(expanded.is_ok());
        }
        key
    }

    /// The key that this one and another secret make together.
    pub(crate) fn join(&self, other: &[u8; 32]) -> Self {
        let mut both = Zeroizing::new([0; 64]);
        both[..32].copy_from_slice(&self.0);
        both[32..].copy_from_slice(other);
        Self::extract(b"asm-crypt 1 split", &*both)
    }
}

type Now = Arc<dyn Fn() -> Timestamp + Send + Sync>;

#[expect(
    clippy::disallowed_methods,
    reason = "the ends of keys and cookies are dates, and no store is asked for them"
)]
fn wall_clock() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp::from_micros(0) + since.unwrap_or(Duration::ZERO)
}

/// One line of a ring's text.
struct Entry<'a> {
    id: KeyId,
    key: &'a str,
    end: Option<Timestamp>,
}

impl<'a> Entry<'a> {
    fn parse(text: &'a str) -> Result<Self, &'static str> {
        let mut words = text.split_ascii_whitespace();
        let id = words.next().and_then(|id| id.parse().ok());
        let id = id.ok_or("it does not begin with the number of a key")?;
        let key = words.next().ok_or("there is no key behind the number")?;
        let end = match (words.next(), words.next(), words.next()) {
            (None, ..) => None,
            (Some("until"), Some(day), None) => {
                Some(date::midnight(day).ok_or("its end is not YYYY-MM-DD")?)
            }
            _ => return Err("behind the key stands something else than `until YYYY-MM-DD`"),
        };
        Ok(Self {
            id: KeyId::new(id),
            key,
            end,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key() -> SecretKey {
        SecretKey::generate().unwrap()
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own() {
        let (one, two) = (key(), key());
        let ring = |key| KeyRing::new(KeyId::new(1), key);
        let (first, again, other) = (ring(&one), ring(&one), ring(&two));
        let derived = |ring: &KeyRing| {
            let key = ring.writer();
            [key.record.0, key.cookie.0, key.handle.0]
        };
        assert!(derived(&first) == derived(&again));
        let all = [derived(&first), derived(&other)].concat();
        for (at, one) in all.iter().enumerate() {
            assert!(all[..at].iter().all(|other| other != one));
            assert!(*one != [0; 32]);
        }
        let handle = Key::from_bytes([3; 16]);
        assert_eq!(first.pseudonym(&handle), again.pseudonym(&handle));
        assert_ne!(first.pseudonym(&handle), other.pseudonym(&handle));
        assert_eq!(first.pseudonym(&handle).len(), 32);
    }

    /// RFC 5869, test case 1.
    #[test]
    fn the_published_vector_of_hkdf_holds() {
        let salt: Vec<u8> = (0..=0x0c).collect();
        let info: Vec<u8> = (0xf0..=0xf9).collect();
        let extracted = Derived::extract(&salt, &[0x0b; 22]);
        let hex =
            |key: &Derived| -> String { key.0.iter().map(|byte| format!("{byte:02x}")).collect() };
        assert_eq!(
            hex(&extracted),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5"
        );
        assert_eq!(
            hex(&extracted.expand(&[&info[..4], &info[4..]])),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"
        );
    }

    #[test]
    fn a_ring_that_makes_no_sense_is_refused() {
        let (one, two) = (key(), key());
        let ring = || KeyRing::new(KeyId::new(1), &one);
        let same_id = ring().reads(KeyId::new(1), &two);
        assert!(matches!(same_id, Err(KeyError::SameId(id)) if id.get() == 1));
        let same_key = ring().reads(KeyId::new(2), &one);
        assert!(matches!(same_key, Err(KeyError::SameKey(..))));
    }

    #[test]
    fn a_key_reads_until_its_end() {
        let end = Timestamp::from_micros(5);
        for (now, reads) in [(4, true), (5, false), (6, false)] {
            let ring = KeyRing::new(KeyId::new(2), &key());
            let ring = ring.reads_until(KeyId::new(1), &key(), end).unwrap();
            let ring = ring.clock(move || Timestamp::from_micros(now));
            let known = matches!(ring.reader(KeyId::new(1)), Reader::Known(_));
            assert_eq!(known, reads);
            assert_eq!(matches!(ring.reader(KeyId::new(1)), Reader::Ended), !reads);
            assert!(matches!(ring.reader(KeyId::new(2)), Reader::Known(_)));
            assert!(matches!(ring.reader(KeyId::new(3)), Reader::Unknown));
        }
    }

    #[test]
    fn a_text_is_read_or_refused_with_its_reason() {
        let (one, two) = (key().expose_base64(), key().expose_base64());
        let (one, two) = (one.as_str(), two.as_str());
        for text in [
            format!("2 {one}\n1 {two} until 2030-01-31\n"),
            format!("# keys\n\n 2   {one} # writes\r\n1 {two} until 2030-01-31"),
            format!("2 {one},1 {two} until 2030-01-31"),
        ] {
            let usage = KeyRing::parse(&text).unwrap().usage();
            let ids: Vec<_> = usage.iter().map(|key| (key.id.get(), key.ends)).collect();
            let end = Timestamp::from_micros(1_896_048_000_000_000);
            assert_eq!(ids, [(2, None), (1, Some(end))]);
        }
        assert!(matches!(KeyRing::parse(" \n#"), Err(KeyError::NoKey)));
        for (text, at) in [
            (format!("2 {one} until 2030-01-31"), 1),
            (format!("2 {one}, x {two}"), 2),
            (format!("2 {one}, 1"), 2),
            (format!("2 {one}, 1 {two} until"), 2),
            (format!("2 {one}, 1 {two} until 2030-02-30"), 2),
            (format!("2 {one}, 1 {two} until 2030-01-31 x"), 2),
            (format!("2 {one}, 1 {two} forever"), 2),
            (format!("2 {one}, 4294967296 {two}"), 2),
        ] {
            let refused = KeyRing::parse(&text);
            assert!(
                matches!(refused, Err(KeyError::Entry { entry, .. }) if entry == at),
                "{refused:?}"
            );
        }
        let weak = KeyRing::parse("1 AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        assert!(matches!(weak, Err(KeyError::Weak(_))));
    }
}
