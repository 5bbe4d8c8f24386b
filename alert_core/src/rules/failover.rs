//! Which pool serves, decided from the stream of answers. A pure function of state and observation.
//!
//! Counting answers in a row, and not errors, is what tells a dead primary from a hiccup: a pool has taken over when it
//! has answered `confirm` requests since the serving one last answered, and the serving one failed in between. A failure
//! moves nothing, since a 5xx from a pool is no sign that it serves. The way back asks for more (answers in a row, over
//! some seconds), so that a primary that nginx merely probes does not ring twice.
//!
//! Where both pools serve anyway, some answers in a row are chance: [`chance`] says how many are not.
//! There, answers of the stand-in do not interrupt the way back either, as long as they are as few as chance makes them.
//! Traffic that is spread by a key (`ip_hash`, `hash`) comes in rows that are no chance either, one for each client that sends
//! much at once. So the row must also be twice as long as any before it that ended by itself, and, where no failure explains
//! it, last for some seconds.
//!
//! An answer says who serves as of when its header came. Each worker judges its own requests a moment after they end, so
//! observations come out of order. Therefore an answer of a candidate counts only from the millisecond after the serving
//! pool's last one, and a candidate that has answered enough is only *confirmed*: it takes over once nobody can have an
//! earlier answer of the serving pool any more, which would have interrupted its row.

use crate::base::word::Word;
use crate::model::ids::{PoolId, PoolSet};
use crate::rules::chance;

/// Answers in a row after which a pool serves although no failure of the other was seen.
pub const UNEXPLAINED_ANSWERS: u16 = 20;
/// Answers in a row of the active pool after which traffic is back.
pub const FAILBACK_ANSWERS: u16 = 10;
/// Time over which these answers must be spread, in milliseconds.
pub const FAILBACK_MS: u64 = 2000;
/// The same of an unexplained row where both pools serve anyway: one client sends as many in less.
const UNEXPLAINED_MS: u64 = 2000;
/// Answers in a row that are enough after a failure, however long rows were before.
const EXPLAINED_ANSWERS_MAX: u32 = 200;
/// When something happened in another worker is known to this, in milliseconds: clocks have ticks.
pub const TICK_MS: u64 = 10;
/// An answer that took longer, in milliseconds, is a long poll: begun before its pool failed, it says nothing about now.
const LONG_POLL_MS: u64 = 10_000;

/// What one request says about who serves. All times are those of the board's clock.
#[derive(Clone, Copy, Debug)]
pub struct Observation {
    /// The pool that answered; where none did, the one that failed last.
    pub last: PoolId,
    /// Whether a pool answered.
    pub answered: bool,
    /// The pools of failed attempts.
    pub failed: PoolSet,
    /// When the last attempt began, in milliseconds; earlier ones failed before.
    pub began_ms: u64,
    /// When the header of the answer came, in milliseconds; where there was none, when the request ended.
    pub header_ms: u64,
}

/// What the decision goes by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// The pool that should serve, as far as it is known.
    pub active: PoolId,
    /// Answers in a row that confirm a failover.
    pub confirm: u32,
    /// When the serving pool last answered, as far as any worker knows, in milliseconds.
    pub served_ms: u64,
    /// Answers in a row of the pool seen that are no chance: [`chance::row`].
    pub row: u16,
    /// The same of the serving pool where it stands in for the active one, from when that one served.
    pub stand_in_row: u16,
    /// The longest row of another pool that ended by itself since the serving one serves.
    pub usual_row: u32,
}

/// Who serves and who may be about to, packed into one word of shared memory. Zero is the state before any answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// The pool that serves.
    pub serving: PoolId,
    /// The pool that has been answering since the serving one last did.
    candidate: PoolId,
    /// How many requests in a row the candidate answered; saturates.
    streak: u16,
    /// When that row began.
    since: Instant,
    /// Answers in a row of the candidate that are no chance. Where the candidate is the active pool on its way back: answers
    /// of the serving pool since the candidate's last one.
    row: u16,
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
    /// Answers in a row of the new pool that were no chance; zero where it was sent nothing before.
    pub row: u16,
}

/// A row that is confirmed, to tell it from another one of the same candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    candidate: PoolId,
    since: Instant,
}

/// A time modulo 2³⁰ milliseconds, which is twelve days: enough to say which of two times within six days is earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Instant(u32);

const TIME_BITS: u32 = 30;
const ROW_BITS: u32 = 11;
const ROW_MAX: u16 = (1 << ROW_BITS) - 1;
const POOL_BITS: u32 = 5;
const STREAK_SHIFT: u32 = TIME_BITS;
const ROW_SHIFT: u32 = STREAK_SHIFT + ROW_BITS;
const CANDIDATE_SHIFT: u32 = 50;
/// Here since the first version, so that every version finds on a board who serves.
const SERVING_SHIFT: u32 = CANDIDATE_SHIFT + POOL_BITS;
const FAILURE_SEEN_SHIFT: u32 = SERVING_SHIFT + POOL_BITS;
const CONFIRMED_SHIFT: u32 = FAILURE_SEEN_SHIFT + 1;
/// The bits of the row that have no room before the candidate.
const ROW_HIGH_SHIFT: u32 = CONFIRMED_SHIFT + 1;
const ROW_LOW_BITS: u32 = CANDIDATE_SHIFT - ROW_SHIFT;
/// A row is remembered to have begun at most this long ago, in milliseconds, so that [`Instant`] can tell.
const ROW_AGE_MAX_MS: u32 = 86_400_000;

impl Instant {
    const MASK: u32 = (1 << TIME_BITS) - 1;

    fn at(time_ms: u64) -> Instant {
        Instant(time_ms as u32 & Instant::MASK)
    }

    /// Milliseconds from `self` to `later`; zero where that is earlier.
    fn until(self, later: Instant) -> u32 {
        let span = later.0.wrapping_sub(self.0) & Instant::MASK;
        if span <= Instant::MASK / 2 { span } else { 0 }
    }

    fn is_before(self, other: Instant) -> bool {
        self.until(other) > 0
    }
}

impl Word for State {
    #[inline]
    fn to_word(self) -> u64 {
        u64::from(self.since.0)
            | (u64::from(self.streak) << STREAK_SHIFT)
            | ((u64::from(self.row) & ((1 << ROW_LOW_BITS) - 1)) << ROW_SHIFT)
            | ((u64::from(self.row) >> ROW_LOW_BITS) << ROW_HIGH_SHIFT)
            | (u64::from(self.candidate.get()) << CANDIDATE_SHIFT)
            | (u64::from(self.serving.get()) << SERVING_SHIFT)
            | (u64::from(self.failure_seen) << FAILURE_SEEN_SHIFT)
            | (u64::from(self.confirmed) << CONFIRMED_SHIFT)
    }

    #[inline]
    fn from_word(word: u64) -> State {
        let field = |shift: u32, bits: u32| (word >> shift) & ((1 << bits) - 1);
        State {
            serving: PoolId::new(field(SERVING_SHIFT, POOL_BITS) as u8),
            candidate: PoolId::new(field(CANDIDATE_SHIFT, POOL_BITS) as u8),
            streak: field(STREAK_SHIFT, ROW_BITS) as u16,
            since: Instant(field(0, TIME_BITS) as u32),
            row: (field(ROW_SHIFT, ROW_LOW_BITS) | field(ROW_HIGH_SHIFT, ROW_BITS - ROW_LOW_BITS) << ROW_LOW_BITS)
                as u16,
            failure_seen: field(FAILURE_SEEN_SHIFT, 1) != 0,
            confirmed: field(CONFIRMED_SHIFT, 1) != 0,
        }
    }
}

impl State {
    /// The pool that may be about to serve; the unknown one where there is none.
    pub fn candidate(self) -> PoolId {
        self.candidate
    }

    /// The row that is confirmed, if one is.
    pub fn confirmed_row(self) -> Option<Row> {
        self.confirmed.then_some(Row { candidate: self.candidate, since: self.since })
    }

    /// The state in which `pool` serves and nothing else is known.
    pub fn serving(pool: PoolId) -> State {
        State { serving: pool, ..State::default() }
    }

    /// Whether this word is the state in which `pool` serves and no candidate is in sight, which an answer of that pool
    /// leaves as it is: by far the most frequent case.
    #[inline]
    pub fn is_steady(word: u64, pool: PoolId) -> bool {
        pool.is_known() && word == u64::from(pool.get()) << SERVING_SHIFT
    }

    /// The state after a request.
    pub fn step(self, seen: &Observation, rules: &Rules) -> State {
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
        if serving_answered && next.candidate.is_known() && next.says_nothing_about_now(seen) {
            return next;
        }
        // What failed before the last attempt had failed when that began.
        let failed_at_last = !seen.answered && seen.last == next.serving;
        let failed_ms = if failed_at_last { seen.header_ms } else { seen.began_ms };
        if seen.failed.contains(next.serving) && failed_ms + TICK_MS >= rules.served_ms {
            next.failure_seen = true;
        }
        if seen.failed.contains(next.candidate) && seen.last != next.candidate {
            next.forget_candidate();
        }
        if !seen.last.is_known() {
            return next;
        }
        if serving_answered {
            next.failure_seen = false;
            next.interrupt(rules);
        } else if !seen.answered {
            if seen.last == next.candidate {
                next.forget_candidate();
            }
        } else if next.came_before_the_serving_pool_answered(seen, rules) {
            // That has interrupted the row already.
        } else if seen.last == next.candidate && !next.is_interrupted(rules) {
            next.streak = (next.streak + 1).min(ROW_MAX);
            next.begin_by(Instant::at(seen.header_ms));
            next.confirm(seen, rules);
        } else {
            next.candidate = seen.last;
            next.streak = 1;
            next.since = Instant::at(seen.header_ms);
            next.confirmed = false;
            next.row = rules.row;
            next.confirm(seen, rules);
        }
        next
    }

    /// Whether the serving pool has answered since the candidate's row began, in the same millisecond even: then it is none. Who
    /// counted that answer had not seen the candidate.
    pub fn is_interrupted(&self, rules: &Rules) -> bool {
        self.candidate.is_known()
            && !self.are_side_by_side(self.candidate, rules)
            && rules.served_ms > 0
            && !Instant::at(rules.served_ms).is_before(self.since)
    }

    /// The state without a candidate, since its row was none.
    pub fn interrupted(mut self) -> State {
        self.forget_candidate();
        self
    }

    /// How long a row was that had ended by itself when this state followed: the serving pool answered, which had failed
    /// nothing meanwhile.
    pub fn ended_row(&self, next: &State) -> Option<u32> {
        let ended = self.candidate.is_known() && !next.candidate.is_known() && next.serving == self.serving;
        (ended && !self.failure_seen).then_some(self.streak.into())
    }

    /// The state after the confirmed candidate took over, and the move; `None` where no candidate is confirmed.
    pub fn take_over(self) -> Option<(State, Move)> {
        let row = self.row;
        let moved = Move { from: self.serving, to: self.candidate, failure_seen: self.failure_seen, row };
        self.confirmed.then(|| (State::serving(self.candidate), moved))
    }

    /// The state after a rest: who serves, and nothing of the rows of before.
    pub fn rested(self) -> State {
        State::serving(self.serving)
    }

    /// The state at this time without a request: a row that goes on for days stays comparable.
    pub fn tick(self, now_ms: u64) -> State {
        let now = Instant::at(now_ms);
        if !self.candidate.is_known() || self.since.until(now) <= ROW_AGE_MAX_MS {
            return self;
        }
        State { since: Instant(now.0.wrapping_sub(ROW_AGE_MAX_MS) & Instant::MASK), ..self }
    }

    /// Whether an answer of the serving pool is older than the candidate's row: its header came clearly before that began, or
    /// it is a long poll that began before that.
    fn says_nothing_about_now(&self, seen: &Observation) -> bool {
        let lasted_ms = seen.header_ms.saturating_sub(seen.began_ms);
        let began = Instant::at(seen.began_ms);
        Instant::at(seen.header_ms + TICK_MS).is_before(self.since)
            || (self.failure_seen && lasted_ms > LONG_POLL_MS && began.is_before(self.since))
    }

    /// Whether the serving pool has answered after this answer of another one, or in the same millisecond. Where both serve
    /// side by side, it always does.
    fn came_before_the_serving_pool_answered(&self, seen: &Observation, rules: &Rules) -> bool {
        seen.header_ms <= rules.served_ms && !self.are_side_by_side(seen.last, rules)
    }

    /// Whether this pool is on its way back beside a stand-in that always had a share.
    fn are_side_by_side(&self, pool: PoolId, rules: &Rules) -> bool {
        self.is_way_back(pool, rules) && rules.stand_in_row > 1
    }

    /// The serving pool has answered: the row of a candidate ends. The way back of the active pool goes on as long as that
    /// may be one of the answers that its stand-in always had.
    fn interrupt(&mut self, rules: &Rules) {
        if self.is_way_back(self.candidate, rules) {
            self.row = (self.row + 1).min(ROW_MAX);
            if self.row < rules.stand_in_row {
                return;
            }
        }
        self.forget_candidate();
    }

    fn is_way_back(&self, pool: PoolId, rules: &Rules) -> bool {
        pool.is_known() && pool == rules.active
    }

    fn forget_candidate(&mut self) {
        *self = State { serving: self.serving, failure_seen: self.failure_seen, ..State::default() };
    }

    /// Observations come out of order: the row may have begun earlier.
    fn begin_by(&mut self, time: Instant) {
        if time.is_before(self.since) {
            self.since = time;
        }
    }

    fn confirm(&mut self, seen: &Observation, rules: &Rules) {
        self.confirmed |= if self.is_way_back(self.candidate, rules) {
            // The answers of the stand-in begin to count anew.
            self.row = 0;
            let lasted_ms = u64::from(self.since.until(Instant::at(seen.header_ms)));
            self.streak >= FAILBACK_ANSWERS && lasted_ms >= FAILBACK_MS
        } else {
            let lasted_ms = u64::from(self.since.until(Instant::at(seen.header_ms)));
            let serves_anyway = self.row > 0;
            let unusual = if serves_anyway { 2 * rules.usual_row.min(u32::from(ROW_MAX) / 2 - 1) } else { 0 };
            let (needed, needed_ms) = match self.failure_seen {
                true => (rules.confirm.max(unusual.min(EXPLAINED_ANSWERS_MAX)), 0),
                false => (unusual.max(UNEXPLAINED_ANSWERS.into()), if serves_anyway { UNEXPLAINED_MS } else { 0 }),
            };
            let is_long = u32::from(self.streak) >= needed.max(self.row.into()) && lasted_ms >= needed_ms;
            is_long && self.row < chance::NEVER
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BLUE: PoolId = PoolId::new(1);
    const GREEN: PoolId = PoolId::new(2);
    const RULES: Rules = Rules { active: BLUE, confirm: 2, served_ms: 0, row: 0, stand_in_row: 0, usual_row: 0 };
    const T0: u64 = 1_790_000_000_000;
    const DAY_MS: u64 = 86_400_000;

    /// Feeds requests, each the list of its attempts as (pool, answered), `step_ms` apart.
    fn run(rules: &Rules, state: &mut State, requests: &[&[(PoolId, bool)]], step_ms: u64) -> Vec<Move> {
        let mut now = T0;
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
            let seen = Observation { last, answered, failed, began_ms: now - 1, header_ms: now };
            let next = state.step(&seen, &Rules { served_ms, ..*rules });
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
        assert_eq!(
            run(&RULES, &mut state, &[RETRIED], 10),
            [Move { from: BLUE, to: GREEN, failure_seen: true, row: 0 }]
        );
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
        assert_eq!(
            run(&RULES, &mut state, &[GREEN_OK], 10),
            [Move { from: BLUE, to: GREEN, failure_seen: false, row: 0 }]
        );
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
            [Move { from: GREEN, to: BLUE, failure_seen: false, row: 0 }]
        );
    }

    #[test]
    fn the_first_pool_seen_serving_serves_where_none_is_set() {
        let rules = Rules { active: PoolId::NONE, ..RULES };
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
                let header_ms = T0 + ms;
                let seen = Observation { last: *pool, answered: true, failed, began_ms: header_ms - 1, header_ms };
                state = state.step(&seen, &Rules { served_ms, ..RULES });
            }
            state
        }
        // Green, blue, green: no two answers in a row, in whatever order the workers judge them.
        let (first, between, second) = ((GREEN, 100), (BLUE, 200), (GREEN, 300));
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
        // In the same millisecond, and by another worker's clock.
        let ties = [[(GREEN, 10), (BLUE, 10), (GREEN, 11)], [(BLUE, 10), (GREEN, 10), (GREEN, 11)]];
        for tie in
            ties.into_iter().chain([[(GREEN, 10), (BLUE, 9), (GREEN, 10)], [(GREEN, 10), (GREEN, 10), (BLUE, 9)]])
        {
            assert!(!judge(&tie).confirmed, "{tie:?}");
        }
        // Blue's answer in between was counted by somebody who had not seen green yet.
        let mut failed = PoolSet::EMPTY;
        failed.insert(BLUE);
        let retried = |ms: u64| Observation { failed, ..answer(GREEN, T0 + ms - 1, T0 + ms) };
        let state = State::serving(BLUE).step(&retried(10), &RULES);
        let state = state.step(&retried(30), &Rules { served_ms: T0 + 20, ..RULES });
        assert!(!state.confirmed && state.step(&retried(40), &Rules { served_ms: T0 + 20, ..RULES }).confirmed);
        // Blue answered before it failed, and that is judged last.
        let state = judge(&[(GREEN, 100), (GREEN, 300), (BLUE, 50)]);
        assert!(state.confirmed && state.failure_seen);
    }

    /// An answer of a pool that began and got its header at these times.
    fn answer(last: PoolId, began_ms: u64, header_ms: u64) -> Observation {
        Observation { last, answered: true, failed: PoolSet::EMPTY, began_ms, header_ms }
    }

    /// The same after a failure of blue.
    fn retried(began_ms: u64, header_ms: u64) -> Observation {
        let mut failed = PoolSet::EMPTY;
        failed.insert(BLUE);
        Observation { failed, ..answer(GREEN, began_ms, header_ms) }
    }

    #[test]
    fn an_answer_that_came_before_the_row_began_says_nothing_however_late_it_ends() {
        let rules = Rules { served_ms: T0 - 1000, ..RULES };
        let failing = State::serving(BLUE).step(&retried(T0, T0 + 1), &rules);
        // A WebSocket of yesterday, and one whose header came in the row.
        assert_eq!(failing.step(&answer(BLUE, T0 - DAY_MS, T0 - DAY_MS + 5), &rules), failing);
        assert_eq!(failing.step(&answer(BLUE, T0 + 2, T0 + 3), &rules), State::serving(BLUE));
        // A long poll that a dying blue ends, and a request of the usual kind.
        assert_eq!(failing.step(&answer(BLUE, T0 - 30_000, T0 + 5), &rules), failing);
        assert_eq!(failing.step(&answer(BLUE, T0 - 3000, T0 + 5), &rules), State::serving(BLUE));
    }

    #[test]
    fn a_failure_counts_as_of_when_it_happened_and_not_as_of_when_its_retry_ended() {
        // Two requests fail at blue, and green takes five seconds for each. Blue goes on answering meanwhile.
        let rules = Rules { served_ms: T0 + 4900, ..RULES };
        let slow = [retried(T0, T0 + 5000), retried(T0 + 1, T0 + 5001)];
        let state = slow.iter().fold(State::serving(BLUE), |state, seen| state.step(seen, &rules));
        assert!(!state.failure_seen && !state.confirmed);
        // A failure after blue's last answer, in the same millisecond even, is one.
        let state = State::serving(BLUE).step(&retried(T0 + 4900, T0 + 4950), &rules);
        assert!(state.failure_seen && !state.step(&retried(T0 + 4901, T0 + 4951), &rules).serving.eq(&GREEN));
        assert!(state.step(&retried(T0 + 4901, T0 + 4951), &rules).confirmed);
    }

    #[test]
    fn where_both_pools_serve_anyway_a_row_must_be_longer_than_chance_makes_it() {
        for (row, failures) in [(3, 2), (6, 5), (20, 19), (131, 130)] {
            let rules = Rules { row, ..RULES };
            let mut state = State::default();
            let hiccup = [&[BLUE_OK, RETRIED][..], &vec![GREEN_OK; failures - 1], &[BLUE_OK]].concat();
            assert_eq!(run(&rules, &mut state, &hiccup, 10), [], "chance");
            let dead = [&[RETRIED][..], &vec![GREEN_OK; failures]].concat();
            let moved = Move { from: BLUE, to: GREEN, failure_seen: true, row };
            assert_eq!(run(&rules, &mut state, &dead, 10), [moved], "no chance");
        }
        let rules = Rules { row: chance::NEVER, ..RULES };
        assert_eq!(run(&rules, &mut State::default(), &[RETRIED; 5000], 10), [], "green always gets everything");
    }

    #[test]
    fn where_both_pools_serve_anyway_a_row_without_a_failure_must_last() {
        let rules = Rules { row: 20, ..RULES };
        let moved = Move { from: BLUE, to: GREEN, failure_seen: false, row: 20 };
        assert_eq!(
            run(&rules, &mut State::default(), &[GREEN_OK; 100], 15),
            [],
            "one client sends as many in a second"
        );
        assert_eq!(run(&rules, &mut State::default(), &[GREEN_OK; 100], 30), [moved]);
        assert_eq!(run(&rules, &mut State::default(), &[GREEN_OK; 19], 3000), []);
    }

    #[test]
    fn a_row_must_be_twice_as_long_as_those_that_ended_by_themselves() {
        let rules = Rules { row: 20, usual_row: 40, ..RULES };
        let moved = |failure_seen| Move { from: BLUE, to: GREEN, failure_seen, row: 20 };
        assert_eq!(run(&rules, &mut State::default(), &[GREEN_OK; 79], 100), []);
        assert_eq!(run(&rules, &mut State::default(), &[GREEN_OK; 80], 100), [moved(false)]);
        let after_a_failure = |answers: usize| [&[RETRIED][..], &vec![GREEN_OK; answers - 1]].concat();
        assert_eq!(run(&rules, &mut State::default(), &after_a_failure(79), 1), []);
        assert_eq!(run(&rules, &mut State::default(), &after_a_failure(80), 1), [moved(true)]);
        let rules = Rules { usual_row: 1_000_000, ..rules };
        assert_eq!(
            run(&rules, &mut State::default(), &after_a_failure(200), 1),
            [moved(true)],
            "and no longer than that"
        );
        let backup = Rules { usual_row: 40, ..RULES };
        assert_eq!(run(&backup, &mut State::default(), &[RETRIED; 2], 1).len(), 1, "a backup is sent nothing anyway");
    }

    #[test]
    fn a_row_ends_by_itself_where_the_serving_pool_answers_without_having_failed() {
        let mut state = State::default();
        run(&RULES, &mut state, &[BLUE_OK, GREEN_OK, GREEN_OK, GREEN_OK], 10);
        let next = |state: &State| state.step(&answer(BLUE, T0 + 500, T0 + 501), &RULES);
        assert_eq!((state.ended_row(&next(&state)), state.ended_row(&state)), (Some(3), None));
        run(&RULES, &mut state, &[BLUE_DOWN], 1000);
        assert_eq!(state.ended_row(&state.step(&answer(BLUE, T0 + 2000, T0 + 2001), &RULES)), None, "it was a hiccup");
    }

    #[test]
    fn where_both_pools_serve_anyway_the_stand_in_does_not_interrupt_the_way_back() {
        let rules = Rules { stand_in_row: 20, ..RULES };
        let side_by_side = [GREEN_OK, BLUE_OK].repeat(30);
        let moved = Move { from: GREEN, to: BLUE, failure_seen: false, row: 0 };
        let mut state = State::serving(GREEN);
        assert_eq!(run(&rules, &mut state, &side_by_side, 150), [moved]);
        let mut state = State::serving(GREEN);
        assert_eq!(run(&rules, &mut state, &side_by_side, 10), [], "too fast");
        let mut state = State::serving(GREEN);
        let failing = [GREEN_OK, BLUE_OK, BLUE_OK, RETRIED].repeat(30);
        assert_eq!(run(&rules, &mut state, &failing, 150), [], "blue still fails");
        let mut state = State::serving(GREEN);
        let probed = [&[BLUE_OK; 5][..], &[GREEN_OK; 20]].concat().repeat(3);
        assert_eq!(run(&rules, &mut state, &probed, 150), [], "twenty of green in a row are no chance");
        let mut state = State::serving(GREEN);
        assert_eq!(run(&RULES, &mut state, &side_by_side, 150), [], "a backup answers only while blue does not");
    }

    #[test]
    fn a_row_that_lasts_for_days_stays_one() {
        let mut state = State::serving(BLUE);
        for day in 0..19 {
            state = state.step(&answer(GREEN, T0 + day * DAY_MS, T0 + day * DAY_MS + 1), &RULES);
            for hour in 1..=24 {
                state = state.tick(T0 + day * DAY_MS + hour * DAY_MS / 24);
            }
        }
        assert!(!state.confirmed);
        let end = T0 + 19 * DAY_MS;
        assert!(state.step(&answer(GREEN, end, end + 1), &RULES).confirmed, "the twentieth");
        assert_eq!(state.step(&answer(BLUE, end, end + 1), &RULES), State::serving(BLUE));
    }

    #[test]
    fn a_word_keeps_every_field() {
        assert_eq!(State::serving(GREEN).to_word(), 2 << 55, "where every version looks for it");
        for word in [0, u64::MAX, 0x0123_4567_89ab_cdef, 1 << 63] {
            assert_eq!(State::from_word(word).to_word(), word);
        }
    }
}
