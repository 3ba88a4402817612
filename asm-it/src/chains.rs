//! What records go through.

use std::{fmt, sync::Arc};

use asm_compress::{Compress, Threshold};
use asm_core::{Codec, Timestamp};
use asm_crypt::{KeyId, KeyRing, Seal, SecretKey};
use asm_session::SessionsBuilder;

/// A compressor or none, then a seal or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chain {
    /// One of [`COMPRESSORS`].
    pub compressor: Option<&'static str>,
    /// One of [`SEALS`].
    pub seal: Option<&'static str>,
}

/// The names of all compressors.
pub const COMPRESSORS: &[&str] = &["gzip", "lzf", "lz4", "snappy"];

/// The names of all seals.
pub const SEALS: &[&str] = &["xchacha", "aesgcm"];

/// Each compressor and none, with each seal and none.
#[must_use]
pub fn all() -> Vec<Chain> {
    let with_none = |names: &'static [&'static str]| {
        let names = names.iter().copied().map(Some);
        [None].into_iter().chain(names)
    };
    with_none(COMPRESSORS)
        .flat_map(|compressor| with_none(SEALS).map(move |seal| Chain { compressor, seal }))
        .collect()
}

impl Chain {
    /// Writes through these, and reads what went through any.
    pub fn set_up(self, mut builder: SessionsBuilder) -> SessionsBuilder {
        let written = [self.compressor, self.seal];
        for name in written.into_iter().flatten() {
            builder = builder.codec(codec(name));
        }
        // Its relatives are read anyway, and without a seal there are none.
        if self.seal.is_none() {
            builder = builder.reads(codec(SEALS[0]));
        }
        if let (None, Some(first)) = (self.compressor, COMPRESSORS.first()) {
            builder = builder.reads(codec(first));
        }
        builder
    }

    /// As [`set_up`](Self::set_up), and reads what is not sealed, too.
    pub fn migrating(self, builder: SessionsBuilder) -> SessionsBuilder {
        self.set_up(builder)
            .unsealed_until(Timestamp::from_micros(u64::MAX))
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [compressor, seal] = [self.compressor, self.seal].map(|name| name.unwrap_or("none"));
        write!(f, "{compressor}+{seal}")
    }
}

/// A key that is the same in every process.
///
/// # Panics
/// Never: it is a good one.
#[must_use]
pub fn key(number: u8) -> SecretKey {
    let bytes: Vec<u8> = (0_u32..32)
        .map(|at| (at * at * 29 + at * 101 + u32::from(number) * 57) as u8)
        .collect();
    SecretKey::from_bytes(&bytes).expect("a key")
}

/// A ring of the key of this number.
#[must_use]
pub fn ring(number: u8) -> KeyRing {
    KeyRing::new(KeyId::new(number.into()), &key(number))
}

fn codec(name: &str) -> Arc<dyn Codec> {
    match name {
        "xchacha" => Arc::new(Seal::xchacha(ring(1))),
        "aesgcm" => Arc::new(Seal::aes_gcm(ring(1))),
        // However small: it is to be seen at work.
        other => match Compress::from_name(other) {
            Ok(compressor) => Arc::new(compressor.threshold(Threshold::ALWAYS)),
            Err(error) => panic!("there is no codec {other}: {error}"),
        },
    }
}
