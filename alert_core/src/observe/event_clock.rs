//! The time of events by a clock that costs nothing to read: an event loop's copy of the wall clock, put on the board's.
//!
//! An event loop notes the wall clock each time that it looks for work, which is exact to the millisecond where its own
//! monotonic time may be coarse. What lies between the two clocks is found out once a second; a wall clock that is stepped
//! moves nothing for longer than that.

use std::cell::Cell;

use crate::base::clock::wall_ms;
use crate::board::Board;

/// What lies between the two clocks is their difference, and not that the event loop has not looked for so long.
const BUSY_MAX_MS: u64 = 1000;

/// Puts the times that one event loop notes on the clock of the board.
#[derive(Debug)]
pub struct EventClock {
    board: Board,
    /// The second of the wall clock that was read last.
    second: Cell<i64>,
    /// The time of the board at which that second began.
    began_ms: Cell<u64>,
    /// The time of the board that was given last when a second began.
    last_ms: Cell<u64>,
}

impl EventClock {
    /// Goes by the clock of the board.
    pub fn new(board: Board) -> EventClock {
        EventClock { board, second: Cell::new(i64::MIN), began_ms: Cell::new(0), last_ms: Cell::new(0) }
    }

    /// The time of the board when the event loop noted this time of the wall clock, in milliseconds. It goes back by less
    /// than a second, and only where the wall clock did.
    pub fn of_wall_ms(&self, wall_ms: u64) -> u64 {
        self.of_wall(((wall_ms / 1000) as i64, wall_ms % 1000))
    }

    /// The same for a time in seconds and milliseconds.
    #[inline]
    pub fn of_wall(&self, (second, millisecond): (i64, u64)) -> u64 {
        if second == self.second.get() { self.began_ms.get() + millisecond } else { self.compare(second, millisecond) }
    }

    #[cold]
    fn compare(&self, second: i64, millisecond: u64) -> u64 {
        let (now_ms, now_wall_ms) = (self.board.clock().now_ms(), wall_ms());
        let noted_ms = (second as u64).wrapping_mul(1000).wrapping_add(millisecond);
        let ahead_ms = self.board.ahead_of_wall_ms(now_ms.wrapping_sub(now_wall_ms));
        let is_recent = now_wall_ms.wrapping_sub(noted_ms) <= BUSY_MAX_MS;
        let given_ms = if is_recent { noted_ms.wrapping_add(ahead_ms) } else { now_ms };
        let at_ms = given_ms.max(self.last_ms.replace(given_ms));
        self.second.set(second);
        self.began_ms.set(at_ms.saturating_sub(millisecond));
        at_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;

    #[test]
    fn times_go_on_with_the_wall_clock_and_no_step_of_it_moves_them() {
        let board = Board::open(Region::private(1 << 20), 5_000_000).expect("a board");
        let (clock, events) = (board.clock(), EventClock::new(board));
        let wall = wall_ms();
        let (second, millisecond) = ((wall / 1000) as i64, wall % 1000);
        let first = events.of_wall_ms(second as u64 * 1000 + millisecond);
        assert!(first.abs_diff(clock.now_ms()) < 500);
        assert_eq!(events.of_wall_ms(second as u64 * 1000 + millisecond), first);
        assert_eq!(events.of_wall_ms(second as u64 * 1000 + millisecond + 7), first + 7);
        for (second, millisecond) in [(second + 3600, 0), (second - 86_400, 999), (second, 1)] {
            let at = events.of_wall_ms(second as u64 * 1000 + millisecond);
            assert!(at >= first && at.abs_diff(clock.now_ms()) < 500, "{second} {millisecond}");
        }
    }

    #[test]
    fn all_workers_put_the_same_moment_at_the_same_time() {
        let board = Board::open(Region::private(1 << 20), 5_000_000).expect("a board");
        let wall = wall_ms();
        // Each measures at another moment of a millisecond.
        let times = (0..200).map(|_| {
            std::thread::sleep(std::time::Duration::from_micros(130));
            EventClock::new(board).of_wall_ms(wall)
        });
        let times: Vec<u64> = times.collect();
        assert!(times.iter().all(|time| *time == times[0]), "{times:?}");
    }
}
