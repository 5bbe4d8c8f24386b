//! Processes whose end is tied to that of this one: the kernel sees to it, however this one ends.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

/// What runs such a process; its own words follow. It must be started by the main thread.
pub const WRAPPER: [&str; 4] = ["setpriv", "--pdeathsig", "TERM", "--"];

/// A running process, which ends when this is dropped.
pub struct Tied(Child);

impl Tied {
    /// Starts a program.
    pub fn start(words: &[&OsStr]) -> Tied {
        let mut command = Command::new(WRAPPER[0]);
        command.args(&WRAPPER[1..]).args(words).stdin(Stdio::null());
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
