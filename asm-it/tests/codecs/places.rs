//! Where sessions are stored.

use std::{fmt::Debug, sync::Arc, time::Duration};

use asm_core::Driver;
use asm_file::{Durability, FileDriver};
use asm_memory::MemoryDriver;
use asm_redis::RedisDriver;
use asm_servers::{Error, Server};
use tempfile::TempDir;

/// What a busy machine may take for a call: nothing here is about deadlines.
pub(crate) const PATIENCE: Duration = Duration::from_secs(600);

/// A storage of its own, which is gone when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    /// Which driver it is.
    pub(crate) name: &'static str,
    driver: Arc<dyn Driver>,
    /// What ends with it.
    _root: Option<TempDir>,
    _server: Option<Server>,
}

impl Place {
    /// Another handle on the same storage.
    pub(crate) fn driver(&self) -> Arc<dyn Driver> {
        Arc::clone(&self.driver)
    }

    /// In the memory of this process.
    pub(crate) fn memory() -> Self {
        Self {
            name: "memory",
            driver: Arc::new(MemoryDriver::new()),
            _root: None,
            _server: None,
        }
    }
}

/// An empty one of each driver. Where no server is installed it is said, and left out.
pub(crate) async fn all() -> Vec<Place> {
    let here = [Place::memory(), file()];
    here.into_iter().chain(redis().await).collect()
}

/// In files.
pub(crate) fn file() -> Place {
    let root = tempfile::tempdir().expect("a directory");
    let driver = FileDriver::builder(root.path())
        .durability(Durability::Atomic)
        .patience(PATIENCE);
    Place {
        name: "file",
        driver: Arc::new(driver.build().expect("a driver")),
        _root: Some(root),
        _server: None,
    }
}

/// On a server of its own. `None`, and it is said, where none is installed.
pub(crate) async fn redis() -> Option<Place> {
    let server = match Server::start() {
        Ok(server) => server,
        Err(error @ Error::Missing) => {
            println!("left out: {error}");
            return None;
        }
        Err(error) => panic!("a server does not start: {error}"),
    };
    let driver = RedisDriver::builder()
        .url(server.url())
        .deadline(PATIENCE)
        .connect_timeout(PATIENCE);
    let driver = driver.connect().await;
    Some(Place {
        name: "redis",
        driver: Arc::new(driver.expect("a driver")),
        _root: None,
        _server: Some(server),
    })
}
