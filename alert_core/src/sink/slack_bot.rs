//! Slack by an app's bot: what follows on an alert is in the thread of its first message, and that one is marked when it is
//! over. The target is the bot's token, with the scope `chat:write`; `channel=` is the ID of the channel.
//!
//! Methods: <https://docs.slack.dev/reference/methods/chat.postMessage> and
//! <https://docs.slack.dev/reference/methods/chat.update>. They answer 200 to nearly everything, and say in the body whether
//! it worked.

use std::time::Duration;

use serde_json::Value;

use super::http::Reply;
use super::secret::Secret;
use super::service::{Configured, Info, Line, Message, Service, Verdict};
use super::settings::SettingsError;
use super::settings::words::Words;
use super::slack::{self, Mention};
use super::text::without_markup;
use super::{Outcome, Thread};
use crate::model::alert::{Alert, Status};

/// Where the methods are unless `url=` says otherwise.
const API: &str = "https://slack.com/api";
const POST: &str = "/chat.postMessage";
const UPDATE: &str = "/chat.update";
/// Of the first line of a message that is over.
const HEADLINE_MAX: usize = 1000;

/// What Slack says of a message that it will never take. Everything else that it refuses can be mended where it is: a bot
/// that is not in the channel, a token that was revoked.
const REFUSED: [&str; 8] = [
    "invalid_arguments",
    "invalid_blocks",
    "invalid_blocks_format",
    "markdown_text_conflict",
    "msg_blocks_too_long",
    "msg_too_long",
    "no_text",
    "too_many_attachments",
];

pub(super) const INFO: Info = Info {
    name: "slack_bot",
    target: "the token of a bot",
    parameters: &["channel", "mention", "url"],
    read: SlackBot::read,
};

struct SlackBot {
    channel: String,
    mention: Option<Mention>,
}

impl SlackBot {
    fn read(words: &Words<'_>) -> Result<Configured, SettingsError> {
        let token = words.header_target()?;
        let channel = words.required("channel", "channel=ID")?;
        if !channel.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            let expected = "the ID of a channel, such as C0123456789".into();
            return Err(SettingsError::Value { parameter: "channel", quoted: None, expected });
        }
        let endpoint = words.url_or(API)?.with_token(Some(token));
        let place = Secret::new(format!("{} {channel}", endpoint.url()));
        let service = SlackBot { channel, mention: Mention::read(words)? };
        Ok(Configured { place, ..Configured::new(service, endpoint) })
    }

    fn call(&self, method: &'static str, mut body: Value) -> Message {
        body["channel"] = self.channel.as_str().into();
        Message { below: method, ..Message::json(&body) }
    }

    /// The first message of an incident as it reads when that is over.
    fn over(&self, began: &Alert, ended: &Alert, first: u64) -> Message {
        let mut body = slack::single(began, None);
        let text = format!("Over — {}", began.headline());
        let line = format!(":{}: {}", ended.shortcode(), without_markup(&text, HEADLINE_MAX));
        let details = body["text"].as_str().and_then(|text| text.split_once('\n')).map_or("", |(_, rest)| rest);
        body["text"] = format!("{line}\n{details}").into();
        if let Some(blocks) = body["blocks"].as_array_mut() {
            blocks[0] = slack::header(&format!(":{}: {text}", ended.shortcode()));
        }
        body["ts"] = timestamp(first).into();
        self.call(UPDATE, body)
    }
}

impl Service for SlackBot {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        self.call(POST, slack::body(alerts, self.mention.as_ref()))
    }

    fn exchange(&self, alerts: &[Alert], _now_ms: u64, line: &Line<'_>) -> Outcome {
        // First what can be said again without harm, should what follows have to be tried again.
        for alert in alerts.iter().filter(|alert| alert.status == Status::Resolved) {
            let first = line.threads.first(alert);
            let Some(Thread { message, began: Some(began) }) = first else { continue };
            match line.send(&self.over(&began, alert, message)) {
                // Somebody may have deleted it.
                Ok(_) | Err(Outcome::Permanent { .. }) => (),
                Err(outcome) => return outcome,
            }
        }
        let mut body = slack::body(alerts, self.mention.as_ref());
        let thread = match alerts {
            [alert] => line.threads.first(alert),
            _ => None,
        };
        if let Some(thread) = &thread {
            body["thread_ts"] = timestamp(thread.message).into();
        }
        let reply = match line.send(&self.call(POST, body)) {
            Ok(reply) => reply,
            Err(outcome) => return outcome,
        };
        for alert in alerts.iter().filter(|alert| alert.status == Status::Resolved) {
            line.threads.end(alert);
        }
        match (alerts, thread, posted(&reply)) {
            ([alert], None, Some(message)) if alert.status == Status::Firing => line.threads.begin(alert, message),
            _ => (),
        }
        Outcome::Sent
    }

    fn verdict(&self, reply: &Reply) -> Verdict {
        match Verdict::of(reply) {
            Verdict::Retry if (200..300).contains(&reply.status) => {
                let said = error(reply);
                let is_gone =
                    ["message_not_found", "cant_update_message", "edit_window_closed"].contains(&said.as_str());
                if is_gone || REFUSED.contains(&said.as_str()) { Verdict::Permanent } else { Verdict::Retry }
            }
            verdict => verdict,
        }
    }

    /// About a message a second for each channel, and what belongs to it.
    fn min_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn digests(&self) -> bool {
        true
    }

    fn fitting(&self, alerts: &[Alert]) -> usize {
        slack::fitting(alerts)
    }
}

fn error(reply: &Reply) -> String {
    let json: Value = serde_json::from_str(&reply.body).unwrap_or_default();
    json["error"].as_str().unwrap_or_default().to_owned()
}

/// The message that was posted, by Slack's timestamp in microseconds.
fn posted(reply: &Reply) -> Option<u64> {
    let json: Value = serde_json::from_str(&reply.body).ok()?;
    let (seconds, micros) = json["ts"].as_str()?.split_once('.')?;
    let micros = (micros.len() == 6).then(|| micros.parse::<u64>().ok())??;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)
}

fn timestamp(message: u64) -> String {
    format!("{}.{:06}", message / 1_000_000, message % 1_000_000)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::alert::Kind;
    use crate::model::alert::tests::failover;
    use crate::sink::server::{Answer, Request, Server};
    use crate::sink::tests::{Remembered, sink};

    fn failback() -> Alert {
        let alert = failover();
        let (from, to) = (alert.to.clone(), alert.from.clone());
        Alert { kind: Kind::Failback, status: Status::Resolved, from, to, ..alert }
    }

    fn bot(server: &Server) -> crate::sink::Sink {
        sink(&format!("slack_bot xoxb-s3cr3t channel=C024BE91L url=http://{}/api", server.address()))
    }

    fn posted_answer() -> Answer {
        Answer::body(200, r#"{"ok":true,"channel":"C024BE91L","ts":"1503435956.000247"}"#)
    }

    fn call(request: &Request) -> (String, Value) {
        assert_eq!(request.header("authorization"), Some("Bearer xoxb-s3cr3t"));
        let method = request.head.split([' ', '/']).nth(3).expect("a method").to_owned();
        (method, serde_json::from_str(&request.body).expect("JSON"))
    }

    #[test]
    fn what_follows_is_in_the_thread_and_the_first_message_is_marked() {
        let server = Server::start([posted_answer()]);
        let (bot, threads) = (bot(&server), Remembered::default());
        assert_eq!(bot.deliver_in(&[failover()], &threads), Outcome::Sent);
        assert_eq!(bot.deliver_in(&[Alert { reminder: true, ..failover() }], &threads), Outcome::Sent);
        assert_eq!(bot.deliver_in(&[failback()], &threads), Outcome::Sent);
        assert_eq!(bot.deliver_in(&[failover()], &threads), Outcome::Sent);
        let calls: Vec<(String, Value)> = server.requests().iter().map(call).collect();
        let methods: Vec<&str> = calls.iter().map(|(method, _)| method.as_str()).collect();
        assert_eq!(
            methods,
            ["chat.postMessage", "chat.postMessage", "chat.update", "chat.postMessage", "chat.postMessage"]
        );
        assert!(calls.iter().all(|(_, body)| body["channel"] == "C024BE91L"));
        let threads: Vec<&Value> = calls.iter().map(|(_, body)| &body["thread_ts"]).collect();
        assert_eq!(
            threads,
            [&Value::Null, &json!("1503435956.000247"), &Value::Null, &json!("1503435956.000247"), &Value::Null]
        );
        let update = &calls[2].1;
        assert_eq!(update["ts"], "1503435956.000247");
        assert!(update["text"].as_str().expect("text").starts_with(":white_check_mark: Over — Failover detected"));
        assert!(update["blocks"][0]["text"]["text"].as_str().expect("a header").contains("Over — Failover"));
    }

    #[test]
    fn a_first_message_that_was_deleted_hides_no_end() {
        let gone = Answer::body(200, r#"{"ok":false,"error":"message_not_found"}"#);
        let server = Server::start([posted_answer(), gone, posted_answer()]);
        let (bot, threads) = (bot(&server), Remembered::default());
        for alert in [failover(), failback()] {
            assert_eq!(bot.deliver_in(&[alert], &threads), Outcome::Sent);
        }
        assert_eq!(server.requests().len(), 3);
    }

    #[test]
    fn what_can_be_mended_is_tried_again_and_what_cannot_is_not() {
        for (body, again) in [
            (r#"{"ok":false,"error":"not_in_channel"}"#, true),
            (r#"{"ok":false,"error":"invalid_auth"}"#, true),
            (r#"{"ok":false,"error":"fatal_error"}"#, true),
            (r#"{"ok":false,"error":"msg_blocks_too_long"}"#, false),
            (r#"{"ok":false,"error":"invalid_blocks"}"#, false),
        ] {
            let outcome = bot(&Server::start([Answer::body(200, body)])).deliver(&[failover()]);
            assert_eq!(matches!(outcome, Outcome::Retry { .. }), again, "{body} gives {outcome:?}");
            assert_ne!(outcome, Outcome::Sent);
        }
        let limited = Answer::Reply(429, "Retry-After: 30\r\n", r#"{"ok":false,"error":"ratelimited"}"#.into());
        let outcome = bot(&Server::start([limited])).deliver(&[failover()]);
        assert!(matches!(outcome, Outcome::Retry { after: Some(after), .. } if after.as_secs() == 30), "{outcome:?}");
    }
}
