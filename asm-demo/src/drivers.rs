//! The drivers that can be chosen on the command line.

use std::{fmt, path::PathBuf, str::FromStr, sync::Arc};

use asm_core::{Driver, Result, Shared};
use asm_file::FileDriver;
use asm_memory::MemoryDriver;

/// A driver, as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum DriverName {
    /// The memory of this process.
    Memory,
    /// The files of this directory.
    File(PathBuf),
}

impl DriverName {
    /// The storage of this driver: fresh in memory, elsewhere what is there.
    pub(crate) fn storage(&self) -> Result<Storage> {
        Ok(match self {
            Self::Memory => Storage::of(MemoryDriver::new()),
            Self::File(root) => Storage::of(FileDriver::open(root)?),
        })
    }

    /// The storage that is there already, for operators: nothing is made.
    pub(crate) fn existing(&self) -> Result<Arc<dyn Driver>> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryDriver::new()),
            Self::File(root) => Arc::new(FileDriver::builder(root).existing().build()?),
        })
    }
}

impl FromStr for DriverName {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name.split_once(':') {
            None if name == "memory" => Ok(Self::Memory),
            Some(("file", path)) if !path.is_empty() => Ok(Self::File(path.into())),
            _ => Err("a driver is `memory` or `file:PATH`".into()),
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::File(root) => write!(f, "file:{}", root.display()),
        }
    }
}

/// Where sessions are, and how to get at them.
pub(crate) struct Storage {
    connect: Box<dyn Fn() -> Arc<dyn Driver>>,
}

impl Storage {
    /// The storage that this driver and its clones are handles on.
    pub(crate) fn of<D: Driver + Clone>(driver: D) -> Self {
        Self {
            connect: Box::new(move || Arc::new(driver.clone())),
        }
    }

    /// A further handle, as another process would have it.
    pub(crate) fn connect(&self) -> Arc<dyn Driver> {
        (self.connect)()
    }

    /// Whether other processes see the same sessions.
    pub(crate) fn is_shared(&self) -> bool {
        self.connect().info().shared != Shared::Process
    }
}
