//! Sealed values of cookies.

use std::{
    fmt::{self, Debug},
    sync::atomic::Ordering::Relaxed,
    time::Duration,
};

use asm_core::Timestamp;
use base64ct::{Base64UrlUnpadded, Encoding};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::{
    KeyId, KeyRing,
    ring::{Derived, Reader},
    suite::Suite,
};

/// Seals the values of cookies: the browser that keeps one can neither read nor change it, nor use
/// it under another name or for another purpose, nor after its time.
///
/// ```
/// use asm_crypt::{CookieError, CookieSeal, KeyId, KeyRing, SecretKey};
/// use std::time::Duration;
///
/// let ring = KeyRing::new(KeyId::new(1), &SecretKey::generate()?);
/// let flash = CookieSeal::new(ring, "flash").lifetime(Duration::from_secs(60));
///
/// let value = flash.seal("message", b"saved")?;
/// let opened = flash.open("message", &value)?;
/// assert_eq!(opened.content(), b"saved");
///
/// assert!(matches!(flash.open("error", &value), Err(CookieError::Tampered)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A value is base64url of: the version (1 byte), the key's id (4), a nonce (24), then encrypted
/// with XChaCha20-Poly1305 when it was issued (8) and when it expires (8), both in microseconds
/// since the Unix epoch, and the content; the tag (16). The tag covers the purpose, the name, and
/// all before the nonce. 61 bytes, and a third more for base64, are what it costs.
#[derive(Clone, Debug)]
pub struct CookieSeal {
    ring: KeyRing,
    purpose: Box<str>,
    lifetime: Duration,
    limit: usize,
}

impl CookieSeal {
    /// The most bytes of name and value together unless set: 3840. Browsers keep 4096 at least,
    /// the attributes included.
    pub const LIMIT: usize = 3840;

    /// How far the clocks of two servers may be apart.
    pub const SKEW: Duration = Duration::from_secs(60);

    /// Seals for one purpose: what it seals is refused by all others.
    #[must_use]
    pub fn new(ring: KeyRing, purpose: &str) -> Self {
        Self {
            ring,
            purpose: purpose.into(),
            lifetime: Duration::from_secs(24 * 60 * 60),
            limit: Self::LIMIT,
        }
    }

    /// How long a value is good from when it is sealed: 24 h unless set. The browser is not asked.
    #[must_use]
    pub const fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// The most bytes of name and value together, to be sealed and to be opened.
    #[must_use]
    pub const fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// The value of a cookie of this name: letters, digits, `-` and `_`.
    ///
    /// # Errors
    /// `TooLarge`, `Randomness`.
    pub fn seal(&self, name: &str, content: &[u8]) -> Result<String, CookieError> {
        self.check_limit(name.len() + text_len(OVERHEAD + content.len()))?;
        let writer = self.ring.writer();
        let issued = self.ring.now();
        let expires = issued + self.lifetime;
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(|_| CookieError::Randomness)?;

        let mut out = Zeroizing::new(Vec::with_capacity(OVERHEAD + content.len()));
        out.push(VERSION);
        out.extend_from_slice(&writer.id.to_bytes());
        let associated = self.associated(name, &out);
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&issued.as_micros().to_be_bytes());
        out.extend_from_slice(&expires.as_micros().to_be_bytes());
        out.extend_from_slice(content);
        let key = key(&writer.cookie);
        let tag = SUITE.seal(&key, &nonce, &associated, &mut out[HEADER + NONCE..]);
        let tag = tag.ok_or(CookieError::TooLarge {
            len: content.len(),
            limit: self.limit,
        })?;
        out.extend_from_slice(&tag);
        writer.sealed.fetch_add(1, Relaxed);
        Ok(Base64UrlUnpadded::encode_string(&out))
    }

    /// What was sealed under this name.
    ///
    /// # Errors
    /// `TooLarge` before anything is decoded; `Malformed`, `UnknownKey`, `Tampered`; `Expired`, and
    /// `NotYet` for one that was issued more than [`SKEW`](Self::SKEW) in the future.
    pub fn open(&self, name: &str, value: &str) -> Result<OpenedCookie, CookieError> {
        self.check_limit(name.len().saturating_add(value.len()))?;
        let bytes = Base64UrlUnpadded::decode_vec(value).map_err(|_| CookieError::Malformed)?;
        let (header, sealed) = bytes
            .split_first_chunk::<HEADER>()
            .ok_or(CookieError::Malformed)?;
        let [VERSION, id @ ..] = *header else {
            return Err(CookieError::Malformed);
        };
        let (nonce, sealed) = sealed
            .split_first_chunk::<NONCE>()
            .ok_or(CookieError::Malformed)?;
        let (sealed, tag) = sealed
            .split_last_chunk::<{ Suite::TAG }>()
            .ok_or(CookieError::Malformed)?;
        let id = KeyId::from_bytes(id);
        let reader = match self.ring.reader(id) {
            Reader::Known(reader) => reader,
            Reader::Ended => return Err(CookieError::Tampered),
            Reader::Unknown => return Err(CookieError::UnknownKey(id)),
        };
        let mut content = Zeroizing::new(sealed.to_vec());
        let (key, associated) = (key(&reader.cookie), self.associated(name, header));
        if !SUITE.open(&key, nonce, &associated, &mut content, tag) {
            return Err(CookieError::Tampered);
        }
        reader.opened.fetch_add(1, Relaxed);
        self.in_time(OpenedCookie::read(content, id == self.ring.writes())?)
    }

    fn check_limit(&self, len: usize) -> Result<(), CookieError> {
        let limit = self.limit;
        if len > limit {
            return Err(CookieError::TooLarge { len, limit });
        }
        Ok(())
    }

    fn in_time(&self, opened: OpenedCookie) -> Result<OpenedCookie, CookieError> {
        let now = self.ring.now();
        if opened.issued_at > now + Self::SKEW {
            Err(CookieError::NotYet)
        } else if opened.expires_at <= now {
            Err(CookieError::Expired)
        } else {
            Ok(opened)
        }
    }

    /// What the tag covers besides the content: the lengths tell where each of them ends.
    fn associated(&self, name: &str, header: &[u8]) -> Vec<u8> {
        let mut out = b"asm-crypt 1 cookie".to_vec();
        for part in [self.purpose.as_bytes(), name.as_bytes(), header] {
            out.extend_from_slice(&(part.len() as u64).to_be_bytes());
            out.extend_from_slice(part);
        }
        out
    }
}

/// What a cookie held. Its content is wiped when it is dropped, and `Debug` does not show it.
pub struct OpenedCookie {
    /// Behind the two times.
    bytes: Zeroizing<Vec<u8>>,
    issued_at: Timestamp,
    expires_at: Timestamp,
    is_current: bool,
}

impl OpenedCookie {
    /// What was sealed.
    #[must_use]
    pub fn content(&self) -> &[u8] {
        &self.bytes[TIMES..]
    }

    /// When.
    #[must_use]
    pub const fn issued_at(&self) -> Timestamp {
        self.issued_at
    }

    /// From when it is no good any more.
    #[must_use]
    pub const fn expires_at(&self) -> Timestamp {
        self.expires_at
    }

    /// Whether the key that sealed it is the one that writes. If not, the client is better given a
    /// new one before the key ends.
    #[must_use]
    pub const fn is_current(&self) -> bool {
        self.is_current
    }

    fn read(bytes: Zeroizing<Vec<u8>>, is_current: bool) -> Result<Self, CookieError> {
        let (issued, rest) = bytes.split_first_chunk().ok_or(CookieError::Malformed)?;
        let (expires, _) = rest.split_first_chunk().ok_or(CookieError::Malformed)?;
        let [issued_at, expires_at] =
            [issued, expires].map(|time| Timestamp::from_micros(u64::from_be_bytes(*time)));
        Ok(Self {
            bytes,
            issued_at,
            expires_at,
            is_current,
        })
    }
}

impl Debug for OpenedCookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenedCookie")
            .field("issued_at", &self.issued_at)
            .field("expires_at", &self.expires_at)
            .field("is_current", &self.is_current)
            .finish_non_exhaustive()
    }
}

/// Why a value was not sealed, or not believed. Shows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CookieError {
    /// Name and value together are over the limit.
    #[error("name and value have {len} bytes, the limit is {limit}")]
    TooLarge {
        /// How many they have.
        len: usize,
        /// How many they may have.
        limit: usize,
    },
    /// It is no value that a seal of any version known here made.
    #[error("it is no sealed value")]
    Malformed,
    /// It was sealed with a key that the ring does not have: of a newer ring, if it is no forgery.
    #[error("the key {0} is not known here")]
    UnknownKey(KeyId),
    /// It was changed, or sealed under another name, for another purpose, or with a key that has
    /// ended.
    #[error("the seal is broken")]
    Tampered,
    /// Its time is over.
    #[error("it has expired")]
    Expired,
    /// It comes from the future: the clocks are wrong.
    #[error("it was issued in the future")]
    NotYet,
    /// There is no randomness to be had.
    #[error("the operating system gave no randomness")]
    Randomness,
}

const VERSION: u8 = 1;

const SUITE: Suite = Suite::XChaCha;

/// Bytes of the version and the key's id.
const HEADER: usize = 1 + KeyId::LEN;

const NONCE: usize = SUITE.nonce_len();

/// Bytes of the two times.
const TIMES: usize = 16;

/// Bytes of a value besides its content, before base64.
const OVERHEAD: usize = HEADER + NONCE + TIMES + Suite::TAG;

const fn text_len(bytes: usize) -> usize {
    bytes.saturating_mul(4).div_ceil(3)
}

fn key(cookie: &Derived) -> Derived {
    cookie.expand(&[SUITE.label()])
}
