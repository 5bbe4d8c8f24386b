//! The engine of a handle: one configuration on a board, judged within the calls or by threads.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::process;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use alert_core::base::clock::wall_ms;
use alert_core::base::log::{self, Level, Line, Lines};
use alert_core::board::{self, Board, Plan};
use alert_core::detect::judge::Judge;
use alert_core::engine;
use alert_core::observe::recorder::{Attempt, Recorder};
use alert_core::report::json;
use alert_core::report::view::Source;
use alert_core::settings::Settings;
use alert_core::settings::text;
use alert_core::sink::settings::SystemSource;

use crate::abi::alert_code;
use crate::hostname::hostname;
use crate::memory::Memory;
use crate::request::Put;
use crate::signals;

/// The end of the year 9999: what comes later is no point in time but an accident.
const TIME_MAX_MS: u64 = 253_402_300_799_999;
/// Between two looks at whether the detector is done.
const LOOK: Duration = Duration::from_millis(1);

/// Why there is no engine: a code, and a sentence for people.
pub type Refusal = (alert_code, String);

/// One configuration at work.
pub struct Engine {
    board: Board,
    plan: Plan,
    settings: Settings,
    /// Of each monitor.
    recorders: Vec<Recorder>,
    /// Judges within the calls, until threads do.
    judge: Mutex<Judge>,
    running: OnceLock<Running>,
    log: Mutex<WaitingLines>,
    memory: Memory,
}

/// The threads of a started engine.
struct Running {
    worker: engine::Engine,
    pid: u32,
    /// Requests handed to the threads.
    put: AtomicU64,
}

struct WaitingLines {
    /// What the calls have to say; threads have a queue of their own.
    of_calls: Lines,
    next: VecDeque<Line>,
}

/// Reads settings.
///
/// # Errors
/// The first mistake, with its place.
pub fn read_settings(text: &[u8]) -> Result<Settings, Refusal> {
    let refused = |text: String| (alert_code::ALERT_ESETTINGS, text);
    let text = std::str::from_utf8(text).map_err(|error| {
        let line = 1 + text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count();
        refused(format!("line {line}: the settings are not UTF-8"))
    })?;
    let settings = text::read(text, &SystemSource).map_err(|error| refused(error.to_string()))?;
    if settings.monitors.is_empty() {
        return Err(refused("line 1, column 1: there is no \"alert_monitor\"".into()));
    }
    Ok(settings)
}

impl Engine {
    /// An engine for these settings, on the given memory or on its own. The text identifies them to other processes.
    ///
    /// # Errors
    /// The board has no room, or is none.
    pub fn create(mut settings: Settings, text: &[u8], memory: Option<Memory>) -> Result<Engine, Refusal> {
        let of_board = |error: board::Error| (alert_code::ALERT_EBOARD, format!("the board {error}"));
        if settings.instance.is_empty() {
            settings.instance = hostname();
        }
        let memory = match memory {
            Some(memory) => memory,
            None => Memory::map(board::needed_bytes(&settings))
                .map_err(|error| (alert_code::ALERT_EBOARD, format!("no memory for a board: {error}")))?,
        };
        let now = wall_ms();
        let board = Board::open(memory.region(), now).map_err(of_board)?;
        let mut reservation = board.reserve(&settings, now).map_err(of_board)?;
        if settings.sinks.is_empty() {
            reservation.let_poll();
        }
        let plan = board.activate_or_join(reservation, &settings, key_of(text));
        let (log, of_calls) = log::queue();
        Ok(Engine {
            recorders: Recorder::of_monitors(board, &plan, &settings),
            judge: Mutex::new(Judge::new(board, &plan, &settings, log)),
            running: OnceLock::new(),
            log: Mutex::new(WaitingLines { of_calls, next: VecDeque::new() }),
            board,
            plan,
            settings,
            memory,
        })
    }

    /// Starts the threads; from then on they judge and deliver.
    ///
    /// # Errors
    /// They run already, in this process and on this board, or cannot be started.
    pub fn start(&self) -> Result<(), alert_code> {
        // Held so that no call judges while the threads begin to.
        let _judge = lock(&self.judge);
        let (pid, now) = (process::id(), self.board.clock().now_ms());
        // Workers are told apart by their process: a second one could deliver everything twice.
        if self.running.get().is_some() || self.board.workers().is_pid_alive(u64::from(pid), now) {
            return Err(alert_code::ALERT_ESTARTED);
        }
        // Programs put from several threads, so they have no use for the ring of one.
        let (worker, _) =
            signals::blocked(|| engine::Engine::start(self.board, &self.plan, &self.settings, pid, || {}, false))
                .map_err(|_| alert_code::ALERT_ETHREADS)?;
        // Nobody else gets here while the judge is locked.
        let _ = self.running.set(Running { worker, pid, put: AtomicU64::new(0) });
        Ok(())
    }

    /// Takes one finished request.
    ///
    /// # Errors
    /// There is no such monitor, or the time is none.
    pub fn put<'a, F, I>(&self, monitor: &[u8], mut request: Put<'a, F>, time_ms: Option<u64>) -> Result<(), alert_code>
    where
        F: Fn() -> I,
        I: Iterator<Item = Attempt<'a>>,
    {
        let running = self.running()?;
        let found = self.settings.monitors.iter().position(|known| known.name.as_bytes() == monitor);
        let recorder = found.and_then(|at| self.recorders.get(at)).ok_or(alert_code::ALERT_EMONITOR)?;
        request.ended_ms = self.checked_time(time_ms)?;
        let now = request.ended_ms;
        match running {
            Some(running) => recorder.each_event(&request, |event| {
                running.worker.intake().push(event);
                running.put.fetch_add(1, Relaxed);
            }),
            None => {
                let mut judge = self.judge_here()?;
                recorder.each_event(&request, |event| {
                    judge.observe(&event, now);
                });
                judge.commit(now, Instant::now());
            }
        }
        Ok(())
    }

    /// Judges what time alone changes. Threads do that by themselves.
    ///
    /// # Errors
    /// The time is none, or another configuration is in force.
    pub fn tick(&self, time_ms: Option<u64>) -> Result<(), alert_code> {
        let now = self.checked_time(time_ms)?;
        if self.running()?.is_none() {
            let mut judge = self.judge_here()?;
            // What had to wait for the threads of other processes.
            judge.commit(now, Instant::now());
            judge.tick(now);
        }
        Ok(())
    }

    /// Waits until the threads have judged everything that was put before.
    ///
    /// # Errors
    /// They have not within the limit.
    pub fn flush(&self, limit: Duration) -> Result<(), alert_code> {
        let Some(running) = self.running()? else { return Ok(()) };
        let put = running.put.load(Relaxed);
        let deadline = Instant::now() + limit;
        let pid = u64::from(running.pid);
        loop {
            let mut own = self
                .board
                .workers()
                .alive(self.board.clock().now_ms())
                .filter(|worker| worker.pid.load(Relaxed) == pid);
            if own.any(|own| own.events.load(Relaxed) + own.dropped.load(Relaxed) >= put) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(alert_code::ALERT_ETIMEOUT);
            }
            thread::sleep(LOOK);
        }
    }

    /// The status document.
    pub fn status(&self) -> String {
        let json = json::render(&Source::now(self.board, &self.plan, &self.settings));
        String::from_utf8(json).unwrap_or_default()
    }

    /// Hands out the oldest alert that waits, if `accept` does, and returns whether there was one.
    ///
    /// # Errors
    /// The library delivers by itself, or the alert was not accepted.
    pub fn poll(&self, accept: impl Fn(&str) -> bool) -> Result<bool, alert_code> {
        let place = self.plan.poll().ok_or(alert_code::ALERT_ESINKS)?;
        let outbox = self.board.outbox();
        for id in outbox.pending(place) {
            // A full ring may have taken the place for a newer alert.
            let Some(alert) = outbox.get(id) else { continue };
            let alert = self.settings.complete(alert);
            if !accept(&alert.to_json().to_string()) {
                return Err(alert_code::ALERT_EBUFFER);
            }
            if outbox.take(id, place) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Hands out the next line for the log, if `accept` does, and returns whether there was one.
    ///
    /// # Errors
    /// The line was not accepted.
    pub fn log_line(&self, accept: impl Fn(&str) -> bool) -> Result<bool, alert_code> {
        let mut log = lock(&self.log);
        let WaitingLines { of_calls, next } = &mut *log;
        if next.is_empty() {
            next.extend(of_calls.drain());
            next.extend(self.running.get().into_iter().flat_map(|running| running.worker.lines().drain()));
        }
        let Some(line) = next.front() else { return Ok(false) };
        let level = match line.level {
            Level::Error => "error",
            Level::Warn => "warn",
            Level::Notice => "notice",
        };
        if !accept(&format!("{level}: {}", line.text())) {
            return Err(alert_code::ALERT_EBUFFER);
        }
        next.pop_front();
        Ok(true)
    }

    /// Ends the threads within the limit and gives everything back.
    ///
    /// # Errors
    /// A thread has not ended, or they run in another process: then what they use stays.
    pub fn stop(self, limit: Duration) -> Result<Memory, alert_code> {
        let forked = self.running().is_err();
        let Engine { running, memory, .. } = self;
        match running.into_inner() {
            Some(running) if forked => {
                // They are the parent's, and so is what they hold.
                std::mem::forget(running);
                Err(alert_code::ALERT_EFORK)
            }
            Some(running) => match running.worker.stop(limit) {
                true => Ok(memory),
                false => Err(alert_code::ALERT_ETIMEOUT),
            },
            None => Ok(memory),
        }
    }

    /// The threads, if they run.
    fn running(&self) -> Result<Option<&Running>, alert_code> {
        match self.running.get() {
            Some(running) if running.pid != process::id() => Err(alert_code::ALERT_EFORK),
            running => Ok(running),
        }
    }

    /// The judge of the calls. Unlike threads, calls do not hold on to their part of the board once another
    /// configuration is in force, so they must not touch it then.
    fn judge_here(&self) -> Result<MutexGuard<'_, Judge>, alert_code> {
        let judge = lock(&self.judge);
        if self.board.generation() == self.plan.generation { Ok(judge) } else { Err(alert_code::ALERT_ESTALE) }
    }

    fn checked_time(&self, time_ms: Option<u64>) -> Result<u64, alert_code> {
        match time_ms {
            None => Ok(self.board.clock().now_ms()),
            Some(time_ms) if time_ms <= TIME_MAX_MS => Ok(time_ms),
            Some(_) => Err(alert_code::ALERT_EARGUMENT),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic was caught at the border; what is shared is made of atomics, which are never half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Identifies settings: FNV-1a, since all that share a board mean each other well.
fn key_of(text: &[u8]) -> NonZeroU64 {
    let hash = text
        .iter()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3));
    NonZeroU64::new(hash).unwrap_or(NonZeroU64::MIN)
}
