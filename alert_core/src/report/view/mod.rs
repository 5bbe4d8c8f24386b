//! What there is to report at one instant, as plain figures: made once from the board, the configuration and the time.
//!
//! [`json`](super::json), [`prometheus`](super::prometheus) and [`page`](super::page) only render it.

mod detail;
mod source;

use std::fmt;

pub use detail::{Address, Detail};
pub use source::{Scope, Source};

use crate::board::monitor::{BUCKETS, MonitorBoard};
use crate::board::outbox::Delivery;
use crate::model::alert::{Alert, Kind};
use crate::model::ids::PoolId;
use crate::model::outcome::{Cause, Counts};
use crate::report::rollout::Rollout;
use crate::rules::limit::{LatencyLimit, Percent};
use crate::settings::MonitorSettings;
use crate::sink::settings::SinkSettings;

/// The kinds that every monitor has a rule for; one with probes has [`Kind::Probe`] besides.
pub(crate) const RULES: [Kind; 7] =
    [Kind::Outage, Kind::ErrorRate, Kind::RetryRate, Kind::AbandonRate, Kind::Latency, Kind::Failover, Kind::Flapping];

/// Everything at one instant. Times are in milliseconds since the Unix epoch, by the wall clock.
pub struct View<'a> {
    /// When that is.
    pub now_ms: u64,
    /// Since when the board counts.
    pub since_ms: u64,
    /// The version of nginx; empty where that is unknown.
    pub nginx: &'a str,
    /// What this nginx is called.
    pub instance: &'a str,
    /// Names and values of the labels of every alert.
    pub labels: &'a [(String, String)],
    /// The workers that are alive.
    pub workers: Vec<Worker>,
    /// Requests that could not be counted, ever.
    pub dropped: u64,
    /// Alerts that made room before all sinks had them, ever.
    pub lost: u64,
    /// The monitors, in the order of the configuration.
    pub monitors: Vec<Monitor<'a>>,
    /// The sinks, in the order of the configuration.
    pub sinks: Vec<Sink<'a>>,
    /// The alerts on the board, newest first; none outside the scope.
    pub alerts: Vec<Told>,
}

/// A worker.
pub struct Worker {
    /// Its process id.
    pub pid: u64,
    /// Requests that it has counted.
    pub events: u64,
    /// Requests that it could not count.
    pub dropped: u64,
    /// Requests that wait for its detector.
    pub queue_depth: u64,
}

/// A monitor.
pub struct Monitor<'a> {
    /// Its number among those of the configuration.
    pub number: usize,
    /// Its configuration.
    pub settings: &'a MonitorSettings,
    /// How it stands, maintenance included.
    pub state: State,
    /// How it stands, whether or not it is in maintenance.
    pub trouble: State,
    /// The pool that should serve, as its place in `pools`.
    pub active: Option<usize>,
    /// The pool that serves, as its place in `pools`.
    pub serving: Option<usize>,
    /// Since when it does.
    pub serving_since_ms: Option<u64>,
    /// Whether alerts are held back.
    pub maintenance: bool,
    /// Until when, where that was said.
    pub maintenance_until_ms: Option<u64>,
    /// The last requests; `None` where the board has lost them.
    pub window: Option<Window>,
    /// Requests whose client got an upstream failure, ever.
    pub failed: u64,
    /// Requests in which a retry hid a failure, ever.
    pub retried: u64,
    /// Requests whose client gave up waiting, ever.
    pub abandoned: u64,
    /// Requests whose address belongs to no pool although pools are listed, ever.
    pub unmatched: u64,
    /// Those of them since the configuration came into force.
    pub unmatched_lately: u64,
    /// The address of the latest of them; empty where there is none.
    pub unmatched_address: String,
    /// The pools that have a name. No two of the names are equal.
    pub pools: Vec<Pool>,
    /// What is of no known pool; `None` as long as that is nothing.
    pub unknown: Option<Pool>,
    /// Its rules, the one about the worst first.
    pub rules: Vec<Rule>,
    /// Messages that the active pool was switched.
    pub switched: u64,
    /// Test messages.
    pub tests: u64,
    /// Requests per second in the last seconds; `None` outside the scope, and where nothing is known yet.
    pub requests_per_second: Option<f64>,
    /// Its rollout; `None` where its directives ask for none.
    pub rollout: Option<Rollout>,
}

/// The last requests of a monitor.
pub struct Window {
    /// How many it holds at most.
    pub size: u32,
    /// What it holds.
    pub counts: Counts,
    /// The 50th, 95th and 99th percentile of the latencies, in milliseconds; `None` outside the scope, and while it is empty.
    pub percentiles_ms: Option<[u32; 3]>,
}

/// A pool.
pub struct Pool {
    /// Its number on the board.
    pub id: PoolId,
    /// Its name.
    pub name: String,
    /// The release it last answered with; empty where that is unknown.
    pub release: String,
    /// When it last answered.
    pub last_seen_ms: Option<u64>,
    /// Requests that it answered.
    pub answered: u64,
    /// Attempts that failed.
    pub failed_attempts: u64,
    /// Attempts that answered and were passed on all the same.
    pub passed_on: u64,
    /// Requests that ended in a failed attempt here.
    pub failed_last: u64,
    /// Requests whose client got a failure, by the pool of their last attempt.
    pub failed_requests: u64,
    /// Failed attempts, in the order of [`Cause::ALL`].
    pub causes: [u64; Cause::ALL.len()],
    /// The requests that it answered, by upstream time, in the buckets of [`bounds_ms`](crate::board::monitor::bounds_ms).
    pub buckets: [u64; BUCKETS],
    /// The upstream time of all of them.
    pub latency_sum_ms: u64,
}

/// A rule.
pub struct Rule {
    /// What it is about.
    pub kind: Kind,
    /// How it stands.
    pub state: RuleState,
    /// Its limit as configured; `None` where it is off.
    pub limit: Option<Limit>,
    /// Messages sent, ever.
    pub fired: u64,
    /// Those of them that told an end.
    pub resolved: u64,
    /// Messages held back, ever.
    pub held_back: u64,
}

/// How a rule stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleState {
    /// It is kept, or not yet broken.
    Ok,
    /// It is broken.
    Firing,
    /// It is kept, and would be told later if it broke now.
    Cooldown,
    /// It is switched off.
    Off,
}

impl RuleState {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            RuleState::Ok => "ok",
            RuleState::Firing => "firing",
            RuleState::Cooldown => "cooldown",
            RuleState::Off => "off",
        }
    }
}

/// A limit as configured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// A share of the requests.
    Rate(Percent),
    /// A percentile of the latencies.
    Latency(LatencyLimit),
    /// So many requests in a row.
    Row(u32),
    /// The failovers that are too many.
    Flapping,
    /// So many probes of each address in a row.
    Probes(u8),
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Rate(limit) => limit.fmt(f),
            Limit::Latency(limit) => limit.fmt(f),
            Limit::Row(confirm) => write!(f, "confirm={confirm}"),
            Limit::Flapping => f.write_str("3 failovers in 5m"),
            Limit::Probes(fails) => write!(f, "fails={fails}"),
        }
    }
}

/// A sink.
pub struct Sink<'a> {
    /// Its configuration.
    pub settings: &'a SinkSettings,
    /// Messages delivered.
    pub sent: u64,
    /// Tries that failed and are made again.
    pub retried: u64,
    /// Messages given up.
    pub failed: u64,
    /// Messages that newer ones made obsolete.
    pub left_out: u64,
    /// Alerts that wait.
    pub pending: u64,
    /// What went wrong last; empty after a success.
    pub last_error: String,
    /// When a message last arrived.
    pub last_success_ms: Option<u64>,
    /// Messages that told again what fires and arrived.
    pub resent: u64,
    /// Those that did not.
    pub resends_failed: u64,
}

/// An alert, and how far it is with the sinks that it is for, by their place among those of the configuration.
pub struct Told {
    /// The alert.
    pub alert: Alert,
    /// How far it is.
    pub deliveries: Vec<(usize, Delivery)>,
}

/// How a monitor stands; the later, the worse, but for maintenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Nothing is wrong.
    Ok,
    /// Alerts are held back, whatever is wrong.
    Maintenance,
    /// A rule is broken.
    Firing,
    /// Another pool than the active one serves.
    FailedOver,
    /// Traffic keeps moving between pools.
    Flapping,
    /// Nothing works.
    Outage,
}

impl State {
    /// The name used in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            State::Ok => "ok",
            State::Maintenance => "maintenance",
            State::Firing => "firing",
            State::FailedOver => "failed_over",
            State::Flapping => "flapping",
            State::Outage => "outage",
        }
    }

    /// Which pool traffic goes to, and nothing else: what `$alert_state` says.
    pub fn of_traffic(monitor: &MonitorBoard, now_ms: u64) -> State {
        if monitor.maintenance.is_on(now_ms) {
            State::Maintenance
        } else if monitor.flapping.load().flapping {
            State::Flapping
        } else if monitor.is_failed_over() {
            State::FailedOver
        } else {
            State::Ok
        }
    }
}

impl Pool {
    /// Requests whose last attempt was here.
    pub fn requests(&self) -> u64 {
        self.answered.saturating_add(self.failed_last)
    }

    fn has_counted(&self) -> bool {
        self.answered | self.failed_attempts | self.passed_on | self.failed_last | self.failed_requests > 0
    }
}

impl View<'_> {
    /// How long the board has counted.
    pub fn uptime_seconds(&self) -> u64 {
        self.now_ms.saturating_sub(self.since_ms) / 1000
    }
}

impl<'a> Monitor<'a> {
    /// Its name.
    pub fn name(&self) -> &'a str {
        &self.settings.name
    }

    /// The pool that should serve.
    pub fn active_pool(&self) -> Option<&Pool> {
        self.pools.get(self.active?)
    }

    /// The pool that serves.
    pub fn serving_pool(&self) -> Option<&Pool> {
        self.pools.get(self.serving?)
    }

    /// The pool that serves, if it has answered and has not left that to servers of no known pool since. None in an outage.
    pub fn answering_pool(&self) -> Option<&Pool> {
        // The order of two answers says nothing, as long as both come.
        const TOGETHER_MS: u64 = 10_000;
        let serving = self.serving_pool().filter(|_| self.trouble != State::Outage)?;
        let seen_ms = serving.last_seen_ms.filter(|_| serving.answered > 0)?;
        let unknown_ms = self.unknown.as_ref().and_then(|pool| pool.last_seen_ms).unwrap_or(0);
        (unknown_ms <= seen_ms + TOGETHER_MS).then_some(serving)
    }

    /// The rule of this kind.
    pub fn rule(&self, kind: Kind) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.kind == kind)
    }

    /// Whether the rule of this kind is broken.
    pub fn is_firing(&self, kind: Kind) -> bool {
        self.rule(kind).is_some_and(|rule| rule.state == RuleState::Firing)
    }

    /// Requests counted, ever.
    pub fn requests(&self) -> u64 {
        self.pools.iter().chain(&self.unknown).map(Pool::requests).fold(self.abandoned, u64::saturating_add)
    }
}

impl Window {
    /// The share of these requests among those that it holds; `None` while it is empty.
    pub fn share(&self, count: u32) -> Option<f64> {
        (self.counts.filled > 0).then(|| f64::from(count) / f64::from(self.counts.filled))
    }

    /// The share of requests whose client got an upstream failure.
    pub fn error_rate(&self) -> Option<f64> {
        self.share(self.counts.failed)
    }

    /// The share of requests in which a retry hid a failure.
    pub fn retry_rate(&self) -> Option<f64> {
        self.share(self.counts.retried)
    }
}
