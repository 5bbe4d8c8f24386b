//! What a worker costs that has nothing to do: wake-ups, processor time, memory, and the time to reload and to stop.

use std::fs;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use alert_core::board::needed_bytes;
use alert_core::settings::Settings;
use tests::process::Signal;

use crate::distribution::Distribution;
use crate::engine;
use crate::report::{Section, Table, number};
use crate::rig::{Rig, Variant};
use crate::{account, traffic, variants};

/// A detector goes to sleep after some looks at nothing; other threads end once they have nothing more to do.
const SETTLING: Duration = Duration::from_secs(5);
const SPAN: Duration = Duration::from_secs(10);
const TIMES: usize = 5;
const REQUESTS: u32 = 2000;

/// Measures all of it.
pub fn measure() -> Section {
    let mut running = [variants::plain(), variants::defaults(), variants::everything()].map(|variant| {
        let rig = Rig::start(&variant, |_| ());
        traffic::send(rig.address, REQUESTS);
        (variant, rig)
    });
    let zone = zone();
    Section {
        title: "A worker at rest".into(),
        text: vec![
            format!(
                "One worker each, after {} requests; the processor's time and the wake-ups (voluntary switches of \
                 all threads) are those of the same {} seconds without a request. Memory is what the worker has for \
                 itself alone (`RssAnon`); the zone is shared. A reload lasts until only new workers run, a stop \
                 (`TERM`) until the master has ended; medians of {TIMES}, looked for every 5 ms.",
                number(REQUESTS.into()),
                SPAN.as_secs(),
            ),
            zone,
        ],
        tables: vec![rest(&running), turns(&mut running)],
        chart: None,
    }
}

fn rest(running: &[(Variant, Rig)]) -> Table {
    let columns =
        ["a worker at rest", "threads", "wake-ups/s", "processor, ‰", "memory of its own, KiB", "more than alone"];
    let mut table = Table::new(&columns);
    eprintln!("  at rest for {} s", (SETTLING + SPAN).as_secs());
    thread::sleep(SETTLING);
    let look = || running.iter().map(|(_, rig)| Look::at(worker(rig))).collect::<Vec<_>>();
    let before = look();
    let start = Instant::now();
    thread::sleep(SPAN);
    let (after, seconds) = (look(), start.elapsed().as_secs_f64());
    let alone = after[0].memory_kib;
    for (((variant, _), before), after) in running.iter().zip(before).zip(after) {
        let wake_ups = format!("{:.1}", (after.switches - before.switches) as f64 / seconds);
        let share = format!("{:.2}", (after.cpu_ns - before.cpu_ns) as f64 / 1e6 / seconds);
        let more = number(after.memory_kib as f64 - alone as f64);
        table.row(&[&variant.name, &after.threads, &wake_ups, &share, &number(after.memory_kib as f64), &more]);
    }
    table
}

fn worker(rig: &Rig) -> u32 {
    *rig.nginx.workers().first().expect("nginx has a worker")
}

fn turns(running: &mut [(Variant, Rig)]) -> Table {
    let mut table = Table::new(&["ms, median", "reload", "stop"]);
    for (variant, rig) in running {
        eprintln!("  {TIMES} reloads and stops: {}", variant.name);
        let reloads = (0..TIMES).map(|_| {
            let start = Instant::now();
            rig.nginx.reload();
            start.elapsed()
        });
        let reload = Distribution::of_durations(reloads).median();
        let stops = (0..TIMES).map(|_| {
            traffic::send(rig.address, 100);
            let time = rig.nginx.stop(Signal::TERM);
            rig.nginx.start_again();
            time
        });
        let stop = Distribution::of_durations(stops).median();
        table.row(&[&variant.name, &number(reload), &number(stop)]);
    }
    table
}

/// What the zone needs.
fn zone() -> String {
    let bytes = |window, monitors| {
        let one = engine::settings(window);
        let monitors = vec![one.monitors[0].clone(); monitors];
        needed_bytes(&Settings { monitors, ..one })
    };
    let base = bytes(200, 0);
    let per_request = bytes(201, 1) - bytes(200, 1);
    let monitor = bytes(200, 1) - base - 200 * per_request;
    let [base, monitor] = [base, monitor].map(|bytes| number(bytes as f64));
    format!(
        "Of the zone the board takes {base} bytes, each monitor {monitor}, and each request of its window \
         {per_request}."
    )
}

/// A process at one moment.
struct Look {
    threads: usize,
    switches: u64,
    cpu_ns: u64,
    memory_kib: u64,
}

impl Look {
    fn at(pid: u32) -> Look {
        let process = PathBuf::from(format!("/proc/{pid}"));
        let tasks = fs::read_dir(process.join("task")).expect("the worker runs");
        let tasks: Vec<_> = tasks.map(|task| task.expect("the worker runs").path()).collect();
        let switches = tasks.iter().map(|task| account::status(task, "voluntary_ctxt_switches:"));
        let times = tasks.iter().map(|task| account::cpu_time(task).as_nanos() as u64);
        Look {
            threads: tasks.len(),
            switches: switches.sum(),
            cpu_ns: times.sum(),
            memory_kib: account::status(&process, "RssAnon:"),
        }
    }
}
