//! Stops a single thread of a process, as a debugger does, while the rest of the process goes on.
//!
//! Nothing else does that from outside: signals stop or end all threads.

use std::fs;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::sys::ptrace::{self, Options};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use crate::wait;

/// Threads start within milliseconds of their process; this is for a machine under load.
const START_LIMIT: Duration = Duration::from_secs(5);
/// How often the debugger looks whether the thread has ended.
const LOOK: Duration = Duration::from_millis(5);

/// A thread that is stopped until this is dropped.
pub struct Stopped {
    release: Option<Sender<()>>,
    debugger: Option<JoinHandle<()>>,
}

impl Stopped {
    /// Stops the thread of this name, as soon as there is one.
    #[track_caller]
    pub fn thread(pid: u32, name: &str) -> Self {
        let stopped = wait::find(START_LIMIT, || find(pid, name))
            .unwrap_or_else(|| panic!("process {pid} has no thread \"{name}\""));
        let (release, released) = mpsc::channel();
        let (ready, is_ready) = mpsc::channel();
        // A debugger is a thread, and a process that ends is not gone before its debugger has noticed.
        let debugger = thread::spawn(move || {
            ptrace::seize(stopped, Options::empty()).expect("a process of this user can be debugged");
            ptrace::interrupt(stopped).expect("it was just seized");
            waitpid(stopped, Some(WaitPidFlag::__WALL)).expect("it stops");
            ready.send(()).expect("somebody waits");
            let goes_on =
                || waitpid(stopped, Some(WaitPidFlag::__WALL | WaitPidFlag::WNOHANG)) == Ok(WaitStatus::StillAlive);
            while released.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) && goes_on() {}
            // Where it has ended there is nothing to let go.
            let _ = ptrace::detach(stopped, None);
        });
        is_ready.recv().expect("the thread can be stopped");
        Self { release: Some(release), debugger: Some(debugger) }
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.release.take();
        let _ = self.debugger.take().map(JoinHandle::join);
    }
}

fn find(pid: u32, name: &str) -> Option<Pid> {
    let is_named = |path: &Path| fs::read_to_string(path.join("comm")).is_ok_and(|comm| comm.trim() == name);
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let thread = threads.flatten().map(|thread| thread.path()).find(|path| is_named(path))?;
    Some(Pid::from_raw(thread.file_name()?.to_str()?.parse().ok()?))
}
