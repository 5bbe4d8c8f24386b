//! What the pilot goes by: read from the board, by the rules of a configuration, at one instant.

use std::sync::atomic::Ordering::Relaxed;

use super::monitor::MonitorBoard;
use super::rollout::RolloutBoard;
use super::{Board, Plan};
use crate::model::alert::Kind;
use crate::model::ids::PoolId;
use crate::rollout::pilot::{Facts, Health, Side};
use crate::rollout::state::State;
use crate::rollout::verdict::{Attempts, Evidence, Measure, is_worse};
use crate::settings::{MonitorSettings, Settings};

/// So many requests of one key are no accident.
const ONE_KEY_MIN: u64 = 50;
/// What tells the pilot that something is wrong for the clients.
const ALARMS: [Kind; 6] =
    [Kind::Outage, Kind::ErrorRate, Kind::AbandonRate, Kind::RetryRate, Kind::Latency, Kind::Failover];

/// The rollout of one monitor, with everything that it goes by.
#[derive(Clone, Copy)]
pub struct RolloutOf<'a> {
    /// The board of all workers.
    pub board: Board,
    /// Where the configuration lies in it.
    pub plan: &'a Plan,
    /// The configuration.
    pub configuration: &'a Settings,
    /// That of the monitor.
    pub settings: &'a MonitorSettings,
    /// The number of the monitor.
    pub number: usize,
    /// The state of the monitor.
    pub shared: &'static MonitorBoard,
    /// The state of the rollout.
    pub rollout: &'static RolloutBoard,
}

/// One measure in the comparison of two pools.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Compared {
    /// The measure.
    pub measure: Measure,
    /// What the votes say against the new pool, and against the old one.
    pub evidence: [Evidence; 2],
    /// How much of it is needed against each.
    pub needed: [f64; 2],
}

impl<'a> RolloutOf<'a> {
    /// The rollout of this monitor of a configuration; `None` where its directives ask for none.
    pub fn find(board: Board, plan: &'a Plan, settings: &'a Settings, number: usize) -> Option<RolloutOf<'a>> {
        Some(RolloutOf {
            board,
            plan,
            configuration: settings,
            settings: settings.monitors.get(number)?,
            number,
            shared: board.monitor(plan, number)?,
            rollout: board.rollout(plan, number)?,
        })
    }

    /// The name of a pool.
    pub fn name(&self, pool: PoolId) -> String {
        self.shared.pool(pool).name.load()
    }

    /// The addresses of a pool that are listed.
    pub fn addresses(&self, pool: PoolId) -> &'a [String] {
        let at = self.plan.pools(self.number).iter().position(|listed| *listed == pool);
        at.and_then(|at| self.settings.pools.get(at)).map_or(&[], |(_, addresses)| addresses)
    }

    /// What the probes say of a pool.
    pub fn health(&self, pool: PoolId, now_ms: u64) -> Health {
        let Some(probe) = &self.settings.rollout.probe else { return Health::Unknown };
        self.rollout.health(self.shared, self.addresses(pool), probe, now_ms)
    }

    /// The release of a pool: what its probes answered with, else what it last answered a request with.
    pub fn release(&self, pool: PoolId) -> String {
        let probed = self.rollout.probes_of(self.shared, self.addresses(pool)).map(|probed| probed.release.load());
        let probed = { probed }.find(|release| !release.is_empty());
        probed.unwrap_or_else(|| self.shared.pool(pool).release.load())
    }

    /// First attempts at the new pool, and at the old one.
    pub fn attempts(&self, state: State) -> [Attempts; 2] {
        let [of_share, of_other] = self.rollout.attempts();
        if self.compares_old(state) { [of_other, of_share] } else { [of_share, of_other] }
    }

    /// Failed first attempts at the new pool since the votes began: those that a retry saved, and those that reached users.
    pub fn users_of_new(&self, state: State) -> [u64; 2] {
        let [new, _] = self.attempts(state);
        let reached = self.rollout.reached_users[usize::from(self.compares_old(state))].load(Relaxed);
        [new.failed.saturating_sub(reached), reached]
    }

    /// Whether it is the old pool that has a share, to compare it.
    fn compares_old(&self, state: State) -> bool {
        self.settings.rollout.rules.share(state).is_some_and(|(pool, _)| pool == state.from)
    }

    /// When the share of this state began, in seconds since the Unix epoch.
    pub fn began_s(&self, state: State) -> u64 {
        state.began_s(self.rollout.begun_ms.load(Relaxed) / 1000)
    }

    /// The measures by which the pools are compared.
    pub fn compared(&self, state: State, now_s: u64) -> Vec<Compared> {
        let settings = &self.settings.rollout;
        let measures =
            [(Measure::Errors, settings.compare_errors), (Measure::Latency, settings.compare_latency.is_some())];
        let needed = settings.rules.needed(state, self.began_s(state), now_s);
        let of = |measure: Measure| {
            let [of_share, of_other] = self.rollout.ballots[measure as usize].evidence();
            let evidence = if self.compares_old(state) { [of_other, of_share] } else { [of_share, of_other] };
            Compared { measure, evidence, needed }
        };
        measures.into_iter().filter(|(_, wanted)| *wanted).map(|(measure, _)| of(measure)).collect()
    }

    /// Everything that is known now.
    pub fn facts(&self, state: State, now_ms: u64) -> Facts {
        let RolloutOf { shared, rollout, .. } = self;
        let [to, from] = self.attempts(state);
        let compared = self.compared(state, now_ms / 1000);
        let worse = |at: usize, pool: Attempts, other: Attempts| {
            let by = self.settings.rollout.by;
            let found = compared.iter().find(|Compared { measure, evidence, needed }| {
                is_worse(*measure, evidence[at], needed[at], by, pool, other)
            });
            found.map(|compared| compared.measure)
        };
        let side = |pool: PoolId, attempts: Attempts, at: usize| {
            let release = rollout.releases[at].load();
            Side {
                health: self.health(pool, now_ms),
                redeployed: !release.is_empty() && release != self.release(pool),
                attempts,
            }
        };
        let share = rollout.share.load();
        let arrived_at = usize::from(self.compares_old(state));
        Facts {
            active: shared.active(),
            from: side(state.from, from, 0),
            to: side(state.to, to, 1),
            assigned: rollout.assigned.load(Relaxed),
            arrived: rollout.attempts[arrived_at].arrived.load(Relaxed),
            evidence: compared.iter().map(|compared| compared.evidence[0].value).fold(1.0, f64::max),
            to_is_worse: worse(0, to, from),
            from_is_worse: worse(1, from, to),
            one_key: rollout.has_one_key() && to.requests + from.requests >= ONE_KEY_MIN,
            alarm: ALARMS.into_iter().any(|kind| shared.is_raised(kind)),
            failed_over: shared.is_failed_over(),
            flapping: shared.flapping.load().flapping,
            maintenance: shared.maintenance.is_on(now_ms),
            dropped: self.board.workers().dropped() > rollout.dropped.load(Relaxed),
            hands_off: now_ms < rollout.hands_off_until_ms.load(Relaxed),
            lapsed: !share.counts(now_ms),
        }
    }
}
