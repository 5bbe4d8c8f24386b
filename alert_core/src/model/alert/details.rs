//! What stands below the headline, row by row: what a person on call acts on first, then where and when it was.

use std::fmt::{self, Write as _};
use std::time::Duration;

use super::{Alert, Example, Kind, LINE_END, Status, WindowFigures, named, plural};
use crate::base::clock::rfc3339;

/// Labels and values.
pub type Rows<'a> = Vec<(&'a str, String)>;

impl Alert {
    /// What a reader needs to act on, as label and value, most important first.
    pub fn details(&self) -> Rows<'_> {
        let mut rows = Vec::new();
        self.what_users_saw(&mut rows);
        if !self.cause.is_empty() {
            rows.push(("Cause", self.cause.clone()));
        }
        if !self.examples.is_empty() {
            let examples: Vec<String> = self.examples.iter().map(Example::to_string).collect();
            rows.push(("Failing requests", examples.join(", ")));
        }
        self.where_it_is(&mut rows);
        let moved = matches!(self.kind, Kind::Failover | Kind::Failback | Kind::Flapping | Kind::Switched)
            || !self.from.name.is_empty() && !self.story.is_empty();
        if moved {
            rows.push(("From", self.from.to_string()));
            rows.push(("To", self.to.to_string()));
        } else if !self.to.name.is_empty() {
            rows.push(("Serving pool", self.to.to_string()));
        }
        if self.no_failure_seen {
            rows.push(("Failed attempts", format!("none: no failure of {} was seen", named(&self.from.name))));
        } else if self.failed_attempts > 0 {
            rows.push(("Failed attempts", self.failed_attempts.to_string()));
        }
        rows.extend(self.story.split(LINE_END).skip(1).filter_map(|line| {
            let (label, value) = line.split_once(": ")?;
            Some((label, value.to_owned()))
        }));
        if self.window.size > 0 {
            rows.push(("Window", self.window_sentence()));
        }
        if !self.pools.is_empty() {
            rows.push(("By pool", self.pools_sentence()));
        }
        if let Some(lasted) = self.time_ms.checked_sub(self.since_ms).filter(|_| self.since_ms > 0) {
            let label = if self.status == Status::Resolved { "Lasted" } else { "Since" };
            let began = rfc3339(self.since_ms);
            let lasted = duration(lasted);
            rows.push((label, if self.status == Status::Resolved { lasted } else { format!("{began} ({lasted})") }));
        }
        if self.held_back > 0 {
            rows.push((
                "Held back",
                format!("{} more {} held back", self.held_back, plural(self.held_back, "was", "were")),
            ));
        }
        if let Some(fired) = &self.missed.fired {
            rows.push(("Fired", format!("{}, over before it could be delivered", rfc3339(fired.time_ms))));
        }
        if self.missed.left_out > 0 {
            let count = self.missed.left_out;
            rows.push((
                "Left out",
                format!("{count} earlier {} obsolete", plural(count, "message, now", "messages, now")),
            ));
        }
        rows.push(("Time", rfc3339(self.time_ms)));
        let links = [("Status page", &self.links.status), ("Runbook", &self.links.runbook)];
        rows.extend(links.into_iter().filter(|(_, url)| !url.is_empty()).map(|(label, url)| (label, url.clone())));
        rows
    }

    fn what_users_saw(&self, rows: &mut Rows<'_>) {
        if self.retries_absorbed > 0 || self.errors_reached_users > 0 {
            rows.push((
                "Users saw",
                format!(
                    "{} {} absorbed, {} {} reached users",
                    self.retries_absorbed,
                    plural(self.retries_absorbed, "retry", "retries"),
                    self.errors_reached_users,
                    plural(self.errors_reached_users, "error", "errors"),
                ),
            ));
        }
    }

    fn where_it_is(&self, rows: &mut Rows<'_>) {
        rows.push(("Monitor", self.monitor.clone()));
        rows.push(("Instance", self.instance.clone()));
        if !self.labels.is_empty() {
            let labels: Vec<String> = self.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
            rows.push(("Labels", labels.join(", ")));
        }
    }

    /// Headline and details as plain text.
    pub fn plain_text(&self) -> String {
        let mut text = self.headline();
        for (label, value) in self.details() {
            let _ = write!(text, "\n{label}: {value}");
        }
        text
    }

    /// "green (v42 for 4m 12s) 5.1% of 196, blue (v41 for 3days) 0.4% of 240", or "green 900 ms, blue 20 ms".
    fn pools_sentence(&self) -> String {
        let figures = self.pools.iter().map(|pool| {
            let release = match (pool.release.as_str(), pool.release_since_ms) {
                ("", _) => String::new(),
                (release, 0) => format!(" ({release})"),
                (release, since_ms) => format!(" ({release} for {})", duration(self.time_ms.saturating_sub(since_ms))),
            };
            let figure = match self.kind {
                Kind::Latency => format!("{} ms", pool.latency_ms),
                _ => {
                    let share = f64::from(pool.count) * 100.0 / f64::from(pool.requests.max(1));
                    format!("{share:.1}% of {}", pool.requests)
                }
            };
            format!("{}{release} {figure}", named(&pool.name))
        });
        figures.collect::<Vec<_>>().join(", ")
    }

    /// "5 of 37 requests (13.5%)", of the figure that this alert is about.
    fn window_sentence(&self) -> String {
        let WindowFigures { size, filled, failed, retried, abandoned } = self.window;
        let (count, what) = match self.kind {
            Kind::AbandonRate => (abandoned, "abandoned"),
            Kind::RetryRate => (retried, "retried"),
            _ => (failed, "failed"),
        };
        let share = if filled == 0 { 0.0 } else { f64::from(count) * 100.0 / f64::from(filled) };
        format!("{count} of {filled} requests {what} ({share:.1}%), window of {size}")
    }
}

/// "GET /cart → 502 (10.0.0.1:80)".
impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for part in [&self.method, &self.path].into_iter().filter(|part| !part.is_empty()) {
            write!(f, "{part} ")?;
        }
        write!(f, "→ {}", self.status)?;
        if self.address.is_empty() { Ok(()) } else { write!(f, " ({})", self.address) }
    }
}

fn duration(ms: u64) -> String {
    // Below a minute tenths matter, above it they are noise.
    if ms < 60_000 {
        return format!("{:.1}s", ms as f64 / 1000.0);
    }
    humantime::format_duration(Duration::from_secs(ms / 1000)).to_string()
}
