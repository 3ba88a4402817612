//! One suite for every codec.
//!
//! [`codec_conformance!`](crate::codec_conformance) gives a codec one named test for each case;
//! [`CodecSuite`] is what it makes, for tests that ask whether some codec fails some case.
//!
//! A compressor of ten lines, and the suite on it:
//!
//! ```
//! use asm_core::{Codec, CodecContext, CodecName, CodecRole, Encoded, Error, ErrorKind, Result};
//! use asm_testkit::codecs::{CodecSuite, Vector};
//! use bytes::Bytes;
//!
//! /// A number of equal bytes as that number and the byte; everything else it declines.
//! #[derive(Debug)]
//! struct Same;
//!
//! impl Codec for Same {
//!     fn name(&self) -> CodecName {
//!         CodecName::new("same").expect("short ASCII")
//!     }
//!     fn role(&self) -> CodecRole {
//!         CodecRole::Compress
//!     }
//!     fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
//!         Ok(match plain.first() {
//!             Some(first) if plain.len() > 5 && plain.iter().all(|byte| byte == first) => {
//!                 let len = plain.len() as u32;
//!                 Encoded::Coded([&len.to_be_bytes()[..], &[*first]].concat().into())
//!             }
//!             _ => Encoded::Declined(plain),
//!         })
//!     }
//!     fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
//!         let [a, b, c, d, byte] = coded[..] else {
//!             return Err(Error::new(ErrorKind::Corrupt, "five bytes were expected"));
//!         };
//!         match u32::from_be_bytes([a, b, c, d]) as usize {
//!             len if len <= context.limit => Ok(vec![byte; len].into()),
//!             _ => Err(Error::new(ErrorKind::TooLarge, "more than the limit")),
//!         }
//!     }
//! }
//!
//! // In a test of a crate that has `allocation-counter` among its dev-dependencies, this is
//! // `allocation_counter::measure(run).bytes_max`.
//! # fn measure(run: &mut dyn FnMut()) -> u64 { run(); 0 }
//! let suite = CodecSuite::compressor(|| Same)
//!     .peak(measure)
//!     .vectors([Vector::hex("aaaaaaa", "0000000761")]);
//! suite.run("decoding", "reads_every_stored_vector");
//! assert!(suite.check("compressing", "shrinks_what_repeats").is_err());
//! ```

pub mod cases;

mod case;
mod conformance;
mod contents;

use std::{fmt, sync::Arc, time::Duration};

use asm_core::{Codec, CodecContext, CodecRole, Encoded, Key, Part, Result};
use bytes::Bytes;

pub use case::{CODEC_CASES, CODEC_SENTENCES, CodecCase, CodecNeeds};
pub use contents::{noise, text};

use crate::{Failure, run::watched};

/// A codec under test: how to make one, and what its author says of it.
#[derive(Clone)]
pub struct CodecSuite {
    role: CodecRole,
    make: Make,
    stranger: Option<Make>,
    peak: Option<Peak>,
    client_half: Option<[u8; 32]>,
    overhead: usize,
    sizes: Vec<usize>,
    vectors: Vec<Vector>,
    patience: Duration,
}

type Make = Arc<dyn Fn() -> Arc<dyn Codec> + Send + Sync>;

/// Runs something, and answers the most bytes that its thread had allocated at once meanwhile, more
/// than before.
pub type Peak = fn(&mut dyn FnMut()) -> u64;

/// Content, and what some version of the codec once made of it.
///
/// It was made for the session and with the associated data that [`CodecSuite::context`] tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vector {
    plain: Bytes,
    stored: Bytes,
}

/// How long a case may take by the wall clock, before it counts as hung.
const PATIENCE: Duration = Duration::from_secs(120);

/// What a seal may add, unless its author says otherwise: a nonce, a tag, the name of a key.
const OVERHEAD: usize = 64;

impl CodecSuite {
    /// The suite of a compressor.
    #[must_use]
    pub fn compressor<C: Codec>(make: impl Fn() -> C + Send + Sync + 'static) -> Self {
        Self::new(CodecRole::Compress, made_by(make))
    }

    /// The suite of a seal. The stranger is one that knows none of its keys.
    #[must_use]
    pub fn seal<C: Codec, S: Codec>(
        make: impl Fn() -> C + Send + Sync + 'static,
        stranger: impl Fn() -> S + Send + Sync + 'static,
    ) -> Self {
        Self {
            stranger: Some(made_by(stranger)),
            ..Self::new(CodecRole::Seal, made_by(make))
        }
    }

    fn new(role: CodecRole, make: Make) -> Self {
        Self {
            role,
            make,
            stranger: None,
            peak: None,
            client_half: None,
            overhead: OVERHEAD,
            sizes: Vec::new(),
            vectors: Vec::new(),
            patience: PATIENCE,
        }
    }

    /// How memory is measured: an allocator that counts is the business of the test's binary.
    #[must_use]
    pub fn peak(mut self, peak: Peak) -> Self {
        self.peak = Some(peak);
        self
    }

    /// Lets every client bring this secret, for a seal whose keys are split.
    #[must_use]
    pub fn client_half(mut self, half: [u8; 32]) -> Self {
        self.client_half = Some(half);
        self
    }

    /// The most bytes that a seal adds, 64 unless said otherwise.
    #[must_use]
    pub fn overhead(mut self, bytes: usize) -> Self {
        self.overhead = bytes;
        self
    }

    /// Lengths of content that are worth a look, beside those around every power of two: around a
    /// threshold, or where a block ends.
    #[must_use]
    pub fn sizes(mut self, sizes: impl IntoIterator<Item = usize>) -> Self {
        self.sizes.extend(sizes);
        self
    }

    /// What must be read for ever.
    #[must_use]
    pub fn vectors(mut self, vectors: impl IntoIterator<Item = Vector>) -> Self {
        self.vectors.extend(vectors);
        self
    }

    /// Lets a case take that long by the wall clock, instead of two minutes, before it counts as
    /// hung.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// The body of a test: panics unless the codec passes the case of this part and name.
    pub fn run(&self, module: &str, name: &str) {
        if let Err(failure) = self.check(module, name) {
            let sentence = known(module, name).sentence;
            panic!("{module}::{name}: {failure}\n  {sentence}");
        }
    }

    /// Whether the codec passes the case of this part and name.
    ///
    /// # Errors
    /// What the case panicked with, or that it hung.
    ///
    /// # Panics
    /// When there is no such case, or it is for other codecs than this one.
    pub fn check(&self, module: &str, name: &str) -> Result<(), Failure> {
        let case = known(module, name);
        assert!(
            case.needs.met_by(self),
            "{case} is for other codecs than this one"
        );
        let suite = self.clone();
        watched(&case.to_string(), self.patience, move || {
            case.run(&suite);
            Ok(())
        })
    }

    /// What content is encoded and decoded for: a session with the key `000102..0f`, its body, the
    /// associated data `associated`, and the client's half if there is one.
    #[must_use]
    pub fn context(&self, limit: usize) -> CodecContext<'_> {
        CodecContext {
            key: &KEY,
            part: Part::Body,
            associated: b"associated",
            client_half: self.client_half.as_ref(),
            limit,
        }
    }

    fn codec(&self) -> Arc<dyn Codec> {
        (self.make)()
    }

    /// What a fresh codec makes of it.
    #[track_caller]
    fn encoded(&self, plain: &Bytes) -> Encoded {
        let encoded = self.codec().encode(plain.clone(), &self.context(LIMIT));
        encoded.unwrap_or_else(|error| panic!("{} bytes are not encoded: {error:?}", plain.len()))
    }

    /// What a fresh codec makes of content that it has no reason to decline.
    #[track_caller]
    fn coded(&self, plain: &Bytes) -> Bytes {
        match self.encoded(plain) {
            Encoded::Coded(coded) => coded,
            Encoded::Declined(_) => panic!(
                "{} bytes that repeat themselves are declined: give the suite a codec that \
                 encodes so much",
                plain.len()
            ),
        }
    }

    /// What a fresh codec reads out of it.
    fn decoded(&self, coded: &Bytes, limit: usize) -> Result<Bytes> {
        self.codec().decode(coded.clone(), &self.context(limit))
    }

    /// The most memory that decoding takes at once.
    fn peak_of(&self, coded: &Bytes, limit: usize) -> u64 {
        let codec = self.codec();
        self.measured(&mut || {
            // Whether it works is another case's.
            let _ = codec.decode(coded.clone(), &self.context(limit));
        })
    }

    fn measured(&self, run: &mut dyn FnMut()) -> u64 {
        let peak = self.peak.expect("the suite was not told how to measure");
        peak(run)
    }
}

impl Vector {
    /// Content, and what was once made of it.
    pub fn new(plain: impl Into<Bytes>, stored: impl Into<Bytes>) -> Self {
        Self {
            plain: plain.into(),
            stored: stored.into(),
        }
    }

    /// The same, with what was made of it in hexadecimal digits.
    ///
    /// # Panics
    /// When it is something else.
    pub fn hex(plain: impl Into<Bytes>, stored: &str) -> Self {
        let digits = stored.as_bytes().chunks(2);
        let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let stored: Option<Bytes> = digits.map(byte).collect();
        Self::new(plain, stored.expect("pairs of hexadecimal digits"))
    }
}

impl fmt::Debug for CodecSuite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodecSuite")
            .field("role", &self.role)
            .field("vectors", &self.vectors.len())
            .finish_non_exhaustive()
    }
}

/// The session of all cases, but for those on another one.
const KEY: Key = Key::from_bytes([0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);

/// The most that sessions have by default.
const LIMIT: usize = 4 << 20;

fn made_by<C: Codec>(make: impl Fn() -> C + Send + Sync + 'static) -> Make {
    Arc::new(move || Arc::new(make()))
}

fn known(module: &str, name: &str) -> &'static CodecCase {
    CodecCase::named(module, name).unwrap_or_else(|| panic!("there is no case {module}::{name}"))
}
