//! The usual request: a server answered it at the first try.

use crate::event::PeerId;
use crate::pool::PoolId;

/// A request that one server answered, with nothing before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When it ended, in milliseconds since the Unix epoch.
    pub time_ms: u64,
    /// Upstream time, in milliseconds.
    pub latency_ms: u32,
    /// Who answered.
    pub origin: Origin,
}

/// Whose answer it is, in one word: the monitor, the pool and the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin(u32);

impl Origin {
    /// A server of a pool, for the monitor at this place among those of the configuration.
    #[inline]
    pub const fn new(monitor: u16, pool: PoolId, peer: PeerId) -> Origin {
        Origin(monitor as u32 | (pool.get() as u32) << 16 | (peer.get() as u32) << 24)
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

impl Answer {
    /// Packs it for the lane.
    #[inline(always)]
    pub(crate) fn to_words(self) -> [u64; 2] {
        [self.time_ms, u64::from(self.latency_ms) | u64::from(self.origin.0) << 32]
    }

    /// The answer in these words.
    #[inline]
    pub(crate) fn from_words([time_ms, rest]: [u64; 2]) -> Answer {
        Answer { time_ms, latency_ms: rest as u32, origin: Origin((rest >> 32) as u32) }
    }
}

#[cfg(test)]
impl Answer {
    /// An answer of which only the time matters that it took.
    pub(crate) fn after_ms(latency_ms: u32) -> Answer {
        Answer { time_ms: 0, latency_ms, origin: Origin::new(0, PoolId::NONE, PeerId::NONE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_comes_back_from_its_words() {
        for (monitor, pool, peer) in [(0, 0, 0), (u16::MAX, 31, u8::MAX), (7, 2, 63)] {
            let origin = Origin::new(monitor, PoolId::new(pool), PeerId::new(peer));
            assert_eq!(
                (origin.monitor(), origin.pool(), origin.peer()),
                (monitor, PoolId::new(pool), PeerId::new(peer))
            );
            let answer = Answer { time_ms: 1_790_000_000_000, latency_ms: u32::MAX, origin };
            assert_eq!(Answer::from_words(answer.to_words()), answer);
        }
    }
}
