//! The last hour: failures and retries, and upstream time.

use std::fmt::{self, Write as _};

use super::chart::{self, Line, Merged};
use super::colours::Colours;
use super::text::{grouped, milliseconds};
use crate::board::history::{STEP_MS, STEPS};
use crate::report::view::{Detail, Monitor, View};

const AXIS: &str = "<div class=axis aria-hidden=true><span>an hour ago</span><span>now</span></div>";

/// Writes both sections.
pub fn write(
    html: &mut String,
    view: &View<'_>,
    monitor: &Monitor<'_>,
    detail: &Detail,
    colours: &Colours,
) -> fmt::Result {
    debug_assert_eq!(STEP_MS * STEPS as u64, 3_600_000, "the headings say an hour");
    let points = chart::merge(&detail.points, colours);
    rates(html, view, monitor, &points)?;
    latency(html, view, monitor, &points)
}

fn rates(html: &mut String, view: &View<'_>, monitor: &Monitor<'_>, points: &[Merged]) -> fmt::Result {
    let share = |count: u32, of: u32| (of > 0).then(|| f64::from(count) * 100.0 / f64::from(of));
    let errors = |point: &Merged| share(point.failed, point.requests);
    let retries = |point: &Merged| share(point.retried, point.requests);
    let limit = monitor.settings.error_rate.map(|limit| limit.percent());
    let highest = points.iter().flat_map(|point| [errors(point), retries(point)]).flatten().fold(1.0, f64::max);
    let top = chart::round_up(highest.max(limit.unwrap_or(0.0) * 1.2)).min(100.0);
    let sum = |count: fn(&Merged) -> u32| points.iter().map(|point| u64::from(count(point))).sum::<u64>();
    let (requests, failed, retried) =
        (sum(|point| point.requests), sum(|point| point.failed), sum(|point| point.retried));
    write!(
        html,
        "<section class=half aria-labelledby=rates><h2 id=rates>Errors and retries, last hour</h2>\
         <p class=vh>{requests} requests, {failed} failed, {retried} retried.</p>\
         <div class=axis aria-hidden=true><span>{top} %</span><span>{} requests</span></div>",
        grouped(requests)
    )?;
    let lines = [
        Line { class: "error", value: &errors, filled: true },
        Line { class: "retry", value: &retries, filled: false },
    ];
    html.push_str(&chart::plot(points, view.now_ms, top, limit, &lines));
    html.push_str(&chart::band(points, view.now_ms));
    html.push_str(AXIS);
    html.push_str(
        "<p class=legend aria-hidden=true><span><i class=error></i>error rate</span>\
         <span><i class=retry></i>retry rate</span>",
    );
    if let Some(limit) = monitor.settings.error_rate {
        write!(html, "<span>dashed: error limit {limit}</span>")?;
    }
    html.push_str("<span>band: the serving pool</span></p></section>");
    Ok(())
}

fn latency(html: &mut String, view: &View<'_>, monitor: &Monitor<'_>, points: &[Merged]) -> fmt::Result {
    let highest = points.iter().filter_map(|point| point.percentiles_ms).map(|all| all[2]).max().unwrap_or(0);
    let limit = monitor.settings.latency.map(|limit| f64::from(limit.limit_ms));
    let top = chart::round_up(f64::from(highest).max(limit.unwrap_or(0.0) * 1.2).max(10.0));
    let value = |at: usize| move |point: &Merged| point.percentiles_ms.map(|all| f64::from(all[at]));
    let (p50, p95, p99) = (value(0), value(1), value(2));
    write!(
        html,
        "<section class=half aria-labelledby=latency><h2 id=latency>Upstream time, last hour</h2>\
         <p class=vh>The highest p99 was {highest} ms.</p>\
         <div class=axis aria-hidden=true><span>{}</span></div>",
        milliseconds(Some(top as u64))
    )?;
    let lines = [
        Line { class: "p99", value: &p99, filled: false },
        Line { class: "p95", value: &p95, filled: false },
        Line { class: "p50", value: &p50, filled: false },
    ];
    html.push_str(&chart::plot(points, view.now_ms, top, limit, &lines));
    html.push_str(&chart::band(points, view.now_ms));
    html.push_str(AXIS);
    html.push_str(
        "<p class=legend aria-hidden=true><span><i class=p50></i>p50</span><span><i class=p95></i>p95</span>\
         <span><i class=p99></i>p99</span>",
    );
    if let Some(limit) = monitor.settings.latency {
        write!(html, "<span>dashed: limit {limit}</span>")?;
    }
    html.push_str("<span>band: the serving pool</span></p></section>");
    Ok(())
}
