//! The codec.

use std::{str::FromStr, sync::Arc};

use asm_core::{Codec, CodecContext, CodecName, CodecRole, Encoded, Error, ErrorKind, Result};
use bytes::Bytes;

use crate::{
    Counters, Ratio, Threshold,
    algorithm::{Algorithm, NAMES, compiled_in, missing},
    counters::Counting,
    errors::invalid,
};

/// Makes records smaller.
///
/// It writes through one algorithm, and wherever it is configured records of all that are compiled
/// in are read. A clone shares the counters.
///
/// ```
/// use asm_compress::{Compress, Ratio, Threshold};
/// use asm_core::{Codec, CodecContext, Encoded, Key, Part};
///
/// let codec = Compress::lz4().threshold(Threshold::at(1000)).keep_raw(Ratio::new(0.8)?);
/// let context = CodecContext {
///     key: &Key::from_bytes([7; 16]),
///     part: Part::Body,
///     associated: b"",
///     client_half: None,
///     limit: 1 << 20,
/// };
/// let cart = "three apples, ".repeat(100);
/// let Encoded::Coded(coded) = codec.encode(cart.clone().into(), &context)? else {
///     panic!("a text that repeats itself is worth it");
/// };
/// assert!(coded.len() < cart.len() / 10);
/// assert_eq!(codec.decode(coded, &context)?, cart);
/// assert_eq!(codec.counters().compressed, 1);
/// # Ok::<(), asm_core::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Compress {
    /// `None` compresses nothing.
    algorithm: Option<Arc<dyn Algorithm>>,
    threshold: Threshold,
    keep_raw: Ratio,
    limit: usize,
    counting: Arc<Counting>,
}

impl Compress {
    /// gzip at level 6: the smallest, and the slowest.
    #[cfg(feature = "gzip")]
    #[must_use]
    pub fn gzip() -> Self {
        Self::new(Some(Arc::new(crate::gzip::Gzip::default())))
    }

    /// LZF, as Redis itself uses it in its dumps.
    #[cfg(feature = "lzf")]
    #[must_use]
    pub fn lzf() -> Self {
        Self::new(Some(Arc::new(crate::lzf::Lzf)))
    }

    /// LZ4: fast.
    #[cfg(feature = "lz4")]
    #[must_use]
    pub fn lz4() -> Self {
        Self::new(Some(Arc::new(crate::lz4::Lz4)))
    }

    /// Snappy: fast.
    #[cfg(feature = "snappy")]
    #[must_use]
    pub fn snappy() -> Self {
        Self::new(Some(Arc::new(crate::snappy::Snappy::default())))
    }

    /// Compresses nothing, and reads what was compressed: to switch compression off on a live
    /// store.
    #[must_use]
    pub fn none() -> Self {
        Self::new(None)
    }

    /// The one of this name: `gzip`, `lzf`, `lz4`, `snappy` or `none`.
    ///
    /// ```
    /// use asm_compress::Compress;
    /// use asm_core::ErrorKind;
    ///
    /// assert!(Compress::from_name("snappy").is_ok());
    /// let error = Compress::from_name("zip").unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Invalid);
    /// ```
    ///
    /// # Errors
    /// `Invalid` for any other name, `Unsupported` for one that is not compiled in.
    pub fn from_name(name: &str) -> Result<Self> {
        match name {
            NONE => Ok(Self::none()),
            known if NAMES.contains(&known) => match compiled_in(known) {
                Some(algorithm) => Ok(Self::new(Some(algorithm))),
                None => Err(missing(ErrorKind::Unsupported, known)),
            },
            _ => Err(invalid("a compressor is gzip, lzf, lz4, snappy or none")),
        }
    }

    /// Every one that is compiled in, as they are without further settings.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let algorithms = NAMES.into_iter().filter_map(compiled_in);
        let all = algorithms.map(|algorithm| Self::new(Some(algorithm)));
        all.chain([Self::none()]).collect()
    }

    fn new(algorithm: Option<Arc<dyn Algorithm>>) -> Self {
        Self {
            algorithm,
            threshold: Threshold::default(),
            keep_raw: Ratio::default(),
            limit: usize::MAX,
            counting: Arc::default(),
        }
    }

    /// How hard it tries, from 1 (fast) to 9 (small). Only gzip has levels; 6 unless set.
    ///
    /// # Errors
    /// `Invalid` for another level, or another algorithm than gzip.
    pub fn level(mut self, level: u32) -> Result<Self> {
        let algorithm = self.algorithm.as_ref();
        let algorithm = algorithm.ok_or_else(|| invalid("none has no levels"))?;
        self.algorithm = Some(algorithm.at_level(level)?);
        Ok(self)
    }

    /// From how many bytes on content is compressed: 2048 unless set.
    #[must_use]
    pub fn threshold(mut self, threshold: Threshold) -> Self {
        self.threshold = threshold;
        self
    }

    /// Keeps content as it is that would not become at most this part of what it was: 0.95 unless
    /// set.
    #[must_use]
    pub fn keep_raw(mut self, above: Ratio) -> Self {
        self.keep_raw = above;
        self
    }

    /// The most bytes that content may have: longer content is stored as it is, and nothing longer
    /// is decoded. Unless set, the limits of the sessions alone count.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// What it has done so far, together with its clones.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counting.read()
    }

    fn algorithm_name(&self) -> &'static str {
        self.algorithm
            .as_ref()
            .map_or(NONE, |algorithm| algorithm.name())
    }
}

/// The name of the one that compresses nothing.
const NONE: &str = "none";

impl Codec for Compress {
    fn name(&self) -> CodecName {
        CodecName::new(self.algorithm_name()).expect("short, of lowercase letters and digits")
    }

    fn role(&self) -> CodecRole {
        CodecRole::Compress
    }

    fn encode(&self, plain: Bytes, _: &CodecContext<'_>) -> Result<Encoded> {
        let (len, codec) = (plain.len(), self.algorithm_name());
        let Some(algorithm) = self
            .algorithm
            .as_ref()
            .filter(|_| self.threshold.admits(len))
        else {
            self.counting.small.add(1);
            return Ok(Encoded::Declined(plain));
        };
        if len > self.limit {
            self.counting.useless.add(1);
            tracing::debug!(codec, len, "over the limit: stored as it is");
            return Ok(Encoded::Declined(plain));
        }
        // Fewer by one, whatever the ratio.
        let most = self.keep_raw.of(len).min(len.saturating_sub(1));
        match algorithm.compress(&plain, most) {
            Ok(Some(coded)) => {
                self.counting.compressed.add(1);
                self.counting.bytes_before.add(len);
                self.counting.bytes_after.add(coded.len());
                Ok(Encoded::Coded(coded.into()))
            }
            Ok(None) => {
                self.counting.useless.add(1);
                tracing::debug!(codec, len, "it would not shrink enough: stored as it is");
                Ok(Encoded::Declined(plain))
            }
            Err(error) => {
                self.counting.failed.add(1);
                Err(error)
            }
        }
    }

    fn decode(&self, coded: Bytes, context: &CodecContext<'_>) -> Result<Bytes> {
        let limit = context.limit.min(self.limit);
        let plain = match &self.algorithm {
            Some(algorithm) => algorithm.decompress(&coded, limit),
            None => Err(Error::new(ErrorKind::Corrupt, "none encodes nothing")),
        };
        match plain {
            Ok(plain) => {
                self.counting.decoded.add(1);
                Ok(plain.into())
            }
            Err(error) => {
                self.counting.refused.add(1);
                Err(error)
            }
        }
    }

    /// All that are compiled in.
    fn relatives(&self) -> Vec<Arc<dyn Codec>> {
        Self::all()
            .into_iter()
            .map(|codec| Arc::new(codec) as Arc<dyn Codec>)
            .collect()
    }
}

impl FromStr for Compress {
    type Err = Error;

    /// As [`Compress::from_name`].
    fn from_str(name: &str) -> Result<Self> {
        Self::from_name(name)
    }
}
