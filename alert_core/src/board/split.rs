//! How traffic is split over the pools: where requests were sent first, since the serving pool began to serve.
//!
//! Counts are halved once there are twice as many as a window holds, so that they are about those of the last window.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::shared::shared;
use crate::model::ids::{POOLS_MAX, PoolId};
use crate::rules::chance;

shared! {
/// The first attempts of one monitor.
#[derive(Debug)]
pub struct SplitBoard {
    /// First attempts by pool; place 0 is the unknown one.
    first: [AtomicU64; POOLS_MAX + 1],
    /// Answers in a row of the stand-in that are no chance, from when the active pool served.
    stand_in_row: AtomicU64,
}
}

impl SplitBoard {
    /// Counts requests that were sent to this pool first.
    #[inline]
    pub fn count(&self, pool: PoolId, requests: u64, window: u32) {
        let before = self.first[pool.get() as usize & POOLS_MAX].fetch_add(requests, Relaxed);
        if before.saturating_add(requests) >= 2 * u64::from(window) {
            self.halve(window);
        }
    }

    #[cold]
    fn halve(&self, window: u32) {
        // Several requests at once may be far more than a window.
        while self.first.iter().any(|count| count.load(Relaxed) >= 2 * u64::from(window)) {
            for count in &self.first {
                // The change is never refused.
                let _ = count.fetch_update(Relaxed, Relaxed, |count| Some(count / 2));
            }
        }
    }

    /// Answers in a row of this pool that are no chance.
    pub fn row(&self, pool: PoolId) -> u16 {
        let all = self.first.iter().map(|count| count.load(Relaxed)).fold(0, u64::saturating_add);
        chance::row(self.first[pool.get() as usize & POOLS_MAX].load(Relaxed), all)
    }

    /// The same of the pool that stands in for the active one, as it was when that one served.
    #[inline]
    pub fn stand_in_row(&self) -> u16 {
        self.stand_in_row.load(Relaxed).min(chance::NEVER.into()) as u16
    }

    /// Forgets a pool whose place is given to another.
    pub fn forget(&self, pool: PoolId) {
        self.first[pool.get() as usize & POOLS_MAX].store(0, Relaxed);
    }

    /// Begins anew, since another pool serves.
    pub fn begin(&self, stand_in_row: u16) {
        self.stand_in_row.store(stand_in_row.into(), Relaxed);
        self.first.iter().for_each(|count| count.store(0, Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::monitor::MonitorBoard;
    use crate::board::region::Region;

    const BLUE: PoolId = PoolId::new(1);
    const GREEN: PoolId = PoolId::new(31);

    fn split() -> &'static SplitBoard {
        let monitor: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        &monitor.split
    }

    #[test]
    fn a_row_is_by_the_share_of_first_attempts_since_the_serving_pool_began() {
        let split = split();
        assert_eq!(split.row(GREEN), 0);
        split.count(BLUE, 90, 200);
        (0..10).for_each(|_| split.count(GREEN, 1, 200));
        assert_eq!((split.row(GREEN), split.row(BLUE), split.row(PoolId::new(2))), (6, 132, 0));
        split.begin(6);
        assert_eq!((split.row(GREEN), split.stand_in_row()), (0, 6));
    }

    #[test]
    fn what_lies_further_back_than_a_window_is_forgotten() {
        let split = split();
        split.count(BLUE, 1_000_000, 200);
        (0..200).for_each(|_| split.count(GREEN, 1, 200));
        assert!(split.row(GREEN) >= 13, "half of the traffic by now, and not a five-thousandth: {}", split.row(GREEN));
        (0..10_000).for_each(|_| split.count(GREEN, 1, 200));
        assert!(split.row(GREEN) > 1000);
    }
}
