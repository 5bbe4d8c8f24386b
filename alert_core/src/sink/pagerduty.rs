//! PagerDuty, Events API v2: an incident is opened when an alert fires and closed when it resolves.
//!
//! The key that ties both together holds the host, since hosts recover at different times. Where one page for a fleet
//! is wanted, Alertmanager in between groups them. A planned switch is nobody's reason to be paged and is not sent. A
//! test opens an incident of severity `info`, as that is what has to be seen to work; it is closed by hand.

use ring::digest;
use serde_json::json;

use super::secret::Secret;
use super::service::{Configured, Info, Message, Service};
use super::settings::SettingsError;
use super::settings::words::Words;
use super::text::{cut, length};
use crate::base::clock::rfc3339;
use crate::model::alert::{Alert, Kind, Status};

/// Where events go unless `url=` says otherwise.
const ENDPOINT: &str = "https://events.pagerduty.com/v2/enqueue";
/// Characters in a routing key.
const ROUTING_KEY_LENGTH: usize = 32;

const SUMMARY_MAX: usize = 1024;
const DEDUP_KEY_MAX: usize = 255;

pub(super) const INFO: Info =
    Info { name: "pagerduty", target: "its routing key", parameters: &["url"], read: PagerDuty::read };

struct PagerDuty {
    routing_key: Secret,
}

impl PagerDuty {
    fn read(words: &Words<'_>) -> Result<Configured, SettingsError> {
        let routing_key = words.secret_target()?;
        let key = routing_key.reveal();
        if key.len() != ROUTING_KEY_LENGTH || !key.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let length = key.chars().count();
            let expected =
                format!("a routing key of {ROUTING_KEY_LENGTH} letters and digits, this has {length} characters");
            return Err(SettingsError::Target { expected });
        }
        Ok(Configured::new(PagerDuty { routing_key }, words.url_or(ENDPOINT)?))
    }

    fn event(&self, alert: &Alert) -> serde_json::Value {
        let links = [("Status page", &alert.links.status), ("Runbook", &alert.links.runbook)];
        let links = links.into_iter().filter(|(_, url)| !url.is_empty());
        json!({
            "links": links.map(|(text, url)| json!({ "href": url, "text": text })).collect::<Vec<_>>(),
            "routing_key": self.routing_key.reveal(),
            "event_action": if alert.status == Status::Resolved { "resolve" } else { "trigger" },
            "dedup_key": dedup_key(alert),
            "client": "nginx-alert",
            "payload": {
                "summary": cut(&format!("{} ({} on {})", alert.headline(), alert.monitor, alert.instance), SUMMARY_MAX),
                // PagerDuty refuses an event without a source.
                "source": if alert.instance.trim().is_empty() { "nginx" } else { &alert.instance },
                "severity": alert.kind.severity().name(),
                "timestamp": rfc3339(alert.time_ms),
                "group": alert.monitor,
                "class": alert.kind.incident().name(),
                "custom_details": alert.to_json(),
            },
        })
    }
}

impl Service for PagerDuty {
    fn applies(&self, alert: &Alert) -> bool {
        !matches!(alert.kind, Kind::Switched | Kind::Rollout | Kind::Comparison)
    }

    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        Message::text("application/json", alerts.iter().map(|alert| self.event(alert).to_string()).collect())
    }
}

/// The same for all messages about one incident of one monitor on one host.
fn dedup_key(alert: &Alert) -> String {
    let key = format!("nginx-alert:{}:{}:{}", alert.instance, alert.monitor, alert.kind.incident());
    if length(&key) <= DEDUP_KEY_MAX {
        return key;
    }
    // Cutting could make two incidents one.
    let hash = digest::digest(&digest::SHA256, key.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("nginx-alert:{hash}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::tests::{body, hostile, named_alerts};

    fn service() -> PagerDuty {
        PagerDuty { routing_key: Secret::new("0123456789abcdef0123456789abcdef") }
    }

    #[test]
    fn a_resolve_carries_the_key_of_its_trigger() {
        let fired = body(&service(), &[failover()]);
        let resolved = body(&service(), &[Alert { kind: Kind::Failback, status: Status::Resolved, ..failover() }]);
        assert_eq!((&fired["event_action"], &resolved["event_action"]), (&json!("trigger"), &json!("resolve")));
        assert_eq!(fired["dedup_key"], "nginx-alert:edge-1:app:failover");
        assert_eq!(fired["dedup_key"], resolved["dedup_key"]);
        assert_eq!(fired["routing_key"], "0123456789abcdef0123456789abcdef");
        assert_eq!(fired["payload"]["severity"], "critical");
        assert_eq!(fired["links"], json!([{ "href": "https://ops.example/alert", "text": "Status page" }]));
    }

    #[test]
    fn another_host_another_monitor_or_another_kind_is_another_incident() {
        let keys = [
            failover(),
            Alert { instance: "edge-2".into(), ..failover() },
            Alert { monitor: "api".into(), ..failover() },
            Alert { kind: Kind::ErrorRate, ..failover() },
        ]
        .map(|alert| dedup_key(&alert));
        for (at, key) in keys.iter().enumerate() {
            assert!(!keys[at + 1..].contains(key), "{key}");
        }
    }

    #[test]
    fn a_test_is_seen_and_a_switch_wakes_nobody() {
        let test = Alert { kind: Kind::Test, status: Status::Info, ..failover() };
        assert!(service().applies(&test));
        assert_eq!(body(&service(), &[test])["payload"]["severity"], "info");
        assert!(!service().applies(&Alert { kind: Kind::Switched, status: Status::Info, ..failover() }));
    }

    #[test]
    fn long_names_keep_incidents_apart() {
        let long = |end: &str| dedup_key(&hostile(&format!("{}{end}", "x".repeat(200))));
        assert_ne!(long("a"), long("b"));
        assert!(long("a").len() <= DEDUP_KEY_MAX);
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn limits_hold_for_any_names(alerts in named_alerts()) {
            let event = body(&service(), &alerts[..1]);
            let text = |value: &serde_json::Value| value.as_str().expect("a text").chars().count();
            assert!((1..=SUMMARY_MAX).contains(&text(&event["payload"]["summary"])));
            assert!((1..=DEDUP_KEY_MAX).contains(&text(&event["dedup_key"])));
            assert!(text(&event["payload"]["source"]) > 0);
        }
    }
}
