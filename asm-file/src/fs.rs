//! The real file system: descriptors of directories, no path twice, no link followed.

use std::{
    any::Any,
    fs::File,
    io::{self, IoSliceMut, Write},
    os::fd::{AsFd, AsRawFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    buffer::spare_capacity,
    fs::{AtFlags, FileType, FlockOperation, Mode, OFlags, ResolveFlags},
    io::{Errno, ReadWriteFlags},
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
/// A look at a session is no reason to write to the disk.
const TO_READ: OFlags = OFlags::RDONLY.union(OFlags::NOATIME).union(PLAIN);
/// What is larger is not copied on the thread of a caller.
const AT_ONCE: u64 = 64 * 1024;

/// The shards of a root.
#[derive(Debug)]
pub(crate) struct Fs {
    root: OwnedFd,
    patience: Duration,
    shards: Vec<RwLock<Option<Arc<OwnedFd>>>>,
    /// Whether the system can read what is in memory without waiting, as far as is known.
    reads_at_once: AtomicBool,
}

impl Fs {
    /// Of a root that is open. Whoever waits for a shard gives up after `patience`.
    /// `local`: on no other machine's disk, where even a look may have to wait.
    pub(crate) fn new(root: OwnedFd, patience: Duration, local: bool) -> Self {
        Self {
            root,
            patience,
            shards: (0..SHARDS).map(|_| RwLock::default()).collect(),
            reads_at_once: AtomicBool::new(local),
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

    /// A path to a shard, for what takes no descriptor. It leads there whatever the working
    /// directory is, and wherever the root was moved.
    pub(crate) fn path(&self, shard: u8) -> io::Result<(PathBuf, Arc<OwnedFd>)> {
        let open = self.shard(shard)?;
        let path = format!("/proc/self/fd/{}/.", open.as_raw_fd());
        Ok((path.into(), open))
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

    /// Whether somebody has removed a shard behind our back. It is then opened anew the next time.
    fn is_gone(&self, shard: u8, open: &OwnedFd) -> io::Result<bool> {
        let gone = rustix::fs::fstat(open)?.st_nlink == 0;
        if gone {
            let place = &self.shards[usize::from(shard)];
            *place.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        Ok(gone)
    }

    /// The bytes of a file that are in memory, whatever it is that keeps them from being read.
    fn read_in_memory(&self, shard: u8, name: &str, limit: usize) -> Result<Vec<u8>, Errno> {
        let place = self.shards[usize::from(shard)]
            .try_read()
            .map_err(|_| Errno::AGAIN)?;
        let shard = place.as_ref().ok_or(Errno::AGAIN)?;
        let cached = ResolveFlags::CACHED;
        let file = rustix::fs::openat2(shard, name, TO_READ, Mode::empty(), cached)?;
        let size = check_file(&file).map_err(|_| Errno::AGAIN)?;
        if size > AT_ONCE.min(limit as u64) {
            return Err(Errno::AGAIN);
        }
        let mut bytes = vec![0; size as usize];
        let mut place = [IoSliceMut::new(&mut bytes)];
        let read = rustix::io::preadv2(&file, &mut place, 0, ReadWriteFlags::NOWAIT)?;
        if read < bytes.len() {
            return Err(Errno::AGAIN);
        }
        Ok(bytes)
    }
}

impl Disk for Fs {
    /// The directory itself is what is locked: it is there, and nobody removes it while it is
    /// used.
    fn lock(&self, shard: u8) -> io::Result<Box<dyn Any>> {
        loop {
            let section = Section(self.shard(shard)?);
            enter(&section.0, self.patience)?;
            if !self.is_gone(shard, &section.0)? {
                return Ok(Box::new(section));
            }
        }
    }

    fn read(&self, shard: u8, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let file = loop {
            let open = self.shard(shard)?;
            match open_to_read(&open, name) {
                Ok(file) => break file,
                Err(Errno::NOENT) if self.is_gone(shard, &open)? => {}
                Err(Errno::NOENT) => return Ok(None),
                Err(error) => return Err(foreign_if_link(error)),
            }
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

    /// Whatever does not go well is left to [`read`](Self::read).
    fn read_at_once(&self, shard: u8, name: &str, limit: usize) -> Option<Vec<u8>> {
        if !self.reads_at_once.load(Ordering::Relaxed) {
            return None;
        }
        let read = self.read_in_memory(shard, name, limit);
        if matches!(
            read,
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL | Errno::OPNOTSUPP)
        ) {
            // The system does not know how, or is not allowed to.
            self.reads_at_once.store(false, Ordering::Relaxed);
        }
        read.ok()
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
pub(crate) fn enter(directory: &OwnedFd, patience: Duration) -> io::Result<()> {
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

fn open_to_read(shard: &OwnedFd, name: &str) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat(shard, name, TO_READ, Mode::empty()) {
        // It belongs to somebody else, which is not for us to say.
        Err(Errno::PERM) => {
            let flags = TO_READ.difference(OFlags::NOATIME);
            rustix::fs::openat(shard, name, flags, Mode::empty())
        }
        other => other,
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

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::Advice;
    use std::{io::Read, os::unix::fs::symlink};

    const SHARD: u8 = 0xa5;
    const LIMIT: usize = 1 << 20;

    #[test]
    fn what_is_read_at_once_is_what_is_there_and_nothing_else() {
        let place = tempfile::tempdir().expect("a directory");
        let root = open_directory(place.path()).expect("ours");
        let fs = Fs::new(root, Duration::ZERO, true);
        let write = |name, bytes: &[u8]| {
            drop(fs.create(SHARD, name, bytes).expect("written"));
            fs.read(SHARD, name, LIMIT).expect("read").expect("there")
        };
        let small = write("small", b"some bytes");
        let empty = write("empty", b"");
        write("large", &vec![1; AT_ONCE as usize + 1]);
        let shard = place.path().join(directory(SHARD));
        symlink(shard.join("small"), shard.join("link")).expect("a link");
        std::fs::create_dir(shard.join("directory")).expect("made");

        for (name, bytes) in [("small", &small), ("empty", &empty)] {
            // Somebody else's rename may keep the system from telling at once.
            let read = loop {
                let read = fs.read_at_once(SHARD, name, LIMIT);
                if read.is_some() || !fs.reads_at_once.load(Ordering::Relaxed) {
                    break read;
                }
            };
            assert!(read.is_none_or(|read| read == *bytes), "{name}");
        }
        for name in ["large", "link", "directory", "missing"] {
            assert_eq!(fs.read_at_once(SHARD, name, LIMIT), None, "{name}");
        }
        assert_eq!(fs.read_at_once(SHARD, "small", 3), None, "over the limit");
        let network = Fs::new(
            open_directory(place.path()).expect("ours"),
            Duration::ZERO,
            false,
        );
        assert!(network.read(SHARD, "small", LIMIT).is_ok());
        assert_eq!(network.read_at_once(SHARD, "small", LIMIT), None);
    }

    /// The system keeps and forgets by pages what is on a disk; what is in memory alone it keeps.
    #[test]
    fn of_what_is_only_partly_in_memory_no_part_is_read_at_once() {
        let place = tempfile::tempdir().expect("a directory");
        let root = open_directory(place.path()).expect("ours");
        let fs = Fs::new(root, Duration::ZERO, true);
        let bytes = vec![7; AT_ONCE as usize];
        let mut file = fs.create(SHARD, "file", &bytes).expect("written");
        file.sync().expect("synced");
        let mut file = File::open(place.path().join(directory(SHARD)).join("file")).expect("there");
        // It is forgotten, and then the first page is read, and none ahead.
        for advice in [Advice::DontNeed, Advice::Random] {
            rustix::fs::fadvise(&file, 0, None, advice).expect("heard");
        }
        file.read_exact(&mut [0]).expect("a byte");
        let read = fs.read_at_once(SHARD, "file", LIMIT);
        assert!(read.is_none_or(|read| read == bytes), "a part of it");
        let read = fs.read(SHARD, "file", LIMIT).expect("read");
        assert_eq!(read.as_ref(), Some(&bytes));
    }
}
