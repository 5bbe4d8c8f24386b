//! What there is to report at one instant, as plain figures: made once from the board, the configuration and the time.
//!
//! [`json`](super::json), [`prometheus`](super::prometheus) and [`page`](super::page) only render it.

use std::fmt;
use std::sync::atomic::Ordering::Relaxed;

use crate::board::maintenance::Order;
use crate::board::monitor::{BUCKETS, MonitorBoard, PoolBoard};
use crate::board::outbox::Delivery;
use crate::board::{Board, Plan};
use crate::model::alert::{Alert, Kind};
use crate::model::ids::PoolId;
use crate::model::outcome::{Cause, Counts};
use crate::report::rollout::Rollout;
use crate::rules::limit::{LatencyLimit, Percent};
use crate::rules::throttle::Policy;
use crate::settings::{MonitorSettings, Settings};
use crate::sink::settings::SinkSettings;

/// The kinds that a monitor has a rule for.
pub(crate) const RULES: [Kind; 7] =
    [Kind::Outage, Kind::ErrorRate, Kind::RetryRate, Kind::AbandonRate, Kind::Latency, Kind::Failover, Kind::Flapping];

/// What a view is made of: a configuration in force, on its board, at one instant.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// The board.
    pub board: Board,
    /// Where the configuration lies in it.
    pub plan: &'a Plan,
    /// The configuration.
    pub settings: &'a Settings,
    /// The time, by the clock of the board, in milliseconds.
    pub now_ms: u64,
    /// What is added to times of the board for what people read ([`Clock::step_ms`](crate::base::clock::Clock::step_ms)).
    pub step_ms: i64,
}

/// What a view holds beside counters and states.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scope {
    /// The alerts.
    pub alerts: bool,
    /// The percentiles of the windows.
    pub percentiles: bool,
    /// Requests per second.
    pub rates: bool,
}

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
    /// The address of the latest of them; empty where there is none.
    pub unmatched_address: String,
    /// The pools that have a name. No two of the names are equal.
    pub pools: Vec<Pool>,
    /// What is of no known pool; `None` as long as that is nothing.
    pub unknown: Option<Pool>,
    /// Its rules, the one about the worst first.
    pub rules: [Rule; RULES.len()],
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
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Limit::Rate(limit) => limit.fmt(f),
            Limit::Latency(limit) => limit.fmt(f),
            Limit::Row(confirm) => write!(f, "confirm={confirm}"),
            Limit::Flapping => f.write_str("3 failovers in 5m"),
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

impl<'a> Source<'a> {
    /// What there is at present.
    pub fn now(board: Board, plan: &'a Plan, settings: &'a Settings) -> Source<'a> {
        let clock = board.clock();
        Source { board, plan, settings, now_ms: clock.now_ms(), step_ms: clock.step_ms() }
    }

    /// A time of the board as people read it; `None` where there is none.
    pub(crate) fn wall_ms(&self, time_ms: u64) -> Option<u64> {
        (time_ms > 0).then(|| time_ms.saturating_add_signed(self.step_ms))
    }

    /// The view of this instant.
    pub fn view(&self, scope: Scope) -> View<'a> {
        let (board, settings) = (self.board, self.settings);
        let monitors = settings.monitors.iter().enumerate();
        View {
            now_ms: self.now_ms.saturating_add_signed(self.step_ms),
            since_ms: board.created_ms().saturating_add_signed(self.step_ms),
            nginx: &settings.nginx,
            instance: &settings.instance,
            labels: &settings.labels,
            workers: self.workers(),
            dropped: board.workers().dropped(),
            lost: board.outbox().lost(),
            monitors: monitors.filter_map(|(at, monitor)| self.monitor(at, monitor, scope)).collect(),
            sinks: self.sinks(),
            alerts: if scope.alerts { self.alerts() } else { Vec::new() },
        }
    }

    fn workers(&self) -> Vec<Worker> {
        let alive = self.board.workers().alive(self.now_ms);
        let worker = |worker: &crate::board::worker::WorkerBoard| Worker {
            pid: worker.pid.load(Relaxed),
            events: worker.events.load(Relaxed),
            dropped: worker.dropped.load(Relaxed),
            queue_depth: worker.queue_depth(),
        };
        alive.map(worker).collect()
    }

    fn sinks(&self) -> Vec<Sink<'a>> {
        let sinks = self.settings.sinks.iter().zip(self.plan.sinks());
        let sink = |(settings, id): (&'a SinkSettings, &crate::board::sink::SinkId)| {
            let shared = self.board.sinks().get(*id);
            Sink {
                settings,
                sent: shared.sent.load(Relaxed),
                retried: shared.retried.load(Relaxed),
                failed: shared.failed.load(Relaxed),
                left_out: shared.left_out.load(Relaxed),
                pending: self.board.outbox().pending(*id).len() as u64,
                last_error: shared.last_error.load(),
                last_success_ms: self.wall_ms(shared.reach.last_success_ms.load(Relaxed)),
                resent: shared.reach.resent.load(Relaxed),
                resends_failed: shared.reach.resends_failed.load(Relaxed),
            }
        };
        sinks.map(sink).collect()
    }

    fn alerts(&self) -> Vec<Told> {
        let outbox = self.board.outbox();
        let told = |alert: Alert| {
            let alert = self.settings.complete(alert.in_wall_time(self.step_ms));
            let deliveries = self.plan.sinks().iter().enumerate();
            let deliveries = deliveries.map(|(at, sink)| (at, outbox.delivery(alert.id, *sink)));
            let deliveries = deliveries.filter(|(_, delivery)| *delivery != Delivery::None).collect();
            Told { alert, deliveries }
        };
        outbox.alerts().map(told).collect()
    }

    fn monitor(&self, number: usize, settings: &'a MonitorSettings, scope: Scope) -> Option<Monitor<'a>> {
        let shared = self.board.monitor(self.plan, number)?;
        let window = self.board.window(shared).map(|window| Window {
            size: window.size(),
            counts: window.counts(),
            percentiles_ms: scope.percentiles.then(|| window.percentiles([500, 950, 990])).flatten(),
        });
        let rules = RULES.map(|kind| self.rule(kind, settings, shared));
        let trouble = trouble(shared, &rules);
        let maintenance = shared.maintenance.is_on(self.now_ms);
        let pools = self.pools(shared);
        let place = |id: PoolId| pools.iter().position(|pool| pool.id == id);
        let unknown = self.pool(PoolId::NONE, shared.pool(PoolId::NONE));
        Some(Monitor {
            number,
            settings,
            state: if maintenance { State::Maintenance } else { trouble },
            trouble,
            active: place(shared.active()),
            serving: place(shared.serving()),
            serving_since_ms: self.wall_ms(shared.serving_since_ms.load(Relaxed)),
            maintenance,
            maintenance_until_ms: match shared.maintenance.ordered(self.now_ms) {
                Order::Until(until_ms) => self.wall_ms(until_ms),
                _ => None,
            },
            window,
            failed: shared.failed.load(Relaxed),
            retried: shared.retried.load(Relaxed),
            abandoned: shared.abandoned.load(Relaxed),
            unmatched: shared.unmatched.requests.load(Relaxed),
            unmatched_address: shared.unmatched.address.load(),
            pools,
            unknown: Some(unknown).filter(Pool::has_counted),
            rules,
            switched: shared.incident(Kind::Switched).fired.load(Relaxed),
            tests: shared.incident(Kind::Test).fired.load(Relaxed),
            rollout: Rollout::of(self, number),
            requests_per_second: if scope.rates { shared.history.rate(shared, self.now_ms) } else { None },
        })
    }

    fn rule(&self, kind: Kind, settings: &MonitorSettings, shared: &MonitorBoard) -> Rule {
        let limit = match kind {
            Kind::ErrorRate => settings.error_rate.map(Limit::Rate),
            Kind::RetryRate => settings.retry_rate.map(Limit::Rate),
            Kind::Latency => settings.latency.map(Limit::Latency),
            Kind::Failover => settings.failover.map(Limit::Row),
            Kind::Flapping => settings.failover.map(|_| Limit::Flapping),
            Kind::AbandonRate => settings.abandon_rate.map(Limit::Rate),
            Kind::Outage => settings.outage.map(Limit::Row),
            _ => None,
        };
        let incident = shared.incident(kind);
        let throttle = incident.throttle.load();
        let policy = Policy { cooldown_ms: settings.cooldown_ms, muted: false };
        let state = match &limit {
            None => RuleState::Off,
            Some(_) if throttle.raised => RuleState::Firing,
            Some(_) if throttle.cooling_down(self.now_ms, &policy) => RuleState::Cooldown,
            Some(_) => RuleState::Ok,
        };
        Rule {
            kind,
            state,
            limit,
            fired: incident.fired.load(Relaxed),
            resolved: incident.resolved.load(Relaxed),
            held_back: incident.held_back.load(Relaxed),
        }
    }

    /// The pools that have a name.
    fn pools(&self, shared: &MonitorBoard) -> Vec<Pool> {
        let mut pools: Vec<Pool> = Vec::new();
        for (place, board) in shared.pools.iter().enumerate().skip(1) {
            let id = PoolId::new(place as u8);
            // Two workers that met a new name at once gave it two places, of which only the first is used.
            if board.name.is_empty() || shared.find_pool(board.name.key()) != Some(id) {
                continue;
            }
            let mut pool = self.pool(id, board);
            // Names that differ can read the same, since what cannot be read is replaced.
            while pools.iter().any(|other| other.name == pool.name) {
                pool.name = format!("{}~{place}", pool.name);
            }
            pools.push(pool);
        }
        pools
    }

    fn pool(&self, id: PoolId, board: &PoolBoard) -> Pool {
        let mut buckets = [0; BUCKETS];
        let mut answered: u64 = 0;
        for (bucket, count) in buckets.iter_mut().zip(board.buckets()) {
            *bucket = count;
            answered = answered.saturating_add(count);
        }
        Pool {
            id,
            name: board.name.load(),
            release: board.release.load(),
            last_seen_ms: self.wall_ms(board.last_seen_ms.load(Relaxed)),
            answered,
            failed_attempts: board.failed_attempts.load(Relaxed),
            passed_on: board.passed_on.load(Relaxed),
            failed_last: board.failed_last.load(Relaxed),
            failed_requests: board.failed_requests.load(Relaxed),
            causes: board.causes.each_ref().map(|count| count.load(Relaxed)),
            buckets,
            latency_sum_ms: board.latency_sum_ms.load(Relaxed),
        }
    }
}

fn trouble(shared: &MonitorBoard, rules: &[Rule]) -> State {
    let is_firing = |rule: &&Rule| rule.state == RuleState::Firing;
    let of_rules = rules.iter().filter(is_firing).map(|rule| match rule.kind {
        Kind::Outage => State::Outage,
        _ => State::Firing,
    });
    let of_traffic = if shared.flapping.load().flapping {
        State::Flapping
    } else if shared.is_failed_over() {
        State::FailedOver
    } else {
        State::Ok
    };
    of_rules.fold(of_traffic, State::max)
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
