//! The drivers that can be chosen on the command line.

use std::{fmt, sync::Arc};

use asm_core::Driver;
use asm_memory::MemoryDriver;
use clap::ValueEnum;

/// A driver's name on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverName {
    /// The memory of this process.
    Memory,
}

impl DriverName {
    /// Fresh storage of this driver.
    pub(crate) fn storage(self) -> Storage {
        match self {
            Self::Memory => Storage::of(MemoryDriver::new()),
        }
    }
}

impl fmt::Display for DriverName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Memory => "memory",
        })
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
}
