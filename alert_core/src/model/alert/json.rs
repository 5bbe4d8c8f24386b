//! An alert as JSON: the object of the status document and of the generic webhook.

use serde_json::Value;

use super::{Alert, Example, Fired, Kind, Links, PoolFigures, PoolLabel, WindowFigures};
use crate::base::json::{Array, Json, Known, Object, Plain, Time, object};

impl Alert {
    /// The alert object of the status JSON and of the generic webhook, without the delivery states.
    pub fn to_json(&self) -> Value {
        let mut json = Vec::with_capacity(2048);
        self.write(&mut json);
        // What is written is whole, so it can be read again.
        serde_json::from_slice(&json).unwrap_or_default()
    }
}

impl Json for Alert {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "id": self.id,
            "time": Time(self.time_ms),
            "monitor": self.monitor.as_str(),
            "instance": self.instance.as_str(),
            "labels": Object(|| self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))),
            "kind": Plain(self.kind.name()),
            "status": Plain(self.status.name()),
            "severity": Plain(self.kind.severity().name()),
            "text": self.headline().as_str(),
            "reminder": self.reminder,
            "since": (self.since_ms > 0).then_some(Time(self.since_ms)),
            "limit": Known(&self.limit),
            "latency_ms": (self.kind == Kind::Latency).then_some(self.latency_ms),
            "from": Some(&self.from).filter(|pool| !pool.name.is_empty()),
            "to": Some(&self.to).filter(|pool| !pool.name.is_empty()),
            "no_failure_seen": self.no_failure_seen,
            "window": self.window,
            "pools": Array(|| self.pools.iter()),
            "cause": Known(&self.cause),
            "examples": Array(|| self.examples.iter()),
            "links": self.links,
            "failed_attempts": self.failed_attempts,
            "retries_absorbed": self.retries_absorbed,
            "errors_reached_users": self.errors_reached_users,
            "held_back": self.held_back,
            "fired": self.missed.fired.as_ref(),
            "left_out": self.missed.left_out,
        });
    }
}

impl Json for PoolFigures {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "pool": Known(&self.name),
            "requests": self.requests,
            "count": self.count,
            "latency_ms": (self.latency_ms > 0).then_some(self.latency_ms),
            "release": Known(&self.release),
            "release_since": (self.release_since_ms > 0).then_some(Time(self.release_since_ms)),
        });
    }
}

impl Json for PoolLabel {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "pool": self.name.as_str(),
            "release": Known(&self.release),
            "address": Known(&self.address),
        });
    }
}

impl Json for WindowFigures {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "size": self.size,
            "filled": self.filled,
            "failed": self.failed,
            "retried": self.retried,
            "abandoned": self.abandoned,
        });
    }
}

impl Json for Example {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "method": Known(&self.method),
            "path": Known(&self.path),
            "status": u32::from(self.status),
            "address": Known(&self.address),
        });
    }
}

impl Json for Links {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "status": Known(&self.status),
            "runbook": Known(&self.runbook),
        });
    }
}

impl Json for Fired {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "time": Time(self.time_ms),
            "text": self.headline.as_str(),
        });
    }
}
