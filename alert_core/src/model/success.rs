//! The usual request: a server answered it at the first try.

use crate::model::ids::{PeerId, PoolId};

/// A request that one server answered, with nothing before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Success {
    /// When it ended, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Upstream time, in milliseconds.
    pub latency_ms: u32,
    /// Who answered.
    pub origin: SourceId,
}

/// Whose answer it is, in one word: the monitor, the pool and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceId(u32);

impl SourceId {
    /// A server of a pool, for the monitor at this place among those of the configuration.
    #[inline]
    pub const fn new(monitor: u16, pool: PoolId, peer: PeerId) -> SourceId {
        SourceId(monitor as u32 | (pool.get() as u32) << 16 | (peer.get() as u32) << 24)
    }

    /// The place of the monitor among those of the configuration.
    #[inline]
    pub const fn monitor(self) -> u16 {
        self.0 as u16
    }

    /// The pool of the server.
    #[inline]
    pub const fn pool(self) -> PoolId {
        PoolId::new((self.0 >> 16) as u8)
    }

    /// The server.
    #[inline]
    pub const fn peer(self) -> PeerId {
        PeerId::new((self.0 >> 24) as u8)
    }
}

impl Success {
    /// Packs it for the ring.
    #[inline(always)]
    pub(crate) fn to_words(self) -> [u64; 2] {
        [self.time_ms, u64::from(self.latency_ms) | u64::from(self.origin.0) << 32]
    }

    /// The answer in these words.
    #[inline]
    pub(crate) fn from_words([time_ms, rest]: [u64; 2]) -> Success {
        Success { time_ms, latency_ms: rest as u32, origin: SourceId((rest >> 32) as u32) }
    }
}

#[cfg(test)]
impl Success {
    /// An answer of which only the time matters that it took.
    pub(crate) fn after_ms(latency_ms: u32) -> Success {
        Success { time_ms: 0, latency_ms, origin: SourceId::new(0, PoolId::NONE, PeerId::NONE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_from_its_words() {
        for (monitor, pool, peer) in [(0, 0, 0), (u16::MAX, 31, u8::MAX), (7, 2, 63)] {
            let origin = SourceId::new(monitor, PoolId::new(pool), PeerId::new(peer));
            assert_eq!(
                (origin.monitor(), origin.pool(), origin.peer()),
                (monitor, PoolId::new(pool), PeerId::new(peer))
            );
            let answer = Success { time_ms: 1_790_000_000_000, latency_ms: u32::MAX, origin };
            assert_eq!(Success::from_words(answer.to_words()), answer);
        }
    }
}
