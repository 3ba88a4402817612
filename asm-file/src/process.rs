//! Which process somebody is, and whether it lives.

use std::{fs, process};

use serde::{Deserialize, Serialize};

/// One process of one boot, and one driver in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Process {
    /// The inode of its pid namespace: a pid means something in it alone. 0 when it is not known.
    namespace: u64,
    pid: u32,
    /// When it started, in ticks since the boot: a pid is used again.
    started: u64,
    /// Which driver of the process.
    driver: u64,
}

impl Process {
    /// This process, and a new driver in it.
    pub(crate) fn this() -> Result<Self, getrandom::Error> {
        let pid = process::id();
        let known = namespace(pid).and_then(|namespace| Some((namespace, status(pid)?.started)));
        // Without /proc nobody can tell, and the hold decides.
        let (namespace, started) = known.unwrap_or_default();
        Ok(Self {
            namespace,
            pid,
            started,
            driver: getrandom::u64()?,
        })
    }

    /// The pid, if it is another process, of the same namespace as this one.
    pub(crate) fn pid_for(&self, this: &Self) -> Option<u32> {
        let neighbour = self.namespace != 0
            && self.namespace == this.namespace
            && (self.pid, self.started) != (this.pid, this.started);
        neighbour.then_some(self.pid)
    }

    /// Whether it has certainly died, as far as `this` can tell.
    pub(crate) fn is_dead_to(&self, this: &Self) -> bool {
        let Some(pid) = self.pid_for(this) else {
            return false;
        };
        match status(pid) {
            Some(status) => status.ended || status.started != self.started,
            None => !exists(pid),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Status {
    /// A process that has ended stays until its parent looks.
    ended: bool,
    started: u64,
}

/// `None` also where `/proc` is the one of another namespace, and its numbers mean others.
fn namespace(pid: u32) -> Option<u64> {
    use std::os::unix::fs::MetadataExt;
    let ours = fs::read_link("/proc/self").ok()?;
    (ours.to_str() == Some(&pid.to_string())).then_some(())?;
    Some(fs::metadata("/proc/self/ns/pid").ok()?.ino())
}

/// Whether the system knows a process of that number, seen or not.
fn exists(pid: u32) -> bool {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::test_kill_process(pid) != Err(rustix::io::Errno::SRCH))
}

/// `None` when it cannot be read: there may be no such process, it may end while it is read, and
/// `/proc` may hide the processes of others, and ours that dropped some right.
fn status(pid: u32) -> Option<Status> {
    parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
}

/// The name of a process stands in parentheses and may itself have any.
fn parse(stat: &[u8]) -> Option<Status> {
    let name_ends = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = str::from_utf8(&stat[name_ends + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let over = matches!(fields.next()?, "Z" | "X" | "x");
    // The 20th and the 22nd field of all. A first thread that has ended leaves the others running.
    let threads: u64 = fields.nth(16)?.parse().ok()?;
    let started = fields.nth(1)?.parse().ok()?;
    Some(Status {
        ended: over && threads <= 1,
        started,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_parentheses_is_passed_over() {
        let fields = "1 1 1 0 -1 4194304 10 0 0 0 1 2 3 4 20 0 1 0 77 1 1";
        let stat = format!("12 (a) b) S) R {fields}");
        let status = parse(stat.as_bytes()).expect("a line of the kernel's");
        assert_eq!((status.ended, status.started), (false, 77));
        let zombie = parse(format!("12 (x) Z {fields}").as_bytes()).expect("the same");
        assert!(zombie.ended);
        // Its first thread has ended, three others have not.
        let headless = fields.replace("0 1 0 77", "0 4 0 77");
        let headless = parse(format!("12 (x) Z {headless}").as_bytes()).expect("the same");
        assert_eq!((headless.ended, headless.started), (false, 77));
        assert!(parse(b"12 (x R 1").is_none());
    }

    #[test]
    fn the_living_are_told_from_the_dead() {
        let this = Process::this().expect("randomness");
        assert!(!this.is_dead_to(&this));
        let driver = Process::this().expect("randomness");
        assert_ne!(this, driver);
        assert!(!driver.is_dead_to(&this));

        let mut child = Command::new("sleep").arg("1000").spawn().expect("a child");
        let started = status(child.id()).expect("lives").started;
        let other = Process {
            pid: child.id(),
            started,
            ..this
        };
        assert!(!other.is_dead_to(&this));
        let reused = Process {
            started: started + 1,
            ..other
        };
        assert!(reused.is_dead_to(&this));
        let elsewhere = Process {
            namespace: 1,
            ..reused
        };
        assert!(!elsewhere.is_dead_to(&this));
        assert!(exists(other.pid));
        child.kill().expect("a signal");
        // Dead before anybody has looked after it, and after.
        while !status(child.id()).is_none_or(|status| status.ended) {
            std::thread::yield_now();
        }
        assert!(other.is_dead_to(&this));
        child.wait().expect("its end");
        assert!(other.is_dead_to(&this));
        assert!(!exists(other.pid));
    }
}
