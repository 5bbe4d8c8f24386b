//! Grafana: an annotation for each alert, so that a rollout stands in the plots where it happened.
//!
//! The HTTP API, and what an annotation takes: <https://grafana.com/docs/grafana/latest/developers/http_api/annotations/>.

use serde_json::json;

use super::service::{Configured, Info, Message, Service};
use super::text::cut;
use crate::model::alert::Alert;

const PATH: &str = "/api/annotations";
/// A limit of our own: more does not fit into a tooltip.
const TEXT_MAX: usize = 2000;

pub(super) const INFO: Info = Info {
    name: "grafana",
    target: "a URL",
    parameters: &["token"],
    read: |words| Ok(Configured::new(Grafana, words.url()?.below(PATH).with_token(words.token()?))),
};

struct Grafana;

impl Service for Grafana {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        // One at a time, see `fitting`: each stands at its own time.
        Message::json(&alerts.first().map_or_else(|| json!({}), annotation))
    }
}

fn annotation(alert: &Alert) -> serde_json::Value {
    json!({
        "time": alert.time_ms,
        "tags": ["nginx-alert", alert.monitor, alert.kind.name(), alert.status.name(), alert.instance],
        "text": cut(&format!("{} {}", alert.symbol(), alert.plain_text()), TEXT_MAX),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::tests::{body, named_alerts};

    #[test]
    fn an_alert_is_an_annotation_at_its_time_with_its_tags() {
        let alert = failover();
        let body = body(&Grafana, std::slice::from_ref(&alert));
        assert_eq!(body["time"], alert.time_ms);
        assert_eq!(body["tags"], json!(["nginx-alert", "app", "failover", "firing", alert.instance]));
        let text = body["text"].as_str().expect("a text");
        assert!(text.starts_with("🚨 Failover detected — pool changed from blue → green\n"), "{text}");
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn limits_hold_for_any_names(alerts in named_alerts()) {
            let body = body(&Grafana, &alerts[..1]);
            assert!(body["text"].as_str().expect("a text").chars().count() <= TEXT_MAX);
        }
    }
}
