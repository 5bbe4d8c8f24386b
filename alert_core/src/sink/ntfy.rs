//! ntfy: a push to phones and desktops. The target is the URL of the topic.
//!
//! A topic, and what it takes: <https://docs.ntfy.sh/publish/#publish-as-json>. A message is at most 4,096 bytes long
//! (<https://docs.ntfy.sh/publish/#limitations>); a longer one would arrive as an attachment that nobody opens.

use std::time::Duration;

use serde_json::json;

use super::digest::{self, Style};
use super::secret::Secret;
use super::service::{Configured, Info, Message, Service};
use super::settings::SettingsError;
use super::settings::words::Words;
use super::text::{cut, cut_bytes};
use crate::model::alert::{Alert, Severity, Status};

const MESSAGE_MAX_BYTES: usize = 4096;
/// A limit of our own: a title is one line on a phone's locked screen.
const TITLE_MAX: usize = 250;
const TOPIC_MAX: usize = 64;
const STYLE: Style = Style { max: MESSAGE_MAX_BYTES, bold: ["", ""], escape: cut_bytes, length: str::len };

pub(super) const INFO: Info =
    Info { name: "ntfy", target: "the URL of a topic", parameters: &["token"], read: Ntfy::read };

struct Ntfy {
    topic: Secret,
}

impl Ntfy {
    fn read(words: &Words<'_>) -> Result<Configured, SettingsError> {
        let expected = || {
            let form = format!("1 to {TOPIC_MAX} letters, digits, \"_\" or \"-\"");
            SettingsError::Target { expected: format!("the URL of a topic ({form}), such as https://ntfy.sh/TOPIC") }
        };
        let (server, topic) = words.url()?.split_last().ok_or_else(expected)?;
        let plain = topic.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        if !plain || topic.len() > TOPIC_MAX {
            return Err(expected());
        }
        // Who knows a topic can read and write it.
        let topic = words.note(topic);
        Ok(Configured::new(Ntfy { topic }, server.with_token(words.token()?)))
    }
}

impl Service for Ntfy {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        let (title, text) = match alerts {
            [alert] => (alert.headline(), details(alert)),
            alerts => {
                let head = digest::obsolete(alerts).unwrap_or_default();
                (digest::headline(alerts), STYLE.several(&head, alerts))
            }
        };
        let loudest = alerts.iter().max_by_key(|alert| priority(alert));
        Message::json(&json!({
            "topic": self.topic.reveal(),
            "title": cut(&title, TITLE_MAX),
            "message": cut_bytes(&text, MESSAGE_MAX_BYTES),
            "priority": loudest.map_or(3, priority),
            "tags": loudest.map(|alert| [alert.shortcode()]),
        }))
    }

    fn min_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn digests(&self) -> bool {
        true
    }

    fn fitting(&self, alerts: &[Alert]) -> usize {
        STYLE.fitting(alerts)
    }
}

fn details(alert: &Alert) -> String {
    alert.details().iter().map(|(label, value)| format!("{label}: {value}")).collect::<Vec<_>>().join("\n")
}

/// From 1 to 5: the highest overrides "do not disturb", so it is for what is critical while it lasts.
fn priority(alert: &Alert) -> u8 {
    match (alert.status, alert.kind.severity()) {
        (Status::Firing, Severity::Critical) => 5,
        (Status::Firing, _) => 4,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::tests::{body, named_alerts};

    fn service() -> Ntfy {
        Ntfy { topic: Secret::new("ops") }
    }

    #[test]
    fn the_title_is_the_headline_and_the_message_has_the_details() {
        let body = body(&service(), &[failover()]);
        assert_eq!(body["title"], "Failover detected — pool changed from blue → green");
        assert_eq!(
            (&body["topic"], &body["priority"], &body["tags"][0]),
            (&json!("ops"), &json!(5), &json!("rotating_light"))
        );
        assert!(body["message"].as_str().expect("a message").contains("Users saw: 16 retries absorbed"));
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn limits_hold_for_any_names(alerts in named_alerts()) {
            let body = body(&service(), &alerts);
            assert!((1..=MESSAGE_MAX_BYTES).contains(&body["message"].as_str().expect("a message").len()));
            assert!((1..=5).contains(&body["priority"].as_u64().expect("a priority")));
        }
    }
}
