//! Where servers belong: from addresses and names to the small numbers of the board.
//!
//! This runs in every request. It never allocates, locks, waits or fails.

use std::sync::atomic::Ordering::Relaxed;

use crate::board::monitor::MonitorBoard;
use crate::board::{Board, Plan};
use crate::event::PeerId;
use crate::name::NameKey;
use crate::pool::PoolId;
use crate::settings::Settings;

/// Where a server belongs.
#[derive(Clone, Copy, Debug)]
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

/// The servers of all monitors of a configuration.
#[derive(Debug)]
pub struct Servers {
    monitors: Vec<MonitorServers>,
}

#[derive(Debug)]
struct MonitorServers {
    shared: &'static MonitorBoard,
    /// The addresses that the configuration lists, sorted by key.
    listed: Vec<(NameKey, Server)>,
}

impl Servers {
    /// The servers of this configuration.
    pub fn new(board: Board, plan: &Plan, settings: &Settings) -> Servers {
        let monitors = settings.monitors.iter().enumerate().filter_map(|(at, monitor)| {
            let shared = board.monitor(plan, at)?;
            let mut listed: Vec<(NameKey, Server)> = Vec::new();
            for ((_, addresses), pool) in monitor.pools.iter().zip(plan.pools(at)) {
                listed.extend(addresses.iter().map(|address| {
                    let key = NameKey::of(address.as_bytes());
                    let peer = shared.find_peer(key).unwrap_or(PeerId::NONE);
                    (key, Server { pool: *pool, peer, listed: true })
                }));
            }
            listed.sort_unstable_by_key(|(key, _)| key.0);
            Some(MonitorServers { shared, listed })
        });
        Servers { monitors: monitors.collect() }
    }

    /// Where the server with this address belongs.
    #[inline]
    pub fn server(&self, monitor: u16, address: &[u8]) -> Server {
        let Some(monitor) = self.monitors.get(monitor as usize) else { return Server::UNKNOWN };
        let key = NameKey::of(address);
        if let Ok(at) = monitor.listed.binary_search_by_key(&key.0, |(key, _)| key.0) {
            return monitor.listed[at].1;
        }
        match monitor.shared.find_peer(key) {
            Some(peer) => {
                let at = peer.index().unwrap_or(0);
                let pool = PoolId::new(monitor.shared.peers[at].pool.load(Relaxed) as u8);
                Server { pool, peer, listed: false }
            }
            None => Server::UNKNOWN,
        }
    }

    /// Learns from an answer that the server with this address belongs to the pool of this name.
    #[inline]
    pub fn learn(&self, monitor: u16, address: &[u8], known: Server, pool: &[u8]) -> Server {
        let Some(monitor) = self.monitors.get(monitor as usize) else { return known };
        let pool = monitor.shared.learn_pool(pool);
        if pool == known.pool {
            return known;
        }
        Server { pool, peer: monitor.shared.learn_peer(address, pool), listed: false }
    }

    /// A server of which only the name of its pool is known.
    #[inline]
    pub fn nameless(&self, monitor: u16, pool: &[u8]) -> Server {
        let Some(monitor) = self.monitors.get(monitor as usize) else { return Server::UNKNOWN };
        Server { pool: monitor.shared.learn_pool(pool), ..Server::UNKNOWN }
    }

    /// Notes the release that a pool answered with.
    #[inline]
    pub fn release(&self, monitor: u16, pool: PoolId, release: &[u8]) {
        let Some(monitor) = self.monitors.get(monitor as usize) else { return };
        let cell = &monitor.shared.pool(pool).release;
        if pool.is_known() && cell.key() != NameKey::of(release) {
            cell.store(release);
        }
    }
}
