//! An alert as JSON: the object of the status document and of the generic webhook.

use serde_json::{Map, Value, json};

use super::{Alert, Example, Kind, Links, PoolLabel};
use crate::base::clock::rfc3339;

impl Alert {
    /// The alert object of the status JSON and of the generic webhook, without the delivery states.
    pub fn to_json(&self) -> Value {
        let pool = |label: &PoolLabel| {
            (!label.name.is_empty()).then(|| {
                json!({
                    "pool": label.name,
                    "release": non_empty(&label.release),
                    "address": non_empty(&label.address),
                })
            })
        };
        json!({
            "id": self.id,
            "time": rfc3339(self.time_ms),
            "monitor": self.monitor,
            "instance": self.instance,
            "labels": self.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect::<Map<_, _>>(),
            "kind": self.kind.name(),
            "status": self.status.name(),
            "severity": self.kind.severity().name(),
            "text": self.headline(),
            "reminder": self.reminder,
            "since": (self.since_ms > 0).then(|| rfc3339(self.since_ms)),
            "limit": non_empty(&self.limit),
            "latency_ms": (self.kind == Kind::Latency).then_some(self.latency_ms),
            "from": pool(&self.from),
            "to": pool(&self.to),
            "no_failure_seen": self.no_failure_seen,
            "window": {
                "size": self.window.size,
                "filled": self.window.filled,
                "failed": self.window.failed,
                "retried": self.window.retried,
                "abandoned": self.window.abandoned,
            },
            "cause": non_empty(&self.cause),
            "examples": self.examples.iter().map(Example::to_json).collect::<Vec<_>>(),
            "links": self.links.to_json(),
            "failed_attempts": self.failed_attempts,
            "retries_absorbed": self.retries_absorbed,
            "errors_reached_users": self.errors_reached_users,
            "held_back": self.held_back,
            "fired": self.missed.fired.as_ref().map(|fired| {
                json!({ "time": rfc3339(fired.time_ms), "text": fired.headline })
            }),
            "left_out": self.missed.left_out,
        })
    }
}

impl Example {
    fn to_json(&self) -> Value {
        json!({
            "method": non_empty(&self.method),
            "path": non_empty(&self.path),
            "status": self.status,
            "address": non_empty(&self.address),
        })
    }
}

impl Links {
    fn to_json(&self) -> Value {
        json!({ "status": non_empty(&self.status), "runbook": non_empty(&self.runbook) })
    }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}
