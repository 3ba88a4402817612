//! The codec.

use std::sync::{Arc, atomic::Ordering::Relaxed};

use asm_core::{
    Codec, CodecContext, CodecName, CodecRole, Encoded, Error, ErrorKind, Part, Result,
};
use bytes::Bytes;

use crate::{
    KeyId, KeyRing, Padding,
    padding::most_padded,
    ring::{Derived, Reader, RingKey},
    suite::Suite,
};

/// Seals records: nobody without the key reads what is in them, or changes it unnoticed.
///
/// A sealed part is bound to its session, to being a head, a body or the item of a certain field,
/// to the version of the envelope, the names of all codecs it went through, the length that the
/// envelope shows, and the id of its key. What was edited, cut, moved, or sealed with a key that
/// has ended is [`Tampered`](ErrorKind::Tampered); a key that the ring does not have is
/// [`Unreadable`](ErrorKind::Unreadable).
///
/// Each session has keys of its own, derived from the ring's by HKDF; each part a random nonce. What
/// the other cipher sealed with the same ring is read, too.
///
/// ```
/// use asm_crypt::{KeyId, KeyRing, Padding, Seal, SecretKey};
///
/// let ring = KeyRing::new(KeyId::new(1), &SecretKey::generate()?);
/// // To `SessionsBuilder::codec`, after the compressor if there is one.
/// let seal = Seal::xchacha(ring.clone()).padding(Padding::Padme);
/// // Later: how much each key is used.
/// for key in ring.usage() {
///     println!("key {}: {} records read", key.id, key.records);
/// }
/// # let _ = seal;
/// # Ok::<(), asm_crypt::KeyError>(())
/// ```
///
/// What is stored of a part: whether it is padded (1 byte), the key's id (4), the nonce (24, or 12 with AES), the
/// encrypted content with its padding, the tag (16).
#[derive(Clone, Debug)]
pub struct Seal {
    ring: KeyRing,
    suite: Suite,
    source: KeySource,
    padding: Padding,
}

/// What opens the bodies of new sessions, and of those that authenticate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// The server's key.
    #[default]
    Server,
    /// The server's key and a secret of 32 bytes that only the client brings, in its id. Neither
    /// the store with the server's key nor the id alone opens a body. See the chapter on
    /// [split keys](crate::docs::split_keys) for what that makes impossible.
    Split,
}

impl Seal {
    /// XChaCha20-Poly1305: the one to take unless something else is asked for. Its name in a record
    /// is `xchacha`.
    #[must_use]
    pub fn xchacha(ring: KeyRing) -> Self {
        Self::new(ring, Suite::XChaCha)
    }

    /// AES-256-GCM, for those who must. Its name in a record is `aesgcm`.
    ///
    /// Its nonces are short, so it is its key, which is another one for each session, that keeps
    /// them apart: a session can be saved 2^32 times before two of its nonces are alike with a
    /// probability of 2^-32.
    #[must_use]
    pub fn aes_gcm(ring: KeyRing) -> Self {
        Self::new(ring, Suite::AesGcm)
    }

    fn new(ring: KeyRing, suite: Suite) -> Self {
        Self {
            ring,
            suite,
            source: KeySource::default(),
            padding: Padding::default(),
        }
    }

    /// What opens the bodies of new sessions; the server's key unless set. Whoever has a half of a
    /// key keeps it until it authenticates, whatever is set here.
    #[must_use]
    pub fn key_source(mut self, source: KeySource) -> Self {
        self.source = source;
        self
    }

    /// How the lengths of what is written are hidden; not at all unless set. All are read. What is
    /// padded takes up to an eighth more memory to open than it is long.
    #[must_use]
    pub fn padding(mut self, padding: Padding) -> Self {
        self.padding = padding;
        self
    }

    /// Its keys.
    #[must_use]
    pub fn ring(&self) -> &KeyRing {
        &self.ring
    }
}

impl Codec for Seal {
    fn name(&self) -> CodecName {
        let name = CodecName::new(match self.suite {
            Suite::XChaCha => "xchacha",
            Suite::AesGcm => "aesgcm",
        });
        name.expect("a name of at most 8 letters")
    }

    fn role(&self) -> CodecRole {
        CodecRole::Seal
    }

    fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
        let writer = self.ring.writer();
        let header = Header {
            padded: self.padding != Padding::None,
            key: writer.id,
        };
        let mut nonce = [0; Suite::LONGEST_NONCE];
        let nonce = &mut nonce[..self.suite.nonce_len()];
        getrandom::fill(nonce).map_err(|error| {
            Error::new(ErrorKind::Other, "there is no randomness").because(error)
        })?;
        let sealed = self.sealed(&header, nonce, &plain, &self.key(writer, context), context);
        writer.sealed.fetch_add(1, Relaxed);
        sealed.map(Encoded::Coded)
    }

    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
        let sealed = self.split(&coded).ok_or_else(tampered)?;
        let key = match self.ring.reader(sealed.header.key) {
            Reader::Known(key) => key,
            Reader::Ended => return Err(tampered()),
            Reader::Unknown => {
                let why = format!("the key {} is not known here", sealed.header.key);
                return Err(Error::new(ErrorKind::Unreadable, why));
            }
        };
        let plain = self.opened(&sealed, &self.key(key, context), context)?;
        key.opened.fetch_add(1, Relaxed);
        if context.part == Part::Head {
            key.records.fetch_add(1, Relaxed);
        }
        Ok(plain)
    }

    /// The other cipher, with the same keys.
    fn relatives(&self) -> Vec<Arc<dyn Codec>> {
        let suite = match self.suite {
            Suite::XChaCha => Suite::AesGcm,
            Suite::AesGcm => Suite::XChaCha,
        };
        vec![Arc::new(Self {
            suite,
            ..self.clone()
        })]
    }

    fn splits_key(&self) -> bool {
        self.source == KeySource::Split
    }

    fn shown_len(&self, plain_len: usize) -> usize {
        self.padding.padded(plain_len)
    }

    fn is_current(&self, coded: &[u8]) -> bool {
        self.split(coded)
            .is_some_and(|sealed| sealed.header.key == self.ring.writes())
    }
}

impl Seal {
    /// Of one session, and of its client where that brings a half.
    fn key(&self, key: &RingKey, context: &CodecContext<'_>) -> Derived {
        let info = [self.suite.label(), context.key.as_bytes()];
        match context.client_half {
            None => key.record.expand(&info),
            Some(half) => key.record.join(half).expand(&info),
        }
    }

    fn sealed(
        &self,
        header: &Header,
        nonce: &[u8],
        plain: &[u8],
        key: &Derived,
        context: &CodecContext<'_>,
    ) -> Result<Bytes> {
        let start = Header::LEN + nonce.len();
        let mut out = Vec::with_capacity(start + self.padding.padded(plain.len()) + Suite::TAG);
        out.extend_from_slice(&header.to_bytes());
        out.extend_from_slice(nonce);
        out.extend_from_slice(plain);
        self.padding.pad(&mut out, start);
        let associated = associated(header, context);
        let tag = self.suite.seal(key, nonce, &associated, &mut out[start..]);
        let tag = tag.ok_or_else(|| too_large("the content", plain.len(), context.limit))?;
        out.extend_from_slice(&tag);
        Ok(out.into())
    }

    fn opened(
        &self,
        sealed: &Sealed<'_>,
        key: &Derived,
        context: &CodecContext<'_>,
    ) -> Result<Bytes> {
        let limit = context.limit;
        let most = match sealed.header.padded {
            true => most_padded(limit),
            false => limit,
        };
        if sealed.content.len() > most {
            return Err(too_large("the content", sealed.content.len(), limit));
        }
        let mut plain = sealed.content.to_vec();
        let associated = associated(&sealed.header, context);
        let fits = self
            .suite
            .open(key, sealed.nonce, &associated, &mut plain, sealed.tag);
        if !fits {
            return Err(tampered());
        }
        if sealed.header.padded {
            plain.truncate(Padding::unpadded(&plain).ok_or_else(tampered)?);
        }
        match plain.len() {
            len if len > limit => Err(too_large("the content", len, limit)),
            _ => Ok(plain.into()),
        }
    }

    /// The parts of what is stored. `None` when it is too short, or not of this form: another form
    /// would have another name.
    fn split<'a>(&self, coded: &'a [u8]) -> Option<Sealed<'a>> {
        let (header, rest) = coded.split_first_chunk()?;
        let (nonce, rest) = rest.split_at_checked(self.suite.nonce_len())?;
        let (content, tag) = rest.split_last_chunk::<{ Suite::TAG }>()?;
        Some(Sealed {
            header: Header::from_bytes(header)?,
            nonce,
            content,
            tag,
        })
    }
}

/// A sealed part, taken apart.
struct Sealed<'a> {
    header: Header,
    nonce: &'a [u8],
    content: &'a [u8],
    tag: &'a [u8],
}

/// What a sealed part begins with.
struct Header {
    padded: bool,
    key: KeyId,
}

impl Header {
    const LEN: usize = 1 + KeyId::LEN;

    fn to_bytes(&self) -> [u8; Self::LEN] {
        let [a, b, c, d] = self.key.to_bytes();
        [u8::from(self.padded), a, b, c, d]
    }

    fn from_bytes(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let [padded, key @ ..] = *bytes;
        (padded <= 1).then_some(Self {
            padded: padded == 1,
            key: KeyId::from_bytes(key),
        })
    }
}

/// What is covered by the tag besides the content. No two different contexts give the same bytes:
/// all but the last two are of fixed length, and the first of these tells its own.
fn associated(header: &Header, context: &CodecContext<'_>) -> Vec<u8> {
    let (part, name) = match context.part {
        Part::Head => (0, ""),
        Part::Body => (1, ""),
        Part::Field(name) => (2, name),
    };
    let mut out = Vec::with_capacity(48 + name.len() + context.associated.len());
    out.extend_from_slice(b"asm-crypt 1 part");
    out.extend_from_slice(&header.to_bytes());
    out.extend_from_slice(context.key.as_bytes());
    out.push(part);
    out.extend_from_slice(&(name.len() as u64).to_be_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(context.associated);
    out
}

fn tampered() -> Error {
    Error::new(ErrorKind::Tampered, "the seal is broken")
}

fn too_large(what: &str, len: usize, limit: usize) -> Error {
    let why = format!("{what} has {len} bytes, the limit is {limit}");
    Error::new(ErrorKind::TooLarge, why)
}
