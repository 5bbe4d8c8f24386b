//! Slack: an incoming webhook, with text for notifications and blocks for the channel.
//!
//! Limits: <https://docs.slack.dev/reference/block-kit/blocks> (50 blocks a message, 3,000 characters in the text of a
//! section, 2,000 in one of its at most 10 fields, 150 in a header) and
//! <https://docs.slack.dev/apis/web-api/rate-limits> (a message a second for each channel).

use std::time::Duration;

use serde_json::{Value, json};

use super::digest;
use super::service::{Configured, Info, Message, Service};
use super::settings::SettingsError;
use super::settings::words::Words;
use super::text::{cut, length, without_markup};
use crate::base::clock::rfc3339;
use crate::model::alert::{Alert, Status};

const HEADER_MAX: usize = 150;
const SECTION_MAX: usize = 3000;
const FIELDS_MAX: usize = 10;
/// Of all blocks together. Not documented, but more is refused with `msg_blocks_too_long`.
const BLOCKS_MAX: usize = 12_000;
/// A limit of our own for one value, so that a message stays readable.
const VALUE_MAX: usize = 400;
/// What stands around the first line of an alert in a digest.
const AROUND: usize = "**\n".len();
const LINK_MAX: usize = 1000;
const LINKS: [&str; 2] = ["Status page", "Runbook"];

pub(super) const INFO: Info = Info {
    name: "slack",
    target: "a URL",
    parameters: &["mention"],
    read: |words| Ok(Configured::new(Slack { mention: Mention::read(words)? }, words.url()?)),
};

/// An incoming webhook of Slack, or of something that speaks its language.
struct Slack {
    mention: Option<Mention>,
}

/// Whom a message may call: `<!here>`, `<@U…>` and their like, as Slack writes them.
pub(super) struct Mention(String);

impl Mention {
    pub(super) fn read(words: &Words<'_>) -> Result<Option<Mention>, SettingsError> {
        let Some(text) = words.text("mention")? else { return Ok(None) };
        let inside = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or_default();
        let id = inside.strip_prefix('@').or_else(|| inside.strip_prefix("!subteam^"));
        let is_id = |id: &str| !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if ["!here", "!channel", "!everyone"].contains(&inside) || id.is_some_and(is_id) {
            return Ok(Some(Mention(text)));
        }
        let expected = "<!here>, <!channel>, <!everyone>, <@USER-ID> or <!subteam^GROUP-ID>".into();
        Err(SettingsError::Value { parameter: "mention", quoted: None, expected })
    }
}

impl Service for Slack {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        Message::json(&body(alerts, self.mention.as_ref()))
    }

    /// Slack answers 429 to more than about a message a second.
    fn min_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn digests(&self) -> bool {
        true
    }

    fn fitting(&self, alerts: &[Alert]) -> usize {
        fitting(alerts)
    }
}

/// How many of these alerts one message names.
pub(super) fn fitting(alerts: &[Alert]) -> usize {
    let length = |alert: &Alert| length(&line(alert)) + AROUND;
    let short = alerts.iter().take_while(|alert| length(alert) <= SECTION_MAX).count();
    digest::fitting(&alerts[..short], BLOCKS_MAX, length)
}

/// The message for these alerts.
pub(super) fn body(alerts: &[Alert], mention: Option<&Mention>) -> Value {
    // Nobody is called for what is over.
    let mention = mention.filter(|_| alerts.iter().any(|alert| alert.status == Status::Firing));
    match alerts {
        [alert] => single(alert, mention),
        alerts => several(alerts, mention),
    }
}

/// The message for one alert.
pub(super) fn single(alert: &Alert, mention: Option<&Mention>) -> Value {
    let headline = headline(alert, SECTION_MAX);
    let details = alert.details();
    let lines: Vec<String> =
        details.iter().map(|(label, value)| format!("{label}: {}", without_markup(value, VALUE_MAX))).collect();
    let mut blocks = vec![header(&symbol_and(alert, &alert.headline()))];
    if headline.encode_utf16().count() > HEADER_MAX {
        blocks.push(json!({ "type": "section", "text": markdown(&headline) }));
    }
    blocks.extend(mention.map(|Mention(mention)| json!({ "type": "section", "text": markdown(mention) })));
    let (links, details): (Vec<_>, Vec<_>) = details.iter().partition(|(label, _)| LINKS.contains(label));
    // Where and when are the small print, the rest is what happened.
    let (context, fields): (Vec<_>, Vec<_>) =
        details.into_iter().partition(|(label, _)| ["Monitor", "Instance", "Labels", "Time"].contains(label));
    for fields in fields.chunks(FIELDS_MAX) {
        let fields: Vec<Value> = fields
            .iter()
            .map(|(label, value)| markdown(&format!("*{label}*\n{}", without_markup(value, VALUE_MAX))))
            .collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
    }
    let context: Vec<Value> = context
        .iter()
        .map(|(label, value)| markdown(&format!("{label}: {}", without_markup(value, VALUE_MAX))))
        .collect();
    if !links.is_empty() {
        let links: Vec<String> = links.iter().map(|(label, url)| link(url, label)).collect();
        blocks.push(json!({ "type": "section", "text": markdown(&links.join(" · ")) }));
    }
    blocks.push(json!({ "type": "context", "elements": context }));
    let mut text = vec![headline];
    text.extend(mention.map(|Mention(mention)| mention.clone()));
    text.extend(lines);
    json!({ "text": text.join("\n"), "blocks": blocks })
}

/// A link of the operator's.
fn link(url: &str, label: &str) -> String {
    let url: String = url.chars().map(|c| if "<>|".contains(c) { ' ' } else { c }).collect();
    format!("<{}|{label}>", without_markup(&url.replace(' ', "%20"), LINK_MAX))
}

fn several(alerts: &[Alert], mention: Option<&Mention>) -> Value {
    let headline = digest::headline(alerts);
    let mut lines = vec![headline.clone()];
    let mut blocks = vec![header(&headline)];
    lines.extend(mention.map(|Mention(mention)| mention.clone()));
    blocks.extend(mention.map(|Mention(mention)| json!({ "type": "section", "text": markdown(mention) })));
    lines.extend(digest::obsolete(alerts));
    blocks.extend(digest::obsolete(alerts).map(|text| json!({ "type": "section", "text": markdown(&text) })));
    let taken: usize = alerts.iter().map(|alert| length(&line(alert)) + AROUND).sum();
    let mut room = digest::Room::new(BLOCKS_MAX.saturating_sub(taken), alerts.len());
    for alert in alerts {
        let line = line(alert);
        let left = SECTION_MAX.saturating_sub(length(&line) + AROUND);
        let fit = |text: &str, share: usize| without_markup(text, share.min(left));
        let section = format!("*{line}*\n{}", room.details(alert, fit, length));
        blocks.push(json!({ "type": "section", "text": markdown(&section) }));
        lines.push(line);
    }
    let latest = alerts.last().map_or(0, |alert| alert.time_ms);
    let instance = alerts.last().map_or("", |alert| alert.instance.as_str());
    let context = format!("Instance: {} · {}", without_markup(instance, VALUE_MAX), rfc3339(latest));
    blocks.push(json!({ "type": "context", "elements": [markdown(&context)] }));
    json!({ "text": lines.join("\n"), "blocks": blocks })
}

/// An alert in a digest: its first line, and where and when it was decided.
fn line(alert: &Alert) -> String {
    format!("{} {}", headline(alert, usize::MAX), without_markup(&digest::origin(alert), usize::MAX))
}

/// The first line of a text: symbol and headline.
fn headline(alert: &Alert, limit: usize) -> String {
    symbol_and(alert, &without_markup(&alert.headline(), limit))
}

fn symbol_and(alert: &Alert, headline: &str) -> String {
    format!(":{}: {headline}", alert.shortcode())
}

pub(super) fn header(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": without_markup(text, HEADER_MAX), "emoji": true } })
}

/// `verbatim` keeps Slack from looking for channels, people and links in what upstreams wrote.
fn markdown(text: &str) -> Value {
    json!({ "type": "mrkdwn", "text": cut(text, SECTION_MAX), "verbatim": true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::Links;
    use crate::model::alert::tests::failover;
    use crate::sink::settings::tests::error;
    use crate::sink::tests::{body, hostile, named_alerts, sink};

    fn service() -> Slack {
        Slack { mention: None }
    }

    fn calling(mention: &str) -> Value {
        let sink = sink(&format!("slack http://a mention={mention}"));
        serde_json::from_str(&sink.bodies(&[failover()], 0)[0]).expect("JSON")
    }

    #[test]
    fn the_one_mention_of_the_operator_calls_while_something_fires() {
        for mention in ["<!here>", "<@U024BE7LH>", "<!subteam^SAZ94GDB8>"] {
            let body = calling(mention);
            assert_eq!(body["text"].as_str().expect("text").lines().nth(1), Some(mention));
            assert_eq!(body["blocks"][1]["text"]["text"], mention);
        }
        let sink = sink("slack http://a mention=<!here>");
        let over = Alert { status: Status::Resolved, ..failover() };
        assert!(!sink.bodies(std::slice::from_ref(&over), 0)[0].contains("<!here>"));
        assert!(sink.bodies(&[over, failover()], 0)[0].contains("<!here>"));
        for wrong in ["here", "@here", "<!somebody>", "<@>", "<@U1><!channel>", "<http://x>"] {
            assert!(error(&format!("slack http://a mention={wrong}")).contains("<!here>"), "{wrong}");
        }
    }

    #[test]
    fn links_can_be_followed() {
        let mut alert = failover();
        alert.links.runbook = "https://wiki.example/run?a=1&b=2".into();
        let all = body(&service(), &[alert])["blocks"].to_string();
        let links = "<https://ops.example/alert|Status page> · <https://wiki.example/run?a=1&amp;b=2|Runbook>";
        assert!(all.contains(links), "{all}");
    }

    #[test]
    fn the_first_line_is_symbol_and_headline() {
        let body = body(&service(), &[failover()]);
        let text = body["text"].as_str().expect("text");
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some(":rotating_light: Failover detected — pool changed from blue → green"));
        assert!(lines.any(|line| line == "Users saw: 16 retries absorbed, 0 errors reached users"), "{text}");
        assert_eq!(body["blocks"][0]["text"]["text"], text.lines().next().expect("a line"));
    }

    #[test]
    fn no_name_can_mention_anybody() {
        let alert = Alert { links: Links::default(), ..hostile("<!channel> & \"<@U123>\"\n:fire: all is well") };
        let body = body(&service(), &[alert]);
        let all = body.to_string();
        assert!(!all.contains('<') && !all.contains('>'), "{all}");
        assert!(all.contains("&lt;!channel&gt; &amp; \\\"&lt;@U123&gt;\\\" :fire:"), "{all}");
        // A line feed in a name does not start a line of its own.
        assert!(!body["text"].as_str().expect("text").lines().any(|line| line.starts_with(":fire:")));
    }

    #[test]
    fn a_burst_is_one_message_with_a_line_each() {
        let alerts: Vec<Alert> = (0..4).map(|n| Alert { monitor: format!("app{n}"), ..failover() }).collect();
        let body = body(&service(), &alerts);
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
            let body = body(&service(), &alerts);
            let text = body["text"].as_str().expect("text");
            // But for the one link of the operator's.
            assert!(body.to_string().matches('<').count() <= 1);
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
