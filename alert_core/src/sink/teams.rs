//! Microsoft Teams: an adaptive card, for a workflow that posts what its webhook receives.
//!
//! Text stands in rich text blocks, whose runs know no markdown, so that names are shown as they are.

use std::time::Duration;

use serde_json::{Value, json};

use super::digest;
use super::http::Reply;
use super::service::{Configured, Info, Message, Service, Verdict};
use super::settings::SettingsError;
use super::settings::words::Words;
use super::text::{cut, cut_bytes};
use crate::model::alert::{Alert, Status};

const HEADLINE_MAX: usize = 1000;
const VALUE_MAX: usize = 400;
/// Bytes of the alerts in a digest: with all that is around them they stay below the 28 KB that Teams takes.
const ALERTS_MAX_BYTES: usize = 25_000;
/// Bytes that JSON puts around the two texts of each.
const AROUND: usize = 200;
/// Bytes of the details of an alert in a digest.
const DETAILS_MAX: usize = 900;

/// What Teams' older webhooks say in the body of a 200, in front of the true status.
const HIDDEN_STATUS: &str = "HTTP error ";

pub(super) const INFO: Info = Info {
    name: "teams",
    target: "a URL",
    parameters: &["mention"],
    read: |words| Ok(Configured::new(Teams { mention: mention(words)? }, words.url()?)),
};

struct Teams {
    /// The principal name of a user.
    mention: Option<String>,
}

fn mention(words: &Words<'_>) -> Result<Option<String>, SettingsError> {
    let Some(user) = words.text("mention")? else { return Ok(None) };
    let plain = |c: char| c.is_ascii_alphanumeric() || "@._-+".contains(c);
    if user.split('@').filter(|part| !part.is_empty()).count() == 2 && user.chars().all(plain) && user.len() <= 200 {
        return Ok(Some(user));
    }
    let expected = "the principal name of a user, such as ops@example.com".into();
    Err(SettingsError::Value { parameter: "mention", quoted: None, expected })
}

impl Service for Teams {
    fn message(&self, alerts: &[Alert], _now_ms: u64) -> Message {
        let mut body = match alerts {
            [alert] => single(alert),
            alerts => several(alerts),
        };
        let mut msteams = json!({ "width": "Full" });
        // Nobody is called for what is over.
        let fires = alerts.iter().any(|alert| alert.status == Status::Firing);
        if let Some(user) = self.mention.as_ref().filter(|_| fires) {
            let text = format!("<at>{user}</at>");
            body.insert(1, json!({ "type": "TextBlock", "text": text }));
            msteams["entities"] =
                json!([{ "type": "mention", "text": text, "mentioned": { "id": user, "name": user } }]);
        }
        Message::json(&json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "content": {
                    "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                    "type": "AdaptiveCard",
                    "version": "1.4",
                    "msteams": msteams,
                    "body": body,
                },
            }],
        }))
    }

    fn verdict(&self, reply: &Reply) -> Verdict {
        let verdict = Verdict::of(reply);
        let hidden = reply.body.split_once(HIDDEN_STATUS).and_then(|(_, rest)| rest.get(..3)?.parse().ok());
        match (verdict, hidden) {
            (Verdict::Sent, Some(status)) => Verdict::of_status(status),
            _ => verdict,
        }
    }

    fn min_interval(&self) -> Duration {
        Duration::from_secs(1)
    }

    fn digests(&self) -> bool {
        true
    }

    fn fitting(&self, alerts: &[Alert]) -> usize {
        digest::fitting(alerts, ALERTS_MAX_BYTES, |alert| bytes(&line(alert)) + AROUND)
    }
}

fn single(alert: &Alert) -> Vec<Value> {
    let mut blocks = vec![headline(&symbol_and_headline(alert, HEADLINE_MAX), color(alert))];
    blocks.extend(alert.details().iter().map(|(label, value)| {
        paragraph(&json!([
            { "type": "TextRun", "text": format!("{label}: "), "weight": "Bolder" },
            { "type": "TextRun", "text": cut(value, VALUE_MAX) },
        ]))
    }));
    blocks
}

fn several(alerts: &[Alert]) -> Vec<Value> {
    let mut blocks = vec![headline(&digest::headline(alerts), "Default")];
    blocks.extend(digest::obsolete(alerts).map(|text| paragraph(&json!([{ "type": "TextRun", "text": text }]))));
    let taken: usize = alerts.iter().map(|alert| bytes(&line(alert)) + AROUND).sum();
    let mut room = digest::Room::new(ALERTS_MAX_BYTES.saturating_sub(taken), alerts.len());
    // In JSON a byte takes two at most.
    let fit = |text: &str, share: usize| cut_bytes(&text.replace('\n', " · "), DETAILS_MAX.min(share / 2));
    for alert in alerts {
        blocks.push(paragraph(&json!([{ "type": "TextRun", "text": line(alert), "weight": "Bolder" }])));
        let details = room.details(alert, fit, bytes);
        if !details.is_empty() {
            blocks.push(paragraph(&json!([{ "type": "TextRun", "text": details }])));
        }
    }
    let instance = alerts.last().map_or("", |alert| alert.instance.as_str());
    blocks.push(paragraph(&json!([{ "type": "TextRun", "text": format!("Instance: {instance}"), "isSubtle": true }])));
    blocks
}

/// An alert in a digest: its first line, and where and when it was decided.
fn line(alert: &Alert) -> String {
    format!("{} {}", symbol_and_headline(alert, usize::MAX), digest::origin(alert))
}

/// What a text takes in JSON.
fn bytes(text: &str) -> usize {
    json!(text).to_string().len()
}

fn symbol_and_headline(alert: &Alert, limit: usize) -> String {
    format!("{} {}", alert.symbol(), cut(&alert.headline(), limit))
}

fn headline(text: &str, color: &str) -> Value {
    paragraph(&json!([{ "type": "TextRun", "text": text, "size": "Large", "weight": "Bolder", "color": color }]))
}

fn paragraph(runs: &Value) -> Value {
    json!({ "type": "RichTextBlock", "inlines": runs })
}

fn color(alert: &Alert) -> &'static str {
    match alert.status {
        Status::Firing => "Attention",
        Status::Resolved => "Good",
        Status::Info => "Accent",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;
    use crate::sink::settings::tests::error;
    use crate::sink::tests::{body, named_alerts, sink};

    const SIZE_MAX: usize = 28_000;

    fn texts(card: &Value) -> Vec<String> {
        let blocks = card["attachments"][0]["content"]["body"].as_array().expect("a card").iter();
        let inlines = |block: &Value| block["inlines"].as_array().expect("runs").clone();
        let text = |runs: Vec<Value>| runs.iter().map(|run| run["text"].as_str().expect("text").to_owned()).collect();
        blocks.map(|block| text(inlines(block))).collect()
    }

    fn service() -> Teams {
        Teams { mention: None }
    }

    #[test]
    fn the_one_mention_of_the_operator_is_an_entity_of_the_card() {
        let sink = sink("teams http://a mention=ops@example.com");
        let card: Value = serde_json::from_str(&sink.bodies(&[failover()], 0)[0]).expect("JSON");
        let content = &card["attachments"][0]["content"];
        assert_eq!(content["body"][1]["text"], "<at>ops@example.com</at>");
        assert_eq!(content["msteams"]["entities"][0]["mentioned"]["id"], "ops@example.com");
        let over = Alert { status: Status::Resolved, ..failover() };
        assert!(!sink.bodies(&[over], 0)[0].contains("<at>"));
        for wrong in ["ops", "<!here>", "a@b@c", "<at>x@y</at>"] {
            assert!(error(&format!("teams http://a mention={wrong}")).contains("principal name"), "{wrong}");
        }
    }

    #[test]
    fn the_card_begins_with_the_headline() {
        let card = body(&service(), &[failover()]);
        let texts = texts(&card);
        assert_eq!(texts[0], "🚨 Failover detected — pool changed from blue → green");
        assert!(texts.contains(&"From: blue (release v1, 127.0.0.1:8081)".to_owned()), "{texts:?}");
    }

    #[test]
    fn a_burst_is_one_card() {
        let texts = texts(&body(&service(), &[failover(), failover()]));
        assert_eq!(texts[0], "2 alerts");
        assert_eq!(texts.len(), 6);
    }

    #[test]
    fn the_status_in_the_body_counts() {
        let reply = |status, body: &str| Reply { status, retry_after: None, body: body.into() };
        let throttled =
            "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error 429 with";
        assert_eq!(service().verdict(&reply(200, "1")), Verdict::Sent);
        assert_eq!(service().verdict(&reply(202, "")), Verdict::Sent);
        assert_eq!(service().verdict(&reply(200, throttled)), Verdict::Retry);
        assert_eq!(service().verdict(&reply(200, "returned HTTP error 413 with")), Verdict::Permanent);
        assert_eq!(service().verdict(&reply(200, "HTTP error ?")), Verdict::Sent);
    }

    #[test]
    fn the_largest_digest_fits() {
        let long = Alert { monitor: "\u{ffdc}".repeat(255), instance: "\"".repeat(255), ..failover() };
        assert!(body(&service(), &vec![long; 60]).to_string().len() <= SIZE_MAX);
        let short = Alert { monitor: "m".into(), ..failover() };
        assert!(body(&service(), &vec![short; 60]).to_string().len() <= SIZE_MAX);
    }

    proptest::proptest! {
        #![proptest_config(crate::sink::tests::cases())]

        #[test]
        fn a_card_fits_whatever_the_names_are(alerts in named_alerts()) {
            assert!(body(&service(), &alerts).to_string().len() <= SIZE_MAX);
        }
    }
}
