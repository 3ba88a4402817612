//! Codecs and a format as small as they can be, and broken ones.

use std::{
    collections::hash_map::DefaultHasher,
    hash::Hasher,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use asm_core::{
    Codec, CodecContext, CodecName, CodecRole, Encoded, Error, ErrorKind, Part, Result,
};
use asm_session::{Format, Json, Visit, erased_serde};
use bytes::Bytes;

/// Runs of equal bytes: each as its length and the byte.
#[derive(Clone, Debug)]
pub(super) struct Runs {
    name: &'static str,
    /// The largest content that was asked for.
    asked: Arc<AtomicUsize>,
}

impl Runs {
    pub(super) fn new(name: &'static str) -> Self {
        Self {
            name,
            asked: Arc::default(),
        }
    }

    pub(super) fn most_asked_for(&self) -> usize {
        self.asked.load(Relaxed)
    }
}

impl Codec for Runs {
    fn name(&self) -> CodecName {
        name(self.name)
    }

    fn role(&self) -> CodecRole {
        CodecRole::Compress
    }

    fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
        let runs = plain
            .chunk_by(|a, b| a == b)
            .flat_map(|run| run.chunks(255));
        let coded = runs.flat_map(|run| [run.len() as u8, run[0]]).collect();
        Ok(Encoded::Coded(coded))
    }

    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
        self.asked.fetch_max(context.limit, Relaxed);
        let mut plain = Vec::new();
        for run in coded.chunks(2) {
            let [length, byte] = *run else {
                return Err(Error::new(ErrorKind::Corrupt, "half a run"));
            };
            plain.resize(plain.len() + usize::from(length), byte);
            if plain.len() > context.limit {
                return Err(Error::new(ErrorKind::TooLarge, "longer than it says"));
            }
        }
        Ok(plain.into())
    }
}

/// Compresses nothing, by its own will.
#[derive(Clone, Copy, Debug)]
pub(super) struct Declining;

impl Codec for Declining {
    fn name(&self) -> CodecName {
        name("decline")
    }

    fn role(&self) -> CodecRole {
        CodecRole::Compress
    }

    fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
        Ok(Encoded::Declined(plain))
    }

    fn decode(&self, _: Bytes, _: &CodecContext<'_>) -> Result<Bytes> {
        Err(Error::new(ErrorKind::Corrupt, "nothing was ever encoded"))
    }
}

/// Fails at everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failing(pub(super) CodecRole);

impl Codec for Failing {
    fn name(&self) -> CodecName {
        name("failing")
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

/// Turns every bit over, and adds the name of its key and a digest of the content and all that it
/// is bound to. It hides nothing from anybody who knows it, and shows what a seal has to do.
#[derive(Clone, Debug)]
pub(super) struct Sealing {
    /// The first writes, all read.
    keys: Vec<u8>,
    splits: bool,
}

impl Sealing {
    pub(super) fn new(keys: &[u8]) -> Self {
        Self {
            keys: keys.to_vec(),
            splits: false,
        }
    }

    /// Lets clients bring a half of its key.
    pub(super) fn splitting(mut self) -> Self {
        self.splits = true;
        self
    }

    fn tag(key: u8, content: &[u8], context: &CodecContext<'_>) -> [u8; TAG] {
        let part = match context.part {
            Part::Head => "head",
            Part::Body => "body",
            Part::Field(name) => name,
        };
        let half = context.client_half.map_or(&[][..], |half| half);
        let is_field = matches!(context.part, Part::Field(_));
        let mut digest = DefaultHasher::new();
        for covered in [
            &[key, u8::from(is_field)][..],
            part.as_bytes(),
            context.key.as_bytes(),
            context.associated,
            half,
            content,
        ] {
            digest.write_usize(covered.len());
            digest.write(covered);
        }
        digest.finish().to_be_bytes()
    }
}

/// Bytes of a digest.
const TAG: usize = 8;

impl Codec for Sealing {
    fn name(&self) -> CodecName {
        name("seal")
    }

    fn role(&self) -> CodecRole {
        CodecRole::Seal
    }

    fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
        let key = self.keys[0];
        let mut sealed = vec![key];
        sealed.extend(plain.iter().map(|byte| !byte));
        sealed.extend_from_slice(&Self::tag(key, &plain, context));
        Ok(Encoded::Coded(sealed.into()))
    }

    fn splits_key(&self) -> bool {
        self.splits
    }

    fn is_current(&self, coded: &[u8]) -> bool {
        coded.first() == self.keys.first()
    }

    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
        let tampered = || Error::new(ErrorKind::Tampered, "the digest does not fit");
        let (key, rest) = coded.split_first().ok_or_else(tampered)?;
        if !self.keys.contains(key) {
            return Err(Error::new(ErrorKind::Unreadable, "the key is not known"));
        }
        let (content, tag) = rest.split_last_chunk().ok_or_else(tampered)?;
        let plain: Bytes = content.iter().map(|byte| !byte).collect();
        if Self::tag(*key, &plain, context) != *tag {
            return Err(tampered());
        }
        Ok(plain)
    }
}

/// JSON with a full stop behind it, under a tag of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopped;

impl Format for Stopped {
    fn tag(&self) -> u8 {
        b'.'
    }

    fn encode(
        &self,
        value: &dyn erased_serde::Serialize,
        out: &mut Vec<u8>,
    ) -> erased_serde::Result<()> {
        Json.encode(value, out)?;
        out.push(b'.');
        Ok(())
    }

    fn decode<'de>(
        &self,
        bytes: &'de [u8],
        visit: &mut Visit<'_, 'de>,
    ) -> erased_serde::Result<()> {
        match bytes.strip_suffix(b".") {
            Some(json) => Json.decode(json, visit),
            None => Err(serde::de::Error::custom("it does not stop")),
        }
    }
}

fn name(name: &str) -> CodecName {
    CodecName::new(name).expect("a name of a codec")
}
