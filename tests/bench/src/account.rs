//! What the kernel keeps account of for a process or one of its threads, by its directory below `/proc`.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// The number after this name in its status, in the unit of that: memory is in KiB.
pub fn status(task: &Path, name: &str) -> u64 {
    let text = read(task, "status");
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next()?.parse().ok());
    value.unwrap_or_else(|| panic!("{name} is not in {text}"))
}

/// The processor time of one thread, to the nanosecond; that of the main thread for a process.
pub fn cpu_time(task: &Path) -> Duration {
    let text = read(task, "schedstat");
    let time = text.split(' ').next().and_then(|time| time.parse().ok());
    Duration::from_nanos(time.unwrap_or_else(|| panic!("no time is in {text}")))
}

fn read(task: &Path, file: &str) -> String {
    fs::read_to_string(task.join(file)).unwrap_or_else(|error| panic!("{}: {error}", task.display()))
}
