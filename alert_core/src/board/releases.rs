//! The releases that a monitor has seen, newest first: when, at which pool, what they did, and what became of them.
//!
//! The worker that leads looks once a second, so that a request costs nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::shared::shared;
use crate::board::cell::Packed;
use crate::board::monitor::MonitorBoard;
use crate::board::text::NameCell;
use crate::model::ids::PoolId;

/// Releases that are remembered.
pub const RELEASES_MAX: usize = 32;

shared! {
/// The releases of a monitor; the places are filled in a circle.
#[derive(Debug)]
pub struct Releases {
    /// How many there were, ever.
    count: AtomicU64,
    places: [ReleaseBoard; RELEASES_MAX],
}
}

shared! {
/// One release at one pool.
#[derive(Debug)]
pub struct ReleaseBoard {
    /// Its name.
    pub name: NameCell,
    /// The pool that had it.
    pub pool: Packed<PoolId>,
    /// When it was seen first and last, in milliseconds.
    pub first_seen_ms: AtomicU64,
    /// As above.
    pub last_seen_ms: AtomicU64,
    /// Totals of the pool when it was seen first: answers and failed attempts.
    before: [AtomicU64; 2],
    /// The same when it was seen last.
    after: [AtomicU64; 2],
    /// How its rollout ended: an [`Outcome`](super::rollout::Outcome); zero is not.
    pub outcome: AtomicU64,
}
}

impl ReleaseBoard {
    /// Requests that it answered, and attempts that failed.
    pub fn figures(&self) -> [u64; 2] {
        [0, 1].map(|at| self.after[at].load(Relaxed).saturating_sub(self.before[at].load(Relaxed)))
    }
}

impl Releases {
    /// The releases, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &ReleaseBoard> {
        let count = self.count.load(Relaxed);
        let kept = count.min(RELEASES_MAX as u64);
        (count - kept..count).rev().map(|at| &self.places[(at % RELEASES_MAX as u64) as usize])
    }

    /// The latest release of a pool.
    pub fn of(&self, pool: PoolId) -> Option<&ReleaseBoard> {
        self.newest_first().find(|release| release.pool.load() == pool)
    }

    /// Notes that a pool has this release now. Called by the worker that leads.
    pub fn see(&self, monitor: &MonitorBoard, pool: PoolId, name: &str, now_ms: u64) {
        if name.is_empty() {
            return;
        }
        let board = monitor.pool(pool);
        let totals = [board.answered(), board.failed_attempts.load(Relaxed)];
        let release = match self.of(pool).filter(|latest| latest.name.load() == name) {
            Some(known) => known,
            None => {
                let count = self.count.load(Relaxed);
                let place = &self.places[(count % RELEASES_MAX as u64) as usize];
                place.name.store(name.as_bytes());
                place.pool.store(pool);
                place.first_seen_ms.store(now_ms, Relaxed);
                place.outcome.store(0, Relaxed);
                place.before.iter().zip(totals).for_each(|(before, total)| before.store(total, Relaxed));
                self.count.store(count.wrapping_add(1), Relaxed);
                place
            }
        };
        release.last_seen_ms.store(now_ms, Relaxed);
        release.after.iter().zip(totals).for_each(|(after, total)| after.store(total, Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::rollout::RolloutBoard;

    #[test]
    fn releases_are_remembered_newest_first_and_the_oldest_makes_room() {
        let monitor: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        let rollout: &RolloutBoard = Region::private(size_of::<RolloutBoard>()).get(0).expect("room");
        let (releases, blue, green) = (&rollout.seen, PoolId::new(1), PoolId::new(2));
        releases.see(monitor, blue, "", 1);
        assert_eq!(releases.newest_first().count(), 0, "an unknown release is none");
        releases.see(monitor, blue, "v1", 1000);
        releases.see(monitor, green, "v2", 2000);
        monitor.pool(blue).failed_attempts.fetch_add(3, Relaxed);
        releases.see(monitor, blue, "v1", 3000);
        let names: Vec<String> = releases.newest_first().map(|release| release.name.load()).collect();
        assert_eq!(names, ["v2", "v1"]);
        let v1 = releases.of(blue).expect("v1");
        assert_eq!((v1.first_seen_ms.load(Relaxed), v1.last_seen_ms.load(Relaxed), v1.figures()), (1000, 3000, [0, 3]));
        for n in 0..100 {
            releases.see(monitor, blue, &format!("v{n}"), 4000 + n);
        }
        assert_eq!(releases.newest_first().count(), RELEASES_MAX);
        assert_eq!(releases.newest_first().next().expect("the newest").name.load(), "v99");
    }
}
