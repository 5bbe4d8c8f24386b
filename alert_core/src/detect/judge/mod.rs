//! From events to alerts: counts each request on the board and lets the state machines decide.
//!
//! A state machine is one packed word, changed by compare-and-swap. The worker whose swap succeeds owns the alert that
//! comes of it, so it exists exactly once, however many workers see the same traffic.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::log::{Level, Log};
use crate::board::monitor::MonitorBoard;
use crate::board::rollout::RolloutBoard;
use crate::board::sink::SinkId;
use crate::board::window::Window;
use crate::board::worker::WorkerBoard;
use crate::board::{Board, Plan};
use crate::deliver::recipients::routes_of;
use crate::model::alert::Kind;
use crate::model::event::Event;
use crate::model::ids::PoolId;
use crate::model::outcome::{ClientGot, Outcome};
use crate::model::success::Success;
use crate::rules::failover::Observation;
use crate::rules::throttle::Signal;
use crate::settings::{MonitorSettings, Settings};
use crate::sink::settings::Route;

mod cause;
mod probes;
mod verdict;
mod votes;

use verdict::Judged;
pub(crate) use verdict::label;

/// Judges by one configuration.
pub struct Judge {
    board: Board,
    generation: u64,
    monitors: Vec<Monitor>,
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
    /// When this worker first saw a candidate confirmed to take over, in milliseconds since the Unix epoch; zero is not now.
    confirmed_since_ms: AtomicU64,
}

/// How long a candidate stays confirmed before it takes over, in milliseconds: for a request whose answer is out and whose log
/// phase is still to come.
const COMMIT_MS: u64 = 1;
/// The monitor whose events are a panic, for the test of what comes of one.
#[cfg(test)]
pub(crate) const PANICS: u16 = u16::MAX;
/// How long to wait at most for a worker that has not judged what it has seen.
const COMMIT_LIMIT_MS: u64 = 50;

/// What came of a look at the confirmed candidates.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// An alert was put into the outbox for delivery.
    pub told: bool,
    /// Some candidate is confirmed and has to wait.
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
                confirmed_since_ms: AtomicU64::new(0),
            })
        });
        Judge {
            board,
            generation: plan.generation,
            monitors: monitors.collect(),
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
        // A request that began before the active pool was changed on purpose went where it had to go then.
        let is_late = event.began_ms < shared.switched_ms.load(Relaxed);
        if let Some(confirm) = monitor.settings.failover.filter(|_| !is_late) {
            let (last, answered) = match (event.answered_by(), event.client()) {
                (Some(pool), _) => (pool, true),
                // What fails says something of its pool; who gave up, or is to follow, of none.
                (None, Some(ClientGot::Failure)) => (event.pool(), false),
                (None, _) => (PoolId::NONE, false),
            };
            let seen = Observation { last, answered, failed, time_ms: event.time_ms };
            judged.who_serves(&seen, confirm, before);
        }
        judged.limits(&window)
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
        self.board.generation() == self.generation && Judged { judge: self, monitor, now_ms }.limits(&window)
    }

    /// Whether no other worker judges.
    pub(crate) fn is_alone(&self, now_ms: u64) -> bool {
        self.board.workers().of_generation(self.generation, now_ms).nth(1).is_none()
    }

    /// The window of a monitor. Another configuration may have moved it.
    #[inline]
    fn window(&self, monitor: &Monitor) -> Option<Window<'static>> {
        let (word, window) = monitor.window;
        if monitor.shared.window.word() == word { window } else { self.board.window(monitor.shared) }
    }

    /// Lets candidates that [`Judge::observe`] saw confirmed take over, as soon as every worker has judged what it has seen: an
    /// answer of the serving pool that comes in between still stops them. Where nobody else judges, that is at once.
    /// Called after each batch of events, and again while something waits.
    pub fn commit(&self, now_ms: u64) -> Committed {
        let mut committed = Committed::default();
        for monitor in &self.monitors {
            let since_ms = monitor.confirmed_since_ms.load(Relaxed);
            if since_ms == 0 {
                continue;
            }
            let waited_ms = now_ms.abs_diff(since_ms);
            let workers = || self.board.workers().of_generation(self.generation, now_ms);
            // What ended before the candidate's row began cannot interrupt it, nor what ended after it was complete.
            let row_since_ms = monitor.shared.failover.load().row_since_ms();
            let caught_up = || !workers().any(|worker| worker.owes(row_since_ms, since_ms));
            if waited_ms < COMMIT_LIMIT_MS && !self.is_alone(now_ms) && (waited_ms < COMMIT_MS || !caught_up()) {
                committed.waiting = true;
                continue;
            }
            monitor.confirmed_since_ms.store(0, Relaxed);
            if self.board.generation() == self.generation {
                committed.told |= Judged { judge: self, monitor, now_ms }.take_over();
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
            let text = format!("{lost} alerts were lost: they made room for newer ones before all sinks had them");
            self.log.write(Level::Error, text);
        }
        for monitor in &self.monitors {
            let shared = monitor.shared;
            let Some(window) = self.board.window(shared) else { continue };
            shared.history.sample(shared, now_ms);
            shared.warnings().into_iter().for_each(|text| self.log.write(Level::Warn, text));
            self.look_after_maintenance(monitor, now_ms);
            if shared.serving().is_known() {
                // Where nobody saw it begin, it serves at least since now.
                let _ = shared.serving_since_ms.compare_exchange(0, now_ms, Relaxed, Relaxed);
            }
            if let Some(max_age_ms) = monitor.settings.max_age_ms {
                window.expire(now_ms.saturating_sub(max_age_ms));
            }
            cause::look(shared, &window.counts(), now_ms);
            let judged = Judged { judge: self, monitor, now_ms };
            told |= judged.limits(&window);
            told |= judged.rules_switched_off();
            told |= judged.flapping(|state| state.tick(now_ms));
            told |= judged.signal(Kind::Failover, judged.failover_goes_on(), None);
            told |= judged.signal(Kind::Flapping, Signal::Unchanged, None);
            told |= judged.probes();
        }
        told
    }

    /// Sets the counts right that a worker left wrong which was killed in the middle of a change. Called at each tick
    /// by a worker that says that it judges, so that two of them never do this at once.
    pub fn mend(&self, own: &WorkerBoard) {
        let workers = self.board.workers();
        let torn: Vec<&WorkerBoard> = workers.torn().collect();
        if torn.is_empty() || self.board.generation() != self.generation {
            return;
        }
        let is_quiet = || workers.is_quiet(own);
        let windows = self.monitors.iter().filter_map(|monitor| self.board.window(monitor.shared));
        if windows.fold(true, |right, window| window.mend(is_quiet) & right) {
            torn.into_iter().for_each(WorkerBoard::end_judging);
        }
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
