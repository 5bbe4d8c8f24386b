//! The detector thread of a worker: takes events from the channel and judges them.
//!
//! Under load it never sleeps inside the channel, where every event would have to wake it: it empties the channel, naps,
//! and looks again. Only when nothing has come for a while does it ask to be woken.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, Thread};
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::board::worker::{HEARTBEAT_MS, WorkerBoard};
use crate::clock::now_ms;
use crate::event::Event;
use crate::intake::Doorbell;
use crate::judge::Judge;
use crate::log::{Level, Log};

/// Between two looks at the channel while requests come.
const NAP: Duration = Duration::from_millis(1);
/// The same while a failover waits for the other workers.
const SHORT_NAP: Duration = Duration::from_micros(250);
/// Looks without an event after which the detector asks to be woken.
const EMPTY_LOOKS: u32 = 8;
/// Events after which it looks at the time even if more wait.
const BATCH: usize = 1024;

/// Everything that the detector of a worker works with.
pub(crate) struct Detector {
    pub(crate) judge: Judge,
    pub(crate) events: Receiver<Event>,
    pub(crate) doorbell: Arc<Doorbell>,
    pub(crate) worker: Option<&'static WorkerBoard>,
    pub(crate) couriers: Vec<Thread>,
    pub(crate) stop: Arc<AtomicBool>,
    /// Stops the couriers, once the last alert is in the outbox.
    pub(crate) stop_couriers: Arc<AtomicBool>,
    pub(crate) log: Log,
}

/// What came of one round.
#[derive(Default)]
struct Round {
    /// Events judged.
    judged: usize,
    /// Something is decided and waits for the other workers.
    waiting: bool,
}

impl Detector {
    /// Runs until it is told to stop; then judges what still waits.
    pub(crate) fn run(mut self) {
        let mut empty_looks = 0;
        let mut next_tick_ms = 0;
        loop {
            let stopping = self.stop.load(Relaxed);
            let Round { judged, waiting } = self.guarded(&mut next_tick_ms);
            if judged > 0 {
                empty_looks = 0;
            } else if stopping && !waiting {
                break;
            } else {
                empty_looks += 1;
            }
            if judged == BATCH {
                continue;
            }
            if waiting {
                thread::sleep(SHORT_NAP);
                continue;
            }
            if stopping {
                continue;
            }
            if empty_looks < EMPTY_LOOKS {
                thread::sleep(NAP);
                continue;
            }
            self.doorbell.going_idle();
            if self.events.is_empty() && !self.stop.load(Relaxed) {
                let until_tick = next_tick_ms.saturating_sub(now_ms()).clamp(1, HEARTBEAT_MS);
                thread::park_timeout(Duration::from_millis(until_tick));
            }
            self.doorbell.awake();
            empty_looks = if self.events.is_empty() { EMPTY_LOOKS } else { 0 };
        }
        self.stop_couriers.store(true, Relaxed);
        self.couriers.iter().for_each(Thread::unpark);
    }

    /// One round, in which a panic costs at most the events of this round.
    fn guarded(&mut self, next_tick_ms: &mut u64) -> Round {
        catch_unwind(AssertUnwindSafe(|| self.round(next_tick_ms))).unwrap_or_else(|_| {
            self.log.write(Level::Error, "the detector panicked and goes on".into());
            *next_tick_ms = now_ms() + HEARTBEAT_MS;
            if let Some(worker) = self.worker {
                // What the panic cost counts as judged, or the other workers would wait for it.
                let left = self.events.len() as u64;
                worker.events.store(worker.queued.load(Relaxed).saturating_sub(left), Relaxed);
                worker.end_judging();
            }
            Round::default()
        })
    }

    fn round(&mut self, next_tick_ms: &mut u64) -> Round {
        let now = now_ms();
        let mut told = false;
        let mut judged = 0;
        if let Some(worker) = self.worker {
            worker.begin_judging();
        }
        for event in self.events.try_iter().take(BATCH) {
            told |= self.judge.observe(&event, now);
            judged += 1;
        }
        if let Some(worker) = self.worker.filter(|_| judged > 0) {
            worker.events.fetch_add(judged as u64, Relaxed);
        }
        let settled = self.judge.settle(now);
        told |= settled.told;
        // A clock that was set back must not stop the heart.
        if now >= *next_tick_ms || *next_tick_ms > now + 2 * HEARTBEAT_MS {
            *next_tick_ms = now + HEARTBEAT_MS;
            told |= self.judge.tick(now);
            if let Some(worker) = self.worker {
                worker.renew(now);
                self.judge.mend(worker);
            }
        }
        if let Some(worker) = self.worker {
            worker.end_judging();
        }
        if told {
            self.couriers.iter().for_each(Thread::unpark);
        }
        Round { judged, waiting: settled.waiting }
    }
}
