//! Prometheus Alertmanager, API v2: it groups, silences and routes; this only tells it what is true on this host.
//!
//! Labels are the identity of an alert there. They are the same when it fires and when it resolves (so no pools, which
//! swap places at a failback, and no figures), and the same on all hosts but for `instance`. One label more than the
//! bare minimum is needed because two hosts recover at different times: with the same labels the first to recover would
//! resolve the alert for all. A route with `group_by: [monitor]` makes one notification of it, that lists the hosts and
//! resolves with the last of them.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::service::{Configured, Info, Message, Service};
use crate::base::clock::rfc3339;
use crate::model::alert::{Alert, Kind, Status};

const PATH: &str = "/api/v2/alerts";
/// Alertmanager forgets what fires when it restarts, and what one host tells then must not pass for all there is.
const RESEND_EVERY: Duration = Duration::from_secs(15);
/// Alertmanager resolves what it has not heard of for this long: some lost repetitions do not matter, a dead host does.
const EXPIRES_AFTER_MS: u64 = 5 * 60_000;
/// An end that lies in the future there leaves the alert firing until it expires, and clocks differ a little.
const CLOCKS_DIFFER_MS: u64 = 1000;

pub(super) const INFO: Info = Info {
    name: "alertmanager",
    target: "a URL",
    parameters: &["token"],
    read: |words| Ok(Configured::new(Alertmanager, words.url()?.below(PATH).with_token(words.token()?))),
};

struct Alertmanager;

impl Service for Alertmanager {
    fn message(&self, alerts: &[Alert], now_ms: u64) -> Message {
        // Only the last word on each incident counts: an older one in the same request would contradict it.
        let identity = |alert: &Alert| (alert.monitor.clone(), alert.kind.incident());
        let latest = alerts
            .iter()
            .enumerate()
            .filter(|(at, alert)| !alerts[at + 1..].iter().any(|later| identity(later) == identity(alert)));
        Message::json(&latest.map(|(_, alert)| entry(alert, now_ms)).collect())
    }

    fn fitting(&self, alerts: &[Alert]) -> usize {
        alerts.len()
    }

    fn resend_every(&self) -> Option<Duration> {
        Some(RESEND_EVERY)
    }
}

fn entry(alert: &Alert, now_ms: u64) -> Value {
    let starts_ms = if alert.since_ms > 0 { alert.since_ms.min(alert.time_ms) } else { alert.time_ms };
    let ends_ms = match alert.status {
        Status::Resolved => alert.time_ms.saturating_sub(CLOCKS_DIFFER_MS).max(starts_ms),
        // An information has no end: it goes away by itself.
        Status::Firing | Status::Info => now_ms.max(alert.time_ms).saturating_add(EXPIRES_AFTER_MS),
    };
    // Alertmanager keeps the beginning that it knows. Where it knows none, because it was restarted, it waits for other
    // hosts from the beginning on: from a past one it would not wait, and would tell the end on one host as that on all.
    let starts_ms = if alert.status == Status::Resolved { ends_ms } else { starts_ms };
    // The operator's labels first: none of them can take the place of those that are the identity.
    let mut labels: Map<String, Value> =
        alert.labels.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    labels.extend([
        ("alertname".to_owned(), Value::from(alert_name(alert.kind))),
        ("severity".to_owned(), alert.kind.severity().name().into()),
        ("monitor".to_owned(), alert.monitor.as_str().into()),
        ("kind".to_owned(), alert.kind.incident().name().into()),
        ("instance".to_owned(), alert.instance.as_str().into()),
    ]);
    let mut annotations = json!({
        "summary": alert.headline(),
        "description": alert.plain_text(),
        "from_pool": alert.from.name,
        "to_pool": alert.to.name,
    });
    // By the names that dashboards and templates know; an empty one would be a link to nowhere.
    for (name, value) in
        [("cause", &alert.cause), ("runbook_url", &alert.links.runbook), ("status_url", &alert.links.status)]
    {
        if !value.is_empty() {
            annotations[name] = value.as_str().into();
        }
    }
    json!({
        "labels": labels,
        "annotations": annotations,
        "startsAt": rfc3339(starts_ms),
        "endsAt": rfc3339(ends_ms),
    })
}

const fn alert_name(kind: Kind) -> &'static str {
    match kind.incident() {
        Kind::ErrorRate => "NginxUpstreamErrorRate",
        Kind::RetryRate => "NginxUpstreamRetryRate",
        Kind::Latency => "NginxUpstreamLatency",
        Kind::Failover | Kind::Failback => "NginxFailover",
        Kind::Flapping => "NginxFlapping",
        Kind::Switched => "NginxPoolSwitched",
        Kind::Test => "NginxAlertTest",
        Kind::Outage => "NginxUpstreamOutage",
        Kind::AbandonRate => "NginxUpstreamAbandonRate",
        Kind::Rollout => "NginxRollout",
        Kind::Rollback => "NginxRollback",
        Kind::Comparison => "NginxPoolComparison",
        Kind::Probe => "NginxPoolProbe",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::tests::{NOW_MS, body, named_alerts};

    fn failback() -> Alert {
        let alert = failover();
        Alert {
            kind: Kind::Failback,
            status: Status::Resolved,
            time_ms: alert.time_ms + 60_000,
            from: alert.to,
            to: alert.from,
            ..failover()
        }
    }

    #[test]
    fn a_failback_resolves_its_failover() {
        let fired = &body(&Alertmanager, &[failover()])[0];
        let resolved = &body(&Alertmanager, &[failback()])[0];
        assert_eq!(fired["labels"], resolved["labels"]);
        assert_eq!(resolved["endsAt"], rfc3339(failback().time_ms - CLOCKS_DIFFER_MS));
        assert_eq!(resolved["startsAt"], resolved["endsAt"], "no beginning that is past");
        assert!(resolved["endsAt"].as_str() > fired["startsAt"].as_str());
    }

    #[test]
    fn the_same_incident_on_two_hosts_differs_by_instance_only() {
        let labels = |host: &str| {
            let alert = Alert { instance: host.into(), ..failover() };
            let mut labels = body(&Alertmanager, &[alert])[0]["labels"].clone();
            let instance = labels.as_object_mut().and_then(|labels| labels.remove("instance"));
            assert_eq!(instance, Some(json!(host)));
            labels
        };
        assert_eq!(labels("edge-1"), labels("edge-2"));
    }

    #[test]
    fn the_labels_and_links_of_the_operator_are_there() {
        let mut alert = failover();
        alert.labels.push(("instance".into(), "somewhere else".into()));
        alert.links.runbook = "https://wiki.example/app".into();
        let entry = &body(&Alertmanager, &[alert])[0];
        assert_eq!((&entry["labels"]["env"], &entry["labels"]["instance"]), (&json!("prod"), &json!("edge-1")));
        assert_eq!(entry["annotations"]["runbook_url"], "https://wiki.example/app");
        assert_eq!(entry["annotations"]["status_url"], "https://ops.example/alert");
    }

    #[test]
    fn what_fires_expires_unless_it_is_told_again() {
        let fired = &body(&Alertmanager, &[failover()])[0];
        assert_eq!(fired["endsAt"], rfc3339(NOW_MS + EXPIRES_AFTER_MS));
        assert!(RESEND_EVERY.as_millis() as u64 * 3 < EXPIRES_AFTER_MS);
    }

    #[test]
    fn only_the_last_word_on_an_incident_is_sent() {
        let other = Alert { kind: Kind::ErrorRate, ..failover() };
        let sent = body(&Alertmanager, &[failover(), other, failback()]);
        let kinds: Vec<_> = sent.as_array().expect("an array").iter().map(|entry| &entry["labels"]["kind"]).collect();
        assert_eq!(kinds, ["error_rate", "failover"]);
        assert_eq!(sent[1]["endsAt"], rfc3339(failback().time_ms - CLOCKS_DIFFER_MS));
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn any_name_gives_an_alert_with_all_labels(alerts in named_alerts()) {
            for entry in body(&Alertmanager, &alerts).as_array().expect("an array") {
                assert_eq!(entry["labels"].as_object().map(Map::len), Some(6));
            }
        }
    }
}
