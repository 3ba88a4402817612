//! The site, as its user starts it.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
};

/// A site that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Site {
    process: Child,
    /// Its address, with a slash at the end.
    pub(crate) url: String,
    /// Kept open: it may say more.
    _said: Lines<BufReader<ChildStdout>>,
}

impl Site {
    /// Starts it on a free port.
    pub(crate) fn start(args: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_asm-demo"))
            .args(args)
            .args(["--port", "0"])
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut said = BufReader::new(process.stdout.take().expect("piped")).lines();
        let line = said.next().expect("it says where it is");
        let line = line.expect("text");
        let (url, _) = line.split_once(' ').expect("an address, and more");
        Self {
            url: url.to_owned(),
            process,
            _said: said,
        }
    }

    /// Ends it as Ctrl-C does, and answers its exit code.
    #[allow(dead_code, reason = "not every test ends it so")]
    pub(crate) fn interrupt(mut self) -> Option<i32> {
        let id = self.process.id().to_string();
        let told = Command::new("kill").args(["-INT", &id]).status();
        assert!(told.expect("kill runs").success());
        self.process.wait().expect("it ends").code()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
