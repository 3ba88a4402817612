//! How records are read and written.

use std::path::{Path, PathBuf};

use asm_compress::Compress;
use asm_crypt::{KeyRing, KeySource, Seal};
use asm_session::SessionsBuilder;
use clap::Args;

use super::wrong;

/// The keys of sealed records. Compressed ones are read in any case.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct Keys {
    /// The file with the keys that seal the records: a line such as `2 BASE64, 1 BASE64`, the one
    /// that writes first. Without it, only records that are not sealed can be read.
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,

    /// The keys are split with the clients.
    #[arg(long, requires = "keys")]
    split: bool,
}

impl Keys {
    pub(super) fn set(&self, builder: SessionsBuilder) -> SessionsBuilder {
        set(builder, Compress::none(), self.keys.as_deref(), self.split)
    }
}

/// With this compressor, and sealed if there are keys.
pub(super) fn set(
    builder: SessionsBuilder,
    compress: Compress,
    keys: Option<&Path>,
    split: bool,
) -> SessionsBuilder {
    let builder = builder.codec(compress);
    let Some(file) = keys else {
        return builder;
    };
    let ring = match KeyRing::from_file(file) {
        Ok(ring) => ring,
        Err(error) => wrong(&format!("{}: {error}", file.display())),
    };
    let source = match split {
        true => KeySource::Split,
        false => KeySource::Server,
    };
    let sealed = builder.codec(Seal::xchacha(ring).key_source(source));
    // Who moves sums moves them as they are.
    sealed.plain_counters(true)
}
