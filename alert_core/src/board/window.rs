//! The sliding window: the last N requests of all workers together, in a ring of packed words in shared memory.
//!
//! A writer claims the next place, swaps its word in and adjusts the running counts by the word it displaced. The
//! counts are therefore exact whatever the interleaving, and a rule costs the same for 7 requests as for 100,000.
//! Between the swap and the adjustment the counts lag by that one word, so they are signed and read as at least zero. A
//! writer that is killed there leaves them so; [`Window::mend`] counts the words anew.

use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use crate::base::atomic::{AtomicI64, AtomicU64};
use crate::base::shared::shared;
use crate::model::ids::{POOLS_MAX, PoolId};
use crate::model::outcome::{Counts, Outcome};
use crate::rules::limit::ENOUGH_REQUESTS;

/// One request in the window, packed into a word: when, how long, what became of it, who answered.
///
/// Zero is the empty place. Time is kept in units of 64 ms since the beginning of 2026, which lasts for 34 years; latency
/// saturates at 17 minutes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample(u64);

/// 2026-01-01T00:00:00Z in milliseconds since the Unix epoch.
const EPOCH_MS: u64 = 1_767_225_600_000;
/// Milliseconds of a unit of time, as a power of two.
const TIME_UNIT: u32 = 6;
const TIME_SHIFT: u32 = 30;
const LATENCY_SHIFT: u32 = 10;
const LATENCY_MAX: u64 = (1 << 20) - 1;
const OUTCOME_SHIFT: u32 = 7;
const SLOW: u64 = 1 << 6;
const NEARLY_SLOW: u64 = 1 << 5;
const POOL_MASK: u64 = 0x1f;
/// The bits by which a request has a weight in the counts.
const WEIGHED: u64 = (0x7 << OUTCOME_SHIFT) | SLOW | NEARLY_SLOW;
/// Places in [`Sample::weight`].
const FAILED: usize = 0;
const RETRIED: usize = 1;
const FILLED: usize = 4;
const ABANDONED: usize = 5;
const COUNTS: usize = 6;

impl Sample {
    /// Packs a request. `slow_ms` is the latency limit, `u32::MAX` where there is none.
    #[inline]
    pub fn new(time_ms: u64, latency_ms: u32, outcome: Outcome, pool: PoolId, slow_ms: u32) -> Sample {
        let time = (time_ms.saturating_sub(EPOCH_MS) >> TIME_UNIT).min((1 << 34) - 1);
        let latency = u64::from(latency_ms).min(LATENCY_MAX);
        Sample(
            (time << TIME_SHIFT)
                | (latency << LATENCY_SHIFT)
                | ((outcome as u64) << OUTCOME_SHIFT)
                | slowness(latency, outcome, slow_ms)
                | u64::from(pool.get()),
        )
    }

    /// The request of a word of a window.
    pub(super) fn of_word(word: u64) -> Sample {
        Sample(word)
    }

    /// Whether the request ended by this time. One before the first time that a word has did.
    pub(super) fn ended_by(self, time_ms: u64) -> bool {
        self.time_ms() <= time_ms.max(EPOCH_MS)
    }

    /// When the request ended, in milliseconds since the Unix epoch, to 64 ms.
    pub fn time_ms(self) -> u64 {
        ((self.0 >> TIME_SHIFT) << TIME_UNIT) + EPOCH_MS
    }

    /// The last millisecond in which it may have ended, by the unit of its time.
    pub fn last_ms(self) -> u64 {
        self.time_ms() | ((1 << TIME_UNIT) - 1)
    }

    /// Upstream time of all its attempts, in milliseconds.
    pub fn latency_ms(self) -> u32 {
        ((self.0 >> LATENCY_SHIFT) & LATENCY_MAX) as u32
    }

    /// What became of it; `None` for an empty place.
    pub fn outcome(self) -> Option<Outcome> {
        match (self.0 >> OUTCOME_SHIFT) & 0x7 {
            1 => Some(Outcome::Answered),
            2 => Some(Outcome::Failed),
            3 => Some(Outcome::Retried),
            4 => Some(Outcome::RetriedWhileFailedOver),
            5 => Some(Outcome::Abandoned),
            _ => None,
        }
    }

    /// The pool of its last attempt.
    pub fn pool(self) -> PoolId {
        PoolId::new((self.0 & POOL_MASK) as u8)
    }

    /// The same request of this pool.
    pub(super) fn of_pool(self, pool: PoolId) -> Sample {
        Sample((self.0 & !POOL_MASK) | u64::from(pool.get()))
    }

    fn with_limit(self, slow_ms: u32) -> Sample {
        let Some(outcome) = self.outcome() else { return self };
        Sample((self.0 & !(SLOW | NEARLY_SLOW)) | slowness(u64::from(self.latency_ms()), outcome, slow_ms))
    }

    /// What this word adds to (failed, retried, slow, nearly slow, filled, abandoned).
    #[inline]
    fn weight(self) -> [i64; COUNTS] {
        let outcome = (self.0 >> OUTCOME_SHIFT) & 0x7;
        [
            i64::from(outcome == Outcome::Failed as u64),
            i64::from(outcome == Outcome::Retried as u64),
            i64::from(self.0 & SLOW != 0),
            i64::from(self.0 & NEARLY_SLOW != 0),
            i64::from(outcome != 0),
            i64::from(outcome == Outcome::Abandoned as u64),
        ]
    }
}

/// The two bits that the latency rule counts: above the limit, and above the 80 % at which it resolves. Only an answer
/// has a latency: a failure is told by rules of its own.
#[inline]
fn slowness(latency: u64, outcome: Outcome, slow_ms: u32) -> u64 {
    if slow_ms == u32::MAX || !outcome.is_answer() {
        return 0;
    }
    let limit = u64::from(slow_ms);
    let slow = if latency > limit { SLOW } else { 0 };
    let nearly = if latency * 5 > limit * 4 { NEARLY_SLOW } else { 0 };
    slow | nearly
}

shared! {
/// The running counts of a window; they lie in front of its ring.
#[derive(Debug, Default)]
pub struct WindowHead {
    next: AtomicU64,
    /// The latency limit by which the words are marked, plus one; zero is no limit.
    slow_limit: AtomicU64,
    /// In the order of [`Sample::weight`].
    counts: [AtomicI64; COUNTS],
    /// The request as of which a window that took the place of another one says that something is over.
    resolves_from: AtomicU64,
}
}

/// A view of one window in shared memory.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    head: &'a WindowHead,
    ring: &'a [AtomicU64],
}

impl<'a> Window<'a> {
    /// Joins the counts and the ring of one window. The ring is not empty.
    pub fn new(head: &'a WindowHead, ring: &'a [AtomicU64]) -> Self {
        debug_assert!(!ring.is_empty());
        Window { head, ring }
    }

    /// Requests that the window can hold.
    pub fn size(&self) -> u32 {
        self.ring.len() as u32
    }

    /// Puts a request into the window, in the place of the oldest.
    #[inline]
    pub fn record(&self, time_ms: u64, latency_ms: u32, outcome: Outcome, pool: PoolId) {
        self.record_all(std::iter::once((time_ms, latency_ms)), outcome, pool);
    }

    /// Puts requests, given by when they ended and how long they took, into the window, in the places of the oldest.
    #[inline]
    pub fn record_all(&self, requests: impl ExactSizeIterator<Item = (u64, u32)>, outcome: Outcome, pool: PoolId) {
        let slow_ms = self.slow_ms();
        let claimed = self.head.next.fetch_add(requests.len() as u64, Relaxed);
        let mut places = self.ring[(claimed % self.ring.len() as u64) as usize..].iter();
        for (time_ms, latency_ms) in requests {
            let Some(place) = places.next().or_else(|| {
                places = self.ring.iter();
                places.next()
            }) else {
                return;
            };
            let sample = Sample::new(time_ms, latency_ms, outcome, pool, slow_ms);
            let displaced = Sample(place.swap(sample.0, AcqRel));
            self.adjust(displaced, sample);
        }
    }

    /// Fills an empty window with the words of another of its size. Words that are no request leave their place empty.
    pub fn refill(&self, next: u64, words: impl Iterator<Item = u64>) {
        self.head.next.store(next % self.ring.len() as u64, Relaxed);
        self.begin_anew();
        for (cell, word) in self.ring.iter().zip(words) {
            let sample = Sample(word).with_limit(self.slow_ms());
            if sample.outcome().is_some() {
                cell.store(sample.0, Relaxed);
                self.adjust(Sample(0), sample);
            }
        }
    }

    /// Says that this window takes the place of another one, in which something may have been wrong.
    pub fn begin_anew(&self) {
        self.head.resolves_from.store(self.head.next.load(Relaxed) + u64::from(self.enough()), Relaxed);
    }

    /// Whether the window has seen enough to say that something is over. One that begins anew has not, until it holds
    /// as many requests as latency is judged by. One that grew empty with age has.
    #[inline]
    pub fn may_resolve(&self) -> bool {
        self.head.next.load(Relaxed) >= self.head.resolves_from.load(Relaxed) || self.count(FILLED) >= self.enough()
    }

    fn enough(&self) -> u32 {
        self.size().min(ENOUGH_REQUESTS)
    }

    /// The counts of this instant.
    #[inline]
    pub fn counts(&self) -> Counts {
        let [failed, retried, slow, nearly_slow, filled, abandoned] =
            [FAILED, RETRIED, 2, 3, FILLED, ABANDONED].map(|at| self.count(at));
        Counts { failed, retried, slow, nearly_slow, filled, abandoned }
    }

    /// Empties the places of requests that ended before `oldest_ms`.
    pub fn expire(&self, oldest_ms: u64) {
        self.rewrite(|sample| if sample.time_ms() < oldest_ms { Sample(0) } else { sample });
    }

    /// Marks the requests by another latency limit; `u32::MAX` is none.
    pub fn set_slow_ms(&self, slow_ms: u32) {
        if self.slow_ms() != slow_ms {
            let stored = if slow_ms == u32::MAX { 0 } else { u64::from(slow_ms) + 1 };
            self.head.slow_limit.store(stored, Relaxed);
            self.rewrite(|sample| sample.with_limit(slow_ms));
        }
    }

    /// The requests in the window, oldest first as far as concurrent writers allow.
    pub fn samples(&self) -> impl Iterator<Item = Sample> + '_ {
        let next = (self.head.next.load(Relaxed) % self.ring.len() as u64) as usize;
        let (newer, older) = self.ring.split_at(next);
        older.iter().chain(newer).map(|word| Sample(word.load(Relaxed))).filter(|sample| sample.outcome().is_some())
    }

    /// The given percentiles (in thousandths, ascending) of the latencies of the answers in the window, in milliseconds, by nearest
    /// rank; `None` while there is none. Copies the window: for status and messages, not for rules.
    pub fn percentiles<const P: usize>(&self, per_mille: [u32; P]) -> Option<[u32; P]> {
        // In any order, which spares a look at where the newest is.
        let samples = self.ring.iter().map(|word| Sample(word.load(Relaxed)));
        let answers = samples.filter(|sample| sample.outcome().is_some_and(Outcome::is_answer));
        percentiles(answers.map(Sample::latency_ms), per_mille)
    }

    /// Of each pool whose requests are in the window: how many, how many of them with this outcome, and this percentile (in
    /// thousandths) of its latencies, in milliseconds. Copies the window: for messages.
    /// `now` puts the requests right whose pool is no longer there.
    pub fn by_pool(
        &self,
        outcome: Outcome,
        per_mille: Option<u32>,
        now: impl Fn(Sample) -> Sample,
    ) -> impl Iterator<Item = (PoolId, u32, u32, u32)> {
        let samples: Vec<Sample> = self.samples().map(now).collect();
        (0..=POOLS_MAX as u8).map(PoolId::new).filter_map(move |pool| {
            let own = || samples.iter().filter(|sample| sample.pool() == pool);
            let requests = own().count() as u32;
            let count = own().filter(|sample| sample.outcome() == Some(outcome)).count() as u32;
            let answers = own().filter(|sample| sample.outcome().is_some_and(Outcome::is_answer));
            let latency = per_mille.and_then(|rank| percentiles(answers.map(|sample| sample.latency_ms()), [rank]));
            (requests > 0).then(|| (pool, requests, count, latency.map_or(0, |[value]| value)))
        })
    }

    /// Sets the counts right where a writer was killed between its swap and the adjustment. Returns whether they are
    /// right; `false` asks for another try, since somebody wrote meanwhile.
    ///
    /// `is_quiet` says that nobody is between the two at this instant, nor anywhere else in a change. Whoever begins
    /// one after that is noticed: a new request by its claim, anything else by a count that is not what it was.
    pub fn mend(&self, is_quiet: impl Fn() -> bool) -> bool {
        let claimed = self.head.next.load(Relaxed);
        if !is_quiet() {
            return false;
        }
        let seen = self.head.counts.each_ref().map(|count| count.load(Acquire));
        let mut counted = [0; COUNTS];
        for word in self.ring {
            let weight = Sample(word.load(Acquire)).weight();
            counted.iter_mut().zip(weight).for_each(|(sum, weight)| *sum += weight);
        }
        if !is_quiet() || self.head.next.load(Relaxed) != claimed {
            return false;
        }
        // Also where nothing is to change: a request that grew too old meanwhile shows in the count alone.
        let set = |((count, seen), counted): ((&AtomicI64, i64), i64)| {
            count.compare_exchange(seen, counted, AcqRel, Relaxed).is_ok()
        };
        self.head.counts.iter().zip(seen).zip(counted).fold(true, |right, count| set(count) & right)
    }

    fn slow_ms(&self) -> u32 {
        match self.head.slow_limit.load(Relaxed) {
            0 => u32::MAX,
            stored => (stored - 1).min(u64::from(u32::MAX)) as u32,
        }
    }

    fn rewrite(&self, change: impl Fn(Sample) -> Sample) {
        for word in self.ring {
            let old = Sample(word.load(Relaxed));
            if old.outcome().is_none() {
                continue;
            }
            let new = change(old);
            // A writer that was faster has put a newer request here; that one needs no change.
            if new != old && word.compare_exchange(old.0, new.0, AcqRel, Relaxed).is_ok() {
                self.adjust(old, new);
            }
        }
    }

    /// The requests whose client got an upstream failure, without the other counts.
    #[inline]
    pub fn failed(&self) -> u32 {
        self.count(FAILED)
    }

    /// The requests whose client gave up waiting, without the other counts.
    #[inline]
    pub fn abandoned(&self) -> u32 {
        self.count(ABANDONED)
    }

    /// The requests with a failure hidden by a retry, without the other counts.
    #[inline]
    pub fn retried(&self) -> u32 {
        self.count(RETRIED)
    }

    #[inline]
    fn count(&self, at: usize) -> u32 {
        self.head.counts[at].load(Relaxed).clamp(0, self.ring.len() as i64) as u32
    }

    #[inline]
    fn adjust(&self, old: Sample, new: Sample) {
        // One like the displaced one changes no count: by far the most frequent case.
        if old.0 & WEIGHED != new.0 & WEIGHED {
            self.adjust_counts(old, new);
        }
    }

    #[cold]
    fn adjust_counts(&self, old: Sample, new: Sample) {
        let (old, new) = (old.weight(), new.weight());
        for ((count, old), new) in self.head.counts.iter().zip(old).zip(new) {
            if old != new {
                // Whoever reads the count sees the word that made it.
                count.fetch_add(new - old, Release);
            }
        }
    }
}

/// The given percentiles (in thousandths, ascending) of these values, by nearest rank; `None` where there are none.
fn percentiles<const P: usize>(values: impl Iterator<Item = u32>, per_mille: [u32; P]) -> Option<[u32; P]> {
    let mut values: Vec<u32> = values.collect();
    if values.is_empty() {
        return None;
    }
    // The lowest first, so that each of the others is looked for among the few that lie above the one before it.
    let (len, mut above, mut below) = (values.len() as u64, values.as_mut_slice(), 0);
    let mut found = [0; P];
    for (value, rank) in found.iter_mut().zip(per_mille) {
        let at = (len * u64::from(rank)).div_ceil(1000).clamp(1, len) as usize - 1;
        // Ranks ascend, so this one lies there.
        let at = at.saturating_sub(below);
        *value = *above.select_nth_unstable(at).1;
        below += at;
        above = &mut above[at..];
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;

    struct Owned(WindowHead, Vec<AtomicU64>);

    fn window(size: usize) -> Owned {
        Owned(WindowHead::default(), (0..size).map(|_| AtomicU64::new(0)).collect())
    }

    impl Owned {
        fn view(&self) -> Window<'_> {
            Window::new(&self.0, &self.1)
        }
    }

    const NOW: u64 = EPOCH_MS + 86_400_000;

    #[test]
    fn a_sample_keeps_what_it_was_given() {
        let sample = Sample::new(NOW, 1234, Outcome::Retried, PoolId::new(31), 1000);
        assert_eq!(sample.time_ms(), NOW);
        assert_eq!(sample.latency_ms(), 1234);
        assert_eq!(sample.outcome(), Some(Outcome::Retried));
        assert_eq!(sample.pool(), PoolId::new(31));
        assert_eq!(sample.weight(), [0, 1, 1, 1, 1, 0]);
    }

    #[test]
    fn the_counts_are_those_of_the_last_n_requests() {
        for size in [1, 7, 25, 200] {
            let owned = window(size);
            let window = owned.view();
            let mut model = VecDeque::new();
            for n in 0_u32..1000 {
                let outcome = match n % 11 {
                    0 | 5 => Outcome::Failed,
                    3 => Outcome::Retried,
                    7 => Outcome::RetriedWhileFailedOver,
                    _ => Outcome::Answered,
                };
                window.record(NOW, n % 13, outcome, PoolId::NONE);
                model.push_back(outcome);
                if model.len() > size {
                    model.pop_front();
                }
                let count = |wanted| model.iter().filter(|outcome| **outcome == wanted).count() as u32;
                let counts = window.counts();
                assert_eq!(counts.filled as usize, model.len());
                assert_eq!(counts.failed, count(Outcome::Failed));
                assert_eq!(counts.retried, count(Outcome::Retried));
            }
        }
    }

    #[test]
    fn several_writers_leave_exact_counts() {
        let owned = window(97);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let view = owned.view();
                scope.spawn(move || {
                    for n in 0..5000 {
                        let outcome = if (n + writer) % 3 == 0 { Outcome::Failed } else { Outcome::Answered };
                        view.record(NOW, 0, outcome, PoolId::NONE);
                    }
                });
            }
        });
        let view = owned.view();
        let failed = view.samples().filter(|sample| sample.outcome() == Some(Outcome::Failed)).count();
        assert_eq!(view.counts().filled, 97);
        assert_eq!(view.counts().failed as usize, failed);
    }

    #[test]
    fn counts_that_a_killed_writer_left_wrong_are_mended() {
        let owned = window(3);
        let window = owned.view();
        (0..3).for_each(|_| window.record(NOW, 0, Outcome::Failed, PoolId::NONE));
        // Killed after its swap.
        owned.1[1].store(Sample::new(NOW, 900, Outcome::Retried, PoolId::NONE, 500).0, Relaxed);
        assert_eq!((window.counts().failed, window.counts().retried, window.counts().slow), (3, 0, 0));
        assert!(!window.mend(|| false), "somebody is writing");
        assert_eq!(window.counts().failed, 3);
        let looks = std::cell::Cell::new(0);
        let writes_meanwhile = || {
            looks.set(looks.get() + 1);
            if looks.get() == 2 {
                window.record(NOW, 0, Outcome::Failed, PoolId::NONE);
            }
            true
        };
        assert!(!window.mend(writes_meanwhile), "a request came while the words were counted");
        assert!(window.mend(|| true));
        assert_eq!(window.counts(), Counts { failed: 2, retried: 1, slow: 1, nearly_slow: 1, filled: 3, abandoned: 0 });
        assert!(window.mend(|| true));
        (0..3).for_each(|_| window.record(NOW, 0, Outcome::Answered, PoolId::NONE));
        assert_eq!(window.counts(), Counts { filled: 3, ..Counts::default() });
    }

    #[test]
    fn old_requests_expire_and_leave_the_counts() {
        let owned = window(10);
        let window = owned.view();
        window.record(NOW, 0, Outcome::Failed, PoolId::NONE);
        window.record(NOW + 5000, 0, Outcome::Failed, PoolId::NONE);
        window.expire(NOW + 1000);
        assert_eq!((window.counts().failed, window.counts().filled), (1, 1));
    }

    #[test]
    fn a_window_that_begins_anew_resolves_nothing_until_it_holds_50_requests_or_as_many_as_it_can() {
        for (size, enough) in [(200, 50), (7, 7)] {
            let owned = window(size);
            let window = owned.view();
            assert!(window.may_resolve(), "nothing went before it");
            window.begin_anew();
            for _ in 0..enough {
                assert!(!window.may_resolve());
                window.record(NOW, 0, Outcome::Answered, PoolId::NONE);
            }
            assert!(window.may_resolve());
            window.expire(NOW + 1000);
            assert!(window.counts().filled == 0 && window.may_resolve(), "it grew empty with age");
        }
    }

    #[test]
    fn a_restored_window_resolves_by_what_it_holds() {
        let filled = |count: usize| {
            let (old, new) = (window(100), window(100));
            (0..count).for_each(|_| old.view().record(NOW, 0, Outcome::Answered, PoolId::NONE));
            new.view().refill(count as u64, old.1.iter().map(|word| word.load(Relaxed)));
            new.view().may_resolve()
        };
        assert!(filled(50) && !filled(49));
    }

    #[test]
    fn only_answers_have_a_latency() {
        let owned = window(10);
        let window = owned.view();
        window.set_slow_ms(500);
        for outcome in [Outcome::Failed, Outcome::Abandoned, Outcome::Answered] {
            window.record(NOW, 900, outcome, PoolId::NONE);
        }
        let one_of_three = |window: &Window<'_>| (window.counts().slow, window.counts().answers()) == (1, 1);
        assert!(one_of_three(&window));
        window.set_slow_ms(400);
        assert!(one_of_three(&window));
        window.record(NOW, 100, Outcome::Retried, PoolId::NONE);
        assert_eq!(window.percentiles([500]), Some([100]));
    }

    #[test]
    fn a_changed_latency_limit_counts_the_requests_already_there() {
        let owned = window(100);
        let window = owned.view();
        (1..=100).for_each(|ms| window.record(NOW, ms, Outcome::Answered, PoolId::NONE));
        assert_eq!(window.counts().slow, 0);
        window.set_slow_ms(90);
        assert_eq!((window.counts().slow, window.counts().nearly_slow), (10, 28));
        window.set_slow_ms(u32::MAX);
        assert_eq!((window.counts().slow, window.counts().nearly_slow), (0, 0));
    }

    #[test]
    fn each_pool_has_its_own_figures() {
        let owned = window(100);
        let window = owned.view();
        let (blue, green) = (PoolId::new(1), PoolId::new(2));
        (0..40).for_each(|ms| window.record(NOW, ms, Outcome::Answered, blue));
        (0..2).for_each(|_| window.record(NOW, 900, Outcome::Failed, blue));
        (0..10).for_each(|ms| window.record(NOW, 500 + ms, Outcome::Answered, green));
        (0..5).for_each(|_| window.record(NOW, 900, Outcome::Failed, green));
        let figures: Vec<_> = window.by_pool(Outcome::Failed, Some(500), |sample| sample).collect();
        assert_eq!(figures, [(blue, 42, 2, 19), (green, 15, 5, 504)]);
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        let owned = window(100);
        let window = owned.view();
        assert_eq!(window.percentiles([500]), None);
        (1..=100).for_each(|ms| window.record(NOW, ms, Outcome::Answered, PoolId::NONE));
        assert_eq!(window.percentiles([500, 950, 990]), Some([50, 95, 99]));
    }
}
