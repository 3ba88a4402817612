//! Opening a root: whose it is, what it is, and what time it is there.

use std::{
    fs::{self, DirBuilder, File},
    io::{self, Read, Write},
    os::{
        fd::OwnedFd,
        unix::fs::{DirBuilderExt, MetadataExt},
    },
    path::Path,
    time::Duration,
};

use asm_core::{Clock, Error, ErrorKind, Result, Timestamp};
use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::{
    errors::failed,
    fs::{Fs, OURS, PLAIN, check_file, open_directory},
    time::{MachineClock, wall_clock},
};

/// What says that a directory is a root, and of which format.
const MARKER: &str = "format";
const FORMAT: &str = "asm-file 1\n";
/// What store time is made of.
const CLOCK: &str = "clock";
const NEW: &str = "new";

/// Of file systems that other machines may share: a lock there may hold for one machine alone, and
/// their clocks differ. FUSE does not say what is behind it.
const NETWORK: [i64; 12] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB 2
    0x5346_414f, // AFS
    0x7375_7245, // Coda
    0x00c3_6400, // Ceph
    0x0bd0_0bd0, // Lustre
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
    0x0102_1997, // 9P
    0x6573_5546, // FUSE
];

/// An open root.
pub(crate) struct Root {
    pub(crate) fs: Fs,
    pub(crate) clock: MachineClock,
}

/// Opens a root, or makes one of a directory that is empty or not there.
pub(crate) fn open(path: &Path, network: bool, patience: Duration) -> Result<Root> {
    let mut make = DirBuilder::new();
    make.recursive(true).mode(0o700);
    make.create(path)
        .map_err(|error| failed("making the root", error))?;
    let root = open_directory(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => refused("the root is no directory, or a symbolic link"),
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            refused("the root belongs to somebody else, or others may write to it")
        }
        _ => failed("opening the root", error),
    })?;
    if !network {
        refuse_network(&root)?;
    }
    // One process at a time makes or dates a root.
    rustix::fs::flock(&root, FlockOperation::LockExclusive).map_err(|error| {
        let lacking = Error::new(ErrorKind::Unsupported, "the file system cannot lock");
        lacking.because(io::Error::from(error))
    })?;
    check_marker(&root, path)?;
    let clock = date(&root)?;
    let unlocked = rustix::fs::flock(&root, FlockOperation::Unlock);
    unlocked.map_err(|error| failed("unlocking the root", error.into()))?;
    let fs = Fs::new(root, path.to_owned(), patience);
    fs.make_shards()
        .map_err(|error| failed("making the directories of the root", error))?;
    Ok(Root { fs, clock })
}

/// Which boot of the machine this is; nothing but zeros when it does not tell.
pub(crate) fn boot() -> [u8; 16] {
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16)
        .unwrap_or_default()
        .to_be_bytes()
}

fn refuse_network(root: &OwnedFd) -> Result<()> {
    let found = rustix::fs::fstatfs(root)
        .map_err(|error| failed("asking for the kind of file system", error.into()))?;
    // The type of the field differs between platforms, and its upper half means nothing.
    let kind = found.f_type as i64 & 0xffff_ffff;
    if NETWORK.contains(&kind) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the root is on a network file system: its locks may not hold (see `allow_network`)",
        ));
    }
    Ok(())
}

fn check_marker(root: &OwnedFd, path: &Path) -> Result<()> {
    match read(root, MARKER).map_err(|error| failed("reading the marker of the root", error))? {
        Some(text) if text == FORMAT => Ok(()),
        Some(_) => Err(refused(
            "the root is of another format than this process knows",
        )),
        None => {
            let mut inside =
                fs::read_dir(path).map_err(|error| failed("listing the root", error))?;
            let ours = |name: &str| name == NEW;
            if inside
                .any(|entry| !entry.is_ok_and(|entry| entry.file_name().to_str().is_some_and(ours)))
            {
                return Err(refused("the directory is not empty, and not a root"));
            }
            write(root, MARKER, FORMAT).map_err(|error| failed("marking the root", error))
        }
    }
}

/// Goes on with the clock of this boot, or starts one: at the wall clock's time, and never before
/// the last time that is known.
fn date(root: &OwnedFd) -> Result<MachineClock> {
    let here = Dated {
        boot: u128::from_be_bytes(boot()),
        namespace: fs::metadata("/proc/self/ns/time").map_or(0, |meta| meta.ino()),
        started: 0,
        latest: 0,
    };
    let text = read(root, CLOCK).map_err(|error| failed("reading the clock", error))?;
    let known = text.as_deref().and_then(Dated::parse);
    let clock = match known {
        Some(known) if known.boot == here.boot && known.namespace != here.namespace => {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "the root is used by processes of another time namespace",
            ));
        }
        Some(known) if known.boot == here.boot => {
            MachineClock::booted_at(Timestamp::from_micros(known.started))
        }
        Some(known) => {
            MachineClock::showing(wall_clock().max(Timestamp::from_micros(known.latest)))
        }
        None => MachineClock::showing(wall_clock()),
    };
    let dated = Dated {
        started: clock.boot().as_micros(),
        latest: clock.now().as_micros(),
        ..here
    };
    write(root, CLOCK, &dated.show()).map_err(|error| failed("writing the clock", error))?;
    Ok(clock)
}

/// The file of the clock.
struct Dated {
    boot: u128,
    /// The inode of the time namespace, which may shift the time since the boot.
    namespace: u64,
    /// Store time at the boot.
    started: u64,
    /// Store time when it was written.
    latest: u64,
}

impl Dated {
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_ascii_whitespace();
        Some(Self {
            boot: u128::from_str_radix(words.next()?, 16).ok()?,
            namespace: words.next()?.parse().ok()?,
            started: words.next()?.parse().ok()?,
            latest: words.next()?.parse().ok()?,
        })
    }

    fn show(&self) -> String {
        let Self {
            boot,
            namespace,
            started,
            latest,
        } = self;
        format!("{boot:032x} {namespace} {started} {latest}\n")
    }
}

fn read(root: &OwnedFd, name: &str) -> io::Result<Option<String>> {
    const LIMIT: u64 = 4096;
    let file = match rustix::fs::openat(root, name, OFlags::RDONLY | PLAIN, Mode::empty()) {
        Ok(file) => file,
        Err(rustix::io::Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    check_file(&file)?;
    let mut text = Vec::new();
    File::from(file).take(LIMIT).read_to_end(&mut text)?;
    Ok(Some(String::from_utf8_lossy(&text).into_owned()))
}

fn write(root: &OwnedFd, name: &str, text: &str) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | PLAIN;
    let file = match rustix::fs::openat(root, NEW, flags, OURS) {
        Err(rustix::io::Errno::EXIST) => {
            rustix::fs::unlinkat(root, NEW, rustix::fs::AtFlags::empty())?;
            rustix::fs::openat(root, NEW, flags, OURS)?
        }
        other => other?,
    };
    let mut file = File::from(file);
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    rustix::fs::renameat(root, NEW, root, name)?;
    Ok(rustix::fs::fsync(root)?)
}

fn refused(why: &'static str) -> Error {
    Error::new(ErrorKind::Invalid, why)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_reads_back_and_nothing_else_does() {
        let dated = Dated {
            boot: u128::from_be_bytes(boot()),
            namespace: 4_026_531_834,
            started: 7,
            latest: 1 << 60,
        };
        let read = Dated::parse(&dated.show()).expect("ours");
        assert_eq!((read.boot, read.namespace), (dated.boot, dated.namespace));
        assert_eq!((read.started, read.latest), (dated.started, dated.latest));
        for foreign in ["", "ab", "zz 1 2 3", "ab -1 2 3", "ab 1 2"] {
            assert!(Dated::parse(foreign).is_none(), "{foreign:?}");
        }
    }

    #[test]
    fn a_new_boot_goes_on_where_the_old_one_ended_at_least() {
        let place = tempfile::tempdir().expect("a directory");
        let root = open_directory(place.path()).expect("ours");
        let future = wall_clock() + Duration::from_secs(1_000_000);
        let old = Dated {
            boot: 1,
            namespace: 1,
            started: 5,
            latest: future.as_micros(),
        };
        write(&root, CLOCK, &old.show()).expect("written");
        let clock = date(&root).expect("dated");
        assert!(clock.now() >= future);
        // The same boot goes on with the same clock.
        assert_eq!(date(&root).expect("dated").boot(), clock.boot());
        // Without a known time it is the wall clock's.
        write(&root, CLOCK, "torn").expect("written");
        assert!(date(&root).expect("dated").now() < future);
    }
}
