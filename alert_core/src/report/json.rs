//! The state of everything as JSON: the keys of the status document.
//!
//! It is written straight from the view into one buffer: the event loop waits for it.

use std::io::Write as _;

use super::view::{Limit, Monitor, Pool, Rule, Scope, Sink, Source, Told, View, Window, Worker};
use crate::base::json::{Array, Json, Known, Object, Plain, Time, object, reopen};
use crate::model::outcome::Cause;

/// The media type of the document.
pub const CONTENT_TYPE: &str = "application/json";

/// The status document.
pub fn render(source: &Source<'_>) -> Vec<u8> {
    let view = source.view(Scope { alerts: true, percentiles: true, rates: false });
    let mut json = Vec::with_capacity(4096 + 2048 * (view.monitors.len() + view.alerts.len()));
    view.write(&mut json);
    json
}

impl Json for View<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "version": env!("CARGO_PKG_VERSION"),
            "nginx": Known(self.nginx),
            "instance": self.instance,
            "labels": Object(|| self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
            "uptime_seconds": self.uptime_seconds(),
            "workers": Array(|| self.workers.iter()),
            "monitors": Object(|| self.monitors.iter().map(|monitor| (monitor.name(), monitor))),
            "alerts": Array(|| self.alerts.iter().map(|told| Alert { told, view: self })),
            "sinks": Object(|| self.sinks.iter().map(|sink| (sink.settings.name.as_str(), sink))),
        });
    }
}

impl Json for Worker {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "pid": self.pid,
            "events": self.events,
            "dropped": self.dropped,
            "queue_depth": self.queue_depth,
        });
    }
}

impl Json for Monitor<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "state": Plain(self.state.name()),
            "active_pool": self.active_pool().map(|pool| pool.name.as_str()),
            "serving_pool": self.serving_pool().map(|pool| pool.name.as_str()),
            "serving_since": self.serving_since_ms.map(Time),
            "maintenance": self.maintenance,
            "maintenance_until": self.maintenance_until_ms.map(Time),
            "window": self.window.as_ref(),
            "unmatched": Unmatched(self),
            "pools": Object(|| self.pools.iter().map(|pool| (pool.name.as_str(), pool))),
            "rules": Object(|| self.rules.iter().map(|rule| (rule.kind.name(), rule))),
            "rollout": self.rollout.as_ref(),
            "probes": Object(|| self.rollout.iter().flat_map(|rollout| &rollout.probes).map(|(pool, probes)| {
                (pool.as_str(), Object(|| probes.iter().map(|probe| (probe.address.as_str(), probe))))
            })),
            "releases": Array(|| self.rollout.iter().flat_map(|rollout| &rollout.releases)),
        });
    }
}

impl Json for Window {
    fn write(&self, json: &mut Vec<u8>) {
        let Window { size, counts, percentiles_ms } = self;
        let percentile = |at: usize| percentiles_ms.map(|values| values[at]);
        object!(json, {
            "size": size,
            "filled": counts.filled,
            "failed": counts.failed,
            "retried": counts.retried,
            "abandoned": counts.abandoned,
            "error_rate": self.error_rate(),
            "retry_rate": self.retry_rate(),
            "p50_ms": percentile(0),
            "p95_ms": percentile(1),
            "p99_ms": percentile(2),
        });
    }
}

/// Requests of a monitor whose address belongs to no pool.
struct Unmatched<'a>(&'a Monitor<'a>);

impl Json for Unmatched<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "requests": self.0.unmatched,
            "address": Known(&self.0.unmatched_address),
        });
    }
}

impl Json for Pool {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "answered": self.answered,
            "failed_requests": self.failed_requests,
            "failed_attempts": self.failed_attempts,
            "causes": Object(|| Cause::ALL.iter().map(|cause| (cause.name(), self.causes[*cause as usize]))),
            "release": Known(&self.release),
            "last_seen": self.last_seen_ms.map(Time),
        });
    }
}

impl Json for Rule {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "state": Plain(self.state.name()),
            "limit": self.limit,
            "fired": self.fired,
            "held_back": self.held_back,
        });
    }
}

/// An alert with what became of it.
struct Alert<'a> {
    told: &'a Told,
    view: &'a View<'a>,
}

impl Json for Alert<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        let deliveries = || {
            let deliveries = self.told.deliveries.iter();
            let named = deliveries.filter_map(|(sink, delivery)| Some((self.view.sinks.get(*sink)?, delivery.name()?)));
            named.map(|(sink, delivery)| (sink.settings.name.as_str(), Plain(delivery)))
        };
        self.told.alert.write(json);
        reopen(json);
        json.extend_from_slice(b"\"delivery\":");
        Object(deliveries).write(json);
        json.push(b'}');
    }
}

impl Json for Sink<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "sent": self.sent,
            "retried": self.retried,
            "failed": self.failed,
            "pending": self.pending,
            "last_error": Known(&self.last_error),
            "last_success": self.last_success_ms.map(Time),
        });
    }
}

impl Json for Limit {
    fn write(&self, json: &mut Vec<u8>) {
        // Writing to a vector cannot fail, and no limit has anything to escape.
        let _ = write!(json, "\"{self}\"");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use serde_json::{Value, json};

    use super::*;
    use crate::board::outbox::Delivery;
    use crate::model::alert::tests::failover;
    use crate::model::ids::{PeerId, PoolId};
    use crate::model::outcome::Outcome;
    use crate::model::success::Success;
    use crate::report::rig::{Rig, T0};
    use crate::rules::throttle::{Policy, Signal, Throttle};

    fn document(rig: &Rig) -> Value {
        serde_json::from_slice(&render(&rig.source())).expect("valid JSON")
    }

    #[test]
    fn a_monitor_has_the_keys_of_the_contract() {
        let rig = Rig::new(&["pool blue b:1", "pool green g:1", "active blue", "window 40", "latency p95 500ms"]);
        let (monitor, blue) = (rig.monitor(0), PoolId::new(1));
        (0..38).for_each(|_| rig.window(0).record(T0, 20, Outcome::Answered, blue));
        rig.window(0).record(T0, 20, Outcome::Failed, blue);
        rig.window(0).record(T0, 20, Outcome::Abandoned, blue);
        monitor.pool(blue).count_answers(&[Success { time_ms: T0 + 5, ..Success::after_ms(20) }]);
        monitor.pool(blue).release.store(b"v1");
        monitor.pool(blue).failed_requests.store(1, Relaxed);
        (0..3).for_each(|_| monitor.count_failure(blue, PeerId::NONE, Cause::Timeout, T0));
        monitor.unmatched.requests.store(2, Relaxed);
        monitor.unmatched.address.store(b"10.0.0.9:80");
        let document = document(&rig);
        let app = &document["monitors"]["app"];
        assert_eq!(
            (&app["state"], &app["maintenance"], &app["serving_pool"]),
            (&json!("ok"), &json!(false), &json!("blue"))
        );
        assert_eq!(
            app["window"],
            json!({
                "size": 40, "filled": 40, "failed": 1, "retried": 0, "abandoned": 1, "error_rate": 0.025, "retry_rate": 0.0,
                "p50_ms": 20, "p95_ms": 20, "p99_ms": 20,
            })
        );
        assert_eq!(
            app["pools"]["blue"],
            json!({
                "answered": 1, "failed_requests": 1, "failed_attempts": 3, "release": "v1",
                "last_seen": "2026-09-21T14:13:20.005Z",
                "causes": { "connect": 0, "timeout": 3, "status": 0, "cut": 0, "local": 0 },
            })
        );
        assert_eq!(app["pools"]["green"]["last_seen"], Value::Null);
        assert_eq!(app["unmatched"], json!({ "requests": 2, "address": "10.0.0.9:80" }));
        assert_eq!(app["rules"]["latency"], json!({ "state": "ok", "limit": "p95 500ms", "fired": 0, "held_back": 0 }));
        assert_eq!(app["rules"]["outage"]["limit"], "confirm=10");
        assert_eq!(app["rules"]["abandon_rate"]["limit"], "10%");
        for key in ["version", "nginx", "instance", "labels", "uptime_seconds", "workers", "alerts", "sinks"] {
            assert!(document.get(key).is_some(), "{key} is missing in {document:#}");
        }
        assert_eq!(document["uptime_seconds"], 60);
    }

    #[test]
    fn the_state_is_the_worst_of_all_rules() {
        let rig = Rig::new(&["pool blue b:1", "pool green g:1", "active blue"]);
        let state = || document(&rig)["monitors"]["app"]["state"].clone();
        let raise = |kind| {
            let (raised, _) =
                Throttle::default().on(Signal::Raised, T0, &Policy { cooldown_ms: 1, muted: false, reminds: true });
            rig.monitor(0).incident(kind).throttle.store(raised);
        };
        assert_eq!(state(), "ok");
        raise(crate::model::alert::Kind::RetryRate);
        assert_eq!(state(), "firing");
        rig.monitor(0).active.store(PoolId::new(2));
        assert_eq!(state(), "failed_over");
        raise(crate::model::alert::Kind::Outage);
        assert_eq!(state(), "outage");
        rig.monitor(0).maintenance.order(crate::board::maintenance::Order::On);
        assert_eq!(state(), "maintenance");
    }

    #[test]
    fn labels_and_times_are_those_that_people_know() {
        let mut rig = Rig::new(&[]);
        rig.settings.instance = "edge-1".into();
        rig.settings.labels = vec![("env".into(), "prod".into())];
        rig.board.outbox().publish(&failover(), &[], Delivery::Pending);
        let stepped = Source { step_ms: 3_600_000, ..rig.source() };
        let document: Value = serde_json::from_slice(&render(&stepped)).expect("valid JSON");
        assert_eq!((&document["instance"], &document["labels"]), (&json!("edge-1"), &json!({ "env": "prod" })));
        assert_eq!(document["alerts"][0]["time"], "2026-09-21T15:13:20.123Z", "the wall clock was set forward since");
        assert_eq!(document["uptime_seconds"], 60);
    }

    #[test]
    fn names_that_read_the_same_are_told_apart() {
        let rig = Rig::new(&[]);
        for name in [&b"x\xff"[..], b"x\xfe", b"\"{}\\"] {
            rig.monitor(0).learn_pool(name, 0);
        }
        // What two workers leave that meet a name at once.
        rig.monitor(0).pools[20].name.store(b"\"{}\\");
        let document = document(&rig);
        let pools: Vec<&String> = document["monitors"]["app"]["pools"].as_object().expect("pools").keys().collect();
        assert_eq!(pools.len(), 3, "{pools:?}");
    }
}
