//! The drivers that can be chosen on the command line.

use std::{ffi::OsStr, fmt, path::PathBuf, str::FromStr, sync::Arc};

use asm_core::{Driver, Result, Shared};
use asm_file::FileDriver;
use asm_memory::MemoryDriver;
use asm_redis::RedisDriver;
use clap::{
    Arg, Command,
    builder::{TypedValueParser, ValueParserFactory},
    error::ErrorKind,
};

/// A driver, as it is named on the command line.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum DriverName {
    /// The memory of this process.
    Memory,
    /// The files of this directory.
    File(PathBuf),
    /// The servers of this URL, and what names there begin with, behind a `#`.
    Redis(String),
}

const FORMS: &str = "a driver is `memory`, `file:PATH`, or the URL of a server such as \
    `redis://HOST:PORT`, with `#PREFIX` behind it unless names there begin with `asm`";

impl DriverName {
    /// The storage of this driver: fresh in memory, elsewhere what is there.
    pub(crate) async fn storage(&self) -> Result<Storage> {
        Ok(match self {
            Self::Memory => Storage::of(MemoryDriver::new()),
            Self::File(root) => Storage::of(FileDriver::open(root)?),
            Self::Redis(url) => {
                let driver = redis(url).await?;
                let counted = driver.clone();
                Storage {
                    calls: Some(Arc::new(move || counted.counters().calls)),
                    ..Storage::of(driver)
                }
            }
        })
    }

    /// The storage that is there already, for operators: nothing is made.
    pub(crate) async fn existing(&self) -> Result<Arc<dyn Driver>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryDriver::new()),
            Self::File(root) => Arc::new(FileDriver::builder(root).existing().build()?),
            Self::Redis(url) => Arc::new(redis(url).await?),
        })
    }

    /// As it is named on the command line, with its password if it has one.
    pub(crate) fn spelled(&self) -> String {
        match self {
            Self::Redis(url) => url.clone(),
            other => other.to_string(),
        }
    }
}

async fn redis(url: &str) -> Result<RedisDriver> {
    let (url, prefix) = url.split_once('#').unwrap_or((url, "asm"));
    let builder = RedisDriver::builder().url(url).prefix(prefix);
    builder.connect().await
}

impl FromStr for DriverName {
    type Err = &'static str;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name.split_once(':') {
            None if name == "memory" => Ok(Self::Memory),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            Some((scheme, _)) if scheme.starts_with("redis") || scheme.starts_with("valkey") => {
                Ok(Self::Redis(name.to_owned()))
            }
            _ => Err(FORMS),
        }
    }
}

/// Reads it from the command line. An error does not repeat what was given: there may be a password
/// in it.
#[derive(Clone)]
pub(crate) struct DriverNameParser;

impl TypedValueParser for DriverNameParser {
    type Value = DriverName;

    fn parse_ref(
        &self,
        cmd: &Command,
        arg: Option<&Arg>,
        value: &OsStr,
    ) -> Result<DriverName, clap::Error> {
        let parsed = value.to_str().ok_or(FORMS).and_then(DriverName::from_str);
        parsed.map_err(|why| {
            let arg = arg.map(|arg| format!("{arg}: ")).unwrap_or_default();
            let why = format!("{arg}{why}");
            cmd.clone().error(ErrorKind::ValueValidation, why)
        })
    }
}

impl ValueParserFactory for DriverName {
    type Parser = DriverNameParser;

    fn value_parser() -> DriverNameParser {
        DriverNameParser
    }
}

impl fmt::Debug for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::File(root) => write!(f, "file:{}", root.display()),
            Self::Redis(url) => f.write_str(&without_login(url)),
        }
    }
}

/// The URL without user and password, which may stand before its host or in its query.
fn without_login(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let place = &rest[..rest.find('?').unwrap_or(rest.len())];
    match place.rsplit_once('@') {
        Some((_, place)) => format!("{scheme}://{place}"),
        // A login in which something is not escaped.
        None if rest.contains('@') => format!("{scheme}://..."),
        None => format!("{scheme}://{place}"),
    }
}

/// Where sessions are, and how to get at them.
#[derive(Clone)]
pub(crate) struct Storage {
    connect: Arc<dyn Fn() -> Arc<dyn Driver> + Send + Sync>,
    /// How often its handle has asked a server.
    calls: Option<Arc<dyn Fn() -> u64 + Send + Sync>>,
}

impl Storage {
    /// The storage that this driver and its clones are handles on.
    pub(crate) fn of<D: Driver + Clone>(driver: D) -> Self {
        Self {
            connect: Arc::new(move || Arc::new(driver.clone())),
            calls: None,
        }
    }

    /// A further handle, as another process would have it.
    pub(crate) fn connect(&self) -> Arc<dyn Driver> {
        (self.connect)()
    }

    /// How often its handle has asked a server, if it has one and tells.
    pub(crate) fn calls(&self) -> Option<u64> {
        self.calls.as_ref().map(|calls| calls())
    }

    /// Whether other processes see the same sessions.
    pub(crate) fn is_shared(&self) -> bool {
        self.connect().info().shared != Shared::Process
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_passed_on_and_not_shown() {
        for (url, shown) in [
            ("redis://ann:secret@db:7000/3", "redis://db:7000/3"),
            ("valkey://:se?cret@db", "valkey://..."),
            (
                "redis+unix:///run/redis.sock?user=ann&pass=secret",
                "redis+unix:///run/redis.sock",
            ),
        ] {
            let name: DriverName = url.parse().expect("a driver");
            assert_eq!(name.spelled(), url);
            assert_eq!(name.to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_driver_is_not_repeated() {
        let (cmd, wrong) = (Command::new("asm-demo"), OsStr::new("http://ann:secret@db"));
        let error = DriverNameParser.parse_ref(&cmd, None, wrong).unwrap_err();
        let told = error.to_string();
        assert!(told.contains("redis://HOST:PORT"), "{told}");
        assert!(!told.contains("secret"), "{told}");
    }
}
