//! What the detector of a worker looks after beside its events. Whatever goes by the clock goes by its ticks, so that a worker at
//! rest is woken by one clock alone.

use std::time::Instant;

/// A look of the detector at its tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Look {
    /// When it is, in milliseconds.
    pub(crate) now_ms: u64,
    /// When the next tick is to come, in milliseconds.
    pub(crate) next_ms: u64,
}

impl Look {
    /// Whether it is time, or nearer to that time than the next tick will be.
    pub(crate) fn is_time(self, at_ms: u64) -> bool {
        at_ms.saturating_sub(self.now_ms) <= self.next_ms.saturating_sub(at_ms)
    }
}

/// Something that a detector looks after. It must not keep the detector from its events: what takes time is for a thread of its own.
pub(crate) trait Task: Send {
    /// Called at each tick: every second while events come, and every two seconds at rest.
    fn tick(&mut self, look: Look);

    /// Called in between, where an alert was put into the outbox, or an operator has ordered something.
    fn look(&mut self, _look: Look) {}

    /// Called at the end of the detector. Returns by the deadline.
    fn finish(&mut self, _deadline: Instant) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_by_the_clock_is_done_at_the_nearest_tick() {
        let look = Look { now_ms: 10_000, next_ms: 12_000 };
        assert!([0, 9_999, 10_000, 11_000].into_iter().all(|at_ms| look.is_time(at_ms)));
        assert!([11_001, 12_000, 20_000].into_iter().all(|at_ms| !look.is_time(at_ms)));
    }
}
