//! Which server is installed.

use std::{env, path::PathBuf, process::Command, sync::OnceLock};

use crate::{Error, Result};

/// The server program that is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    path: PathBuf,
    version: (u32, u32),
}

impl Program {
    /// `redis-server`, and where it is missing `valkey-server`.
    ///
    /// # Errors
    /// [`Error::Missing`] when neither is there in a version that is new enough. Its text says how
    /// to install one.
    pub fn found() -> Result<&'static Self> {
        static FOUND: OnceLock<Option<Program>> = OnceLock::new();
        FOUND
            .get_or_init(|| {
                ["redis-server", "valkey-server"]
                    .into_iter()
                    .find_map(Self::named)
            })
            .as_ref()
            .ok_or(Error::Missing)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// Its version: major, minor.
    #[must_use]
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Whether it is Valkey.
    #[must_use]
    pub fn is_valkey(&self) -> bool {
        self.path.ends_with("valkey-server")
    }

    fn named(name: &str) -> Option<Self> {
        // Debian keeps servers where an ordinary user's PATH does not lead.
        let paths = env::var_os("PATH").unwrap_or_default();
        let path = env::split_paths(&paths)
            .chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from))
            .map(|directory| directory.join(name))
            .find(|path| path.is_file())?;
        let output = Command::new(&path).arg("--version").output().ok()?;
        let version = version_in(&String::from_utf8_lossy(&output.stdout))?;
        (version >= (7, 0)).then_some(Self { path, version })
    }
}

/// The version in `Redis server v=7.0.15 sha=...`.
fn version_in(text: &str) -> Option<(u32, u32)> {
    let (_, rest) = text.split_once("v=")?;
    let mut parts = rest.split(|char: char| !char.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_servers_say_of_themselves() {
        for (text, version) in [
            (
                "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64",
                Some((7, 0)),
            ),
            ("Valkey server v=8.1.1 sha=00000000:0", Some((8, 1))),
            ("something else", None),
        ] {
            assert_eq!(version_in(text), version, "{text}");
        }
    }
}
