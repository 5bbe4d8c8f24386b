//! The fast path: a success that is like those before it, recognised by fingerprints.
//!
//! A server that answered before, with the release it had, while its pool goes on serving: all that can be looked up
//! about such a request was looked up before. What was found then is kept here, next to what it was found from. This
//! runs in every request. It never allocates, locks, waits or fails.

use std::cell::Cell;
use std::sync::atomic::Ordering::Relaxed;

use crate::board::monitor::MonitorBoard;
use crate::model::ids::{PeerId, PoolId};
use crate::model::success::SourceId;
use crate::observe::fingerprint::Fingerprint;

/// Servers that are kept, as a power of two.
const PLACES: u32 = 4;

/// The servers of one monitor that one event loop has seen lately.
#[derive(Debug)]
pub struct FastPath {
    shared: &'static MonitorBoard,
    places: [Known; 1 << PLACES],
}

/// What an answer was like. Of a size that makes finding a place cheap.
#[derive(Debug)]
#[repr(align(128))]
pub struct Known {
    address: Cell<Fingerprint>,
    release: Cell<Fingerprint>,
    /// The name of its pool in its answers, for an address that the configuration does not list.
    pool: Cell<Fingerprint>,
    has_pool: Cell<bool>,
    /// [`MonitorBoard::epoch`] since which nothing has changed that was looked up.
    epoch: Cell<u64>,
    /// The word of who serves in which its pool does and no other is in sight, as far as that matters: an unknown pool
    /// moves nothing.
    steady: Cell<u64>,
    matters: Cell<u64>,
    origin: Cell<SourceId>,
}

impl Default for Known {
    fn default() -> Known {
        Known {
            address: Cell::new(Fingerprint::NONE),
            release: Cell::new(Fingerprint::NONE),
            pool: Cell::new(Fingerprint::NONE),
            has_pool: Cell::new(false),
            epoch: Cell::new(0),
            steady: Cell::new(0),
            matters: Cell::new(0),
            origin: Cell::new(SourceId::new(0, PoolId::NONE, PeerId::NONE)),
        }
    }
}

impl Known {
    /// Whether this is its release.
    #[inline(always)]
    pub fn has_release(&self, release: &[u8]) -> bool {
        Fingerprint::of(release) == Some(self.release.get())
    }

    /// Whether the name of its pool in its answers decides whose it is.
    #[inline(always)]
    pub fn is_of_named_pool(&self) -> bool {
        self.has_pool.get()
    }

    /// Whether this is that name.
    #[inline(always)]
    pub fn has_pool(&self, pool: &[u8]) -> bool {
        Fingerprint::of(pool) == Some(self.pool.get())
    }

    /// Whose its answers are.
    #[inline(always)]
    pub fn origin(&self) -> SourceId {
        self.origin.get()
    }
}

impl FastPath {
    /// Knows nobody yet.
    pub fn new(shared: &'static MonitorBoard) -> FastPath {
        FastPath { shared, places: Default::default() }
    }

    /// What is known of the server with this address, as long as nothing has changed since that was looked up.
    #[inline(always)]
    pub fn find(&self, address: &[u8]) -> Option<&Known> {
        let address = Fingerprint::of(address)?;
        let known = &self.places[address.spread::<PLACES>()];
        let is_known = known.address.get() == address
            && self.shared.epoch.load(Relaxed) == known.epoch.get()
            && self.shared.failover.word() & known.matters.get() == known.steady.get();
        is_known.then_some(known)
    }

    /// Remembers an answer about which everything was looked up. `pool` is its name in the answer, where that decided.
    pub fn remember(&self, address: &[u8], release: &[u8], pool: Option<&[u8]>, origin: SourceId) {
        let (Some(address), Some(release)) = (Fingerprint::of(address), Fingerprint::of(release)) else { return };
        let Some(pool_of) = pool.map_or(Some(Fingerprint::NONE), Fingerprint::of) else { return };
        let (word, matters) = (self.shared.failover.word(), if origin.pool().is_known() { u64::MAX } else { 0 });
        if !self.shared.is_steady(origin.pool()) {
            return;
        }
        let known = &self.places[address.spread::<PLACES>()];
        known.address.set(address);
        known.release.set(release);
        known.pool.set(pool_of);
        known.has_pool.set(pool.is_some());
        known.epoch.set(self.shared.epoch.load(Relaxed));
        known.matters.set(matters);
        known.steady.set(word & matters);
        known.origin.set(origin);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::model::ids::{PeerId, PoolId};
    use crate::rules::failover::State;

    const BLUE: PoolId = PoolId::new(1);
    const ORIGIN: SourceId = SourceId::new(0, BLUE, PeerId::new(3));
    const ADDRESS: &[u8] = b"10.0.0.1:8080";

    fn fast_path() -> (&'static MonitorBoard, FastPath) {
        let shared: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        shared.failover.store(State::serving(BLUE));
        (shared, FastPath::new(shared))
    }

    fn recognise(usual: &FastPath, address: &[u8], release: &[u8]) -> Option<SourceId> {
        let known = usual.find(address).filter(|known| known.has_release(release))?;
        assert!(!known.is_of_named_pool(), "the name of the pool does not matter");
        Some(known.origin())
    }

    #[test]
    fn only_what_was_remembered_is_recognised() {
        let (_, usual) = fast_path();
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), None);
        usual.remember(ADDRESS, b"v1", None, ORIGIN);
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), Some(ORIGIN));
        assert_eq!(recognise(&usual, ADDRESS, b"v2"), None);
        assert_eq!(recognise(&usual, ADDRESS, b""), None);
        assert_eq!(recognise(&usual, b"10.0.0.2:8080", b"v1"), None);
        assert_eq!(recognise(&usual, b"", b""), None);
    }

    #[test]
    fn what_changed_on_the_board_is_looked_up_again() {
        let (shared, usual) = fast_path();
        usual.remember(ADDRESS, b"v1", None, ORIGIN);
        shared.epoch.fetch_add(1, Relaxed);
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), None, "a release, or whose an address is");
        usual.remember(ADDRESS, b"v1", None, ORIGIN);
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), Some(ORIGIN));
        shared.failover.store(State::serving(PoolId::new(2)));
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), None, "another pool serves");
    }

    #[test]
    fn an_address_that_is_not_listed_is_known_with_the_name_of_its_pool() {
        let (_, usual) = fast_path();
        usual.remember(ADDRESS, b"", Some(b"blue"), ORIGIN);
        let known = usual.find(ADDRESS).expect("it is known");
        assert!(known.is_of_named_pool() && known.has_release(b""));
        assert!(known.has_pool(b"blue") && !known.has_pool(b"grey") && !known.has_pool(b""));
    }

    #[test]
    fn an_answer_of_an_unknown_pool_is_usual_whoever_serves() {
        let (shared, usual) = fast_path();
        let origin = SourceId::new(0, PoolId::NONE, PeerId::new(3));
        usual.remember(ADDRESS, b"", Some(b""), origin);
        shared.failover.store(State::serving(PoolId::new(2)));
        let known = usual.find(ADDRESS).filter(|known| known.has_release(b"") && known.has_pool(b""));
        assert_eq!(known.map(Known::origin), Some(origin));
    }
}
