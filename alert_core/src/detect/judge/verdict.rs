//! One monitor at one instant, and the alerts that come of what its state machines decide.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Judge, Monitor, Totals, cause};
use crate::base::log::Level;
use crate::board::Board;
use crate::board::cell::Packed;
use crate::board::monitor::{IncidentBoard, MonitorBoard};
use crate::board::outbox::Delivery;
use crate::board::window::Window;
use crate::deliver::recipients::takers;
use crate::model::alert::{Alert, Kind, POOL_FIGURES_MAX, PoolFigures, PoolLabel, Status, WindowFigures};
use crate::model::ids::PoolId;
use crate::model::outcome::Outcome;
use crate::rules::failover;
use crate::rules::throttle::{Action, Message, Policy, Signal, Throttle};
use crate::settings::MonitorSettings;

/// One monitor being judged at one instant.
pub(super) struct Judged<'a> {
    pub(super) judge: &'a Judge,
    pub(super) monitor: &'a Monitor,
    pub(super) now_ms: u64,
}

impl Judged<'_> {
    /// Steps the throttle of a kind, and puts what it decides into the outbox.
    pub(super) fn signal(&self, kind: Kind, signal: Signal, moved: Option<&failover::Move>) -> bool {
        let shared = self.monitor.shared;
        let flaps = kind == Kind::Failover && shared.flapping.load().flapping;
        let policy = Policy {
            cooldown_ms: self.monitor.settings.cooldown_ms,
            muted: shared.maintenance.is_on(self.now_ms) || flaps,
            // Flapping is told once, then there is silence.
            reminds: kind != Kind::Flapping,
        };
        let incident = shared.incident(kind);
        let Some(action) = step(&incident.throttle, signal, kind, self.now_ms, &policy) else { return false };
        if signal == Signal::Raised && kind != Kind::Failover {
            incident.begin(self.now_ms, Totals::of(shared), shared.failed_attempts());
        }
        match action {
            Action::Nothing => false,
            Action::Suppress => {
                incident.count(Delivery::HeldBack);
                let message = Message { resolved: false, reminder: false, held_back: 0 };
                self.publish(self.alert(kind, &message, signal, moved), Delivery::HeldBack);
                false
            }
            Action::Notify(message) => {
                self.publish(self.alert(kind, &message, signal, moved), Delivery::Pending);
                incident.count(Delivery::Pending);
                if message.resolved {
                    incident.resolved.fetch_add(1, Relaxed);
                }
                true
            }
        }
    }

    /// Tells that the active pool was changed on purpose, as it was by an order whose worker was killed before it could.
    pub(super) fn tell_switch(&self, from: PoolId, to: PoolId) {
        let Judged { judge, monitor: Monitor { settings, shared, .. }, now_ms } = *self;
        let alert = Alert { instance: judge.instance.clone(), ..Alert::info(Kind::Switched, now_ms) };
        let state = if shared.maintenance.is_on(now_ms) { Delivery::HeldBack } else { Delivery::Pending };
        self.publish(informs(judge.board, shared, settings, [from, to], alert), state);
        shared.incident(Kind::Switched).count(state);
    }

    /// The alerts of this monitor that were decided after this time.
    pub(super) fn alerts_since(&self, time_ms: u64) -> impl Iterator<Item = Alert> {
        self.judge.board.outbox().alerts_since(&self.monitor.settings.name, time_ms)
    }

    fn publish(&self, alert: Alert, state: Delivery) {
        let held_back = if state == Delivery::HeldBack { ", held back" } else { "" };
        let line = format!("{} (monitor \"{}\"{held_back})", alert.headline(), alert.monitor);
        self.judge.log.write(if alert.status == Status::Firing { Level::Warn } else { Level::Notice }, line);
        let (outbox, mut sinks) = (self.judge.board.outbox(), takers(&self.monitor.sinks, alert.kind));
        if alert.status == Status::Resolved {
            // Also those that a reload has taken from the monitor since: they wait for the end.
            let mut told = outbox.told(&alert, &self.judge.sinks);
            told.retain(|sink| !sinks.contains(sink));
            sinks.append(&mut told);
        }
        outbox.publish(&alert, &sinks, state);
    }

    /// The figures of each pool in the window, of the kind that this alert is about, the worst first, and for how long its
    /// release has been there. One that is alone and of no known release is the window itself.
    fn figures(&self, window: &Window<'_>, kind: Kind) -> Vec<PoolFigures> {
        let outcome = match kind {
            Kind::ErrorRate | Kind::Outage => Outcome::Failed,
            Kind::AbandonRate => Outcome::Abandoned,
            Kind::Latency => Outcome::Answered,
            _ => return Vec::new(),
        };
        let per_mille = self.monitor.settings.latency.filter(|_| kind == Kind::Latency).map(|limit| limit.per_mille);
        let figures = |(pool, requests, count, latency_ms)| {
            let board = self.monitor.shared.pool(pool);
            let release_since_ms = board.release_since_ms(self.now_ms);
            let (name, release) = (board.name.load(), board.release.load());
            PoolFigures { name, requests, count, latency_ms, release, release_since_ms }
        };
        let mut pools: Vec<PoolFigures> =
            window.by_pool(outcome, per_mille, |sample| self.monitor.shared.sample_now(sample)).map(figures).collect();
        pools.sort_by(|a, b| b.badness().total_cmp(&a.badness()));
        pools.truncate(POOL_FIGURES_MAX);
        let says_more = pools.len() > 1 || pools.iter().any(|pool| !pool.release.is_empty());
        if says_more { pools } else { Vec::new() }
    }

    /// The alert with everything that is known at this instant.
    fn alert(&self, incident: Kind, message: &Message, signal: Signal, moved: Option<&failover::Move>) -> Alert {
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
            (Kind::Failback, None) if serving == shared.failed_over_from.load() => (shared.stand_in(), serving),
            // Another pool is the active one now.
            (Kind::Failback, None) => (serving, serving),
            (Kind::Flapping, None) => (active, shared.stand_in()),
            _ => (PoolId::NONE, serving),
        };
        let (to, story) = match kind {
            Kind::Probe => self.story_of_probes(message.resolved),
            _ => (to, String::new()),
        };
        let window = self.judge.board.window(shared);
        if let Some(window) = &window {
            self.expire(window);
        }
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
            monitor: self.monitor.settings.name.clone(),
            instance: self.judge.instance.clone(),
            status,
            reminder: message.reminder,
            since_ms: began.since_ms.load(Relaxed),
            limit: self.monitor.limit(kind),
            latency_ms: latency_ms.map_or(0, |[value]| value),
            from: label(shared, from),
            to: label(shared, to),
            no_failure_seen: kind == Kind::Failover && moved.is_some_and(|moved| !moved.failure_seen),
            unwatched: signal == Signal::Unwatched,
            window: WindowFigures::new(self.monitor.settings.window, counts),
            pools: window.map(|window| self.figures(&window, incident)).unwrap_or_default(),
            failed_attempts,
            retries_absorbed,
            errors_reached_users,
            story,
            cause: cause::words(shared),
            // What is over has no failing requests.
            examples: if status == Status::Firing { cause::examples(shared) } else { Vec::new() },
            held_back: message.held_back,
            ..Alert::info(kind, self.now_ms)
        }
    }
}

/// Steps a throttle by compare-and-swap; `None` where another worker was faster with the same step.
fn step(cell: &Packed<Throttle>, signal: Signal, kind: Kind, now_ms: u64, policy: &Policy) -> Option<Action> {
    let mut action = None;
    cell.update(|old| {
        // A limit breaks once: of several workers that see the same count, one says so. A failover is not a count: each
        // move is decided once already, and a second one is news.
        let stale = match signal {
            Signal::Raised => old.raised && kind != Kind::Failover,
            Signal::Cleared => !old.raised,
            Signal::Unwatched => old == Throttle::default(),
            Signal::Unchanged => false,
        };
        let (new, due) = old.on(signal, now_ms, policy);
        action = (!stale).then_some(due);
        if stale { old } else { new }
    });
    action
}

impl IncidentBoard {
    pub(super) fn begin(&self, now_ms: u64, before: Totals, failed_attempts: u64) {
        self.since_ms.store(now_ms, Relaxed);
        self.failed_attempts_before.store(failed_attempts, Relaxed);
        self.retried_before.store(before.retried, Relaxed);
        self.failed_before.store(before.failed, Relaxed);
    }
}

/// An alert that only informs, with what is to be said of a monitor and of the pools before and after.
pub(crate) fn informs(
    board: Board,
    shared: &MonitorBoard,
    settings: &MonitorSettings,
    [from, to]: [PoolId; 2],
    alert: Alert,
) -> Alert {
    let counts = board.window(shared).map(|window| window.counts()).unwrap_or_default();
    Alert {
        monitor: settings.name.clone(),
        from: label(shared, from),
        to: label(shared, to),
        window: WindowFigures::new(settings.window, counts),
        ..alert
    }
}

pub(crate) fn label(shared: &MonitorBoard, pool: PoolId) -> PoolLabel {
    if !pool.is_known() {
        return PoolLabel::default();
    }
    let board = shared.pool(pool);
    PoolLabel { name: board.name.load(), release: board.release.load(), address: shared.address_of(pool) }
}

impl Monitor {
    /// The limit of a kind as configured.
    fn limit(&self, kind: Kind) -> String {
        match kind {
            Kind::ErrorRate => self.settings.error_rate.map(|limit| limit.to_string()),
            Kind::RetryRate => self.settings.retry_rate.map(|limit| limit.to_string()),
            Kind::AbandonRate => self.settings.abandon_rate.map(|limit| limit.to_string()),
            Kind::Latency => self.settings.latency.map(|limit| limit.to_string()),
            Kind::Outage => self.settings.outage.map(|confirm| confirm.to_string()),
            _ => None,
        }
        .unwrap_or_default()
    }
}
