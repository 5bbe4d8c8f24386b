//! What the pilot decides, done: the share, the active pool, the votes, and what is told.

use std::sync::atomic::Ordering::Relaxed;

use crate::board::facts::RolloutOf;
use crate::board::outbox::Delivery;
use crate::board::rollout::Outcome;
use crate::board::settled::{Settled, unsettled};
use crate::deliver::recipients::sinks_for;
use crate::detect::judge::label;
use crate::model::alert::{Alert, Kind, LINE_END, PoolLabel, WindowFigures};
use crate::model::ids::PoolId;
use crate::rollout::pilot::{Aborted, Act, Facts};
use crate::rollout::share::{Share, edge, salt};
use crate::rollout::state::{Phase, State};

/// Everything that acts on the rollout of one monitor.
pub(crate) struct Steer<'a> {
    pub(crate) of: RolloutOf<'a>,
}

impl Steer<'_> {
    /// One look of the worker that leads: banks the votes, lets the pilot decide, and does it. Returns what is said of it
    /// in the error log; empty where nothing happened. `is_quiet` says that nobody else is at it at this instant.
    pub(crate) fn look(&self, now_ms: u64, is_quiet: impl Fn() -> bool) -> String {
        let rollout = self.of.rollout;
        if !rollout.is_settled() {
            self.see_through(now_ms, is_quiet);
            return String::new();
        }
        for pool in self.of.plan.pools(self.of.number) {
            rollout.see(self.of.shared, *pool, &self.of.release(*pool), now_ms);
        }
        let state = rollout.state.load();
        if state == State::default() && rollout.share.load() == Share::default() {
            return String::new();
        }
        rollout.ballots.iter().for_each(|ballot| ballot.bank());
        let facts = self.of.facts(state, now_ms);
        let (next, act) = state.step_on(&self.of.settings.rollout.rules, &facts, now_ms / 1000);
        rollout.dropped.store(self.of.board.workers().dropped(), Relaxed);
        self.go_over(state, next, act, &facts, now_ms).unwrap_or_default()
    }

    /// Takes back what was decided by a worker that was killed before it told, so that the next look decides anew. Where it had
    /// moved traffic already, that stands, and is told as a change of the active pool.
    fn see_through(&self, now_ms: u64, is_quiet: impl Fn() -> bool) {
        let RolloutOf { shared, rollout, settings, board, .. } = self.of;
        let since_ms = rollout.settled_ms();
        let Some((before, state)) = unsettled(|| rollout.state.load(), || rollout.settled(), is_quiet) else { return };
        let is_about_it = |alert: Alert| matches!(alert.kind, Kind::Rollout | Kind::Rollback | Kind::Comparison);
        let is_told = board.outbox().alerts_since(&settings.name, since_ms).any(is_about_it);
        let has_moved = before.to.is_known() && before.active() != shared.active();
        if is_told {
            self.settle_active(now_ms);
        }
        let stands = is_told || has_moved;
        self.keep_share(if stands { state } else { before }, now_ms);
        if stands {
            rollout.settle(state, now_ms);
        } else {
            rollout.state.replace(state, before);
        }
    }

    fn settle_active(&self, now_ms: u64) {
        let shared = self.of.shared;
        shared.active_settled.store(Settled { pool: shared.active(), at_ms: now_ms });
    }

    /// Goes over to the next state and does what belongs to it; `None` where somebody else has decided meanwhile.
    pub(crate) fn go_over(
        &self,
        state: State,
        next: State,
        act: Option<Act>,
        facts: &Facts,
        now_ms: u64,
    ) -> Option<String> {
        let rollout = self.of.rollout;
        if !rollout.state.replace(state, next) {
            return None;
        }
        let is_by_hand = |state: State| matches!(state.phase, Phase::ByHand { .. });
        if is_by_hand(next) && (!is_by_hand(state) || state.to != next.to) {
            self.begin(now_ms);
        }
        // A command can begin what the pilot's acts are about: then they are about the new state.
        let about = if state.to.is_known() { state } else { next };
        let log = act.map(|act| self.carry_out(act, about, next, facts, now_ms)).unwrap_or_default();
        self.keep_share(next, now_ms);
        if act.is_some() || next != state {
            rollout.settle(next, now_ms);
        }
        Some(log)
    }

    /// Notes when a share began, and above what time an answer is slow from now on.
    fn begin(&self, now_ms: u64) {
        let RolloutOf { board, shared, rollout, settings, .. } = self.of;
        let window = board.window(shared);
        let percentile = settings.rollout.compare_latency.and_then(|at| window?.percentiles([at]));
        rollout.begun_ms.store(now_ms, Relaxed);
        rollout.slow_ms.store(percentile.map_or(0, |[ms]| u64::from(ms).max(1)), Relaxed);
    }

    /// Sees to it that the share and the votes are those of a state.
    fn keep_share(&self, state: State, now_ms: u64) {
        let rollout = self.of.rollout;
        let Some((pool, hundredths)) = self.of.settings.rollout.rules.share(state) else {
            if rollout.share.load() != Share::default() {
                rollout.share.store(Share::default());
                rollout.begin_votes(0, 0);
            }
            return;
        };
        let term = State::term(self.of.began_s(state), now_ms / 1000);
        let (edge, tally) = (edge(hundredths), rollout.ballots[0].tally());
        if (tally.term, tally.edge) != (term, edge) || rollout.share.load().pool != pool {
            // The salt first: whoever sees the share sees it as well.
            let salt = salt(&self.of.settings.name, &self.of.name(pool), &self.of.release(state.to));
            if rollout.share.load().pool != pool {
                rollout.salt.store(salt.into(), Relaxed);
            }
            rollout.begin_votes(term, edge);
        }
        rollout.share.store(Share::new(pool, hundredths, now_ms));
    }

    fn carry_out(&self, act: Act, state: State, next: State, facts: &Facts, now_ms: u64) -> String {
        let RolloutOf { shared, rollout, settings, .. } = self.of;
        // Before anything moves, while the figures are those that it was decided by.
        let told = self.told(act, state, facts, now_ms);
        let (from, to) = (state.from, state.to);
        let leave = |pool: PoolId| {
            rollout.left_release.store(self.of.release(pool).as_bytes());
            rollout.left_pool.store(pool);
            rollout.left_until_ms.store(now_ms + settings.rollout.cooldown_ms, Relaxed);
        };
        let text = told.as_ref().map_or_else(|| self.line(act, next), |told| told.headline());
        if let Some(outcome) = outcome(act) {
            let release = rollout.seen.of(shared, to);
            release.into_iter().for_each(|release| release.outcome.store(outcome as u64, Relaxed));
            rollout.end(outcome, &text, now_ms);
        }
        let mut moves_to = None;
        match act {
            Act::Begin => {
                self.begin(now_ms);
                self.remember_releases(from, to);
            }
            Act::Anew => self.remember_releases(from, to),
            Act::Switch => {
                self.remember_releases(from, to);
                moves_to = Some(to);
            }
            Act::Abort(Aborted::ByHand | Aborted::Unattended) => (),
            Act::Abort(_) => leave(to),
            Act::RollBack(_) => {
                leave(to);
                rollout.hands_off_until_ms.store(now_ms + settings.rollout.cooldown_ms, Relaxed);
                moves_to = Some(from);
            }
            Act::RollBackByHand => moves_to = Some(rollout.before(shared)),
            _ => (),
        }
        // Last, and right before it is told: up to here, a worker that is killed leaves nothing that cannot be done again.
        if let Some(before) = moves_to.and_then(|pool| shared.switch(pool, now_ms)) {
            rollout.remember_before(before, now_ms);
        }
        if let Some(told) = told {
            self.publish(told, state, facts, now_ms);
        }
        if moves_to.is_some() {
            self.settle_active(now_ms);
        }
        format!("{text} (monitor \"{}\")", settings.name)
    }

    /// What is about these releases from now on.
    fn remember_releases(&self, from: PoolId, to: PoolId) {
        for (cell, pool) in self.of.rollout.releases.iter().zip([from, to]) {
            cell.store(self.of.release(pool).as_bytes());
        }
    }

    /// What is said in the error log alone.
    fn line(&self, act: Act, next: State) -> String {
        let (from, to) = (self.of.name(next.from), self.of.name(next.to));
        match act {
            Act::Advance => {
                let share = self.of.settings.rollout.rules.share(next).map_or(0, |(_, share)| share);
                format!("Rollout goes on — {to} has {}", super::words::percent(share))
            }
            Act::Anew => format!("Rollout begins its step anew — {to} or {from} has another release"),
            Act::Suspect => format!("A rule is broken since {to} has all traffic; asking whether {from} would answer"),
            Act::Compare => format!("Comparing {to} with {from}, which gets 20 % of the clients for a minute at most"),
            Act::Done => "The guard of the rollout is over".into(),
            Act::Cancel => "The rollout is cancelled: the active pool is set".into(),
            _ => "The share set by hand is over".into(),
        }
    }

    fn publish(&self, told: super::words::Told, state: State, facts: &Facts, now_ms: u64) {
        let RolloutOf { shared, configuration, settings, board, plan, number, .. } = self.of;
        let counts = board.window(shared).map(|window| window.counts()).unwrap_or_default();
        // A pool that takes over has perhaps answered nothing but probes.
        let label_of = |pool: PoolId| PoolLabel { release: self.of.release(pool), ..label(shared, pool) };
        let alert = Alert {
            monitor: settings.name.clone(),
            instance: configuration.instance.clone(),
            from: label_of(state.from),
            to: label_of(state.to),
            window: WindowFigures::new(settings.window, counts),
            retries_absorbed: told.users[0],
            errors_reached_users: told.users[1],
            story: told.story,
            ..Alert::info(told.kind, now_ms)
        };
        let incident = shared.incident(alert.kind);
        let (counter, delivery) = match facts.maintenance {
            true => (&incident.held_back, Delivery::HeldBack),
            false => (&incident.fired, Delivery::Pending),
        };
        counter.fetch_add(1, Relaxed);
        board.outbox().publish(&alert, &sinks_for(plan, configuration, number, alert.kind), delivery);
    }
}

/// How a rollout has ended that ends with this act.
fn outcome(act: Act) -> Option<Outcome> {
    Some(match act {
        Act::Switch => Outcome::Done,
        Act::Fail => Outcome::Failed,
        Act::Abort(Aborted::ByHand) | Act::Cancel => Outcome::Cancelled,
        Act::Abort(_) => Outcome::Aborted,
        Act::Keep(_) => Outcome::NotRolledBack,
        Act::RollBack(_) | Act::RollBackByHand => Outcome::RolledBack,
        _ => return None,
    })
}

impl super::words::Told {
    /// The first line without its symbol.
    fn headline(&self) -> String {
        let line = self.story.split(LINE_END).next().unwrap_or_default();
        line.split_once(": ").map_or(line, |(_, sentence)| sentence).into()
    }
}
