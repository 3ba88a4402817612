//! How a session's head and body become the bytes of one record, and back.
//!
//! A record is `"ASM"`, the envelope's version (1 byte), a frame with the head, a frame with the
//! body. A frame is the codecs that its content went through, in that order (their number in 1
//! byte; for each the length of its name in 1, the name), the length of the plain content (4), the
//! length of the stored content (4), the stored content. The item of a lockless field is `"ASM"`,
//! the version, and one frame.
//!
//! So a record says itself how it is to be read, and codecs are switched on a live system: one
//! chain is written, and everything is read whose codecs are known. A seal covers, beside the
//! content, the session's key, the part, the version, the names of the codecs and the plain length.
//! It does not cover the order of time: who can write the store can put an older sealed record of
//! the same session back.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use asm_core::{
    Codec, CodecContext, CodecName, CodecRole, Encoded, Error, ErrorKind, Key, Part, Result,
    Timestamp,
};
use bytes::{Bytes, BytesMut};

use crate::{
    entries::{self, Entries},
    head::Head,
    wire::{Reader, corrupt},
};

/// Makes records and reads them.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    /// In the order of writing: compressors, then seals.
    chain: Vec<Arc<dyn Codec>>,
    /// All that are known, those of the chain included.
    known: Vec<Arc<dyn Codec>>,
    limits: Limits,
    unsealed_until: Option<Timestamp>,
    counters: Arc<Counters>,
}

/// How large the bytes of a session may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Of its entries before any codec, and of a lockless field.
    pub(crate) plain: usize,
    /// Of its record, after all codecs.
    pub(crate) stored: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            plain: 4 << 20,
            stored: 1 << 20,
        }
    }
}

/// What an envelope is asked to read or write for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    pub(crate) key: &'a Key,
    /// A secret that only the client brings, when a codec wants one.
    pub(crate) client_half: Option<&'a [u8; 32]>,
}

impl<'a> Place<'a> {
    pub(crate) const fn of(key: &'a Key) -> Self {
        Self {
            key,
            client_half: None,
        }
    }
}

/// The body of a record, not decoded yet.
#[derive(Clone)]
pub(crate) struct EncodedBody(Frame);

impl fmt::Debug for EncodedBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.stored.len())
    }
}

/// What happened to the bytes so far, in this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Parts that were stored without a compressor because it failed.
    pub(crate) compressor_failed: u64,
    /// Parts that were read unsealed, while sealing is configured, during a migration.
    pub(crate) read_unsealed: u64,
}

impl Envelope {
    /// An envelope without codecs.
    pub(crate) fn builder() -> EnvelopeBuilder {
        EnvelopeBuilder::default()
    }

    /// Whether records are sealed.
    pub(crate) fn seals(&self) -> bool {
        self.chain.iter().any(is_seal)
    }

    pub(crate) fn counts(&self) -> Counts {
        Counts {
            compressor_failed: self.counters.compressor_failed.load(Relaxed),
            read_unsealed: self.counters.read_unsealed.load(Relaxed),
        }
    }

    /// The bytes of a record. The head is sealed, and never compressed.
    ///
    /// # Errors
    /// `TooLarge` over a limit; whatever a seal fails with.
    pub(crate) fn encode(&self, place: Place<'_>, head: &Head, body: &Entries) -> Result<Bytes> {
        let body = entries::encode(body, self.limits.plain)?;
        let seals = self.chain.iter().filter(|codec| is_seal(codec));
        let head = self.frame(place, Part::Head, head.encode().into(), seals)?;
        let body = self.frame(place, Part::Body, body, self.chain.iter())?;
        self.wrap(&[head, body])
    }

    /// The head of a record, and its body to be decoded once the head was found to be in order.
    ///
    /// # Errors
    /// `Corrupt`, `Unreadable`, `Tampered` or `TooLarge`.
    pub(crate) fn decode_head(
        &self,
        place: Place<'_>,
        record: &Bytes,
        now: Timestamp,
    ) -> Result<(Head, EncodedBody)> {
        if record.len() > self.limits.stored {
            return Err(over("the record", record.len(), self.limits.stored));
        }
        let mut from = unwrapped(record)?;
        let head = self.unframe(record, &mut from, now)?;
        let body = self.unframe(record, &mut from, now)?;
        from.end()?;
        if !head.codecs.iter().all(is_seal) {
            return Err(corrupt("the head is compressed"));
        }
        let head = head.plain(place, Part::Head, Head::MAX)?;
        Ok((Head::decode(&head)?, EncodedBody(body)))
    }

    /// The entries of a body.
    ///
    /// # Errors
    /// `Corrupt`, `Unreadable`, `Tampered` or `TooLarge`.
    pub(crate) fn decode_body(&self, place: Place<'_>, body: EncodedBody) -> Result<Entries> {
        let body = body.0.plain(place, Part::Body, self.limits.plain)?;
        entries::decode(&body)
    }

    /// The stored form of what is set, appended or pushed to a lockless field. Two of them after
    /// each other are the form of both.
    ///
    /// # Errors
    /// `TooLarge` over a limit; whatever a seal fails with.
    pub(crate) fn encode_item(&self, place: Place<'_>, field: &str, item: Bytes) -> Result<Bytes> {
        if item.len() > self.limits.plain {
            return Err(over("the item", item.len(), self.limits.plain));
        }
        let frame = self.frame(place, Part::Field(field), item, self.chain.iter())?;
        self.wrap(&[frame])
    }

    /// The bytes of a field, or of an item of its list: of several that were appended, all of them.
    ///
    /// # Errors
    /// `Corrupt`, `Unreadable`, `Tampered` or `TooLarge`.
    pub(crate) fn decode_item(
        &self,
        place: Place<'_>,
        field: &str,
        mut stored: Bytes,
        now: Timestamp,
    ) -> Result<Bytes> {
        let mut all = BytesMut::new();
        loop {
            let mut from = unwrapped(&stored)?;
            let frame = self.unframe(&stored, &mut from, now)?;
            let room = self.limits.plain - all.len();
            let item = frame.plain(place, Part::Field(field), room)?;
            let rest = stored.slice_ref(from.rest());
            if all.is_empty() && rest.is_empty() {
                return Ok(item);
            }
            all.extend_from_slice(&item);
            if rest.is_empty() {
                return Ok(all.freeze());
            }
            stored = rest;
        }
    }

    /// Sends content through a chain.
    fn frame<'a>(
        &'a self,
        place: Place<'_>,
        part: Part<'_>,
        content: Bytes,
        chain: impl Iterator<Item = &'a Arc<dyn Codec>> + Clone,
    ) -> Result<Frame> {
        let plain_len = content.len();
        let mut stored = content;
        let mut codecs = Vec::new();
        for codec in chain.clone().filter(|codec| !is_seal(codec)) {
            let context = place.context(part, &[], self.limits.plain);
            if let Some(smaller) = self.compressed(codec, &stored, &context) {
                stored = smaller;
                codecs.push(Arc::clone(codec));
            }
        }
        let compressors = codecs.len();
        codecs.extend(chain.filter(|codec| is_seal(codec)).cloned());
        let covered = covered(&codecs, plain_len);
        for seal in &codecs[compressors..] {
            let context = place.context(part, &covered, self.limits.plain);
            stored = match seal.encode(stored, &context)? {
                Encoded::Coded(sealed) => sealed,
                Encoded::Declined(_) => {
                    return Err(Error::new(ErrorKind::Other, "a seal declined to seal"));
                }
            };
        }
        Ok(Frame {
            codecs,
            plain_len,
            covered,
            stored,
        })
    }

    /// `None` when the compressor declined, failed, or made it no smaller.
    fn compressed(
        &self,
        codec: &Arc<dyn Codec>,
        bytes: &Bytes,
        context: &CodecContext<'_>,
    ) -> Option<Bytes> {
        match codec.encode(bytes.clone(), context) {
            Ok(Encoded::Coded(coded)) if coded.len() < bytes.len() => Some(coded),
            Ok(_) => None,
            Err(error) => {
                self.counters.compressor_failed.fetch_add(1, Relaxed);
                tracing::warn!(codec = %codec.name(), %error, "a compressor failed: stored without it");
                None
            }
        }
    }

    fn wrap(&self, frames: &[Frame]) -> Result<Bytes> {
        let len = PREFIX.len() + frames.iter().map(Frame::len).sum::<usize>();
        if len > self.limits.stored {
            return Err(over("the stored form", len, self.limits.stored));
        }
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&PREFIX);
        for frame in frames {
            frame.put(&mut out);
        }
        Ok(out.into())
    }

    /// Reads a frame and leaves its content as it is. Refuses codecs that are not known here,
    /// chains that nobody writes, and what should be sealed and is not.
    fn unframe(&self, record: &Bytes, from: &mut Reader<'_>, now: Timestamp) -> Result<Frame> {
        let count = usize::from(from.u8()?);
        if count > LONGEST_CHAIN {
            return Err(corrupt("it names too many codecs"));
        }
        let codecs = (0..count).map(|_| {
            let len = from.u8()?;
            let name = CodecName::new(from.str(len.into())?);
            self.known(name.map_err(|_| corrupt("what it names is no codec"))?)
        });
        let codecs = codecs.collect::<Result<Vec<_>>>()?;
        check_chain(&codecs).map_err(corrupt)?;
        let plain_len = from.u32()? as usize;
        let stored_len = from.u32()? as usize;
        let frame = Frame {
            covered: covered(&codecs, plain_len),
            codecs,
            plain_len,
            stored: record.slice_ref(from.bytes(stored_len)?),
        };
        self.check_seal(&frame, now)?;
        Ok(frame)
    }

    fn known(&self, name: CodecName) -> Result<Arc<dyn Codec>> {
        let codec = self.known.iter().find(|codec| codec.name() == name);
        codec.cloned().ok_or_else(|| {
            let why = format!("it went through the codec {name}, which is not known here");
            Error::new(ErrorKind::Unreadable, why)
        })
    }

    fn check_seal(&self, frame: &Frame, now: Timestamp) -> Result<()> {
        if !self.seals() || frame.codecs.iter().any(is_seal) {
            return Ok(());
        }
        if self.unsealed_until.is_some_and(|until| now < until) {
            self.counters.read_unsealed.fetch_add(1, Relaxed);
            return Ok(());
        }
        Err(Error::new(ErrorKind::Tampered, "it is not sealed"))
    }
}

/// Makes an [`Envelope`].
#[derive(Clone, Debug, Default)]
#[must_use]
pub(crate) struct EnvelopeBuilder {
    chain: Vec<Arc<dyn Codec>>,
    others: Vec<Arc<dyn Codec>>,
    limits: Limits,
    unsealed_until: Option<Timestamp>,
}

impl EnvelopeBuilder {
    /// Writes through this codec, after those named before.
    pub(crate) fn codec(mut self, codec: Arc<dyn Codec>) -> Self {
        self.chain.push(codec);
        self
    }

    /// Reads what went through this codec, without writing through it.
    pub(crate) fn reads(mut self, codec: Arc<dyn Codec>) -> Self {
        self.others.push(codec);
        self
    }

    pub(crate) fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Until then, reads what is not sealed although it should be: while seals are introduced to
    /// a live system.
    pub(crate) fn unsealed_until(mut self, end: Timestamp) -> Self {
        self.unsealed_until = Some(end);
        self
    }

    /// The envelope.
    ///
    /// # Errors
    /// `Invalid` for a compressor after a seal, two codecs of one name, more codecs than a record
    /// can name, and a limit beyond 4 GiB.
    pub(crate) fn build(self) -> Result<Envelope> {
        let invalid = |why| Error::new(ErrorKind::Invalid, why);
        check_chain(&self.chain).map_err(invalid)?;
        let known = [self.chain.clone(), self.others].concat();
        check_names(&known).map_err(invalid)?;
        if self.chain.len() > LONGEST_CHAIN {
            return Err(invalid("a record cannot name so many codecs"));
        }
        if u32::try_from(self.limits.plain.max(self.limits.stored)).is_err() {
            return Err(invalid("a record cannot have more than 4 GiB"));
        }
        Ok(Envelope {
            chain: self.chain,
            known,
            limits: self.limits,
            unsealed_until: self.unsealed_until,
            counters: Arc::default(),
        })
    }
}

/// What every record and item begins with.
const PREFIX: [u8; 4] = [b'A', b'S', b'M', VERSION];

const VERSION: u8 = 1;

/// The most codecs that a record can name.
const LONGEST_CHAIN: usize = 8;

#[derive(Debug, Default)]
struct Counters {
    compressor_failed: AtomicU64,
    read_unsealed: AtomicU64,
}

impl Place<'_> {
    fn context<'a>(
        &'a self,
        part: Part<'a>,
        associated: &'a [u8],
        limit: usize,
    ) -> CodecContext<'a> {
        CodecContext {
            key: self.key,
            part,
            associated,
            client_half: self.client_half,
            limit,
        }
    }
}

/// A part of a record as it is stored.
#[derive(Clone)]
struct Frame {
    /// In the order of writing.
    codecs: Vec<Arc<dyn Codec>>,
    plain_len: usize,
    /// What a seal covers beside the content.
    covered: Vec<u8>,
    stored: Bytes,
}

impl Frame {
    fn len(&self) -> usize {
        self.header().len() + STORED_LEN + self.stored.len()
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.header());
        out.extend_from_slice(&(self.stored.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.stored);
    }

    fn header(&self) -> &[u8] {
        &self.covered[1..]
    }

    /// The content. Its claimed length is checked before any codec sees it, and the real one after
    /// each.
    fn plain(self, place: Place<'_>, part: Part<'_>, limit: usize) -> Result<Bytes> {
        let plain_len = self.plain_len;
        if plain_len > limit {
            return Err(over("the content", plain_len, limit));
        }
        let mut bytes = self.stored;
        for (before, codec) in self.codecs.iter().enumerate().rev() {
            // Between two codecs it is never longer than both the plain and the stored content.
            let limit = if before == 0 {
                plain_len
            } else {
                plain_len.max(bytes.len())
            };
            let covered: &[u8] = if is_seal(codec) { &self.covered } else { &[] };
            bytes = codec.decode(bytes, &place.context(part, covered, limit))?;
            if bytes.len() > limit {
                return Err(over("the decoded content", bytes.len(), limit));
            }
        }
        if bytes.len() != plain_len {
            return Err(corrupt("the content is not as long as it says"));
        }
        Ok(bytes)
    }
}

/// Bytes of the stored content's length.
const STORED_LEN: usize = 4;

/// The version, then the header of a frame up to its stored length.
fn covered(codecs: &[Arc<dyn Codec>], plain_len: usize) -> Vec<u8> {
    let mut out = vec![VERSION, codecs.len() as u8];
    for codec in codecs {
        let name = codec.name();
        out.push(name.as_str().len() as u8);
        out.extend_from_slice(name.as_str().as_bytes());
    }
    out.extend_from_slice(&(plain_len as u32).to_be_bytes());
    out
}

/// What follows the prefix.
fn unwrapped(stored: &Bytes) -> Result<Reader<'_>> {
    let mut from = Reader::new(stored);
    let [magic @ .., version]: [u8; PREFIX.len()] = from.array()?;
    if magic != PREFIX[..3] {
        return Err(corrupt("it does not begin as a record does"));
    }
    if version != VERSION {
        let why = "the envelope is of a version that is not known here";
        return Err(Error::new(ErrorKind::Unreadable, why));
    }
    Ok(from)
}

fn is_seal(codec: &Arc<dyn Codec>) -> bool {
    codec.role() == CodecRole::Seal
}

fn check_chain(codecs: &[Arc<dyn Codec>]) -> Result<(), &'static str> {
    if !codecs.is_sorted_by_key(is_seal) {
        return Err("a compressor stands after a seal, where nothing shrinks any more");
    }
    check_names(codecs)
}

fn check_names(codecs: &[Arc<dyn Codec>]) -> Result<(), &'static str> {
    let twice = |(at, codec): (usize, &Arc<dyn Codec>)| {
        codecs[..at]
            .iter()
            .any(|other| other.name() == codec.name())
    };
    if codecs.iter().enumerate().any(twice) {
        return Err("two codecs have one name");
    }
    Ok(())
}

fn over(what: &str, len: usize, limit: usize) -> Error {
    Error::new(
        ErrorKind::TooLarge,
        format!("{what} has {len} bytes, the limit is {limit}"),
    )
}
