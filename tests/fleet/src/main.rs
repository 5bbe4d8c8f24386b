//! A fleet on one machine: as many real nginx as are asked for, each a host by its own name, one Prometheus and one
//! Alertmanager with the configurations of docker/prometheus. A story happens to it, and a table says what was expected
//! and what was seen.
//!
//! ```text
//! fleet story 20        # with 20 hosts; exits 1 where something else was seen
//! fleet cost 1000       # how long Prometheus evaluates the rules with 1,000 hosts
//! ```
#![forbid(unsafe_code)]

mod cost;
mod host;
mod story;
mod table;
mod users;
mod watch;

use std::env;
use std::ops::RangeInclusive;
use std::process::ExitCode;

/// Fewer are no fleet; of more, one machine is busy with the users alone.
const HOSTS: RangeInclusive<usize> = 3..=100;
/// Of more, the metrics fill a disk.
const MULTIPLIED: RangeInclusive<usize> = 1..=2000;

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let (action, range): (fn(usize) -> bool, _) = match words.first().map(String::as_str) {
        Some("story") => (story::play, HOSTS),
        Some("cost") => (cost::measure, MULTIPLIED),
        _ => {
            eprintln!("usage: fleet story|cost HOSTS");
            return ExitCode::FAILURE;
        }
    };
    let word = words.get(1).map_or("", String::as_str);
    match word.parse() {
        Ok(count) if range.contains(&count) => match action(count) {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        },
        _ => {
            eprintln!("HOSTS=\"{word}\": give a number of hosts from {} to {}", range.start(), range.end());
            ExitCode::FAILURE
        }
    }
}
