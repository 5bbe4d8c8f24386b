//! What came from a file, field by field: what cannot have happened is left out, so that nobody is shown it and nothing is
//! decided by it.
//!
//! Whoever can write the file can also compute its checksum. The state machines themselves cope with any state.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::cell::Packed;
use super::maintenance::Order;
use super::monitor::MonitorBoard;
use super::releases::ReleaseBoard;
use super::rollout::RolloutBoard;
use super::settled::Settled;
use super::sink::SinkTable;
use super::window::Sample;
use crate::base::word::Word;
use crate::board::alert::AlertCell;
use crate::board::history::Point;
use crate::model::alert::Kind;
use crate::model::ids::PoolId;
use crate::rollout::share::Share;
use crate::rollout::state::{Phase, State};
use crate::rules::throttle::Throttle;
use crate::rules::{failover, flapping, outage};

/// No nginx counts so far, and sums of such counters stay within their type and are whole numbers to every reader of JSON.
const COUNT_MAX: u64 = 1 << 44;
/// What is promised for later is promised for a year at most, in milliseconds: maintenance lasts no longer.
const AHEAD_MAX_MS: u64 = 366 * 86_400_000;
/// A request can end while a state is taken, and its time is cut.
const SLACK_MS: u64 = 60_000;
/// No nginx answers so many requests in a step of the last hour.
const REQUESTS_MAX: u32 = 1 << 26;

/// What is left out of a state.
pub(super) struct Check {
    /// The time, by the clock of the board.
    now_ms: u64,
    left_out: Cell<usize>,
}

impl Check {
    pub(super) fn new(now_ms: u64) -> Check {
        Check { now_ms, left_out: Cell::new(0) }
    }

    /// How many fields were left out so far.
    pub(super) fn left_out(&self) -> usize {
        self.left_out.get()
    }

    fn leave_out(&self) {
        self.left_out.set(self.left_out.get() + 1);
    }

    /// A counter.
    pub(super) fn count(&self, cell: &AtomicU64) {
        if cell.load(Relaxed) > COUNT_MAX {
            cell.store(0, Relaxed);
            self.leave_out();
        }
    }

    /// The time of something that has happened.
    fn past(&self, cell: &AtomicU64) {
        self.past_or(cell, 0);
    }

    fn past_or(&self, cell: &AtomicU64, otherwise: u64) {
        if cell.load(Relaxed) > self.now_ms {
            cell.store(otherwise, Relaxed);
            self.leave_out();
        }
    }

    /// The time of something that may still come.
    fn soon(&self, cell: &AtomicU64) {
        if cell.load(Relaxed) > self.now_ms + AHEAD_MAX_MS {
            cell.store(0, Relaxed);
            self.leave_out();
        }
    }

    /// Whatever is packed into a word.
    fn packed<T: Word + Copy>(&self, cell: &Packed<T>, is_sane: impl Fn(T) -> bool, otherwise: impl Fn(T) -> T) {
        let found = cell.load();
        if !is_sane(found) {
            cell.store(otherwise(found));
            self.leave_out();
        }
    }

    /// Whether an alert can have been decided: its times are past, its counts small, and its window has no more than fits.
    pub(super) fn alert(&self, cell: &AlertCell, id: u64) -> bool {
        let is_sane = cell.read(id).is_some_and(|alert| {
            let window = alert.window;
            let parts = [window.filled, window.failed, window.retried, window.abandoned];
            let counts = [alert.failed_attempts, alert.retries_absorbed, alert.errors_reached_users];
            let figures =
                alert.pools.iter().map(|pool| u64::from(pool.count) > COUNT_MAX || pool.count > pool.requests);
            alert.time_ms <= self.now_ms
                && alert.since_ms <= alert.time_ms
                && parts.iter().all(|part| *part <= window.size)
                && counts.iter().all(|count| *count <= COUNT_MAX)
                && !figures.into_iter().any(|absurd| absurd)
        });
        if !is_sane {
            self.leave_out();
        }
        is_sane
    }

    /// The words of a window without requests that are still to come.
    pub(super) fn window<'a>(&'a self, words: &'a [u64]) -> impl Iterator<Item = u64> + 'a {
        let came = |word: &u64| Sample::of_word(*word).ended_by(self.now_ms + SLACK_MS);
        if !words.iter().all(|word| *word == 0 || came(word)) {
            self.leave_out();
        }
        words.iter().map(move |word| if came(word) { *word } else { 0 })
    }
}

impl MonitorBoard {
    /// Bounds what came from a state that was taken at this time.
    pub(super) fn make_sane(&self, taken_ms: u64, check: &Check) {
        let (now_ms, before) = (check.now_ms, check.left_out());
        let incidents = self.throttles.iter().flat_map(|incident| {
            [
                &incident.failed_attempts_before,
                &incident.retried_before,
                &incident.failed_before,
                &incident.fired,
                &incident.resolved,
                &incident.held_back,
            ]
        });
        let pools = self.pools.iter().flat_map(|pool| pool.counters().chain(&pool.causes_before));
        let peers = self.peers.iter().flat_map(|peer| [&peer.answered, &peer.failed_attempts]);
        let own = [&self.failed, &self.retried, &self.abandoned, &self.unmatched.requests, &self.unmatched.before];
        incidents.chain(pools).chain(peers).chain(own).for_each(|counter| check.count(counter));
        let is_past = |point: &Point| point.requests.max(point.failed).max(point.retried) < REQUESTS_MAX;
        if check.left_out() > before || !self.history.points(self, now_ms).iter().all(is_past) {
            // Plots are differences of counters.
            self.history.forget();
        }
        // A switch in the future would make every request one of the time before it.
        for time in [&self.serving_since_ms, &self.moved_ms] {
            check.past_or(time, now_ms);
        }
        for twin in [&self.serving_settled, &self.active_settled] {
            check.packed(twin, |settled| settled.at_ms <= now_ms, |settled| Settled { at_ms: now_ms, ..settled });
        }
        for incident in &self.throttles {
            check.past_or(&incident.since_ms, now_ms);
            // What was told in the future would hold back everything until then.
            check.packed(&incident.throttle, |throttle| throttle.last_told_ms() <= now_ms, Throttle::told_never);
        }
        self.pools.iter().flat_map(|pool| pool.times()).for_each(|time| check.past(time));
        self.peers.iter().flat_map(|peer| peer.times()).for_each(|time| check.past(time));
        [&self.named_ms, &self.calm_ms].into_iter().for_each(|time| check.past(time));
        self.maintenance.make_sane(check);
        self.examples.make_sane(now_ms);
        if self.is_raised(Kind::Failover) {
            // Other versions do not say.
            self.failed_over_from.replace(PoolId::NONE, self.active());
        }
        // Rows of requests are of that time, and other versions keep them in another way.
        self.change_failover(failover::State::rested);
        // An epoch of another version says nothing of that.
        self.note_steady();
        self.outage.update(outage::State::rested);
        self.begin_split(self.split.stand_in_row());
        if now_ms.abs_diff(taken_ms) >= flapping::SPAN_S * 1000 {
            self.flapping.update(flapping::State::without_moves);
        }
    }
}

impl super::maintenance::MaintenanceBoard {
    fn make_sane(&self, check: &Check) {
        let latest_ms = check.now_ms + AHEAD_MAX_MS;
        let is_sane = |order| !matches!(order, Order::Until(time_ms) if time_ms > latest_ms);
        check.packed(self.ordered_cell(), is_sane, |_| Order::None);
    }
}

impl SinkTable {
    /// Makes a new beginning of what came from a file: nobody delivers, and pauses are over. Whoever restarts nginx wants
    /// to see what waits go out.
    pub(super) fn make_sane(&self, check: &Check) {
        for sink in self.all() {
            sink.start_anew();
            let reach = &sink.reach;
            let counters = [&sink.failures, &sink.sent, &sink.retried, &sink.failed, &sink.left_out];
            counters.into_iter().chain([&reach.resent, &reach.resends_failed]).for_each(|count| check.count(count));
            [&sink.retold_ms, &reach.last_success_ms].into_iter().for_each(|time| check.past(time));
        }
    }
}

impl RolloutBoard {
    /// Bounds what came from a file, and takes it from whoever led it or probed.
    pub(super) fn make_sane(&self, check: &Check) {
        self.start_anew();
        let attempts = self.attempts.iter().flat_map(|at| [&at.requests, &at.arrived, &at.failed, &at.slow]);
        let own = [&self.assigned, &self.dropped, &self.slow_ms];
        let probes = self.probes.iter().flat_map(|probe| [&probe.status, &probe.took_ms]);
        let first = self.first_attempts.iter().flat_map(|first| [&first.answered, &first.failed]);
        attempts.chain(own).chain(&self.outcomes).chain(probes).chain(first).for_each(|count| check.count(count));
        [&self.begun_ms, &self.outcome_ms].into_iter().for_each(|time| check.past(time));
        [&self.left_until_ms, &self.hands_off_until_ms].into_iter().for_each(|time| check.soon(time));
        let latest_ms = check.now_ms + AHEAD_MAX_MS;
        check.packed(&self.share, |share| share.until_ms <= latest_ms, |_| Share::default());
        let is_sane = |state: State| state.phase == Phase::Idle || state.at_s <= latest_ms / 1000;
        check.packed(&self.state, is_sane, |_| State::default());
        check.packed(&self.settled, is_sane, |_| State::default());
        if !(1..=check.now_ms).contains(&self.settled_ms()) {
            // Other versions do not say.
            self.settle(self.state.load(), check.now_ms);
        }
        for seen in self.seen.newest_first() {
            let ReleaseBoard { first_seen_ms, last_seen_ms, .. } = seen;
            [first_seen_ms, last_seen_ms].into_iter().for_each(|time| check.past(time));
            if seen.figures().into_iter().any(|figure| figure > COUNT_MAX) {
                seen.forget_figures();
                check.leave_out();
            }
        }
    }
}
