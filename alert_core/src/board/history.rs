//! The last hour of a monitor, for plots: what its totals were every ten seconds.
//!
//! Totals only grow, so the difference of two snapshots says what happened between them, and counting a request costs
//! nothing here. Whichever worker is first to look in a step takes its snapshot. Two at once write nearly the same
//! figures; one that is killed in the middle leaves a step without a time, which the next look takes anew.

use std::sync::atomic::{AtomicU64, Ordering, Ordering::Acquire, Ordering::Relaxed, fence};

use crate::base::shared::shared;
use crate::board::monitor::{BUCKETS_MS, MonitorBoard};
use crate::model::ids::PoolId;

/// The length of a step, in milliseconds.
pub const STEP_MS: u64 = 10_000;
/// Steps that are shown: an hour.
pub const STEPS: usize = 360;
/// One more snapshot than steps, since a step lies between two.
pub(super) const SNAPSHOTS: usize = STEPS + 1;
/// Steps without a snapshot that one difference may span: a worker that was busy, and not an nginx that was down.
const SPAN_MAX: u64 = 3;

const CLASSES: usize = BUCKETS_MS.len() + 1;
const WORDS: usize = (CLASSES + 3).div_ceil(2);
const TIME_BITS: u32 = 48;

shared! {
/// The snapshots of one monitor. All-zero is: none yet.
#[derive(Debug)]
pub struct History {
    snapshots: [Snapshot; SNAPSHOTS],
}
}

shared! {
#[derive(Debug)]
struct Snapshot {
    /// When it was taken and which pool served; zero while it is written.
    stamp: AtomicU64,
    /// [`Totals`], two to a word.
    totals: [AtomicU64; WORDS],
}
}

/// Totals of a monitor, modulo 2³²: only differences over seconds are of interest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    /// Requests that were answered, by upstream time, in the classes of [`BUCKETS_MS`].
    answered: [u32; CLASSES],
    /// Requests whose last attempt failed.
    failed_last: u32,
    failed: u32,
    retried: u32,
}

/// What happened between two snapshots.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// When it ended, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// How long it lasted, in milliseconds.
    pub span_ms: u64,
    /// Requests counted.
    pub requests: u32,
    /// Those whose client got an upstream failure.
    pub failed: u32,
    /// Those in which a retry hid a failure.
    pub retried: u32,
    /// The 50th, 95th and 99th percentile of upstream time in milliseconds, as near as the classes tell; `None` where
    /// nothing was answered.
    pub percentiles_ms: Option<[u32; 3]>,
    /// The pool that served at its end.
    pub serving: PoolId,
}

impl History {
    /// Takes the snapshot of this step, unless it is taken.
    pub fn sample(&self, monitor: &MonitorBoard, now_ms: u64) {
        let snapshot = self.snapshot(now_ms / STEP_MS);
        if snapshot.time_ms() / STEP_MS != now_ms / STEP_MS {
            snapshot.write(&Totals::of(monitor), now_ms, monitor.serving());
        }
    }

    /// The last hour, oldest first; the last point is the step that goes on.
    pub fn points(&self, monitor: &MonitorBoard, now_ms: u64) -> Vec<Point> {
        let current = now_ms / STEP_MS;
        let first = current.saturating_sub(STEPS as u64);
        let taken = (first..=current).filter_map(|step| self.snapshot(step).read(step));
        let live = Taken { time_ms: now_ms, serving: monitor.serving(), totals: Totals::of(monitor) };
        let mut points = Vec::with_capacity(SNAPSHOTS);
        let mut previous: Option<Taken> = None;
        for next in taken.chain([live]) {
            if let Some(point) = previous.as_ref().and_then(|previous| next.since(previous)) {
                // Its place may have been given to another since.
                points.push(Point { serving: monitor.pool_then(point.serving, point.time_ms), ..point });
            }
            previous = Some(next);
        }
        points
    }

    /// Requests per second, over at least half a step and at most three steps; `None` where nothing looked then.
    pub fn rate(&self, monitor: &MonitorBoard, now_ms: u64) -> Option<f64> {
        let current = now_ms / STEP_MS;
        let taken = (0..=SPAN_MAX).filter_map(|ago| {
            let step = current.checked_sub(ago)?;
            self.snapshot(step).read(step)
        });
        let mut old_enough = taken.filter(|taken| now_ms.saturating_sub(taken.time_ms) >= STEP_MS / 2);
        let live = Taken { time_ms: now_ms, serving: monitor.serving(), totals: Totals::of(monitor) };
        let point = live.since(&old_enough.next()?)?;
        Some(f64::from(point.requests) * 1000.0 / point.span_ms as f64)
    }

    /// Begins anew.
    pub(super) fn forget(&self) {
        self.snapshots.iter().for_each(|snapshot| snapshot.stamp.store(0, Relaxed));
    }

    fn snapshot(&self, step: u64) -> &Snapshot {
        &self.snapshots[(step % SNAPSHOTS as u64) as usize]
    }
}

/// A snapshot that was read.
struct Taken {
    time_ms: u64,
    serving: PoolId,
    totals: Totals,
}

impl Taken {
    fn since(&self, previous: &Taken) -> Option<Point> {
        let span_ms = self.time_ms.checked_sub(previous.time_ms)?;
        if span_ms == 0 || span_ms > SPAN_MAX * STEP_MS {
            return None;
        }
        let (now, before) = (&self.totals, &previous.totals);
        let answered: [u32; CLASSES] =
            std::array::from_fn(|class| difference(now.answered[class], before.answered[class]));
        Some(Point {
            time_ms: self.time_ms,
            span_ms,
            requests: answered
                .iter()
                .copied()
                .fold(difference(now.failed_last, before.failed_last), u32::saturating_add),
            failed: difference(now.failed, before.failed),
            retried: difference(now.retried, before.retried),
            percentiles_ms: percentiles(&answered),
            serving: self.serving,
        })
    }
}

/// What a total grew by. Where the place of a pool was given to another the totals shrink: that is no growth.
fn difference(now: u32, before: u32) -> u32 {
    let grown = now.wrapping_sub(before);
    if grown > u32::MAX / 2 { 0 } else { grown }
}

fn percentiles(answered: &[u32; CLASSES]) -> Option<[u32; 3]> {
    let sum: u64 = answered.iter().map(|count| u64::from(*count)).sum();
    (sum > 0).then(|| [500, 950, 990].map(|per_mille| percentile(answered, sum * per_mille / 1000)))
}

/// The time below which `rank` answers are, with those of a class spread evenly over it.
fn percentile(answered: &[u32; CLASSES], rank: u64) -> u32 {
    let mut below = 0;
    for (class, count) in answered.iter().map(|count| u64::from(*count)).enumerate() {
        if count > 0 && below + count >= rank {
            let from = class.checked_sub(1).map_or(0, |at| BUCKETS_MS[at]);
            // Nothing is known about the times in the last class but where it begins.
            let to = BUCKETS_MS.get(class).copied().unwrap_or(from);
            return from + (u64::from(to - from) * (rank - below) / count) as u32;
        }
        below += count;
    }
    BUCKETS_MS[BUCKETS_MS.len() - 1]
}

impl Totals {
    fn of(monitor: &MonitorBoard) -> Totals {
        let mut totals = Totals {
            failed: monitor.failed.load(Relaxed) as u32,
            retried: monitor.retried.load(Relaxed) as u32,
            ..Totals::default()
        };
        for pool in &monitor.pools {
            totals.failed_last = totals.failed_last.wrapping_add(pool.failed_last.load(Relaxed) as u32);
            for (total, bucket) in totals.answered.iter_mut().zip(&pool.latency_buckets) {
                *total = total.wrapping_add(bucket.load(Relaxed) as u32);
            }
            // What plots show needs no finer class than the first.
            for bucket in &pool.fine_buckets {
                totals.answered[0] = totals.answered[0].wrapping_add(bucket.load(Relaxed) as u32);
            }
        }
        totals
    }

    fn to_array(self) -> [u32; WORDS * 2] {
        let mut array = [0; WORDS * 2];
        array[..CLASSES].copy_from_slice(&self.answered);
        array[CLASSES..CLASSES + 3].copy_from_slice(&[self.failed_last, self.failed, self.retried]);
        array
    }

    fn from_array(array: [u32; WORDS * 2]) -> Totals {
        Totals {
            answered: std::array::from_fn(|class| array[class]),
            failed_last: array[CLASSES],
            failed: array[CLASSES + 1],
            retried: array[CLASSES + 2],
        }
    }
}

impl Snapshot {
    fn time_ms(&self) -> u64 {
        self.stamp.load(Relaxed) & ((1 << TIME_BITS) - 1)
    }

    fn write(&self, totals: &Totals, now_ms: u64, serving: PoolId) {
        self.stamp.store(0, Relaxed);
        fence(Ordering::Release);
        for (word, pair) in self.totals.iter().zip(totals.to_array().chunks_exact(2)) {
            word.store(u64::from(pair[0]) | (u64::from(pair[1]) << 32), Relaxed);
        }
        self.stamp.store(now_ms | (u64::from(serving.get()) << TIME_BITS), Ordering::Release);
    }

    /// The snapshot, if it is whole and of this step.
    fn read(&self, step: u64) -> Option<Taken> {
        let stamp = self.stamp.load(Acquire);
        let time_ms = stamp & ((1 << TIME_BITS) - 1);
        if time_ms / STEP_MS != step || stamp == 0 {
            return None;
        }
        let words = self.totals.each_ref().map(|word| word.load(Relaxed));
        fence(Acquire);
        let array = std::array::from_fn(|at| (words[at / 2] >> (at % 2 * 32)) as u32);
        (self.stamp.load(Relaxed) == stamp).then(|| Taken {
            time_ms,
            serving: PoolId::new((stamp >> TIME_BITS) as u8),
            totals: Totals::from_array(array),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::model::success::Success;

    const T0: u64 = 1_790_000_000_000;

    fn monitor() -> &'static MonitorBoard {
        Region::private(size_of::<MonitorBoard>()).get(0).expect("room")
    }

    fn answer(monitor: &MonitorBoard, count: u32, latency_ms: u32) {
        (0..count).for_each(|_| monitor.pools[1].count_answers(&[Success::after_ms(latency_ms)]));
    }

    #[test]
    fn a_step_says_what_happened_in_it() {
        let monitor = monitor();
        monitor.history.sample(monitor, T0);
        answer(monitor, 90, 3);
        answer(monitor, 10, 300);
        monitor.failed.fetch_add(4, Relaxed);
        monitor.pools[1].failed_last.fetch_add(5, Relaxed);
        monitor.retried.fetch_add(2, Relaxed);
        monitor.history.sample(monitor, T0 + 5000);
        monitor.history.sample(monitor, T0 + STEP_MS + 7);
        answer(monitor, 1, 0);
        let points = monitor.history.points(monitor, T0 + STEP_MS + 1007);
        assert_eq!(points.len(), 2);
        let step = &points[0];
        assert_eq!((step.time_ms, step.span_ms), (T0 + STEP_MS + 7, STEP_MS + 7));
        assert_eq!((step.requests, step.failed, step.retried), (105, 4, 2));
        assert_eq!(step.percentiles_ms, Some([2, 375, 475]));
        assert_eq!((points[1].requests, points[1].span_ms), (1, 1000), "the step that goes on");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let monitor = monitor();
        assert_eq!(monitor.history.rate(monitor, T0), None);
        monitor.history.sample(monitor, T0);
        answer(monitor, 60, 3);
        assert_eq!(monitor.history.rate(monitor, T0 + 1000), None, "too short to say");
        assert_eq!(monitor.history.rate(monitor, T0 + 6000), Some(10.0));
        monitor.history.sample(monitor, T0 + STEP_MS);
        answer(monitor, 120, 3);
        assert_eq!(monitor.history.rate(monitor, T0 + STEP_MS + 2000), Some(15.0), "two steps together");
        assert_eq!(monitor.history.rate(monitor, T0 + STEP_MS + 6000), Some(20.0));
        assert_eq!(monitor.history.rate(monitor, T0 + 10 * STEP_MS), None);
    }

    #[test]
    fn the_history_is_an_hour_and_leaves_gaps_where_nothing_looked() {
        let monitor = monitor();
        for step in 0..1000 {
            answer(monitor, 1, 1);
            if !(900..910).contains(&step) {
                monitor.history.sample(monitor, T0 + step * STEP_MS);
            }
        }
        let points = monitor.history.points(monitor, T0 + 999 * STEP_MS + 1);
        assert_eq!(points.len(), STEPS - 10, "eleven differences are missing, and one step goes on");
        assert!(points.iter().all(|point| point.requests <= 1 && point.span_ms <= STEP_MS), "{points:?}");
        assert!(monitor.history.points(monitor, T0 + 5000 * STEP_MS).is_empty(), "all of it is too old");
    }

    #[test]
    fn a_writer_killed_in_the_middle_leaves_a_step_that_is_taken_anew() {
        let monitor = monitor();
        monitor.history.sample(monitor, T0);
        let torn = monitor.history.snapshot((T0 + STEP_MS) / STEP_MS);
        torn.totals[0].store(u64::MAX, Relaxed);
        assert!(torn.read((T0 + STEP_MS) / STEP_MS).is_none());
        monitor.history.sample(monitor, T0 + STEP_MS + 1000);
        assert_eq!(monitor.history.points(monitor, T0 + STEP_MS + 1000)[0].requests, 0);
    }

    #[test]
    fn totals_that_shrink_are_no_growth() {
        let monitor = monitor();
        answer(monitor, 100, 1);
        monitor.history.sample(monitor, T0);
        monitor.pools[1].latency_buckets[0].store(0, Relaxed);
        assert_eq!(monitor.history.points(monitor, T0 + 1000)[0].requests, 0);
    }
}
