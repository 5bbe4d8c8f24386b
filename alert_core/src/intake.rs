//! The event loop's end: names become numbers here, and events go into the channel.
//!
//! This runs in every request. It never allocates, locks, waits or fails; a full channel is a counted drop. The only
//! system call is the one that wakes a detector which had gone idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, Ordering::Relaxed, fence};
use std::thread::Thread;

use crossbeam_channel::{Sender, TrySendError};

use crate::board::monitor::MonitorBoard;
use crate::board::worker::WorkerBoard;
use crate::board::{Board, Plan};
use crate::event::{Event, PeerId};
use crate::name::NameKey;
use crate::pool::PoolId;
use crate::settings::Settings;

/// Whether the detector has gone idle and wants to be woken.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    idle: AtomicBool,
}

impl Doorbell {
    /// Says that the detector is about to sleep. It looks at the channel once more after this.
    pub(crate) fn going_idle(&self) {
        self.idle.store(true, Relaxed);
        // Pairs with the fence in `ring`: either the detector sees the event, or the event loop sees the flag.
        fence(Ordering::SeqCst);
    }

    /// Says that the detector is awake.
    pub(crate) fn awake(&self) {
        self.idle.store(false, Relaxed);
    }

    #[inline]
    fn ring(&self, detector: &Thread) {
        fence(Ordering::SeqCst);
        if self.idle.load(Relaxed) {
            self.idle.store(false, Relaxed);
            detector.unpark();
        }
    }
}

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

/// The event loop's end of one worker.
#[derive(Debug)]
pub struct Intake {
    monitors: Vec<MonitorIntake>,
    events: Sender<Event>,
    doorbell: Arc<Doorbell>,
    detector: Thread,
    worker: Option<&'static WorkerBoard>,
}

#[derive(Debug)]
struct MonitorIntake {
    shared: &'static MonitorBoard,
    /// The addresses that the configuration lists, sorted by key.
    listed: Vec<(NameKey, Server)>,
}

impl Intake {
    pub(crate) fn new(
        board: Board,
        plan: &Plan,
        settings: &Settings,
        events: Sender<Event>,
        (doorbell, detector): (Arc<Doorbell>, Thread),
        worker: Option<&'static WorkerBoard>,
    ) -> Intake {
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
            Some(MonitorIntake { shared, listed })
        });
        Intake { monitors: monitors.collect(), events, doorbell, detector, worker }
    }

    /// Where the server with this address belongs.
    #[inline]
    pub fn server(&self, monitor: u16, address: &[u8]) -> Server {
        const UNKNOWN: Server = Server { pool: PoolId::NONE, peer: PeerId::NONE, listed: false };
        let Some(monitor) = self.monitors.get(monitor as usize) else { return UNKNOWN };
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
            None => UNKNOWN,
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

    /// Notes the release that a pool answered with.
    #[inline]
    pub fn release(&self, monitor: u16, pool: PoolId, release: &[u8]) {
        let Some(monitor) = self.monitors.get(monitor as usize) else { return };
        let cell = &monitor.shared.pool(pool).release;
        if pool.is_known() && cell.key() != NameKey::of(release) {
            cell.store(release);
        }
    }

    /// Hands a finished request to the detector.
    #[inline]
    pub fn push(&self, event: Event) {
        match self.events.try_send(event) {
            Ok(()) => self.doorbell.ring(&self.detector),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                if let Some(worker) = self.worker {
                    worker.dropped.fetch_add(1, Relaxed);
                }
            }
        }
    }
}
