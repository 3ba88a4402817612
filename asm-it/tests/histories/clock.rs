//! Wall clocks of single processes, which can be stepped.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

/// The wall clock of the processes that are started with its settings. It goes as that of the
/// machine, so many seconds ahead or behind. Clocks that only go forward, the monotonic one and that
/// of the time since the boot, are those of the machine, as they are when somebody sets the time.
///
/// It is [libfaketime](https://github.com/wolfcw/libfaketime) that answers a process which asks the
/// C library for the time.
#[derive(Debug)]
pub(crate) struct WallClock(TempDir);

/// How far a clock is set back or forward.
pub(crate) const HOUR: i64 = 3600;

impl WallClock {
    /// One that shows the time of the machine.
    pub(crate) fn new() -> Self {
        let clock = Self(tempfile::tempdir().expect("a directory"));
        clock.step(0);
        clock
    }

    /// From now on it is so many seconds ahead of the machine's.
    pub(crate) fn step(&self, ahead: i64) {
        // In one piece: it is read all the time.
        let new = self.0.path().join("new");
        fs::write(&new, format!("{ahead:+}\n")).expect("a file");
        fs::rename(&new, self.offset()).expect("a file");
    }

    /// What is in the environment of a process that goes by it.
    pub(crate) fn settings(&self) -> Vec<(&'static str, OsString)> {
        let mut libraries = library().into_os_string();
        // Instead of an allocator of the server's own, which asks for the time before that library
        // can tell it (jemalloc does).
        libraries.push(":libc.so.6");
        vec![
            ("LD_PRELOAD", libraries),
            ("FAKETIME_TIMESTAMP_FILE", self.offset().into()),
            ("FAKETIME_NO_CACHE", "1".into()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".into()),
            ("FAKETIME_DISABLE_SHM", "1".into()),
        ]
    }

    fn offset(&self) -> PathBuf {
        self.0.path().join("offset")
    }
}

/// Where the packages of Debian and Fedora, and its own `make install`, put it.
fn library() -> PathBuf {
    let machine = std::env::consts::ARCH;
    let places = [
        format!("/usr/lib/{machine}-linux-gnu/faketime"),
        "/usr/lib64/faketime".to_owned(),
        "/usr/lib/faketime".to_owned(),
        "/usr/local/lib/faketime".to_owned(),
    ];
    let mut libraries = places
        .iter()
        .map(|place| Path::new(place).join("libfaketimeMT.so.1"));
    libraries
        .find(|library| library.exists())
        .unwrap_or_else(|| panic!("libfaketime is missing: apt-get install libfaketime"))
}

#[test]
#[ignore = "libfaketime has to be there"]
fn it_is_stepped_and_nothing_else_is() {
    use std::process::Command;

    let clock = WallClock::new();
    let times = || {
        let mut show = Command::new("date");
        show.arg("+%s").envs(clock.settings());
        let said = show.output().expect("a time").stdout;
        let shown: i64 = String::from_utf8_lossy(&said)
            .trim()
            .parse()
            .expect("seconds");
        let here = rustix::time::clock_gettime(rustix::time::ClockId::Realtime).tv_sec;
        shown - here
    };
    for ahead in [HOUR, -HOUR, 0] {
        clock.step(ahead);
        let seen = times();
        assert!((seen - ahead).abs() < HOUR / 2, "{seen} instead of {ahead}");
    }
}
