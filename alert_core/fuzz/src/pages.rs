//! The metrics and the status page of a board whose names come from anybody.

use alert_core::board::outbox::Delivery;
use alert_core::model::alert::{Alert, Kind};
use alert_core::report::{json, page, prometheus};
use alert_core::settings::MonitorReader;
use arbitrary::{Result, Unstructured};

use crate::hostile::{is_plain, name};
use crate::rig::{Rig, T0};

/// Names of elements and attributes that the page is made of.
const ELEMENTS: &str = "!doctype html head meta title link style script noscript body header nav main section footer h1 \
    h2 p a b br form button output details summary i code div span time dl dt dd ul ol li table thead tbody tr th td svg path";
const ATTRIBUTES: &str = "html lang charset name content rel href class id role scope colspan method action formaction name datetime d viewbox hidden \
    preserveaspectratio aria-label aria-labelledby aria-current aria-live aria-hidden data-label";

/// Gives a board such names and renders it.
pub fn run(bytes: &[u8]) {
    let mut input = Unstructured::new(bytes);
    let mut rig = Rig::busy();
    // What the input is too short for keeps the names it has.
    let (path, query) = rename(&mut rig, &mut input).unwrap_or_default();
    let status = rig.status(T0 + 20_000);
    check_metrics(std::str::from_utf8(&prometheus::render(&status)).expect("metrics are UTF-8"));
    check_json(&json::render(&status), &rig);
    for query in [query, String::new(), format!("monitor={}", rig.settings.monitors[0].name)] {
        check_page(&page::render(&status, &page::Asked { path: &path, query: &query, control: Some(&path) }));
    }
}

fn rename(rig: &mut Rig, input: &mut Unstructured<'_>) -> Result<(String, String)> {
    for number in 0..rig.settings.monitors.len() {
        let monitor = rig.board.monitor(&rig.plan, number).expect("a monitor");
        for pool in &monitor.pools[..5] {
            pool.name.store(name(input)?.as_bytes());
            pool.release.store(name(input)?.as_bytes());
        }
        for peer in &monitor.peers[..3] {
            peer.address.store(name(input)?.as_bytes());
        }
        let own = name(input)?;
        // The operator's own names are what the configuration takes, and stand for one monitor each.
        let is_new = rig.settings.monitors.iter().all(|monitor| monitor.name != own);
        if is_new && is_plain(&own) && MonitorReader::new(&own).is_ok() {
            rig.settings.monitors[number].name = own.into();
        }
    }
    for alert in rig.board.outbox().alerts().take(2).collect::<Vec<Alert>>() {
        let mut alert = Alert { monitor: name(input)?.into(), limit: name(input)?.into(), ..alert };
        alert.kind = *input.choose(&Kind::ALL)?;
        alert.from.name = name(input)?.into();
        alert.to.release = name(input)?.into();
        rig.board.outbox().publish(&alert, rig.plan.sinks(), Delivery::Pending);
    }
    for sink in rig.plan.sinks() {
        rig.board.sinks().get(*sink).last_error.store(name(input)?.as_bytes());
    }
    rig.settings.instance = name(input)?.into();
    Ok((name(input)?.into(), name(input)?.into()))
}

/// The text format 0.0.4, of which a scrape is refused as a whole.
fn check_metrics(text: &str) {
    assert!(text.ends_with('\n'));
    text.lines().for_each(|line| assert!(is_plain(line), "{line:?}"));
    let mut seen = std::collections::HashSet::new();
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            assert!(comment.starts_with("HELP nginx_alert_") || comment.starts_with("TYPE nginx_alert_"), "{line:?}");
            continue;
        }
        let (labels, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("{line:?}"));
        assert!(value.parse::<f64>().is_ok(), "{line:?}");
        assert!(seen.insert(labels), "{line:?} stands twice");
        let end = labels.find('{').unwrap_or(labels.len());
        assert!(labels[..end].bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{line:?}");
        let mut rest = &labels[end..];
        if let Some(inner) = rest.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            rest = inner;
        }
        while !rest.is_empty() {
            rest = label(rest).unwrap_or_else(|| panic!("{line:?}"));
        }
    }
}

/// Takes `name="value"` and a comma off a list of labels.
fn label(text: &str) -> Option<&str> {
    let (name, rest) = text.split_once("=\"")?;
    name.bytes().all(|byte| byte.is_ascii_lowercase()).then_some(())?;
    let mut chars = rest.char_indices();
    loop {
        match chars.next()? {
            (_, '\\') => matches!(chars.next()?.1, '\\' | '"' | 'n').then_some(())?,
            (at, '"') => {
                let rest = &rest[at + 1..];
                return Some(rest.strip_prefix(',').unwrap_or(rest));
            }
            _ => (),
        }
    }
}

/// A document in which no name stands twice.
fn check_json(json: &[u8], rig: &Rig) {
    let text = std::str::from_utf8(json).expect("JSON is UTF-8");
    let value: serde_json::Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{error} in {text}"));
    let monitors = value["monitors"].as_object().expect("monitors");
    assert_eq!(monitors.len(), rig.settings.monitors.len());
    // A name that stood twice would be one key of the value, and two of the text.
    assert_eq!(value.to_string().matches("\"last_seen\":").count(), text.matches("\"last_seen\":").count(), "{text}");
}

/// A page that consists of its own elements and attributes only, whatever stands in it.
fn check_page(html: &str) {
    html.lines().for_each(|line| assert!(is_plain(line), "{:?}", line.split_once(|c: char| !is_plain(&c.to_string()))));
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = element(&rest[at + 1..]);
    }
}

/// Takes an element off, without the `<` before it; style and script with all that is in them.
fn element(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !"!/".contains(c)).expect("the end of a name");
    let name = text[..end].trim_start_matches('/').to_ascii_lowercase();
    assert!(ELEMENTS.split(' ').any(|known| known == name), "an element {name:?} at {:?}", cut(text));
    let mut rest = &text[end..];
    loop {
        rest = rest.trim_start();
        if let Some(behind) = rest.strip_prefix('>').or_else(|| rest.strip_prefix("/>")) {
            let closing = format!("</{name}>");
            let is_raw = ["style", "script"].contains(&name.as_str()) && !text.starts_with('/');
            return if is_raw { behind.split_once(&closing).expect("its end").1 } else { behind };
        }
        rest = attribute(rest);
    }
}

fn attribute(text: &str) -> &str {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').expect("the end of a name");
    let name = text[..end].to_ascii_lowercase();
    assert!(ATTRIBUTES.split(' ').any(|known| known == name), "an attribute {name:?} at {:?}", cut(text));
    let Some(value) = text[end..].strip_prefix('=') else { return &text[end..] };
    match value.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"').expect("the end of a value").1,
        None => {
            let end = value.find([' ', '>']).expect("the end of a value");
            assert!(end > 0 && !value[..end].contains(['"', '\'', '<', '=', '`']), "a value at {:?}", cut(text));
            &value[end..]
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(60).collect()
}
