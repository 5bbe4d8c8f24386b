//! What each sink posts for alerts whose names come from anybody.

use std::sync::OnceLock;

use alert_core::deliver::coalesce::notifications;
use alert_core::model::alert::{
    Alert, Example, Kind, Links, Missed, POOL_FIGURES_MAX, PoolFigures, PoolLabel, Status, WindowFigures,
};
use alert_core::sink::settings::{SinkSettings, SystemSource};
use alert_core::sink::{Sink, SinkKind};
use arbitrary::{Result, Unstructured};
use serde_json::Value;

use crate::hostile::{is_plain, name, number};
use crate::rig::T0;

fn sinks() -> &'static [(SinkKind, Sink)] {
    static SINKS: OnceLock<Vec<(SinkKind, Sink)>> = OnceLock::new();
    SINKS.get_or_init(|| {
        let sink = |kind: SinkKind| {
            let words = match kind.name() {
                "pagerduty" => "0123456789abcdef0123456789abcdef",
                "slack_bot" => "xoxb-1 channel=C1",
                "telegram" => "1:a chat=1",
                "email" => "smtp://127.0.0.1 from=a@example.com to=b@example.com",
                _ => "http://127.0.0.1:9/topic",
            };
            let words: Vec<&str> = [kind.name()].into_iter().chain(words.split(' ')).collect();
            let settings = SinkSettings::parse(&words, &SystemSource).expect("a sink");
            (kind, Sink::new(&settings))
        };
        SinkKind::all().map(sink).collect()
    })
}

/// Makes alerts and looks at what would be posted.
pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let mut alerts = Vec::new();
    for id in 1..=4 {
        match alert(&mut input, id) {
            Ok(alert) => alerts.push(alert),
            Err(_) => break,
        }
    }
    // A message may stand for several that waited.
    let told: Vec<Alert> = notifications(alerts.clone()).into_iter().map(|notification| notification.alert).collect();
    for alerts in [&alerts, &told] {
        for (kind, sink) in sinks() {
            for body in sink.bodies(alerts, T0) {
                check(*kind, &body);
            }
        }
    }
}

fn alert(input: &mut Unstructured<'_>, id: u64) -> Result<Alert> {
    let pool = |input: &mut Unstructured<'_>| {
        Ok(PoolLabel { name: name(input)?.into(), release: name(input)?.into(), address: name(input)?.into() })
    };
    Ok(Alert {
        id,
        kind: *input.choose(&Kind::ALL)?,
        status: *input.choose(&[Status::Firing, Status::Resolved, Status::Info])?,
        monitor: name(input)?.into(),
        instance: name(input)?.into(),
        labels: vec![("env".into(), name(input)?.into())],
        links: Links::default(),
        limit: name(input)?.into(),
        from: pool(input)?,
        to: pool(input)?,
        time_ms: number(input)?,
        since_ms: number(input)?,
        reminder: input.arbitrary()?,
        no_failure_seen: input.arbitrary()?,
        latency_ms: input.arbitrary()?,
        window: WindowFigures {
            size: number(input)? as u32,
            filled: number(input)? as u32,
            failed: number(input)? as u32,
            retried: number(input)? as u32,
            abandoned: number(input)? as u32,
        },
        failed_attempts: number(input)?,
        retries_absorbed: number(input)?,
        errors_reached_users: number(input)?,
        story: name(input)?.into(),
        cause: name(input)?.into(),
        examples: vec![Example {
            method: name(input)?.into(),
            path: name(input)?.into(),
            status: number(input)? as u16,
            address: name(input)?.into(),
        }],
        held_back: number(input)? as u32,
        missed: Missed::default(),
        unwatched: input.arbitrary()?,
        pools: (0..input.int_in_range(0..=POOL_FIGURES_MAX)?).map(|_| figures(input)).collect::<Result<_>>()?,
    })
}

fn figures(input: &mut Unstructured<'_>) -> Result<PoolFigures> {
    let (requests, count, latency_ms) = (number(input)? as u32, number(input)? as u32, number(input)? as u32);
    let (name, release, release_since_ms) = (name(input)?.into(), name(input)?.into(), number(input)?);
    Ok(PoolFigures { name, requests, count, latency_ms, release, release_since_ms })
}

fn check(kind: SinkKind, body: &str) {
    if kind.name() == "email" {
        // The proof of its lines is in its own tests; here it has to be a mail at all.
        assert!(body.is_ascii() && body.contains("\r\n\r\n"), "{body}");
        return;
    }
    let json: Value = serde_json::from_str(body).unwrap_or_else(|error| panic!("{kind}: {error} in {body}"));
    for text in texts(&json) {
        assert!(text.split('\n').all(is_plain), "{kind}: {text:?}");
    }
    match kind.name() {
        "slack" | "slack_bot" => slack(&json),
        "discord" => discord(&json),
        "pagerduty" => {
            let lengths = [&json["payload"]["summary"], &json["dedup_key"], &json["payload"]["source"]].map(length);
            assert!(lengths[0] <= 1024 && lengths[1] <= 255 && lengths[2] > 0 && body.len() < 64 << 10, "{lengths:?}");
        }
        "teams" => assert!(body.len() <= 28_000, "{} bytes", body.len()),
        "alertmanager" => {
            assert!(json.is_array() && body.len() < 128 << 10);
            for alert in json.as_array().into_iter().flatten() {
                let labels = alert["labels"].as_object().expect("labels");
                assert_eq!(labels.len(), 6);
            }
        }
        "webhook" => assert!(body.len() < 64 << 10),
        "grafana" => assert!((1..=2000).contains(&length(&json["text"]))),
        "ntfy" => assert!(json["message"].as_str().is_some_and(|text| (1..=4096).contains(&text.len()))),
        "telegram" | "googlechat" => assert!((1..=4096).contains(&length(&json["text"]))),
        other => panic!("nobody says what {other} takes"),
    }
}

fn slack(json: &Value) {
    let blocks = json["blocks"].as_array().expect("blocks");
    assert!(blocks.len() <= 50 && (1..=40_000).contains(&length(&json["text"])));
    for block in blocks {
        match block["type"].as_str() {
            Some("header") => assert!((1..=150).contains(&length(&block["text"]["text"]))),
            Some("section") => {
                let fields = block["fields"].as_array().map_or(&[][..], Vec::as_slice);
                assert!(fields.len() <= 10 && fields.iter().all(|field| (1..=2000).contains(&length(&field["text"]))));
                assert!(length(&block["text"]["text"]) <= 3000);
            }
            _ => assert!(block["elements"].as_array().is_some_and(|elements| (1..=10).contains(&elements.len()))),
        }
    }
    for text in texts(json) {
        assert!(!text.contains(['<', '>']), "{text:?}");
        let escaped = |rest: &str| ["amp;", "lt;", "gt;"].iter().any(|entity| rest.starts_with(entity));
        assert!(text.split('&').skip(1).all(escaped), "{text:?}");
    }
}

fn discord(json: &Value) {
    assert_eq!(json["allowed_mentions"]["parse"].as_array().map(Vec::len), Some(0));
    assert!((1..=2000).contains(&length(&json["content"])), "{json}");
    let fields = json["embeds"][0]["fields"].as_array().map_or(&[][..], Vec::as_slice);
    assert!(fields.len() <= 25);
    for field in fields {
        let (label, value) = (length(&field["name"]), length(&field["value"]));
        assert!((1..=256).contains(&label) && (1..=1024).contains(&value), "{field}");
    }
    let whole: usize = fields.iter().map(|field| length(&field["name"]) + length(&field["value"])).sum();
    assert!(whole <= 6000, "{whole} characters");
}

/// Every string of a document, keys included.
fn texts(json: &Value) -> Vec<&str> {
    match json {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(object) => {
            object.iter().flat_map(|(key, value)| [&[key.as_str()][..], &texts(value)].concat()).collect()
        }
        _ => Vec::new(),
    }
}

/// As services count: in UTF-16.
fn length(text: &Value) -> usize {
    text.as_str().unwrap_or_default().encode_utf16().count()
}
