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
//! A seal may hide how long the content is: the plain length of a sealed frame is the most that it
//! can be, that of any other one is exact. A seal does not cover the order of time: who can write
//! the store can put an older sealed record of the same session back.

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
    /// All that are known, those of the chain and all relatives included.
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

impl EncodedBody {
    /// Whether only its client opens it, as far as the codecs here are set.
    pub(crate) fn is_split(&self) -> bool {
        self.0.codecs.iter().any(Codec::splits_key)
    }
}

impl PartialEq for EncodedBody {
    fn eq(&self, other: &Self) -> bool {
        self.0.covered == other.0.covered && self.0.stored == other.0.stored
    }
}

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
    /// Records that were read and are sealed otherwise than they would be now.
    pub(crate) read_outdated: u64,
    /// Bytes of records before any codec.
    pub(crate) plain_bytes: u64,
    /// Bytes of records after all codecs.
    pub(crate) stored_bytes: u64,
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
            read_outdated: self.counters.read_outdated.load(Relaxed),
            plain_bytes: self.counters.plain_bytes.load(Relaxed),
            stored_bytes: self.counters.stored_bytes.load(Relaxed),
        }
    }

    /// Whether new sessions get a secret of the client's, which bodies are bound to.
    pub(crate) fn splits_keys(&self) -> bool {
        self.chain.iter().any(Codec::splits_key)
    }

    /// The bytes of a record. The head is sealed, and never compressed.
    ///
    /// # Errors
    /// `TooLarge` over a limit; whatever a seal fails with.
    pub(crate) fn encode(&self, place: Place<'_>, head: &Head, body: &Entries) -> Result<Bytes> {
        let body = entries::encode(body, self.limits.plain)?;
        let head = head.encode();
        let plain = head.len() + body.len();
        let seals = self.chain.iter().filter(|codec| is_seal(codec));
        let head = self.frame(place, Part::Head, head.into(), Head::MAX, seals)?;
        let body = self.frame(
            place,
            Part::Body,
            body,
            self.limits.plain,
            self.chain.iter(),
        )?;
        let record = self.wrap(&[head, body])?;
        let counters = &self.counters;
        counters.plain_bytes.fetch_add(plain as u64, Relaxed);
        counters
            .stored_bytes
            .fetch_add(record.len() as u64, Relaxed);
        Ok(record)
    }

    /// The same around a body that is encoded already.
    ///
    /// # Errors
    /// `TooLarge` over a limit; whatever a seal fails with.
    pub(crate) fn encode_around(
        &self,
        place: Place<'_>,
        head: &Head,
        body: &EncodedBody,
    ) -> Result<Bytes> {
        let seals = self.chain.iter().filter(|codec| is_seal(codec));
        let head = self.frame(place, Part::Head, head.encode().into(), Head::MAX, seals)?;
        self.wrap(&[head, body.0.clone()])
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
        self.read_head(place, record, now)
            .map_err(|error| self.broken(error))
    }

    fn read_head(
        &self,
        place: Place<'_>,
        record: &Bytes,
        now: Timestamp,
    ) -> Result<(Head, EncodedBody)> {
        let mut from = unwrapped(record)?;
        let head = self.unframe(record, &mut from, now)?;
        let body = self.unframe(record, &mut from, now)?;
        from.end()?;
        if !head.codecs.iter().all(is_seal) {
            return Err(corrupt("the head is compressed"));
        }
        let outdated = self.is_outdated(&head);
        let head = Head::decode(&head.plain(place, Part::Head, Head::MAX)?)?;
        if outdated {
            self.counters.read_outdated.fetch_add(1, Relaxed);
        }
        Ok((head, EncodedBody(body)))
    }

    /// The entries of a body.
    ///
    /// # Errors
    /// `Corrupt`, `Unreadable`, `Tampered` or `TooLarge`.
    pub(crate) fn decode_body(&self, place: Place<'_>, body: EncodedBody) -> Result<Entries> {
        let body = body.0.plain(place, Part::Body, self.limits.plain);
        body.and_then(|body| entries::decode(&body))
            .map_err(|error| self.broken(error))
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
        let frame = self.frame(
            place,
            Part::Field(field),
            item,
            self.limits.plain,
            self.chain.iter(),
        )?;
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
        stored: Bytes,
        now: Timestamp,
    ) -> Result<Bytes> {
        self.read_items(place, field, stored, now)
            .map_err(|error| self.broken(error))
    }

    fn read_items(
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
        limit: usize,
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
        let seals = &codecs[compressors..];
        let shown = seals.iter().map(|seal| seal.shown_len(plain_len)).max();
        // Never more than a reader accepts, nor less than there is.
        let shown_len = shown.unwrap_or(plain_len).min(limit).max(plain_len);
        let covered = covered(&codecs, shown_len);
        for seal in seals {
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
            plain_len: shown_len,
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

    /// Whether a frame is sealed otherwise than it would be now.
    fn is_outdated(&self, frame: &Frame) -> bool {
        if !self.seals() {
            return false;
        }
        let current = |outermost: &Arc<dyn Codec>| outermost.is_current(&frame.stored);
        seals(&frame.codecs).ne(seals(&self.chain)) || !frame.codecs.last().is_some_and(current)
    }

    /// Where records are sealed, one that is not in order was changed by somebody else.
    fn broken(&self, error: Error) -> Error {
        match error.kind() {
            ErrorKind::Corrupt if self.seals() => {
                Error::new(ErrorKind::Tampered, "it is not what was sealed").because(error)
            }
            _ => error,
        }
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
        let mut known = [self.chain.clone(), self.others].concat();
        check_names(&known).map_err(invalid)?;
        for relative in known.clone().iter().flat_map(Codec::relatives) {
            let is_named = |codec: &Arc<dyn Codec>| codec.name() == relative.name();
            if !known.iter().any(is_named) {
                known.push(relative);
            }
        }
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
    read_outdated: AtomicU64,
    plain_bytes: AtomicU64,
    stored_bytes: AtomicU64,
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
            // All but the body is to be read without the client.
            client_half: self.client_half.filter(|_| part == Part::Body),
            limit,
        }
    }
}

/// A part of a record as it is stored.
#[derive(Clone)]
struct Frame {
    /// In the order of writing.
    codecs: Vec<Arc<dyn Codec>>,
    /// What it says: of a sealed one the most that it can be.
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
        if bytes.len() != plain_len && !self.codecs.iter().any(is_seal) {
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

/// The names of the seals among them.
fn seals(codecs: &[Arc<dyn Codec>]) -> impl Iterator<Item = CodecName> {
    let seals = codecs.iter().filter(|codec| is_seal(codec));
    seals.map(Codec::name)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::*;
    use crate::{
        ClientKind, Json, entries::tests::any_entries, format::Formats, head::tests::any_head,
        id::SecretHash,
    };

    const KEY: Key = Key::from_bytes([1; 16]);
    const OTHER: Key = Key::from_bytes([2; 16]);
    const NOW: Timestamp = Timestamp::from_micros(1_000_000);

    /// Runs of equal bytes: each as its length and the byte.
    #[derive(Debug)]
    struct Runs {
        name: &'static str,
        /// The largest content that it was asked for.
        asked: AtomicUsize,
        /// The content becomes so many bytes longer on the way back.
        grows: usize,
    }

    impl Runs {
        fn new(name: &'static str) -> Arc<Self> {
            Self::growing(name, 0)
        }

        fn growing(name: &'static str, grows: usize) -> Arc<Self> {
            Arc::new(Self {
                name,
                asked: AtomicUsize::new(0),
                grows,
            })
        }
    }

    impl Codec for Runs {
        fn name(&self) -> CodecName {
            CodecName::new(self.name).unwrap()
        }

        fn role(&self) -> CodecRole {
            CodecRole::Compress
        }

        fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
            let runs = plain
                .chunk_by(|a, b| a == b)
                .flat_map(|run| run.chunks(255));
            Ok(Encoded::Coded(
                runs.flat_map(|run| [run.len() as u8, run[0]]).collect(),
            ))
        }

        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            self.asked.fetch_max(context.limit, Relaxed);
            let mut plain = Vec::new();
            for run in coded.chunks(2) {
                let [len, byte] = *run else {
                    return Err(corrupt("half a run"));
                };
                plain.resize(plain.len() + usize::from(len), byte);
                if plain.len() > context.limit {
                    return Err(over("the content", plain.len(), context.limit));
                }
            }
            plain.resize(plain.len() + self.grows, 0);
            Ok(plain.into())
        }
    }

    /// Fails at everything.
    #[derive(Debug)]
    struct Broken(CodecRole);

    impl Codec for Broken {
        fn name(&self) -> CodecName {
            CodecName::new("broken").unwrap()
        }

        fn role(&self) -> CodecRole {
            self.0
        }

        fn encode(&self, _: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
            Err(Error::new(ErrorKind::Other, "out of order"))
        }

        fn decode(&self, _: Bytes, _: &CodecContext<'_>) -> Result<Bytes> {
            Err(Error::new(ErrorKind::Other, "out of order"))
        }
    }

    /// Turns every bit over, and adds a digest of the content and all that it is bound to. One
    /// that is called `hidden` shows no length below 1000.
    #[derive(Debug)]
    struct Sealing(&'static str);

    impl Sealing {
        fn tag(&self, content: &[u8], context: &CodecContext<'_>) -> [u8; 32] {
            let part = match context.part {
                Part::Head => "head".to_owned(),
                Part::Body => "body".to_owned(),
                Part::Field(name) => format!("field {name}"),
            };
            let half = context.client_half.map_or(&[][..], |half| half);
            let covered = [
                self.0.as_bytes(),
                part.as_bytes(),
                context.key.as_bytes(),
                context.associated,
                half,
                content,
            ];
            let mut digest = Sha256::new();
            for covered in covered {
                digest.update((covered.len() as u64).to_be_bytes());
                digest.update(covered);
            }
            digest.finalize().into()
        }
    }

    impl Codec for Sealing {
        fn name(&self) -> CodecName {
            CodecName::new(self.0).unwrap()
        }

        fn role(&self) -> CodecRole {
            CodecRole::Seal
        }

        fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
            let mut sealed: Vec<u8> = plain.iter().map(|byte| !byte).collect();
            sealed.extend_from_slice(&self.tag(&plain, context));
            Ok(Encoded::Coded(sealed.into()))
        }

        fn shown_len(&self, plain_len: usize) -> usize {
            match self.0 {
                "hidden" => 1000,
                _ => plain_len,
            }
        }

        fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
            let tampered = || Error::new(ErrorKind::Tampered, "the tag does not fit");
            let (content, tag) = coded.split_last_chunk::<32>().ok_or_else(tampered)?;
            let plain: Bytes = content.iter().map(|byte| !byte).collect();
            if self.tag(&plain, context) != *tag {
                return Err(tampered());
            }
            Ok(plain)
        }
    }

    /// Declines, and has an aunt who does not.
    #[derive(Debug)]
    struct Family;

    impl Codec for Family {
        fn name(&self) -> CodecName {
            CodecName::new("family").unwrap()
        }

        fn role(&self) -> CodecRole {
            CodecRole::Compress
        }

        fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
            Ok(Encoded::Declined(plain))
        }

        fn decode(&self, _: Bytes, _: &CodecContext<'_>) -> Result<Bytes> {
            Err(corrupt("nothing was encoded"))
        }

        fn relatives(&self) -> Vec<Arc<dyn Codec>> {
            vec![Runs::new("aunt")]
        }
    }

    /// A seal that does not do its duty.
    #[derive(Debug)]
    struct Lazy;

    impl Codec for Lazy {
        fn name(&self) -> CodecName {
            CodecName::new("lazy").unwrap()
        }

        fn role(&self) -> CodecRole {
            CodecRole::Seal
        }

        fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
            Ok(Encoded::Declined(plain))
        }

        fn decode(&self, coded: Bytes, _: &CodecContext<'_>) -> Result<Bytes> {
            Ok(coded)
        }
    }

    type Chain = Vec<Arc<dyn Codec>>;

    /// Writes through these, and reads what went through any of them all.
    fn envelope(chain: Chain) -> Envelope {
        let all: Chain = vec![
            Runs::new("runs"),
            Runs::new("runs2"),
            Arc::new(Sealing("seal")),
            Arc::new(Sealing("seal2")),
        ];
        let named = |codec: &Arc<dyn Codec>| chain.iter().any(|it| it.name() == codec.name());
        let others: Chain = all.into_iter().filter(|codec| !named(codec)).collect();
        let builder = chain
            .into_iter()
            .fold(Envelope::builder(), EnvelopeBuilder::codec);
        others
            .into_iter()
            .fold(builder, EnvelopeBuilder::reads)
            .build()
            .unwrap()
    }

    fn plain() -> Envelope {
        envelope(vec![])
    }

    fn compressing() -> Envelope {
        envelope(vec![Runs::new("runs")])
    }

    fn sealing() -> Envelope {
        envelope(vec![Runs::new("runs"), Arc::new(Sealing("seal"))])
    }

    fn head() -> Head {
        let hash = SecretHash::from_bytes([7; 32]);
        Head::new(hash, asm_core::Epoch::new(8), ClientKind::Human, NOW)
    }

    fn body() -> Entries {
        let formats = Formats::new(Arc::new(Json), []);
        Entries::from([
            ("cart".to_owned(), formats.encode(&"x".repeat(100)).unwrap()),
            ("n".to_owned(), formats.encode(&1).unwrap()),
        ])
    }

    fn decode(envelope: &Envelope, key: &Key, record: &Bytes) -> Result<(Head, Entries)> {
        let place = Place::of(key);
        let (head, body) = envelope.decode_head(place, record, NOW)?;
        Ok((head, envelope.decode_body(place, body)?))
    }

    fn kind(result: Result<(Head, Entries)>) -> ErrorKind {
        result.unwrap_err().kind()
    }

    #[test]
    fn what_one_chain_writes_every_reader_reads() {
        let chains = || -> Vec<Chain> {
            vec![
                vec![],
                vec![Runs::new("runs")],
                vec![Runs::new("runs2"), Runs::new("runs")],
                vec![Arc::new(Sealing("seal"))],
                vec![Runs::new("runs"), Arc::new(Sealing("seal2"))],
                vec![
                    Runs::new("runs"),
                    Runs::new("runs2"),
                    Arc::new(Sealing("seal2")),
                    Arc::new(Sealing("seal")),
                ],
            ]
        };
        for writer in chains().into_iter().map(envelope) {
            let record = writer.encode(Place::of(&KEY), &head(), &body()).unwrap();
            for reader in chains().into_iter().map(envelope) {
                let read = decode(&reader, &KEY, &record);
                if reader.seals() && !writer.seals() {
                    assert_eq!(kind(read), ErrorKind::Tampered);
                } else {
                    assert_eq!(read.unwrap(), (head(), body()));
                }
            }
        }
    }

    #[test]
    fn data_that_begins_like_a_record_reads_back() {
        for envelope in [plain(), compressing(), sealing()] {
            let place = Place::of(&KEY);
            let record = envelope.encode(place, &head(), &body()).unwrap();
            let item = envelope.encode_item(place, "f", record.clone()).unwrap();
            assert_eq!(envelope.decode_item(place, "f", item, NOW).unwrap(), record);
            let nested = Entries::from([("record".to_owned(), record)]);
            let outer = envelope.encode(place, &head(), &nested).unwrap();
            assert_eq!(decode(&envelope, &KEY, &outer).unwrap().1, nested);
        }
    }

    #[test]
    fn the_head_is_sealed_and_never_compressed() {
        let same = Head {
            profiles: vec![crate::Profile::of(&crate::Client {
                user_agent: Some("x".repeat(200)),
                ..Default::default()
            })],
            ..head()
        };
        let found = |envelope: &Envelope| {
            let record = envelope
                .encode(Place::of(&KEY), &same, &Entries::new())
                .unwrap();
            record.windows(200).any(|window| window == [b'x'; 200])
        };
        assert!(found(&compressing()));
        assert!(!found(&sealing()));
        // A record whose head says that it was compressed is none that we wrote.
        let record = [&PREFIX[..], &header(&["runs"], 0), &header(&[], 0)].concat();
        assert_eq!(
            kind(decode(&compressing(), &KEY, &record.into())),
            ErrorKind::Corrupt
        );
    }

    #[test]
    fn what_does_not_shrink_is_stored_as_it_is() {
        let envelope = compressing();
        for item in ["abcdefgh", "aabb", ""] {
            let stored = envelope.encode_item(Place::of(&KEY), "f", item.into());
            let expected = [&PREFIX[..], &header(&[], item.len()), item.as_bytes()].concat();
            assert_eq!(stored.unwrap(), expected);
        }
    }

    #[test]
    fn a_failing_compressor_is_counted_and_left_out() {
        let broken = Arc::new(Broken(CodecRole::Compress));
        let envelope = envelope(vec![broken, Runs::new("runs")]);
        let record = envelope.encode(Place::of(&KEY), &head(), &body()).unwrap();
        assert_eq!(envelope.counts().compressor_failed, 1);
        assert_eq!(
            decode(&compressing(), &KEY, &record).unwrap(),
            (head(), body())
        );
    }

    #[test]
    fn a_failing_seal_fails() {
        let seals: [Arc<dyn Codec>; _] = [Arc::new(Broken(CodecRole::Seal)), Arc::new(Lazy)];
        for seal in seals {
            let envelope = envelope(vec![seal]);
            let place = Place::of(&KEY);
            assert!(envelope.encode(place, &head(), &body()).is_err());
            assert!(envelope.encode_item(place, "f", Bytes::new()).is_err());
        }
    }

    #[test]
    fn chains_that_make_no_sense_are_refused() {
        let chain_of = |names: &[&'static str]| {
            let codec =
                |builder: EnvelopeBuilder, name: &&'static str| builder.codec(Runs::new(name));
            names.iter().fold(Envelope::builder(), codec)
        };
        let seal = || Arc::new(Sealing("seal"));
        let runs = || Runs::new("runs");
        let builders = [
            Envelope::builder().codec(seal()).codec(runs()),
            Envelope::builder().codec(runs()).codec(runs()),
            Envelope::builder().codec(runs()).reads(runs()),
            Envelope::builder().reads(seal()).reads(seal()),
            Envelope::builder().limits(Limits {
                plain: 5 << 30,
                ..Limits::default()
            }),
            chain_of(&["a", "b", "c", "d", "e", "f", "g", "h", "i"]),
        ];
        for builder in builders {
            assert_eq!(builder.build().unwrap_err().kind(), ErrorKind::Invalid);
        }
        let longest = chain_of(&["a", "b", "c", "d", "e", "f", "g", "h"]);
        assert!(longest.build().is_ok());
    }

    #[test]
    fn relatives_are_read_and_step_back_behind_who_was_configured() {
        let place = Place::of(&KEY);
        let item = || Bytes::from(vec![b'x'; 1000]);
        let aunt = Envelope::builder().codec(Runs::new("aunt"));
        let aunt = aunt.build().unwrap();
        let written = aunt.encode_item(place, "f", item()).unwrap();
        let niece = Envelope::builder().codec(Arc::new(Family));
        let niece = niece.build().unwrap();
        assert_eq!(
            niece.decode_item(place, "f", written.clone(), NOW).unwrap(),
            item()
        );
        // It writes through none of them.
        let record = niece.encode_item(place, "f", item()).unwrap();
        let stranger = Envelope::builder().build().unwrap();
        assert_eq!(
            stranger.decode_item(place, "f", record, NOW).unwrap(),
            item()
        );

        let aunt = Runs::new("aunt");
        let builder = Envelope::builder().codec(Arc::new(Family));
        let both = builder.reads(Arc::clone(&aunt) as _).build().unwrap();
        both.decode_item(place, "f", written, NOW).unwrap();
        assert_eq!(aunt.asked.load(Relaxed), 1000);
    }

    #[test]
    fn a_version_or_codec_that_is_not_known_is_unreadable() {
        let record = sealing().encode(Place::of(&KEY), &head(), &body()).unwrap();
        let stranger = Envelope::builder().build().unwrap();
        let error = stranger
            .decode_head(Place::of(&KEY), &record, NOW)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unreadable);
        assert!(error.to_string().contains("the codec seal,"), "{error}");

        let mut newer = record.to_vec();
        newer[3] += 1;
        assert_eq!(
            kind(decode(&sealing(), &KEY, &newer.into())),
            ErrorKind::Unreadable
        );
    }

    #[test]
    fn a_record_names_eight_codecs_at_most() {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let reads = |builder: EnvelopeBuilder, name| builder.reads(Runs::new(name));
        let reader = names.into_iter().fold(Envelope::builder(), reads);
        let reader = reader.build().unwrap();
        let read = |names: &[&str]| {
            let stored = [&PREFIX[..], &header(names, 0)].concat();
            reader.decode_item(Place::of(&KEY), "f", stored.into(), NOW)
        };
        assert_eq!(read(&names[..8]).unwrap(), "");
        assert_eq!(read(&names).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read(&["a", "a"]).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read(&["A"]).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read(&[""]).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(read(&["j"]).unwrap_err().kind(), ErrorKind::Unreadable);
    }

    #[test]
    fn a_record_of_another_session_or_in_other_places_is_tampered() {
        let envelope = sealing();
        let place = Place::of(&KEY);
        let record = envelope.encode(place, &head(), &body()).unwrap();
        assert_eq!(
            kind(decode(&envelope, &OTHER, &record)),
            ErrorKind::Tampered
        );

        let item = envelope
            .encode_item(place, "f", Bytes::from_static(b"1"))
            .unwrap();
        for (key, field) in [(&OTHER, "f"), (&KEY, "g")] {
            let error = envelope.decode_item(Place::of(key), field, item.clone(), NOW);
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Tampered);
        }
        // The item in the place of the head.
        let moved = [&item, &item[PREFIX.len()..]].concat();
        assert_eq!(
            kind(decode(&envelope, &KEY, &moved.into())),
            ErrorKind::Tampered
        );

        let half = Place {
            client_half: Some(&[9; 32]),
            ..place
        };
        let bound = envelope.encode(half, &head(), &body()).unwrap();
        assert_eq!(kind(decode(&envelope, &KEY, &bound)), ErrorKind::Tampered);
    }

    #[test]
    fn only_the_body_is_bound_to_what_the_client_brings() {
        let envelope = sealing();
        let half = Place {
            client_half: Some(&[9; 32]),
            ..Place::of(&KEY)
        };
        let record = envelope.encode(half, &head(), &body()).unwrap();
        let (read, sealed) = envelope.decode_head(Place::of(&KEY), &record, NOW).unwrap();
        assert_eq!(read, head());
        assert_eq!(envelope.decode_body(half, sealed).unwrap(), body());
        let item = envelope.encode_item(half, "f", "1".into()).unwrap();
        let read = envelope.decode_item(Place::of(&KEY), "f", item, NOW);
        assert_eq!(read.unwrap(), "1");
    }

    #[test]
    fn a_seal_may_hide_how_long_the_content_is() {
        let envelope = envelope(vec![Runs::new("runs"), Arc::new(Sealing("hidden"))]);
        let place = Place::of(&KEY);
        let shown = |len| {
            let stored = envelope.encode_item(place, "f", vec![b'x'; len].into());
            let stored = stored.unwrap();
            let read = envelope.decode_item(place, "f", stored.clone(), NOW);
            assert_eq!(read.unwrap().len(), len);
            let at = PREFIX.len() + 1 + 1 + "runs".len() + 1 + "hidden".len();
            u32::from_be_bytes(stored[at..at + 4].try_into().unwrap())
        };
        assert_eq!(shown(10), 1000);
        assert_eq!(shown(999), 1000);
        // One that is longer than what a seal would show is shown.
        assert_eq!(shown(1001), 1001);
        // A head is not said to be longer than any can be.
        let record = envelope.encode(place, &head(), &body()).unwrap();
        assert_eq!(decode(&envelope, &KEY, &record).unwrap(), (head(), body()));
    }

    #[test]
    fn records_that_would_be_sealed_otherwise_now_are_counted() {
        let place = Place::of(&KEY);
        let records = [vec!["seal"], vec!["seal2"], vec!["seal2", "seal"]].map(|names| {
            let chain = names.into_iter().map(|name| Arc::new(Sealing(name)) as _);
            let writer = envelope(chain.collect());
            writer.encode(place, &head(), &body()).unwrap()
        });
        let reader = envelope(vec![Arc::new(Sealing("seal"))]);
        let counts = records.map(|record| {
            decode(&reader, &KEY, &record).unwrap();
            reader.counts().read_outdated
        });
        assert_eq!(counts, [0, 1, 2]);
        assert_eq!(plain().counts().read_outdated, 0);
    }

    #[test]
    fn what_is_not_sealed_is_read_until_the_migration_ends_and_counted() {
        let place = Place::of(&KEY);
        let record = plain().encode(place, &head(), &body()).unwrap();
        let end = NOW + std::time::Duration::from_secs(60);
        let builder = Envelope::builder().codec(Arc::new(Sealing("seal")));
        let migrating = builder.unsealed_until(end).build().unwrap();
        assert_eq!(decode(&migrating, &KEY, &record).unwrap(), (head(), body()));
        assert_eq!(migrating.counts().read_unsealed, 2);
        let error = migrating.decode_head(place, &record, end).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Tampered);
        assert_eq!(migrating.counts().read_unsealed, 2);
        // What it writes is sealed.
        let record = migrating.encode(place, &head(), &body()).unwrap();
        assert!(decode(&sealing(), &KEY, &record).is_ok());
    }

    #[test]
    fn a_record_that_is_cut_or_has_a_rest_is_refused() {
        for envelope in [plain(), compressing(), sealing()] {
            let refused = if envelope.seals() {
                ErrorKind::Tampered
            } else {
                ErrorKind::Corrupt
            };
            let record = envelope.encode(Place::of(&KEY), &head(), &body()).unwrap();
            for end in 0..record.len() {
                let cut = decode(&envelope, &KEY, &record.slice(..end));
                assert_eq!(kind(cut), refused, "cut to {end}");
            }
            let longer = [&record, &b"\0"[..]].concat();
            assert_eq!(kind(decode(&envelope, &KEY, &longer.into())), refused);
        }
    }

    #[test]
    fn no_flipped_bit_of_a_sealed_record_is_accepted() {
        let envelope = sealing();
        let record = envelope.encode(Place::of(&KEY), &head(), &body()).unwrap();
        for bit in 0..8 * record.len() {
            let kind = kind(decode(&envelope, &KEY, &flipped(&record, bit)));
            assert!(is_typed(kind), "bit {bit}: {kind}");
        }
    }

    #[test]
    fn every_flipped_bit_of_an_unsealed_record_is_read_as_something_else_or_refused() {
        for envelope in [plain(), compressing()] {
            let record = envelope.encode(Place::of(&KEY), &head(), &body()).unwrap();
            for bit in 0..8 * record.len() {
                match decode(&envelope, &KEY, &flipped(&record, bit)) {
                    Ok(read) => assert_ne!(read, (head(), body()), "bit {bit}"),
                    Err(error) => assert!(is_typed(error.kind()), "bit {bit}: {error}"),
                }
            }
        }
    }

    #[test]
    fn a_lying_length_is_refused_before_anything_is_decoded() {
        let runs = Runs::new("runs");
        let envelope = envelope(vec![Arc::clone(&runs) as _]);
        let item = Bytes::from(vec![b'x'; 1000]);
        let place = Place::of(&KEY);
        let stored = envelope.encode_item(place, "f", item.clone()).unwrap();
        let at = PREFIX.len() + 1 + 1 + "runs".len();
        assert_eq!(stored[at..at + 4], 1000_u32.to_be_bytes());
        let claims = |len: u32| {
            let mut stored = stored.to_vec();
            stored[at..at + 4].copy_from_slice(&len.to_be_bytes());
            envelope.decode_item(place, "f", stored.into(), NOW)
        };
        let limit = Limits::default().plain;
        for beyond in [limit as u32 + 1, u32::MAX] {
            assert_eq!(claims(beyond).unwrap_err().kind(), ErrorKind::TooLarge);
        }
        assert_eq!(runs.asked.load(Relaxed), 0);
        assert_eq!(claims(999).unwrap_err().kind(), ErrorKind::TooLarge);
        assert_eq!(claims(1001).unwrap_err().kind(), ErrorKind::Corrupt);
        assert_eq!(claims(1000).unwrap(), item);
        assert_eq!(runs.asked.load(Relaxed), 1001);
    }

    #[test]
    fn the_real_length_is_checked_too() {
        let item = Bytes::from(vec![b'x'; 1000]);
        let place = Place::of(&KEY);
        let stored = compressing().encode_item(place, "f", item).unwrap();
        let growing = envelope(vec![Runs::growing("runs", 1)]);
        let error = growing.decode_item(place, "f", stored, NOW).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
    }

    #[test]
    fn what_is_over_a_limit_is_neither_written_nor_read() {
        let place = Place::of(&KEY);
        let limited = |plain, stored| {
            let limits = Limits { plain, stored };
            let builder = Envelope::builder().codec(Runs::new("runs"));
            builder.limits(limits).build().unwrap()
        };
        let roomy = limited(1000, 1000);
        let record = roomy.encode(place, &head(), &body()).unwrap();
        let len = entries::encode(&body(), 1000).unwrap().len();
        for small in [limited(len - 1, 1000), limited(1000, record.len() - 1)] {
            let error = small.encode(place, &head(), &body()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge);
            assert_eq!(kind(decode(&small, &KEY, &record)), ErrorKind::TooLarge);
        }
        let just = limited(len, record.len());
        assert_eq!(just.encode(place, &head(), &body()).unwrap(), record);
        assert_eq!(decode(&just, &KEY, &record).unwrap(), (head(), body()));
    }

    #[test]
    fn items_that_were_appended_are_read_as_one() {
        for envelope in [plain(), compressing(), sealing()] {
            let place = Place::of(&KEY);
            let parts = ["", "aaaaaaaaaaaa", "b", "", "cc"];
            let stored = parts.map(|part| {
                envelope
                    .encode_item(place, "log", Bytes::from_static(part.as_bytes()))
                    .unwrap()
            });
            let stored = Bytes::from(stored.concat());
            let read = envelope
                .decode_item(place, "log", stored.clone(), NOW)
                .unwrap();
            assert_eq!(read, parts.concat());
            let cut = stored.slice(..stored.len() - 1);
            assert!(envelope.decode_item(place, "log", cut, NOW).is_err());
        }
    }

    #[test]
    fn appended_items_together_stay_within_the_limit() {
        let limits = Limits {
            plain: 10,
            ..Limits::default()
        };
        let envelope = Envelope::builder().limits(limits).build().unwrap();
        let place = Place::of(&KEY);
        let item = |len| envelope.encode_item(place, "log", vec![1; len].into());
        let both = |a, b| Bytes::from([item(a).unwrap(), item(b).unwrap()].concat());
        assert!(envelope.decode_item(place, "log", both(4, 6), NOW).is_ok());
        assert!(envelope.decode_item(place, "log", both(0, 10), NOW).is_ok());
        for beyond in [
            item(11).unwrap_err(),
            envelope
                .decode_item(place, "log", both(5, 6), NOW)
                .unwrap_err(),
        ] {
            assert_eq!(beyond.kind(), ErrorKind::TooLarge);
        }
    }

    #[test]
    fn content_is_not_shown() {
        let record = plain().encode(Place::of(&KEY), &head(), &body()).unwrap();
        let (_, body) = plain().decode_head(Place::of(&KEY), &record, NOW).unwrap();
        assert_eq!(
            format!("{body:?}"),
            format!("{} bytes", body.0.stored.len())
        );
    }

    proptest! {
        #[test]
        fn any_session_reads_back(head in any_head(), body in any_entries()) {
            for envelope in [plain(), compressing(), sealing()] {
                let record = envelope.encode(Place::of(&KEY), &head, &body).unwrap();
                let read = decode(&envelope, &KEY, &record).unwrap();
                prop_assert_eq!(read, (head.clone(), body.clone()));
            }
        }

        #[test]
        fn no_edit_of_a_sealed_record_is_accepted(
            at in any::<prop::sample::Index>(),
            removed in 0..20_usize,
            inserted in prop::collection::vec(any::<u8>(), 0..20),
        ) {
            for envelope in [plain(), compressing(), sealing()] {
                let record = envelope.encode(Place::of(&KEY), &head(), &body()).unwrap();
                let mut edited = record.to_vec();
                let at = at.index(record.len());
                edited.splice(at..(at + removed).min(record.len()), inserted.iter().copied());
                match decode(&envelope, &KEY, &edited.clone().into()) {
                    Ok(_) => prop_assert!(edited == record || !envelope.seals()),
                    Err(error) => prop_assert!(is_typed(error.kind()), "{}", error),
                }
            }
        }

        #[test]
        fn any_bytes_are_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let len = bytes.len().min(4);
            bytes[..len].copy_from_slice(&PREFIX[..len]);
            let bytes = Bytes::from(bytes);
            for envelope in [plain(), compressing(), sealing()] {
                let kind = kind(decode(&envelope, &KEY, &bytes));
                prop_assert!(is_typed(kind), "{}", kind);
                if let Err(error) = envelope.decode_item(Place::of(&KEY), "f", bytes.clone(), NOW) {
                    prop_assert!(is_typed(error.kind()), "{}", error);
                }
            }
        }
    }

    /// All of a frame but its content, which has this length before and after the codecs.
    fn header(codecs: &[&str], len: usize) -> Vec<u8> {
        let mut out = vec![codecs.len() as u8];
        for name in codecs {
            out.push(name.len() as u8);
            out.extend_from_slice(name.as_bytes());
        }
        out.extend_from_slice(&(len as u32).to_be_bytes());
        out.extend_from_slice(&(len as u32).to_be_bytes());
        out
    }

    fn flipped(record: &Bytes, bit: usize) -> Bytes {
        let mut record = record.to_vec();
        record[bit / 8] ^= 1 << (bit % 8);
        record.into()
    }

    fn is_typed(kind: ErrorKind) -> bool {
        use ErrorKind::{Corrupt, Tampered, TooLarge, Unreadable};
        matches!(kind, Corrupt | Unreadable | Tampered | TooLarge)
    }
}
