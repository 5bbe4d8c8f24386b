//! The rollout of one monitor, as all workers share it: where it stands, its share, its votes, and what the probes say.
//!
//! It is an extent of its own, which only monitors have whose directives ask for it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::name::NameKey;
use crate::base::shared::shared;
use crate::board::cell::Packed;
use crate::board::lease::Lease;
use crate::board::monitor::MonitorBoard;
use crate::board::peer::PEERS_MAX;
use crate::board::releases::{RELEASES_MAX, ReleaseLatency, Releases};
use crate::board::text::{NameCell, TextCell};
use crate::model::ids::{POOLS_MAX, PoolId};
use crate::rollout::pilot::Health;
use crate::rollout::probe::{self, Streak};
use crate::rollout::share::{Bucket, Share};
use crate::rollout::state::{Phase, State};
use crate::rollout::verdict::{Attempts, Measure};
use crate::rollout::votes::Ballot;
use crate::settings::rollout::ProbeSettings;

shared! {
/// The rollout of one monitor.
#[derive(Debug)]
pub struct RolloutBoard {
    /// Who leads it.
    pub leading: Lease,
    /// Who probes the addresses.
    pub probing: Lease,
    /// Where it stands.
    pub state: Packed<State>,
    /// The share, whether or not it counts.
    pub share: Packed<Share>,
    /// What the buckets of the share are made with.
    pub salt: AtomicU64,
    /// When the rollout began, or a share was set by hand, in milliseconds.
    pub begun_ms: AtomicU64,
    /// Above this time a first attempt is slow, in milliseconds; zero is never.
    pub slow_ms: AtomicU64,
    /// The pool that was active before.
    before: Packed<PoolId>,
    /// The release of the pool that is taken over from, and of the one that takes over, that everything is about.
    pub releases: [NameCell; 2],
    /// The release that an abort or a rollback left last, and the pool that had it.
    pub left_release: NameCell,
    /// As above.
    pub left_pool: Packed<PoolId>,
    /// Until when it is not tried again, in milliseconds.
    pub left_until_ms: AtomicU64,
    /// Until when only an operator rolls back, in milliseconds.
    pub hands_off_until_ms: AtomicU64,
    /// How the last rollout ended: an [`Outcome`]; zero is none.
    pub outcome: AtomicU64,
    /// When, in milliseconds.
    pub outcome_ms: AtomicU64,
    /// Why, in words.
    pub outcome_reason: TextCell<REASON_WORDS>,
    /// How often they ended so.
    pub outcomes: [AtomicU64; Outcome::ALL.len()],
    /// Whether more than one bucket was seen: zero is none, [`MANY_KEYS`] is yes, else it is the one plus one.
    pub keys: AtomicU64,
    /// Requests that were assigned to the pool of the share since the votes began.
    pub assigned: AtomicU64,
    /// First attempts since the votes began: at the pool of the share, and at the other.
    pub attempts: [AttemptsBoard; 2],
    /// Events that were dropped up to the last look.
    pub dropped: AtomicU64,
    /// When traffic was moved from [`RolloutBoard::before`], in milliseconds.
    before_ms: AtomicU64,
    /// The votes on each [`Measure`].
    pub ballots: [Ballot; Measure::ALL.len()],
    /// What the probes of each address say, in the order of the monitor's.
    pub probes: [ProbeBoard; PEERS_MAX],
    /// The releases that were seen.
    pub seen: Releases,
    /// First attempts at each pool, ever.
    pub first_attempts: [FirstAttempts; POOLS_MAX + 1],
    /// How fast each of the releases answered.
    pub latencies: [ReleaseLatency; RELEASES_MAX],
    /// Failed first attempts since the votes began whose client got a failure: at the pool of the share, and at the other.
    pub reached_users: [AtomicU64; 2],
    /// Where it stands, as far as all that belongs to that is done and told.
    pub(super) settled: Packed<State>,
    /// Since when, in milliseconds: alerts of before are about other decisions.
    settled_ms: AtomicU64,
}
}

shared! {
/// First attempts at a pool, ever: what a retry got says nothing of whom it was sent to first.
#[derive(Debug)]
pub struct FirstAttempts {
    /// Those that answered.
    pub answered: AtomicU64,
    /// Those that failed, and requests that failed before there was any.
    pub failed: AtomicU64,
    /// [`PoolBoard::since_ms`](super::monitor::PoolBoard::since_ms) of the pool that they are of.
    since_ms: AtomicU64,
}
}

/// The length of a reason, in words of eight bytes.
const REASON_WORDS: usize = 24;
/// More than one bucket was seen.
pub const MANY_KEYS: u64 = u64::MAX;

shared! {
/// First attempts at a pool.
#[derive(Debug)]
pub struct AttemptsBoard {
    /// All of them, and requests that failed before there was any.
    pub requests: AtomicU64,
    /// Those that were sent to an address of the pool.
    pub arrived: AtomicU64,
    /// Those that failed.
    pub failed: AtomicU64,
    /// Those that were slow.
    pub slow: AtomicU64,
}
}

shared! {
/// What the probes of an address say.
#[derive(Debug)]
pub struct ProbeBoard {
    /// How many in a row passed or failed.
    pub streak: Packed<Streak>,
    /// The status that the last one got; zero is none.
    pub status: AtomicU64,
    /// How long it took, in milliseconds.
    pub took_ms: AtomicU64,
    /// The release that answered.
    pub release: NameCell,
    /// Why it failed; empty where it passed.
    pub error: TextCell<12>,
}
}

/// How a rollout ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// The new pool has all traffic.
    Done = 1,
    /// The new pool lost its share.
    Aborted,
    /// Traffic went back.
    RolledBack,
    /// The new pool did not pass its probes.
    Failed,
    /// An operator ended it.
    Cancelled,
    /// A rule was broken, and traffic stayed.
    NotRolledBack,
}

impl Outcome {
    /// All of them, by their number.
    pub const ALL: [Outcome; 6] = [
        Outcome::Done,
        Outcome::Aborted,
        Outcome::RolledBack,
        Outcome::Failed,
        Outcome::Cancelled,
        Outcome::NotRolledBack,
    ];

    /// The one of this number.
    pub fn of_number(number: u64) -> Option<Outcome> {
        Outcome::ALL.into_iter().find(|outcome| *outcome as u64 == number)
    }

    /// The name used in JSON and in metric labels.
    pub const fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Aborted => "aborted",
            Outcome::RolledBack => "rolled_back",
            Outcome::Failed => "failed",
            Outcome::Cancelled => "cancelled",
            Outcome::NotRolledBack => "not_rolled_back",
        }
    }
}

impl RolloutBoard {
    /// How the last rollout ended.
    pub fn outcome(&self) -> Option<Outcome> {
        Outcome::of_number(self.outcome.load(Relaxed))
    }

    /// Notes how a rollout ended.
    pub fn end(&self, outcome: Outcome, reason: &str, now_ms: u64) {
        self.outcome_reason.store(reason.as_bytes());
        self.outcome_ms.store(now_ms, Relaxed);
        self.outcome.store(outcome as u64, Relaxed);
        self.outcomes[outcome as usize - 1].fetch_add(1, Relaxed);
    }

    /// Where it stands, as far as all that belongs to that is done and told.
    pub fn settled(&self) -> State {
        self.settled.load()
    }

    /// Since when, in milliseconds; zero where nobody has said yet.
    pub fn settled_ms(&self) -> u64 {
        self.settled_ms.load(Relaxed)
    }

    /// Whether that is where it stands.
    pub fn is_settled(&self) -> bool {
        self.settled() == self.state.load()
    }

    /// Says that all that belongs to this is done and told.
    pub fn settle(&self, state: State, now_ms: u64) {
        self.settled.store(state);
        self.settled_ms.store(now_ms, Relaxed);
    }

    /// Begins the votes anew, on the pool that has the buckets below `edge`.
    pub fn begin_votes(&self, term: u16, edge: u16) {
        let attempts = self.attempts.iter().flat_map(|at| [&at.requests, &at.arrived, &at.failed, &at.slow]);
        let others = [&self.assigned, &self.keys].into_iter().chain(&self.reached_users);
        attempts.chain(others).for_each(|count| count.store(0, Relaxed));
        self.ballots.iter().for_each(|ballot| ballot.begin(term, edge));
    }

    /// First attempts at the pool of the share, and at the other.
    pub fn attempts(&self) -> [Attempts; 2] {
        self.attempts.each_ref().map(|at| Attempts {
            requests: at.requests.load(Relaxed),
            failed: at.failed.load(Relaxed),
            slow: at.slow.load(Relaxed),
        })
    }

    /// First attempts at a pool, ever.
    #[inline]
    pub fn first_attempts(&self, pool: PoolId) -> &FirstAttempts {
        &self.first_attempts[usize::from(pool.get()) & POOLS_MAX]
    }

    /// Begins to count anew for pools that got the place of another. Called about once a second.
    pub fn forget_pools_that_are_gone(&self, monitor: &MonitorBoard) {
        for (first, pool) in self.first_attempts.iter().zip(&monitor.pools) {
            if first.since_ms.swap(pool.since_ms(), Relaxed) != pool.since_ms() {
                [&first.answered, &first.failed].into_iter().for_each(|count| count.store(0, Relaxed));
            }
        }
    }

    /// The pool that was active before this one; the unknown one where its place was given to another since.
    pub fn before(&self, monitor: &MonitorBoard) -> PoolId {
        monitor.pool_then(self.before.load(), self.before_ms.load(Relaxed))
    }

    /// Notes which pool was active before this one.
    pub fn remember_before(&self, pool: PoolId, now_ms: u64) {
        self.before_ms.store(now_ms, Relaxed);
        self.before.store(pool);
    }

    /// Notes that a pool has this release now. Called by the worker that leads.
    pub fn see(&self, monitor: &MonitorBoard, pool: PoolId, release: &str, now_ms: u64) {
        if let Some(place) = self.seen.see(monitor, pool, release, now_ms) {
            self.latencies[place.number].see(monitor.pool(pool), place.is_new);
        }
    }

    /// Notes that a request of this bucket came, and whether it was assigned to the pool of the share.
    #[inline]
    pub fn note(&self, bucket: Bucket, is_of_share: bool) {
        let key = u64::from(bucket.get()) + 1;
        match self.keys.load(Relaxed) {
            MANY_KEYS => (),
            0 => self.keys.store(key, Relaxed),
            known if known == key => (),
            _ => self.keys.store(MANY_KEYS, Relaxed),
        }
        if is_of_share {
            self.assigned.fetch_add(1, Relaxed);
        }
    }

    /// Whether a first attempt that took so long is slow.
    #[inline]
    pub fn is_slow(&self, latency_ms: u64) -> bool {
        let slow_ms = self.slow_ms.load(Relaxed);
        slow_ms > 0 && latency_ms > slow_ms && self.share.word() != 0
    }

    /// Whether all requests since the votes began were of one bucket.
    pub fn has_one_key(&self) -> bool {
        !matches!(self.keys.load(Relaxed), 0 | MANY_KEYS)
    }

    /// Whether a rollout or its guard goes by what the probes say now.
    pub fn goes_by_probes(&self) -> bool {
        !matches!(self.state.load().phase, Phase::Idle | Phase::ByHand { .. })
    }

    /// What the probes say of the addresses of a pool.
    pub fn health(&self, monitor: &MonitorBoard, addresses: &[String], probe: &ProbeSettings, now_ms: u64) -> Health {
        let busy = self.goes_by_probes();
        let streaks = self.probes_of(monitor, addresses).map(|probed| probed.streak.load());
        probe::health(streaks, probe.needed(busy), now_ms)
    }

    /// What the probes say of each of these addresses.
    pub fn probes_of<'a>(
        &'a self,
        monitor: &'a MonitorBoard,
        addresses: &'a [String],
    ) -> impl Iterator<Item = &'a ProbeBoard> {
        let probed = |address: &String| {
            let peer = monitor.find_peer(NameKey::of_whole(address.as_bytes()))?;
            let (board, probed) = (monitor.peer(peer)?, self.probes.get(peer.index()?)?);
            // What is older was another address's.
            (probed.streak.load().at_ms >= board.since_ms()).then_some(probed)
        };
        addresses.iter().filter_map(probed)
    }

    /// Takes it from whoever leads or probes: for the master, when there are no workers yet.
    pub fn start_anew(&self) {
        self.leading.clear();
        self.probing.clear();
    }
}

impl ProbeBoard {
    /// Forgets everything: the place is another address's now.
    pub fn clear(&self) {
        self.streak.store(Streak::default());
        [&self.status, &self.took_ms].iter().for_each(|word| word.store(0, Relaxed));
        self.release.store(b"");
        self.error.store(b"");
    }
}
