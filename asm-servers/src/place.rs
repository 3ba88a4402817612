//! Where servers live: directories, ports, and the place that the processes of a run share.

use std::{
    env, fs,
    net::{Ipv4Addr, TcpListener},
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use crate::{Error, Result};

/// A new directory that the warden removes. The path is short: that of a unix socket may have no
/// more than some 100 bytes.
pub(crate) fn new_directory() -> Result<PathBuf> {
    let parent = env::temp_dir();
    tempfile::Builder::new()
        .prefix("asm-servers-")
        .tempdir_in(&parent)
        .map(tempfile::TempDir::keep)
        .map_err(Error::io("make a directory in", parent))
}

/// A port that was free a moment ago.
pub(crate) fn free_port() -> Result<u16> {
    let loopback = TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    loopback
        .and_then(|listener| listener.local_addr())
        .map(|addr| addr.port())
        .map_err(Error::io("bind to a port of", "127.0.0.1"))
}

/// Where the processes of a test run find each other: in the target directory that this program
/// was built into.
pub(crate) fn registry() -> Result<PathBuf> {
    let program = env::current_exe().map_err(Error::io("look for", "this program"))?;
    let target = program.ancestors().find(|path| is_target(path));
    let target = target.ok_or_else(|| {
        Error::Impossible("only what Cargo has built shares servers: no target directory".into())
    })?;
    let registry = target.join("asm-servers");
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&registry)
        .map_err(Error::io("make", &registry))?;
    Ok(registry)
}

/// Cargo marks its target directory, so that backups leave it out.
fn is_target(path: &Path) -> bool {
    path.join("CACHEDIR.TAG").is_file()
}
