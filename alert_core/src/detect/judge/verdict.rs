//! One monitor at one instant: what its state machines decide, and the alerts that come of it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{Judge, Monitor, Totals, cause};
use crate::base::log::Level;
use crate::board::cell::Packed;
use crate::board::monitor::{IncidentBoard, MonitorBoard};
use crate::board::outbox::Delivery;
use crate::board::window::Window;
use crate::deliver::recipients::takers;
use crate::model::alert::{Alert, Kind, Links, Missed, PoolLabel, Status, WindowFigures};
use crate::model::ids::PoolId;
use crate::rules::failover::{self, Observation};
use crate::rules::flapping;
use crate::rules::limit::Standing;
use crate::rules::throttle::{Action, Message, Policy, Signal, Throttle};

/// One monitor being judged at one instant.
pub(super) struct Judged<'a> {
    pub(super) judge: &'a Judge,
    pub(super) monitor: &'a Monitor,
    pub(super) now_ms: u64,
}

impl Judged<'_> {
    /// Steps the failover state machine.
    #[inline]
    pub(super) fn who_serves(&self, seen: &Observation, confirm: u32, before: Totals) {
        let shared = self.monitor.shared;
        let active = shared.active();
        let (old, new) = shared.failover.update(|old| {
            let mut served_ms = shared.pool(old.serving).last_seen_ms.load(Relaxed);
            if served_ms >= seen.time_ms && self.judge.is_alone(self.now_ms) {
                // One worker judges in the order in which requests end, whatever the ticks of the clock.
                served_ms = 0;
            }
            old.step(seen, &failover::Rules { active, confirm }, served_ms)
        });
        if new.confirmed && self.monitor.confirmed_since_ms.load(Relaxed) == 0 {
            self.monitor.confirmed_since_ms.store(self.now_ms, Relaxed);
        }
        if new == old {
            return;
        }
        if !active.is_known() {
            // The first pool seen serving is the one that should. Another worker may have been first.
            shared.active.replace(PoolId::NONE, new.serving);
        }
        if new.failure_seen && !old.failure_seen {
            // What follows belongs to one incident, if it becomes one.
            let incident = shared.incident(Kind::Failover);
            if !incident.throttle.load().raised {
                incident.begin(seen.time_ms, before, shared.failed_attempts().saturating_sub(1));
            }
        }
    }

    /// Lets a confirmed candidate take over, if it still is confirmed and no other worker was faster.
    pub(super) fn take_over(&self) -> bool {
        let (old, _) = self.monitor.shared.failover.update(|state| state.take_over().map_or(state, |(after, _)| after));
        old.take_over().is_some_and(|(_, moved)| self.moved(&moved))
    }

    /// Traffic moved: says so, unless it does so too often.
    fn moved(&self, moved: &failover::Move) -> bool {
        let shared = self.monitor.shared;
        let back = moved.to == shared.active();
        if !back && !moved.failure_seen {
            shared.incident(Kind::Failover).begin(self.now_ms, Totals::of(shared), shared.failed_attempts());
        }
        if !back {
            shared.stand_in.store(moved.to);
        }
        shared.serving_since_ms.store(self.now_ms, Relaxed);
        let told = self.flapping(|state| state.moved(!back, self.now_ms));
        let signal = if back { Signal::Cleared } else { Signal::Raised };
        self.signal(Kind::Failover, signal, Some(moved)) | told
    }

    /// Changes the flapping state, and tells where that begins or ends.
    pub(super) fn flapping(&self, change: impl Fn(flapping::State) -> flapping::State) -> bool {
        let (old, new) = self.monitor.shared.flapping.update(change);
        match (old.flapping, new.flapping) {
            (false, true) => self.signal(Kind::Flapping, Signal::Raised, None),
            (true, false) => self.signal(Kind::Flapping, Signal::Cleared, None),
            _ => false,
        }
    }

    /// Holds the window against the limits.
    #[inline]
    pub(super) fn limits(&self, window: &Window<'_>) -> bool {
        let settings = &self.monitor.settings;
        let size = window.size();
        let mut told = false;
        if let Some(limit) = settings.error_rate {
            told |= self.limit(Kind::ErrorRate, || limit.judge(window.failed(), size));
        }
        if let Some(limit) = settings.retry_rate {
            told |= self.limit(Kind::RetryRate, || match limit.judge(window.retried(), size) {
                // While failed over, retries are explained by what was told already.
                Standing::Above if self.monitor.shared.is_failed_over() => Standing::Hysteresis,
                standing => standing,
            });
        }
        if let Some(limit) = settings.latency {
            told |= self.limit(Kind::Latency, || limit.judge(&window.counts(), size));
        }
        told
    }

    /// Ends what a rule told that a new configuration has switched off since: nothing else would.
    pub(super) fn rules_switched_off(&self) -> bool {
        let settings = &self.monitor.settings;
        let off = [
            (Kind::ErrorRate, settings.error_rate.is_none()),
            (Kind::RetryRate, settings.retry_rate.is_none()),
            (Kind::Latency, settings.latency.is_none()),
        ];
        off.into_iter()
            .filter(|(_, off)| *off)
            .fold(false, |told, (kind, _)| self.limit(kind, || Standing::Below) | told)
    }

    #[inline]
    fn limit(&self, kind: Kind, standing: impl FnOnce() -> Standing) -> bool {
        // In this order: a count from before another worker told would pass for the end of what it told.
        let throttle = self.monitor.shared.incident(kind).throttle.load();
        let standing = standing();
        if throttle == Throttle::default() && standing != Standing::Above {
            // Never broken: by far the most frequent case.
            return false;
        }
        let signal = match (throttle.raised, standing) {
            (false, Standing::Above) => Signal::Raised,
            (true, Standing::Below) => Signal::Cleared,
            _ => Signal::Unchanged,
        };
        self.signal(kind, signal, None)
    }

    /// What time alone says about the failover: it is over when another pool became the active one meanwhile, or when
    /// nobody wants to know.
    pub(super) fn failover_goes_on(&self) -> Signal {
        let shared = self.monitor.shared;
        let broken = shared.is_raised(Kind::Failover);
        let over = self.monitor.settings.failover.is_none()
            || (shared.active().is_known() && !self.monitor.shared.is_failed_over());
        if broken && over { Signal::Cleared } else { Signal::Unchanged }
    }

    /// Steps the throttle of a kind, and puts what it decides into the outbox.
    pub(super) fn signal(&self, kind: Kind, signal: Signal, moved: Option<&failover::Move>) -> bool {
        let shared = self.monitor.shared;
        let flaps = kind == Kind::Failover && shared.flapping.load().flapping;
        let policy = Policy {
            cooldown_ms: self.monitor.settings.cooldown_ms,
            muted: shared.maintenance.is_on(self.now_ms) || flaps,
        };
        let incident = shared.incident(kind);
        let Some(action) = step(&incident.throttle, signal, kind, self.now_ms, &policy) else { return false };
        if signal == Signal::Raised && kind != Kind::Failover {
            incident.begin(self.now_ms, Totals::of(shared), shared.failed_attempts());
        }
        match action {
            Action::Nothing => false,
            Action::Suppress => {
                incident.held_back.fetch_add(1, Relaxed);
                let message = Message { resolved: false, reminder: false, held_back: 0 };
                self.publish(self.alert(kind, &message, moved), Delivery::HeldBack);
                false
            }
            Action::Notify(message) => {
                incident.fired.fetch_add(1, Relaxed);
                if message.resolved {
                    incident.resolved.fetch_add(1, Relaxed);
                }
                self.publish(self.alert(kind, &message, moved), Delivery::Pending);
                true
            }
        }
    }

    fn publish(&self, alert: Alert, state: Delivery) {
        let held_back = if state == Delivery::HeldBack { ", held back" } else { "" };
        let line = format!("{} (monitor \"{}\"{held_back})", alert.headline(), alert.monitor);
        self.judge.log.write(if alert.status == Status::Firing { Level::Warn } else { Level::Notice }, line);
        let sinks = takers(&self.monitor.sinks, alert.kind);
        self.judge.board.outbox().publish(&alert, &sinks, state);
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
        let (to, story) = match kind {
            Kind::Probe => self.story_of_probes(message.resolved),
            _ => (to, String::new()),
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
            instance: self.judge.instance.clone(),
            labels: Vec::new(),
            links: Links::default(),
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
                abandoned: counts.abandoned,
            },
            failed_attempts,
            retries_absorbed,
            errors_reached_users,
            cause: cause::words(shared),
            // What is over has no failing requests.
            examples: if status == Status::Firing { cause::examples(shared) } else { Vec::new() },
            held_back: message.held_back,
            story,
            missed: Missed::default(),
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
            Signal::Unchanged => false,
        };
        let (new, due) = old.on(signal, now_ms, policy);
        action = (!stale).then_some(due);
        if stale { old } else { new }
    });
    action
}

impl IncidentBoard {
    fn begin(&self, now_ms: u64, before: Totals, failed_attempts: u64) {
        self.since_ms.store(now_ms, Relaxed);
        self.failed_attempts_before.store(failed_attempts, Relaxed);
        self.retried_before.store(before.retried, Relaxed);
        self.failed_before.store(before.failed, Relaxed);
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
            Kind::Latency => self.settings.latency.map(|limit| limit.to_string()),
            _ => None,
        }
        .unwrap_or_default()
    }
}
