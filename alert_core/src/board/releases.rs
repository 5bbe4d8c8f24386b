//! The releases that a monitor has seen, newest first: when, at which pool, what they did, and what became of them.
//!
//! The worker that leads looks once a second, so that a request costs nothing.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::shared::shared;
use crate::board::cell::Packed;
use crate::board::monitor::{BUCKETS, MonitorBoard, PoolBoard, quantile_ms};
use crate::board::text::NameCell;
use crate::model::ids::PoolId;

/// Releases that are remembered.
pub const RELEASES_MAX: usize = 32;

shared! {
/// The releases of a monitor. Where all places are filled, the release that is unseen for longest makes room.
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

shared! {
/// How fast a release answered: the histogram of its pool when it was seen first, and when it was seen last.
#[derive(Debug)]
pub struct ReleaseLatency {
    before: [AtomicU64; BUCKETS],
    after: [AtomicU64; BUCKETS],
}
}

impl ReleaseLatency {
    pub(super) fn see(&self, pool: &PoolBoard, is_new: bool) {
        for ((before, after), now) in self.before.iter().zip(&self.after).zip(pool.buckets()) {
            if is_new {
                before.store(now, Relaxed);
            }
            after.store(now, Relaxed);
        }
    }

    /// The 95th percentile of its answers, in milliseconds, as near as the buckets are; `None` where there are none.
    pub fn p95_ms(&self) -> Option<u64> {
        let answers = |at: usize| self.after[at].load(Relaxed).saturating_sub(self.before[at].load(Relaxed));
        quantile_ms(&std::array::from_fn(answers), 0.95)
    }
}

/// Where a release stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its number among the places.
    pub number: usize,
    /// Whether it was seen for the first time.
    pub is_new: bool,
}

impl ReleaseBoard {
    /// The pool that had it; the unknown one where its place was given to another since.
    pub fn pool_now(&self, monitor: &MonitorBoard) -> PoolId {
        monitor.pool_then(self.pool.load(), self.first_seen_ms.load(Relaxed))
    }

    /// Requests that it answered, and attempts that failed.
    pub fn figures(&self) -> [u64; 2] {
        [0, 1].map(|at| self.after[at].load(Relaxed).saturating_sub(self.before[at].load(Relaxed)))
    }

    /// Forgets how much it answered.
    pub(super) fn forget_figures(&self) {
        self.before.iter().chain(&self.after).for_each(|figure| figure.store(0, Relaxed));
    }
}

impl Releases {
    /// The releases, newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &ReleaseBoard> {
        self.numbers().map(|number| &self.places[number])
    }

    /// The places that are filled, the newest first.
    pub fn numbers(&self) -> impl Iterator<Item = usize> {
        let kept = self.count.load(Relaxed).min(RELEASES_MAX as u64) as usize;
        let mut numbers: Vec<usize> = (0..kept).collect();
        numbers.sort_by_key(|number| Reverse((self.places[*number].first_seen_ms.load(Relaxed), *number)));
        numbers.into_iter()
    }

    /// The release at this place.
    pub fn at(&self, number: usize) -> &ReleaseBoard {
        &self.places[number]
    }

    /// The latest release of a pool.
    pub fn of(&self, monitor: &MonitorBoard, pool: PoolId) -> Option<&ReleaseBoard> {
        self.latest(monitor, pool).map(|number| &self.places[number])
    }

    fn latest(&self, monitor: &MonitorBoard, pool: PoolId) -> Option<usize> {
        self.numbers().find(|number| self.places[*number].pool_now(monitor) == pool)
    }

    /// A place for another release.
    fn room(&self, monitor: &MonitorBoard, now_ms: u64) -> usize {
        let count = self.count.fetch_add(1, Relaxed) as usize;
        if count < RELEASES_MAX {
            return count;
        }
        let seen_ms = |number: &usize| self.places[*number].last_seen_ms.load(Relaxed);
        let number = (0..RELEASES_MAX).min_by_key(seen_ms).unwrap_or(0);
        monitor.crowding.releases.make_room(seen_ms(&number), now_ms);
        number
    }

    /// Notes that a pool has this release now, and returns where it stands; an unknown one is none.
    pub(super) fn see(&self, monitor: &MonitorBoard, pool: PoolId, name: &str, now_ms: u64) -> Option<Place> {
        if name.is_empty() {
            return None;
        }
        let board = monitor.pool(pool);
        let totals = [board.answered(), board.failed_attempts.load(Relaxed)];
        let known = self.latest(monitor, pool).filter(|latest| self.places[*latest].name.load() == name);
        let number = match known {
            Some(known) => known,
            None => {
                let number = self.room(monitor, now_ms);
                let place = &self.places[number];
                place.name.store(name.as_bytes());
                place.pool.store(pool);
                place.first_seen_ms.store(now_ms, Relaxed);
                place.outcome.store(0, Relaxed);
                place.before.iter().zip(totals).for_each(|(before, total)| before.store(total, Relaxed));
                number
            }
        };
        let release = &self.places[number];
        release.last_seen_ms.store(now_ms, Relaxed);
        release.after.iter().zip(totals).for_each(|(after, total)| after.store(total, Relaxed));
        Some(Place { number, is_new: known.is_none() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::rollout::RolloutBoard;
    use crate::model::success::Success;

    #[test]
    fn releases_are_remembered_newest_first_and_the_oldest_makes_room() {
        let monitor: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        let rollout: &RolloutBoard = Region::private(size_of::<RolloutBoard>()).get(0).expect("room");
        let (releases, blue, green) = (&rollout.seen, PoolId::new(1), PoolId::new(2));
        assert_eq!(releases.see(monitor, blue, "", 1), None);
        assert_eq!(releases.newest_first().count(), 0, "an unknown release is none");
        releases.see(monitor, blue, "v1", 1000);
        releases.see(monitor, green, "v2", 2000);
        monitor.pool(blue).failed_attempts.fetch_add(3, Relaxed);
        releases.see(monitor, blue, "v1", 3000);
        let names: Vec<String> = releases.newest_first().map(|release| release.name.load()).collect();
        assert_eq!(names, ["v2", "v1"]);
        let v1 = releases.of(monitor, blue).expect("v1");
        assert_eq!((v1.first_seen_ms.load(Relaxed), v1.last_seen_ms.load(Relaxed), v1.figures()), (1000, 3000, [0, 3]));
        for n in 0..100 {
            releases.see(monitor, blue, &format!("v{n}"), 4000 + n);
        }
        assert_eq!(releases.newest_first().count(), RELEASES_MAX);
        assert_eq!(releases.newest_first().next().expect("the newest").name.load(), "v99");
    }

    #[test]
    fn a_release_is_as_fast_as_its_own_answers() {
        let monitor: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        let rollout: &RolloutBoard = Region::private(size_of::<RolloutBoard>()).get(0).expect("room");
        let pool = PoolId::new(1);
        let answer = |ms: u32, count: usize| {
            (0..count).for_each(|_| monitor.pool(pool).count_answers(&[Success::after_ms(ms)]));
        };
        let p95s = || rollout.seen.numbers().map(|at| rollout.latencies[at].p95_ms()).collect::<Vec<_>>();
        rollout.see(monitor, pool, "v1", 1000);
        assert_eq!(p95s(), [None]);
        answer(7, 90);
        answer(40, 10);
        rollout.see(monitor, pool, "v1", 2000);
        assert_eq!(p95s(), [Some(38)], "half way between 25 and 50 ms, as near as the histogram is");
        rollout.see(monitor, pool, "v2", 3000);
        answer(60_000, 3);
        rollout.see(monitor, pool, "v2", 4000);
        assert_eq!(p95s(), [Some(30_000), Some(38)], "longer than the last bound is at least that");
    }
}
