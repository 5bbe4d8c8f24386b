//! Whether nothing works at all: so many requests in a row failed. A pure function of state and outcomes.
//!
//! It is over after as many requests in a row that did not fail. Each worker judges its own requests a moment after they
//! end, so they come out of order: a row that is long enough is only *confirmed*, and committed once nobody can have a request
//! any more that lies within it and would have interrupted it.

use crate::base::word::Word;

/// Whether nothing works, and the row of requests that may change that, packed into one word of shared memory. Zero is: it
/// works, and the last request did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether nothing works.
    pub down: bool,
    /// Whether the row is long enough to say the opposite.
    pub confirmed: bool,
    /// Requests in a row that say the opposite.
    row: u8,
    /// How long the row lasted, in milliseconds, once it is confirmed; saturates.
    span_ms: u32,
    /// When the row began, in milliseconds, or ended, once it is confirmed; without a row, when the last request failed.
    since_ms: u64,
}

/// Requests of one row come at most this much out of order, in milliseconds.
const DISORDER_MS: u64 = 1000;
const TIME_BITS: u32 = 42;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
const SPAN_BITS: u32 = 12;
const SPAN_MAX: u32 = (1 << SPAN_BITS) - 1;
const ROW_SHIFT: u32 = TIME_BITS + SPAN_BITS;

impl Word for State {
    fn to_word(self) -> u64 {
        (self.since_ms & TIME_MASK)
            | (u64::from(self.span_ms.min(SPAN_MAX)) << TIME_BITS)
            | (u64::from(self.row) << ROW_SHIFT)
            | (u64::from(self.down) << 62)
            | (u64::from(self.confirmed) << 63)
    }

    fn from_word(word: u64) -> State {
        State {
            down: word >> 62 & 1 != 0,
            confirmed: word >> 63 != 0,
            row: (word >> ROW_SHIFT) as u8,
            span_ms: (word >> TIME_BITS) as u32 & SPAN_MAX,
            since_ms: word & TIME_MASK,
        }
    }
}

impl State {
    /// The state after a request that worked, or failed, at this time.
    pub fn step(self, worked: bool, time_ms: u64, confirm: u32) -> State {
        let since_ms = self.since_ms;
        if worked == self.down {
            // One that comes a little late from another worker is of the row all the same, and one that is older is of the
            // time before.
            let late_ms = if self.row == 0 { 0 } else { DISORDER_MS };
            if self.confirmed || time_ms + late_ms < since_ms {
                return self;
            }
            let row = self.row.saturating_add(1);
            let began_ms = if row == 1 { time_ms } else { since_ms.min(time_ms) };
            if u32::from(row) < confirm.min(u8::MAX.into()) {
                return State { row, since_ms: began_ms, ..self };
            }
            let span_ms = (time_ms - began_ms).min(SPAN_MAX.into()) as u32;
            return State { row, since_ms: time_ms, span_ms, confirmed: true, ..self };
        }
        let lies_behind = self.confirmed && time_ms > since_ms;
        if lies_behind || time_ms < since_ms.saturating_sub(self.span_ms.into()) {
            return self;
        }
        let since_ms = if self.down { since_ms.max(time_ms) } else { 0 };
        State { down: self.down, since_ms, ..State::default() }
    }

    /// The state after a rest: whether it works, and nothing of the row of before.
    pub fn rested(self) -> State {
        State { down: self.down, ..State::default() }
    }

    /// The state after a confirmed row: the opposite; `None` where no row is confirmed.
    pub fn commit(self) -> Option<State> {
        let down = State { down: true, since_ms: self.since_ms, ..State::default() };
        self.confirmed.then_some(if self.down { State::default() } else { down })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_790_000_000_000;

    /// Plays requests, 10 ms apart, and returns at which of them it changed.
    fn play(requests: &[bool], confirm: u32) -> Vec<usize> {
        let mut state = State::default();
        let mut changes = Vec::new();
        for (at, worked) in requests.iter().enumerate() {
            state = state.step(*worked, T0 + at as u64 * 10, confirm);
            assert_eq!(State::from_word(state.to_word()), state);
            if let Some(after) = state.commit() {
                state = after;
                changes.push(at + 1);
            }
        }
        changes
    }

    #[test]
    fn it_begins_at_the_confirmth_failure_in_a_row_and_ends_after_as_many_that_worked() {
        for confirm in [1, 2, 10, 200] {
            let requests = [vec![true; 5], vec![false; confirm + 3], vec![true; confirm]].concat();
            assert_eq!(play(&requests, confirm as u32), [5 + confirm, 8 + 2 * confirm]);
        }
    }

    #[test]
    fn one_that_works_in_between_begins_the_count_anew_and_so_does_one_that_fails_on_the_way_back() {
        assert!(play(&[vec![false; 9], vec![true], vec![false; 9]].concat(), 10).is_empty());
        let requests = [vec![false; 10], vec![true; 9], vec![false], vec![true; 9]].concat();
        assert_eq!(play(&requests, 10), [10]);
    }

    #[test]
    fn what_comes_late_from_another_worker_counts_where_it_belongs() {
        let failing = |times: &[u64]| times.iter().fold(State::default(), |state, ms| state.step(false, T0 + ms, 3));
        let confirmed = failing(&[10, 20, 30]);
        assert!(confirmed.confirmed);
        assert!(confirmed.step(true, T0 + 5, 3).confirmed, "before the row");
        assert!(confirmed.step(true, T0 + 31, 3).confirmed, "behind it");
        assert!(!confirmed.step(true, T0 + 25, 3).confirmed, "within it");
        assert!(!confirmed.step(true, T0 + 30, 3).confirmed, "in the same millisecond");
        let down = confirmed.commit().expect("confirmed");
        assert_eq!(down.step(true, T0 + 29, 1), down, "it worked before everything failed");
        assert!(down.step(true, T0 + 31, 1).confirmed);
        assert!(failing(&[30, 10, 20]).confirmed, "in any order");
        let back = down.step(true, T0 + 5000, 3);
        assert_eq!(back.step(true, T0 + 31, 3), back, "a WebSocket whose header came long before");
    }

    #[test]
    fn a_word_keeps_every_field() {
        for word in [0, u64::MAX, 0x0123_4567_89ab_cdef, 1 << 62] {
            assert_eq!(State::from_word(word).to_word(), word);
        }
    }
}
