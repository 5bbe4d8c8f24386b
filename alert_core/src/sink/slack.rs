//! Slack: an incoming webhook, with text for notifications and blocks for the channel.
//!
//! Limits: <https://docs.slack.dev/reference/block-kit/blocks> (50 blocks a message, 3,000 characters in the text of a
//! section, 2,000 in one of its at most 10 fields, 150 in a header) and
//! <https://docs.slack.dev/apis/web-api/rate-limits> (a message a second for each channel).

use std::time::Duration;

use serde_json::{Value, json};

use super::digest;
use super::service::{Configured, Info, Message, Service};
use super::text::{cut, cut_escaped, length};
use crate::base::clock::rfc3339;
use crate::model::alert::Alert;

const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3000;
const FIELDS_MAX: usize = 10;
/// Of all blocks together. Not documented, but more is refused with `msg_blocks_too_long`.
const BLOCKS_MAX: usize = 12_000;
/// Limits of our own, so that a message stays readable: for the headline, for one value, for the headline of an alert in
/// a digest and what stands behind it, and for the alerts of a digest.
const HEADLINE_MAX: usize = 1000;
const VALUE_MAX: usize = 400;
const LINE_MAX: usize = 250;
const ORIGIN_MAX: usize = 100;
const DIGEST_MAX: usize = 20;

pub(super) const INFO: Info =
    Info { name: "slack", target: "a URL", parameters: &[], read: |words| Ok(Configured::new(Slack, words.url()?)) };

/// An incoming webhook of Slack, or of something that speaks its language.
struct Slack;

impl Service for Slack {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        Message::json(&match alerts {
            [alert] => single(alert),
            alerts => several(alerts),
        })
    }

    /// Slack answers 429 to more than about a message a second.
    fn min_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn digest_max(&self) -> usize {
        DIGEST_MAX
    }
}

fn single(alert: &Alert) -> Value {
    let headline = headline(alert, HEADLINE_MAX);
    let details = alert.details();
    let lines: Vec<String> =
        details.iter().map(|(label, value)| format!("{label}: {}", escape(value, VALUE_MAX))).collect();
    let mut blocks = vec![header(&symbol_and(alert, &alert.headline()))];
    if headline.encode_utf16().count() > HEADER_MAX {
        blocks.push(json!({ "type": "section", "text": markdown(&headline) }));
    }
    // Where and when are the small print, the rest is what happened.
    let (context, fields): (Vec<_>, Vec<_>) =
        details.iter().partition(|(label, _)| ["Monitor", "Instance", "Time"].contains(label));
    for fields in fields.chunks(FIELDS_MAX) {
        let fields: Vec<Value> =
            fields.iter().map(|(label, value)| markdown(&format!("*{label}*\n{}", escape(value, VALUE_MAX)))).collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let context: Vec<Value> =
        context.iter().map(|(label, value)| markdown(&format!("{label}: {}", escape(value, VALUE_MAX)))).collect();
    blocks.push(json!({ "type": "context", "elements": context }));
    json!({ "text": format!("{headline}\n{}", lines.join("\n")), "blocks": blocks })
}

fn several(alerts: &[Alert]) -> Value {
    let headline = digest::headline(alerts);
    let mut lines = vec![headline.clone()];
    let mut blocks = vec![header(&headline)];
    lines.extend(digest::obsolete(alerts));
    blocks.extend(digest::obsolete(alerts).map(|text| json!({ "type": "section", "text": markdown(&text) })));
    let share = (BLOCKS_MAX / alerts.len().max(1)).min(SECTION_MAX);
    for alert in alerts {
        let line = format!("{} {}", self::headline(alert, LINE_MAX), escape(&digest::origin(alert), ORIGIN_MAX));
        // The stars and the line feed take three.
        let room = share.saturating_sub(length(&line) + 3);
        let section = format!("*{line}*\n{}", escape(&digest::details(alert), room));
        blocks.push(json!({ "type": "section", "text": markdown(&section) }));
        lines.push(line);
    }
    let latest = alerts.last().map_or(0, |alert| alert.time_ms);
    let instance = alerts.last().map_or("", |alert| alert.instance.as_str());
    let context = format!("Instance: {} · {}", escape(instance, VALUE_MAX), rfc3339(latest));
    blocks.push(json!({ "type": "context", "elements": [markdown(&context)] }));
    json!({ "text": lines.join("\n"), "blocks": blocks })
}

/// The first line of a text: symbol and headline.
fn headline(alert: &Alert, limit: usize) -> String {
    symbol_and(alert, &escape(&alert.headline(), limit))
}

fn symbol_and(alert: &Alert, headline: &str) -> String {
    format!(":{}: {headline}", alert.shortcode())
}

fn header(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": escape(text, HEADER_MAX), "emoji": true } })
}

/// `verbatim` keeps Slack from looking for channels, people and links in what upstreams wrote.
fn markdown(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": cut(text, SECTION_MAX), "verbatim": true })
}

/// The three characters that mean something to Slack: without them there is no mention, no link and no date.
fn escape(text: &str, limit: usize) -> String {
    cut_escaped(text, limit, |c| match c {
        '&' => Some("&amp;"),
        '<' => Some("&lt;"),
        '>' => Some("&gt;"),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::tests::{body, hostile, named_alerts};

    #[test]
    fn the_first_line_is_symbol_and_headline() {
        let body = body(&Slack, &[failover()]);
        let text = body["text"].as_str().expect("text");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(":rotating_light: Failover detected — pool changed from blue → green"));
        assert!(lines.any(|line| line == "Users saw: 16 retries absorbed, 0 errors reached users"), "{text}");
        assert_eq!(body["blocks"][0]["text"]["text"], text.lines().next().expect("a line"));
    }

    #[test]
    fn no_name_can_mention_anybody() {
        let body = body(&Slack, &[hostile("<!channel> & \"<@U123>\"\n:fire: all is well")]);
        let all = body.to_string();
        assert!(!all.contains('<') && !all.contains('>'), "{all}");
        assert!(all.contains("&lt;!channel&gt; &amp; \\\"&lt;@U123&gt;\\\" :fire:"), "{all}");
        // A line feed in a name does not start a line of its own.
        assert!(!body["text"].as_str().expect("text").lines().any(|line| line.starts_with(":fire:")));
    }

    #[test]
    fn a_burst_is_one_message_with_a_line_each() {
        let alerts: Vec<Alert> = (0..4).map(|n| Alert { monitor: format!("app{n}"), ..failover() }).collect();
        let body = body(&Slack, &alerts);
        let text = body["text"].as_str().expect("text");
        assert_eq!(text.lines().next(), Some("4 alerts"));
        for monitor in ["app0", "app1", "app2", "app3"] {
            let line = text.lines().find(|line| line.contains(monitor)).expect("a line for each");
            assert!(line.starts_with(":rotating_light: Failover detected — pool changed from blue → green ("));
        }
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn limits_hold_for_any_names(alerts in named_alerts()) {
            let alerts = &alerts[..alerts.len().min(DIGEST_MAX)];
            let body = body(&Slack, alerts);
            let text = body["text"].as_str().expect("text");
            assert!(!body.to_string().contains('<'));
            assert!(length(text) <= 40_000);
            let blocks = body["blocks"].as_array().expect("blocks");
            assert!((1..=50).contains(&blocks.len()));
            let texts = |block: &Value| block["text"]["text"].as_str().map_or(0, length);
            assert!(alerts.len() == 1 || blocks.iter().map(texts).sum::<usize>() <= 13_000);
            for block in blocks {
                let limit = if block["type"] == "header" { HEADER_MAX } else { SECTION_MAX };
                let fields = block["fields"].as_array().or(block["elements"].as_array());
                let own = block.get("text");
                assert!(fields.is_none_or(|fields| (1..=FIELDS_MAX).contains(&fields.len())));
                for text in fields.into_iter().flatten().chain(own) {
                    let text = text["text"].as_str().expect("a text");
                    let limit = if own.is_some() { limit } else { 2000 };
                    assert!((1..=limit).contains(&length(text)), "{text}");
                }
            }
        }
    }
}
