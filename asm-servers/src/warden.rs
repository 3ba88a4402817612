//! Who ends the servers of a process that cannot do it itself any more.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::{fs::OpenOptionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{ChildStdin, Command, Stdio},
    sync::{Arc, Mutex, OnceLock},
    time::Duration,
};

use crate::{Error, Result, place, until};

/// A shell that lives as long as somebody holds its input open, then ends what it was told to
/// watch, and removes the directory.
#[derive(Debug)]
pub(crate) struct Warden {
    directory: PathBuf,
    input: Mutex<Input>,
}

#[derive(Debug)]
enum Input {
    /// This process alone holds it.
    Pipe(ChildStdin),
    /// Any process may.
    Fifo(File),
}

impl Warden {
    /// The one of this process, with a directory for its servers.
    pub(crate) fn of_this_process() -> Result<Arc<Self>> {
        static WARDEN: OnceLock<Mutex<Option<Arc<Warden>>>> = OnceLock::new();
        let mut warden = WARDEN
            .get_or_init(Mutex::default)
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(warden) = &*warden {
            return Ok(Arc::clone(warden));
        }
        let directory = place::new_directory()?;
        let mut child = shell(&directory, Duration::ZERO, None)
            .stdin(Stdio::piped())
            .spawn()
            .map_err(Error::io("start", "sh"))?;
        let input = child.stdin.take().expect("it was asked for");
        let made = Arc::new(Self {
            directory,
            input: Mutex::new(Input::Pipe(input)),
        });
        *warden = Some(Arc::clone(&made));
        Ok(made)
    }

    /// One that outlives this process, for as long as any process has joined, and then for the
    /// linger.
    pub(crate) fn of_all_processes(linger: Duration) -> Result<Arc<Self>> {
        let directory = place::new_directory()?;
        let fifo = fifo_in(&directory);
        shell(&directory, linger, Some(&fifo))
            .stdin(Stdio::null())
            .spawn()
            .map_err(Error::io("start", "sh"))?;
        let input = until("the warden", || {
            open_fifo(&directory).map_err(|error| error.to_string())
        })?;
        Ok(Arc::new(Self {
            directory,
            input: Mutex::new(Input::Fifo(input)),
        }))
    }

    /// Where its servers keep their files.
    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(crate) fn watch(&self, pid: u32) -> Result<()> {
        self.tell(&format!("watch {pid}\n"))
    }

    pub(crate) fn spare(&self, pid: u32) -> Result<()> {
        self.tell(&format!("spare {pid}\n"))
    }

    fn tell(&self, line: &str) -> Result<()> {
        let mut input = self
            .input
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        match &mut *input {
            Input::Pipe(pipe) => pipe.write_all(line.as_bytes()),
            Input::Fifo(fifo) => fifo.write_all(line.as_bytes()),
        }
        .map_err(Error::io("tell the warden of", &self.directory))
    }
}

/// One more user of what is in that directory, for as long as the file is open. `None` when its
/// warden is gone.
pub(crate) fn join(directory: &Path) -> Option<File> {
    let mut fifo = open_fifo(directory).ok()?;
    fifo.write_all(b"join\n").ok()?;
    Some(fifo)
}

/// Fails at once when nobody reads.
fn open_fifo(directory: &Path) -> io::Result<File> {
    OpenOptions::new()
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits() as i32)
        .open(fifo_in(directory))
}

fn fifo_in(directory: &Path) -> PathBuf {
    directory.join("users")
}

/// In a process group of its own: a terminal's Ctrl-C is not for it, and whoever ends this process
/// with its group does not end it.
fn shell(directory: &Path, linger: Duration, fifo: Option<&Path>) -> Command {
    let mut shell = Command::new("sh");
    shell
        .args(["-c", include_str!("warden.sh"), "asm-servers-warden"])
        .arg(directory)
        .arg(linger.as_secs().to_string())
        .args(fifo)
        .current_dir("/")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    shell
}
