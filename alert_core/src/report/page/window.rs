//! The window: its requests one by one, and what they come to.

use std::fmt::{self, Write as _};

use super::chart;
use super::colours::{Colours, UNKNOWN};
use super::text::{ROWS, Text, grouped, milliseconds, per_second, percent};
use crate::model::alert::Kind;
use crate::model::outcome::Outcome;
use crate::report::view::{Detail, Monitor};

/// Writes the section.
pub fn write(html: &mut String, monitor: &Monitor<'_>, detail: &Detail, colours: &Colours) -> fmt::Result {
    let Some(window) = &monitor.window else { return Ok(()) };
    let counts = window.counts;
    write!(
        html,
        "<section aria-labelledby=window><h2 id=window>The last {} requests</h2>",
        grouped(window.size.into())
    )?;
    html.push_str(&chart::recent(window.size, &detail.samples, colours));
    html.push_str("<div class=axis aria-hidden=true><span>oldest</span><span>newest</span></div>");
    legend(html, monitor, detail, colours)?;
    html.push_str("<dl class=tiles>");
    let percentile = |at: usize| milliseconds(window.percentiles_ms.map(|values| values[at].into()));
    for (label, value, kind) in [
        ("Requests", per_second(monitor.requests_per_second), None),
        ("Error rate", percent(window.error_rate()), Some(Kind::ErrorRate)),
        ("Retry rate", percent(window.retry_rate()), Some(Kind::RetryRate)),
        ("Failed", grouped(counts.failed.into()), None),
        ("Retried", grouped(counts.retried.into()), None),
        ("Gave up", grouped(counts.abandoned.into()), Some(Kind::AbandonRate)),
        ("Counted", grouped(counts.filled.into()), None),
        ("p50", percentile(0), None),
        ("p95", percentile(1), Some(Kind::Latency)),
        ("p99", percentile(2), None),
    ] {
        let class = if kind.is_some_and(|kind| monitor.is_firing(kind)) { " class=bad" } else { "" };
        write!(html, "<div><dt>{label}</dt><dd{class}>{value}</dd></div>")?;
    }
    html.push_str("</dl></section>");
    Ok(())
}

/// Every colour of the picture that occurs in it, and those of failures, which people look for.
fn legend(html: &mut String, monitor: &Monitor<'_>, detail: &Detail, colours: &Colours) -> fmt::Result {
    html.push_str("<p class=legend aria-hidden=true>");
    for pool in monitor.pools.iter().take(ROWS) {
        write!(html, "<span><i class={}></i>{}</span>", colours.of(pool.id), Text(&pool.name))?;
    }
    let has = |outcome: Outcome| detail.samples.iter().any(|sample| sample.outcome() == Some(outcome));
    let is_unknown = detail.samples.iter().any(|sample| colours.of(sample.pool()) == UNKNOWN);
    let is_full = detail.samples.len() >= monitor.window.as_ref().map_or(0, |window| window.size as usize);
    for (shown, class, text) in [
        (is_unknown, UNKNOWN, "pool unknown"),
        (true, "retried", "a retry hid a failure"),
        (true, "failed", "the client got the failure"),
        (has(Outcome::Abandoned), "abandoned", "the client gave up waiting"),
        (!is_full, "empty", "no request yet"),
    ] {
        if shown {
            write!(html, "<span><i class={class}></i>{text}</span>")?;
        }
    }
    html.push_str("</p>");
    Ok(())
}
