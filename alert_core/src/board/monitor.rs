//! The state of one monitor that all workers share.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed};

use crate::base::name::NameKey;
use crate::board::cell::Packed;
use crate::board::extent::Extent;
use crate::board::history::History;
use crate::board::maintenance::MaintenanceBoard;
use crate::board::text::NameCell;
use crate::model::alert::Kind;
use crate::model::ids::PeerId;
use crate::model::ids::{POOLS_MAX, PoolId};
use crate::model::outcome::Cause;
use crate::model::success::Success;
use crate::rules::failover::State;
use crate::rules::flapping;
use crate::rules::throttle::Throttle;

/// Addresses that a monitor remembers.
pub const PEERS_MAX: usize = 64;
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

/// One monitor.
#[repr(C)]
#[derive(Debug)]
pub struct MonitorBoard {
    /// Its name, by which a new configuration finds it again.
    pub name: NameCell,
    /// The stretch that holds its window.
    pub window: Packed<Extent>,
    /// Who serves.
    pub failover: Packed<State>,
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
    /// When the active pool was last changed at run time, in milliseconds since the Unix epoch.
    pub switched_ms: AtomicU64,
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
    /// The stretch that holds its rollout.
    pub rollout: Packed<Extent>,
}

/// Requests whose address belongs to no pool although pools are listed.
#[repr(C)]
#[derive(Debug)]
pub struct UnmatchedBoard {
    /// How many.
    pub requests: AtomicU64,
    /// The address of the latest.
    pub address: NameCell,
}

/// One kind of alert within a monitor.
#[repr(C)]
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

/// One pool.
#[repr(C)]
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
}

/// One address.
#[repr(C)]
#[derive(Debug)]
pub struct PeerBoard {
    /// The address as nginx writes it.
    pub address: NameCell,
    /// Its pool.
    pub pool: Packed<PoolId>,
    /// Requests that it answered.
    pub answered: AtomicU64,
    /// Attempts that failed there.
    pub failed_attempts: AtomicU64,
    /// When the last of them failed, in milliseconds since the Unix epoch; zero is never.
    pub failed_ms: AtomicU64,
    /// Why it did: a [`Cause`] plus one; zero is unknown.
    pub failed_by: AtomicU64,
}

impl MonitorBoard {
    /// The pool of this name, if the monitor knows it.
    #[inline]
    pub fn find_pool(&self, key: NameKey) -> Option<PoolId> {
        if key == NameKey::EMPTY {
            return None;
        }
        let at = self.pools.iter().skip(1).position(|pool| pool.name.key() == key)?;
        Some(PoolId::new(at as u8 + 1))
    }

    /// The pool of this name, made known if there is room; else the unknown one.
    ///
    /// Two workers that meet a new name at once may give it two places; both find the first one from then on.
    pub fn learn_pool(&self, name: &[u8]) -> PoolId {
        let key = NameKey::of(name);
        if let Some(known) = self.find_pool(key) {
            return known;
        }
        let Some(at) = (1..self.pools.len()).find(|at| self.pools[*at].name.is_empty()) else { return PoolId::NONE };
        self.pools[at].name.store(name);
        self.find_pool(key).unwrap_or(PoolId::NONE)
    }

    /// The pool of this name, in place of one that answers never taught or asked for, if need be.
    pub fn configure_pool(&self, name: &[u8], keep: &[PoolId]) -> PoolId {
        let learned = self.learn_pool(name);
        if learned.is_known() || name.is_empty() {
            return learned;
        }
        let in_use = |at: &usize| {
            let pool = PoolId::new(*at as u8);
            keep.contains(&pool) || pool == self.active() || pool == self.serving()
        };
        let Some(at) = (1..self.pools.len()).find(|at| !in_use(at)) else { return PoolId::NONE };
        self.pools[at].replace(name);
        PoolId::new(at as u8)
    }

    /// The board of a pool.
    #[inline]
    pub fn pool(&self, pool: PoolId) -> &PoolBoard {
        // A pool id is at most POOLS_MAX, so the mask changes nothing; it spares the check of the bound.
        &self.pools[pool.get() as usize & POOLS_MAX]
    }

    /// The place of this address, if the monitor knows it.
    pub fn find_peer(&self, key: NameKey) -> Option<PeerId> {
        let at = self.peers.iter().position(|peer| peer.address.key() == key)?;
        Some(PeerId::new(at as u8))
    }

    /// Remembers to which pool an address belongs. Where there is no room, it takes the place of another.
    pub fn learn_peer(&self, address: &[u8], pool: PoolId) -> PeerId {
        let key = NameKey::of(address);
        let at = match self.find_peer(key) {
            Some(known) => known.index().unwrap_or(0),
            None => {
                self.peers.iter().position(|peer| peer.address.is_empty()).unwrap_or(key.0 as usize % self.peers.len())
            }
        };
        self.peers[at].pool.store(pool);
        if self.peers[at].address.key() != key {
            self.peers[at].replace(address);
        }
        PeerId::new(at as u8)
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

    /// Makes this pool the one that should serve, and expects it to from now on. Returns the one before; `None` where
    /// nothing changes.
    pub fn switch(&self, pool: PoolId, now_ms: u64) -> Option<PoolId> {
        // Detectors that see the new state must not take requests of the time before for its answers.
        let before_ms = self.switched_ms.swap(now_ms, AcqRel);
        let before = self.active.swap(pool);
        if before == pool {
            self.switched_ms.store(before_ms, Relaxed);
            return None;
        }
        self.failover.store(State::serving(pool));
        self.serving_since_ms.store(now_ms, Relaxed);
        Some(before)
    }

    /// The pool that served instead of the active one last.
    pub fn stand_in(&self) -> PoolId {
        self.stand_in.load()
    }

    /// Whether this pool serves and no other is in sight.
    #[inline]
    pub fn is_steady(&self, pool: PoolId) -> bool {
        State::is_steady(self.failover.word(), pool)
    }

    /// Whether another pool than the active one serves, as far as both are known.
    #[inline]
    pub fn is_failed_over(&self) -> bool {
        let (active, serving) = (self.active(), self.serving());
        active.is_known() && serving.is_known() && serving != active
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

    /// Counts requests that one server answered.
    #[inline]
    pub fn count_answers(&self, run: &[Success]) {
        let Some(Success { origin, .. }) = run.first() else { return };
        if let Some(peer) = self.peer(origin.peer()) {
            peer.answered.fetch_add(run.len() as u64, Relaxed);
        }
        self.pool(origin.pool()).count_answers(run);
    }

    /// Counts an attempt that failed.
    pub fn count_failure(&self, pool: PoolId, peer: PeerId, cause: Cause, time_ms: u64) {
        let board = self.pool(pool);
        board.failed_attempts.fetch_add(1, Relaxed);
        board.remember_peer(peer);
        board.causes[cause as usize].fetch_add(1, Relaxed);
        if let Some(peer) = self.peer(peer) {
            peer.failed_attempts.fetch_add(1, Relaxed);
            peer.failed_ms.store(time_ms, Relaxed);
            peer.failed_by.store(cause as u64 + 1, Relaxed);
        }
    }

    /// The board of an address; `None` for one that is in no place.
    #[inline]
    pub fn peer(&self, peer: PeerId) -> Option<&PeerBoard> {
        self.peers.get(peer.index()?)
    }

    /// Failed attempts of all pools, ever.
    pub fn failed_attempts(&self) -> u64 {
        self.pools.iter().map(|pool| pool.failed_attempts.load(Relaxed)).fold(0, u64::saturating_add)
    }

    /// The address of the server of this pool that was seen last; empty where none is known.
    pub fn address_of(&self, pool: PoolId) -> String {
        let last = self.pool(pool).last_peer.load();
        last.index().and_then(|at| self.peers.get(at)).map(|peer| peer.address.load()).unwrap_or_default()
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
        let Some(last) = run.last() else { return };
        self.remember_peer(last.origin.peer());
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

    /// Gives the place to another pool.
    fn replace(&self, name: &[u8]) {
        self.name.store(b"");
        self.release.store(b"");
        self.last_peer.store(PeerId::NONE);
        self.counters().chain([&self.last_seen_ms]).for_each(|counter| counter.store(0, Relaxed));
        self.name.store(name);
    }
}

impl PeerBoard {
    /// Why the last attempt failed that did; `None` where that is unknown.
    pub fn last_cause(&self) -> Option<Cause> {
        Cause::ALL.get((self.failed_by.load(Relaxed) as usize).checked_sub(1)?).copied()
    }

    /// Gives the place to another address.
    fn replace(&self, address: &[u8]) {
        let counters = [&self.answered, &self.failed_attempts, &self.failed_ms, &self.failed_by];
        counters.into_iter().for_each(|counter| counter.store(0, Relaxed));
        self.address.store(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::model::success::SourceId;

    #[test]
    fn each_address_has_counts_of_its_own_until_another_takes_its_place() {
        let monitor: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        let (blue, green) = (monitor.learn_pool(b"blue"), monitor.learn_pool(b"green"));
        let (first, second) = (monitor.learn_peer(b"10.0.0.1:80", blue), monitor.learn_peer(b"10.0.0.2:80", blue));
        let answer = |peer, latency_ms| Success {
            time_ms: 5,
            header_ago_ms: 0,
            latency_ms,
            origin: SourceId::new(0, blue, peer),
        };
        monitor.count_answers(&[answer(first, 1), answer(first, 2), answer(first, 3)]);
        monitor.count_failure(blue, second, Cause::Timeout, 7);
        let counts = |peer| {
            let peer = monitor.peer(peer).expect("a place");
            (peer.answered.load(Relaxed), peer.failed_attempts.load(Relaxed), peer.last_cause())
        };
        assert_eq!((counts(first), counts(second)), ((3, 0, None), (0, 1, Some(Cause::Timeout))));
        let board = monitor.pool(blue);
        let buckets: Vec<u64> = board.buckets().take(4).collect();
        assert_eq!((buckets, board.answered()), (vec![1, 1, 1, 0], 3));
        assert_eq!(board.causes[Cause::Timeout as usize].load(Relaxed), 1);

        for at in 0..1000 {
            monitor.learn_peer(format!("10.1.{}.{}:80", at / 250, at % 250).as_bytes(), green);
        }
        assert_eq!((counts(first), counts(second)), ((0, 0, None), (0, 0, None)));
    }
}
