//! Time: one clock for all workers of a board, which no step of the system's clock moves.
//!
//! Limits, pauses and ages are differences of times, so they go by the monotonic clock of the system. Its beginning is
//! arbitrary; a [`Clock`] adds what lay between it and the wall clock when the board was made, so that its times look like
//! Unix time and go on over a restart. Where the wall clock was stepped since, [`Clock::step_ms`] says by how much: it is added
//! to what people read, and to nothing else.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::time::{ClockId, clock_gettime};

/// Differences between the two clocks up to this are no step, but the time between two looks, in milliseconds.
const STEP_MIN_MS: u64 = 100;

/// The clock of a board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What is added to the monotonic clock, in milliseconds; wraps.
    offset_ms: u64,
}

impl Clock {
    /// A clock that says now that it is `now_ms`.
    pub fn that_says(now_ms: u64) -> Clock {
        Clock { offset_ms: now_ms.wrapping_sub(monotonic_ms()) }
    }

    /// The clock with this offset from the monotonic clock.
    #[inline]
    pub const fn from_offset_ms(offset_ms: u64) -> Clock {
        Clock { offset_ms }
    }

    /// What it adds to the monotonic clock, in milliseconds; wraps.
    #[inline]
    pub const fn offset_ms(self) -> u64 {
        self.offset_ms
    }

    /// The time, in milliseconds that look like those since the Unix epoch.
    #[inline]
    pub fn now_ms(self) -> u64 {
        self.at(monotonic_ms())
    }

    /// The time at which the monotonic clock of the system said `monotonic_ms`.
    #[inline]
    pub const fn at(self, monotonic_ms: u64) -> u64 {
        monotonic_ms.wrapping_add(self.offset_ms)
    }

    /// How far the wall clock was set forward since the clock was made, in milliseconds; negative where it was set back.
    pub fn step_ms(self) -> i64 {
        let step = wall_ms().wrapping_sub(self.now_ms()) as i64;
        if step.unsigned_abs() < STEP_MIN_MS { 0 } else { step }
    }
}

/// Milliseconds since the Unix epoch, by the wall clock.
pub fn wall_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn monotonic_ms() -> u64 {
    // Every Linux has this clock, so it cannot fail; the kernel counts it up from zero.
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |now| now.tv_sec() as u64 * 1000 + now.tv_nsec() as u64 / 1_000_000)
}

/// A point in time as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(unix_ms: u64) -> String {
    // The formatter ends with the year 9999; a clock beyond it must not panic here.
    const LAST_MS: u64 = 253_402_300_799_999;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_ms.min(LAST_MS))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_goes_on_and_says_how_far_the_wall_clock_was_stepped() {
        const HOUR_MS: u64 = 3_600_000;
        let clock = Clock::that_says(wall_ms());
        assert_eq!(clock.step_ms(), 0);
        let (before, after) = (clock.now_ms(), clock.now_ms());
        assert!(after >= before && after - before < HOUR_MS);
        let late = Clock::that_says(wall_ms() + HOUR_MS);
        assert!((late.step_ms() + HOUR_MS as i64).abs() < 1000, "the wall clock was set back by an hour since");
        assert_eq!(Clock::from_offset_ms(late.offset_ms()), late);
    }

    #[test]
    fn a_clock_at_the_end_of_time_does_not_panic() {
        assert!(rfc3339(u64::MAX).starts_with("9999-12-31"));
    }
}
