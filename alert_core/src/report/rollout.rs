//! How a rollout stands, as plain figures: a part of the view of its monitor, and how JSON has it.

use std::sync::atomic::Ordering::Relaxed;

use super::view::Source;
use crate::base::json::{Json, Known, Object, Plain, Time, object};
use crate::board::facts::{Compared, RolloutOf};
use crate::board::releases::ReleaseBoard;
use crate::board::rollout::Outcome;
use crate::model::alert::Kind;
use crate::model::ids::{POOLS_MAX, PoolId};
use crate::rollout::pilot::{Facts, Rollback};
use crate::rollout::state::{Phase, State};
use crate::rollout::verdict::{Attempts, Measure, detectable, part};

/// A rollout. Times are in milliseconds since the Unix epoch, by the wall clock.
pub struct Rollout {
    /// Where it stands.
    pub state: State,
    /// Steps, the one to 100 % included.
    pub steps: u8,
    /// The names of the pools that are taken over from, and that take over; empty while nothing goes on.
    pub pools: [String; 2],
    /// The release that takes over; empty where that is unknown.
    pub release: String,
    /// The pool that has a share, and how much, in hundredths of a percent.
    pub share: Option<(String, u32)>,
    /// When the phase began.
    pub since_ms: Option<u64>,
    /// When the next step can begin at the earliest.
    pub next_ms: Option<u64>,
    /// Why the step does not end yet.
    pub holds: Option<String>,
    /// Whether a guard only says what it would do.
    pub dry_run: bool,
    /// The measures that are compared.
    pub compared: Vec<Compared>,
    /// Above this time a first attempt is slow, in milliseconds.
    pub slow_ms: Option<u64>,
    /// First attempts at the new pool, and at the old one.
    pub attempts: [Attempts; 2],
    /// The rate of failures that this traffic would show within a step, from 0 to 1.
    pub detectable: Option<f64>,
    /// How the last one ended, when, and why.
    pub last: Option<(Outcome, u64, String)>,
    /// How often they ended like this, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; Outcome::ALL.len()],
    /// First attempts at each pool, ever: those that answered, and those that failed.
    pub first_attempts: [[u64; 2]; POOLS_MAX + 1],
    /// How often each kind of `TOLD` was told, ever, and held back.
    pub told: [[u64; 2]; TOLD.len()],
    /// The addresses that are probed, by pool.
    pub probes: Vec<(String, Vec<Probe>)>,
    /// The releases that were seen, newest first.
    pub releases: Vec<Release>,
}

/// What is told of rollouts and is no rule.
pub(super) const TOLD: [Kind; 3] = [Kind::Rollout, Kind::Rollback, Kind::Comparison];

/// A release at a pool.
pub struct Release {
    /// Its name.
    pub name: String,
    /// The pool.
    pub pool: String,
    /// When it was seen first.
    pub first_seen_ms: Option<u64>,
    /// When it was seen last.
    pub last_seen_ms: Option<u64>,
    /// Requests that it answered, and attempts that failed.
    pub figures: [u64; 2],
    /// The 95th percentile of its answers, in milliseconds; `None` where there are none.
    pub p95_ms: Option<u64>,
    /// How its rollout ended.
    pub outcome: Option<Outcome>,
}

/// What the probes of an address say.
pub struct Probe {
    /// The address.
    pub address: String,
    /// Whether it counts as up; `None` before enough is known.
    pub up: Option<bool>,
    /// How many in a row ended like the last one.
    pub streak: u8,
    /// The status that the last one got.
    pub status: Option<u64>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The release that answered.
    pub release: String,
    /// When it ended.
    pub at_ms: Option<u64>,
    /// Why it failed; empty where it passed.
    pub error: String,
}

impl Rollout {
    /// The rollout of a monitor; `None` where its directives ask for none.
    pub(super) fn of(source: &Source<'_>, number: usize) -> Option<Rollout> {
        let of = RolloutOf::find(source.board, source.plan, source.settings, number)?;
        let (rollout, settings, now_ms) = (of.rollout, &of.settings.rollout, source.now_ms);
        let (state, now_s) = (rollout.state.load(), now_ms / 1000);
        let facts = of.facts(state, now_ms);
        let share = settings.rules.share(state);
        let step_ms = state.step().map(|_| (state.at_s + settings.rules.every_s) * 1000);
        let outcome = rollout.outcome().and_then(|outcome| {
            let at_ms = source.wall_ms(rollout.outcome_ms.load(Relaxed))?;
            Some((outcome, at_ms, rollout.outcome_reason.load()))
        });
        let begins = matches!(state.phase, Phase::Idle | Phase::ByHand { .. });
        Some(Rollout {
            state,
            steps: settings.rules.steps(),
            pools: [state.from, state.to].map(|pool| if pool.is_known() { of.name(pool) } else { String::new() }),
            release: if state.to.is_known() { of.release(state.to) } else { String::new() },
            share: share.map(|(pool, share)| (of.name(pool), share)),
            since_ms: (!begins).then(|| source.wall_ms(state.at_s * 1000)).flatten(),
            next_ms: step_ms.and_then(|ms| source.wall_ms(ms)),
            holds: holds(&of, state, now_s, &facts),
            dry_run: settings.rules.rollback == Rollback::DryRun,
            compared: if share.is_some() { of.compared(state, now_s) } else { Vec::new() },
            slow_ms: Some(rollout.slow_ms.load(Relaxed)).filter(|ms| *ms > 0),
            attempts: [facts.to.attempts, facts.from.attempts],
            detectable: told(&of, state, now_s, facts.to.attempts, facts.from.attempts),
            last: outcome,
            outcomes: rollout.outcomes.each_ref().map(|count| count.load(Relaxed)),
            first_attempts: rollout
                .first_attempts
                .each_ref()
                .map(|at| [&at.answered, &at.failed].map(|n| n.load(Relaxed))),
            told: TOLD.map(|kind| {
                let incident = of.shared.incident(kind);
                [&incident.fired, &incident.held_back].map(|count| count.load(Relaxed))
            }),
            probes: probes(&of, source),
            releases: releases(&of, source),
        })
    }

    /// Whether it is in the phase of this name.
    pub fn is_in(&self, phase: &str) -> bool {
        self.state.phase.name() == phase
    }
}

fn holds(of: &RolloutOf<'_>, state: State, now_s: u64, facts: &Facts) -> Option<String> {
    let rules = &of.settings.rollout.rules;
    let text = match state.phase {
        Phase::Step(_) => state.waits(rules, facts, now_s)?.text(rules),
        Phase::Probing => "the new pool has to pass its probes".into(),
        Phase::Held { worse: true, .. } => "the new pool is worse".into(),
        Phase::Held { worse: false, .. } => "held by hand".into(),
        Phase::ByHand { .. } => "set by hand".into(),
        Phase::Suspect(_) => "the old pool has to pass its probes".into(),
        Phase::Idle | Phase::Guard(_) | Phase::Comparing(_) => return None,
    };
    Some(text)
}

/// What a step would tell with the traffic that it has had so far.
fn told(of: &RolloutOf<'_>, state: State, now_s: u64, new: Attempts, old: Attempts) -> Option<f64> {
    let rules = &of.settings.rollout.rules;
    let (_, share) = rules.share(state)?;
    let began_s = of.began_s(state);
    let lasted_s = now_s.saturating_sub(began_s);
    if lasted_s == 0 || part(lasted_s) > 1 {
        return None;
    }
    let in_a_step = (new.requests + old.requests) as f64 * rules.every_s as f64 / lasted_s as f64;
    detectable(
        in_a_step,
        f64::from(share) / 10_000.0,
        old.rate(Measure::Errors),
        rules.needed(state, began_s, now_s)[0],
    )
}

fn releases(of: &RolloutOf<'_>, source: &Source<'_>) -> Vec<Release> {
    let release = |number: usize| {
        let release: &ReleaseBoard = of.rollout.seen.at(number);
        Release {
            name: release.name.load(),
            pool: of.name(release.pool_now(of.shared)),
            first_seen_ms: source.wall_ms(release.first_seen_ms.load(Relaxed)),
            last_seen_ms: source.wall_ms(release.last_seen_ms.load(Relaxed)),
            figures: release.figures(),
            p95_ms: of.rollout.latencies[number].p95_ms(),
            outcome: Outcome::of_number(release.outcome.load(Relaxed)),
        }
    };
    of.rollout.seen.numbers().map(release).collect()
}

fn probes(of: &RolloutOf<'_>, source: &Source<'_>) -> Vec<(String, Vec<Probe>)> {
    if of.settings.rollout.probe.is_none() {
        return Vec::new();
    }
    let probe = |address: &String| {
        let probed = of.rollout.probes_of(of.shared, std::slice::from_ref(address)).next()?;
        let streak = probed.streak.load();
        Some(Probe {
            address: address.clone(),
            up: streak.up,
            streak: streak.length,
            status: Some(probed.status.load(Relaxed)).filter(|status| *status > 0),
            took_ms: probed.took_ms.load(Relaxed),
            release: probed.release.load(),
            at_ms: source.wall_ms(streak.at_ms),
            error: probed.error.load(),
        })
    };
    let pools = of.settings.pools.iter().zip(of.plan.pools(of.number));
    pools
        .map(|((name, _), pool): (_, &PoolId)| (name.clone(), of.addresses(*pool).iter().filter_map(probe).collect()))
        .collect()
}

impl Json for Rollout {
    fn write(&self, json: &mut Vec<u8>) {
        let [from, to] = &self.pools;
        let measure = |measure: Measure| self.compared.iter().find(|compared| compared.measure == measure);
        object!(json, {
            "phase": Plain(self.state.phase.name()),
            "from": Known(from),
            "to": Known(to),
            "release": Known(&self.release),
            "share": self.share.as_ref().map_or(0.0, |(_, share)| f64::from(*share) / 100.0),
            "step": self.state.step().map(u64::from),
            "steps": u64::from(self.steps),
            "since": self.since_ms.map(Time),
            "next_at": self.next_ms.map(Time),
            "holds": self.holds.as_deref(),
            "dry_run": self.dry_run,
            "compare": Object(|| {
                let errors = measure(Measure::Errors).map(|compared| ("errors", Comparison(compared, self)));
                let latency = measure(Measure::Latency).map(|compared| ("latency", Comparison(compared, self)));
                errors.into_iter().chain(latency)
            }),
            "pools": Object(|| self.compared_pools().map(|(pool, at)| (pool, Figures(at)))),
            "detectable": self.detectable,
            "last": self.last.as_ref().map(Last),
        });
    }
}

impl Rollout {
    /// The two pools by name, with their first attempts; none while nothing is compared.
    fn compared_pools(&self) -> impl Iterator<Item = (&str, &Attempts)> {
        let [from, to] = &self.pools;
        let [of_new, of_old] = &self.attempts;
        let pools = [(to.as_str(), of_new), (from.as_str(), of_old)];
        pools.into_iter().filter(|(name, _)| !name.is_empty() && !self.compared.is_empty())
    }
}

struct Comparison<'a>(&'a Compared, &'a Rollout);

impl Json for Comparison<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        let Comparison(compared, rollout) = self;
        let [from, to] = &rollout.pools;
        let [new, old] = compared.evidence;
        let slow_ms = rollout.slow_ms.filter(|_| compared.measure == Measure::Latency);
        object!(json, {
            "evidence": new.value,
            "needed": compared.needed[0],
            "votes": Object(|| [(to.as_str(), u64::from(new.votes)), (from.as_str(), u64::from(old.votes))].into_iter()),
            "slow_ms": slow_ms,
        });
    }
}

struct Figures<'a>(&'a Attempts);

impl Json for Figures<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "requests": self.0.requests,
            "failed": self.0.failed,
            "slow": self.0.slow,
        });
    }
}

struct Last<'a>(&'a (Outcome, u64, String));

impl Json for Last<'_> {
    fn write(&self, json: &mut Vec<u8>) {
        let (outcome, at_ms, reason) = self.0;
        object!(json, {
            "outcome": Plain(outcome.name()),
            "at": Time(*at_ms),
            "reason": reason.as_str(),
        });
    }
}

impl Json for Release {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "release": self.name.as_str(),
            "pool": self.pool.as_str(),
            "first_seen": self.first_seen_ms.map(Time),
            "last_seen": self.last_seen_ms.map(Time),
            "requests": self.figures[0],
            "failed": self.figures[1],
            "p95_ms": self.p95_ms,
            "outcome": self.outcome.map(|outcome| Plain(outcome.name())),
        });
    }
}

impl Json for Probe {
    fn write(&self, json: &mut Vec<u8>) {
        object!(json, {
            "up": self.up,
            "streak": u64::from(self.streak),
            "status": self.status,
            "ms": self.took_ms,
            "release": Known(&self.release),
            "at": self.at_ms.map(Time),
            "error": Known(&self.error),
        });
    }
}
