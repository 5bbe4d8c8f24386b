//! The addresses of a monitor: whose each is, and what came of asking it.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::name::{NAME_WORDS, NameKey, readable};
use crate::base::shared::shared;
use crate::board::cell::Packed;
use crate::board::monitor::MonitorBoard;
use crate::board::text::{NameCell, TextCell};
use crate::model::ids::{PeerId, PoolId};
use crate::model::outcome::Cause;
use crate::model::success::Success;

/// Addresses that a monitor remembers.
pub const PEERS_MAX: usize = 64;
/// Words of the longest address: `unix:` and the path of a socket, which has 108 bytes.
const ADDRESS_WORDS: usize = 15;

/// An address, whole.
pub type AddressCell = TextCell<ADDRESS_WORDS>;

shared! {
/// One address.
#[derive(Debug)]
pub struct PeerBoard {
    /// The beginning of the address as nginx writes it.
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
    /// When it was asked last, in milliseconds since the Unix epoch: the longest unseen makes room.
    seen_ms: AtomicU64,
    /// Identifies the whole address.
    key: Packed<NameKey>,
    /// What is behind its beginning.
    tail: TextCell<{ ADDRESS_WORDS - NAME_WORDS }>,
    /// Whether the configuration lists it, by itself or by a name: then no answer can say whose it is.
    listed: AtomicU64,
    /// Since when its place is its own, in milliseconds: what is older meant another address. Zero where it was nobody's
    /// before.
    since_ms: AtomicU64,
}
}

impl MonitorBoard {
    /// The place of this address, if the monitor knows it.
    pub fn find_peer(&self, address: NameKey) -> Option<PeerId> {
        let at = self.peers.iter().position(|peer| peer.key.load() == address)?;
        Some(PeerId::new(at as u8))
    }

    /// The board of an address; `None` for one that is in no place.
    #[inline]
    pub fn peer(&self, peer: PeerId) -> Option<&PeerBoard> {
        self.peers.get(peer.index()?)
    }

    /// The server that its place stood for at this time: none, where the place was another's then.
    #[inline]
    pub fn peer_then(&self, peer: PeerId, time_ms: u64) -> PeerId {
        let is_gone = self.peer(peer).is_some_and(|board| time_ms < board.since_ms.load(Relaxed));
        if is_gone { PeerId::NONE } else { peer }
    }

    /// Remembers to which pool an address belongs, as answers say. Where there is no room, it takes the place of the one
    /// that is longest unseen among those that the configuration does not list; where it lists all, it gets none.
    pub fn learn_peer(&self, address: &[u8], pool: PoolId, now_ms: u64) -> PeerId {
        let key = NameKey::of_whole(address);
        let free = || {
            let unlisted = self.peers.iter().enumerate().filter(|(_, peer)| !peer.is_listed());
            unlisted.min_by_key(|(_, peer)| (!peer.address.is_empty(), peer.seen_ms.load(Relaxed)))
        };
        let known = self.find_peer(key).and_then(PeerId::index);
        let Some(at) = known.or_else(|| free().map(|(at, _)| at)) else { return PeerId::NONE };
        let (peer, id) = (&self.peers[at], PeerId::new(at as u8));
        let is_new = peer.key.load() != key;
        if is_new {
            if !peer.address.is_empty() {
                self.crowding.addresses.make_room(peer.seen_ms.load(Relaxed), now_ms);
                let known_by = self.pools.iter().filter(|pool| pool.last_peer.load() == id);
                known_by.for_each(|pool| pool.last_peer.store(PeerId::NONE));
            }
            peer.replace(address, key, now_ms);
        }
        if peer.pool.swap(pool) != pool || is_new {
            self.note_change();
        }
        id
    }

    /// The same for an address that the configuration lists, by itself or by a name.
    pub fn list_peer(&self, address: &[u8], pool: PoolId, now_ms: u64) -> PeerId {
        let peer = self.learn_peer(address, pool, now_ms);
        if let Some(board) = self.peer(peer) {
            board.listed.store(1, Relaxed);
        }
        peer
    }

    /// Forgets which addresses are listed, and not whose they are.
    pub fn unlist_peers(&self) {
        self.peers.iter().for_each(|peer| peer.listed.store(0, Relaxed));
    }
}

impl PeerBoard {
    /// Identifies the address.
    pub fn key(&self) -> NameKey {
        self.key.load()
    }

    /// The address; empty where there is none.
    pub fn text(&self) -> String {
        let bytes = [self.address.bytes(), self.tail.bytes()].concat();
        readable(&bytes, bytes.len() == ADDRESS_WORDS * 8)
    }

    /// Whether the configuration lists it.
    #[inline]
    pub fn is_listed(&self) -> bool {
        self.listed.load(Relaxed) != 0
    }

    /// Why the last attempt failed that did; `None` where that is unknown.
    pub fn last_cause(&self) -> Option<Cause> {
        Cause::ALL.get((self.failed_by.load(Relaxed) as usize).checked_sub(1)?).copied()
    }

    /// Counts requests that it answered.
    #[inline]
    pub(super) fn count_answers(&self, run: &[Success]) {
        self.answered.fetch_add(run.len() as u64, Relaxed);
        if let Some(last) = run.last() {
            self.seen_ms.store(last.time_ms, Relaxed);
        }
    }

    /// When it was asked, and when that failed.
    pub(super) fn times(&self) -> [&AtomicU64; 3] {
        [&self.failed_ms, &self.seen_ms, &self.since_ms]
    }

    /// Counts an attempt that failed there.
    pub(super) fn count_failure(&self, cause: Cause, time_ms: u64) {
        self.failed_attempts.fetch_add(1, Relaxed);
        self.failed_ms.store(time_ms, Relaxed);
        self.failed_by.store(cause as u64 + 1, Relaxed);
        self.seen_ms.store(time_ms, Relaxed);
    }

    /// Since when its place is its own, in milliseconds; zero where it was nobody's before.
    pub fn since_ms(&self) -> u64 {
        self.since_ms.load(Relaxed)
    }

    /// Gives the place to another address, which is being asked.
    fn replace(&self, address: &[u8], key: NameKey, now_ms: u64) {
        let counters = [&self.answered, &self.failed_attempts, &self.failed_ms, &self.failed_by];
        counters.into_iter().for_each(|counter| counter.store(0, Relaxed));
        self.since_ms.store(if self.address.is_empty() { 0 } else { now_ms }, Relaxed);
        self.seen_ms.store(now_ms, Relaxed);
        self.key.store(NameKey::EMPTY);
        self.address.store(address);
        self.tail.store(address.get(NAME_WORDS * 8..).unwrap_or_default());
        self.pool.store(PoolId::NONE);
        self.key.store(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::model::success::SourceId;

    fn monitor() -> &'static MonitorBoard {
        Region::private(size_of::<MonitorBoard>()).get(0).expect("room")
    }

    fn counts(monitor: &MonitorBoard, peer: PeerId) -> (u64, u64, Option<Cause>) {
        let peer = monitor.peer(peer).expect("a place");
        (peer.answered.load(Relaxed), peer.failed_attempts.load(Relaxed), peer.last_cause())
    }

    #[test]
    fn each_address_has_counts_of_its_own_until_another_takes_its_place() {
        let monitor = monitor();
        let (blue, green) = (monitor.learn_pool(b"blue", 0), monitor.learn_pool(b"green", 0));
        let (first, second) =
            (monitor.learn_peer(b"10.0.0.1:80", blue, 0), monitor.learn_peer(b"10.0.0.2:80", blue, 0));
        let answer = |peer, latency_ms| Success {
            time_ms: 5,
            header_ago_ms: 0,
            latency_ms,
            origin: SourceId::new(0, blue, peer),
        };
        monitor.count_answers(&[answer(first, 1), answer(first, 2), answer(first, 3)]);
        monitor.count_failure(blue, second, Cause::Timeout, 7);
        assert_eq!((counts(monitor, first), counts(monitor, second)), ((3, 0, None), (0, 1, Some(Cause::Timeout))));
        let board = monitor.pool(blue);
        let buckets: Vec<u64> = board.buckets().take(4).collect();
        assert_eq!((buckets, board.answered()), (vec![1, 1, 1, 0], 3));
        assert_eq!(board.causes[Cause::Timeout as usize].load(Relaxed), 1);

        for at in 0..200 {
            let peer = monitor.learn_peer(format!("10.1.0.{at}:80").as_bytes(), green, 0);
            monitor.count_failure(green, peer, Cause::Timeout, 100 + at);
        }
        let counted = [first, second].map(|peer| counts(monitor, peer));
        assert_eq!(counted, [(0, 1, Some(Cause::Timeout)); 2], "what others left is not theirs");
    }

    #[test]
    fn the_longest_unseen_address_makes_room_and_a_listed_one_never_does() {
        let monitor = monitor();
        let blue = monitor.learn_pool(b"blue", 0);
        let listed = monitor.list_peer(b"10.0.0.1:80", blue, 0);
        let learned: Vec<PeerId> = (1..PEERS_MAX)
            .map(|at| {
                let peer = monitor.learn_peer(format!("10.1.0.{at}:80").as_bytes(), blue, 0);
                monitor.count_failure(blue, peer, Cause::Connect, 1000 - at as u64);
                peer
            })
            .collect();
        let new = monitor.learn_peer(b"10.2.0.1:80", blue, 0);
        assert_eq!(Some(&new), learned.last(), "it was seen at the earliest time");
        assert_eq!(monitor.peer(listed).map(PeerBoard::text).as_deref(), Some("10.0.0.1:80"));
        (0..PEERS_MAX)
            .for_each(|at| assert_ne!(monitor.list_peer(format!("10.3.0.{at}:80").as_bytes(), blue, 0), listed));
        assert_eq!(monitor.learn_peer(b"10.4.0.1:80", blue, 0), PeerId::NONE, "all are listed");
    }

    #[test]
    fn addresses_are_told_apart_by_all_of_their_bytes() {
        let monitor = monitor();
        let (blue, green) = (monitor.learn_pool(b"blue", 0), monitor.learn_pool(b"green", 0));
        let path = |name: &str| format!("unix:/var/lib/docker/volumes/shop_sockets_of_the_app/_data/{name}.sock");
        let [first, second] = [("blue", blue), ("green", green)].map(|(name, pool)| {
            let peer = monitor.learn_peer(path(name).as_bytes(), pool, 0);
            assert_eq!(monitor.peer(peer).map(PeerBoard::text), Some(path(name)));
            peer
        });
        assert_ne!(first, second);
        assert_eq!(monitor.find_peer(NameKey::of_whole(path("green").as_bytes())), Some(second));
    }
}
