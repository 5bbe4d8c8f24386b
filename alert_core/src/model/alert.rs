//! An alert as people and machines read it: what happened, in words and as JSON.
//!
//! The detector decides on numbers; this is the form in which a decision leaves the process. Sinks choose the markup,
//! the words are the same everywhere.

use serde_json::{Value, json};
use std::fmt::{self, Write as _};
use std::time::Duration;

use crate::base::clock::rfc3339;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Too many requests ended in an upstream failure.
    ErrorRate = 1,
    /// Too many requests needed a retry.
    RetryRate,
    /// Upstream time is over its limit.
    Latency,
    /// Another pool than the active one took over.
    Failover,
    /// The active pool serves again.
    Failback,
    /// Failovers come too often to tell each.
    Flapping,
    /// The active pool was changed on purpose.
    Switched,
    /// Somebody asked for a test message.
    Test,
    /// Nothing works: the last requests in a row failed or were abandoned.
    Outage,
    /// Too many clients gave up waiting.
    AbandonRate,
    /// A release takes over step by step.
    Rollout,
    /// Traffic went back to the pool before, or stayed although a rule is broken.
    Rollback,
    /// The pool of a share set by hand is worse.
    Comparison,
    /// A pool does not pass its probe.
    Probe,
}

impl Kind {
    /// Every kind, by its number.
    pub const ALL: [Kind; 14] = [
        Kind::ErrorRate,
        Kind::RetryRate,
        Kind::Latency,
        Kind::Failover,
        Kind::Failback,
        Kind::Flapping,
        Kind::Switched,
        Kind::Test,
        Kind::Outage,
        Kind::AbandonRate,
        Kind::Rollout,
        Kind::Rollback,
        Kind::Comparison,
        Kind::Probe,
    ];

    /// The name used in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::ErrorRate => "error_rate",
            Kind::RetryRate => "retry_rate",
            Kind::Latency => "latency",
            Kind::Failover => "failover",
            Kind::Failback => "failback",
            Kind::Flapping => "flapping",
            Kind::Switched => "switched",
            Kind::Test => "test",
            Kind::Outage => "outage",
            Kind::AbandonRate => "abandon_rate",
            Kind::Rollout => "rollout",
            Kind::Rollback => "rollback",
            Kind::Comparison => "comparison",
            Kind::Probe => "probe",
        }
    }

    /// The incident this alert belongs to: a failback ends the incident that its failover opened.
    ///
    /// Receivers that tie a resolve to its trigger (Alertmanager, PagerDuty) build their key from this.
    pub const fn incident(self) -> Kind {
        match self {
            Kind::Failback => Kind::Failover,
            other => other,
        }
    }

    /// The kind with this number, as it lies in the board.
    pub fn from_u8(number: u8) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| *kind as u8 == number)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Whether an alert opens an incident, ends it, or only informs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Status {
    /// Something is wrong.
    Firing = 1,
    /// It is over.
    Resolved,
    /// For information.
    Info,
}

impl Status {
    /// The name used in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Status::Firing => "firing",
            Status::Resolved => "resolved",
            Status::Info => "info",
        }
    }

    /// The status with this number, as it lies in the board.
    pub fn from_u8(number: u8) -> Option<Status> {
        [Status::Firing, Status::Resolved, Status::Info].into_iter().find(|status| *status as u8 == number)
    }
}

/// A pool as an alert names it. Unknown parts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolLabel {
    /// Name of the pool.
    pub name: String,
    /// The release it last answered with.
    pub release: String,
    /// Address of the server of this pool that was seen last.
    pub address: String,
}

/// The window as it stood when the alert was decided.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WindowFigures {
    /// Configured size, in requests.
    pub size: u32,
    /// Requests in it.
    pub filled: u32,
    /// Requests whose client got an upstream failure.
    pub failed: u32,
    /// Requests in which a retry hid a failed attempt.
    pub retried: u32,
    /// Requests whose client gave up waiting for a header.
    pub abandoned: u32,
}

/// What a message makes up for, because its sink could not be told when it was news.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// The beginning of an incident that is over by now: one message says both.
    pub fired: Option<Fired>,
    /// Other messages about the same that are obsolete by now.
    pub left_out: u32,
}

/// The firing message of an incident.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fired {
    /// When it was decided, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Its headline.
    pub headline: String,
}

/// One decided alert. Every string is bounded and valid UTF-8, but not escaped: that is the sink's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Number of this alert on this host, counted from 1 since the zone was made.
    pub id: u64,
    /// When it was decided, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// The monitor that decided it.
    pub monitor: String,
    /// The host it was decided on.
    pub host: String,
    /// What it is about.
    pub kind: Kind,
    /// Whether it opens, ends or informs.
    pub status: Status,
    /// Whether it repeats an earlier message because the incident goes on.
    pub reminder: bool,
    /// When the incident began, in milliseconds since the Unix epoch; 0 where there is none.
    pub since_ms: u64,
    /// The limit as configured (`2%`, `p95 500ms`); empty where there is none.
    pub limit: String,
    /// For `latency`: the measured percentile, in milliseconds.
    pub latency_ms: u32,
    /// For `failover`, `failback`, `switched`, `flapping`: the pool that served before.
    pub from: PoolLabel,
    /// The pool that serves now.
    pub to: PoolLabel,
    /// For `failover`: no failure of the old pool was seen (a planned flip, or a start on the wrong pool).
    pub no_failure_seen: bool,
    /// The window.
    pub window: WindowFigures,
    /// Failed attempts since the incident began.
    pub failed_attempts: u64,
    /// Requests since the incident began in which a retry hid the failure.
    pub retries_absorbed: u64,
    /// Requests since the incident began whose client got the failure.
    pub errors_reached_users: u64,
    /// Messages of this kind that a cooldown or maintenance swallowed since the last one.
    pub held_back: u32,
    /// For the kinds of rollouts, what the message says: its first line, which begins with the shortcode of its symbol
    /// (`:rocket: Rollout begun — …`), and a line `label: value` for each further detail, with [`LINE_END`] between them.
    /// Else empty.
    pub story: String,
    /// Messages that this one stands for; nothing until it is sent.
    pub missed: Missed,
}

/// What separates the lines of a story: no control character, for texts on the board hold none.
pub const LINE_END: char = '‖';

/// The symbols of messages: the Slack-style shortcode and the character.
const SYMBOLS: [(&str, &str); 8] = [
    ("white_check_mark", "✅"),
    ("rotating_light", "🚨"),
    ("information_source", "ℹ️"),
    ("warning", "⚠️"),
    ("rocket", "🚀"),
    ("hourglass_flowing_sand", "⏳"),
    ("leftwards_arrow_with_hook", "↩️"),
    ("no_entry_sign", "🚫"),
];

impl Alert {
    /// The alert with times as people read them, given how far the wall clock was stepped
    /// ([`Clock::step_ms`](crate::base::clock::Clock::step_ms)).
    pub fn in_wall_time(mut self, step_ms: i64) -> Alert {
        for time in [&mut self.time_ms, &mut self.since_ms] {
            // Zero is no time.
            *time = if *time == 0 { 0 } else { time.saturating_add_signed(step_ms) };
        }
        self
    }

    /// The sentence after the symbol, without markup.
    pub fn headline(&self) -> String {
        let sentence = self.sentence();
        match &self.missed.fired {
            Some(fired) => format!("{sentence} (was: {})", fired.headline),
            None => sentence,
        }
    }

    fn sentence(&self) -> String {
        let WindowFigures { filled, failed, retried, abandoned, .. } = self.window;
        let (from, to) = (named(&self.from.name), named(&self.to.name));
        let resolved = self.status == Status::Resolved;
        match self.kind {
            Kind::ErrorRate if resolved => {
                format!("Upstream 5xx rate is back to normal — {} over last {filled} requests", percent(failed, filled))
            }
            Kind::ErrorRate => format!(
                "High upstream 5xx rate — {} 5xx over last {filled} requests ({failed} {}). Threshold: {}",
                percent(failed, filled),
                plural(failed, "error", "errors"),
                self.limit
            ),
            Kind::RetryRate if resolved => format!(
                "Upstream retry rate is back to normal — {} over last {filled} requests",
                percent(retried, filled)
            ),
            Kind::RetryRate => format!(
                "High upstream retry rate — {} retried over last {filled} requests ({retried} {}). Threshold: {}",
                percent(retried, filled),
                plural(retried, "retry", "retries"),
                self.limit
            ),
            Kind::Latency => {
                let percentile = self.limit.split(' ').next().unwrap_or("latency");
                if resolved {
                    format!(
                        "Upstream latency is back to normal — {percentile} {} ms over last {filled} requests",
                        self.latency_ms
                    )
                } else {
                    format!(
                        "High upstream latency — {percentile} {} ms over last {filled} requests. Threshold: {}",
                        self.latency_ms, self.limit
                    )
                }
            }
            Kind::Failover if self.reminder => {
                format!("Still failed over — pool {to} serves instead of {from}")
            }
            Kind::Failover => format!("Failover detected — pool changed from {from} → {to}"),
            Kind::Failback if self.from.name == self.to.name => {
                format!("Failover is over — pool {to} is the active one now")
            }
            Kind::Failback => format!("Recovered — pool is back from {from} → {to}"),
            Kind::Flapping if resolved => "Flapping is over — traffic has not moved between pools for 5 minutes".into(),
            Kind::Flapping => format!(
                "Flapping — traffic keeps moving between pools {from} and {to}. Quiet until 5 minutes were stable"
            ),
            Kind::Switched => format!("Switched — active pool changed from {from} → {to}"),
            Kind::Outage if resolved => "Outage is over — requests are answered again".into(),
            Kind::Outage => format!("Outage — the last {} requests all failed; no pool answers", self.limit),
            Kind::AbandonRate if resolved => format!(
                "Share of clients that gave up is back to normal — {} over last {filled} requests",
                percent(abandoned, filled)
            ),
            Kind::AbandonRate => format!(
                "Clients give up waiting — {} over last {filled} requests ({abandoned} abandoned). Threshold: {}",
                percent(abandoned, filled),
                self.limit
            ),
            Kind::Rollout | Kind::Rollback | Kind::Comparison | Kind::Probe => {
                self.told().map_or("unknown", |(_, sentence)| sentence).into()
            }
            Kind::Test => format!("Test alert — monitor {} can reach you", self.monitor),
        }
    }

    /// The first line of the story, and the symbol in front of it.
    fn told(&self) -> Option<(&'static str, &str)> {
        let (shortcode, sentence) = self.story.split(LINE_END).next()?.strip_prefix(':')?.split_once(": ")?;
        let (shortcode, _) = SYMBOLS.iter().find(|(known, _)| *known == shortcode)?;
        Some((shortcode, sentence))
    }

    /// The Slack-style shortcode of the symbol in front of the headline, without colons.
    pub fn shortcode(&self) -> &'static str {
        if let Some((shortcode, _)) = self.told() {
            return shortcode;
        }
        match (self.status, self.kind) {
            (Status::Resolved, _) => "white_check_mark",
            (_, Kind::Failover | Kind::Outage) => "rotating_light",
            (Status::Info, _) => "information_source",
            _ => "warning",
        }
    }

    /// The same symbol as a character, for receivers without shortcodes.
    pub fn symbol(&self) -> &'static str {
        let shortcode = self.shortcode();
        SYMBOLS.iter().find(|(known, _)| *known == shortcode).map_or("⚠️", |(_, symbol)| symbol)
    }

    /// What a reader needs to act on, as label and value, most important first.
    pub fn details(&self) -> Vec<(&str, String)> {
        let mut rows = vec![("Monitor", self.monitor.clone()), ("Host", self.host.clone())];
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
        rows.extend(self.story.split(LINE_END).skip(1).filter_map(|line| {
            let (label, value) = line.split_once(": ")?;
            Some((label, value.to_owned()))
        }));
        if self.window.size > 0 {
            rows.push(("Window", self.window_sentence()));
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
        rows
    }

    /// Headline and details as plain text.
    pub fn plain_text(&self) -> String {
        let mut text = self.headline();
        for (label, value) in self.details() {
            let _ = write!(text, "\n{label}: {value}");
        }
        text
    }

    /// The alert object of the status JSON and of the generic webhook, without the delivery states.
    pub fn to_json(&self) -> Value {
        let pool = |label: &PoolLabel| {
            (!label.name.is_empty()).then(|| {
                json!({
                    "pool": label.name,
                    "release": non_empty(&label.release),
                    "address": non_empty(&label.address),
                })
            })
        };
        json!({
            "id": self.id,
            "time": rfc3339(self.time_ms),
            "monitor": self.monitor,
            "host": self.host,
            "kind": self.kind.name(),
            "status": self.status.name(),
            "text": self.headline(),
            "reminder": self.reminder,
            "since": (self.since_ms > 0).then(|| rfc3339(self.since_ms)),
            "limit": non_empty(&self.limit),
            "latency_ms": (self.kind == Kind::Latency).then_some(self.latency_ms),
            "from": pool(&self.from),
            "to": pool(&self.to),
            "no_failure_seen": self.no_failure_seen,
            "window": {
                "size": self.window.size,
                "filled": self.window.filled,
                "failed": self.window.failed,
                "retried": self.window.retried,
            },
            "failed_attempts": self.failed_attempts,
            "retries_absorbed": self.retries_absorbed,
            "errors_reached_users": self.errors_reached_users,
            "held_back": self.held_back,
            "fired": self.missed.fired.as_ref().map(|fired| {
                json!({ "time": rfc3339(fired.time_ms), "text": fired.headline })
            }),
            "left_out": self.missed.left_out,
        })
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

impl fmt::Display for PoolLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(named(&self.name))?;
        let known: Vec<String> = [("release ", &self.release), ("", &self.address)]
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(label, value)| format!("{label}{value}"))
            .collect();
        if known.is_empty() { Ok(()) } else { write!(f, " ({})", known.join(", ")) }
    }
}

fn duration(ms: u64) -> String {
    // Below a minute tenths matter, above it they are noise.
    if ms < 60_000 {
        return format!("{:.1}s", ms as f64 / 1000.0);
    }
    humantime::format_duration(Duration::from_secs(ms / 1000)).to_string()
}

fn percent(count: u32, of: u32) -> String {
    let share = if of == 0 { 0.0 } else { f64::from(count) * 100.0 / f64::from(of) };
    format!("{share:.2}%")
}

fn plural<N: Into<u64>>(count: N, one: &'static str, many: &'static str) -> &'static str {
    if count.into() == 1 { one } else { many }
}

fn named(name: &str) -> &str {
    if name.is_empty() { "unknown" } else { name }
}

fn non_empty(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An alert with every field set, for the tests of this module and of the sinks.
    pub(crate) fn failover() -> Alert {
        Alert {
            id: 7,
            time_ms: 1_790_000_000_123,
            monitor: "app".into(),
            host: "edge-1".into(),
            kind: Kind::Failover,
            status: Status::Firing,
            reminder: false,
            since_ms: 1_790_000_000_000,
            limit: String::new(),
            latency_ms: 0,
            from: PoolLabel { name: "blue".into(), release: "v1".into(), address: "127.0.0.1:8081".into() },
            to: PoolLabel { name: "green".into(), release: "v2".into(), address: "127.0.0.1:8082".into() },
            no_failure_seen: false,
            window: WindowFigures { size: 200, filled: 200, failed: 0, retried: 16, abandoned: 0 },
            failed_attempts: 16,
            retries_absorbed: 16,
            errors_reached_users: 0,
            held_back: 3,
            story: String::new(),
            missed: Missed::default(),
        }
    }

    #[test]
    fn a_story_is_told_with_its_symbol_and_its_details() {
        let story =
            ":rocket: Rollout begun — green (v42) takes over: 5 %, 100 %‖Verdict: by chance in 1 of 1,000".into();
        let mut alert = Alert { kind: Kind::Rollout, status: Status::Info, story, ..failover() };
        assert_eq!(alert.headline(), "Rollout begun — green (v42) takes over: 5 %, 100 %");
        assert_eq!((alert.shortcode(), alert.symbol()), ("rocket", "🚀"));
        assert!(alert.plain_text().contains("\nVerdict: by chance in 1 of 1,000\n"), "{}", alert.plain_text());
        for torn in ["", ":", ":rocket", "rocket: x", ":unheard_of: x", "‖:rocket: x"] {
            alert.story = torn.into();
            assert_eq!((alert.headline().as_str(), alert.shortcode()), ("unknown", "information_source"), "{torn:?}");
        }
    }

    #[test]
    fn the_headlines_are_those_of_the_contract() {
        let mut alert = failover();
        assert_eq!(alert.headline(), "Failover detected — pool changed from blue → green");
        alert.kind = Kind::Failback;
        alert.status = Status::Resolved;
        (alert.from, alert.to) = (alert.to.clone(), alert.from.clone());
        assert_eq!(alert.headline(), "Recovered — pool is back from green → blue");
        alert.kind = Kind::ErrorRate;
        alert.status = Status::Firing;
        alert.limit = "2%".into();
        alert.window.failed = 5;
        assert_eq!(
            alert.headline(),
            "High upstream 5xx rate — 2.50% 5xx over last 200 requests (5 errors). Threshold: 2%"
        );
        alert.status = Status::Resolved;
        alert.window.failed = 1;
        assert_eq!(alert.headline(), "Upstream 5xx rate is back to normal — 0.50% over last 200 requests");
    }

    #[test]
    fn the_details_say_what_users_saw_and_what_was_held_back() {
        let text = failover().plain_text();
        for part in [
            "From: blue (release v1, 127.0.0.1:8081)",
            "To: green (release v2, 127.0.0.1:8082)",
            "Failed attempts: 16",
            "16 retries absorbed, 0 errors reached users",
            "3 more were held back",
            "Time: 2026-09-21T",
        ] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
    }

    #[test]
    fn a_window_that_is_not_full_is_told_with_its_true_figures() {
        let mut alert = failover();
        alert.kind = Kind::ErrorRate;
        alert.window = WindowFigures { size: 200, filled: 37, failed: 5, retried: 0, abandoned: 0 };
        assert!(alert.plain_text().contains("5 of 37 requests failed (13.5%), window of 200"));
    }
}
