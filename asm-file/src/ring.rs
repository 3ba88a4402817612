//! The changes of the sessions of one shard, for those who follow one of them.
//!
//! A file of fixed size beside the sessions: the newest changes, the oldest overwritten first.
//! Whoever follows a session of the shard has the file open under a shared lock; a writer who finds
//! it locked by nobody removes it. It is written inside of the shard's critical section and read
//! outside, so each entry has a number and a checksum. Nothing of it needs to survive anything.

use std::{io, os::fd::OwnedFd};

use asm_core::{Change, Epoch, Key, OpId, Version};
use bytes::{Buf, BufMut};
use rustix::{
    fs::{AtFlags, FlockOperation, Mode, OFlags},
    io::{Errno, pread, pwrite},
};

use crate::fs::{OURS, PLAIN, check_file};

/// The name of the file.
pub(crate) const NAME: &str = "feed";

const MAGIC: [u8; 8] = *b"asmfeed1";
/// Magic, and the number of the next entry.
const HEADER: usize = 16;
/// How many changes are kept.
pub(crate) const ENTRIES: u64 = 1024;
const ENTRY: usize = 64;

/// A change, and the session it happened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct News {
    pub(crate) key: Key,
    pub(crate) change: Change,
    /// The one after the change.
    pub(crate) epoch: Epoch,
}

/// A follower's end.
#[derive(Debug)]
pub(crate) struct Ring {
    file: OwnedFd,
    /// The number of the next entry to read.
    next: u64,
}

impl Ring {
    /// Follows from now on. In the critical section.
    pub(crate) fn follow(shard: &OwnedFd) -> io::Result<Self> {
        let flags = OFlags::RDWR | OFlags::CREATE | PLAIN;
        let file = rustix::fs::openat(shard, NAME, flags, OURS)?;
        check_alone(&file)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared)?;
        let next = match next(&file)? {
            Some(next) => next,
            None => {
                rustix::fs::ftruncate(&file, 0)?;
                set_next(&file, 0)?;
                0
            }
        };
        Ok(Self { file, next })
    }

    /// Hands over what has happened since the last time; `false` when some of it was overwritten
    /// before it was read.
    pub(crate) fn read(&mut self, mut tell: impl FnMut(News)) -> io::Result<bool> {
        let end = next(&self.file)?.unwrap_or(self.next);
        let mut complete = end >= self.next && end - self.next <= ENTRIES;
        if !complete {
            self.next = end.saturating_sub(ENTRIES);
        }
        while self.next < end {
            let mut bytes = [0; ENTRY];
            let read = pread(&self.file, &mut bytes, place(self.next))?;
            match decode(&bytes[..read], self.next) {
                Some(news) => tell(news),
                None => complete = false,
            }
            self.next += 1;
        }
        Ok(complete)
    }
}

/// Tells those who follow, if anybody does. In the critical section.
pub(crate) fn tell(shard: &OwnedFd, news: &News) -> io::Result<()> {
    let file = match rustix::fs::openat(shard, NAME, OFlags::RDWR | PLAIN, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    check_alone(&file)?;
    if is_followed(&file)? {
        let next = next(&file)?.unwrap_or_default();
        pwrite(&file, &encode(news, next), place(next))?;
        set_next(&file, next + 1)
    } else {
        remove(shard)
    }
}

/// Removes the file if nobody follows; whether it did. In the critical section.
pub(crate) fn clean(shard: &OwnedFd) -> io::Result<bool> {
    let file = match rustix::fs::openat(shard, NAME, OFlags::RDONLY | PLAIN, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    if is_followed(&file)? {
        return Ok(false);
    }
    remove(shard)?;
    Ok(true)
}

fn remove(shard: &OwnedFd) -> io::Result<()> {
    Ok(rustix::fs::unlinkat(shard, NAME, AtFlags::empty())?)
}

fn is_followed(file: &OwnedFd) -> io::Result<bool> {
    match rustix::fs::flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(false),
        Err(Errno::WOULDBLOCK) => Ok(true),
        Err(error) => Err(error.into()),
    }
}

/// The one file that is written in place: nothing else may be behind its name.
fn check_alone(file: &OwnedFd) -> io::Result<()> {
    check_file(file)?;
    if rustix::fs::fstat(file)?.st_nlink > 1 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(())
}

fn next(file: &OwnedFd) -> io::Result<Option<u64>> {
    let mut header = [0; HEADER];
    let read = pread(file, &mut header, 0)?;
    let ours = read == HEADER && header[..8] == MAGIC;
    Ok(ours.then(|| (&header[8..]).get_u64()))
}

fn set_next(file: &OwnedFd, next: u64) -> io::Result<()> {
    let mut header = Vec::with_capacity(HEADER);
    header.put_slice(&MAGIC);
    header.put_u64(next);
    pwrite(file, &header, 0)?;
    Ok(())
}

fn place(number: u64) -> u64 {
    HEADER as u64 + number % ENTRIES * ENTRY as u64
}

const SAVED: u8 = 1;
const ROTATED: u8 = 2;
const ENDED: u8 = 3;

fn encode(news: &News, number: u64) -> Vec<u8> {
    let nothing = Version {
        number: 0,
        op: OpId::from_bytes([0; OpId::LEN]),
    };
    let (kind, version) = match news.change {
        Change::Saved(version) => (SAVED, version),
        Change::Rotated(version) => (ROTATED, version),
        _ => (ENDED, nothing),
    };
    let mut bytes = Vec::with_capacity(ENTRY);
    bytes.put_u32(0);
    bytes.put_u8(kind);
    bytes.put_u64(number);
    bytes.put_slice(news.key.as_bytes());
    bytes.put_u64(version.number);
    bytes.put_slice(version.op.as_bytes());
    bytes.put_u64(news.epoch.get());
    bytes.resize(ENTRY, 0);
    let sum = crc32fast::hash(&bytes[4..]);
    bytes[..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8], number: u64) -> Option<News> {
    let mut bytes: &[u8] = bytes.first_chunk::<ENTRY>()?;
    if bytes.get_u32() != crc32fast::hash(bytes) {
        return None;
    }
    let kind = bytes.get_u8();
    if bytes.get_u64() != number {
        return None;
    }
    let mut key = [0; Key::LEN];
    bytes.copy_to_slice(&mut key);
    let count = bytes.get_u64();
    let mut op = [0; OpId::LEN];
    bytes.copy_to_slice(&mut op);
    let version = Version {
        number: count,
        op: OpId::from_bytes(op),
    };
    let change = match kind {
        SAVED => Change::Saved(version),
        ROTATED => Change::Rotated(version),
        ENDED => Change::Ended,
        _ => return None,
    };
    Some(News {
        key: Key::from_bytes(key),
        change,
        epoch: Epoch::new(bytes.get_u64()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::open_directory;

    fn news(number: u64) -> News {
        let version = Version {
            number,
            op: OpId::from_bytes([number as u8; 8]),
        };
        let change = match number % 3 {
            0 => Change::Ended,
            1 => Change::Saved(version),
            _ => Change::Rotated(version),
        };
        News {
            key: Key::from_bytes([3; 16]),
            change,
            epoch: Epoch::new(u64::MAX - number),
        }
    }

    fn read(ring: &mut Ring) -> (Vec<News>, bool) {
        let mut all = Vec::new();
        let complete = ring.read(|news| all.push(news)).expect("read");
        (all, complete)
    }

    #[test]
    fn followers_are_told_in_order_and_nobody_else_pays() {
        let place = tempfile::tempdir().expect("a directory");
        let shard = open_directory(place.path()).expect("ours");
        tell(&shard, &news(1)).expect("nobody follows");
        assert!(!place.path().join(NAME).exists());

        let mut one = Ring::follow(&shard).expect("followed");
        tell(&shard, &news(1)).expect("told");
        let mut two = Ring::follow(&shard).expect("followed");
        tell(&shard, &news(2)).expect("told");
        tell(&shard, &news(3)).expect("told");
        assert_eq!(read(&mut one), ((1..=3).map(news).collect(), true));
        assert_eq!(read(&mut two), ((2..=3).map(news).collect(), true));
        assert_eq!(read(&mut one), (vec![], true));

        drop(one);
        assert!(!clean(&shard).expect("looked at"), "somebody follows");
        drop(two);
        tell(&shard, &news(4)).expect("nobody follows");
        assert!(!place.path().join(NAME).exists());

        drop(Ring::follow(&shard).expect("followed"));
        for there in [true, false] {
            assert_eq!(clean(&shard).expect("looked at"), there);
            assert!(!place.path().join(NAME).exists());
        }
    }

    #[test]
    fn what_was_overwritten_is_told_of() {
        let place = tempfile::tempdir().expect("a directory");
        let shard = open_directory(place.path()).expect("ours");
        let mut ring = Ring::follow(&shard).expect("followed");
        for number in 0..ENTRIES + 5 {
            tell(&shard, &news(number)).expect("told");
        }
        let (shown, complete) = read(&mut ring);
        assert!(!complete);
        assert_eq!(shown, (5..ENTRIES + 5).map(news).collect::<Vec<_>>());
        tell(&shard, &news(7)).expect("told");
        assert_eq!(read(&mut ring), (vec![news(7)], true));
        let size = std::fs::metadata(place.path().join(NAME)).expect("there");
        assert_eq!(size.len(), HEADER as u64 + ENTRIES * ENTRY as u64);
    }

    #[test]
    fn a_torn_entry_a_foreign_file_and_a_header_set_back_are_no_news() {
        let place = tempfile::tempdir().expect("a directory");
        let shard = open_directory(place.path()).expect("ours");
        std::fs::write(
            place.path().join(NAME),
            "something else, longer than a header",
        )
        .expect("written");
        let mut ring = Ring::follow(&shard).expect("followed");
        tell(&shard, &news(1)).expect("told");
        pwrite(&ring.file, b"?", super::place(0) + 20).expect("torn");
        tell(&shard, &news(2)).expect("told");
        assert_eq!(read(&mut ring), (vec![news(2)], false));

        set_next(&ring.file, 0).expect("set back");
        assert_eq!(read(&mut ring), (vec![], false));
        tell(&shard, &news(4)).expect("told");
        assert_eq!(read(&mut ring), (vec![news(4)], true));

        std::fs::hard_link(place.path().join(NAME), place.path().join("other")).expect("linked");
        assert!(tell(&shard, &news(3)).is_err(), "written through a link");
    }
}
