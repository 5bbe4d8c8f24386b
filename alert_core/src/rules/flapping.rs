//! Failovers that come too often to tell each: three within five minutes are one alert, then silence until five
//! minutes were stable. A pure function of state and time.

use crate::base::word::Word;

/// Failovers within [`SPAN_S`] that are flapping.
const FAILOVERS: usize = 3;
/// The time that counts as recent, and as stable, in seconds.
pub const SPAN_S: u64 = 300;

/// The last moves, packed into a word of shared memory. Zero is: none.
///
/// Times are seconds modulo 2²⁰ (12 days), plus one; what is older than [`SPAN_S`] is forgotten by [`State::tick`],
/// which runs every second, so that the modulo is never met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct State {
    /// Whether the pools flap at present.
    pub flapping: bool,
    /// Whether the last move that is counted led away from the active pool.
    pub away: bool,
    /// Times of the last two failovers, newest first; zero is none.
    failovers: [u32; FAILOVERS - 1],
    /// Time of the last move of either direction; zero is none.
    last_move: u32,
}

const FIELD: u32 = 20;
const MASK: u64 = (1 << FIELD) - 1;

impl Word for State {
    fn to_word(self) -> u64 {
        u64::from(self.failovers[0])
            | (u64::from(self.failovers[1]) << FIELD)
            | (u64::from(self.last_move) << (2 * FIELD))
            | (u64::from(self.flapping) << (3 * FIELD))
            | (u64::from(self.away) << (3 * FIELD + 1))
    }

    fn from_word(word: u64) -> State {
        let field = |at: u32| ((word >> (at * FIELD)) & MASK) as u32;
        let flag = |at: u32| word >> (3 * FIELD + at) & 1 != 0;
        State { failovers: [field(0), field(1)], last_move: field(2), flapping: flag(0), away: flag(1) }
    }
}

impl State {
    /// The state after traffic moved; `failover` where it moved away from the active pool.
    pub fn moved(self, failover: bool, now_ms: u64) -> State {
        let mut next = self.tick(now_ms);
        let now = stamp(now_ms);
        next.last_move = now;
        next.away = failover;
        if failover {
            next.flapping |= next.failovers.iter().all(|time| *time != 0);
            next.failovers = [now, next.failovers[0]];
        }
        next
    }

    /// The state at this time without a move: old moves are forgotten, and a stable pool no longer flaps.
    pub fn tick(self, now_ms: u64) -> State {
        let now = stamp(now_ms);
        let recent = |time: u32| if time != 0 && age(time, now) < SPAN_S { time } else { 0 };
        let last_move = recent(self.last_move);
        State { failovers: self.failovers.map(recent), last_move, flapping: self.flapping && last_move != 0, ..self }
    }

    /// The state after a rest that was too long for the moves before it to count. Whether the pools flap is left to the
    /// next look at the time, which tells the end.
    pub fn without_moves(self) -> State {
        State { flapping: self.flapping, away: self.away, ..State::default() }
    }
}

fn stamp(now_ms: u64) -> u32 {
    ((now_ms / 1000) % MASK) as u32 + 1
}

fn age(time: u32, now: u32) -> u64 {
    let age = (u64::from(now) + MASK - u64::from(time)) % MASK;
    // A clock that was set back by a little shows as an age of almost the whole range: that is no age.
    if age > MASK / 2 { 0 } else { age }
}

#[cfg(test)]
mod tests {
    use super::*;

    const T0: u64 = 1_790_000_000_000;

    fn after(moves: &[(u64, bool)]) -> State {
        moves.iter().fold(State::default(), |state, (second, failover)| {
            let next = state.moved(*failover, T0 + second * 1000);
            assert_eq!(State::from_word(next.to_word()), next);
            next
        })
    }

    #[test]
    fn three_failovers_within_five_minutes_flap() {
        assert!(!after(&[(0, true), (10, false), (20, true), (30, false)]).flapping);
        assert!(after(&[(0, true), (10, false), (20, true), (30, false), (299, true)]).flapping);
        assert!(!after(&[(0, true), (10, false), (20, true), (30, false), (301, true)]).flapping);
    }

    #[test]
    fn five_stable_minutes_end_it() {
        let state = after(&[(0, true), (1, true), (2, true), (100, false)]);
        assert!(state.tick(T0 + 399_000).flapping);
        assert!(!state.tick(T0 + 400_000).flapping);
    }

    #[test]
    fn the_wrap_of_the_stamp_is_not_seen() {
        let wrap_ms = (T0 / 1000 / MASK + 1) * MASK * 1000;
        let mut state = State::default();
        for second in [0, 20, 40] {
            state = state.moved(true, wrap_ms - 20_000 + second * 1000);
        }
        assert!(state.flapping);
    }
}
