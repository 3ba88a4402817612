//! Memory, as the kernel counts it.

use std::{fs, io};

/// How many bytes of this process are in memory (`VmRSS`).
///
/// # Errors
/// When the kernel does not tell: only Linux does.
pub fn resident() -> io::Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes =
        line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kibibytes
        .map(|kibibytes| kibibytes * 1024)
        .ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}
