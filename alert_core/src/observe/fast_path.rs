//! The fast path: a success that is like those before it, recognised by fingerprints.
//!
//! A server that answered before, with the release it had, while its pool goes on serving: all that can be looked up
//! about such a request was looked up before. What was found then is kept here, next to what it was found from. This
//! runs in every request. It never allocates, locks, waits or fails.

use std::sync::atomic::Ordering::Relaxed;

use crate::board::monitor::MonitorBoard;
use crate::model::success::SourceId;
use crate::observe::fingerprint::Fingerprint;

/// PeerMap that are kept, as a power of two.
const PLACES: u32 = 4;

/// The servers of one monitor that one event loop has seen lately.
#[derive(Debug)]
pub struct FastPath {
    shared: &'static MonitorBoard,
    places: [Option<Known>; 1 << PLACES],
}

/// Of a size that makes finding a place cheap.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
struct Known {
    address: Fingerprint,
    release: Fingerprint,
    /// The name of its pool in its answers, for an address that the configuration does not list.
    pool: Option<Fingerprint>,
    /// [`MonitorBoard::epoch`] since which nothing has changed that was looked up.
    epoch: u64,
    /// The word of who serves in which its pool does and no other is in sight, as far as that matters: an unknown pool
    /// moves nothing.
    steady: u64,
    matters: u64,
    origin: SourceId,
}

impl FastPath {
    /// Knows nobody yet.
    pub fn new(shared: &'static MonitorBoard) -> FastPath {
        FastPath { shared, places: [None; 1 << PLACES] }
    }

    /// Whose answer it is, if it is a usual one: from this address, naming this release and this pool, if any. The name of
    /// the pool is only asked for where it matters.
    #[inline(always)]
    pub fn recognise<'a>(&self, address: &[u8], release: &[u8], pool: impl FnOnce() -> &'a [u8]) -> Option<SourceId> {
        let address = Fingerprint::of(address)?;
        let known = self.places[address.spread::<PLACES>()].as_ref()?;
        let usual = known.address == address
            && Fingerprint::of(release)? == known.release
            && self.shared.epoch.load(Relaxed) == known.epoch
            && self.shared.failover.word() & known.matters == known.steady
            && known.pool.is_none_or(|known| Fingerprint::of(pool()) == Some(known));
        usual.then_some(known.origin)
    }

    /// Remembers an answer about which everything was looked up. `pool` is its name in the answer, where that decided.
    pub fn remember(&mut self, address: &[u8], release: &[u8], pool: Option<&[u8]>, origin: SourceId) {
        let (Some(address), Some(release)) = (Fingerprint::of(address), Fingerprint::of(release)) else { return };
        let pool = match pool.map(Fingerprint::of) {
            Some(None) => return,
            pool => pool.flatten(),
        };
        let (word, matters) = (self.shared.failover.word(), if origin.pool().is_known() { u64::MAX } else { 0 });
        if self.shared.is_steady(origin.pool()) {
            let (epoch, steady) = (self.shared.epoch.load(Relaxed), word & matters);
            let known = Known { address, release, pool, epoch, steady, matters, origin };
            self.places[address.spread::<PLACES>()] = Some(known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::model::ids::PeerId;
    use crate::model::ids::PoolId;
    use crate::rules::failover::State;

    const BLUE: PoolId = PoolId::new(1);
    const ORIGIN: SourceId = SourceId::new(0, BLUE, PeerId::new(3));
    const ADDRESS: &[u8] = b"10.0.0.1:8080";

    fn usual() -> (&'static MonitorBoard, FastPath) {
        let shared: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        shared.failover.store(State::serving(BLUE));
        shared.pool(BLUE).release.store(b"v1");
        (shared, FastPath::new(shared))
    }

    fn recognise(usual: &FastPath, address: &[u8], release: &[u8]) -> Option<SourceId> {
        usual.recognise(address, release, || panic!("the name of the pool does not matter"))
    }

    #[test]
    fn only_what_was_remembered_is_recognised() {
        let (_, mut usual) = usual();
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), None);
        usual.remember(ADDRESS, b"v1", None, ORIGIN);
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), Some(ORIGIN));
        assert_eq!(recognise(&usual, ADDRESS, b"v2"), None);
        assert_eq!(recognise(&usual, ADDRESS, b""), None);
        assert_eq!(recognise(&usual, b"10.0.0.2:8080", b"v1"), None);
    }

    #[test]
    fn what_changed_on_the_board_is_looked_up_again() {
        let (shared, mut usual) = usual();
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
        let (_, mut usual) = usual();
        usual.remember(ADDRESS, b"", Some(b"blue"), ORIGIN);
        assert_eq!(usual.recognise(ADDRESS, b"", || b"blue"), Some(ORIGIN));
        assert_eq!(usual.recognise(ADDRESS, b"", || b"green"), None);
    }

    #[test]
    fn an_answer_of_an_unknown_pool_is_usual_whoever_serves() {
        let (shared, mut usual) = usual();
        let origin = SourceId::new(0, PoolId::NONE, PeerId::new(3));
        usual.remember(ADDRESS, b"", Some(b""), origin);
        shared.failover.store(State::serving(PoolId::new(2)));
        assert_eq!(usual.recognise(ADDRESS, b"", || b""), Some(origin));
    }
}
