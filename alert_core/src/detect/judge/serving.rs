//! Who serves: the failover state machine, and what comes of its moves.

use std::sync::atomic::{Ordering::Relaxed, Ordering::Release, Ordering::SeqCst, fence};

use super::Totals;
use super::verdict::Judged;
use crate::board::settled::{Settled, unsettled};
use crate::model::alert::{Alert, Kind};
use crate::model::ids::{PoolId, PoolSet};
use crate::model::success::Success;
use crate::rules::failover::{Move, Observation, Row, Rules, State};
use crate::rules::flapping;
use crate::rules::throttle::Signal;

impl Judged<'_> {
    /// Steps the failover state machine.
    pub(super) fn who_serves(&self, seen: &Observation, confirm: u32, before: Totals) {
        let shared = self.monitor.shared;
        let active = shared.active();
        let (row, stand_in_row) = (shared.split.row(seen.last), shared.split.stand_in_row());
        let usual_row = shared.usual_row.load(Relaxed).try_into().unwrap_or(u32::MAX);
        let (old, new) = shared.change_failover(|old| {
            let mut rules = Rules { active, confirm, served_ms: self.served_ms(old), row, stand_in_row, usual_row };
            let out_of_order = rules.served_ms >= seen.header_ms || old.is_interrupted(&rules);
            if out_of_order && self.judge.is_alone(self.now_ms) {
                // One worker judges in the order in which requests end, whatever the ticks of the clock.
                rules.served_ms = 0;
            }
            old.step(seen, &rules)
        });
        if new == old {
            return;
        }
        if let Some(row) = old.ended_row(&new) {
            shared.usual_row.fetch_max(row.into(), Relaxed);
        }
        if new.confirmed && !old.confirmed {
            self.monitor.confirmed.store(true, Relaxed);
        }
        if !active.is_known() {
            // The first pool seen serving is the one that should. Another worker may have been first.
            shared.active.replace(PoolId::NONE, new.serving);
        }
        if new.serving != old.serving {
            self.settle_serving(new.serving);
        }
        if new.failure_seen && !old.failure_seen {
            // What follows belongs to one incident, if it becomes one.
            let incident = shared.incident(Kind::Failover);
            if !incident.throttle.load().raised {
                incident.begin(seen.began_ms, before, shared.failed_attempts().saturating_sub(1));
            }
        }
    }

    /// Lets the candidate of this row take over, if it still is confirmed and no other worker was faster. Another row that is
    /// confirmed by now has not been waited for: that begins.
    pub(super) fn take_over(&self, row: Option<Row>) -> bool {
        let shared = self.monitor.shared;
        let (old, new) = shared.change_failover(|state| {
            if state.confirmed_row() != row {
                return state;
            }
            let stand_in_row = shared.split.stand_in_row();
            let rules =
                Rules { active: shared.active(), served_ms: self.served_ms(state), stand_in_row, ..Rules::default() };
            if state.confirmed && state.is_interrupted(&rules) && !self.judge.is_alone(self.now_ms) {
                return state.interrupted();
            }
            state.take_over().map_or(state, |(after, _)| after)
        });
        if new.confirmed {
            self.monitor.confirmed.store(true, Relaxed);
        }
        new.serving != old.serving && old.take_over().is_some_and(|(_, moved)| self.moved(&moved, false))
    }

    /// When the serving pool last answered, as far as any worker knows.
    fn served_ms(&self, state: State) -> u64 {
        // Pairs with the fence of who counts an answer of the serving pool.
        fence(SeqCst);
        self.monitor.shared.pool(state.serving).last_seen_ms.load(Relaxed)
    }

    /// Steps the failover state machine by answers of the pool that served a moment ago, where another one has come into sight
    /// since somebody looked.
    pub(super) fn still_serves(&self, run: &[Success]) {
        // Pairs with the fence of who looks when the serving pool last answered: either that sees these answers, or the
        // candidate is seen here.
        fence(SeqCst);
        let (Some(last), Some(confirm)) = (run.last(), self.monitor.settings.failover) else { return };
        let pool = last.origin.pool();
        if self.monitor.shared.is_steady(pool) {
            return;
        }
        for answer in run.iter().filter(|answer| answer.began_ms() > self.monitor.shared.moved_ms.load(Relaxed)) {
            let (began_ms, header_ms) = (answer.began_ms(), answer.header_ms());
            let seen = Observation { last: pool, answered: true, failed: PoolSet::EMPTY, began_ms, header_ms };
            self.who_serves(&seen, confirm, Totals::of(self.monitor.shared));
        }
    }

    /// Traffic moved: says so, unless it does so too often. A worker that was killed may have counted it.
    fn moved(&self, moved: &Move, is_counted: bool) -> bool {
        let shared = self.monitor.shared;
        let back = moved.to == shared.active();
        shared.moved_ms.store(self.now_ms, Release);
        shared.begin_split(if back { 0 } else { moved.row });
        if !back && !moved.failure_seen {
            shared.incident(Kind::Failover).begin(self.now_ms, Totals::of(shared), shared.failed_attempts());
        }
        if !back {
            shared.stand_in.store(moved.to);
            shared.failed_over_from.store(shared.active());
        }
        shared.serving_since_ms.store(self.now_ms, Relaxed);
        let told = self.flapping(|state| if is_counted { state } else { state.moved(!back, self.now_ms) });
        let signal = if back { Signal::Cleared } else { Signal::Raised };
        let told = self.signal(Kind::Failover, signal, Some(moved)) | told;
        self.settle_serving(moved.to);
        told
    }

    fn settle_serving(&self, pool: PoolId) {
        self.monitor.shared.serving_settled.store(Settled { pool, at_ms: self.now_ms });
    }

    /// Sees a move through whose worker was killed before all was told.
    pub(super) fn see_move_through(&self, is_quiet: impl Fn() -> bool) {
        let shared = self.monitor.shared;
        let since_ms = shared.serving_settled.load().at_ms;
        let settled = || shared.serving_settled.load().pool;
        let Some((from, to)) = unsettled(|| shared.serving(), settled, is_quiet) else { return };
        if !from.is_known() {
            shared.active.replace(PoolId::NONE, to);
        }
        let name = shared.pool(to).name.load();
        let says_so = |alert: Alert| alert.kind == Kind::Failover && !alert.reminder && alert.to.name == name;
        let is_of_nobodys_business = self.monitor.settings.failover.is_none() || !from.is_known() || !to.is_known();
        if is_of_nobodys_business || self.alerts_since(since_ms).any(says_so) {
            return self.settle_serving(to);
        }
        let failure_seen = shared.pool(from).failed_since_it_answered();
        let is_counted = shared.flapping.load().away == (to != shared.active());
        self.moved(&Move { from, to, failure_seen, row: shared.split.row(to) }, is_counted);
    }

    /// Changes the flapping state, and tells where that begins or ends: also what a worker was about to tell that was killed.
    pub(super) fn flapping(&self, change: impl Fn(flapping::State) -> flapping::State) -> bool {
        let shared = self.monitor.shared;
        let (_, state) = shared.flapping.update(change);
        let signal = match (state.flapping, shared.is_raised(Kind::Flapping)) {
            (true, false) => Signal::Raised,
            (false, true) => Signal::Cleared,
            _ => Signal::Unchanged,
        };
        self.signal(Kind::Flapping, signal, None)
    }

    /// What time alone says about the failover: it is over when another pool became the active one meanwhile, and is no
    /// longer watched when nobody wants to know, or when its pools are gone.
    pub(super) fn failover_at_rest(&self) -> bool {
        let shared = self.monitor.shared;
        let throttle = shared.incident(Kind::Failover).throttle.load();
        let concerns = throttle.raised || throttle.told;
        let signal =
            if self.monitor.settings.failover.is_none() || (concerns && !shared.failed_over_from.load().is_known()) {
                Signal::Unwatched
            } else if throttle.raised && shared.active().is_known() && !shared.is_failed_over() {
                Signal::Cleared
            } else {
                Signal::Unchanged
            };
        self.signal(Kind::Failover, signal, None)
    }

    /// The same about flapping.
    pub(super) fn flapping_at_rest(&self) -> bool {
        if self.monitor.settings.failover.is_some() {
            return self.flapping(|state| state.tick(self.now_ms));
        }
        self.monitor.shared.flapping.store(flapping::State::default());
        self.signal(Kind::Flapping, Signal::Unwatched, None)
    }
}
