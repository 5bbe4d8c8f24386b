//! Google Chat: the incoming webhook of a space. All about one incident is in one thread.
//!
//! <https://developers.google.com/workspace/chat/format-messages> and
//! <https://developers.google.com/workspace/chat/limits>: a message a second for each space, shared by all who write there.

use std::time::Duration;

use serde_json::json;

use super::digest::{self, Style};
use super::service::{Configured, Info, Message, Service};
use super::text::{cut, length};
use crate::model::alert::Alert;

/// Of the text; with cards a message could have 32,000 bytes.
const TEXT_MAX: usize = 4000;
const STYLE: Style = Style { max: TEXT_MAX, bold: ["*", "*"], escape: plain, length };

pub(super) const INFO: Info = Info {
    name: "googlechat",
    target: "a URL",
    parameters: &[],
    read: |words| {
        // A thread that is gone, or belongs to somebody else, must not keep a message away.
        let endpoint = words.url()?.with_query("messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD");
        Ok(Configured::new(GoogleChat, endpoint))
    },
};

struct GoogleChat;

impl Service for GoogleChat {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        Message::json(&match alerts {
            [alert] => {
                let key = format!("nginx-alert:{}:{}:{}", alert.instance, alert.monitor, alert.kind.incident());
                json!({ "text": STYLE.single(alert), "thread": { "threadKey": key } })
            }
            alerts => json!({ "text": STYLE.several(&digest::head(alerts), alerts) }),
        })
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

/// Chat's markup has no escapes, so what would mention people, link, or turn the text bold is replaced by its likes.
fn plain(text: &str, limit: usize) -> String {
    let text: String = text
        .chars()
        .map(|c| match c {
            '<' => '‹',
            '>' => '›',
            '*' => '∗',
            '_' => '＿',
            '~' => '∼',
            '`' => 'ˋ',
            c => c,
        })
        .collect();
    cut(&text, limit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::model::alert::{Kind, Status};
    use crate::sink::Outcome;
    use crate::sink::server::{Answer, Server};
    use crate::sink::tests::{body, hostile, named_alerts, sink};

    #[test]
    fn an_incident_is_one_thread() {
        let server = Server::start([Answer::body(200, "{\"name\":\"spaces/A/messages/B\"}")]);
        let url = format!("http://{}/v1/spaces/A/messages?key=k&token=s3cr3t", server.address());
        let sink = sink(&format!("googlechat {url}"));
        let over = Alert { kind: Kind::Failback, status: Status::Resolved, ..failover() };
        for alert in [failover(), over] {
            assert_eq!(sink.deliver(&[alert]), Outcome::Sent);
        }
        let requests = server.requests();
        let line = "POST /v1/spaces/A/messages?key=k&token=s3cr3t&messageReplyOption=REPLY_MESSAGE_FALLBACK_TO_NEW_THREAD HTTP/1.1";
        assert!(requests[0].head.starts_with(line), "{}", requests[0].head);
        let keys: Vec<serde_json::Value> = requests
            .iter()
            .map(|request| serde_json::from_str::<serde_json::Value>(&request.body).expect("JSON")["thread"].clone())
            .collect();
        assert_eq!(keys[0]["threadKey"], "nginx-alert:edge-1:app:failover");
        assert_eq!(keys[0], keys[1]);
    }

    #[test]
    fn nobody_is_mentioned_and_nothing_is_markup() {
        let body = body(&GoogleChat, &[hostile("<users/all> *bold*")]);
        let text = body["text"].as_str().expect("text");
        assert!(!text.contains('<') && text.contains("‹users/all› ∗bold∗"), "{text}");
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn limits_hold_for_any_names(alerts in named_alerts()) {
            let body = body(&GoogleChat, &alerts);
            assert!((1..=TEXT_MAX).contains(&length(body["text"].as_str().expect("text"))));
        }
    }
}
