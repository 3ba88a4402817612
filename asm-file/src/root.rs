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
    fs::{Fs, OURS, PLAIN, check_file, enter, open_directory},
    time::{MachineClock, wall_clock},
};

/// What says that a directory is a root, and of which format.
const MARKER: &str = "format";
const FORMAT: &str = "asm-file 1\n";
/// What store time is made of.
const CLOCK: &str = "clock";
const NEW: &str = "new";
const NO_ROOT: &str = "there is no root here";

/// Of file systems that other machines may share: a lock there may hold for one machine alone, and
/// their clocks differ. FUSE does not say what is behind it.
const NETWORK: [i64; 19] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB 2
    0x5346_414f, // AFS
    0x6b41_4653, // the kernel's AFS
    0x564c,      // NCP
    0x7375_7245, // Coda
    0x00c3_6400, // Ceph
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
    0x1983_0326, // BeeGFS
    0xaad7_aaea, // PanFS
    0x0116_1970, // GFS2
    0x7461_636f, // OCFS2
    0x0102_1997, // 9P
    0xbacb_acbc, // VMware's shared folders
    0x786f_4256, // VirtualBox's
    0x6573_5546, // FUSE
];

/// How a root is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Opening {
    /// Also on a network file system.
    pub(crate) network: bool,
    /// Only if it is there.
    pub(crate) existing: bool,
    /// How long to wait for another process, here and later for a shard.
    pub(crate) patience: Duration,
}

/// An open root.
pub(crate) struct Root {
    pub(crate) fs: Fs,
    pub(crate) clock: MachineClock,
}

/// Opens a root, or makes one of a directory that is empty or not there.
pub(crate) fn open(path: &Path, how: &Opening) -> Result<Root> {
    if !how.existing {
        let mut make = DirBuilder::new();
        let made = make.recursive(true).mode(0o700).create(path);
        made.map_err(|error| failed("making the root", error))?;
    }
    let root = open_directory(path).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => refused("the root is no directory, or a symbolic link"),
        io::ErrorKind::PermissionDenied if error.raw_os_error().is_none() => {
            refused("the root belongs to somebody else, or others may write to it")
        }
        io::ErrorKind::NotFound => refused(NO_ROOT),
        _ => failed("opening the root", error),
    })?;
    if !how.network {
        refuse_network(&root)?;
    }
    // One process at a time makes or dates a root.
    enter(&root, how.patience).map_err(|error| match error.kind() {
        io::ErrorKind::TimedOut => failed("waiting for another process to open the root", error),
        _ => Error::new(ErrorKind::Unsupported, "the file system cannot lock").because(error),
    })?;
    check_marker(&root, how.existing)?;
    let clock = date(&root, boot()?)?;
    let unlocked = rustix::fs::flock(&root, FlockOperation::Unlock);
    unlocked.map_err(|error| failed("unlocking the root", error.into()))?;
    let fs = Fs::new(root, how.patience, !how.network);
    fs.make_shards()
        .map_err(|error| failed("making the directories of the root", error))?;
    Ok(Root { fs, clock })
}

/// Which boot of the machine this is. Without it, the time of an old boot would be taken for this
/// one's, and so would its locks.
pub(crate) fn boot() -> Result<u128> {
    let unknown = |error: io::Error| {
        let what = "the system does not tell which boot this is (is /proc there?)";
        Error::new(ErrorKind::Unsupported, what).because(error)
    };
    let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").map_err(unknown)?;
    parse_boot(&text).ok_or_else(|| unknown(io::ErrorKind::InvalidData.into()))
}

/// A UUID.
fn parse_boot(text: &str) -> Option<u128> {
    let digits = text.trim().replace('-', "");
    let boot = u128::from_str_radix(&digits, 16);
    boot.ok().filter(|boot| digits.len() == 32 && *boot != 0)
}

fn refuse_network(root: &OwnedFd) -> Result<()> {
    let found = rustix::fs::fstatfs(root)
        .map_err(|error| failed("asking for the kind of file system", error.into()))?;
    // The type of the field differs between platforms.
    if is_network(found.f_type as i64) {
        return Err(Error::new(
            ErrorKind::Unsupported,
            "the root is on a network file system: its locks may not hold (see `allow_network`)",
        ));
    }
    Ok(())
}

/// The upper half of what the system says means nothing.
fn is_network(kind: i64) -> bool {
    NETWORK.contains(&(kind & 0xffff_ffff))
}

fn check_marker(root: &OwnedFd, existing: bool) -> Result<()> {
    match read(root, MARKER).map_err(|error| failed("reading the marker of the root", error))? {
        Some(text) if text == FORMAT => Ok(()),
        Some(_) => Err(refused(
            "the root is of another format than this process knows",
        )),
        None if existing => Err(refused(NO_ROOT)),
        None => {
            let empty = is_empty(root);
            if !empty.map_err(|error| failed("listing the root", error))? {
                return Err(refused("the directory is not empty, and not a root"));
            }
            write(root, MARKER, FORMAT).map_err(|error| failed("marking the root", error))
        }
    }
}

/// Whether there is nothing but what one leaves who dies while it makes a root.
fn is_empty(root: &OwnedFd) -> io::Result<bool> {
    for entry in rustix::fs::Dir::read_from(root)? {
        if ![".", "..", NEW]
            .map(str::as_bytes)
            .contains(&entry?.file_name().to_bytes())
        {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Goes on with the clock of this boot, or starts one: at the wall clock's time, and never before
/// the last time that is known.
fn date(root: &OwnedFd, boot: u128) -> Result<MachineClock> {
    let here = Dated {
        boot,
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
            boot: boot().expect("/proc"),
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
        let boot = boot().expect("/proc");
        let dated = || date(&root, boot).expect("dated");
        let clock = dated();
        assert!(clock.now() >= future);
        // The same boot goes on with the same clock.
        assert_eq!(dated().boot(), clock.boot());
        // Without a known time it is the wall clock's.
        write(&root, CLOCK, "torn").expect("written");
        assert!(dated().now() < future);
    }

    /// Its time since the boot may be another one.
    #[test]
    fn a_clock_of_another_time_namespace_is_not_gone_on_with() {
        let place = tempfile::tempdir().expect("a directory");
        let root = open_directory(place.path()).expect("ours");
        let boot = boot().expect("/proc");
        date(&root, boot).expect("dated");
        let ours = read(&root, CLOCK).expect("read").expect("written");
        let ours = Dated::parse(&ours).expect("ours");
        let other = Dated {
            namespace: ours.namespace + 1,
            ..ours
        };
        write(&root, CLOCK, &other.show()).expect("written");
        let error = date(&root, boot).expect_err("another namespace");
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        let kept = read(&root, CLOCK).expect("read");
        assert_eq!(kept, Some(other.show()));
    }

    #[test]
    fn a_boot_is_a_uuid_and_nothing_else_is() {
        let uuid = "6b1f2a3c-0000-4000-8000-00000000000f\n";
        let known = 0x6b1f_2a3c_0000_4000_8000_0000_0000_000f;
        assert_eq!(parse_boot(uuid), Some(known));
        let nothing = "00000000-0000-0000-0000-000000000000";
        for foreign in ["", "6b1f2a3c", nothing, &uuid.replace('6', "g")] {
            assert_eq!(parse_boot(foreign), None, "{foreign:?}");
        }
        let here = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("/proc");
        assert_eq!(boot().ok(), parse_boot(&here));
    }

    #[test]
    fn a_network_is_told_from_a_disk() {
        for network in [0x6969, 0xff53_4d42, -0x00ac_b2be, 0x6573_5546] {
            assert!(is_network(network), "{network:x}");
        }
        // ext, xfs, btrfs, tmpfs, overlayfs.
        for disk in [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994, 0x794c_7630] {
            assert!(!is_network(disk), "{disk:x}");
        }
    }

    /// Whoever was stopped while it opened the root does not keep the others waiting for ever.
    #[test]
    fn a_root_that_somebody_is_opening_is_waited_for_with_patience() {
        let place = tempfile::tempdir().expect("a directory");
        let other = open_directory(place.path()).expect("ours");
        rustix::fs::flock(&other, FlockOperation::LockExclusive).expect("locked");
        let how = Opening {
            network: false,
            existing: false,
            patience: Duration::ZERO,
        };
        let error = open(place.path(), &how).err();
        assert_eq!(
            error.map(|error| error.kind()),
            Some(ErrorKind::Unavailable)
        );
        rustix::fs::flock(&other, FlockOperation::Unlock).expect("unlocked");
        assert!(open(place.path(), &how).is_ok());
    }
}
