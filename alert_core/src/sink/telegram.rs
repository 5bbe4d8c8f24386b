//! Telegram, by a bot: the target is its token, `chat=` the chat. What follows on an alert answers to its first message.
//!
//! <https://core.telegram.org/bots/api#sendmessage>: 1 to 4,096 characters. Not more than one message a second in a chat, and
//! 20 a minute in a group (<https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this>).

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::digest::{self, Style};
use super::http::Reply;
use super::secret::Secret;
use super::service::{Configured, Info, Line, Message, Service};
use super::settings::SettingsError;
use super::settings::words::Words;
use super::text::{length, without_markup};
use super::{Outcome, retry};
use crate::model::alert::{Alert, Status};

/// Where bots are unless `url=` says otherwise.
const API: &str = "https://api.telegram.org";
const TEXT_MAX: usize = 4096;
const STYLE: Style = Style { max: TEXT_MAX, bold: ["<b>", "</b>"], escape: without_markup, length };

pub(super) const INFO: Info =
    Info { name: "telegram", target: "the token of a bot", parameters: &["chat", "url"], read: Telegram::read };

struct Telegram {
    chat: String,
}

impl Telegram {
    fn read(words: &Words<'_>) -> Result<Configured, SettingsError> {
        let token = words.secret_target()?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b":_-".contains(&byte);
        if !token.reveal().contains(':') || !token.reveal().bytes().all(plain) {
            let expected = "the token of a bot, digits and letters with a colon between".into();
            return Err(SettingsError::Target { expected });
        }
        // What stands before the colon is the bot's number, which everybody may know.
        words.note(token.reveal().split_once(':').map_or("", |(_, key)| key).to_owned());
        let chat = words.required("chat", "chat=ID")?;
        let is_number = chat.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
        if !is_number && !chat.starts_with('@') {
            let expected = "the number of a chat, such as -1001234567890, or a channel's @name".into();
            return Err(SettingsError::Value { parameter: "chat", quoted: None, expected });
        }
        let endpoint = words.url_or(API)?.below(&format!("/bot{}/sendMessage", token.reveal()));
        let place = Secret::new(format!("{} {chat}", endpoint.url()));
        Ok(Configured { place, ..Configured::new(Telegram { chat }, endpoint) })
    }

    fn body(&self, alerts: &[Alert]) -> Value {
        let text = match alerts {
            [alert] => STYLE.single(alert),
            alerts => STYLE.several(&digest::head(alerts), alerts),
        };
        json!({
            "chat_id": self.chat,
            "text": text,
            "parse_mode": "HTML",
            "link_preview_options": { "is_disabled": true },
        })
    }
}

impl Service for Telegram {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        Message::json(&self.body(alerts))
    }

    fn exchange(&self, alerts: &[Alert], _now_ms: u64, line: &Line<'_>) -> Outcome {
        let mut body = self.body(alerts);
        let first = match alerts {
            [alert] => line.threads.first(alert),
            _ => None,
        };
        if let Some(first) = &first {
            // Somebody may have deleted it.
            body["reply_parameters"] = json!({ "message_id": first.message, "allow_sending_without_reply": true });
        }
        let reply = match line.send(&Message::json(&body)) {
            Ok(reply) => reply,
            Err(outcome) => return outcome,
        };
        for alert in alerts.iter().filter(|alert| alert.status == Status::Resolved) {
            line.threads.end(alert);
        }
        let json: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        match (alerts, first, json["result"]["message_id"].as_u64()) {
            ([alert], None, Some(message)) if alert.status == Status::Firing => line.threads.begin(alert, message),
            _ => (),
        }
        Outcome::Sent
    }

    /// Telegram says it in the body.
    fn pause(&self, reply: &Reply, now: SystemTime) -> Option<Duration> {
        let json: Value = serde_json::from_str(&reply.body).unwrap_or_default();
        let said = json["parameters"]["retry_after"].as_u64().map(|seconds| seconds.to_string());
        said.or_else(|| reply.retry_after.clone()).and_then(|value| retry::after(&value, now))
    }

    fn min_interval(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn digests(&self) -> bool {
        true
    }

    fn fitting(&self, alerts: &[Alert]) -> usize {
        STYLE.fitting(alerts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::server::{Answer, Server};
    use crate::sink::tests::{Remembered, body, hostile, named_alerts, sink};

    fn service() -> Telegram {
        Telegram { chat: "-100123".into() }
    }

    fn bot(server: &Server) -> crate::sink::Sink {
        sink(&format!("telegram 123456:s3cr3t-t0k3n chat=-100123 url=http://{}", server.address()))
    }

    #[test]
    fn what_follows_answers_to_the_first_message() {
        let server = Server::start([Answer::body(200, r#"{"ok":true,"result":{"message_id":77}}"#)]);
        let (bot, threads) = (bot(&server), Remembered::default());
        let over = Alert { status: Status::Resolved, ..failover() };
        for alert in [failover(), over, failover()] {
            assert_eq!(bot.deliver_in(&[alert], &threads), Outcome::Sent);
        }
        let requests = server.requests();
        assert!(requests[0].head.starts_with("POST /bot123456:s3cr3t-t0k3n/sendMessage HTTP/1.1\r\n"));
        let replies: Vec<Value> = requests
            .iter()
            .map(|request| {
                serde_json::from_str::<Value>(&request.body).expect("JSON")["reply_parameters"]["message_id"].clone()
            })
            .collect();
        assert_eq!(replies, [Value::Null, json!(77), Value::Null]);
    }

    #[test]
    fn the_pause_is_in_the_body_and_the_token_in_no_error() {
        let limited = r#"{"ok":false,"error_code":429,"description":"Too Many Requests: retry after 35","parameters":{"retry_after":35}}"#;
        let outcome = bot(&Server::start([Answer::body(429, limited)])).deliver(&[failover()]);
        assert!(matches!(outcome, Outcome::Retry { after: Some(after), .. } if after.as_secs() == 35), "{outcome:?}");
        let refused = r#"{"ok":false,"error_code":403,"description":"Forbidden: bot was kicked from the group chat"}"#;
        let outcome = bot(&Server::start([Answer::body(403, refused)])).deliver(&[failover()]);
        assert!(format!("{outcome:?}").contains("403 (Forbidden: bot was kicked"), "{outcome:?}");
        let echo = Answer::body(401, r#"{"ok":false,"description":"no bot s3cr3t-t0k3n"}"#);
        let outcome = bot(&Server::start([echo])).deliver(&[failover()]);
        assert!(
            matches!(outcome, Outcome::Permanent { .. }) && !format!("{outcome:?}").contains("s3cr3t"),
            "{outcome:?}"
        );
    }

    #[test]
    fn no_name_is_markup() {
        let body = body(&service(), &[hostile("<a href=\"http://x\">&")]);
        let text = body["text"].as_str().expect("text");
        assert!(!text.contains("<a") && text.contains("&lt;a href"), "{text}");
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn limits_hold_for_any_names(alerts in named_alerts()) {
            let body = body(&service(), &alerts);
            assert!((1..=TEXT_MAX).contains(&length(body["text"].as_str().expect("text"))));
        }
    }
}
