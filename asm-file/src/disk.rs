//! What the driver asks of a file system.

use std::{any::Any, fmt::Debug, io};

/// What the driver asks of a file system: 256 directories, the *shards*, with files in them.
///
/// [`FileDriver::open`](crate::FileDriver::open) works on the real one. Another one is for tests
/// that break the power, or the disk, between any two operations.
pub trait Disk: Debug + Send + Sync + 'static {
    /// Enters the critical section of a shard: until the answer is dropped, nobody else is in it,
    /// in no process. Called by one thread at a time for each shard.
    ///
    /// # Errors
    /// `TimedOut` when somebody else was in it for too long.
    fn lock(&self, shard: u8) -> io::Result<Box<dyn Any>>;

    /// All bytes of a file, `None` when there is no such file.
    ///
    /// # Errors
    /// `InvalidData` when it is no plain file of ours; `FileTooLarge` when it is larger than the
    /// limit in bytes.
    fn read(&self, shard: u8, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>>;

    /// The same, if there is such a file and it takes no waiting: called where nobody may wait. `None`
    /// says nothing; [`read`](Self::read) is asked then.
    fn read_at_once(&self, shard: u8, name: &str, limit: usize) -> Option<Vec<u8>> {
        let _ = (shard, name, limit);
        None
    }

    /// A new file with these bytes.
    ///
    /// # Errors
    /// `AlreadyExists` when something of this name is there. A failed one may leave a part of the
    /// file.
    fn create(&self, shard: u8, name: &str, bytes: &[u8]) -> io::Result<Box<dyn Fresh>>;

    /// Puts a file in the place of another name.
    ///
    /// # Errors
    /// Those of the system.
    fn rename(&self, shard: u8, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file; `false` when there is none.
    ///
    /// # Errors
    /// Those of the system.
    fn remove(&self, shard: u8, name: &str) -> io::Result<bool>;

    /// Waits until the names of a shard are as durable as they get.
    ///
    /// # Errors
    /// Those of the system.
    fn sync(&self, shard: u8) -> io::Result<()>;

    /// The names in a shard, in no order.
    ///
    /// # Errors
    /// Those of the system.
    fn names(&self, shard: u8, each: &mut dyn FnMut(&str)) -> io::Result<()>;
}

/// A file that was just written.
pub trait Fresh {
    /// Waits until its bytes are as durable as they get.
    ///
    /// # Errors
    /// Those of the system.
    fn sync(&mut self) -> io::Result<()>;
}

/// What an acknowledged change survives. The crate's page has the table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// The end of the process. Nothing is synced.
    Atomic,
    /// Also the end of the machine, as far as that leaves an earlier state whole: bytes are synced
    /// before they get their name, and a deletion is synced.
    #[default]
    Data,
    /// The end of the machine, at any moment: names are synced, too.
    Full,
}
