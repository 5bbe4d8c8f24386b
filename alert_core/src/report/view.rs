//! The state of everything as JSON: the keys of the status document.

use std::sync::atomic::Ordering::Relaxed;

use serde_json::{Map, Value, json};

use crate::base::clock::rfc3339;
use crate::board::maintenance::Order;
use crate::board::monitor::{MonitorBoard, PoolBoard};
use crate::board::{Board, Plan};
use crate::model::alert::Kind;
use crate::model::ids::PoolId;
use crate::settings::{MonitorSettings, Settings};

/// The kinds that a monitor has a rule for.
pub(crate) const RULES: [Kind; 5] = [Kind::ErrorRate, Kind::RetryRate, Kind::Latency, Kind::Failover, Kind::Flapping];

/// What the status is made of.
#[derive(Clone, Copy)]
pub struct Status<'a> {
    /// The board.
    pub board: Board,
    /// Where the configuration lies in it.
    pub plan: &'a Plan,
    /// The configuration.
    pub settings: &'a Settings,
    /// The time, in milliseconds since the Unix epoch.
    pub now_ms: u64,
}

/// How a monitor's traffic stands, in the words of `$alert_state`.
pub fn state(monitor: &MonitorBoard, muted: bool) -> &'static str {
    let (active, serving) = (monitor.active(), monitor.serving());
    if muted {
        "maintenance"
    } else if monitor.flapping.load().flapping {
        "flapping"
    } else if active.is_known() && serving.is_known() && serving != active {
        "failed_over"
    } else {
        "ok"
    }
}

impl Status<'_> {
    /// The whole document.
    pub fn to_json(&self) -> Value {
        let monitors = self.settings.monitors.iter().enumerate().filter_map(|(at, monitor)| {
            Some((monitor.name.clone(), self.monitor(monitor, self.board.monitor(self.plan, at)?)))
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "nginx": known(self.settings.nginx.clone()),
            "uptime_seconds": self.now_ms.saturating_sub(self.board.created_ms()) / 1000,
            "workers": self.workers(),
            "monitors": monitors.collect::<Map<_, _>>(),
            "alerts": self.alerts(),
            "sinks": self.sinks(),
        })
    }

    fn workers(&self) -> Vec<Value> {
        let workers = self.board.workers().alive(self.now_ms);
        let worker = |worker: &crate::board::worker::WorkerBoard| {
            json!({
                "pid": worker.pid.load(Relaxed),
                "events": worker.events.load(Relaxed),
                "dropped": worker.dropped.load(Relaxed),
                "queue_depth": worker.queue_depth(),
            })
        };
        workers.map(worker).collect()
    }

    pub(crate) fn monitor(&self, settings: &MonitorSettings, shared: &MonitorBoard) -> Value {
        let name = |pool: PoolId| known(shared.pool(pool).name.load()).filter(|_| pool.is_known());
        let muted = shared.maintenance.is_on(self.now_ms);
        let serving_since_ms = shared.serving_since_ms.load(Relaxed);
        let pools = (1..shared.pools.len()).map(|at| &shared.pools[at]).filter(|pool| !pool.name.is_empty());
        let rules = RULES.iter().map(|kind| (kind.name().to_string(), self.rule(*kind, settings, shared)));
        json!({
            "state": state(shared, muted),
            "active_pool": name(shared.active()),
            "serving_pool": name(shared.serving()),
            "serving_since": (serving_since_ms > 0).then(|| rfc3339(serving_since_ms)),
            "maintenance": muted,
            "maintenance_until": match shared.maintenance.ordered(self.now_ms) {
                Order::Until(until_ms) => Some(rfc3339(until_ms)),
                _ => None,
            },
            "window": self.window(shared),
            "pools": pools.map(|pool| (pool.name.load(), self.pool(pool))).collect::<Map<_, _>>(),
            "rules": rules.collect::<Map<_, _>>(),
        })
    }

    fn window(&self, shared: &MonitorBoard) -> Value {
        let Some(window) = self.board.window(shared) else { return Value::Null };
        let counts = window.counts();
        let share = |count: u32| (counts.filled > 0).then(|| f64::from(count) / f64::from(counts.filled));
        let percentiles = window.percentiles([500, 950, 990]);
        let percentile = |at: usize| percentiles.map(|values| values[at]);
        json!({
            "size": window.size(),
            "filled": counts.filled,
            "failed": counts.failed,
            "retried": counts.retried,
            "error_rate": share(counts.failed),
            "retry_rate": share(counts.retried),
            "p50_ms": percentile(0),
            "p95_ms": percentile(1),
            "p99_ms": percentile(2),
        })
    }

    fn pool(&self, pool: &PoolBoard) -> Value {
        let last_seen_ms = pool.last_seen_ms.load(Relaxed);
        json!({
            "answered": pool.answered(),
            "failed_attempts": pool.failed_attempts.load(Relaxed),
            "release": known(pool.release.load()),
            "last_seen": (last_seen_ms > 0).then(|| rfc3339(last_seen_ms)),
        })
    }

    fn rule(&self, kind: Kind, settings: &MonitorSettings, shared: &MonitorBoard) -> Value {
        let limit = match kind {
            Kind::ErrorRate => settings.error_rate.map(|limit| limit.to_string()),
            Kind::RetryRate => settings.retry_rate.map(|limit| limit.to_string()),
            Kind::Latency => settings.latency.map(|limit| limit.to_string()),
            Kind::Failover => settings.failover.map(|confirm| format!("confirm={confirm}")),
            _ => settings.failover.map(|_| "3 failovers in 5m".to_string()),
        };
        let incident = shared.incident(kind);
        let throttle = incident.throttle.load();
        let policy = crate::rules::throttle::Policy { cooldown_ms: settings.cooldown_ms, muted: false };
        let state = match &limit {
            None => "off",
            Some(_) if throttle.raised => "firing",
            Some(_) if throttle.cooling_down(self.now_ms, &policy) => "cooldown",
            Some(_) => "ok",
        };
        json!({
            "state": state,
            "limit": limit,
            "fired": incident.fired.load(Relaxed),
            "held_back": incident.held_back.load(Relaxed),
        })
    }

    fn alerts(&self) -> Vec<Value> {
        let outbox = self.board.outbox();
        let sinks = || self.settings.sinks.iter().zip(self.plan.sinks());
        let alert = |mut alert: crate::model::alert::Alert| {
            alert.host = self.settings.instance.clone();
            let deliveries: Map<String, Value> = sinks()
                .filter_map(|(sink, id)| Some((sink.name.clone(), outbox.delivery(alert.id, *id).name()?.into())))
                .collect();
            let mut object = alert.to_json();
            object["delivery"] = deliveries.into();
            object
        };
        outbox.alerts().map(alert).collect()
    }

    fn sinks(&self) -> Map<String, Value> {
        let sink = |name: &str, id: &crate::board::sink::SinkId| {
            let shared = self.board.sinks().get(*id);
            let object = json!({
                "sent": shared.sent.load(Relaxed),
                "retried": shared.retried.load(Relaxed),
                "failed": shared.failed.load(Relaxed),
                "pending": self.board.outbox().pending(*id).len(),
                "last_error": known(shared.last_error.load()),
            });
            (name.to_string(), object)
        };
        self.settings.sinks.iter().zip(self.plan.sinks()).map(|(settings, id)| sink(&settings.name, id)).collect()
    }
}

fn known(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}
