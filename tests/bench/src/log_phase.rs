//! What a request waits for in its log phase: the time to hand an event to the detector, and system calls.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use alert_core::board::needed_bytes;
use alert_core::board::region::Region;
use tests::process::{self, Signal};
use tests::wait;

use crate::distribution::Distribution;
use crate::engine::{self, Engine};
use crate::report::{Section, Table, number};
use crate::rig::{Rig, Variant};
use crate::{traffic, variants};

const RATES: [u32; 3] = [1000, 5000, 20_000];
const SPAN: Duration = Duration::from_secs(4);
const REQUESTS: u32 = 10_000;

/// Measures both.
pub fn measure() -> Section {
    Section {
        title: "The log phase".into(),
        text: vec![ABOUT.into()],
        tables: vec![latency(), system_calls()],
        chart: None,
    }
}

const ABOUT: &str = "\
    The first table is measured outside of nginx, since nothing here can look into a running worker without slowing \
    it: a thread sleeps until the next request is due, as an event loop does, recognises its answer and puts it into \
    the ring of a running engine, whose detector counts it meanwhile. What the log phase does \
    besides is to read nginx's structures, which waits for nobody; the instructions above have it. The last row has \
    the two readings of the clock alone, which are in all the others. The second table is what `strace -c` counts on \
    the thread of nginx's event loop, in the same traffic as for the instructions: a log phase that made a system \
    call would add 1 to a row.";

fn latency() -> Table {
    let mut table = Table::new(&["µs in the log phase", "p50", "p99", "p99.9", "max"]);
    let mut row = |name: &str, times: Vec<f64>| {
        let times = Distribution::new(times);
        let [p50, p99, p999, max] = [0.5, 0.99, 0.999, 1.0].map(|share| format!("{:.2}", times.quantile(share)));
        table.row(&[&name, &p50, &p99, &p999, &max]);
    };
    let settings = engine::settings(200);
    let region = Region::private(needed_bytes(&settings));
    let mut running = Engine::join(region, settings).start();
    for rate in RATES {
        eprintln!("  {rate} events/s");
        row(&format!("{} events/s", number(rate.into())), paced(rate, || running.answered()));
    }
    row("the clock alone", paced(RATES[2], || ()));
    assert!(running.worker.stop(Duration::from_secs(5)), "the engine ends");
    table
}

/// Microseconds of each of the actions, at a steady rate.
fn paced(rate: u32, mut action: impl FnMut()) -> Vec<f64> {
    let interval = Duration::from_secs(1) / rate;
    let mut due = Instant::now();
    let end = due + SPAN;
    let mut times = Vec::new();
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        let start = Instant::now();
        action();
        times.push(start.elapsed().as_secs_f64() * 1e6);
        due += interval;
    }
    times
}

fn system_calls() -> Table {
    let mut table = Table::new(&["system calls per request", "in all", "futex", "epoll_wait", "all others"]);
    for variant in [variants::plain(), variants::defaults(), variants::access_log()] {
        eprintln!("  strace: {}", variant.name);
        let calls = count(&variant);
        let of =
            |wanted: &str| calls.iter().filter(|(name, _)| name == wanted).fold(0.0, |sum, (_, count)| sum + count);
        let (all, futex, waits) = (of("total"), of("futex"), of("epoll_wait"));
        let [all, futex, waits, others] = [all, futex, waits, all - futex - waits].map(|count| format!("{count:.3}"));
        table.row(&[&variant.name, &all, &futex, &waits, &others]);
    }
    table
}

/// Calls per request by name, and their `total`.
fn count(variant: &Variant) -> Vec<(String, f64)> {
    let rig = Rig::start(variant, |config| config.single_process = true);
    traffic::send(rig.address, 500);
    let summary = rig.nginx.directory().join("strace.summary");
    let pid = rig.nginx.master();
    let mut strace = Command::new("strace");
    let strace = strace.args(["-c", "-o"]).arg(&summary).args(["-p", &pid.to_string()]).stderr(Stdio::null());
    let mut strace = strace.spawn().expect("strace is installed");
    let traced = || {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == format!("TracerPid:\t{}", strace.id()))
    };
    wait::until("strace", Duration::from_secs(10), traced);
    traffic::send(rig.address, REQUESTS);
    process::signal(strace.id(), Signal::INT);
    strace.wait().expect("strace ends");
    let text = fs::read_to_string(&summary).expect("strace wrote a summary");
    text.lines().filter_map(row).collect()
}

/// A row of the summary: `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn row(line: &str) -> Option<(String, f64)> {
    let cells: Vec<&str> = line.split_whitespace().collect();
    let calls: f64 = cells.get(3)?.parse().ok()?;
    Some(((*cells.last()?).to_owned(), calls / f64::from(REQUESTS)))
}
