//! The status page: one document for people in the middle of an incident.
//!
//! It is rendered here alone. Its script fetches it anew every second and changes what differs, so there is one way in
//! which anything is shown, with and without JavaScript, and one place where text is escaped (`Text`). Style and
//! script are static, and the policy that goes with the page names them by their hashes.

mod chart;

use std::fmt::{self, Write as _};
use std::sync::LazyLock;
use std::sync::atomic::Ordering::Relaxed;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;

use crate::base::clock::rfc3339;
use crate::base::name::plain;
use crate::board::history::{STEP_MS, STEPS};
use crate::board::maintenance::Order;
use crate::board::monitor::MonitorBoard;
use crate::board::outbox::Delivery;
use crate::board::worker::WorkerBoard;
use crate::model::alert::{Alert, Kind, Status as AlertStatus};
use crate::model::ids::PoolId;
use crate::report::view::{RULES, Status, state};
use crate::settings::MonitorSettings;

/// The media type of the page.
pub const CONTENT_TYPE: &str = "text/html; charset=utf-8";

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Rows of a table that are shown; the rest is counted. It keeps the page small whatever upstreams make up.
const ROWS: usize = 12;
/// Alerts that are shown.
const ALERTS: usize = 15;

/// The headers that go with the page. Nothing but its own style, script and address is allowed.
pub fn headers() -> &'static [(&'static str, &'static str)] {
    static HEADERS: LazyLock<[(&str, &str); 3]> = LazyLock::new(|| {
        let hash = |text: &str| STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        [
            ("Content-Security-Policy", policy.leak()),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
        ]
    });
    &*HEADERS
}

/// The page, as asked for with this path and this query string (`monitor=NAME` chooses the monitor).
pub fn render(at: &Status<'_>, path: &str, query: &str) -> String {
    let mut html = String::with_capacity(32 * 1024);
    // Writing to a string cannot fail.
    let _ = Page { at, path, chosen: chosen(at, query) }.write(&mut html);
    html
}

/// The monitor that the query names, else the first that is not well, else the first.
fn chosen(at: &Status<'_>, query: &str) -> Option<usize> {
    let monitors = &at.settings.monitors;
    let wanted = query.split('&').find_map(|pair| pair.strip_prefix("monitor="));
    let wanted = wanted.map(|name| name.replace('+', " "));
    let named = wanted.and_then(|name| {
        let name = percent_decode_str(&name).decode_utf8_lossy().into_owned();
        monitors.iter().position(|monitor| monitor.name == name)
    });
    let unwell = || (0..monitors.len()).find(|number| health(at, *number).is_some_and(|(class, _)| class != "ok"));
    named.or_else(unwell).or_else(|| (!monitors.is_empty()).then_some(0))
}

/// How a monitor is, as a class and a word.
fn health(at: &Status<'_>, number: usize) -> Option<(&'static str, &'static str)> {
    let shared = at.board.monitor(at.plan, number)?;
    let firing = RULES.iter().any(|kind| shared.is_raised(*kind));
    Some(match state(shared, shared.maintenance.is_on(at.now_ms)) {
        "failed_over" => ("bad", "failed over"),
        "flapping" => ("bad", "flapping"),
        "maintenance" => ("warn", "maintenance"),
        _ if firing => ("bad", "firing"),
        _ => ("ok", "ok"),
    })
}

/// Text between tags or in quoted attributes.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars().map(plain) {
            match char {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// The classes that colour the pools of a monitor.
pub(crate) struct Colours([&'static str; crate::model::ids::POOLS_MAX + 1]);

impl Colours {
    fn of_pools(monitor: &MonitorBoard) -> Colours {
        const BY_PLACE: [&str; 7] = ["c1", "c2", "c3", "c4", "c5", "c6", "c7"];
        Colours(std::array::from_fn(|place| match monitor.pools[place].name.load().as_str() {
            "blue" => "blue",
            "green" => "green",
            _ if place == 0 => "c0",
            _ => BY_PLACE[(place - 1) % BY_PLACE.len()],
        }))
    }

    fn of(&self, pool: PoolId) -> &'static str {
        self.0[usize::from(pool.get())]
    }
}

/// A point in time and how long ago that was.
struct Ago {
    time_ms: u64,
    now_ms: u64,
}

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = rfc3339(self.time_ms);
        let seconds = self.now_ms.saturating_sub(self.time_ms) / 1000;
        // The day matters only where it is another one.
        let shown = if seconds < 43_200 { &full[11..19] } else { &full[..16] };
        let shown = shown.replace('T', " ");
        write!(f, "<time datetime={full}>{shown}</time> <span class=soft>UTC, {} ago</span>", Span(seconds))
    }
}

/// A time in its largest fitting unit.
struct Span(u64);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            seconds @ ..60 => write!(f, "{seconds} s"),
            seconds @ 60..3600 => write!(f, "{} min", seconds / 60),
            seconds @ 3600..86_400 => write!(f, "{} h {} min", seconds / 3600, seconds / 60 % 60),
            seconds => write!(f, "{} d {} h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "–".into(), |share| format!("{:.1}<span class=unit> %</span>", share * 100.0))
}

fn milliseconds(value: Option<u64>) -> String {
    match value {
        None => "–".into(),
        Some(ms) if ms < 10_000 => format!("{ms}<span class=unit> ms</span>"),
        Some(ms) => format!("{:.1}<span class=unit> s</span>", ms as f64 / 1000.0),
    }
}

/// A number with its digits in groups.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push('\u{202f}');
        }
        text.push(digit);
    }
    text
}

struct Page<'a> {
    at: &'a Status<'a>,
    path: &'a str,
    chosen: Option<usize>,
}

/// The monitor that is shown.
struct Shown<'a> {
    settings: &'a MonitorSettings,
    shared: &'static MonitorBoard,
    json: Value,
    colours: Colours,
}

impl Page<'_> {
    fn write(&self, html: &mut String) -> fmt::Result {
        let shown = self.chosen.and_then(|number| {
            let (settings, shared) = (&self.at.settings.monitors[number], self.at.board.monitor(self.at.plan, number)?);
            let json = self.at.monitor(settings, shared);
            Some(Shown { settings, shared, json, colours: Colours::of_pools(shared) })
        });
        let (class, word) = self.chosen.and_then(|number| health(self.at, number)).unwrap_or(("warn", "nothing"));
        let icon = match class {
            "ok" => "%231a7f4b",
            "warn" => "%23e59f1a",
            _ => "%23c4262e",
        };
        let name = shown.as_ref().map_or("no monitor", |shown| &shown.settings.name);
        let host = &self.at.settings.instance;
        write!(
            html,
            "<!doctype html><html lang=en><head><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width,initial-scale=1\">\
             <title>{word} · {} · {}</title>\
             <link id=icon rel=icon href=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
             viewBox='0 0 9 9'><circle cx='4.5' cy='4.5' r='4' fill='{icon}'/></svg>\">\
             <style>{STYLE}</style></head><body>\
             <p id=contact role=alert hidden><span id=contact-text></span></p>\
             <div class=page id=page><a class=skip href=#main>Skip to the state</a>",
            Text(name),
            Text(host)
        )?;
        write!(
            html,
            "<header><div><b>nginx-alert</b> <span class=soft>on {}</span></div>\
             <div class=soft>state of <time>{}</time> UTC<noscript>, reload for a newer one</noscript></div></header>",
            Text(host),
            &rfc3339(self.at.now_ms)[11..19]
        )?;
        self.monitors(html)?;
        html.push_str("<main id=main>");
        match &shown {
            Some(shown) => {
                self.state(html, shown)?;
                self.window(html, shown)?;
                self.hour(html, shown)?;
                self.pools(html, shown)?;
                self.rules(html, shown)?;
            }
            None => html.push_str(
                "<section class=\"state warn\"><h1>No monitor is configured</h1>\
                 <p>Write <code>alert_monitor NAME { … }</code> at the http level.</p></section>",
            ),
        }
        self.alerts(html)?;
        self.sinks(html)?;
        self.workers(html)?;
        self.footer(html)?;
        write!(html, "</div><script>{SCRIPT}</script></body></html>")
    }

    fn monitors(&self, html: &mut String) -> fmt::Result {
        let monitors = &self.at.settings.monitors;
        if monitors.len() < 2 {
            return Ok(());
        }
        html.push_str("<nav aria-label=Monitors><ul>");
        for (number, monitor) in monitors.iter().enumerate() {
            let current = if Some(number) == self.chosen { " aria-current=page" } else { "" };
            let badge = match health(self.at, number) {
                Some(("ok", _)) | None => String::new(),
                Some((class, word)) => format!(" <span class=\"badge {class}\">{word}</span>"),
            };
            let query = utf8_percent_encode(&monitor.name, NON_ALPHANUMERIC);
            write!(html, "<li><a href=\"?monitor={query}\"{current}>{}{badge}</a></li>", Text(&monitor.name))?;
        }
        html.push_str("</ul></nav>");
        Ok(())
    }

    fn state(&self, html: &mut String, shown: &Shown<'_>) -> fmt::Result {
        let (shared, now_ms) = (shown.shared, self.at.now_ms);
        let name = |pool: PoolId| shared.pool(pool).name.load();
        let (active, serving) = (shared.active(), shared.serving());
        let muted = shared.maintenance.is_on(now_ms);
        let firing: Vec<Kind> = RULES.into_iter().filter(|kind| shared.is_raised(*kind)).collect();
        let traffic = state(shared, false);
        let class = match traffic {
            "ok" if firing.is_empty() => "ok",
            _ => "bad",
        };
        let class = if muted && class == "ok" { "warn" } else { class };
        write!(html, "<section class=\"state {class}\" aria-labelledby=says><h1 id=says aria-live=polite>")?;
        match traffic {
            "failed_over" => write!(
                html,
                "{} serves instead of {}",
                Swatch(&name(serving), shown.colours.of(serving)),
                Text(&name(active))
            )?,
            "flapping" => write!(html, "Traffic keeps moving between pools")?,
            _ if serving.is_known() => write!(html, "{} serves", Swatch(&name(serving), shown.colours.of(serving)))?,
            _ => html.push_str("No pool has answered yet"),
        }
        html.push_str("</h1>");
        let since_ms = shared.serving_since_ms.load(Relaxed);
        if serving.is_known() && since_ms > 0 && traffic != "flapping" {
            write!(html, "<p>since {}</p>", Ago { time_ms: since_ms, now_ms })?;
        }
        if muted {
            html.push_str("<p><span class=\"badge warn\">maintenance</span> alerts are held back");
            if let Order::Until(until_ms) = shared.maintenance.ordered(now_ms) {
                write!(html, " until {} UTC", &rfc3339(until_ms)[..16].replace('T', " "))?;
            }
            html.push_str("</p>");
        }
        if firing.is_empty() {
            html.push_str("<p class=soft>No rule is firing.</p>");
        } else {
            html.push_str("<ul aria-label=\"Firing now\">");
            for kind in firing {
                write!(html, "<li>{}</li>", Text(&self.sentence(shown, kind)))?;
            }
            html.push_str("</ul>");
        }
        html.push_str("</section>");
        Ok(())
    }

    /// What was said last about a rule that is broken.
    fn sentence(&self, shown: &Shown<'_>, kind: Kind) -> String {
        let about = |alert: &Alert| {
            alert.kind == kind && alert.status == AlertStatus::Firing && alert.monitor == shown.settings.name
        };
        match self.at.board.outbox().alerts().find(about) {
            Some(alert) => alert.headline(),
            None => format!("{} is firing", title(kind)),
        }
    }

    fn window(&self, html: &mut String, shown: &Shown<'_>) -> fmt::Result {
        let window = &shown.json["window"];
        let (filled, size) = (window["filled"].as_u64().unwrap_or(0), window["size"].as_u64().unwrap_or(0));
        let (failed, retried) = (window["failed"].as_u64().unwrap_or(0), window["retried"].as_u64().unwrap_or(0));
        write!(html, "<section aria-labelledby=window><h2 id=window>The last {} requests</h2>", grouped(size))?;
        if let Some(recent) = self.at.board.window(shown.shared) {
            html.push_str(&chart::recent(&recent, &shown.colours));
        }
        html.push_str("<div class=axis aria-hidden=true><span>oldest</span><span>newest</span></div>");
        let named = shown.shared.pools.iter().enumerate().skip(1).filter(|(_, pool)| !pool.name.is_empty());
        html.push_str("<p class=legend aria-hidden=true>");
        for (place, pool) in named.take(ROWS) {
            let colour = shown.colours.of(PoolId::new(place as u8));
            write!(html, "<span><i class={colour}></i>{}</span>", Text(&pool.name.load()))?;
        }
        html.push_str(
            "<span><i class=retried></i>a retry hid a failure</span>\
             <span><i class=failed></i>the client got the failure</span></p><dl class=tiles>",
        );
        let rate = |key: &str| window[key].as_f64();
        let bad = |kind: Kind| if shown.shared.is_raised(kind) { " class=bad" } else { "" };
        for (label, value, class) in [
            ("Error rate", percent(rate("error_rate")), bad(Kind::ErrorRate)),
            ("Retry rate", percent(rate("retry_rate")), bad(Kind::RetryRate)),
            ("Failed", grouped(failed), ""),
            ("Retried", grouped(retried), ""),
            ("Counted", grouped(filled), ""),
            ("p50", milliseconds(window["p50_ms"].as_u64()), ""),
            ("p95", milliseconds(window["p95_ms"].as_u64()), bad(Kind::Latency)),
            ("p99", milliseconds(window["p99_ms"].as_u64()), ""),
        ] {
            write!(html, "<div><dt>{label}</dt><dd{class}>{value}</dd></div>")?;
        }
        html.push_str("</dl></section>");
        Ok(())
    }

    fn hour(&self, html: &mut String, shown: &Shown<'_>) -> fmt::Result {
        let now_ms = self.at.now_ms;
        let points = chart::merge(&shown.shared.history.points(shown.shared, now_ms), &shown.colours);
        let share = |count: u32, of: u32| (of > 0).then(|| f64::from(count) * 100.0 / f64::from(of));
        let errors = |point: &chart::Merged| share(point.failed, point.requests);
        let retries = |point: &chart::Merged| share(point.retried, point.requests);
        let limit = shown.settings.error_rate.map(|limit| limit.percent());
        let highest = points.iter().flat_map(|point| [errors(point), retries(point)]).flatten().fold(1.0, f64::max);
        let top = chart::round_up(highest.max(limit.unwrap_or(0.0) * 1.2)).min(100.0);
        let sum = |count: fn(&chart::Merged) -> u32| points.iter().map(|point| u64::from(count(point))).sum::<u64>();
        let (requests, failed, retried) =
            (sum(|point| point.requests), sum(|point| point.failed), sum(|point| point.retried));
        let axis = "<div class=axis aria-hidden=true><span>an hour ago</span><span>now</span></div>";

        write!(
            html,
            "<section class=half aria-labelledby=rates><h2 id=rates>Errors and retries, last hour</h2>\
             <p class=vh>{requests} requests, {failed} failed, {retried} retried.</p>\
             <div class=axis aria-hidden=true><span>{top} %</span></div>"
        )?;
        html.push_str(&chart::plot(
            &points,
            now_ms,
            top,
            limit,
            &[
                chart::Line { class: "error", value: &errors, filled: true },
                chart::Line { class: "retry", value: &retries, filled: false },
            ],
        ));
        html.push_str(&chart::band(&points, now_ms));
        html.push_str(axis);
        html.push_str(
            "<p class=legend aria-hidden=true><span><i class=error></i>error rate</span>\
             <span><i class=retry></i>retry rate</span><span>dashed: error limit</span>\
             <span>band: the serving pool</span></p></section>",
        );

        let highest = points.iter().filter_map(|point| point.percentiles_ms).map(|all| all[2]).max().unwrap_or(0);
        let limit = shown.settings.latency.map(|limit| f64::from(limit.limit_ms));
        let top = chart::round_up(f64::from(highest).max(limit.unwrap_or(0.0)).max(10.0));
        let value = |at: usize| move |point: &chart::Merged| point.percentiles_ms.map(|all| f64::from(all[at]));
        let (p50, p95, p99) = (value(0), value(1), value(2));
        write!(
            html,
            "<section class=half aria-labelledby=latency><h2 id=latency>Upstream time, last hour</h2>\
             <p class=vh>The highest p99 was {highest} ms.</p>\
             <div class=axis aria-hidden=true><span>{}</span></div>",
            milliseconds(Some(top as u64))
        )?;
        html.push_str(&chart::plot(
            &points,
            now_ms,
            top,
            limit,
            &[
                chart::Line { class: "p99", value: &p99, filled: false },
                chart::Line { class: "p95", value: &p95, filled: false },
                chart::Line { class: "p50", value: &p50, filled: false },
            ],
        ));
        html.push_str(&chart::band(&points, now_ms));
        html.push_str(axis);
        html.push_str(
            "<p class=legend aria-hidden=true><span><i class=p50></i>p50</span><span><i class=p95></i>p95</span>\
             <span><i class=p99></i>p99</span></p></section>",
        );
        debug_assert_eq!(STEP_MS * STEPS as u64, 3_600_000, "the headings say an hour");
        Ok(())
    }

    fn pools(&self, html: &mut String, shown: &Shown<'_>) -> fmt::Result {
        html.push_str(
            "<section class=half aria-labelledby=pools><h2 id=pools>Pools</h2><table class=stack><thead><tr>\
             <th scope=col>Pool<th scope=col>Release<th scope=col class=n>Answered<th scope=col class=n>Failed\
             <th scope=col>Last answer</tr></thead><tbody>",
        );
        let named = shown.shared.pools.iter().enumerate().skip(1).filter(|(_, pool)| !pool.name.is_empty());
        let count = named.clone().count();
        for (place, pool) in named.take(ROWS) {
            let id = PoolId::new(place as u8);
            let mut badges = String::new();
            for (is, badge) in [
                (id == shown.shared.serving(), " <span class=\"badge ok\">serves</span>"),
                (id == shown.shared.active(), " <span class=badge>active</span>"),
            ] {
                badges.push_str(if is { badge } else { "" });
            }
            let (release, last_ms) = (pool.release.load(), pool.last_seen_ms.load(Relaxed));
            write!(
                html,
                "<tr><th scope=row>{}{badges}<td data-label=Release>{}<td class=n data-label=Answered>{}\
                 <td class=n data-label=\"Failed attempts\">{}<td data-label=\"Last answer\">",
                Swatch(&pool.name.load(), shown.colours.of(id)),
                Text(if release.is_empty() { "–" } else { &release }),
                grouped(pool.answered()),
                grouped(pool.failed_attempts.load(Relaxed))
            )?;
            match last_ms {
                0 => html.push_str("never"),
                _ => write!(html, "{} ago", Span(self.at.now_ms.saturating_sub(last_ms) / 1000))?,
            }
            html.push_str("</tr>");
        }
        more(html, count)?;
        html.push_str("</tbody></table></section>");
        Ok(())
    }

    fn rules(&self, html: &mut String, shown: &Shown<'_>) -> fmt::Result {
        html.push_str(
            "<section class=half aria-labelledby=rules><h2 id=rules>Rules</h2><table class=stack><thead><tr>\
             <th scope=col>Rule<th scope=col>Limit<th scope=col>State<th scope=col class=n>Told\
             <th scope=col class=n>Held back</tr></thead><tbody>",
        );
        for kind in RULES {
            let rule = &shown.json["rules"][kind.name()];
            let state = rule["state"].as_str().unwrap_or_default();
            let class = match state {
                "ok" => " ok",
                "firing" => " bad",
                "cooldown" => " warn",
                _ => "",
            };
            write!(
                html,
                "<tr><th scope=row>{}<td data-label=Limit>{}<td data-label=State><span class=\"badge{class}\">{state}\
                 </span><td class=n data-label=Told>{}<td class=n data-label=\"Held back\">{}</tr>",
                title(kind),
                Text(rule["limit"].as_str().unwrap_or("–")),
                rule["fired"],
                rule["held_back"]
            )?;
        }
        html.push_str("</tbody></table></section>");
        Ok(())
    }

    fn alerts(&self, html: &mut String) -> fmt::Result {
        let outbox = self.at.board.outbox();
        html.push_str("<section aria-labelledby=alerts><h2 id=alerts>Alerts</h2>");
        let alerts: Vec<Alert> = outbox.alerts().take(ALERTS).collect();
        let latest = alerts.first().map(Alert::headline).unwrap_or_default();
        write!(html, "<p class=vh role=status>{}</p>", Text(&latest))?;
        if alerts.is_empty() {
            html.push_str("<p class=none>None so far.</p>");
        } else {
            html.push_str("<ol class=alerts>");
        }
        let several = self.at.settings.monitors.len() > 1;
        for alert in &alerts {
            let time = &rfc3339(alert.time_ms)[..19].replace('T', " ");
            let class = match alert.status {
                AlertStatus::Firing => "bad",
                AlertStatus::Resolved => "ok",
                AlertStatus::Info => "info",
            };
            let monitor = if several { format!("{}: ", alert.monitor) } else { String::new() };
            write!(
                html,
                "<li><time class=soft datetime={}>{time}</time><span class=\"badge {class}\">{}</span>\
                 <span>{}{}</span><span class=row>",
                rfc3339(alert.time_ms),
                alert.status.name(),
                Text(&monitor),
                Text(&alert.headline())
            )?;
            for (sink, id) in self.at.settings.sinks.iter().zip(self.at.plan.sinks()) {
                let delivery = outbox.delivery(alert.id, *id);
                let class = match delivery {
                    Delivery::Sent => " ok",
                    Delivery::Pending => " warn",
                    Delivery::Failed => " bad",
                    Delivery::None | Delivery::HeldBack => "",
                };
                if let Some(name) = delivery.name() {
                    let (sink, name) = (Text(&sink.name), name.replace('_', " "));
                    write!(html, "<span class=\"badge{class}\">{sink}: {name}</span>")?;
                }
            }
            html.push_str("</span></li>");
        }
        html.push_str(if alerts.is_empty() { "</section>" } else { "</ol></section>" });
        Ok(())
    }

    fn sinks(&self, html: &mut String) -> fmt::Result {
        html.push_str(
            "<section class=half aria-labelledby=sinks><h2 id=sinks>Sinks</h2><table class=stack><thead><tr>\
             <th scope=col>Sink<th scope=col>Health<th scope=col class=n>Sent<th scope=col class=n>Retried\
             <th scope=col class=n>Failed<th scope=col class=n>Pending</tr></thead><tbody>",
        );
        for (settings, id) in self.at.settings.sinks.iter().zip(self.at.plan.sinks()) {
            let sink = self.at.board.sinks().get(*id);
            let pending = self.at.board.outbox().pending(*id).len();
            let error = sink.last_error.load();
            let (class, health) = match (error.is_empty(), sink.sent.load(Relaxed)) {
                (false, _) => ("bad", "failing"),
                (true, 0) => ("", "unused"),
                (true, _) => ("ok", "ok"),
            };
            write!(
                html,
                "<tr><th scope=row>{}<td data-label=Health><span class=\"badge {class}\">{health}</span> {}\
                 <td class=n data-label=Sent>{}<td class=n data-label=Retried>{}<td class=n data-label=Failed>{}\
                 <td class=n data-label=Pending>{pending}</tr>",
                Text(&settings.name),
                Text(&error),
                sink.sent.load(Relaxed),
                sink.retried.load(Relaxed),
                sink.failed.load(Relaxed)
            )?;
        }
        if self.at.settings.sinks.is_empty() {
            html.push_str("<tr><td colspan=6 class=none>None is configured: alerts go to the error log only.</tr>");
        }
        html.push_str("</tbody></table></section>");
        Ok(())
    }

    fn workers(&self, html: &mut String) -> fmt::Result {
        html.push_str(
            "<section class=half aria-labelledby=workers><h2 id=workers>Workers</h2><table class=stack><thead><tr>\
             <th scope=col>Process<th scope=col class=n>Counted<th scope=col class=n>Dropped\
             <th scope=col class=n>Waiting</tr></thead><tbody>",
        );
        let workers: Vec<&WorkerBoard> = self.at.board.workers().alive(self.at.now_ms).collect();
        for worker in workers.iter().take(ROWS) {
            write!(
                html,
                "<tr><th scope=row>{}<td class=n data-label=Counted>{}<td class=n data-label=Dropped>{}\
                 <td class=n data-label=Waiting>{}</tr>",
                worker.pid.load(Relaxed),
                grouped(worker.events.load(Relaxed)),
                worker.dropped.load(Relaxed),
                worker.queue_depth()
            )?;
        }
        more(html, workers.len())?;
        html.push_str("</tbody></table></section></main>");
        Ok(())
    }

    fn footer(&self, html: &mut String) -> fmt::Result {
        // Relative to the page, whose address ends with a slash or does not; so it works behind a proxy too.
        let last = self.path.rsplit('/').next().unwrap_or_default();
        let below = match last {
            "" => String::new(),
            last => format!("{}/", utf8_percent_encode(last, NON_ALPHANUMERIC)),
        };
        write!(
            html,
            "<footer><span>nginx-alert {} in nginx {}</span><span>state kept since {}</span>\
             <a href=\"{below}status.json\">status.json</a><a href=\"{below}metrics\">metrics</a></footer>",
            env!("CARGO_PKG_VERSION"),
            Text(&self.at.settings.nginx),
            Ago { time_ms: self.at.board.created_ms(), now_ms: self.at.now_ms }
        )
    }
}

/// A pool's name with its colour in front.
struct Swatch<'a>(&'a str, &'static str);

impl fmt::Display for Swatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<i class=\"dot {}\"></i>{}", self.1, Text(self.0))
    }
}

/// Says how many rows of a table are left out.
fn more(html: &mut String, count: usize) -> fmt::Result {
    match count.checked_sub(ROWS) {
        None | Some(0) => Ok(()),
        Some(more) => write!(html, "<tr><td colspan=5 class=none>and {more} more, see status.json</tr>"),
    }
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::ErrorRate => "Error rate",
        Kind::RetryRate => "Retry rate",
        Kind::Latency => "Latency",
        Kind::Failover => "Failover",
        _ => "Flapping",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::board::{Board, Plan};
    use crate::model::outcome::Outcome;
    use crate::model::success::Success;
    use crate::settings::Settings;

    const T0: u64 = 1_790_000_000_000;

    struct Rig {
        board: Board,
        plan: Plan,
        settings: Settings,
    }

    impl Rig {
        fn new(settings: Settings) -> Rig {
            let board = Board::open(Region::private(16 << 20), T0).expect("a board");
            let mut plan = board.reserve(&settings, T0).expect("room");
            board.activate(&mut plan, &settings);
            Rig { board, plan, settings }
        }

        fn monitor(&self, number: usize) -> &'static MonitorBoard {
            self.board.monitor(&self.plan, number).expect("a monitor")
        }

        fn render(&self, query: &str) -> String {
            let now_ms = T0 + 3_600_000;
            let at = Status { board: self.board, plan: &self.plan, settings: &self.settings, now_ms };
            render(&at, "/alert/", query)
        }
    }

    /// A hundred monitors, a full window, an hour of history, and every pool that fits, all with the worst of names.
    fn worst() -> Rig {
        let template = settings(&["window 1000", "latency p95 500ms"]).monitors.remove(0);
        let monitors = (0..100).map(|n| MonitorSettings { name: format!("<monitor & {n}>"), ..template.clone() });
        let rig = Rig::new(Settings { monitors: monitors.collect(), ..Settings::default() });
        let monitor = rig.monitor(0);
        for place in 1..monitor.pools.len() {
            monitor.pools[place].name.store(format!("{place}{}", "<&>".repeat(20)).as_bytes());
            monitor.pools[place].release.store("\"'".repeat(30).as_bytes());
        }
        let window = rig.board.window(monitor).expect("a window");
        for n in 0..3600_u64 {
            let outcome = if n % 7 == 0 { Outcome::Failed } else { Outcome::Answered };
            let pool = PoolId::new((n % 31) as u8);
            window.record(T0 + n * 1000, (n % 900) as u32, outcome, pool);
            monitor.pools[1].count_answers(&[Success::after_ms((n * n % 900) as u32)]);
            monitor.failed.fetch_add(u64::from(n % 13 == 0), Relaxed);
            monitor.history.sample(monitor, T0 + n * 1000);
        }
        rig
    }

    #[test]
    fn the_page_is_small_whatever_upstreams_make_up() {
        let html = worst().render("monitor=%3Cmonitor+%26+0%3E");
        assert!(html.len() < 64_000, "{} bytes", html.len());
        assert!(html.contains("and 19 more"), "{html}");
    }

    #[test]
    fn nothing_of_others_is_markup() {
        let html = worst().render("");
        assert!(!html.contains("<&") && !html.contains("<monitor"), "{html}");
    }

    #[test]
    fn the_monitor_that_needs_attention_is_shown_unless_another_is_asked_for() {
        let template = settings(&[]).monitors.remove(0);
        let monitors = ["first", "second & last"].map(|name| MonitorSettings { name: name.into(), ..template.clone() });
        let rig = Rig::new(Settings { monitors: monitors.into(), ..Settings::default() });
        let current = |query: &str| {
            let html = rig.render(query);
            let (_, rest) = html.split_once("aria-current=page>").expect("a current monitor");
            rest[..rest.find('<').unwrap_or(0)].trim().to_owned()
        };
        assert_eq!(current(""), "first");
        rig.monitor(1).maintenance.order(Order::On);
        assert_eq!(current(""), "second &amp; last");
        assert_eq!(current("monitor=first"), "first");
        assert_eq!(current("x=1&monitor=second+%26%20last"), "second &amp; last");
        assert_eq!(current("monitor=nobody"), "second &amp; last");
    }

    #[test]
    fn the_policy_allows_this_style_and_this_script_and_no_other() {
        let (_, policy) = headers()[0];
        assert_eq!(policy.matches("'sha256-").count(), 2);
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe") && !policy.contains("http"));
    }

    #[test]
    fn the_top_of_a_plot_is_round() {
        for (value, top) in [(0.7, 1.0), (2.4, 5.0), (5.0, 5.0), (11.0, 20.0), (500.0, 500.0), (501.0, 1000.0)] {
            assert!((chart::round_up(value) - top).abs() < 1e-9, "{value}: {}", chart::round_up(value));
        }
    }
}
