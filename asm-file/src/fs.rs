//! The real file system: descriptors of directories, no path twice, no link followed.

use std::{
    any::Any,
    fs::File,
    io::{self, Write},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{Arc, PoisonError, RwLock},
    thread,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags},
    io::Errno,
};

use crate::disk::{Disk, Fresh};

/// How many directories there are.
pub(crate) const SHARDS: usize = 256;

const DIRECTORY: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// A pipe must not make us wait, nor a terminal become ours.
pub(crate) const PLAIN: OFlags = OFlags::NOFOLLOW
    .union(OFlags::CLOEXEC)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY);
pub(crate) const OURS: Mode = Mode::RUSR.union(Mode::WUSR);
const OUR_DIRECTORY: Mode = Mode::RWXU;
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// The shards of a root.
#[derive(Debug)]
pub(crate) struct Fs {
    root: OwnedFd,
    path: PathBuf,
    patience: Duration,
    shards: Vec<RwLock<Option<Arc<OwnedFd>>>>,
}

impl Fs {
    /// Of a root that is open. Whoever waits for a shard gives up after `patience`.
    pub(crate) fn new(root: OwnedFd, path: PathBuf, patience: Duration) -> Self {
        Self {
            root,
            path,
            patience,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
        }
    }

    /// Makes the shards that are not there.
    pub(crate) fn make_shards(&self) -> io::Result<()> {
        for shard in 0..=u8::MAX {
            match rustix::fs::mkdirat(&self.root, directory(shard), OUR_DIRECTORY) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(rustix::fs::fsync(&self.root)?)
    }

    /// Where a shard is.
    pub(crate) fn path(&self, shard: u8) -> PathBuf {
        self.path.join(directory(shard))
    }

    /// The directory of a shard. It stays open.
    pub(crate) fn shard(&self, shard: u8) -> io::Result<Arc<OwnedFd>> {
        let place = &self.shards[usize::from(shard)];
        if let Some(open) = &*place.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(open));
        }
        let mut place = place.write().unwrap_or_else(PoisonError::into_inner);
        let open = Arc::new(self.open_shard(shard)?);
        *place = Some(Arc::clone(&open));
        Ok(open)
    }

    fn open_shard(&self, shard: u8) -> io::Result<OwnedFd> {
        let name = directory(shard);
        let open = match rustix::fs::openat(&self.root, &name, DIRECTORY, Mode::empty()) {
            Err(Errno::NOENT) => {
                rustix::fs::mkdirat(&self.root, &name, OUR_DIRECTORY)?;
                rustix::fs::openat(&self.root, &name, DIRECTORY, Mode::empty())
            }
            other => other,
        };
        let open = open.map_err(foreign_if_link)?;
        check_directory(&open)?;
        Ok(open)
    }

    fn forget(&self, shard: u8) {
        let place = &self.shards[usize::from(shard)];
        *place.write().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Disk for Fs {
    /// The directory itself is what is locked: it is there, and nobody removes it while it is
    /// used.
    fn lock(&self, shard: u8) -> io::Result<Box<dyn Any>> {
        loop {
            let section = Section(self.shard(shard)?);
            enter(&section.0, self.patience)?;
            // Somebody may have removed the shard, with all that was in it, behind our back.
            if rustix::fs::fstat(&section.0)?.st_nlink > 0 {
                return Ok(Box::new(section));
            }
            self.forget(shard);
        }
    }

    fn read(&self, shard: u8, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let shard = self.shard(shard)?;
        let file = match rustix::fs::openat(&shard, name, OFlags::RDONLY | PLAIN, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(foreign_if_link(error)),
        };
        let size = check_file(&file)?;
        if size > limit as u64 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let size = size as usize;
        let mut bytes = Vec::with_capacity(size + 1);
        while bytes.len() < size && rustix::io::read(&file, spare_capacity(&mut bytes))? > 0 {}
        Ok(Some(bytes))
    }

    fn create(&self, shard: u8, name: &str, bytes: &[u8]) -> io::Result<Box<dyn Fresh>> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | PLAIN;
        let file = rustix::fs::openat(self.shard(shard)?, name, flags, OURS)?;
        let mut file = File::from(file);
        file.write_all(bytes)?;
        Ok(Box::new(file))
    }

    fn rename(&self, shard: u8, from: &str, to: &str) -> io::Result<()> {
        let shard = self.shard(shard)?;
        Ok(rustix::fs::renameat(&shard, from, &shard, to)?)
    }

    fn remove(&self, shard: u8, name: &str) -> io::Result<bool> {
        match rustix::fs::unlinkat(self.shard(shard)?, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self, shard: u8) -> io::Result<()> {
        Ok(rustix::fs::fsync(self.shard(shard)?)?)
    }

    fn names(&self, shard: u8, each: &mut dyn FnMut(&str)) -> io::Result<()> {
        for entry in rustix::fs::Dir::read_from(self.shard(shard)?)? {
            // What is not text is not ours.
            if let Ok(name) = entry?.file_name().to_str() {
                each(name);
            }
        }
        Ok(())
    }
}

impl Fresh for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_all()
    }
}

/// A locked directory.
struct Section(Arc<OwnedFd>);

impl Drop for Section {
    fn drop(&mut self) {
        // Fails only for a descriptor that is none.
        let _ = rustix::fs::flock(&self.0, FlockOperation::Unlock);
    }
}

/// Asks again and again, for longer and longer spans: a lock that is asked for with patience cannot
/// be given up on.
fn enter(directory: &OwnedFd, patience: Duration) -> io::Result<()> {
    const SHORTEST: Duration = Duration::from_micros(50);
    const LONGEST: Duration = Duration::from_millis(2);
    let (mut began, mut nap) = (None, SHORTEST);
    loop {
        match rustix::fs::flock(directory, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => {}
            other => return Ok(other?),
        }
        let began = *began.get_or_insert_with(Instant::now);
        if began.elapsed() >= patience {
            return Err(io::ErrorKind::TimedOut.into());
        }
        #[expect(
            clippy::disallowed_methods,
            reason = "it is real time that others take"
        )]
        thread::sleep(nap);
        nap = (nap * 2).min(LONGEST);
    }
}

/// Opens a directory without following a link, and checks that it is ours alone.
pub(crate) fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let open = rustix::fs::open(path, DIRECTORY, Mode::empty()).map_err(foreign_if_link)?;
    check_directory(&open)?;
    Ok(open)
}

fn check_directory(open: &OwnedFd) -> io::Result<()> {
    let stat = rustix::fs::fstat(open)?;
    if stat.st_uid != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "the directory belongs to somebody else",
        ));
    }
    if stat.st_mode & WRITABLE_BY_OTHERS != 0 {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            "others may write to the directory",
        ));
    }
    Ok(())
}

/// The size of a plain file that is ours.
pub(crate) fn check_file(file: impl AsFd) -> io::Result<u64> {
    let stat = rustix::fs::fstat(file)?;
    let ours = stat.st_uid == rustix::process::geteuid().as_raw();
    if !ours || FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(stat.st_size as u64)
}

/// A link, a socket or a device where a file of ours should be is a foreign thing, not a failure.
pub(crate) fn foreign_if_link(error: Errno) -> io::Error {
    match error {
        Errno::LOOP | Errno::NXIO | Errno::NODEV | Errno::NOTDIR | Errno::ISDIR => {
            io::Error::new(io::ErrorKind::InvalidData, io::Error::from(error))
        }
        other => other.into(),
    }
}

fn directory(shard: u8) -> String {
    format!("{shard:02x}")
}
