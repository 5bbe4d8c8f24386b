//! How a view is made: each word of the board is read here, and once.

use std::sync::atomic::Ordering::Relaxed;

use super::{Limit, Monitor, Pool, RULES, Rule, RuleState, Sink, State, Told, View, Window, Worker};
use crate::board::maintenance::Order;
use crate::board::monitor::{BUCKETS, MonitorBoard, PoolBoard};
use crate::board::outbox::Delivery;
use crate::board::sink::SinkId;
use crate::board::worker::WorkerBoard;
use crate::board::{Board, Plan};
use crate::model::alert::{Alert, Kind};
use crate::model::ids::PoolId;
use crate::report::rollout::Rollout;
use crate::settings::{MonitorSettings, Settings};
use crate::sink::settings::SinkSettings;

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
        let worker = |worker: &WorkerBoard| Worker {
            pid: worker.pid.load(Relaxed),
            events: worker.events.load(Relaxed),
            dropped: worker.dropped.load(Relaxed),
            queue_depth: worker.queue_depth(),
        };
        alive.map(worker).collect()
    }

    fn sinks(&self) -> Vec<Sink<'a>> {
        let sinks = self.settings.sinks.iter().zip(self.plan.sinks());
        let sink = |(settings, id): (&'a SinkSettings, &SinkId)| {
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
        let probed = settings.rollout.probe.as_ref().map(|_| Kind::Probe);
        let rules: Vec<Rule> = RULES.into_iter().chain(probed).map(|kind| self.rule(kind, settings, shared)).collect();
        let trouble = trouble(shared, &rules);
        let maintenance = shared.maintenance.is_on(self.now_ms);
        let pools = self.pools(shared);
        let place = |id: PoolId| pools.iter().position(|pool| pool.id == id);
        let unmatched = shared.unmatched.requests.load(Relaxed);
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
            unmatched,
            unmatched_lately: unmatched.saturating_sub(shared.unmatched.before.load(Relaxed)),
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
            Kind::Probe => settings.rollout.probe.as_ref().map(|probe| Limit::Probes(probe.fails)),
            _ => None,
        };
        let incident = shared.incident(kind);
        let throttle = incident.throttle.load();
        let state = match &limit {
            None => RuleState::Off,
            Some(_) if throttle.raised => RuleState::Firing,
            Some(_) if throttle.cooling_down(self.now_ms, settings.cooldown_ms) => RuleState::Cooldown,
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
