//! One of many processes that write to a board: this program again, started by the measurement of the board.
//!
//! It says `ready`, waits for a line, works for a while, and says what it did.

use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use std::{env, thread};

use alert_core::base::clock::wall_ms;
use rustix::time::{ClockId, clock_gettime};

use crate::engine::{self, Engine};
use crate::mapping;

/// How long each works.
pub const SPAN: Duration = Duration::from_secs(1);
/// The word with which this program is started to be a writer.
pub const COMMAND: &str = "writer";

/// What a process did.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Events that it wrote.
    pub events: u64,
    /// Processor time that this took its main thread.
    pub cpu: Duration,
}

/// A process that waits to be let go.
pub struct Writer {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Writer {
    /// Starts one and waits until it is ready. With `per_second` it has an engine, and hands it that many answers
    /// to count; without, it judges events as fast as it can.
    pub fn start(board: &Path, window: u32, per_second: Option<u32>) -> Writer {
        let mut command = Command::new(env::current_exe().expect("this program has a path"));
        command.arg(COMMAND).arg(board).args([window, per_second.unwrap_or(0)].map(|word| word.to_string()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("this program starts");
        let answers = BufReader::new(child.stdout.take().expect("its output is a pipe"));
        let mut writer = Writer { child, answers };
        assert_eq!(writer.answer(), "ready");
        writer
    }

    /// Lets it go.
    pub fn go(&mut self) {
        let input = self.child.stdin.as_mut().expect("its input is a pipe");
        input.write_all(b"go\n").expect("the writer waits");
    }

    /// Waits until it is done.
    pub fn finish(mut self) -> Work {
        let answer = self.answer();
        let numbers: Option<Vec<u64>> = answer.split(' ').map(|number| number.parse().ok()).collect();
        let Some([events, nanoseconds]) = numbers.as_deref() else { panic!("a writer said {answer:?}") };
        Work { events: *events, cpu: Duration::from_nanos(*nanoseconds) }
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("a pipe can be read");
        line.trim_end().to_owned()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What such a process does: `writer BOARD WINDOW PER_SECOND`.
pub fn run(words: &[&str]) {
    let [board, window, per_second] = words else { panic!("write: {COMMAND} BOARD WINDOW PER_SECOND") };
    let [window, per_second] = [window, per_second].map(|word| word.parse().expect("a number"));
    let engine = Engine::join(mapping::open(Path::new(board)), engine::settings(window));
    let work = match per_second {
        0 => judge(&engine),
        per_second => put(&engine, per_second),
    };
    println!("{} {}", work.events, work.cpu.as_nanos());
}

/// The processor time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Waits to be let go, or ends with the process that does not. Returns when to stop.
fn wait() -> Instant {
    println!("ready");
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    assert!(matches!(read, Ok(1..)), "nobody waits for this writer");
    Instant::now() + SPAN
}

fn judge(engine: &Engine) -> Work {
    let mut judge = engine.judge();
    let (mut events, end) = (0, wait());
    let start = cpu();
    while Instant::now() < end {
        let event = engine.event();
        for _ in 0..100 {
            judge.observe(&event, event.time_ms);
        }
        judge.commit(wall_ms(), Instant::now());
        events += 100;
    }
    Work { events, cpu: cpu() - start }
}

fn put(engine: &Engine, per_second: u32) -> Work {
    let mut running = engine.start();
    let interval = Duration::from_secs(1) / per_second;
    let (mut events, end) = (0, wait());
    let (start, mut due) = (cpu(), Instant::now());
    while due < end {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        running.answered();
        events += 1;
        due += interval;
    }
    let cpu = cpu() - start;
    assert!(running.worker.stop(Duration::from_secs(5)), "the engine ends");
    Work { events, cpu }
}
