//! The state of one monitor that all workers share.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};

use crate::base::name::NameKey;
use crate::base::shared::shared;
use crate::board::cell::Packed;
use crate::board::crowding::Crowding;
use crate::board::examples::Examples;
use crate::board::extent::Extent;
use crate::board::history::History;
use crate::board::maintenance::MaintenanceBoard;
use crate::board::outbox::Delivery;
use crate::board::peer::{AddressCell, PEERS_MAX, PeerBoard};
use crate::board::settled::Settled;
use crate::board::split::SplitBoard;
use crate::board::text::NameCell;
use crate::model::alert::Kind;
use crate::model::ids::{POOLS_MAX, PeerId, PoolId, PoolSet};
use crate::model::outcome::Cause;
use crate::model::success::Success;
use crate::rules::failover::{Row, State};
use crate::rules::throttle::Throttle;
use crate::rules::{flapping, outage};

/// Upper bounds of the latency histogram, in milliseconds; the last bucket is unbounded.
pub const BUCKETS_MS: [u32; 12] = [5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000];
/// Upper bounds of the buckets below those, in milliseconds: for pools that answer from memory.
pub const FINE_BUCKETS_MS: [u32; 2] = [1, 2];
/// Buckets of the whole histogram.
pub const BUCKETS: usize = FINE_BUCKETS_MS.len() + BUCKETS_MS.len() + 1;

/// Upper bounds of all buckets of the latency histogram but the last one, which has none, in milliseconds.
pub fn bounds_ms() -> impl Iterator<Item = u32> {
    FINE_BUCKETS_MS.into_iter().chain(BUCKETS_MS)
}

/// A quantile of a histogram in these buckets, in milliseconds, as if times were spread evenly within a bucket; `None`
/// where it is empty.
pub fn quantile_ms(buckets: &[u64; BUCKETS], quantile: f64) -> Option<u64> {
    let total = buckets.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
    let wanted = (total > 0).then_some(total as f64 * quantile)?;
    let (mut below, mut from_ms) = (0.0, 0.0);
    for (count, to_ms) in buckets.iter().zip(bounds_ms()) {
        let (count, to_ms) = (*count as f64, f64::from(to_ms));
        if count > 0.0 && below + count >= wanted {
            return Some((from_ms + (to_ms - from_ms) * (wanted - below) / count).round() as u64);
        }
        (below, from_ms) = (below + count, to_ms);
    }
    // The last bucket has no end.
    Some(from_ms as u64)
}

shared! {
/// One monitor.
#[derive(Debug)]
pub struct MonitorBoard {
    /// Its name, by which a new configuration finds it again.
    pub name: NameCell,
    /// The extent that holds its window.
    pub window: Packed<Extent>,
    /// Who serves.
    pub(super) failover: Packed<State>,
    /// Whether traffic moves too often.
    pub flapping: Packed<flapping::State>,
    /// The pool that should serve.
    pub active: Packed<PoolId>,
    /// The key of the pool that the configuration says should serve, to see when it says another.
    pub active_setting: Packed<NameKey>,
    /// The pool that served instead of the active one last.
    pub stand_in: Packed<PoolId>,
    /// Since when the serving pool serves, in milliseconds since the Unix epoch; zero while unknown.
    pub serving_since_ms: AtomicU64,
    /// When traffic last moved, or was moved on purpose, in milliseconds: what began before says nothing about now.
    pub moved_ms: AtomicU64,
    /// Whether it sends.
    pub maintenance: MaintenanceBoard,
    /// What each kind of incident was told and is owed.
    pub throttles: [IncidentBoard; Kind::ALL.len()],
    /// Requests whose client got an upstream failure.
    pub failed: AtomicU64,
    /// Requests in which a retry hid a failure.
    pub retried: AtomicU64,
    /// The pools; place 0 is the unknown one.
    pub pools: [PoolBoard; POOLS_MAX + 1],
    /// The addresses.
    pub peers: [PeerBoard; PEERS_MAX],
    /// The last hour.
    pub history: History,
    /// Requests whose client gave up waiting.
    pub abandoned: AtomicU64,
    /// Requests whose address belongs to no pool.
    pub unmatched: UnmatchedBoard,
    /// The extent that holds its rollout.
    pub rollout: Packed<Extent>,
    /// What does not fit the configuration, to be told once.
    pub contradiction: ContradictionBoard,
    /// Requests that failed, to show some of them.
    pub examples: Examples,
    /// The pools that the configuration names: the others make room for new names.
    pub configured: Packed<PoolSet>,
    /// When host names of its pools were looked up last, by the board's clock in milliseconds.
    pub named_ms: AtomicU64,
    /// Changes whenever a release does, or the pool of an address: what was recognised by them is looked up again then. Its
    /// low byte is the pool that is steady.
    pub epoch: AtomicU64,
    /// When it was last calm: nothing told, and no failure in the window.
    pub calm_ms: AtomicU64,
    /// Whether nothing works.
    pub outage: Packed<outage::State>,
    /// How traffic is split over the pools.
    pub split: SplitBoard,
    /// The pool that should have served when a failover was told.
    pub failed_over_from: Packed<PoolId>,
    /// The longest row of answers of another pool that ended by itself since the serving one serves.
    pub usual_row: AtomicU64,
    /// What has had no room.
    pub crowding: Crowding,
    /// The pool that serves, as far as that is told.
    pub serving_settled: Packed<Settled>,
    /// The pool that should serve, as far as that is told.
    pub active_settled: Packed<Settled>,
}
}

shared! {
/// Requests whose address belongs to no pool although pools are listed.
#[derive(Debug)]
pub struct UnmatchedBoard {
    /// How many.
    pub requests: AtomicU64,
    /// The address of the latest.
    pub address: AddressCell,
    /// How many there were when the configuration came into force.
    pub before: AtomicU64,
    /// Whether that was told since.
    pub told: AtomicU64,
}
}

shared! {
/// An answer that named another pool than the configuration does.
#[derive(Debug)]
pub struct ContradictionBoard {
    /// The address that answered; empty where there was none.
    pub address: AddressCell,
    /// The pool that it named.
    pub pool: NameCell,
    /// Whether that was told since the configuration came into force.
    pub told: AtomicU64,
}
}

shared! {
/// One kind of alert within a monitor.
#[derive(Debug)]
pub struct IncidentBoard {
    /// What was told and is owed.
    pub throttle: Packed<Throttle>,
    /// When the present incident began, in milliseconds since the Unix epoch.
    pub since_ms: AtomicU64,
    /// Totals of the monitor when it began, to tell what it cost.
    pub failed_attempts_before: AtomicU64,
    /// As above.
    pub retried_before: AtomicU64,
    /// As above.
    pub failed_before: AtomicU64,
    /// Messages sent, ever.
    pub fired: AtomicU64,
    /// Those of them that told an end.
    pub resolved: AtomicU64,
    /// Messages held back, ever.
    pub held_back: AtomicU64,
}
}

shared! {
/// One pool.
#[derive(Debug)]
pub struct PoolBoard {
    /// Its name.
    pub name: NameCell,
    /// The release it last answered with.
    pub release: NameCell,
    /// Failed attempts.
    pub failed_attempts: AtomicU64,
    /// Attempts that answered and were passed on all the same (`proxy_next_upstream http_404`, say).
    pub passed_on: AtomicU64,
    /// Requests that ended in a failed attempt here.
    pub failed_last: AtomicU64,
    /// When it last answered, in milliseconds since the Unix epoch.
    pub last_seen_ms: AtomicU64,
    /// The server seen last.
    pub last_peer: Packed<PeerId>,
    /// Upstream time of the requests it answered, in milliseconds.
    pub latency_sum_ms: AtomicU64,
    /// The requests it answered, by upstream time; those of [`PoolBoard::fine_buckets`] are not among them.
    pub latency_buckets: [AtomicU64; BUCKETS_MS.len() + 1],
    /// The requests it answered within [`FINE_BUCKETS_MS`].
    pub fine_buckets: [AtomicU64; FINE_BUCKETS_MS.len()],
    /// Requests whose client got a failure, by the pool of their last attempt.
    pub failed_requests: AtomicU64,
    /// Failed attempts by [`Cause`].
    pub causes: [AtomicU64; Cause::ALL.len()],
    /// Those of them from before the monitor was last calm.
    pub causes_before: [AtomicU64; Cause::ALL.len()],
    /// The key of the release that was there at the last look.
    release_seen: Packed<NameKey>,
    /// Since when it is there, in milliseconds; zero while none is known.
    release_since_ms: AtomicU64,
    /// Since when its place is its own, in milliseconds: what is older meant another pool. Zero where it was nobody's before.
    since_ms: AtomicU64,
    /// When it was met first, or failed an attempt, in milliseconds; answers are in `last_seen_ms`.
    failed_ms: AtomicU64,
}
}

impl MonitorBoard {
    /// The board of a pool.
    #[inline]
    pub fn pool(&self, pool: PoolId) -> &PoolBoard {
        // A pool id is at most POOLS_MAX, so the mask changes nothing; it spares the check of the bound.
        &self.pools[pool.get() as usize & POOLS_MAX]
    }

    /// The pool that should serve.
    #[inline]
    pub fn active(&self) -> PoolId {
        self.active.load()
    }

    /// The pool that serves.
    #[inline]
    pub fn serving(&self) -> PoolId {
        self.failover.load().serving
    }

    /// The row of a candidate that has answered enough to take over, if one has.
    pub fn confirmed_row(&self) -> Option<Row> {
        self.failover.load().confirmed_row()
    }

    /// Makes this pool the one that should serve, and expects it to from now on. Returns the one before; `None` where
    /// nothing changes. Whoever calls it tells, and settles that then.
    pub fn switch(&self, pool: PoolId, now_ms: u64) -> Option<PoolId> {
        let before = self.active.swap(pool);
        if before == pool {
            return None;
        }
        self.expect(pool, now_ms);
        self.serving_since_ms.store(now_ms, Relaxed);
        Some(before)
    }

    /// Takes this pool for the serving one from now on, without having seen it.
    pub fn expect(&self, pool: PoolId, now_ms: u64) {
        if self.serving().is_known() {
            // Detectors that see the new state must not take requests of the time before for its answers.
            self.moved_ms.store(now_ms, Release);
        }
        self.begin_split(0);
        self.serving_settled.store(Settled::default());
        self.set_failover(State::serving(pool));
        self.serving_settled.store(Settled { pool, at_ms: now_ms });
        self.serving_since_ms.store(0, Relaxed);
    }

    /// Begins anew to count how traffic is split, since another pool serves.
    pub fn begin_split(&self, stand_in_row: u16) {
        self.split.begin(stand_in_row);
        self.usual_row.store(0, Relaxed);
    }

    /// The pool that served instead of the active one last.
    pub fn stand_in(&self) -> PoolId {
        self.stand_in.load()
    }

    /// Whether an answer of this pool changes nothing about who serves: it serves and no other is in sight, or nobody knows
    /// which pool it is.
    #[inline]
    pub fn is_steady(&self, pool: PoolId) -> bool {
        !pool.is_known() || State::is_steady(self.failover.word(), pool)
    }

    /// Whether another pool than the active one serves, as far as both are known.
    #[inline]
    pub fn is_failed_over(&self) -> bool {
        let (active, serving) = (self.active(), self.serving());
        active.is_known() && serving.is_known() && serving != active
    }

    /// When any pool last answered, in milliseconds; zero is never.
    pub fn answered_ms(&self) -> u64 {
        self.pools.iter().map(|pool| pool.last_seen_ms.load(Relaxed)).max().unwrap_or(0)
    }

    /// The state of one kind of alert.
    #[inline]
    pub fn incident(&self, kind: Kind) -> &IncidentBoard {
        &self.throttles[kind as usize - 1]
    }

    /// Whether the rule of this kind is broken.
    pub fn is_raised(&self, kind: Kind) -> bool {
        self.incident(kind).throttle.load().raised
    }

    /// Counts an attempt that failed.
    pub fn count_failure(&self, pool: PoolId, peer: PeerId, cause: Cause, time_ms: u64) {
        let board = self.pool(pool);
        board.failed_attempts.fetch_add(1, Relaxed);
        board.remember_peer(peer);
        board.failed_ms.store(time_ms, Relaxed);
        board.causes[cause as usize].fetch_add(1, Relaxed);
        if let Some(peer) = self.peer(peer) {
            peer.count_failure(cause, time_ms);
        }
    }

    /// Failed attempts of all pools, ever.
    pub fn failed_attempts(&self) -> u64 {
        self.pools.iter().map(|pool| pool.failed_attempts.load(Relaxed)).fold(0, u64::saturating_add)
    }

    /// The address of the server of this pool that was seen last; empty where none is known.
    pub fn address_of(&self, pool: PoolId) -> String {
        self.peer(self.pool(pool).last_peer.load()).map(PeerBoard::text).unwrap_or_default()
    }
}

impl IncidentBoard {
    /// Counts a message that is no end.
    pub fn count(&self, state: Delivery) {
        let counter = if state == Delivery::HeldBack { &self.held_back } else { &self.fired };
        counter.fetch_add(1, Relaxed);
    }
}

impl PoolBoard {
    /// Remembers the server that was seen last.
    #[inline]
    pub fn remember_peer(&self, peer: PeerId) {
        if peer != PeerId::NONE {
            self.last_peer.store(peer);
        }
    }

    /// Counts requests that a server of this pool answered.
    #[inline]
    pub fn count_answers(&self, run: &[Success]) {
        let answered_ms = run.iter().map(Success::header_ms).max().unwrap_or(0);
        let seen_ms = self.last_seen_ms.load(Relaxed);
        if answered_ms > seen_ms {
            self.last_seen_ms.store(answered_ms, Relaxed);
        }
        let mut sum_ms = 0;
        for answer in run {
            self.bucket(answer.latency_ms).fetch_add(1, Relaxed);
            sum_ms += u64::from(answer.latency_ms);
        }
        if sum_ms > 0 {
            self.latency_sum_ms.fetch_add(sum_ms, Relaxed);
        }
    }

    #[inline]
    fn bucket(&self, latency_ms: u32) -> &AtomicU64 {
        match latency_ms {
            0..=1 => &self.fine_buckets[0],
            2 => &self.fine_buckets[1],
            _ => {
                let bound = BUCKETS_MS.iter().position(|bound| latency_ms <= *bound);
                &self.latency_buckets[bound.unwrap_or(BUCKETS_MS.len())]
            }
        }
    }

    /// The latency histogram, in the buckets of [`bounds_ms`].
    pub fn buckets(&self) -> impl Iterator<Item = u64> {
        self.fine_buckets.iter().chain(&self.latency_buckets).map(|bucket| bucket.load(Relaxed))
    }

    /// Requests that this pool answered.
    pub fn answered(&self) -> u64 {
        self.buckets().fold(0, u64::saturating_add)
    }

    /// All counters of requests and attempts.
    pub fn counters(&self) -> impl Iterator<Item = &AtomicU64> {
        let counters =
            [&self.failed_attempts, &self.passed_on, &self.failed_last, &self.latency_sum_ms, &self.failed_requests];
        counters.into_iter().chain(&self.latency_buckets).chain(&self.fine_buckets).chain(&self.causes)
    }

    /// Since when the release that the pool last answered with is there, as far as anybody has looked; zero where none is
    /// known. Called about once a second.
    pub fn release_since_ms(&self, now_ms: u64) -> u64 {
        let key = self.release.key();
        if key != self.release_seen.load() {
            self.release_since_ms.store(if key == NameKey::EMPTY { 0 } else { now_ms }, Relaxed);
            self.release_seen.store(key);
        }
        self.release_since_ms.load(Relaxed)
    }

    /// All times of what has happened.
    pub(super) fn times(&self) -> impl Iterator<Item = &AtomicU64> {
        [&self.last_seen_ms, &self.release_since_ms, &self.since_ms, &self.failed_ms].into_iter()
    }

    /// Since when its place is its own, in milliseconds; zero where it was nobody's before.
    #[inline]
    pub fn since_ms(&self) -> u64 {
        self.since_ms.load(Relaxed)
    }

    /// Whether it has failed an attempt since it last answered.
    pub fn failed_since_it_answered(&self) -> bool {
        self.failed_ms.load(Relaxed) >= self.last_seen_ms.load(Relaxed)
    }

    /// When it was asked last: the longest unasked makes room.
    pub(super) fn asked_ms(&self) -> u64 {
        self.last_seen_ms.load(Relaxed).max(self.failed_ms.load(Relaxed))
    }

    /// Gives the place to another pool, which is being asked.
    pub(super) fn replace(&self, name: &[u8], now_ms: u64) {
        let since_ms = if self.name.is_empty() { 0 } else { now_ms };
        self.name.store(b"");
        self.release.store(b"");
        self.release_seen.store(NameKey::EMPTY);
        self.release_since_ms.store(0, Relaxed);
        self.last_peer.store(PeerId::NONE);
        let counters = self.counters().chain(&self.causes_before).chain([&self.last_seen_ms]);
        counters.for_each(|counter| counter.store(0, Relaxed));
        self.since_ms.store(since_ms, Relaxed);
        self.failed_ms.store(now_ms, Relaxed);
        self.name.store(name);
    }
}

impl MonitorBoard {
    /// Begins anew to warn of what does not fit the configuration, which has just come into force.
    pub fn begin_warnings(&self) {
        let Self { unmatched, contradiction, .. } = self;
        self.crowding.all().into_iter().for_each(|(crowd, _)| crowd.begin());
        unmatched.before.store(unmatched.requests.load(Relaxed), Relaxed);
        [&unmatched.told, &contradiction.told].into_iter().for_each(|told| told.store(0, Relaxed));
        contradiction.address.store(b"");
    }

    /// What does not fit the configuration and was not told yet, as sentences for people. To be called now and then.
    pub fn warnings(&self) -> Vec<String> {
        let Self { unmatched, contradiction, .. } = self;
        let mut warnings = Vec::new();
        let requests = unmatched.requests.load(Relaxed).saturating_sub(unmatched.before.load(Relaxed));
        if requests > 0 && unmatched.told.swap(1, Relaxed) == 0 {
            warnings.push(format!(
                "requests go to \"{}\", which is in no \"pool\" of monitor \"{}\": they count, and for no pool",
                unmatched.address.load(),
                self.name.load(),
            ));
        }
        for (crowd, names) in self.crowding.all() {
            if crowd.is_news() {
                warnings.push(format!(
                    "monitor \"{}\" has seen more than {names}: the one that is unseen for longest makes room for each new one",
                    self.name.load(),
                ));
            }
        }
        let address = contradiction.address.load();
        if !address.is_empty() && contradiction.told.swap(1, Relaxed) == 0 {
            warnings.push(format!(
                "\"{address}\" says that it is pool \"{}\", but \"pool\" of monitor \"{}\" says otherwise, and that counts",
                contradiction.pool.load(),
                self.name.load(),
            ));
        }
        warnings
    }
}

impl ContradictionBoard {
    /// Notes that the server with this address named another pool than the configuration does.
    pub fn note(&self, address: &[u8], pool: &[u8]) {
        if self.told.load(Relaxed) == 0 && self.address.is_empty() {
            self.pool.store(pool);
            self.address.store(address);
        }
    }
}
