//! What is so, in one sentence, and what there is to say about it.

use std::fmt::{self, Write as _};

use super::colours::Colours;
use super::text::{Ago, Linked, Span, Swatch, Text, counted};
use crate::base::clock::rfc3339;
use crate::model::alert::{Alert, Kind, Status};
use crate::report::view::{Monitor, Pool, RuleState, State, View};

/// Without an answer for this long, in seconds, it is said when the last one came.
const QUIET_S: u64 = 60;

/// Writes the section.
pub fn write(html: &mut String, view: &View<'_>, monitor: &Monitor<'_>, colours: &Colours) -> fmt::Result {
    write!(
        html,
        "<section class=\"state {}\" aria-labelledby=says><h1 id=says aria-live=polite>{}</h1>",
        class(monitor),
        sentence(monitor, colours)
    )?;
    since(html, view, monitor)?;
    if monitor.maintenance {
        html.push_str("<p><span class=\"badge warn\">maintenance</span> alerts are held back");
        if let Some(until_ms) = monitor.maintenance_until_ms {
            write!(html, " until {} UTC", &rfc3339(until_ms)[..16].replace('T', " "))?;
        }
        html.push_str("</p>");
    }
    if let Some(rollout) = &monitor.rollout {
        super::rollout::sentence(html, rollout)?;
    }
    if monitor.unmatched_lately > 0 {
        write!(
            html,
            "<p><span class=\"badge warn\">no pool</span> {} from an address that no <code>pool</code> lists, the latest \
             from {}</p>",
            counted(monitor.unmatched_lately, "answer came", "answers came"),
            Text(&monitor.unmatched_address)
        )?;
    }
    firing(html, view, monitor)?;
    html.push_str("</section>");
    Ok(())
}

/// How bad it is, as a class of the style sheet.
pub fn class(monitor: &Monitor<'_>) -> &'static str {
    match monitor.trouble {
        State::Outage | State::Flapping | State::FailedOver | State::Firing => "bad",
        _ if monitor.maintenance || monitor.unmatched_lately > 0 => "warn",
        _ if is_idle(monitor) => "idle",
        _ => "ok",
    }
}

/// How it stands in a word or two.
pub fn word(monitor: &Monitor<'_>) -> &'static str {
    match monitor.trouble {
        State::Firing => "firing",
        State::FailedOver => "failed over",
        State::Flapping => "flapping",
        State::Outage => "outage",
        State::Ok | State::Maintenance if monitor.maintenance => "maintenance",
        State::Ok | State::Maintenance if monitor.unmatched_lately > 0 => "pool unknown",
        State::Ok | State::Maintenance if is_idle(monitor) => "no requests",
        State::Ok | State::Maintenance => "ok",
    }
}

/// Whether there is nothing to judge.
fn is_idle(monitor: &Monitor<'_>) -> bool {
    monitor.window.as_ref().is_none_or(|window| window.counts.filled == 0)
}

/// Whether none of the last requests was answered.
fn is_all_lost(monitor: &Monitor<'_>) -> bool {
    let counts = monitor.window.as_ref().map(|window| window.counts).unwrap_or_default();
    counts.filled > 0 && counts.failed + counts.abandoned >= counts.filled
}

fn sentence(monitor: &Monitor<'_>, colours: &Colours) -> String {
    let swatch = |pool: &Pool| Swatch(pool, colours.of(pool.id)).to_string();
    let serving = monitor.serving_pool();
    match (monitor.trouble, serving) {
        (State::Outage, _) => "Nothing works: no pool answers".into(),
        (State::Flapping, _) => "Traffic keeps moving between pools".into(),
        (State::FailedOver, Some(serving)) => {
            let active = monitor.active_pool().map(|pool| pool.name.as_str()).unwrap_or_default();
            format!("{} serves instead of {}", swatch(serving), Text(active))
        }
        _ if is_idle(monitor) => no_requests(monitor),
        _ if is_all_lost(monitor) => "No request is answered".into(),
        _ => match monitor.answering_pool() {
            Some(serving) => format!("{} serves", swatch(serving)),
            None if monitor.pools.is_empty() => "Requests are answered".into(),
            None if monitor.unmatched_lately > 0 => "No listed pool answers".into(),
            None => "Answers are of no known pool".into(),
        },
    }
}

fn no_requests(monitor: &Monitor<'_>) -> String {
    match monitor.settings.max_age_ms {
        _ if monitor.requests() == 0 => "No requests yet".into(),
        Some(max_age_ms) => format!("No requests in the last {}", Span(max_age_ms / 1000)),
        None => "No requests since the window began anew".into(),
    }
}

/// What follows from the sentence: since when, or why no pool can be named.
fn since(html: &mut String, view: &View<'_>, monitor: &Monitor<'_>) -> fmt::Result {
    if is_idle(monitor) {
        let last_ms =
            monitor.pools.iter().filter_map(|pool| Some((pool.last_seen_ms?, pool))).max_by_key(|seen| seen.0);
        return match (last_ms, monitor.active_pool()) {
            (Some((time_ms, pool)), _) => {
                write!(html, "<p>{} answered last, at {}</p>", Text(&pool.name), Ago { time_ms, now_ms: view.now_ms })
            }
            (None, Some(active)) => write!(html, "<p>{} is expected to serve.</p>", Text(&active.name)),
            (None, None) => Ok(()),
        };
    }
    if monitor.trouble == State::Outage {
        return match monitor.pools.iter().filter_map(|pool| pool.last_seen_ms).max() {
            Some(time_ms) => write!(html, "<p>last answer at {}</p>", Ago { time_ms, now_ms: view.now_ms }),
            None => write!(html, "<p>no request was ever answered</p>"),
        };
    }
    match monitor.answering_pool() {
        Some(pool) if !is_all_lost(monitor) && monitor.trouble != State::Flapping => {
            let since =
                monitor.serving_since_ms.map(|time_ms| format!("since {}", Ago { time_ms, now_ms: view.now_ms }));
            let quiet_s = view.now_ms.saturating_sub(pool.last_seen_ms.unwrap_or(view.now_ms)) / 1000;
            let quiet = (quiet_s >= QUIET_S).then(|| format!("last answer {} ago", Span(quiet_s)));
            let parts: Vec<String> = since.into_iter().chain(quiet).collect();
            if parts.is_empty() { Ok(()) } else { write!(html, "<p>{}</p>", parts.join("; ")) }
        }
        _ if monitor.pools.is_empty() && !is_all_lost(monitor) => write!(
            html,
            "<p>No pool is known, so a failover cannot be seen: write <code>pool NAME ADDRESS …</code>, or let upstreams \
             name theirs in {}.</p>",
            Text(&monitor.settings.pool_from)
        ),
        _ => Ok(()),
    }
}

/// What is broken, in the words of the alert.
fn firing(html: &mut String, view: &View<'_>, monitor: &Monitor<'_>) -> fmt::Result {
    let firing = || monitor.rules.iter().filter(|rule| rule.state == RuleState::Firing);
    if firing().next().is_none() {
        html.push_str(if is_idle(monitor) { "" } else { "<p class=soft>No rule is firing.</p>" });
        return Ok(());
    }
    html.push_str("<ul aria-label=\"Firing now\">");
    for rule in firing() {
        match told(view, monitor, rule.kind) {
            None => write!(html, "<li>{} is firing</li>", super::title(rule.kind))?,
            Some(alert) if alert.cause.is_empty() => write!(html, "<li>{}</li>", Text(&alert.headline()))?,
            Some(alert) => {
                let (headline, cause) = (alert.headline(), &alert.cause);
                write!(html, "<li>{}<br><span>{}</span></li>", Text(&headline), Text(cause))?;
            }
        }
    }
    html.push_str("</ul>");
    match &monitor.settings.runbook {
        Some(runbook) => write!(html, "<p>Runbook: {}</p>", Linked(runbook)),
        None => Ok(()),
    }
}

/// What was said last about a rule that is broken.
fn told<'a>(view: &'a View<'_>, monitor: &Monitor<'_>, kind: Kind) -> Option<&'a Alert> {
    let mut alerts = view.alerts.iter().map(|told| &told.alert);
    alerts.find(|alert| alert.kind == kind && alert.status == Status::Firing && alert.monitor == monitor.settings.name)
}
