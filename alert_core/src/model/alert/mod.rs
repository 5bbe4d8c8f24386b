//! An alert as people and machines read it: what happened, in words and as JSON.
//!
//! The detector decides on numbers; this is the form in which a decision leaves the process. Sinks choose the markup,
//! the words are the same everywhere.

mod details;
mod headline;
mod json;
mod kind;

use std::fmt;

pub use details::Rows;
pub use kind::{Kind, Severity};

use crate::model::outcome::Counts;

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

impl WindowFigures {
    /// The figures of a window of this size that holds this.
    pub fn new(size: u32, counts: Counts) -> WindowFigures {
        let Counts { failed, retried, filled, abandoned, .. } = counts;
        WindowFigures { size, filled, failed, retried, abandoned }
    }
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

/// What separates the lines of a story: no control character, for texts on the board hold none.
pub const LINE_END: char = '‖';

/// A request that failed. Unknown parts are empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Example {
    /// Its method.
    pub method: String,
    /// Its path, without the query.
    pub path: String,
    /// The status that its client got.
    pub status: u16,
    /// The address that failed it.
    pub address: String,
}

/// Pools whose figures an alert has room for: the worst ones.
pub const POOL_FIGURES_MAX: usize = 4;

/// The figures of one pool in the window, which those of the others hide.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PoolFigures {
    /// Its name; empty for the unknown one.
    pub name: String,
    /// Requests in the window.
    pub requests: u32,
    /// Those of them that the alert is about: failed, or abandoned.
    pub count: u32,
    /// For `latency`: the percentile of this pool, in milliseconds.
    pub latency_ms: u32,
    /// The release that is there; empty where none is known.
    pub release: String,
    /// Since when it is, in milliseconds since the Unix epoch; 0 where that is unknown.
    pub release_since_ms: u64,
}

impl PoolFigures {
    /// The larger, the worse.
    pub fn badness(&self) -> f64 {
        f64::from(self.latency_ms) + f64::from(self.count) / f64::from(self.requests.max(1))
    }
}

/// Where a reader finds more; empty where the operator gave no URL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The status page.
    pub status: String,
    /// The runbook of the monitor.
    pub runbook: String,
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
    /// What the nginx was called at which the incident began: keys of receivers hold it.
    pub instance: String,
    /// Names and values of the operator's labels.
    pub labels: Vec<(String, String)>,
    /// Where a reader finds more.
    pub links: Links,
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
    /// The incident ends because nobody watches it any more: its rule is switched off, its pools are gone, or its monitor
    /// is, which has no window then.
    pub unwatched: bool,
    /// The window.
    pub window: WindowFigures,
    /// For `error_rate`, `abandon_rate`, `latency`, `outage`: the figures of each pool, the worst first, where requests of
    /// several are in the window.
    pub pools: Vec<PoolFigures>,
    /// Failed attempts since the incident began.
    pub failed_attempts: u64,
    /// Requests since the incident began in which a retry hid the failure.
    pub retries_absorbed: u64,
    /// Requests since the incident began whose client got the failure.
    pub errors_reached_users: u64,
    /// For the kinds of rollouts, what the message says: its first line, which begins with the shortcode of its symbol
    /// (`:rocket: Rollout begun — …`), and a line `label: value` for each further detail, with [`LINE_END`] between them.
    /// Else empty.
    pub story: String,
    /// Why attempts failed, in words.
    pub cause: String,
    /// Some of the requests that failed, newest first.
    pub examples: Vec<Example>,
    /// Messages of this kind that a cooldown or maintenance swallowed since the last one.
    pub held_back: u32,
    /// Messages that this one stands for; nothing until it is sent.
    pub missed: Missed,
}

impl Alert {
    /// An alert that only informs, with nothing said yet but when and about what.
    pub fn info(kind: Kind, time_ms: u64) -> Alert {
        Alert {
            id: 0,
            time_ms,
            monitor: String::new(),
            instance: String::new(),
            labels: Vec::new(),
            links: Links::default(),
            kind,
            status: Status::Info,
            reminder: false,
            since_ms: 0,
            limit: String::new(),
            latency_ms: 0,
            from: PoolLabel::default(),
            to: PoolLabel::default(),
            no_failure_seen: false,
            unwatched: false,
            window: WindowFigures::default(),
            pools: Vec::new(),
            failed_attempts: 0,
            retries_absorbed: 0,
            errors_reached_users: 0,
            story: String::new(),
            cause: String::new(),
            examples: Vec::new(),
            held_back: 0,
            missed: Missed::default(),
        }
    }

    /// The end of the incident that this alert tells of, whose monitor is no longer there.
    pub fn no_longer_watched(self, now_ms: u64) -> Alert {
        // Who serves is not known any more; between which pools traffic moved is.
        let (from, to) = match self.kind {
            Kind::Failover | Kind::Flapping => (self.from, self.to),
            _ => Default::default(),
        };
        let kind = if self.kind == Kind::Failover { Kind::Failback } else { self.kind };
        Alert {
            unwatched: true,
            status: Status::Resolved,
            monitor: self.monitor,
            instance: self.instance,
            since_ms: self.since_ms,
            from,
            to,
            ..Alert::info(kind, now_ms)
        }
    }

    /// The alert with times as people read them, given how far the wall clock was stepped
    /// ([`Clock::step_ms`](crate::base::clock::Clock::step_ms)).
    pub fn in_wall_time(mut self, step_ms: i64) -> Alert {
        let of_pools = self.pools.iter_mut().map(|pool| &mut pool.release_since_ms);
        for time in [&mut self.time_ms, &mut self.since_ms].into_iter().chain(of_pools) {
            // Zero is no time.
            *time = if *time == 0 { 0 } else { time.saturating_add_signed(step_ms) };
        }
        self
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

fn plural<N: Into<u64>>(count: N, one: &'static str, many: &'static str) -> &'static str {
    if count.into() == 1 { one } else { many }
}

fn named(name: &str) -> &str {
    if name.is_empty() { "unknown" } else { name }
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
            instance: "edge-1".into(),
            labels: vec![("env".into(), "prod".into())],
            links: Links { status: "https://ops.example/alert".into(), runbook: String::new() },
            kind: Kind::Failover,
            status: Status::Firing,
            reminder: false,
            since_ms: 1_790_000_000_000,
            limit: String::new(),
            latency_ms: 0,
            from: PoolLabel { name: "blue".into(), release: "v1".into(), address: "127.0.0.1:8081".into() },
            to: PoolLabel { name: "green".into(), release: "v2".into(), address: "127.0.0.1:8082".into() },
            no_failure_seen: false,
            unwatched: false,
            pools: Vec::new(),
            window: WindowFigures { size: 200, filled: 200, failed: 0, retried: 16, abandoned: 0 },
            failed_attempts: 16,
            retries_absorbed: 16,
            errors_reached_users: 0,
            story: String::new(),
            cause: "blue: connection refused, 16 times".into(),
            examples: vec![Example {
                method: "GET".into(),
                path: "/cart".into(),
                status: 502,
                address: "127.0.0.1:8081".into(),
            }],
            held_back: 3,
            missed: Missed::default(),
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
    fn the_details_say_what_users_saw_and_what_was_held_back() {
        let text = failover().plain_text();
        for part in [
            "From: blue (release v1, 127.0.0.1:8081)",
            "To: green (release v2, 127.0.0.1:8082)",
            "Failed attempts: 16",
            "16 retries absorbed, 0 errors reached users",
            "3 more were held back",
            "Cause: blue: connection refused, 16 times",
            "Failing requests: GET /cart → 502 (127.0.0.1:8081)",
            "Instance: edge-1",
            "Labels: env=prod",
            "Time: 2026-09-21T",
            "Status page: https://ops.example/alert",
        ] {
            assert!(text.contains(part), "{part:?} is missing in {text}");
        }
    }

    #[test]
    fn the_figures_of_each_pool_are_in_the_message() {
        let pool = |name: &str, requests, count, latency_ms| PoolFigures {
            name: name.into(),
            requests,
            count,
            latency_ms,
            ..PoolFigures::default()
        };
        let mut alert = failover();
        alert.kind = Kind::ErrorRate;
        alert.pools = vec![pool("green", 196, 10, 0), pool("blue", 240, 1, 0)];
        assert!(alert.plain_text().contains("By pool: green 5.1% of 196, blue 0.4% of 240"));
        for (pool, release, age_s) in [(0, "v42", 252), (1, "v41", 300_000)] {
            alert.pools[pool].release = release.into();
            alert.pools[pool].release_since_ms = alert.time_ms - age_s * 1000;
        }
        let told = "By pool: green (v42 for 4m 12s) 5.1% of 196, blue (v41 for 3days 11h 20m) 0.4% of 240";
        assert!(alert.plain_text().contains(told), "{}", alert.plain_text());
        assert_eq!(alert.to_json()["pools"][0]["release_since"], "2026-09-21T14:09:08.123Z");
        alert.kind = Kind::Latency;
        alert.pools = vec![pool("green", 10, 0, 900), pool("", 240, 1, 20)];
        assert!(alert.plain_text().contains("By pool: green 900 ms, unknown 20 ms"));
    }

    #[test]
    fn what_is_no_longer_watched_says_so_and_nothing_about_how_it_stands() {
        for kind in Kind::ALL {
            let alert = Alert { kind, status: Status::Resolved, unwatched: true, ..failover() };
            assert!(alert.headline().contains("no longer watched"), "{}", alert.headline());
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
