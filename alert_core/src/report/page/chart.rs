//! The pictures of the page, as SVG: small, stretched to the width they get, coloured by the style sheet.

use std::fmt::Write as _;

use super::colours::Colours;
use crate::board::history::{Point, STEP_MS, STEPS};
use crate::board::window::Sample;
use crate::model::outcome::Outcome;

/// Bars of the window at most; with more requests a bar stands for several.
const BARS: usize = 240;
/// Steps of the history that become one point.
const MERGED: usize = 2;
const WIDTH: u64 = 360;
const HEIGHT: f64 = 100.0;

/// The window as bars, oldest first: low ones for answers, in the colour of the pool, high ones for failures and for clients
/// that gave up.
pub fn recent(size: u32, samples: &[Sample], colours: &Colours) -> String {
    let size = size as usize;
    let per_bar = size.div_ceil(BARS);
    let bars = size.div_ceil(per_bar);
    let empty = bars - samples.len().div_ceil(per_bar).min(bars);
    // One path for each colour keeps the picture small.
    let mut paths: Vec<(&str, String)> = Vec::new();
    let mut bar = |class: &'static str, x: usize, top: u32| {
        let at = paths.iter().position(|(other, _)| *other == class).unwrap_or_else(|| {
            paths.push((class, String::new()));
            paths.len() - 1
        });
        let _ = write!(paths[at].1, "M{x} {top}h.8V26h-.8z");
    };
    (0..empty).for_each(|x| bar("empty", x, 24));
    for (x, group) in samples.rchunks(per_bar).rev().enumerate() {
        let worst = group.iter().max_by_key(|sample| severity(sample.outcome()));
        let Some(worst) = worst else { continue };
        match worst.outcome() {
            Some(Outcome::Failed) => bar("failed", empty + x, 0),
            Some(Outcome::Abandoned) => bar("abandoned", empty + x, 0),
            Some(Outcome::Answered) | None => bar(colours.of(worst.pool()), empty + x, 14),
            Some(Outcome::Retried | Outcome::RetriedWhileFailedOver) => {
                bar("retried", empty + x, 8);
                bar(colours.of(worst.pool()), empty + x, 14);
            }
        }
    }
    let mut svg = format!("<svg class=recent viewBox=\"0 0 {bars} 26\" preserveAspectRatio=none aria-hidden=true>");
    for (class, path) in paths {
        let _ = write!(svg, "<path class={class} d=\"{path}\"/>");
    }
    svg + "</svg>"
}

fn severity(outcome: Option<Outcome>) -> u8 {
    match outcome {
        Some(Outcome::Failed) => 3,
        Some(Outcome::Abandoned) => 2,
        Some(Outcome::Retried | Outcome::RetriedWhileFailedOver) => 1,
        _ => 0,
    }
}

/// A line over the last hour.
pub struct Line<'a> {
    /// The class that colours it.
    pub class: &'static str,
    /// Its value at a point, `None` where there is none.
    pub value: &'a dyn Fn(&Merged) -> Option<f64>,
    /// Whether the area below is filled.
    pub filled: bool,
}

/// Steps of the history, merged so that the plot has no more points than pixels on a phone.
pub struct Merged {
    /// When it ended.
    time_ms: u64,
    /// Requests counted.
    pub requests: u32,
    /// Those whose client got a failure.
    pub failed: u32,
    /// Those in which a retry hid a failure.
    pub retried: u32,
    /// The worst of the percentiles.
    pub percentiles_ms: Option<[u32; 3]>,
    colour: &'static str,
}

/// Merges the steps of the history.
pub fn merge(points: &[Point], colours: &Colours) -> Vec<Merged> {
    let mut merged: Vec<(u64, Merged)> = Vec::new();
    for point in points {
        let slot = point.time_ms / (STEP_MS * MERGED as u64);
        let colour = colours.of(point.serving);
        match merged.last_mut().filter(|(last, _)| *last == slot) {
            Some((_, last)) => {
                last.time_ms = point.time_ms;
                last.requests += point.requests;
                last.failed += point.failed;
                last.retried += point.retried;
                last.percentiles_ms = match (last.percentiles_ms, point.percentiles_ms) {
                    (Some(a), Some(b)) => Some([a[0].max(b[0]), a[1].max(b[1]), a[2].max(b[2])]),
                    (a, b) => a.or(b),
                };
                last.colour = colour;
            }
            None => merged.push((
                slot,
                Merged {
                    time_ms: point.time_ms,
                    requests: point.requests,
                    failed: point.failed,
                    retried: point.retried,
                    percentiles_ms: point.percentiles_ms,
                    colour,
                },
            )),
        }
    }
    merged.into_iter().map(|(_, merged)| merged).collect()
}

/// Where a time lies from left to right.
fn x(time_ms: u64, now_ms: u64) -> Option<u64> {
    let hour_ms = STEP_MS * STEPS as u64;
    hour_ms.checked_sub(now_ms.saturating_sub(time_ms)).map(|since| since * WIDTH / hour_ms)
}

/// Lines over the last hour, up to `top`, with a limit where there is one.
pub fn plot(points: &[Merged], now_ms: u64, top: f64, limit: Option<f64>, lines: &[Line<'_>]) -> String {
    let y = |value: f64| (HEIGHT - (value / top).clamp(0.0, 1.0) * (HEIGHT - 2.0)).round();
    let mut svg = format!("<svg class=plot viewBox=\"0 0 {WIDTH} 100\" preserveAspectRatio=none aria-hidden=true>");
    let _ = write!(svg, "<path class=grid d=\"M0 2H{WIDTH}M0 51H{WIDTH}\"/>");
    if let Some(limit) = limit.filter(|limit| *limit <= top) {
        let _ = write!(svg, "<path class=limit d=\"M0 {}H{WIDTH}\"/>", y(limit));
    }
    for line in lines {
        let _ = write!(svg, "<path class={} d=\"", line.class);
        let mut started_at = None;
        let mut last: Option<(u64, u64)> = None;
        let close = |svg: &mut String, from: Option<u64>, to: Option<(u64, u64)>| {
            if let (true, Some(from), Some((to, _))) = (line.filled, from, to) {
                let _ = write!(svg, "V100H{from}z{}", if from == to { "" } else { " " });
            }
        };
        for point in points {
            let (Some(at), value) = (x(point.time_ms, now_ms), (line.value)(point)) else { continue };
            let is_gap = last.is_some_and(|(_, time_ms)| point.time_ms - time_ms > 2 * MERGED as u64 * STEP_MS);
            let Some(value) = value else { continue };
            if last.is_none() || is_gap {
                close(&mut svg, started_at, last);
                started_at = Some(at);
                let _ = write!(svg, "M{at} {}", if line.filled { 100.0 } else { y(value) });
            }
            let _ = write!(svg, "L{at} {}", y(value));
            last = Some((at, point.time_ms));
        }
        close(&mut svg, started_at, last);
        svg.push_str("\"/>");
    }
    svg + "</svg>"
}

/// Which pool served when, as a band.
pub fn band(points: &[Merged], now_ms: u64) -> String {
    let mut svg = format!("<svg class=band viewBox=\"0 0 {WIDTH} 1\" preserveAspectRatio=none aria-hidden=true>");
    let mut open: Option<(&str, u64, u64)> = None;
    let close = |svg: &mut String, (colour, from, to): (&str, u64, u64)| {
        let width = (to - from).max(1);
        let _ = write!(svg, "<path class={colour} d=\"M{from} 0h{width}v1h-{width}z\"/>");
    };
    for point in points {
        let Some(to) = x(point.time_ms, now_ms) else { continue };
        let step = WIDTH * MERGED as u64 / STEPS as u64;
        let from = to.saturating_sub(step);
        open = match open {
            Some((colour, start, end)) if colour == point.colour && from <= end + step => Some((colour, start, to)),
            before => {
                before.into_iter().for_each(|run| close(&mut svg, run));
                Some((point.colour, from, to))
            }
        };
    }
    open.into_iter().for_each(|run| close(&mut svg, run));
    svg + "</svg>"
}

/// A round value at or above this one, for the top of a plot.
pub fn round_up(value: f64) -> f64 {
    let magnitude = 10_f64.powf(value.max(f64::MIN_POSITIVE).log10().floor());
    let steps = [1.0, 2.0, 5.0, 10.0];
    steps.iter().map(|step| step * magnitude).find(|top| *top >= value * 0.999).unwrap_or(value)
}
