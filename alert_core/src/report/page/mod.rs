//! The status page: one document for people in the middle of an incident.
//!
//! It is rendered here alone, a file a section. Its script fetches it anew every second and changes what differs, so there is
//! one way in which anything is shown, with and without JavaScript. Style and script are static, and the policy that goes with
//! the page names them by their hashes.

mod addresses;
mod alerts;
mod chart;
mod colours;
mod headline;
mod hour;
mod operate;
mod overview;
mod pools;
mod rollout;
mod rules;
mod sinks;
mod text;
mod window;
mod workers;

use std::fmt::{self, Write as _};
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use self::colours::Colours;
use self::text::{Ago, Text};
use super::view::{Monitor, Scope, Source, View};
use crate::base::clock::rfc3339;
use crate::model::alert::Kind;

/// The media type of the page.
pub const CONTENT_TYPE: &str = "text/html; charset=utf-8";

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The headers that go with the page. Nothing but its own style, script and address is allowed.
pub fn headers() -> &'static [(&'static str, &'static str)] {
    static HEADERS: LazyLock<[(&str, &str); 2]> = LazyLock::new(|| {
        let hash = |text: &str| STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, text.as_bytes()));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        );
        // With "no-referrer", a browser would say of the page's own forms that they come from anywhere.
        [("Content-Security-Policy", policy.leak()), ("Referrer-Policy", "same-origin")]
    });
    &*HEADERS
}

/// How the page is asked for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The path.
    pub path: &'a str,
    /// The query string: `monitor=NAME` chooses the monitor. Where there are several and none is chosen, it is an overview.
    pub query: &'a str,
    /// The path below which the same server takes commands; `None` where it takes none.
    pub control: Option<&'a str>,
}

/// The page.
pub fn render(source: &Source<'_>, asked: &Asked<'_>) -> String {
    let view = source.view(Scope { alerts: true, percentiles: true, rates: true });
    let mut html = String::with_capacity(32 * 1024 + 512 * view.monitors.len());
    // Writing to a string cannot fail.
    let _ = Page { source, asked, view: &view, chosen: chosen(&view, asked.query) }.write(&mut html);
    html
}

/// The monitor that the query names; else the only one.
fn chosen(view: &View<'_>, query: &str) -> Option<usize> {
    let wanted = query.split('&').find_map(|pair| pair.strip_prefix("monitor="));
    let wanted = wanted.map(|name| name.replace('+', " "));
    let named = wanted.and_then(|name| {
        let name = percent_decode_str(&name).decode_utf8_lossy().into_owned();
        view.monitors.iter().position(|monitor| monitor.name() == name)
    });
    named.or_else(|| (view.monitors.len() == 1).then_some(0))
}

struct Page<'a> {
    source: &'a Source<'a>,
    asked: &'a Asked<'a>,
    view: &'a View<'a>,
    /// The monitor that is shown, by its place in the view.
    chosen: Option<usize>,
}

impl Page<'_> {
    fn write(&self, html: &mut String) -> fmt::Result {
        let (view, shown) = (self.view, self.chosen.map(|number| &self.view.monitors[number]));
        self.head(html, shown)?;
        write!(
            html,
            "<header><div><b>nginx-alert</b> <span class=soft>on {}</span></div>\
             <div class=soft>state of <time>{}</time> UTC<noscript>, reload for a newer one</noscript></div></header>",
            Text(view.instance),
            &rfc3339(view.now_ms)[11..19]
        )?;
        self.breadcrumb(html, shown)?;
        html.push_str("<main id=main>");
        match (shown, view.monitors.as_slice()) {
            (Some(monitor), _) => self.monitor(html, monitor)?,
            (None, []) => html.push_str(
                "<section class=\"state warn\"><h1>No monitor is configured</h1>\
                 <p>Write <code>alert_monitor NAME { … }</code> at the http level.</p></section>",
            ),
            (None, _) => overview::write(html, view)?,
        }
        alerts::write(html, view, shown)?;
        sinks::write(html, view)?;
        workers::write(html, view)?;
        html.push_str("</main>");
        self.footer(html)?;
        write!(html, "</div><script>{SCRIPT}</script></body></html>")
    }

    fn head(&self, html: &mut String, shown: Option<&Monitor<'_>>) -> fmt::Result {
        let worst = overview::worst_first(self.view);
        let subject = shown.or(worst.first().copied());
        let icon = match subject.map(headline::class) {
            Some("ok") => "%231a7f4b",
            Some("bad") => "%23c4262e",
            Some("idle") => "%238c96a3",
            _ => "%23e59f1a",
        };
        write!(
            html,
            "<!doctype html><html lang=en><head><meta charset=utf-8>\
             <meta name=viewport content=\"width=device-width,initial-scale=1\">\
             <title>{} · {} · {}</title>\
             <link id=icon rel=icon href=\"data:image/svg+xml,<svg xmlns='http://www.w3.org/2000/svg' \
             viewBox='0 0 9 9'><circle cx='4.5' cy='4.5' r='4' fill='{icon}'/></svg>\">\
             <style>{STYLE}</style></head><body>\
             <p id=contact role=alert hidden><span id=contact-text></span></p>\
             <div class=page id=page><a class=skip href=#main>Skip to the state</a>",
            subject.map_or("nothing", headline::word),
            Text(subject.map_or("no monitor", Monitor::name)),
            Text(self.view.instance)
        )
    }

    /// The way back to the overview, and to the other monitors that are in trouble.
    fn breadcrumb(&self, html: &mut String, shown: Option<&Monitor<'_>>) -> fmt::Result {
        let Some(shown) = shown.filter(|_| self.view.monitors.len() > 1) else { return Ok(()) };
        write!(
            html,
            "<nav aria-label=Monitors><ul><li><a href=\"?\">All {} monitors</a></li>\
             <li><a href=\"{}\" aria-current=page>{}</a></li>",
            self.view.monitors.len(),
            overview::address(shown),
            Text(shown.name())
        )?;
        let others = overview::worst_first(self.view).into_iter().filter(|other| other.name() != shown.name());
        for other in others.filter(|other| headline::class(other) == "bad").take(text::ROWS) {
            let (class, word) = (headline::class(other), headline::word(other));
            let (address, name) = (overview::address(other), Text(other.name()));
            write!(html, "<li><a href=\"{address}\">{name} <span class=\"badge {class}\">{word}</span></a></li>")?;
        }
        html.push_str("</ul></nav>");
        Ok(())
    }

    fn monitor(&self, html: &mut String, monitor: &Monitor<'_>) -> fmt::Result {
        let colours = Colours::of_pools(&monitor.pools);
        headline::write(html, self.view, monitor, &colours)?;
        if let Some(detail) = self.source.detail(monitor) {
            window::write(html, monitor, &detail, &colours)?;
            hour::write(html, self.view, monitor, &detail, &colours)?;
            pools::write(html, self.view, monitor, &colours)?;
            rules::write(html, monitor)?;
            rollout::write(html, self.view, monitor)?;
            if let Some(control) = self.asked.control {
                operate::write(html, self.asked.path, control, monitor)?;
            }
            rollout::probes(html, self.view, monitor, &colours)?;
            addresses::write(html, self.view, monitor, &detail, &colours)?;
        }
        Ok(())
    }

    fn footer(&self, html: &mut String) -> fmt::Result {
        // Relative to the page, whose address ends with a slash or does not; so it works behind a proxy too.
        let last = self.asked.path.rsplit('/').next().unwrap_or_default();
        let below = match last {
            "" => String::new(),
            last => format!("{}/", utf8_percent_encode(last, NON_ALPHANUMERIC)),
        };
        write!(
            html,
            "<footer><span>nginx-alert {} in nginx {}</span><span>state kept since {}</span>\
             <a href=\"{below}status.json\">status.json</a><a href=\"{below}metrics\">metrics</a></footer>",
            env!("CARGO_PKG_VERSION"),
            Text(self.view.nginx),
            Ago { time_ms: self.view.since_ms, now_ms: self.view.now_ms }
        )
    }
}

fn title(kind: Kind) -> &'static str {
    match kind {
        Kind::Outage => "Outage",
        Kind::ErrorRate => "Error rate",
        Kind::RetryRate => "Retry rate",
        Kind::AbandonRate => "Clients that gave up",
        Kind::Latency => "Latency",
        Kind::Failover => "Failover",
        Kind::Probe => "Probes",
        _ => "Flapping",
    }
}

#[cfg(test)]
mod tests;
