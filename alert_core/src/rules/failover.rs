//! Which pool serves, decided from the stream of answers. A pure function of state, observation and time.
//!
//! Counting answers in a row, and not errors, is what tells a dead primary from a hiccup: a pool has taken over when it
//! has answered `confirm` requests since the serving one last answered, and the serving one failed in between. A failure
//! moves nothing, since a 5xx from a pool is no sign that it serves. The way back asks for more (answers in a row, over
//! some seconds), so that a primary that nginx merely probes does not ring twice.
//!
//! Each worker judges its own requests a moment after they end, so observations come a little out of order, and nginx's
//! clock has ticks of a millisecond. Therefore an answer of a candidate counts only from the millisecond after the serving
//! pool's last one, and a candidate that has answered enough is only *confirmed*: it takes over once nobody can have an earlier
//! answer of the serving pool any more, which would have interrupted its row.

use crate::base::word::Word;
use crate::model::ids::{PoolId, PoolSet};

/// Answers in a row after which a pool serves although no failure of the other was seen.
pub const UNEXPLAINED_ANSWERS: u32 = 20;
/// Answers in a row of the active pool after which traffic is back.
pub const FAILBACK_ANSWERS: u32 = 10;
/// Time over which these answers must be spread, in milliseconds.
pub const FAILBACK_MS: u64 = 2000;

/// What one request says about who serves.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// The pool of the last attempt.
    pub last: PoolId,
    /// Whether that attempt answered, that is, did not fail.
    pub answered: bool,
    /// The pools of failed attempts.
    pub failed: PoolSet,
    /// When the request ended, in milliseconds since the Unix epoch.
    pub time_ms: u64,
}

/// What the decision goes by.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The pool that should serve, as far as it is known.
    pub active: PoolId,
    /// Answers in a row that confirm a failover.
    pub confirm: u32,
}

/// A pool's last answer lies at most this far behind a request that another worker saw, in milliseconds. What seems to
/// lie further in the future is from before the clock was set back.
pub const DISORDER_MS: u64 = 10_000;

/// Who serves and who may be about to, packed into one word of shared memory. Zero is the state before any answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The pool that serves.
    pub serving: PoolId,
    /// The pool that has been answering since the serving one last did.
    candidate: PoolId,
    /// How many requests in a row the candidate answered; saturates.
    streak: u8,
    /// When that row began, in milliseconds since the Unix epoch.
    streak_since_ms: u64,
    /// Whether the serving pool failed an attempt since it last answered.
    pub failure_seen: bool,
    /// Whether the candidate has answered enough to take over.
    pub confirmed: bool,
}

/// Traffic moved from one pool to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// The pool that served.
    pub from: PoolId,
    /// The pool that serves now.
    pub to: PoolId,
    /// Whether the old pool was seen failing.
    pub failure_seen: bool,
}

const TIME_BITS: u32 = 42;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;

impl Word for State {
    #[inline]
    fn to_word(self) -> u64 {
        (self.streak_since_ms & TIME_MASK)
            | (u64::from(self.streak) << TIME_BITS)
            | (u64::from(self.candidate.get()) << (TIME_BITS + 8))
            | (u64::from(self.serving.get()) << (TIME_BITS + 13))
            | (u64::from(self.failure_seen) << (TIME_BITS + 18))
            | (u64::from(self.confirmed) << (TIME_BITS + 19))
    }

    #[inline]
    fn from_word(word: u64) -> State {
        State {
            serving: PoolId::new(((word >> (TIME_BITS + 13)) & 0x1f) as u8),
            candidate: PoolId::new(((word >> (TIME_BITS + 8)) & 0x1f) as u8),
            streak: (word >> TIME_BITS) as u8,
            streak_since_ms: word & TIME_MASK,
            failure_seen: word >> (TIME_BITS + 18) & 1 != 0,
            confirmed: word >> (TIME_BITS + 19) & 1 != 0,
        }
    }
}

impl State {
    /// The state in which `pool` serves and nothing else is known.
    pub fn serving(pool: PoolId) -> State {
        State { serving: pool, ..State::default() }
    }

    /// Whether this word is the state in which `pool` serves and no candidate is in sight, which an answer of that pool
    /// leaves as it is: by far the most frequent case.
    #[inline]
    pub fn is_steady(word: u64, pool: PoolId) -> bool {
        pool.is_known() && word == u64::from(pool.get()) << (TIME_BITS + 13)
    }

    /// When the candidate's row of answers began, in milliseconds since the Unix epoch; zero where there is no candidate.
    pub fn row_since_ms(self) -> u64 {
        self.streak_since_ms
    }

    /// The state after a request. `served_ms` is when the serving pool last answered, as far as any worker knows.
    pub fn step(self, seen: &Observation, rules: &Rules, served_ms: u64) -> State {
        let mut next = self;
        if !next.serving.is_known() {
            next.serving = if rules.active.is_known() {
                rules.active
            } else if seen.answered {
                seen.last
            } else {
                return self;
            };
        }
        let serving_answered = seen.answered && seen.last == next.serving;
        if serving_answered && next.candidate.is_known() && seen.time_ms & TIME_MASK < next.streak_since_ms {
            // It ended before the candidate's row began, and comes late from another worker.
            return next;
        }
        let served_since = seen.time_ms <= served_ms && served_ms <= seen.time_ms + DISORDER_MS;
        if seen.failed.contains(next.serving) {
            next.failure_seen = true;
        }
        if !seen.last.is_known() {
            return next;
        }
        if serving_answered {
            next.failure_seen = false;
            next.forget_candidate();
        } else if !seen.answered {
            if seen.last == next.candidate {
                next.forget_candidate();
            }
        } else if served_since {
            // The serving pool has answered after this, or in the same millisecond.
        } else if seen.last == next.candidate {
            next.streak = next.streak.saturating_add(1);
            next.streak_since_ms = next.streak_since_ms.min(seen.time_ms & TIME_MASK);
            next.confirmed |= next.candidate_took_over(seen.time_ms, rules);
        } else {
            next.candidate = seen.last;
            next.streak = 1;
            next.streak_since_ms = seen.time_ms & TIME_MASK;
            next.confirmed = next.candidate_took_over(seen.time_ms, rules);
        }
        next
    }

    /// The state after the confirmed candidate took over, and the move; `None` where no candidate is confirmed.
    pub fn take_over(self) -> Option<(State, Move)> {
        let moved = Move { from: self.serving, to: self.candidate, failure_seen: self.failure_seen };
        self.confirmed.then(|| (State::serving(self.candidate), moved))
    }

    fn forget_candidate(&mut self) {
        self.candidate = PoolId::NONE;
        self.streak = 0;
        self.streak_since_ms = 0;
        self.confirmed = false;
    }

    fn candidate_took_over(&self, now_ms: u64, rules: &Rules) -> bool {
        let streak = u32::from(self.streak);
        if self.candidate == rules.active {
            let lasted = (now_ms & TIME_MASK).saturating_sub(self.streak_since_ms);
            return streak >= FAILBACK_ANSWERS && lasted >= FAILBACK_MS;
        }
        streak >= if self.failure_seen { rules.confirm } else { UNEXPLAINED_ANSWERS }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLUE: PoolId = PoolId::new(1);
    const GREEN: PoolId = PoolId::new(2);
    const RULES: Rules = Rules { active: BLUE, confirm: 2 };

    /// Feeds requests, each the list of its attempts as (pool, answered), `step_ms` apart.
    fn run(rules: &Rules, state: &mut State, requests: &[&[(PoolId, bool)]], step_ms: u64) -> Vec<Move> {
        let mut now = state.streak_since_ms.max(1_790_000_000_000);
        let mut moves = Vec::new();
        let mut last_answers = [0; 32];
        for attempts in requests {
            now += step_ms;
            let mut failed = PoolSet::EMPTY;
            attempts.iter().filter(|(_, answered)| !answered).for_each(|(pool, _)| failed.insert(*pool));
            let (last, answered) = *attempts.last().expect("an attempt");
            let served_ms = last_answers[state.serving.get() as usize];
            if answered {
                last_answers[last.get() as usize] = now;
            }
            let next = state.step(&Observation { last, answered, failed, time_ms: now }, rules, served_ms);
            assert_eq!(State::from_word(next.to_word()), next);
            *state = next;
            if let Some((next, moved)) = next.take_over() {
                *state = next;
                moves.push(moved);
            }
        }
        moves
    }

    const BLUE_OK: &[(PoolId, bool)] = &[(BLUE, true)];
    const BLUE_DOWN: &[(PoolId, bool)] = &[(BLUE, false)];
    const GREEN_OK: &[(PoolId, bool)] = &[(GREEN, true)];
    const RETRIED: &[(PoolId, bool)] = &[(BLUE, false), (GREEN, true)];
    const UNKNOWN_OK: &[(PoolId, bool)] = &[(PoolId::NONE, true)];
    const BOTH_DOWN: &[(PoolId, bool)] = &[(BLUE, false), (GREEN, false)];

    #[test]
    fn a_steady_state_is_left_as_it_is_by_its_pool() {
        let mut state = State::default();
        run(&RULES, &mut state, &[BLUE_OK], 10);
        let word = state.to_word();
        assert!(State::is_steady(word, BLUE) && !State::is_steady(word, GREEN) && !State::is_steady(0, PoolId::NONE));
        run(&RULES, &mut state, &[BLUE_OK; 3], 10);
        assert_eq!(state.to_word(), word);
        for disturbed in [RETRIED, GREEN_OK, BLUE_DOWN] {
            let mut state = State::from_word(word);
            run(&RULES, &mut state, &[disturbed], 10);
            assert!(!State::is_steady(state.to_word(), BLUE));
        }
    }

    #[test]
    fn a_dead_primary_is_reported_at_the_second_request() {
        let mut state = State::default();
        assert_eq!(run(&RULES, &mut state, &[BLUE_OK, RETRIED], 10), []);
        assert_eq!(run(&RULES, &mut state, &[RETRIED], 10), [Move { from: BLUE, to: GREEN, failure_seen: true }]);
        assert_eq!(run(&RULES, &mut state, &[GREEN_OK, RETRIED, GREEN_OK], 10), []);
    }

    #[test]
    fn a_hiccup_of_a_primary_that_goes_on_answering_is_silent() {
        let mut state = State::default();
        assert_eq!(run(&RULES, &mut state, &[BLUE_OK, RETRIED, BLUE_OK, RETRIED, BLUE_OK, RETRIED], 10), []);
    }

    #[test]
    fn a_failure_moves_nothing() {
        let mut state = State::default();
        assert_eq!(run(&RULES, &mut state, &[BLUE_OK, RETRIED, RETRIED], 10).len(), 1);
        assert_eq!(run(&RULES, &mut state, &[BLUE_DOWN; 50], 1000), []);
        assert_eq!(run(&RULES, &mut state, &[BOTH_DOWN; 50], 1000), []);
        assert_eq!(state.serving, GREEN);
    }

    #[test]
    fn without_a_failure_twenty_answers_are_needed() {
        let mut state = State::default();
        assert_eq!(run(&RULES, &mut state, &[GREEN_OK; 19], 10), []);
        assert_eq!(run(&RULES, &mut state, &[GREEN_OK], 10), [Move { from: BLUE, to: GREEN, failure_seen: false }]);
    }

    #[test]
    fn the_way_back_needs_ten_answers_in_a_row_over_two_seconds() {
        let failed_over = State::serving(GREEN);
        let mut state = failed_over;
        assert_eq!(run(&RULES, &mut state, &[BLUE_OK; 50], 10), [], "too fast");
        let mut state = failed_over;
        assert_eq!(run(&RULES, &mut state, &[BLUE_OK; 9], 1000), [], "too few");
        let mut state = failed_over;
        let interrupted = [&[BLUE_OK; 9][..], &[GREEN_OK], &[BLUE_OK; 9]].concat();
        assert_eq!(run(&RULES, &mut state, &interrupted, 1000), [], "not in a row");
        let mut state = failed_over;
        let failing = [&[BLUE_OK; 9][..], &[BLUE_DOWN], &[BLUE_OK; 9]].concat();
        assert_eq!(run(&RULES, &mut state, &failing, 1000), [], "not successes in a row");
        let mut state = failed_over;
        assert_eq!(
            run(&RULES, &mut state, &[BLUE_OK; 10], 1000),
            [Move { from: GREEN, to: BLUE, failure_seen: false }]
        );
    }

    #[test]
    fn the_first_pool_seen_serving_serves_where_none_is_set() {
        let rules = Rules { active: PoolId::NONE, confirm: 2 };
        let mut state = State::default();
        run(&rules, &mut state, &[BLUE_DOWN, GREEN_OK], 10);
        assert_eq!(state.serving, GREEN);
    }

    #[test]
    fn an_unknown_pool_neither_takes_over_nor_interrupts() {
        let mut state = State::default();
        assert_eq!(run(&RULES, &mut state, &[UNKNOWN_OK; 50], 100), []);
        assert_eq!(state.serving, BLUE);
        let mixed = [RETRIED, UNKNOWN_OK, RETRIED];
        assert_eq!(run(&RULES, &mut state, &mixed, 100).len(), 1);
    }

    #[test]
    fn workers_that_disagree_give_one_move() {
        // One worker has given blue up, the other still gets answers from it, then gives it up too.
        let mut state = State::default();
        let mut requests = Vec::new();
        for _ in 0..20 {
            requests.extend([RETRIED, BLUE_OK, GREEN_OK, BLUE_OK]);
        }
        requests.extend([RETRIED, GREEN_OK, GREEN_OK, GREEN_OK]);
        assert_eq!(run(&RULES, &mut state, &requests, 10).len(), 1);
    }

    #[test]
    fn answers_that_come_late_from_another_worker_count_where_they_belong() {
        const T0: u64 = 1_790_000_000_000;
        /// Plays observations as (pool, milliseconds after T0) in the order in which they are judged.
        fn judge(order: &[(PoolId, u64)]) -> State {
            let (mut state, mut served_ms) = (State::serving(BLUE), 0);
            for (pool, ms) in order {
                let mut failed = PoolSet::EMPTY;
                if *pool == GREEN {
                    failed.insert(BLUE);
                } else {
                    served_ms = served_ms.max(T0 + ms);
                }
                let seen = Observation { last: *pool, answered: true, failed, time_ms: T0 + ms };
                state = state.step(&seen, &RULES, served_ms);
            }
            state
        }
        // Green, blue, green: no two answers in a row, in whatever order the workers judge them.
        let (first, between, second) = ((GREEN, 10), (BLUE, 20), (GREEN, 30));
        for order in [
            [first, between, second],
            [first, second, between],
            [between, first, second],
            [between, second, first],
            [second, first, between],
            [second, between, first],
        ] {
            assert!(!judge(&order).confirmed, "{order:?}");
        }
        for tie in [[(GREEN, 10), (BLUE, 10), (GREEN, 11)], [(BLUE, 10), (GREEN, 10), (GREEN, 11)]] {
            assert!(!judge(&tie).confirmed, "{tie:?}");
        }
        // Blue answered before it failed, and that is judged last.
        let state = judge(&[(GREEN, 10), (GREEN, 30), (BLUE, 5)]);
        assert!(state.confirmed && state.failure_seen);
    }

    #[test]
    fn a_clock_that_was_set_back_does_not_blind_it() {
        const T0: u64 = 1_790_000_000_000;
        let mut failed = PoolSet::EMPTY;
        failed.insert(BLUE);
        let mut state = State::serving(BLUE);
        for ms in 0..2 {
            let seen = Observation { last: GREEN, answered: true, failed, time_ms: T0 + ms };
            state = state.step(&seen, &RULES, T0 + 3_600_000);
        }
        assert!(state.confirmed);
    }
}
