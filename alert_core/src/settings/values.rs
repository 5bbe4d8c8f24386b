//! What the words of directives may be: each function reads one, and says what would be right where it is not.

use std::path::PathBuf;

use super::{CONFIRM_MAX, Error, LatencyOf, Maintenance};
use crate::base::name::NAME_MAX;
use crate::base::units::{TIME_MAX_DAYS, parse_time_ms};
use crate::rules::limit::{LatencyLimit, Percent};
use crate::sink::settings::is_url;

/// The longest value of a label, in bytes.
const LABEL_VALUE_MAX: usize = 128;
/// The longest link, in bytes.
const URL_MAX: usize = 512;
/// The labels that every alert has by itself.
const OWN_LABELS: [&str; 5] = ["alertname", "severity", "monitor", "kind", "instance"];

/// The error of a value that is not what it has to be.
pub(super) fn value(directive: &'static str, value: &str, expected: impl Into<String>) -> Error {
    Error::Value { directive, value: value.into(), expected: expected.into() }
}

pub(super) fn name(directive: &'static str, name: &str) -> Result<String, Error> {
    if name.is_empty() || name.len() >= NAME_MAX || name.chars().any(char::is_control) {
        let expected = format!("a name of 1 to {} bytes without control characters", NAME_MAX - 1);
        return Err(value(directive, name, expected));
    }
    Ok(name.into())
}

pub(super) fn label_name(directive: &'static str, name: &str) -> Result<String, Error> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if !plain || name.is_empty() || name.len() >= NAME_MAX || name.starts_with(|first: char| first.is_ascii_digit()) {
        let expected = format!("a label of 1 to {} letters, digits and \"_\", such as \"env\"", NAME_MAX - 1);
        return Err(value(directive, name, expected));
    }
    if OWN_LABELS.contains(&name) || name.starts_with("__") {
        let own = OWN_LABELS.join(", ");
        return Err(value(directive, name, format!("another label than those that alerts have already: {own}, __*")));
    }
    Ok(name.into())
}

pub(super) fn label_value(directive: &'static str, text: &str) -> Result<String, Error> {
    if text.is_empty() || text.len() > LABEL_VALUE_MAX || text.chars().any(char::is_control) {
        let expected = format!("a value of 1 to {LABEL_VALUE_MAX} bytes without control characters");
        return Err(value(directive, text, expected));
    }
    Ok(text.into())
}

pub(super) fn url(directive: &'static str, text: &str, example: &str) -> Result<String, Error> {
    if text.len() > URL_MAX || !is_url(text) {
        return Err(value(directive, text, format!("a URL of at most {URL_MAX} bytes, such as \"{example}\"")));
    }
    Ok(text.into())
}

pub(super) fn variable(directive: &'static str, text: &str, example: &str) -> Result<String, Error> {
    match text.strip_prefix('$') {
        Some(name) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') => {
            Ok(text.into())
        }
        _ => Err(value(directive, text, format!("one variable, such as \"{example}\""))),
    }
}

pub(super) fn number(directive: &'static str, text: &str, example: &str, max: u32) -> Result<u32, Error> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(number) if digits && (1..=max).contains(&number) => Ok(number),
        _ => Err(value(directive, text, format!("a whole number from 1 to {max} (\"{example}\")"))),
    }
}

pub(super) fn percent(directive: &'static str, text: &str, example: &str) -> Result<Option<Percent>, Error> {
    match text {
        "off" => Ok(None),
        _ => Percent::parse(text).map(Some).ok_or_else(|| {
            value(directive, text, format!("a percentage from 0% to 100%, such as \"{example}\", or \"off\""))
        }),
    }
}

pub(super) fn latency(percentile: &str, limit: &str) -> Result<LatencyLimit, Error> {
    let per_mille = LatencyLimit::parse_percentile(percentile)
        .ok_or_else(|| value("latency", percentile, "a percentile from p1 to p99.9, as in \"latency p95 500ms\""))?;
    match parse_time_ms(limit) {
        // Longer times are not told apart in the window.
        Some(limit_ms @ 1..=1_000_000) => Ok(LatencyLimit { per_mille, limit_ms: limit_ms as u32 }),
        _ => Err(value("latency", limit, "a time from 1ms to 1000s, as in \"latency p95 500ms\"")),
    }
}

pub(super) fn latency_of(option: &str) -> Result<LatencyOf, Error> {
    match option {
        "of=header" => Ok(LatencyOf::Header),
        "of=response" => Ok(LatencyOf::Response),
        _ => Err(value("latency", option, "\"of=header\" or \"of=response\", as in \"latency p95 500ms of=header\"")),
    }
}

/// `on`, `on confirm=N` or `off`; `example` is the usual way to write it.
pub(super) fn confirm(
    directive: &'static str,
    words: &[&str],
    usual: u32,
    example: &str,
) -> Option<Result<Option<u32>, Error>> {
    Some(match words {
        ["off"] => Ok(None),
        ["on"] => Ok(Some(usual)),
        ["on", option] => match option.strip_prefix("confirm=") {
            Some(text) => number(directive, text, example, CONFIRM_MAX).map(Some),
            None => Err(value(directive, option, format!("\"confirm=N\", as in \"{example}\""))),
        },
        [other] => Err(value(directive, other, format!("\"on\", \"on confirm={usual}\" or \"off\""))),
        _ => return None,
    })
}

pub(super) fn max_age(option: &str) -> Result<u64, Error> {
    match option.strip_prefix("max_age=") {
        Some(time) => parse_time_ms(time).filter(|ms| *ms > 0).ok_or_else(|| {
            let expected = format!("a time from 1ms to {TIME_MAX_DAYS}d, as in \"window 200 max_age=10m\"");
            value("window", option, expected)
        }),
        None => Err(value("window", option, "\"max_age=TIME\", as in \"window 200 max_age=10m\"")),
    }
}

pub(super) fn cooldown(text: &str) -> Result<u64, Error> {
    let expected = || format!("a time from 0s to {TIME_MAX_DAYS}d, such as \"300s\" or \"5m\"");
    parse_time_ms(text).ok_or_else(|| value("cooldown", text, expected()))
}

pub(super) fn maintenance(text: &str) -> Result<Maintenance, Error> {
    match (text, text.strip_prefix("file=")) {
        ("on", _) => Ok(Maintenance::On),
        ("off", _) => Ok(Maintenance::Off),
        (_, Some(path)) if path.starts_with('/') => Ok(Maintenance::File(PathBuf::from(path))),
        _ => Err(value("maintenance", text, "\"on\", \"off\" or \"file=/path\" with an absolute path")),
    }
}
