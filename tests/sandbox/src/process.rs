//! A process that outlives the command that started it, found again by its pid file, and what is left of one whose
//! first process was killed: all that writes to its log.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

const READY_WITHIN: Duration = Duration::from_secs(10);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// A named background process, running or not, whose files lie in a directory.
#[derive(Clone, Debug)]
pub struct Daemon {
    name: String,
    directory: PathBuf,
}

/// A pid alone may by now belong to somebody else's process; with the start time it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Instance {
    pid: Pid,
    start_ticks: u64,
}

impl Daemon {
    /// The daemon of this name with its files in `directory`.
    pub fn new(name: &str, directory: &Path) -> Daemon {
        Daemon { name: name.to_owned(), directory: directory.to_owned() }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file its output goes to.
    pub fn log(&self) -> PathBuf {
        self.directory.join(format!("{}.log", self.name))
    }

    /// Its pid, if it runs.
    pub fn pid(&self) -> Option<u32> {
        self.instance().map(Instance::pid_number)
    }

    /// Starts it and returns when `ready` says so. When it ends early or never gets ready, the error has its last words.
    pub fn start(&self, mut command: Command, ready: impl Fn() -> bool) -> Result<()> {
        let log = File::create(self.log()).with_context(|| format!("cannot write {}", self.log().display()))?;
        // A process group of its own: Ctrl-C in the terminal must not reach it.
        let mut child =
            command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0).spawn().with_context(
                || format!("cannot start {} ({})", self.name, Path::new(command.get_program()).display()),
            )?;
        let pid =
            i32::try_from(child.id()).ok().and_then(Pid::from_raw).context("the system gave an impossible pid")?;
        // One that is gone already is told about below, with its last words.
        if let Ok(start_ticks) = start_ticks(pid) {
            fs::write(self.pid_file(), format!("{} {start_ticks}\n", pid.as_raw_nonzero()))?;
        }

        let deadline = Instant::now() + READY_WITHIN;
        loop {
            if let Some(status) = child.try_wait()? {
                let _ = fs::remove_file(self.pid_file());
                bail!("{} did not start ({status}):\n{}", self.name, self.last_words());
            }
            if ready() {
                return Ok(());
            }
            if Instant::now() > deadline {
                self.stop()?;
                bail!("{} was not ready after {READY_WITHIN:?}:\n{}", self.name, self.last_words());
            }
            thread::sleep(POLL);
        }
    }

    /// Stops it and waits until it is gone, with whatever is left of it. Says whether there was anything to stop.
    pub fn stop(&self) -> Result<bool> {
        let instance = self.instance();
        if let Some(instance) = instance {
            let _ = kill_process(instance.pid, Signal::TERM);
            if !instance.ends_within(STOPPED_WITHIN) {
                self.kill()?;
            }
        }
        let remains = self.remains();
        for signal in [Signal::TERM, Signal::KILL] {
            for instance in remains.iter().filter(|instance| instance.runs()) {
                let _ = kill_process(instance.pid, signal);
            }
            for instance in &remains {
                instance.ends_within(STOPPED_WITHIN);
            }
        }
        let _ = fs::remove_file(self.pid_file());
        Ok(instance.is_some() || !remains.is_empty())
    }

    /// The pid of what is left of it, where the process that was started is gone: nginx's workers after their master was
    /// killed, or all of it after its pid file was removed.
    pub fn left_over(&self) -> Option<u32> {
        self.remains().first().map(|instance| instance.pid_number())
    }

    /// Kills it, with its own children, as a crash would. Says whether it ran.
    pub fn kill(&self) -> Result<bool> {
        let Some(instance) = self.instance() else { return Ok(false) };
        let _ = kill_process_group(instance.pid, Signal::KILL);
        if !instance.ends_within(STOPPED_WITHIN) {
            bail!("{} (pid {}) does not die", self.name, instance.pid.as_raw_nonzero());
        }
        let _ = fs::remove_file(self.pid_file());
        Ok(true)
    }

    /// Sends it SIGHUP, which for nginx means to read its configuration again.
    pub fn hang_up(&self) -> Result<()> {
        let Some(instance) = self.instance() else { bail!("{} does not run", self.name) };
        kill_process(instance.pid, Signal::HUP).with_context(|| format!("cannot signal {}", self.name))
    }

    fn pid_file(&self) -> PathBuf {
        self.directory.join(format!("{}.instance", self.name))
    }

    fn instance(&self) -> Option<Instance> {
        let text = fs::read_to_string(self.pid_file()).ok()?;
        let (pid, start_ticks) = text.trim().split_once(' ')?;
        let instance = Instance { pid: Pid::from_raw(pid.parse().ok()?)?, start_ticks: start_ticks.parse().ok()? };
        instance.runs().then_some(instance)
    }

    /// All processes whose standard output is its log.
    fn remains(&self) -> Vec<Instance> {
        let Ok(directory) = self.directory.canonicalize() else { return Vec::new() };
        let log = directory.join(format!("{}.log", self.name));
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes.filter_map(|process| Instance::that_writes_to(&log, &process.path())).collect()
    }

    fn last_words(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(10)..].iter().map(|line| format!("    {line}\n")).collect()
    }
}

impl Instance {
    /// The process of this directory of `/proc`, where its standard output is `log`.
    fn that_writes_to(log: &Path, process: &Path) -> Option<Instance> {
        let pid = Pid::from_raw(process.file_name()?.to_str()?.parse().ok()?)?;
        let output = fs::read_link(process.join("fd/1")).ok()?;
        if output != log {
            return None;
        }
        Some(Instance { pid, start_ticks: start_ticks(pid).ok()? })
    }

    fn pid_number(self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    fn runs(self) -> bool {
        start_ticks(self.pid).is_ok_and(|ticks| ticks == self.start_ticks)
    }

    fn ends_within(self, time: Duration) -> bool {
        let deadline = Instant::now() + time;
        while self.runs() {
            if Instant::now() > deadline {
                return false;
            }
            thread::sleep(POLL);
        }
        true
    }
}

/// When a process started, in clock ticks since boot. A zombie counts as gone: nobody may be there to reap it.
fn start_ticks(pid: Pid) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    // The second field, the name, may hold spaces and parentheses itself; what follows the last one is regular.
    let mut fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let state = fields.next().unwrap_or_default();
    let ticks = fields.nth(18).and_then(|field| field.parse().ok());
    match ticks {
        Some(ticks) if state != "Z" && state != "X" => Ok(ticks),
        _ => Err(io::ErrorKind::NotFound.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn daemon(test: &str) -> Daemon {
        let directory = std::env::temp_dir().join(format!("sandbox-{}-{test}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        Daemon::new("daemon", &directory)
    }

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_daemon_is_found_again_and_stopped() {
        let daemon = daemon("found");
        daemon.start(shell("exec sleep 60"), || true).unwrap();
        assert!(daemon.clone().pid().is_some());
        assert!(daemon.stop().unwrap());
        assert_eq!(daemon.pid(), None);
        assert!(!daemon.stop().unwrap(), "stopping twice is fine");
    }

    #[test]
    fn a_pid_of_another_process_is_never_touched() {
        let daemon = daemon("foreign");
        let mut foreign = shell("exec sleep 60").spawn().unwrap();
        fs::write(daemon.pid_file(), format!("{} 1\n", foreign.id())).unwrap();
        assert_eq!(daemon.pid(), None);
        assert!(!daemon.stop().unwrap());
        assert!(foreign.try_wait().unwrap().is_none(), "it lives on");
        foreign.kill().unwrap();
        foreign.wait().unwrap();
    }

    #[test]
    fn what_a_killed_process_leaves_is_found_and_stopped() {
        let daemon = daemon("remains");
        // As nginx's workers, which outlive a master that is killed.
        daemon.start(shell("sleep 60 & exec sleep 60"), || daemon.remains().len() > 1).unwrap();
        let first = daemon.instance().unwrap();
        kill_process(first.pid, Signal::KILL).unwrap();
        assert!(first.ends_within(STOPPED_WITHIN));
        assert_eq!(daemon.pid(), None);
        let left = daemon.left_over().unwrap();
        assert!(daemon.stop().unwrap());
        assert!(start_ticks(Pid::from_raw(left.try_into().unwrap()).unwrap()).is_err());
        assert_eq!(daemon.left_over(), None);
        assert!(!daemon.stop().unwrap());
    }

    #[test]
    fn an_early_end_is_told_with_the_last_words() {
        let error = daemon("early").start(shell("echo no such directive; exit 3"), || false).unwrap_err().to_string();
        assert!(error.contains("exit status: 3") && error.contains("no such directive"), "{error}");
    }
}
