//! The usual answer, recognised at a glance.
//!
//! A server that answered before, with the release it had, while its pool goes on serving: all that can be looked up
//! about such a request was looked up before. What was found then is kept here, next to what it was found from. This
//! runs in every request. It never allocates, locks, waits or fails.

use std::sync::atomic::Ordering::Relaxed;

use crate::answer::Origin;
use crate::board::monitor::MonitorBoard;
use crate::failover::State;
use crate::glance::Glance;
use crate::name::{NameCell, NameKey};

/// Servers that are kept, as a power of two.
const PLACES: u32 = 4;

/// The servers of one monitor that one event loop has seen lately.
#[derive(Debug)]
pub struct Usual {
    shared: &'static MonitorBoard,
    places: [Option<Known>; 1 << PLACES],
}

/// Of a size that makes finding a place cheap.
#[derive(Clone, Copy, Debug)]
#[repr(align(128))]
struct Known {
    address: Glance,
    release: Glance,
    /// The name of its pool in its answers, for an address that the configuration does not list.
    pool: Option<Glance>,
    /// Where the release of its pool is, and its key after the last answer.
    cell: &'static NameCell,
    key: NameKey,
    /// The state in which its pool serves and no other is in sight.
    steady: u64,
    origin: Origin,
}

impl Usual {
    /// Knows nobody yet.
    pub fn new(shared: &'static MonitorBoard) -> Usual {
        Usual { shared, places: [None; 1 << PLACES] }
    }

    /// Whose answer it is, if it is a usual one: from this address, naming this release and this pool, if any. The name of
    /// the pool is only asked for where it matters.
    #[inline(always)]
    pub fn recognise<'a>(&self, address: &[u8], release: &[u8], pool: impl FnOnce() -> &'a [u8]) -> Option<Origin> {
        let address = Glance::of(address)?;
        let known = self.places[address.spread::<PLACES>()].as_ref()?;
        let usual = known.address == address
            && Glance::of(release)? == known.release
            && known.cell.key() == known.key
            && self.shared.failover.load(Relaxed) == known.steady
            && known.pool.is_none_or(|known| Glance::of(pool()) == Some(known));
        usual.then_some(known.origin)
    }

    /// Remembers an answer about which everything was looked up. `pool` is its name in the answer, where that decided.
    pub fn remember(&mut self, address: &[u8], release: &[u8], pool: Option<&[u8]>, origin: Origin) {
        let (Some(address), Some(release)) = (Glance::of(address), Glance::of(release)) else { return };
        let pool = match pool.map(Glance::of) {
            Some(None) => return,
            pool => pool.flatten(),
        };
        let cell = &self.shared.pool(origin.pool()).release;
        let (key, steady) = (cell.key(), State::serving(origin.pool()).to_word());
        self.places[address.spread::<PLACES>()] = Some(Known { address, release, pool, cell, key, steady, origin });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::event::PeerId;
    use crate::pool::PoolId;

    const BLUE: PoolId = PoolId::new(1);
    const ORIGIN: Origin = Origin::new(0, BLUE, PeerId::new(3));
    const ADDRESS: &[u8] = b"10.0.0.1:8080";

    fn usual() -> (&'static MonitorBoard, Usual) {
        let shared: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        shared.failover.store(State::serving(BLUE).to_word(), Relaxed);
        shared.pool(BLUE).release.store(b"v1");
        (shared, Usual::new(shared))
    }

    fn recognise(usual: &Usual, address: &[u8], release: &[u8]) -> Option<Origin> {
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
        shared.pool(BLUE).release.store(b"v2");
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), None, "another worker saw another release");
        shared.pool(BLUE).release.store(b"v1");
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), Some(ORIGIN));
        shared.failover.store(State::serving(PoolId::new(2)).to_word(), Relaxed);
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), None, "another pool serves");
    }

    #[test]
    fn an_address_that_is_not_listed_is_known_with_the_name_of_its_pool() {
        let (_, mut usual) = usual();
        usual.remember(ADDRESS, b"", Some(b"blue"), ORIGIN);
        assert_eq!(usual.recognise(ADDRESS, b"", || b"blue"), Some(ORIGIN));
        assert_eq!(usual.recognise(ADDRESS, b"", || b"green"), None);
    }
}
