//! The stack at a glance: its processes, and what nginx itself reports about them.

use std::fmt::{self, Write as _};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::app::Report;
use crate::client;
use crate::runtime::{Part, Runtime};

/// A readable summary of the stack.
pub fn summary(stack: &dyn Runtime) -> Result<String> {
    let mut text = String::new();
    let mut nginx_runs = false;
    for Part { name, running, url } in stack.parts()? {
        match &running {
            Some(how) => {
                // Not through nginx, where the question would count as traffic.
                let chaos = Some(&url)
                    .filter(|_| name != "nginx")
                    .and_then(|url| chaos(url)?.mode)
                    .map(|mode| format!("  broken: {mode}"))
                    .unwrap_or_default();
                writeln!(text, "{name:<6} running  {how:<12} {url}{chaos}")?;
            }
            None => writeln!(text, "{name:<6} stopped")?,
        }
        nginx_runs |= name == "nginx" && running.is_some();
    }
    if nginx_runs {
        match document(stack) {
            Ok(status) => describe(&status, &mut text)?,
            Err(error) => writeln!(text, "\n{error:#}")?,
        }
    }
    Ok(text)
}

/// What nginx reports.
pub(crate) fn document(stack: &dyn Runtime) -> Result<Value> {
    let url = format!("{}alert/status.json", stack.url()?);
    let ask = || {
        let mut answer = client::get(&url)?;
        if !answer.status().is_success() {
            bail!("it answers {}", answer.status());
        }
        Ok(serde_json::from_str(&answer.body_mut().read_to_string()?)?)
    };
    ask().with_context(|| format!("no status from {url}"))
}

/// What the app at this URL tells of its chaos. What is no app, or does not answer, tells nothing.
pub(crate) fn chaos(url: &str) -> Option<Report> {
    let mut answer =
        client::get(&format!("{url}chaos")).ok().filter(|answer| answer.headers().contains_key("x-app-pool"))?;
    serde_json::from_str(&answer.body_mut().read_to_string().ok()?).ok()
}

/// Keys that are missing or null show as a dash: what is unknown must not look like a zero.
fn describe(status: &Value, text: &mut String) -> fmt::Result {
    for (name, monitor) in objects(&status["monitors"]) {
        let window = &monitor["window"];
        writeln!(
            text,
            "\nmonitor {name}: {}, serving {}, active {}",
            show(&monitor["state"]),
            show(&monitor["serving_pool"]),
            show(&monitor["active_pool"])
        )?;
        writeln!(
            text,
            "  window  {} of {} requests, {} failed, {} retried",
            show(&window["filled"]),
            show(&window["size"]),
            show(&window["failed"]),
            show(&window["retried"])
        )?;
        for (pool, figures) in objects(&monitor["pools"]) {
            writeln!(
                text,
                "  {pool:<7} {} answered, {} failed attempts, release {}",
                show(&figures["answered"]),
                show(&figures["failed_attempts"]),
                show(&figures["release"])
            )?;
        }
    }
    for worker in status["workers"].as_array().into_iter().flatten() {
        writeln!(
            text,
            "worker {}: {} events, {} dropped",
            show(&worker["pid"]),
            show(&worker["events"]),
            show(&worker["dropped"])
        )?;
    }
    for alert in status["alerts"].as_array().into_iter().flatten().take(5) {
        let first_line = alert["text"].as_str().unwrap_or_default().lines().next().unwrap_or_default();
        writeln!(text, "alert  {} {first_line}", show(&alert["time"]))?;
    }
    Ok(())
}

fn objects(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_unknown_shows_as_a_dash() {
        let status = json!({ "monitors": { "app": {
            "state": "ok", "active_pool": "blue", "serving_pool": null,
            "window": { "size": 200, "filled": 0, "failed": 0, "retried": 0 }, "pools": { "blue": { "answered": 0 } },
        } } });
        let mut text = String::new();
        describe(&status, &mut text).unwrap();
        assert!(text.contains("monitor app: ok, serving -, active blue"), "{text}");
        assert!(text.contains("blue    0 answered, - failed attempts, release -"), "{text}");
    }
}
