//! The fast path: a success that is like those before it, recognised by fingerprints.
//!
//! A server that answered before, with the release it had, while its pool goes on serving: all that can be looked up
//! about such a request was looked up before. What was found then is kept here, next to what it was found from. This
//! runs in every request. It never allocates, locks, waits or fails.

use std::cell::Cell;
use std::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst};

use crate::board::epoch;
use crate::board::monitor::MonitorBoard;
use crate::model::ids::{PeerId, PoolId};
use crate::model::success::SourceId;
use crate::observe::fingerprint::{Fingerprint, FingerprintCell};
use crate::observe::spread::Spread;

/// Places for servers. More share some, or so it can happen; which costs more and changes nothing.
const PLACES: usize = 32;
/// Where no text lies.
const NOWHERE: usize = usize::MAX;

/// The servers of one monitor that one event loop has seen lately. `H` is what is kept of where the names in their answers
/// were found.
#[derive(Debug)]
#[repr(C)]
pub struct FastPath<H = ()> {
    /// First, so that a pointer to whatever begins with this is one to them.
    places: [Known<H>; PLACES],
    spread: Spread<PLACES>,
    shared: &'static MonitorBoard,
}

/// The address of a server.
#[derive(Clone, Copy, Debug)]
pub struct Address<'a> {
    /// It as text.
    pub text: &'a [u8],
    /// Where whoever serves the request keeps it in memory.
    pub lies_at: usize,
    /// Whether nothing else can lie there for as long as the configuration is in use.
    pub lasts: bool,
}

/// What an answer was like. Of a size that makes finding a place cheap.
#[derive(Debug)]
#[repr(align(256))]
pub struct Known<H> {
    /// Where the text of its address lies for as long as this is kept; [`NOWHERE`] where it may be another's there.
    lies_at: Cell<usize>,
    /// Where it lay when it was kept here, whether or not it stays.
    key: Cell<usize>,
    address: FingerprintCell,
    release: FingerprintCell,
    /// [`MonitorBoard::epoch`] since which nothing has changed that was looked up.
    epoch: Cell<u64>,
    origin: Cell<SourceId>,
    has_pool: Cell<bool>,
    /// The name of its pool in its answers, for an address that the configuration does not list.
    pool: FingerprintCell,
    /// Where its names were found.
    pub headers: H,
}

impl<H: Default> Default for Known<H> {
    fn default() -> Known<H> {
        Known {
            lies_at: Cell::new(NOWHERE),
            key: Cell::new(NOWHERE),
            address: FingerprintCell::default(),
            release: FingerprintCell::default(),
            epoch: Cell::new(0),
            origin: Cell::new(SourceId::new(0, PoolId::NONE, PeerId::NONE)),
            has_pool: Cell::new(false),
            pool: FingerprintCell::default(),
            headers: H::default(),
        }
    }
}

impl<H> Known<H> {
    /// Whether this is its release, where one look tells.
    #[inline(always)]
    pub fn has_release(&self, release: &[u8]) -> bool {
        self.release.is_at_once_of(release)
    }

    /// Whether the name of its pool in its answers decides whose it is.
    #[inline(always)]
    pub fn is_of_named_pool(&self) -> bool {
        self.has_pool.get()
    }

    /// Whether this is that name, where one look tells.
    #[inline(always)]
    pub fn has_pool(&self, pool: &[u8]) -> bool {
        self.pool.is_at_once_of(pool)
    }

    /// Whether an answer with these names is like those before it, however long they are.
    pub fn has_names<'a>(&self, release: &[u8], pool: impl FnOnce() -> &'a [u8]) -> bool {
        Fingerprint::of(release) == Some(self.release.get())
            && (!self.has_pool.get() || Fingerprint::of(pool()) == Some(self.pool.get()))
    }

    fn forget(&self) {
        self.key.set(NOWHERE);
        self.lies_at.set(NOWHERE);
        self.address.set(Fingerprint::NONE);
    }

    /// Whose its answers are.
    #[inline(always)]
    pub fn origin(&self) -> SourceId {
        self.origin.get()
    }
}

impl<H: Default> FastPath<H> {
    /// Knows nobody yet.
    pub fn new(shared: &'static MonitorBoard) -> FastPath<H> {
        FastPath { shared, spread: Spread::default(), places: std::array::from_fn(|_| Known::default()) }
    }

    /// What is known of the server whose address lies there in memory, as long as nothing has changed since that was looked
    /// up. One look: not all that is known is found. The address itself is only asked for where its text may have moved.
    #[inline(always)]
    pub fn find<'a>(&self, lies_at: usize, address: impl FnOnce() -> Option<&'a [u8]>) -> Option<&Known<H>> {
        self.at(lies_at, address).filter(|known| self.is_current(known))
    }

    #[inline(always)]
    fn at<'a>(&self, lies_at: usize, address: impl FnOnce() -> Option<&'a [u8]>) -> Option<&Known<H>> {
        let known = self.place(lies_at);
        let is_it = known.lies_at.get() == lies_at || address().is_some_and(|text| known.address.is_at_once_of(text));
        is_it.then_some(known)
    }

    /// The server whose address lies there, where the configuration lists it, and nothing has changed since that was looked
    /// up but which pool serves. Its answers need not be usual.
    #[inline(always)]
    pub fn listed<'a>(&self, lies_at: usize, address: impl FnOnce() -> Option<&'a [u8]>) -> Option<SourceId> {
        let known = self.at(lies_at, address).filter(|known| !known.has_pool.get())?;
        let now = self.shared.epoch.load(Relaxed);
        (epoch::of_changes(now) == epoch::of_changes(known.epoch.get())).then(|| known.origin())
    }

    /// Remembers a server that the configuration lists, and nothing of its answers.
    pub fn remember_listed(&self, address: Address<'_>, origin: SourceId) {
        let Some(fingerprint) = Fingerprint::of(address.text) else { return };
        let epoch = epoch::of_changes(self.shared.epoch.load(SeqCst));
        self.keep(address, fingerprint, Fingerprint::NONE, None, epoch, origin);
    }

    /// What [`FastPath::find`] looks for, wherever it is kept.
    pub fn find_anywhere(&self, address: &[u8]) -> Option<&Known<H>> {
        let address = Some(Fingerprint::of(address)?);
        self.places.iter().find(|known| Some(known.address.get()) == address && self.is_current(known))
    }

    #[inline(always)]
    fn is_current(&self, known: &Known<H>) -> bool {
        self.shared.epoch.load(Relaxed) == known.epoch.get()
    }

    /// Remembers an answer about which everything was looked up. `pool` is its name in the answer, where that decided.
    /// Returns what is known now.
    pub fn remember(
        &self,
        address: Address<'_>,
        release: &[u8],
        pool: Option<&[u8]>,
        origin: SourceId,
    ) -> Option<&Known<H>> {
        let (fingerprint, release) = (Fingerprint::of(address.text)?, Fingerprint::of(release)?);
        let pool = match pool {
            Some(pool) => Some(Fingerprint::of(pool)?),
            None => None,
        };
        let epoch = self.shared.epoch.load(SeqCst);
        let is_steady = self.shared.is_steady(origin.pool());
        is_steady.then(|| self.keep(address, fingerprint, release, pool, epoch, origin))
    }

    fn keep(
        &self,
        address: Address<'_>,
        fingerprint: Fingerprint,
        release: Fingerprint,
        pool: Option<Fingerprint>,
        epoch: u64,
        origin: SourceId,
    ) -> &Known<H> {
        self.make_room(address.lies_at, fingerprint);
        let known = self.place(address.lies_at);
        known.key.set(address.lies_at);
        known.lies_at.set(if address.lasts { address.lies_at } else { NOWHERE });
        known.address.set(fingerprint);
        known.release.set(release);
        known.has_pool.set(pool.is_some());
        known.pool.set(pool.unwrap_or(Fingerprint::NONE));
        known.epoch.set(epoch);
        known.origin.set(origin);
        known
    }

    /// Where a server is kept.
    #[inline(always)]
    fn place(&self, lies_at: usize) -> &Known<H> {
        &self.places[self.spread.place(lies_at)]
    }

    /// Sees to it that the place of a server is not another's, if that can be. Then all are forgotten once.
    fn make_room(&self, lies_at: usize, address: Fingerprint) {
        let is_free = |known: &Known<H>| known.key.get() == NOWHERE || known.address.get() == address;
        if is_free(self.place(lies_at)) {
            return;
        }
        // Where an address lies elsewhere in each request, no rule helps.
        let keys = self.places.iter().filter(|known| known.key.get() != NOWHERE);
        let moves = keys.clone().any(|known| known.address.get() == address);
        if !moves && self.spread.improve(keys.map(|known| known.key.get()).chain([lies_at])) {
            self.places.iter().for_each(Known::forget);
        }
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
    /// Where it lies.
    const PLACE: usize = 0x1230;

    fn address(text: &[u8]) -> Address<'_> {
        Address { text, lies_at: PLACE, lasts: false }
    }

    fn find<'a>(usual: &'a FastPath<()>, address: &[u8]) -> Option<&'a Known<()>> {
        usual.find(PLACE, || Some(address))
    }

    fn fast_path() -> (&'static MonitorBoard, FastPath<()>) {
        let shared: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        shared.set_failover(State::serving(BLUE));
        (shared, FastPath::new(shared))
    }

    fn recognise(usual: &FastPath<()>, address: &[u8], release: &[u8]) -> Option<SourceId> {
        let known = find(usual, address).filter(|known| known.has_release(release))?;
        assert!(!known.is_of_named_pool(), "the name of the pool does not matter");
        Some(known.origin())
    }

    #[test]
    fn only_what_was_remembered_is_recognised() {
        let (_, usual) = fast_path();
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), None);
        usual.remember(address(ADDRESS), b"v1", None, ORIGIN);
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), Some(ORIGIN));
        assert_eq!(recognise(&usual, ADDRESS, b"v2"), None);
        assert_eq!(recognise(&usual, ADDRESS, b""), None);
        assert_eq!(recognise(&usual, b"10.0.0.2:8080", b"v1"), None);
        assert_eq!(recognise(&usual, b"", b""), None);
    }

    #[test]
    fn what_changed_on_the_board_is_looked_up_again() {
        let (shared, usual) = fast_path();
        usual.remember(address(ADDRESS), b"v1", None, ORIGIN);
        shared.note_change();
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), None, "a release, or whose an address is");
        usual.remember(address(ADDRESS), b"v1", None, ORIGIN);
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), Some(ORIGIN));
        shared.set_failover(State::serving(PoolId::new(2)));
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), None, "another pool serves");
        assert!(usual.remember(address(ADDRESS), b"v1", None, ORIGIN).is_none(), "it does not serve");
        shared.set_failover(State::serving(BLUE));
        assert_eq!(recognise(&usual, ADDRESS, b"v1"), Some(ORIGIN), "as before");
    }

    #[test]
    fn what_one_look_does_not_find_a_closer_one_does() {
        let (_, usual) = fast_path();
        let socket = b"unix:/run/a/rather/long/path/to/a/socket";
        usual.remember(address(socket), b"v1", None, ORIGIN);
        assert!(find(&usual, socket).is_none() && usual.find_anywhere(socket).is_some());
        assert!(usual.find_anywhere(&[socket.as_slice(), b"2"].concat()).is_none());
    }

    #[test]
    fn an_address_that_lasts_where_it_lies_is_recognised_by_that_alone() {
        let (shared, usual) = fast_path();
        let asked = || -> Option<&[u8]> { panic!("it is known by where it lies") };
        let lasting = Address { lasts: true, ..address(ADDRESS) };
        usual.remember(lasting, b"v1", None, ORIGIN);
        assert_eq!(usual.find(PLACE, asked).map(Known::origin), Some(ORIGIN));
        let is_shared = |lies_at: &usize| usual.spread.place(*lies_at) == usual.spread.place(PLACE);
        let elsewhere = (PLACE + 1..).find(is_shared).expect("places are few");
        assert!(usual.find(elsewhere, || None).is_none(), "elsewhere, in the same place");
        assert!(usual.find(elsewhere, || Some(ADDRESS)).is_some(), "the same text elsewhere");
        shared.note_change();
        assert!(usual.find(PLACE, asked).is_none(), "something changed");
        usual.remember(address(b"10.0.0.2:8080"), b"v1", None, ORIGIN);
        assert!(find(&usual, ADDRESS).is_none(), "what lies there does not last");
    }

    #[test]
    fn many_servers_are_each_known_at_one_look_once_all_were_seen_some_times() {
        for distance in [16, 64, 192, 200, 256] {
            let (_, usual) = fast_path();
            let server = |at: usize| (PLACE + at * distance, format!("10.0.0.{at}:80"));
            let servers: Vec<(usize, String)> = (0..12).map(server).collect();
            let is_known = |(lies_at, text): &(usize, String)| usual.find(*lies_at, || Some(text.as_bytes())).is_some();
            for _ in 0..20 {
                for server in servers.iter().filter(|server| !is_known(server)) {
                    let address = Address { text: server.1.as_bytes(), lies_at: server.0, lasts: false };
                    usual.remember(address, b"v1", None, ORIGIN);
                }
            }
            assert!(servers.iter().all(is_known), "every {distance} bytes");
        }
    }

    #[test]
    fn a_server_is_known_to_be_listed_whatever_its_answers_and_whoever_serves() {
        let (shared, usual) = fast_path();
        let listed = |usual: &FastPath<()>| usual.listed(PLACE, || Some(ADDRESS));
        assert_eq!(listed(&usual), None);
        usual.remember_listed(address(ADDRESS), ORIGIN);
        assert!(find(&usual, ADDRESS).is_none(), "nothing is known of its answers");
        shared.set_failover(State::serving(PoolId::new(2)));
        assert_eq!(listed(&usual), Some(ORIGIN));
        assert_eq!(usual.listed(PLACE, || Some(b"10.0.0.2:8080")), None);
        shared.note_change();
        assert_eq!(listed(&usual), None, "something changed");
        shared.set_failover(State::serving(BLUE));
        usual.remember(address(ADDRESS), b"v1", None, ORIGIN);
        assert_eq!(listed(&usual), Some(ORIGIN), "of one whose answers are usual as well");
        usual.remember(address(ADDRESS), b"v1", Some(b"blue"), ORIGIN);
        assert_eq!(listed(&usual), None, "its answers say whose it is");
    }

    #[test]
    fn an_address_that_is_not_listed_is_known_with_the_name_of_its_pool() {
        let (_, usual) = fast_path();
        usual.remember(address(ADDRESS), b"", Some(b"blue"), ORIGIN);
        let known = find(&usual, ADDRESS).expect("it is known");
        assert!(known.is_of_named_pool() && known.has_release(b""));
        assert!(known.has_pool(b"blue") && !known.has_pool(b"grey") && !known.has_pool(b""));
    }

    #[test]
    fn an_answer_of_an_unknown_pool_is_usual_whoever_serves() {
        let (shared, usual) = fast_path();
        let origin = SourceId::new(0, PoolId::NONE, PeerId::new(3));
        shared.set_failover(State::serving(PoolId::new(2)));
        usual.remember(address(ADDRESS), b"", Some(b""), origin);
        let known = find(&usual, ADDRESS).filter(|known| known.has_release(b"") && known.has_pool(b""));
        assert_eq!(known.map(|known| known.origin()), Some(origin));
    }
}
