//! From events to alerts: counts each request on the board and lets the state machines decide.
//!
//! A state machine is one packed word, changed by compare-and-swap. The worker whose swap succeeds owns the alert that
//! comes of it, so it exists exactly once, however many workers see the same traffic.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed};

use crate::alert::{Alert, Kind, PoolLabel, Status, WindowFigures};
use crate::board::monitor::MonitorBoard;
use crate::board::sink::SinkId;
use crate::board::{Board, Plan};
use crate::event::Event;
use crate::failover::{self, Observation};
use crate::flapping;
use crate::notice::{Action, Message, Notice, Policy, Signal};
use crate::outbox::Delivery;
use crate::pool::{PoolId, PoolSet};
use crate::rule::Standing;
use crate::settings::{Maintenance, MonitorSettings, Settings};
use crate::window::Counts;

/// Judges by one configuration.
pub struct Judge {
    board: Board,
    generation: u64,
    monitors: Vec<Monitor>,
}

struct Monitor {
    settings: MonitorSettings,
    shared: &'static MonitorBoard,
    sinks: Vec<SinkId>,
    muted: bool,
}

impl Judge {
    /// A judge for the configuration of this plan.
    pub fn new(board: Board, plan: &Plan, settings: &Settings) -> Judge {
        let http_level: Vec<usize> = http_level_sinks(settings);
        let monitors = settings.monitors.iter().enumerate().filter_map(|(at, monitor)| {
            let sinks = monitor.sinks.as_ref().unwrap_or(&http_level);
            Some(Monitor {
                settings: monitor.clone(),
                shared: board.monitor(plan, at)?,
                sinks: sinks.iter().filter_map(|sink| plan.sinks().get(*sink).copied()).collect(),
                muted: false,
            })
        });
        let mut judge = Judge { board, generation: plan.generation, monitors: monitors.collect() };
        judge.monitors.iter_mut().for_each(Monitor::look_for_maintenance);
        judge
    }

    /// Counts a request and decides. Returns whether an alert was put into the outbox for delivery.
    #[inline]
    pub fn observe(&self, event: &Event, now_ms: u64) -> bool {
        let Some(monitor) = self.monitors.get(event.monitor as usize) else { return false };
        let Some(last) = event.last() else { return false };
        let shared = monitor.shared;
        let state = failover::State::from_word(shared.failover.load(Relaxed));
        let failed_over = state.serving != shared.active() && shared.active().is_known();
        let outcome = event.outcome(failed_over);

        let Some(window) = self.board.window(shared) else { return false };
        window.record(event.time_ms, event.latency_ms, outcome, last.pool);
        let before = Totals::of(shared);
        let failed = shared.count(event, outcome);
        if self.board.generation() != self.generation {
            // A worker of an earlier configuration, still draining: what it sees says nothing about who serves now.
            return false;
        }
        let judged = Judged { judge: self, monitor, now_ms };
        let mut told = false;
        if let Some(confirm) = monitor.settings.failover {
            let seen = Observation { last: last.pool, answered: !last.failed, failed, time_ms: event.time_ms };
            told |= judged.who_serves(&seen, confirm, before);
        }
        told | judged.limits(&window.counts(), window.size())
    }

    /// What time alone changes: reminders, requests that grow too old, the end of maintenance and of flapping. Called
    /// about once a second. Returns whether an alert was put into the outbox for delivery.
    pub fn tick(&mut self, now_ms: u64) -> bool {
        self.monitors.iter_mut().for_each(Monitor::look_for_maintenance);
        if self.board.generation() != self.generation {
            return false;
        }
        let mut told = false;
        for monitor in &self.monitors {
            let Some(window) = self.board.window(monitor.shared) else { continue };
            if let Some(max_age_ms) = monitor.settings.max_age_ms {
                window.expire(now_ms.saturating_sub(max_age_ms));
            }
            let judged = Judged { judge: self, monitor, now_ms };
            told |= judged.limits(&window.counts(), window.size());
            if monitor.settings.failover.is_some() {
                told |= judged.flapping(|state| state.tick(now_ms));
                told |= judged.signal(Kind::Failover, Signal::Unchanged, None);
                told |= judged.signal(Kind::Flapping, Signal::Unchanged, None);
            }
        }
        told
    }
}

/// The sinks of the http level: those that no monitor has for itself.
fn http_level_sinks(settings: &Settings) -> Vec<usize> {
    let own = |sink: &usize| settings.monitors.iter().flat_map(|monitor| &monitor.sinks).flatten().any(|at| at == sink);
    (0..settings.sinks.len()).filter(|sink| !own(sink)).collect()
}

impl Monitor {
    fn look_for_maintenance(&mut self) {
        self.muted = match &self.settings.maintenance {
            Maintenance::Off => false,
            Maintenance::On => true,
            Maintenance::File(path) => path.exists(),
        };
    }

    /// The limit of a kind as configured.
    fn limit(&self, kind: Kind) -> String {
        match kind {
            Kind::ErrorRate => self.settings.error_rate.map(|limit| limit.to_string()),
            Kind::RetryRate => self.settings.retry_rate.map(|limit| limit.to_string()),
            Kind::Latency => self.settings.latency.map(|limit| limit.to_string()),
            _ => None,
        }
        .unwrap_or_default()
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

impl MonitorBoard {
    /// Counts a request in the totals and returns the pools of its failed attempts.
    #[inline]
    fn count(&self, event: &Event, outcome: crate::window::Outcome) -> PoolSet {
        use crate::window::Outcome;
        let mut failed = PoolSet::EMPTY;
        let Some((last, earlier)) = event.attempts().split_last() else { return failed };
        for attempt in earlier {
            let pool = self.pool(attempt.pool);
            if attempt.failed {
                failed.insert(attempt.pool);
                pool.failed_attempts.fetch_add(1, Relaxed);
                pool.remember_peer(attempt);
            } else {
                pool.passed_on.fetch_add(1, Relaxed);
            }
        }
        let pool = self.pool(last.pool);
        pool.remember_peer(last);
        if last.failed {
            failed.insert(last.pool);
            pool.failed_attempts.fetch_add(1, Relaxed);
            pool.failed_last.fetch_add(1, Relaxed);
        } else {
            pool.last_seen_ms.store(event.time_ms, Relaxed);
            pool.count_answer(event.latency_ms);
        }
        match outcome {
            Outcome::Answered => (),
            Outcome::Failed => {
                self.failed.fetch_add(1, Relaxed);
            }
            Outcome::Retried | Outcome::RetriedWhileFailedOver => {
                self.retried.fetch_add(1, Relaxed);
            }
        }
        failed
    }
}

impl crate::board::monitor::PoolBoard {
    #[inline]
    fn remember_peer(&self, attempt: &crate::event::Attempt) {
        if let Some(place) = attempt.peer.index() {
            self.last_peer.store(place as u64 + 1, Relaxed);
        }
    }
}

/// One monitor being judged at one instant.
struct Judged<'a> {
    judge: &'a Judge,
    monitor: &'a Monitor,
    now_ms: u64,
}

impl Judged<'_> {
    /// Steps the failover state machine.
    #[inline]
    fn who_serves(&self, seen: &Observation, confirm: u32, before: Totals) -> bool {
        let shared = self.monitor.shared;
        let mut word = shared.failover.load(Acquire);
        let (old, new, moved) = loop {
            let old = failover::State::from_word(word);
            let (new, moved) = old.step(seen, &failover::Rules { active: shared.active(), confirm });
            if new == old {
                return false;
            }
            match shared.failover.compare_exchange_weak(word, new.to_word(), AcqRel, Acquire) {
                Ok(_) => break (old, new, moved),
                Err(current) => word = current,
            }
        };
        if !shared.active().is_known() {
            // The first pool seen serving is the one that should. Another worker may have been first.
            let _ = shared.active.compare_exchange(0, u64::from(new.serving.get()), AcqRel, Relaxed);
        }
        if new.struck && !old.struck {
            // What follows belongs to one incident, if it becomes one.
            let incident = shared.incident(Kind::Failover);
            if !Notice::from_word(incident.notice.load(Relaxed)).broken {
                incident.begin(seen.time_ms, before, shared.failed_attempts().saturating_sub(1));
            }
        }
        moved.is_some_and(|moved| self.moved(&moved, before))
    }

    /// Traffic moved: says so, unless it does so too often.
    fn moved(&self, moved: &failover::Move, before: Totals) -> bool {
        let shared = self.monitor.shared;
        let back = moved.to == shared.active();
        if !back && !moved.failure_seen {
            shared.incident(Kind::Failover).begin(self.now_ms, before, shared.failed_attempts());
        }
        if !back {
            shared.stand_in.store(u64::from(moved.to.get()), Relaxed);
        }
        let told = self.flapping(|state| state.moved(!back, self.now_ms));
        let signal = if back { Signal::Mended } else { Signal::Broke };
        self.signal(Kind::Failover, signal, Some(moved)) | told
    }

    /// Changes the flapping state, and tells where that begins or ends.
    fn flapping(&self, change: impl Fn(flapping::State) -> flapping::State) -> bool {
        let cell = &self.monitor.shared.flapping;
        let changed = cell.fetch_update(AcqRel, Acquire, |word| {
            let old = flapping::State::from_word(word);
            let new = change(old);
            (new != old).then(|| new.to_word())
        });
        let Ok(old) = changed else { return false };
        let new = flapping::State::from_word(cell.load(Relaxed)).flapping;
        match (flapping::State::from_word(old).flapping, new) {
            (false, true) => self.signal(Kind::Flapping, Signal::Broke, None),
            (true, false) => self.signal(Kind::Flapping, Signal::Mended, None),
            _ => false,
        }
    }

    /// Holds the window against the limits.
    #[inline]
    fn limits(&self, counts: &Counts, size: u32) -> bool {
        let settings = &self.monitor.settings;
        let mut told = false;
        if let Some(limit) = settings.error_rate {
            told |= self.limit(Kind::ErrorRate, limit.judge(counts.failed, size));
        }
        if let Some(limit) = settings.retry_rate {
            let standing = match limit.judge(counts.retried, size) {
                // While failed over, retries are explained by what was told already.
                Standing::Broken if self.failed_over() => Standing::Between,
                standing => standing,
            };
            told |= self.limit(Kind::RetryRate, standing);
        }
        if let Some(limit) = settings.latency {
            told |= self.limit(Kind::Latency, limit.judge(counts, size));
        }
        told
    }

    #[inline]
    fn limit(&self, kind: Kind, standing: Standing) -> bool {
        let word = self.monitor.shared.incident(kind).notice.load(Relaxed);
        if word == 0 && standing != Standing::Broken {
            // Never broken: by far the most frequent case.
            return false;
        }
        let signal = match (Notice::from_word(word).broken, standing) {
            (false, Standing::Broken) => Signal::Broke,
            (true, Standing::Fine) => Signal::Mended,
            _ => Signal::Unchanged,
        };
        self.signal(kind, signal, None)
    }

    fn failed_over(&self) -> bool {
        let shared = self.monitor.shared;
        shared.active().is_known() && shared.serving().is_known() && shared.serving() != shared.active()
    }

    /// Steps the notice of a kind, and puts what it decides into the outbox.
    fn signal(&self, kind: Kind, signal: Signal, moved: Option<&failover::Move>) -> bool {
        let shared = self.monitor.shared;
        let flaps = kind == Kind::Failover && flapping::State::from_word(shared.flapping.load(Relaxed)).flapping;
        let policy =
            Policy { cooldown_ms: self.monitor.settings.cooldown_ms, muted: self.monitor.muted || flaps };
        let incident = shared.incident(kind);
        let Some(action) = step(&incident.notice, signal, kind, self.now_ms, &policy) else { return false };
        if signal == Signal::Broke && kind != Kind::Failover {
            incident.begin(self.now_ms, Totals::of(shared), shared.failed_attempts());
        }
        match action {
            Action::Nothing => false,
            Action::Hold => {
                incident.held_back.fetch_add(1, Relaxed);
                let message = Message { resolved: false, reminder: false, held_back: 0 };
                self.publish(self.alert(kind, &message, moved), Delivery::HeldBack);
                false
            }
            Action::Tell(message) => {
                incident.fired.fetch_add(1, Relaxed);
                self.publish(self.alert(kind, &message, moved), Delivery::Pending);
                true
            }
        }
    }

    fn publish(&self, alert: Alert, state: Delivery) {
        self.judge.board.outbox().publish(&alert, &self.monitor.sinks, state);
    }

    /// The alert with everything that is known at this instant.
    fn alert(&self, incident: Kind, message: &Message, moved: Option<&failover::Move>) -> Alert {
        let shared = self.monitor.shared;
        let began = shared.incident(incident);
        let (kind, status) = match (incident, message.resolved) {
            (Kind::Failover, true) => (Kind::Failback, Status::Resolved),
            (kind, true) => (kind, Status::Resolved),
            (kind, false) => (kind, Status::Firing),
        };
        let (active, serving) = (shared.active(), shared.serving());
        let (from, to) = match (kind, moved) {
            (_, Some(moved)) => (moved.from, moved.to),
            (Kind::Failover, None) => (active, serving),
            (Kind::Failback, None) => (shared.stand_in(), serving),
            (Kind::Flapping, None) => (active, shared.stand_in()),
            _ => (PoolId::NONE, serving),
        };
        let window = self.judge.board.window(shared);
        let counts = window.map(|window| window.counts()).unwrap_or_default();
        let latency = self.monitor.settings.latency.filter(|_| kind == Kind::Latency);
        let latency_ms = window.zip(latency).and_then(|(window, limit)| window.percentiles([limit.per_mille]));
        let since = |before: &AtomicU64, now: u64| now.saturating_sub(before.load(Relaxed));
        let (failed_attempts, retries_absorbed, errors_reached_users) = match incident {
            Kind::Failover | Kind::Flapping => (
                since(&began.failed_attempts_before, shared.failed_attempts()),
                since(&began.retried_before, shared.retried.load(Relaxed)),
                since(&began.failed_before, shared.failed.load(Relaxed)),
            ),
            _ => (0, u64::from(counts.retried), u64::from(counts.failed)),
        };
        Alert {
            id: 0,
            time_ms: self.now_ms,
            monitor: self.monitor.settings.name.clone(),
            host: String::new(),
            kind,
            status,
            reminder: message.reminder,
            since_ms: began.since_ms.load(Relaxed),
            limit: self.monitor.limit(kind),
            latency_ms: latency_ms.map_or(0, |[value]| value),
            from: label(shared, from),
            to: label(shared, to),
            no_failure_seen: kind == Kind::Failover && moved.is_some_and(|moved| !moved.failure_seen),
            window: WindowFigures {
                size: self.monitor.settings.window,
                filled: counts.filled,
                failed: counts.failed,
                retried: counts.retried,
            },
            failed_attempts,
            retries_absorbed,
            errors_reached_users,
            held_back: message.held_back,
        }
    }
}

/// Steps a notice by compare-and-swap; `None` where another worker was faster with the same step.
fn step(cell: &AtomicU64, signal: Signal, kind: Kind, now_ms: u64, policy: &Policy) -> Option<Action> {
    let mut word = cell.load(Acquire);
    loop {
        let old = Notice::from_word(word);
        // A limit breaks once: of several workers that see the same count, one says so. A failover is not a count: each
        // move is decided once already, and a second one is news.
        let stale = match signal {
            Signal::Broke => old.broken && kind != Kind::Failover,
            Signal::Mended => !old.broken,
            Signal::Unchanged => false,
        };
        if stale {
            return None;
        }
        let (new, action) = old.on(signal, now_ms, policy);
        if new == old {
            return Some(action);
        }
        match cell.compare_exchange_weak(word, new.to_word(), AcqRel, Acquire) {
            Ok(_) => return Some(action),
            Err(current) => word = current,
        }
    }
}

impl crate::board::monitor::IncidentBoard {
    fn begin(&self, now_ms: u64, before: Totals, failed_attempts: u64) {
        self.since_ms.store(now_ms, Relaxed);
        self.failed_attempts_before.store(failed_attempts, Relaxed);
        self.retried_before.store(before.retried, Relaxed);
        self.failed_before.store(before.failed, Relaxed);
    }
}

fn label(shared: &MonitorBoard, pool: PoolId) -> PoolLabel {
    if !pool.is_known() {
        return PoolLabel::default();
    }
    let board = shared.pool(pool);
    PoolLabel { name: board.name.load(), release: board.release.load(), address: shared.address_of(pool) }
}
