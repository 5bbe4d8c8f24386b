//! Processes whose end is tied to that of this one: the kernel sees to it, however this one ends.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

use tests::process::TIED;

/// A running process, which ends when this is dropped.
pub struct Tied(Child);

impl Tied {
    /// Starts a program. The main thread does it, whose end is that of the process.
    pub fn start(words: &[&OsStr]) -> Tied {
        let mut command = Command::new(TIED[0]);
        command.args(&TIED[1..]).args(words).stdin(Stdio::null());
        // A proxy of the environment is not for loopback.
        command.env("NO_PROXY", "*").env("no_proxy", "*");
        Tied(command.spawn().expect("setpriv is part of every Debian"))
    }

    /// Whether it still runs.
    pub fn runs(&mut self) -> bool {
        matches!(self.0.try_wait(), Ok(None))
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
