//! From events to alerts: counts each request on the board and lets the state machines decide.
//!
//! A state machine is one packed word, changed by compare-and-swap. The worker whose swap succeeds owns the alert that
//! comes of it, so it exists exactly once, however many workers see the same traffic.

use std::cell::OnceCell;
use std::sync::atomic::{AtomicBool, Ordering::Acquire, Ordering::Relaxed};
use std::time::Instant;

use crate::base::log::{Level, Log};
use crate::board::monitor::MonitorBoard;
use crate::board::rollout::RolloutBoard;
use crate::board::sink::SinkId;
use crate::board::window::Window;
use crate::board::{Board, Plan};
use crate::deliver::recipients::routes_of;
use crate::detect::order::Barrier;
use crate::model::event::Event;
use crate::model::ids::PoolId;
use crate::model::outcome::{ClientGot, Outcome};
use crate::model::success::Success;
use crate::rules::failover::{Observation, Row};
use crate::settings::{MonitorSettings, Settings};
use crate::sink::settings::Route;

mod cause;
mod limits;
mod mend;
mod probes;
mod serving;
mod verdict;
mod votes;

use limits::Look;
use verdict::Judged;
pub(crate) use verdict::{informs, label};

/// Judges by one configuration.
pub struct Judge {
    board: Board,
    generation: u64,
    monitors: Vec<Monitor>,
    /// All sinks of the configuration.
    sinks: Vec<SinkId>,
    /// What this nginx is called.
    instance: String,
    log: Log,
}

struct Monitor {
    settings: MonitorSettings,
    shared: &'static MonitorBoard,
    sinks: Vec<(SinkId, Route)>,
    /// The pools that are listed, in their order.
    pools: Vec<PoolId>,
    rollout: Option<&'static RolloutBoard>,
    /// Its window, and the word of the board that said where it lies.
    window: (u64, Option<Window<'static>>),
    /// Something is confirmed since the last look.
    confirmed: AtomicBool,
    /// What is confirmed and waits for the other workers.
    waiting: Option<Waiting>,
}

/// The wait of what was confirmed when it began.
struct Waiting {
    barrier: Barrier,
    /// The row of a candidate, if that was confirmed.
    row: Option<Row>,
}

/// A monitor that no configuration has: its events make the judge panic, to see what comes of that.
#[cfg(test)]
pub(crate) const PANICS: u16 = u16::MAX;

/// What came of a look at what is confirmed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// An alert was put into the outbox for delivery.
    pub told: bool,
    /// Something is confirmed and has to wait.
    pub waiting: bool,
}

impl Judge {
    /// A judge for the configuration of this plan.
    pub fn new(board: Board, plan: &Plan, settings: &Settings, log: Log) -> Judge {
        let monitors = settings.monitors.iter().enumerate().filter_map(|(at, monitor)| {
            let shared = board.monitor(plan, at)?;
            Some(Monitor {
                settings: monitor.clone(),
                shared,
                window: (shared.window.word(), board.window(shared)),
                sinks: routes_of(plan, settings, at),
                pools: plan.pools(at).to_vec(),
                rollout: board.rollout(plan, at),
                confirmed: AtomicBool::new(false),
                waiting: None,
            })
        });
        Judge {
            board,
            generation: plan.generation,
            monitors: monitors.collect(),
            sinks: plan.sinks().iter().copied().chain(plan.poll()).collect(),
            instance: settings.instance.clone(),
            log,
        }
    }

    /// Counts a request and decides. Returns whether an alert was put into the outbox for delivery.
    #[inline]
    pub fn observe(&self, event: &Event, now_ms: u64) -> bool {
        #[cfg(test)]
        assert_ne!(event.monitor, PANICS, "a test wants a panic");
        let Some(monitor) = self.monitors.get(event.monitor as usize) else { return false };
        let shared = monitor.shared;
        let changed = shared.without_gone(event);
        let event = changed.as_ref().unwrap_or(event);
        monitor.count_first_attempt(event, now_ms);
        if let Some(answer) = event.success().filter(|answer| shared.is_steady(answer.origin.pool())) {
            return self.count_steady(monitor, &[answer], now_ms);
        }
        let Some(window) = self.window(monitor) else { return false };
        let outcome = event.outcome(shared.is_failed_over());
        if let Some(outcome) = outcome {
            window.record(event.time_ms, event.latency_ms, outcome, event.pool());
        }
        let before = Totals::of(shared);
        let failed = shared.count(event, outcome);
        if self.board.generation() != self.generation {
            // A worker of an earlier configuration, still draining: what it sees says nothing about who serves now.
            return false;
        }
        let judged = Judged { judge: self, monitor, now_ms };
        let told = outcome.is_some_and(|outcome| judged.outage(event, outcome));
        // A request that began before traffic moved, or was moved on purpose, went where it had to go then.
        let is_late = event.began_ms <= shared.moved_ms.load(Acquire);
        if let Some(confirm) = monitor.settings.failover.filter(|_| !is_late) {
            let (last, answered) = match (event.served_by(), event.client()) {
                (Some(pool), _) => (pool, true),
                // What fails says something of its pool; who gave up, or is to follow, of none.
                (None, Some(ClientGot::Failure)) => (event.pool(), false),
                (None, _) => (PoolId::NONE, false),
            };
            let (began_ms, header_ms) = (event.began_ms, event.header_ms);
            judged.who_serves(&Observation { last, answered, failed, began_ms, header_ms }, confirm, before);
            if let Some(first) = event.attempts().first() {
                shared.split.count(first.pool, 1, monitor.settings.window);
            }
        }
        judged.limits(&window, Look::Request) | told
    }

    /// Counts answers, nearly all of which are of the pool that serves. Returns whether an alert was put into the outbox
    /// for delivery.
    pub fn count(&self, answers: &[Success], now_ms: u64) -> bool {
        answers
            .chunk_by(|one, next| one.origin == next.origin)
            .fold(false, |told, run| self.count_run(run, now_ms) | told)
    }

    /// The same for answers of one server. None of them breaks a limit on failures, so that limits can wait for the last.
    fn count_run(&self, run: &[Success], now_ms: u64) -> bool {
        let Some(Success { origin, .. }) = run.first() else { return false };
        let Some(monitor) = self.monitors.get(origin.monitor() as usize) else { return false };
        let pool = origin.pool();
        if !monitor.shared.is_steady(pool) {
            // Since they were put into the ring, another pool has come into sight.
            return run.iter().fold(false, |told, answer| self.observe(&Event::from(*answer), now_ms) | told);
        }
        monitor.count_first_answers(pool, run.len() as u64);
        self.count_steady(monitor, run, now_ms)
    }

    /// The same for answers of the pool that serves.
    fn count_steady(&self, monitor: &Monitor, run: &[Success], now_ms: u64) -> bool {
        let Some(Success { origin, .. }) = run.first() else { return false };
        let Some(window) = self.window(monitor) else { return false };
        window.record_all(
            run.iter().map(|answer| (answer.time_ms, answer.latency_ms)),
            Outcome::Answered,
            origin.pool(),
        );
        monitor.shared.count_answers(run);
        if self.board.generation() != self.generation {
            return false;
        }
        monitor.shared.split.count(origin.pool(), run.len() as u64, monitor.settings.window);
        let judged = Judged { judge: self, monitor, now_ms };
        judged.still_serves(run);
        let told = judged.outage_answers(run);
        judged.limits(&window, Look::Request) | told
    }

    /// Whether no other worker judges.
    fn is_alone(&self, now_ms: u64) -> bool {
        self.board.workers().of_generation(self.generation, now_ms).nth(1).is_none()
    }

    /// The window of a monitor. Another configuration may have moved it.
    #[inline]
    fn window(&self, monitor: &Monitor) -> Option<Window<'static>> {
        let (word, window) = monitor.window;
        if monitor.shared.window.word() == word { window } else { self.board.window(monitor.shared) }
    }

    /// Commits what [`Judge::observe`] saw confirmed (another pool takes over, nothing works any more), as soon as every
    /// worker has judged what it had seen then: a request that comes in between still stops it. Where nobody else judges,
    /// that is at once. Called after each batch of events, and again while something waits.
    pub fn commit(&mut self, now_ms: u64, now: Instant) -> Committed {
        let mut committed = Committed::default();
        let (board, generation, alone) = (self.board, self.generation, OnceCell::new());
        for at in 0..self.monitors.len() {
            let monitor = &mut self.monitors[at];
            if monitor.confirmed.swap(false, Relaxed) {
                monitor.waiting = Some(Waiting { barrier: Barrier::new(now), row: monitor.shared.confirmed_row() });
            }
            let Some(Waiting { barrier, row }) = &mut monitor.waiting else { continue };
            let workers = || board.workers().of_generation(generation, now_ms);
            if !alone.get_or_init(|| workers().nth(1).is_none()) && !barrier.is_passed(workers, now) {
                committed.waiting = true;
                continue;
            }
            let row = *row;
            monitor.waiting = None;
            if board.generation() == generation {
                let judged = Judged { judge: self, monitor: &self.monitors[at], now_ms };
                committed.told |= judged.commit_outage();
                committed.told |= judged.take_over(row);
                committed.waiting |= judged.monitor.confirmed.load(Relaxed);
            }
        }
        committed
    }

    /// What time alone changes: reminders, requests that grow too old, the end of maintenance and of flapping. Called
    /// about once a second. Returns whether an alert was put into the outbox for delivery.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        if self.board.generation() != self.generation {
            return false;
        }
        let mut told = false;
        if let Some(lost) = self.board.outbox().newly_lost(now_ms) {
            let text = format!("{lost} undelivered alerts were dropped: the queue is full");
            self.log.write(Level::Error, text);
        }
        for monitor in &self.monitors {
            let shared = monitor.shared;
            let Some(window) = self.board.window(shared) else { continue };
            shared.history.sample(shared, now_ms);
            shared.warnings().into_iter().for_each(|text| self.log.write(Level::Warn, text));
            self.look_after_maintenance(monitor, now_ms);
            for pool in &shared.pools {
                pool.release_since_ms(now_ms);
            }
            if let Some(rollout) = monitor.rollout {
                rollout.forget_pools_that_are_gone(shared);
            }
            if shared.serving().is_known() {
                // Where nobody saw it begin, it serves at least since now.
                let _ = shared.serving_since_ms.compare_exchange(0, now_ms, Relaxed, Relaxed);
            }
            let (_, serving) = shared.change_failover(|state| state.tick(now_ms));
            if serving.confirmed || shared.outage.load().confirmed {
                // The worker that saw it may have been killed before it committed.
                monitor.confirmed.fetch_or(monitor.waiting.is_none(), Relaxed);
            }
            let judged = Judged { judge: self, monitor, now_ms };
            judged.expire(&window);
            cause::look(shared, &window.counts(), now_ms);
            told |= judged.outage_at_rest();
            told |= judged.limits(&window, Look::Tick);
            told |= judged.flapping_at_rest();
            told |= judged.failover_at_rest();
            told |= judged.probes();
        }
        told
    }

    fn look_after_maintenance(&self, monitor: &Monitor, now_ms: u64) {
        let maintenance = &monitor.shared.maintenance;
        maintenance.look_up(&monitor.settings.maintenance);
        if maintenance.expire(now_ms) {
            let text = format!("the time of the maintenance of monitor \"{}\" is over", monitor.settings.name);
            self.log.write(Level::Notice, text);
        }
    }
}

/// Totals of a monitor, to tell what an incident cost.
#[derive(Clone, Copy)]
struct Totals {
    failed: u64,
    retried: u64,
}

impl Totals {
    #[inline]
    fn of(shared: &MonitorBoard) -> Totals {
        Totals { failed: shared.failed.load(Relaxed), retried: shared.retried.load(Relaxed) }
    }
}

#[cfg(test)]
mod tests;
