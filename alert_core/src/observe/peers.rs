//! Where servers belong: from addresses and names to the small numbers of the board.
//!
//! This runs in every request that is no usual one. It never allocates, locks, waits or fails.

use crate::base::name::NameKey;
use crate::board::monitor::MonitorBoard;
use crate::board::{Board, Plan};
use crate::model::ids::{PeerId, PoolId};
use crate::observe::fast_path::FastPath;
use crate::settings::{MonitorSettings, Settings};

/// Where a server belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its pool, as far as it is known.
    pub pool: PoolId,
    /// Its place among the monitor's addresses.
    pub peer: PeerId,
    /// Whether the configuration lists its address, so that no answer can say otherwise.
    pub listed: bool,
}

impl Server {
    /// A server that nothing is known of.
    pub const UNKNOWN: Server = Server { pool: PoolId::NONE, peer: PeerId::NONE, listed: false };
}

/// The servers of one monitor.
#[derive(Debug)]
pub struct PeerMap {
    shared: &'static MonitorBoard,
    listed: Listed,
    /// When this was made, by the board's clock.
    made_ms: u64,
}

impl PeerMap {
    /// The servers of each monitor of this configuration.
    pub fn of_monitors(board: Board, plan: &Plan, settings: &Settings) -> Vec<PeerMap> {
        let monitors = settings.monitors.iter().enumerate();
        monitors
            .filter_map(|(at, monitor)| {
                Some(PeerMap::new(board.monitor(plan, at)?, monitor, plan.pools(at), board.clock().now_ms()))
            })
            .collect()
    }

    fn new(shared: &'static MonitorBoard, settings: &MonitorSettings, pools: &[PoolId], made_ms: u64) -> PeerMap {
        let mut listed = Vec::new();
        for ((_, addresses), pool) in settings.pools.iter().zip(pools) {
            // What a name brought can move to another pool, so the board has that.
            let is_named = |address: &&String| settings.hosts.iter().any(|host| host.addresses.contains(address));
            listed.extend(addresses.iter().filter(|address| !is_named(address)).map(|address| {
                let key = NameKey::of_whole(address.as_bytes());
                let peer = shared.find_peer(key).unwrap_or(PeerId::NONE);
                (key, Server { pool: *pool, peer, listed: true })
            }));
        }
        PeerMap { shared, listed: Listed::new(&listed), made_ms }
    }

    /// Whose the server with this address is, whose answer named this pool, if any.
    ///
    /// The configuration decides, then the answer, then what earlier answers taught.
    pub fn server(&self, address: &[u8], named: &[u8], now_ms: u64) -> Server {
        let key = NameKey::of_whole(address);
        let known = self.listed.find(key).filter(|server| self.is_still(server)).or_else(|| self.known(key));
        match known {
            Some(server) if server.listed => {
                self.compare(server.pool, address, named);
                server
            }
            Some(server) if named.is_empty() => server,
            known => {
                let pool = self.shared.learn_pool(named, now_ms);
                let as_known = |server: &Server| server.pool == pool;
                known.filter(as_known).unwrap_or_else(|| {
                    let peer = self.shared.learn_peer(address, pool, now_ms);
                    Server { pool, peer, listed: false }
                })
            }
        }
    }

    /// Notes where an answer names another pool than the configuration, which decides.
    #[inline]
    pub fn compare(&self, pool: PoolId, address: &[u8], named: &[u8]) {
        if !named.is_empty() && self.shared.pool(pool).name.key() != NameKey::of(named) {
            self.shared.contradiction.note(address, named);
        }
    }

    /// Whether the places of a server are still its own: another configuration, which does not list it, may be in force while
    /// this one's workers drain.
    fn is_still(&self, Server { pool, peer, .. }: &Server) -> bool {
        self.shared.pool_then(*pool, self.made_ms) == *pool && self.shared.peer_then(*peer, self.made_ms) == *peer
    }

    /// A server as the board has it: learned, or listed by a name that was looked up since.
    fn known(&self, key: NameKey) -> Option<Server> {
        let peer = self.shared.find_peer(key)?;
        let board = self.shared.peer(peer)?;
        Some(Server { pool: board.pool.load(), peer, listed: board.is_listed() })
    }

    /// A server of which only the name of its pool is known.
    pub fn nameless(&self, pool: &[u8], now_ms: u64) -> Server {
        Server { pool: self.shared.learn_pool(pool, now_ms), ..Server::UNKNOWN }
    }

    /// Notes the release that a pool answered with.
    #[inline]
    pub fn release(&self, pool: PoolId, release: &[u8]) {
        let cell = &self.shared.pool(pool).release;
        if cell.key() != NameKey::of(release) && pool.is_known() {
            cell.store(release);
            self.shared.note_change();
        }
    }

    /// Whether this pool serves and no other is in sight.
    pub fn is_steady(&self, pool: PoolId) -> bool {
        self.shared.is_steady(pool)
    }

    /// The board of the monitor.
    pub fn board(&self) -> &'static MonitorBoard {
        self.shared
    }

    /// A place to remember usual answers of these servers.
    pub fn usual<H: Default>(&self) -> FastPath<H> {
        FastPath::new(self.shared)
    }
}
/// The addresses that a configuration lists, found by their keys: at least half of the places are free, so that the
/// first look nearly always decides.
#[derive(Debug)]
struct Listed {
    places: Vec<(NameKey, Server)>,
}

impl Listed {
    fn new(servers: &[(NameKey, Server)]) -> Listed {
        let free = (NameKey::EMPTY, Server::UNKNOWN);
        let mut listed = Listed { places: vec![free; (2 * servers.len()).next_power_of_two()] };
        for (key, server) in servers {
            let at = listed.look(*key).find(|at| matches!(listed.places[*at].0, NameKey::EMPTY)).unwrap_or(0);
            listed.places[at] = (*key, *server);
        }
        listed
    }

    fn find(&self, key: NameKey) -> Option<Server> {
        for at in self.look(key) {
            match self.places[at] {
                (found, server) if found == key => return Some(server),
                (NameKey::EMPTY, _) => return None,
                _ => {}
            }
        }
        None
    }

    /// All places, in the order in which this key looks at them.
    fn look(&self, key: NameKey) -> impl Iterator<Item = usize> + use<> {
        let (first, mask) = (key.0 as usize, self.places.len() - 1);
        (0..=mask).map(move |step| first.wrapping_add(step) & mask)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_listed_address_is_found_and_no_other() {
        for count in [0_usize, 1, 2, 3, 31, 64, 500] {
            let key = |n: usize| NameKey::of(format!("10.0.{}.{}:8080", n / 256, n % 256).as_bytes());
            let server = |n: usize| Server { peer: PeerId::new((n % 64) as u8), ..Server::UNKNOWN };
            let servers: Vec<_> = (0..count).map(|n| (key(n), server(n))).collect();
            let listed = Listed::new(&servers);
            for n in 0..count {
                assert_eq!(listed.find(key(n)).map(|found| found.peer), Some(server(n).peer), "{n} of {count}");
            }
            assert!((count..count + 500).all(|n| listed.find(key(n)).is_none()), "{count}");
        }
    }
}
