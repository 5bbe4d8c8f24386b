//! Discord: a line of content that shows in notifications, and an embed with the details.

use std::time::Duration;

use serde_json::{Value, json};

use super::digest;
use super::service::{Configured, Info, Message, Service};
use super::text::cut_escaped;
use crate::base::clock::rfc3339;
use crate::model::alert::{Alert, Status};

const CONTENT_MAX: usize = 2000;
const VALUE_MAX: usize = 300;
const LINE_MAX: usize = 250;

pub(super) const INFO: Info = Info {
    name: "discord",
    target: "a URL",
    parameters: &[],
    read: |words| Ok(Configured::new(Discord, words.url()?)),
};

struct Discord;

impl Service for Discord {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        let mut body = match alerts {
            [alert] => json!({ "content": headline(alert, CONTENT_MAX / 2), "embeds": [embed(alert)] }),
            alerts => json!({ "content": several(alerts) }),
        };
        // Whatever the text says: nobody is mentioned.
        body["allowed_mentions"] = json!({ "parse": [] });
        Message::json(&body)
    }

    /// Discord allows 30 messages a minute for each channel.
    fn min_interval(&self) -> Duration {
        Duration::from_secs(2)
    }

    fn takes_digest(&self) -> bool {
        true
    }
}

fn embed(alert: &Alert) -> Value {
    let fields: Vec<Value> = alert
        .details()
        .iter()
        .filter(|(label, _)| *label != "Time")
        .map(|(label, value)| {
            // Discord refuses a field without a value.
            let value = if value.trim().is_empty() { "—" } else { value };
            json!({ "name": label, "value": escape(value, VALUE_MAX), "inline": value.len() <= 40 })
        })
        .collect();
    json!({ "color": color(alert), "fields": fields, "timestamp": rfc3339(alert.time_ms) })
}

fn several(alerts: &[Alert]) -> String {
    let headline = digest::headline(alerts);
    let host = alerts.last().map_or("", |alert| alert.host.as_str());
    let last = format!("Host: {}", escape(host, VALUE_MAX));
    let room = CONTENT_MAX - VALUE_MAX - LINE_MAX;
    let lines = digest::lines(alerts, room, |alert| {
        format!("{} {}", self::headline(alert, LINE_MAX), escape(&digest::origin(alert), LINE_MAX))
    });
    format!("{headline}\n{}\n{last}", lines.join("\n"))
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
    use crate::sink::tests::{body, hostile, named_alerts};
    use crate::sink::text::length;

    #[test]
    fn the_content_is_the_headline_and_the_embed_has_the_details() {
        let body = body(&Discord, &[failover()]);
        assert_eq!(body["content"], "🚨 Failover detected — pool changed from blue → green");
        let fields = body["embeds"][0]["fields"].as_array().expect("fields");
        assert!(fields.iter().any(|field| field["name"] == "Users saw"), "{fields:?}");
    }

    #[test]
    fn nobody_is_mentioned() {
        let body = body(&Discord, &[hostile("@everyone <@123> [click](http://x) **bold**")]);
        assert_eq!(body["allowed_mentions"], json!({ "parse": [] }));
        let content = body["content"].as_str().expect("content");
        assert!(content.contains("\\@everyone \\<\\@123\\> \\[click\\](http://x) \\*\\*bold\\*\\*"), "{content}");
    }

    #[test]
    fn a_burst_is_one_message() {
        let body = body(&Discord, &vec![failover(); 30]);
        let content = body["content"].as_str().expect("content");
        assert_eq!(content.lines().next(), Some("30 alerts"));
        assert!(content.lines().nth(1).expect("a line").ends_with("earlier ones are left out"), "{content}");
        assert_eq!(content.lines().last(), Some("Host: edge-1"));
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn limits_hold_for_any_names(alerts in named_alerts()) {
            let body = body(&Discord, &alerts);
            assert!((1..=CONTENT_MAX).contains(&length(body["content"].as_str().expect("content"))));
            let fields = body["embeds"][0]["fields"].as_array().cloned().unwrap_or_default();
            assert!(fields.len() <= 25);
            let mut total = 0;
            for field in fields {
                let (name, value) = (field["name"].as_str().expect("name"), field["value"].as_str().expect("value"));
                assert!((1..=256).contains(&length(name)) && (1..=1024).contains(&length(value)));
                total += length(name) + length(value);
            }
            assert!(total <= 6000);
        }
    }
}
