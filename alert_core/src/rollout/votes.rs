//! Who has voted against which pool: the first bad event of each bucket, and what the bets made of it.
//!
//! All workers cast votes at once, so that everything here is an atomic; only the worker that leads the rollout banks
//! and begins anew. A vote that is cast in the very moment of a new beginning can be lost, or its bucket can vote once
//! more: at most one a worker.

use std::sync::atomic::{
    AtomicI64, AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release,
};

use super::share::{BUCKETS, Bucket};
use super::verdict::{BETS, Evidence, gains};
use crate::base::shared::shared;

shared! {
/// The votes on one kind of bad event. All-zero is a ballot that takes no votes.
#[derive(Debug)]
pub struct Ballot {
    /// One bit a bucket: whether it has voted.
    voted: [AtomicU64; BUCKETS as usize / 64],
    /// [`Tally`].
    tally: AtomicU64,
    /// What each bet gained since it was banked last, as [`fixed`].
    gained: [AtomicI64; BETS],
    /// What each bet has in the bank, as [`fixed`].
    banked: [AtomicI64; BETS],
    /// [`Seconds`].
    seconds: AtomicU64,
}
}

/// The count of a ballot, packed into one word, so that a vote knows how many came before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// What the votes are about; a new term begins anew.
    pub term: u16,
    /// How many buckets belong to the pool of the share.
    pub edge: u16,
    /// Votes cast.
    pub cast: u16,
    /// Those of them from the pool of the share.
    pub of_share: u16,
}

/// One vote, and one of the pool of the share, in the word of a [`Tally`].
const ONE: u64 = 1 << 32;
const ONE_OF_SHARE: u64 = 1 << 48;

impl Tally {
    fn to_word(self) -> u64 {
        u64::from(self.term) | u64::from(self.edge) << 16 | u64::from(self.cast) << 32 | u64::from(self.of_share) << 48
    }

    fn from_word(word: u64) -> Tally {
        Tally { term: word as u16, edge: (word >> 16) as u16, cast: (word >> 32) as u16, of_share: (word >> 48) as u16 }
    }

    /// How likely the next vote is from the pool of the share, if the pools are alike.
    pub fn chance(self) -> f64 {
        let left = f64::from(BUCKETS) - f64::from(self.cast);
        let left_of_share = f64::from(self.edge) - f64::from(self.of_share);
        // Votes at the moment of a new beginning can make the counts differ by a few.
        if left < 1.0 { 0.0 } else { (left_of_share / left).clamp(0.0, 1.0) }
    }
}

/// In how many seconds votes came, and how many had come at the last look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Seconds {
    /// Seconds with votes of the pool of the share.
    of_share: u16,
    /// Seconds with votes of the other pool.
    of_other: u16,
    /// The tally's counts at the last look.
    seen: u16,
    seen_of_share: u16,
}

impl Seconds {
    fn to_word(self) -> u64 {
        u64::from(self.of_share)
            | u64::from(self.of_other) << 16
            | u64::from(self.seen) << 32
            | u64::from(self.seen_of_share) << 48
    }

    fn from_word(word: u64) -> Seconds {
        Seconds {
            of_share: word as u16,
            of_other: (word >> 16) as u16,
            seen: (word >> 32) as u16,
            seen_of_share: (word >> 48) as u16,
        }
    }

    fn after(self, tally: Tally) -> Seconds {
        let more_of_share = tally.of_share.saturating_sub(self.seen_of_share);
        let more = tally.cast.saturating_sub(self.seen);
        Seconds {
            of_share: self.of_share.saturating_add(u16::from(more_of_share > 0)),
            of_other: self.of_other.saturating_add(u16::from(more > more_of_share)),
            seen: tally.cast,
            seen_of_share: tally.of_share,
        }
    }
}

/// A logarithm as whole number, so that workers can add to it at once: 2³² is one.
fn fixed(ln: f64) -> i64 {
    (ln * 4_294_967_296.0) as i64
}

fn unfixed(fixed: i64) -> f64 {
    fixed as f64 / 4_294_967_296.0
}

impl Ballot {
    /// Casts the vote of a bucket whose request belonged to the pool of the share, or to the other one. Returns whether
    /// it counts: the first of its bucket, which still belongs to that pool.
    pub fn cast(&self, bucket: Bucket, of_share: bool) -> bool {
        let tally = Tally::from_word(self.tally.load(Acquire));
        if tally.edge == 0 || of_share != (bucket.get() < tally.edge) {
            return false;
        }
        let (word, bit) = (&self.voted[usize::from(bucket.get() / 64)], 1 << (bucket.get() % 64));
        // Most that come again are seen without a write.
        if word.load(Relaxed) & bit != 0 || word.fetch_or(bit, AcqRel) & bit != 0 {
            return false;
        }
        let before = self.tally.fetch_add(if of_share { ONE + ONE_OF_SHARE } else { ONE }, AcqRel);
        let gains = gains(Tally::from_word(before).chance(), of_share);
        self.gained.iter().zip(gains).for_each(|(gained, gain)| {
            gained.fetch_add(fixed(gain), Relaxed);
        });
        true
    }

    /// Banks what each bet gained: a loss in full, a gain of at most a factor of ten. Called once a second by the
    /// worker that leads, so that what happens within a moment weighs no more than the moment.
    pub fn bank(&self) {
        self.gained.iter().zip(&self.banked).for_each(|(gained, banked)| {
            banked.fetch_add(gained.swap(0, Relaxed).min(fixed(std::f64::consts::LN_10)), Relaxed);
        });
        let seconds = Seconds::from_word(self.seconds.load(Relaxed));
        self.seconds.store(seconds.after(self.tally()).to_word(), Relaxed);
    }

    /// Forgets everything and takes votes on the pool that has the buckets below `edge`. With an edge of zero, it takes none.
    pub fn begin(&self, term: u16, edge: u16) {
        self.tally.store(0, Release);
        self.voted.iter().chain([&self.seconds]).for_each(|word| word.store(0, Relaxed));
        self.gained.iter().chain(&self.banked).for_each(|ln| ln.store(0, Relaxed));
        self.tally.store(Tally { term, edge, ..Tally::default() }.to_word(), Release);
    }

    /// How many have voted.
    pub fn tally(&self) -> Tally {
        Tally::from_word(self.tally.load(Acquire))
    }

    /// What the votes in the bank say against the pool of the share, and against the other one.
    pub fn evidence(&self) -> [Evidence; 2] {
        let (tally, seconds) = (self.tally(), Seconds::from_word(self.seconds.load(Relaxed)));
        let value =
            |bets: &[AtomicI64]| bets.iter().map(|ln| unfixed(ln.load(Relaxed)).exp()).sum::<f64>() / bets.len() as f64;
        let (of_share, of_other) = self.banked.split_at(BETS / 2);
        [
            Evidence { value: value(of_share), votes: tally.of_share, seconds: seconds.of_share },
            Evidence {
                value: value(of_other),
                votes: tally.cast.saturating_sub(tally.of_share),
                seconds: seconds.of_other,
            },
        ]
    }
}

impl Default for Ballot {
    fn default() -> Ballot {
        Ballot {
            voted: [const { AtomicU64::new(0) }; BUCKETS as usize / 64],
            tally: AtomicU64::new(0),
            gained: [const { AtomicI64::new(0) }; BETS],
            banked: [const { AtomicI64::new(0) }; BETS],
            seconds: AtomicU64::new(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;
    use crate::rollout::verdict::ODDS;

    /// The ballot as it is defined: every vote kept, every product multiplied out.
    #[derive(Default)]
    struct Model {
        edge: u16,
        voted: HashSet<u16>,
        votes: Vec<bool>,
        gained: Vec<(f64, f64)>,
        banked: Vec<(f64, f64)>,
        seconds: [u16; 2],
        looked_at: usize,
    }

    impl Model {
        fn begin(edge: u16) -> Model {
            let ones = vec![(1.0, 1.0); ODDS.len()];
            Model { edge, gained: ones.clone(), banked: ones, ..Model::default() }
        }

        fn cast(&mut self, bucket: u16, of_share: bool) -> bool {
            if self.edge == 0 || of_share != (bucket < self.edge) || !self.voted.insert(bucket) {
                return false;
            }
            let of_share_before = self.votes.iter().filter(|of_share| **of_share).count() as f64;
            let q = (f64::from(self.edge) - of_share_before) / (16_384.0 - self.votes.len() as f64);
            for (odds, (share, other)) in ODDS.iter().zip(&mut self.gained) {
                *share *= if of_share { *odds } else { 1.0 } / (1.0 + q * (odds - 1.0));
                *other *= if of_share { 1.0 } else { *odds } / (1.0 + (1.0 - q) * (odds - 1.0));
            }
            self.votes.push(of_share);
            true
        }

        fn bank(&mut self) {
            for ((share, other), (share_banked, other_banked)) in self.gained.iter_mut().zip(&mut self.banked) {
                *share_banked *= share.min(10.0);
                *other_banked *= other.min(10.0);
                (*share, *other) = (1.0, 1.0);
            }
            let new = &self.votes[self.looked_at..];
            self.seconds[0] += u16::from(new.contains(&true));
            self.seconds[1] += u16::from(new.contains(&false));
            self.looked_at = self.votes.len();
        }
    }

    #[derive(Clone, Copy, Debug)]
    enum Doing {
        Cast(u16, bool),
        CastWhereItBelongs(u16),
        Bank,
        Begin(u16),
    }

    fn doing() -> impl Strategy<Value = Doing> {
        // Few buckets, so that many come again; the edge lies among them.
        let bucket = || prop_oneof![0..40_u16, 0..BUCKETS];
        prop_oneof![
            4 => (bucket(), any::<bool>()).prop_map(|(bucket, of_share)| Doing::Cast(bucket, of_share)),
            20 => bucket().prop_map(Doing::CastWhereItBelongs),
            3 => Just(Doing::Bank),
            1 => prop_oneof![0..40_u16, 0..=BUCKETS].prop_map(Doing::Begin),
        ]
    }

    proptest! {
        #[test]
        fn a_ballot_says_what_its_slow_exact_model_says(edge in 1..60_u16, doings in prop::collection::vec(doing(), 1..400)) {
            let (ballot, mut model) = (Ballot::default(), Model::begin(edge));
            ballot.begin(1, edge);
            for doing in doings {
                match doing {
                    Doing::Cast(bucket, of_share) => {
                        prop_assert_eq!(ballot.cast(Bucket::new(bucket), of_share), model.cast(bucket, of_share));
                    }
                    Doing::CastWhereItBelongs(bucket) => {
                        let of_share = bucket < model.edge;
                        prop_assert_eq!(ballot.cast(Bucket::new(bucket), of_share), model.cast(bucket, of_share));
                    }
                    Doing::Bank => {
                        ballot.bank();
                        model.bank();
                    }
                    Doing::Begin(edge) => {
                        ballot.begin(2, edge);
                        model = Model::begin(edge);
                    }
                }
            }
            let [share, other] = ballot.evidence();
            let mean = |which: fn(&(f64, f64)) -> f64| model.banked.iter().map(which).sum::<f64>() / ODDS.len() as f64;
            for (evidence, exact) in [(share, mean(|bet| bet.0)), (other, mean(|bet| bet.1))] {
                prop_assert!((evidence.value / exact - 1.0).abs() < 1e-6, "{} and {exact}", evidence.value);
            }
            let of_share = model.votes.iter().filter(|of_share| **of_share).count();
            prop_assert_eq!([usize::from(share.votes), usize::from(other.votes)], [of_share, model.votes.len() - of_share]);
            prop_assert_eq!([share.seconds, other.seconds], model.seconds);
        }
    }

    #[test]
    fn a_bucket_votes_once_a_term() {
        let ballot = Ballot::default();
        assert!(!ballot.cast(Bucket::new(3), true), "nothing has begun");
        ballot.begin(1, 100);
        assert!(ballot.cast(Bucket::new(3), true));
        assert!((0..1000).all(|_| !ballot.cast(Bucket::new(3), true)), "one client's repetition is no evidence");
        ballot.begin(2, 100);
        assert!(ballot.cast(Bucket::new(3), true));
        assert_eq!(ballot.tally(), Tally { term: 2, edge: 100, cast: 1, of_share: 1 });
    }

    #[test]
    fn a_request_routed_before_the_share_grew_says_nothing_about_the_new_pool() {
        let ballot = Ballot::default();
        ballot.begin(1, 4096);
        assert!(!ballot.cast(Bucket::new(1000), false), "it went to the old pool, and its bucket is the new one's now");
        assert!(!ballot.cast(Bucket::new(5000), true));
        assert_eq!(ballot.tally().cast, 0);
    }

    #[test]
    fn all_buckets_can_vote() {
        let ballot = Ballot::default();
        ballot.begin(u16::MAX, BUCKETS / 2);
        for number in 0..BUCKETS {
            assert!(ballot.cast(Bucket::new(number), number < BUCKETS / 2));
        }
        let all = Tally { term: u16::MAX, edge: BUCKETS / 2, cast: BUCKETS, of_share: BUCKETS / 2 };
        assert_eq!(ballot.tally(), all);
        assert_eq!(all.chance(), 0.0, "nobody is left to vote");
        ballot.bank();
        assert!(ballot.evidence().iter().all(|evidence| evidence.value.is_finite()));
    }

    #[test]
    fn votes_of_many_workers_are_all_counted() {
        let ballot = Ballot::default();
        ballot.begin(1, BUCKETS / 4);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let ballot = &ballot;
                scope.spawn(move || {
                    // Each bucket is seen by two workers.
                    for number in (0..BUCKETS).filter(|number| number % 4 == worker || number % 4 == (worker + 1) % 4) {
                        ballot.cast(Bucket::new(number), number < BUCKETS / 4);
                    }
                });
            }
        });
        assert_eq!(ballot.tally(), Tally { term: 1, edge: BUCKETS / 4, cast: BUCKETS, of_share: BUCKETS / 4 });
    }
}
