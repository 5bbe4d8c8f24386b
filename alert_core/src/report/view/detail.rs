//! What only the page of one monitor shows: its last requests one by one, its last hour, and its addresses.

use std::sync::atomic::Ordering::Relaxed;

use super::{Monitor, Source};
use crate::board::history::Point;
use crate::board::window::Sample;
use crate::model::ids::PoolId;
use crate::model::outcome::Cause;

/// One monitor more closely.
pub struct Detail {
    /// The requests of its window, oldest first.
    pub samples: Vec<Sample>,
    /// Its last hour, oldest first.
    pub points: Vec<Point>,
    /// Its addresses, by pool.
    pub addresses: Vec<Address>,
}

/// One address.
pub struct Address {
    /// The address as nginx writes it.
    pub name: String,
    /// The pool that it belongs to.
    pub pool: PoolId,
    /// Requests that it answered.
    pub answered: u64,
    /// Attempts that failed there.
    pub failed_attempts: u64,
    /// When the last of them did.
    pub failed_ms: Option<u64>,
    /// Why it did, where that is known.
    pub cause: Option<Cause>,
}

impl Source<'_> {
    /// A closer look at a monitor; `None` where the board has none of it.
    pub fn detail(&self, monitor: &Monitor<'_>) -> Option<Detail> {
        let shared = self.board.monitor(self.plan, monitor.number)?;
        let peers = shared.peers.iter().filter(|peer| !peer.address.is_empty());
        let mut addresses: Vec<Address> = peers
            .map(|peer| Address {
                name: peer.text(),
                pool: peer.pool.load(),
                answered: peer.answered.load(Relaxed),
                failed_attempts: peer.failed_attempts.load(Relaxed),
                failed_ms: self.wall_ms(peer.failed_ms.load(Relaxed)),
                cause: peer.last_cause(),
            })
            .collect();
        addresses.sort_by_key(|address| (!address.pool.is_known(), address.pool.get()));
        let samples = self.board.window(shared);
        let samples = samples.map(|window| window.samples().map(|sample| shared.sample_now(sample)).collect());
        Some(Detail {
            samples: samples.unwrap_or_default(),
            points: shared
                .history
                .points(shared, self.now_ms)
                .into_iter()
                .map(|point| Point { time_ms: point.time_ms.saturating_add_signed(self.step_ms), ..point })
                .collect(),
            addresses,
        })
    }
}
