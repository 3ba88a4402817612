//! What a failure of the system is called.

use std::io;

use asm_core::{Error, ErrorKind};

/// A failure of the system while something was done. Nothing has happened.
pub(crate) fn failed(doing: &'static str, error: io::Error) -> Error {
    Error::new(kind(&error), doing).because(error)
}

/// A failure after something was done, of which nobody knows how long it lasts.
pub(crate) fn in_doubt(doing: &'static str, error: io::Error) -> Error {
    Error::new(ErrorKind::Unknown, doing).because(error)
}

fn kind(error: &io::Error) -> ErrorKind {
    use io::ErrorKind as Io;
    match error.kind() {
        Io::StorageFull | Io::QuotaExceeded => ErrorKind::Full,
        // On a write it is a limit of the process; on a read it is ours.
        Io::FileTooLarge => match error.raw_os_error() {
            Some(_) => ErrorKind::Full,
            None => ErrorKind::Unreadable,
        },
        Io::PermissionDenied => ErrorKind::Denied,
        Io::ReadOnlyFilesystem => ErrorKind::ReadOnly,
        Io::TimedOut | Io::ResourceBusy | Io::Interrupted | Io::WouldBlock => {
            ErrorKind::Unavailable
        }
        Io::InvalidData => ErrorKind::Corrupt,
        _ => match error
            .raw_os_error()
            .map(rustix::io::Errno::from_raw_os_error)
        {
            Some(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        },
    }
}
