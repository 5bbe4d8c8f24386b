//! What `/proc` tells about processes, and signals to them.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, kill_process, prlimit};

pub use rustix::process::Signal;

use crate::wait;

/// What was told to end does so in a second or so; this is for a machine under load.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// What runs a process whose end is tied to that of the thread that starts it, however that ends; its own words follow.
pub const TIED: [&str; 4] = ["setpriv", "--pdeathsig", "TERM", "--"];

/// The processes whose parent is `parent`.
pub fn children(parent: u32) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| parent_of(*pid) == Some(parent))
        .collect()
}

/// What `ps` shows: for nginx its role. Empty when the process is gone.
pub fn title(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ")
}

/// The other processes that hold a file below this directory open.
pub fn users_of(directory: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|pid| *pid != std::process::id()).filter(|pid| holds(*pid, directory)).collect()
}

/// Whether the process holds this file, or one below this directory, open.
pub fn holds(pid: u32, path: &Path) -> bool {
    let files = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten();
    files.filter_map(|file| fs::read_link(file.ok()?.path()).ok()).any(|open| open.starts_with(path))
}

/// How many threads the process has; 0 when it is gone.
pub fn threads(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/task")).map_or(0, Iterator::count)
}

/// A thread of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its name.
    pub name: String,
    /// How often it has gone to sleep.
    pub sleeps: u64,
}

/// The threads of the process by their numbers.
pub fn sleeps(pid: u32) -> BTreeMap<u32, Thread> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten();
    // One that ends meanwhile is none.
    let thread = |task: DirEntry| {
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let field = |name: &str| Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim());
        let sleeps = field("voluntary_ctxt_switches:")?.parse().ok()?;
        Some((field("Pid:")?.parse().ok()?, Thread { name: field("Name:")?.into(), sleeps }))
    };
    tasks.filter_map(|task| thread(task.ok()?)).collect()
}

/// What a process holds of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Threads.
    pub threads: usize,
    /// Open descriptors.
    pub descriptors: usize,
    /// Mappings of its memory.
    pub mappings: usize,
    /// Its own memory that is in use, without what it shares with others, in KiB.
    pub resident: u64,
}

/// What the process holds; all zero when it is gone.
pub fn footprint(pid: u32) -> Footprint {
    let read = |name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).unwrap_or_default();
    let resident =
        read("status").lines().find_map(|line| line.strip_prefix("RssAnon:")?.trim().split(' ').next()?.parse().ok());
    Footprint {
        threads: threads(pid),
        descriptors: fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count),
        mappings: read("maps").lines().count(),
        resident: resident.unwrap_or(0),
    }
}

/// The processor time that the process has used, all its threads together.
pub fn cpu_time(pid: u32) -> Duration {
    // In hundredths of a second, whatever the kernel counts in.
    let ticks = |index| field(pid, index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Whether the process exists (a zombie does not).
pub fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists() && field(pid, 0).is_some_and(|state| state != "Z")
}

/// Waits until none of these processes is left.
#[track_caller]
pub fn wait_gone(pids: &[u32]) {
    wait::until("the end of processes", GONE_LIMIT, || !pids.iter().any(|pid| is_alive(*pid)));
}

/// Sends a signal; a process that is gone needs none.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Lets the user of this process, and of those that it starts, have no more processes and threads than this; `None` is
/// as many as that of the tests may have.
pub fn limit_threads(pid: u32, count: Option<u64>) {
    let own = getrlimit(Resource::Nproc);
    let limit = Rlimit { current: count.or(own.current), ..own };
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
    prlimit(pid, Resource::Nproc, limit).expect("a limit can be lowered");
}

fn parent_of(pid: u32) -> Option<u32> {
    field(pid, 1)?.parse().ok()
}

/// A field of `/proc/PID/stat` after the name, which may itself hold spaces and parentheses.
fn field(pid: u32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    fields.split_whitespace().nth(index).map(str::to_owned)
}
