//! How the bytes of a record are changed on the way to the store and back.

use std::{
    fmt::{self, Debug},
    sync::Arc,
};

use bytes::Bytes;

use crate::{Error, ErrorKind, Key, Result};

/// Compresses or seals what is stored.
///
/// A codec is pure: no I/O, no state that a caller can see. It is given hostile bytes to decode and
/// answers them with an error whose cost is bounded: it never panics and never allocates more than
/// [`CodecContext::limit`] and 64 KiB. `asm-testkit` has a suite that holds a codec to all of this.
///
/// ```
/// use asm_core::{Codec, CodecContext, CodecName, CodecRole, Encoded, Result};
/// use bytes::Bytes;
///
/// /// Turns every bit over. Neither smaller nor secret.
/// #[derive(Debug)]
/// struct Flip;
///
/// impl Codec for Flip {
///     fn name(&self) -> CodecName {
///         CodecName::new("flip").expect("short ASCII")
///     }
///     fn role(&self) -> CodecRole {
///         CodecRole::Compress
///     }
///     fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
///         Ok(Encoded::Coded(plain.iter().map(|byte| !byte).collect()))
///     }
///     fn decode(&self, coded: Bytes, _: &CodecContext<'_>) -> Result<Bytes> {
///         Ok(coded.iter().map(|byte| !byte).collect())
///     }
/// }
/// ```
pub trait Codec: Debug + Send + Sync + 'static {
    /// Its name in the envelope of a record. It never changes: records of that name must be read
    /// for ever.
    fn name(&self) -> CodecName;

    /// What it is for, which says where in a chain it may stand and what its failure means.
    fn role(&self) -> CodecRole;

    /// Encodes.
    ///
    /// - What was encoded decodes to the same bytes.
    /// - What a compressor codes is shorter than it was; what would not shrink it declines, and
    ///   gives back unchanged.
    /// - A seal never declines. What was sealed shows nothing of its content, and the same content
    ///   never looks the same twice.
    ///
    /// # Errors
    /// A failing compressor makes the record be stored as it is; a failing seal makes the save fail
    /// with nothing written.
    fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded>;

    /// Decodes what [`encode`](Codec::encode) made, also years ago.
    ///
    /// - Bytes that were cut, flipped or made up decode to no more than the limit or to an error.
    /// - Whatever the bytes claim, decoding takes no more memory than the limit and 64 KiB.
    /// - What was sealed and then cut or edited, or is of another session, part or header, is
    ///   `Tampered`.
    ///
    /// # Errors
    /// `Corrupt` for bytes that are none of its own, `TooLarge` over the limit, `Tampered` when a
    /// tag does not verify, `Unreadable` when a key is not known here.
    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes>;

    /// Codecs of its family, whose records are read wherever this one is configured, so that a
    /// switch between them needs no second setting. None unless overridden; one that was configured
    /// by itself is preferred to one of the same name from here.
    fn relatives(&self) -> Vec<Arc<dyn Codec>> {
        Vec::new()
    }

    /// Whether bodies are to be bound to a secret that only the client brings: then new sessions
    /// get one, and it is in [`CodecContext::client_half`]. They are not unless a seal says so.
    fn splits_key(&self) -> bool {
        false
    }

    /// The length that the envelope shows of content of `plain_len` bytes: that, unless a seal
    /// hides lengths. What is less than the real length counts as it.
    fn shown_len(&self, plain_len: usize) -> usize {
        plain_len
    }

    /// Whether `coded`, which it made, is as it would be made now. It is, unless a seal has another
    /// key to write with. Nothing is verified: the answer is for counting what a key still holds.
    fn is_current(&self, coded: &[u8]) -> bool {
        let _ = coded;
        true
    }
}

macro_rules! forward_codec {
    ($pointer:ident) => {
        #[deny(clippy::missing_trait_methods)]
        impl<C: Codec + ?Sized> Codec for $pointer<C> {
            fn name(&self) -> CodecName {
                (**self).name()
            }
            fn role(&self) -> CodecRole {
                (**self).role()
            }
            fn encode(&self, plain: Bytes, context: &CodecContext<'_>) -> Result<Encoded> {
                (**self).encode(plain, context)
            }
            fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
                (**self).decode(coded, context)
            }
            fn relatives(&self) -> Vec<Arc<dyn Codec>> {
                (**self).relatives()
            }
            fn splits_key(&self) -> bool {
                (**self).splits_key()
            }
            fn shown_len(&self, plain_len: usize) -> usize {
                (**self).shown_len(plain_len)
            }
            fn is_current(&self, coded: &[u8]) -> bool {
                (**self).is_current(coded)
            }
        }
    };
}

forward_codec!(Arc);
forward_codec!(Box);

/// A codec's name in the envelope: 1 to [`CodecName::MAX`] lowercase letters and digits.
///
/// ```
/// use asm_core::CodecName;
///
/// assert_eq!(CodecName::new("lz4").unwrap().as_str(), "lz4");
/// assert!(CodecName::new("").is_err());
/// assert!(CodecName::new("LZ4").is_err());
/// assert!(CodecName::new("ninebytes").is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodecName {
    bytes: [u8; Self::MAX],
    len: u8,
}

impl CodecName {
    /// The longest name in bytes.
    pub const MAX: usize = 8;

    /// A codec of this name.
    ///
    /// # Errors
    /// `Invalid` unless it has 1 to [`CodecName::MAX`] bytes of `a-z` and `0-9`.
    pub fn new(name: &str) -> Result<Self> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let fits = (1..=Self::MAX).contains(&name.len());
        if !fits || !name.bytes().all(allowed) {
            return Err(Error::new(
                ErrorKind::Invalid,
                "a codec name has 1 to 8 lowercase letters and digits",
            ));
        }
        let mut bytes = [0; Self::MAX];
        bytes[..name.len()].copy_from_slice(name.as_bytes());
        let len = name.len() as u8;
        Ok(Self { bytes, len })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl Debug for CodecName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for CodecName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self.as_str(), f)
    }
}

/// What a codec is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CodecRole {
    /// Makes it smaller. May decline; stands before any seal.
    Compress,
    /// Makes it unreadable and unforgeable. Never declines.
    Seal,
}

/// What an encoding gave. `Debug` shows lengths only.
#[derive(Clone, PartialEq, Eq)]
pub enum Encoded {
    /// These bytes, which the decoder understands.
    Coded(Bytes),
    /// The bytes as they were: too small to be worth it, or they would not shrink. The envelope
    /// does not name the codec then. A seal never answers this.
    Declined(Bytes),
}

/// What is encoded, and what it is bound to. `Debug` shows neither names nor secrets.
#[derive(Clone, Copy)]
pub struct CodecContext<'a> {
    /// The session.
    pub key: &'a Key,
    /// Which part of it.
    pub part: Part<'a>,
    /// Whatever else a seal must cover: the bytes of the envelope's header.
    pub associated: &'a [u8],
    /// A secret that only the client brings, when the key is split between client and server. Of
    /// the body only: the rest must be read without the client.
    pub client_half: Option<&'a [u8; 32]>,
    /// The most bytes that decoding may give.
    pub limit: usize,
}

/// A part of a session. `Debug` does not show the name of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// What the session layer knows about the session.
    Head,
    /// What the application put into it.
    Body,
    /// The item of a lockless field of this name.
    Field(&'a str),
}

impl Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, bytes) = match self {
            Self::Coded(bytes) => ("Coded", bytes),
            Self::Declined(bytes) => ("Declined", bytes),
        };
        write!(f, "{name}({} bytes)", bytes.len())
    }
}

impl Debug for CodecContext<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodecContext")
            .field("part", &self.part)
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

impl Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "Head",
            Self::Body => "Body",
            Self::Field(_) => "Field(..)",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_encoded_shows() {
        let context = CodecContext {
            key: &Key::from_bytes([7; 16]),
            part: Part::Field("card"),
            associated: b"header",
            client_half: Some(&[9; 32]),
            limit: 5,
        };
        let shown = format!("{context:?}");
        assert_eq!(shown, "CodecContext { part: Field(..), limit: 5, .. }");
        let plain = Encoded::Declined(Bytes::from_static(b"4111"));
        assert_eq!(format!("{plain:?}"), "Declined(4 bytes)");
    }

    #[derive(Debug)]
    struct Copier;

    impl Codec for Copier {
        fn name(&self) -> CodecName {
            CodecName::new("copy").expect("a good name")
        }

        fn role(&self) -> CodecRole {
            CodecRole::Compress
        }

        fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
            Ok(Encoded::Coded(plain))
        }

        fn decode(&self, coded: Bytes, _: &CodecContext<'_>) -> Result<Bytes> {
            Ok(coded)
        }
    }

    #[test]
    fn a_codec_is_alone_and_hides_nothing_unless_it_says_so() {
        let codec: Arc<dyn Codec> = Arc::new(Copier);
        assert!(codec.relatives().is_empty());
        assert!(!codec.splits_key());
        assert_eq!(codec.shown_len(7), 7);
        assert!(codec.is_current(b"coded"));
    }
}
