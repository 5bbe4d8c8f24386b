//! The board that all workers share: how many events a second it takes, and how far detectors fall behind.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use alert_core::base::clock::wall_ms;
use alert_core::board::needed_bytes;
use tempfile::NamedTempFile;

use crate::engine::{self, Engine};
use crate::mapping;
use crate::report::{Section, Table, number};
use crate::writer::{SPAN, Work, Writer};

/// A directory of the kernel's that lies in memory.
const MEMORY: &str = "/dev/shm";
const WRITERS: [usize; 7] = [1, 2, 4, 8, 16, 32, 64];
const WINDOWS: [u32; 4] = [200, 2000, 10_000, 100_000];
/// Events a second of all workers together.
const LOAD: u32 = 20_000;

/// Measures all of it.
pub fn measure() -> Section {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let (by_writers, costs) = by_writers();
    let contended = costs.iter().copied().fold(0.0, f64::max);
    let about = format!(
        "Each writer is a process of its own that has mapped the same board, and judges events of one monitor \
         without a pause; the time is that of the processors, whatever else runs. More writers than processors \
         ({processors} here) take turns, so for many this shows that nobody waits for anybody: there is no lock \
         whose holder could be asleep, and all of them together get as much done as {processors}. It does not show \
         how more than {processors} processors fight for the cache lines of one monitor's counters. A hundred times \
         more than the dearest row here would still be {:.0} µs, on detector threads and never in a request; at the \
         price of that row itself, a host of 64 workers with 1,000 requests a second each needs {:.1} % of one \
         processor for its board.",
        contended * 100.0 / 1e3,
        contended * 64_000.0 / 1e7,
    );
    let behind = format!(
        "In the last table the writers are whole engines, to which events come at {} a second together; how far a \
         detector was behind is looked up all the while in the board, where every worker notes what it took and what \
         it judged. A detector comes by every 10 ms as long as there are only usual answers: on an idle machine that is \
         what it is behind.",
        number(LOAD.into())
    );
    Section {
        title: "The shared board".into(),
        text: vec![about, behind],
        tables: vec![by_writers, by_window(), lag()],
        chart: None,
    }
}

/// Also the nanoseconds of each row.
fn by_writers() -> (Table, Vec<f64>) {
    let mut table = Table::new(&["writers", "events/s of all", "ns of a processor per event"]);
    let mut costs = Vec::new();
    for writers in WRITERS {
        eprintln!("  {writers} writers");
        let (work, time) = flat_out(writers, 200);
        costs.push(nanoseconds(work));
        table.row(&[&writers, &number(work.events as f64 / time.as_secs_f64()), &number(nanoseconds(work))]);
    }
    (table, costs)
}

fn by_window() -> Table {
    let mut table = Table::new(&["window", "ns per event, 1 writer", "ns per event, 4 writers"]);
    for window in WINDOWS {
        eprintln!("  a window of {window}");
        let [one, four] = [1, 4].map(|writers| number(nanoseconds(flat_out(writers, window).0)));
        table.row(&[&number(window.into()), &one, &four]);
    }
    table
}

fn nanoseconds(work: Work) -> f64 {
    work.cpu.as_secs_f64() * 1e9 / work.events as f64
}

/// What that many processes do at once, and how long it took until the last was done.
fn flat_out(writers: usize, window: u32) -> (Work, Duration) {
    let board = NewBoard::make(window);
    let mut writers: Vec<_> = (0..writers).map(|_| Writer::start(board.path(), window, None)).collect();
    let start = Instant::now();
    writers.iter_mut().for_each(Writer::go);
    let none = Work { events: 0, cpu: Duration::ZERO };
    let work = writers
        .into_iter()
        .map(Writer::finish)
        .fold(none, |sum, work| Work { events: sum.events + work.events, cpu: sum.cpu + work.cpu });
    (work, start.elapsed())
}

fn lag() -> Table {
    let mut table = Table::new(&["workers", "events/s of all", "most events behind", "that is, in ms", "dropped"]);
    for writers in [1, 4, 16, 64_u32] {
        eprintln!("  {writers} engines");
        let board = NewBoard::make(200);
        let per_second = LOAD / writers;
        let mut running: Vec<_> = (0..writers).map(|_| Writer::start(board.path(), 200, Some(per_second))).collect();
        running.iter_mut().for_each(Writer::go);
        let workers = board.engine.board.workers();
        let (mut behind, end) = (0, Instant::now() + SPAN);
        while Instant::now() < end {
            let depths = workers.of_generation(board.engine.plan.generation, wall_ms());
            behind = depths.map(|worker| worker.queue_depth()).fold(behind, u64::max);
            thread::sleep(Duration::from_millis(1));
        }
        let events: u64 = running.into_iter().map(|writer| writer.finish().events).sum();
        let rate = events as f64 / SPAN.as_secs_f64();
        let time = format!("{:.1}", behind as f64 * 1e3 / f64::from(per_second));
        table.row(&[&writers, &number(rate), &behind, &time, &workers.dropped()]);
    }
    table
}

/// A board in a file in memory, which is gone when this is dropped.
struct NewBoard {
    file: NamedTempFile,
    engine: Engine,
}

impl NewBoard {
    fn make(window: u32) -> NewBoard {
        let file = tempfile::Builder::new().prefix("nginx-alert-bench-").tempfile_in(MEMORY);
        let file = file.expect("memory can hold a board");
        let settings = engine::settings(window);
        file.as_file().set_len(needed_bytes(&settings) as u64).expect("memory can hold a board");
        let engine = Engine::join(mapping::open(file.path()), settings);
        NewBoard { file, engine }
    }

    fn path(&self) -> &Path {
        self.file.path()
    }
}
