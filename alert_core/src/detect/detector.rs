//! The detector thread of a worker: takes requests from the ring and the channel and judges them.
//!
//! It never sleeps inside the channel, which would cost the event loop a mutex for each event. Successes of the fast path
//! wait in the ring until it comes by, every few milliseconds; an event wakes it from that, and so does another worker whose
//! decision waits for what lies here. Only when nothing has come for a while does it sleep until anything wakes it. Where events
//! come so fast that each of them would wake it, it takes short naps that nobody ends.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::Receiver;

use crate::base::clock::Clock;
use crate::base::log::Log;
use crate::base::task::{Look, Task};
use crate::board::doorbell::{Doorbell, Sleep};
use crate::board::worker::{HEARTBEAT_MS, WorkerBoard};
use crate::detect::judge::Judge;
use crate::model::event::Event;
use crate::model::success::{Answered, Success};
use crate::observe::event_clock::EventClock;
use crate::observe::spsc::Consumer;

/// Between two looks at the channel while events come fast.
const NAP: Duration = Duration::from_micros(250);
/// Events in one round that are fast.
const FAST: usize = 8;
/// Between two looks while a decision waits for the other workers.
const WAIT: Duration = Duration::from_micros(100);
/// Between two looks at the ring while answers come.
const DOZE: Duration = Duration::from_millis(10);
/// Looks at nothing after which the detector asks to be woken for answers too.
const EMPTY_LOOKS: u32 = 4;
/// Between two ticks of a worker at rest.
const REST_MS: u64 = 2 * HEARTBEAT_MS;
/// How long the last deliveries may take before what comes after them is done all the same.
const LAST_WAIT: Duration = Duration::from_millis(650);
/// Events after which it looks at the time even if more wait.
const BATCH: usize = 1024;

/// Everything that the detector of a worker works with.
pub(crate) struct Detector {
    pub(crate) judge: Judge,
    /// What it looks after, in the order in which it ends.
    pub(crate) tasks: Vec<Box<dyn Task>>,
    pub(crate) clock: Clock,
    pub(crate) events: Receiver<Event>,
    pub(crate) successes: Consumer,
    /// The clock of the times in it.
    pub(crate) event_clock: EventClock,
    /// Those taken from the ring last, with room for all that can wait there.
    pub(crate) answers: Vec<Success>,
    pub(crate) doorbell: &'static Doorbell,
    pub(crate) worker: Option<&'static WorkerBoard>,
    /// Set by whoever else has put an alert into the outbox or ordered something, before waking the detector.
    pub(crate) wanted: Arc<AtomicBool>,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) log: Log,
    /// Nothing has come since the last tick.
    pub(crate) rests: bool,
}

/// What came of one round.
#[derive(Default)]
struct Round {
    /// Events judged.
    events: usize,
    /// Answers counted.
    answers: usize,
    /// Something is decided and waits for the other workers.
    waiting: bool,
}

impl Detector {
    /// Runs until it is told to stop; then judges what still waits.
    pub(crate) fn run(&mut self) {
        let mut empty_looks = EMPTY_LOOKS;
        let mut next_tick_ms = 0;
        loop {
            let stopping = self.stop.load(Relaxed);
            let round = self.guarded(&mut next_tick_ms);
            empty_looks = if round.events + round.answers > 0 { 0 } else { empty_looks.saturating_add(1) };
            if round.events == BATCH {
                continue;
            }
            if round.waiting {
                // Not to sleep by a call that a container may refuse, which would be a panic.
                thread::park_timeout(WAIT);
            } else if stopping {
                if round.events == 0 && round.answers == 0 {
                    break;
                }
            } else if round.events >= FAST {
                thread::park_timeout(NAP);
            } else if empty_looks < EMPTY_LOOKS {
                self.sleep(Sleep::Dozing, DOZE);
            } else {
                let until_tick = next_tick_ms.saturating_sub(self.clock.now_ms()).clamp(1, REST_MS);
                self.sleep(Sleep::Asleep, Duration::from_millis(until_tick));
            }
        }
        let deadline = Instant::now() + LAST_WAIT;
        self.for_each_task(|task| task.finish(deadline));
    }

    /// Sleeps until it is woken for what this sleep lets through, but not for longer than `limit`.
    fn sleep(&self, sleep: Sleep, limit: Duration) {
        if sleep == Sleep::Asleep {
            self.successes.rest();
        }
        self.doorbell.set(sleep);
        let waits = !self.events.is_empty() || (sleep == Sleep::Asleep && self.successes.waiting() > 0);
        if !waits && !self.stop.load(Relaxed) && !self.wanted.load(Relaxed) {
            self.doorbell.wait(sleep, limit);
        }
        self.doorbell.set(Sleep::Awake);
    }

    /// One round, in which a panic costs at most what was taken in this round.
    fn guarded(&mut self, next_tick_ms: &mut u64) -> Round {
        catch_unwind(AssertUnwindSafe(|| self.round(next_tick_ms))).unwrap_or_else(|_| {
            self.log.tell_panic("the detector");
            *next_tick_ms = self.clock.now_ms() + HEARTBEAT_MS;
            if let Some(worker) = self.worker {
                // What the panic cost counts as judged, or the other workers would wait for it.
                let left = (self.events.len() + self.successes.waiting()) as u64;
                worker.events.store(worker.queued.load(Relaxed).saturating_sub(left), Relaxed);
                worker.end_judging();
            }
            Round::default()
        })
    }

    fn round(&mut self, next_tick_ms: &mut u64) -> Round {
        let now = self.clock.now_ms();
        let mut look = self.wanted.swap(false, Acquire);
        let mut round = Round::default();
        if let Some(worker) = self.worker {
            if worker.owes_lap() {
                self.log.call();
            }
            worker.begin_judging();
        }
        while round.events < BATCH {
            // Looked at before the channel: what is in the ring now has no unseen event before it.
            let waiting = self.successes.waiting();
            let event = self.events.try_recv().ok();
            let taken = self.successes.count() as u32;
            let ahead = event.as_ref().map_or(waiting, |event| event.answers_ahead.wrapping_sub(taken) as usize);
            self.answers.clear();
            self.successes.take(ahead, &mut self.answers, |words| {
                let success = Success::from(Answered::from_words(words));
                Success { time_ms: self.event_clock.of_wall_ms(success.time_ms), ..success }
            });
            round.answers += self.answers.len();
            look |= self.judge.count(&self.answers, now);
            let Some(event) = event else { break };
            round.events += 1;
            look |= self.judge.observe(&event, now);
        }
        if let Some(worker) = self.worker.filter(|_| round.events + round.answers > 0) {
            worker.judged((round.events + round.answers) as u64);
        }
        let committed = self.judge.commit(now, Instant::now());
        look |= committed.told;
        round.waiting = committed.waiting;
        self.rests &= round.events + round.answers == 0;
        let is_tick = now >= *next_tick_ms;
        if is_tick {
            *next_tick_ms = now + if self.rests { REST_MS } else { HEARTBEAT_MS };
            self.rests = true;
            if let Some(worker) = self.worker {
                worker.renew(now);
                // First, so that what was left undone is told for what it is.
                self.judge.mend(worker, now);
            }
            self.judge.tick(now);
        }
        if let Some(worker) = self.worker {
            worker.end_judging();
        }
        let at = Look { now_ms: now, next_ms: *next_tick_ms };
        if is_tick {
            self.for_each_task(|task| task.tick(at));
        } else if look {
            self.for_each_task(|task| task.look(at));
        }
        round
    }

    /// A panic of one costs the others nothing.
    fn for_each_task(&mut self, mut body: impl FnMut(&mut dyn Task)) {
        for task in &mut self.tasks {
            self.log.guard("the detector", || body(task.as_mut()));
        }
    }
}
