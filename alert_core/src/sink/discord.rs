//! Discord: a line of content that shows in notifications, and an embed with the details.

use std::time::Duration;

use serde_json::{Value, json};

use super::digest;
use super::service::{Configured, Info, Message, Service};
use super::settings::SettingsError;
use super::settings::words::Words;
use super::text::{cut_escaped, length};
use crate::base::clock::rfc3339;
use crate::model::alert::{Alert, Status};

/// Less what a mention takes.
const CONTENT_MAX: usize = 1950;
const VALUE_MAX: usize = 300;
/// For ten embeds of 6,000 characters together: what is more in a digest is named without its details.
const EMBEDS_MAX: usize = 10;
const DETAILS_MAX: usize = 500;
/// What a digest has besides its alerts: how many there are, and the instance.
const AROUND_MAX: usize = 250;
const INSTANCE_MAX: usize = 100;

pub(super) const INFO: Info = Info {
    name: "discord",
    target: "a URL",
    parameters: &["mention"],
    read: |words| Ok(Configured::new(Discord { mention: Mention::read(words)? }, words.url()?)),
};

struct Discord {
    mention: Option<Mention>,
}

/// Whom a message may call, as Discord writes it, and as it has to be allowed.
struct Mention {
    text: String,
    allowed: Value,
}

impl Mention {
    fn read(words: &Words<'_>) -> Result<Option<Mention>, SettingsError> {
        let Some(text) = words.text("mention")? else { return Ok(None) };
        let id = |begin: &str| {
            let id = text.strip_prefix(begin)?.strip_suffix('>')?;
            (!id.is_empty() && id.bytes().all(|byte| byte.is_ascii_digit())).then(|| id.to_owned())
        };
        let allowed = match (text.as_str(), id("<@&"), id("<@")) {
            ("@here" | "@everyone", ..) => json!({ "parse": ["everyone"] }),
            (_, Some(role), _) => json!({ "parse": [], "roles": [role] }),
            (_, _, Some(user)) => json!({ "parse": [], "users": [user] }),
            _ => {
                let expected = "@here, @everyone, <@USER-ID> or <@&ROLE-ID>".into();
                return Err(SettingsError::Value { parameter: "mention", quoted: None, expected });
            }
        };
        Ok(Some(Mention { text, allowed }))
    }
}

impl Service for Discord {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        let mut body = match alerts {
            [alert] => json!({ "content": headline(alert, CONTENT_MAX - 10), "embeds": [embed(alert)] }),
            alerts => several(alerts),
        };
        // Whatever the text says: nobody else is mentioned, and nobody for what is over.
        let fires = alerts.iter().any(|alert| alert.status == Status::Firing);
        body["allowed_mentions"] = match self.mention.as_ref().filter(|_| fires) {
            Some(Mention { text, allowed }) => {
                body["content"] = format!("{text} {}", body["content"].as_str().unwrap_or_default()).into();
                allowed.clone()
            }
            None => json!({ "parse": [] }),
        };
        Message::json(&body)
    }

    /// Discord allows 30 messages a minute for each channel.
    fn min_interval(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn digests(&self) -> bool {
        true
    }

    fn fitting(&self, alerts: &[Alert]) -> usize {
        // With the line feed behind it.
        digest::fitting(alerts, CONTENT_MAX - AROUND_MAX, |alert| length(&line(alert)) + 1)
    }
}

fn embed(alert: &Alert) -> Value {
    let fields: Vec<Value> = alert
        .details()
        .iter()
        .filter(|(label, _)| *label != "Time")
        .map(|(label, value)| json!({ "name": label, "value": filled(value, VALUE_MAX), "inline": value.len() <= 40 }))
        .collect();
    json!({ "color": color(alert), "fields": fields, "timestamp": rfc3339(alert.time_ms) })
}

fn several(alerts: &[Alert]) -> Value {
    let instance = alerts.last().map_or("", |alert| alert.instance.as_str());
    let mut lines = vec![digest::headline(alerts)];
    lines.extend(digest::obsolete(alerts));
    lines.extend(alerts.iter().map(line));
    lines.push(format!("Instance: {}", escape(instance, INSTANCE_MAX)));
    let embed = |alert| json!({ "color": color(alert), "description": filled(&digest::details(alert), DETAILS_MAX) });
    json!({ "content": lines.join("\n"), "embeds": alerts.iter().take(EMBEDS_MAX).map(embed).collect::<Vec<_>>() })
}

/// An alert in a digest: its first line, and where and when it was decided.
fn line(alert: &Alert) -> String {
    format!("{} {}", headline(alert, usize::MAX), escape(&digest::origin(alert), usize::MAX))
}

/// Discord refuses what is empty.
fn filled(text: &str, limit: usize) -> String {
    escape(if text.trim().is_empty() { "—" } else { text }, limit)
}

fn headline(alert: &Alert, limit: usize) -> String {
    format!("{} {}", alert.symbol(), escape(&alert.headline(), limit))
}

fn color(alert: &Alert) -> u32 {
    match alert.status {
        Status::Firing => 0xd0_34_2c,
        Status::Resolved => 0x2e_8b_57,
        Status::Info => 0x3b_78_c4,
    }
}

/// What is markup to Discord: emphasis, code, quotes, links, mentions.
fn escape(text: &str, limit: usize) -> String {
    cut_escaped(text, limit, |c| {
        Some(match c {
            '\\' => "\\\\",
            '*' => "\\*",
            '_' => "\\_",
            '~' => "\\~",
            '`' => "\\`",
            '|' => "\\|",
            '<' => "\\<",
            '>' => "\\>",
            '[' => "\\[",
            ']' => "\\]",
            '@' => "\\@",
            '#' => "\\#",
            _ => return None,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::settings::tests::error;
    use crate::sink::tests::{body, hostile, named_alerts, sink};

    fn service() -> Discord {
        Discord { mention: None }
    }

    #[test]
    fn the_one_mention_of_the_operator_is_allowed_while_something_fires() {
        for (mention, allowed) in [
            ("@here", json!({ "parse": ["everyone"] })),
            ("<@80351110224678912>", json!({ "parse": [], "users": ["80351110224678912"] })),
            ("<@&165511591545143296>", json!({ "parse": [], "roles": ["165511591545143296"] })),
        ] {
            let sink = sink(&format!("discord http://a mention={mention}"));
            let body = |alert| serde_json::from_str::<Value>(&sink.bodies(&[alert], 0)[0]).expect("JSON");
            let fired = body(hostile("@everyone"));
            assert_eq!(fired["allowed_mentions"], allowed);
            assert!(fired["content"].as_str().expect("content").starts_with(mention));
            let over = body(Alert { status: Status::Resolved, ..failover() });
            assert_eq!(over["allowed_mentions"], json!({ "parse": [] }));
        }
        assert!(error("discord http://a mention=<!here>").contains("@here, @everyone"));
    }

    #[test]
    fn the_content_is_the_headline_and_the_embed_has_the_details() {
        let body = body(&service(), &[failover()]);
        assert_eq!(body["content"], "🚨 Failover detected — pool changed from blue → green");
        let fields = body["embeds"][0]["fields"].as_array().expect("fields");
        assert!(fields.iter().any(|field| field["name"] == "Users saw"), "{fields:?}");
    }

    #[test]
    fn nobody_is_mentioned() {
        let body = body(&service(), &[hostile("@everyone <@123> [click](http://x) **bold**")]);
        assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
        let content = body["content"].as_str().expect("content");
        assert!(content.contains("\\@everyone \\<\\@123\\> \\[click\\](http://x) \\*\\*bold\\*\\*"), "{content}");
    }

    #[test]
    fn a_burst_is_one_message() {
        let body = body(&service(), &vec![failover(); EMBEDS_MAX]);
        let content = body["content"].as_str().expect("content");
        assert_eq!((content.lines().next(), content.lines().count()), (Some("10 alerts"), EMBEDS_MAX + 2));
        assert_eq!(body["embeds"].as_array().map(Vec::len), Some(EMBEDS_MAX));
        assert_eq!(content.lines().last(), Some("Instance: edge-1"));
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn limits_hold_for_any_names(alerts in named_alerts()) {
            let body = body(&service(), &alerts);
            assert!((1..=CONTENT_MAX).contains(&length(body["content"].as_str().expect("content"))));
            let fields = body["embeds"][0]["fields"].as_array().cloned().unwrap_or_default();
            assert!(fields.len() <= 25);
            let descriptions = body["embeds"].as_array().expect("embeds").iter();
            let mut total = descriptions.map(|embed| embed["description"].as_str().map_or(0, length)).sum::<usize>();
            for field in fields {
                let (name, value) = (field["name"].as_str().expect("name"), field["value"].as_str().expect("value"));
                assert!((1..=256).contains(&length(name)) && (1..=1024).contains(&length(value)));
                total += length(name) + length(value);
            }
            assert!(total <= 6000);
        }
    }
}
