//! The usual request: a server answered it at the first try.

use crate::model::ids::{PeerId, PoolId};

/// A request that one server answered, with nothing before it. All times are those of the board's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Success {
    /// When it ended, in milliseconds; on its way to the detector by the wall clock, as the event loop noted it.
    pub time_ms: u64,
    /// How long before that the upstream's header came, in milliseconds.
    pub header_ago_ms: u32,
    /// Upstream time as the monitor's `latency` rule counts it, in milliseconds.
    pub latency_ms: u32,
    /// Who answered.
    pub origin: SourceId,
}

/// Words of a success in the ring: one for each of its parts, so that packing costs nothing.
pub(crate) const WORDS: usize = 4;

/// A success as an event loop knows it, which leaves all reckoning to whoever takes it out of the ring.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// When it ended, in milliseconds of the wall clock.
    pub time_ms: u64,
    /// How long before that the attempt began, in milliseconds.
    pub began_ago_ms: u64,
    /// How long after that the upstream's header came, in milliseconds.
    pub header_ms: u64,
    /// Who answered.
    pub origin: SourceId,
}

impl Answered {
    /// Its words for the ring.
    #[inline(always)]
    pub(crate) fn to_words(self) -> [u64; WORDS] {
        [self.time_ms, self.began_ago_ms, self.header_ms, self.origin.0.into()]
    }

    /// The answer in these words.
    #[inline]
    pub(crate) fn from_words([time_ms, began_ago_ms, header_ms, origin]: [u64; WORDS]) -> Answered {
        Answered { time_ms, began_ago_ms, header_ms, origin: SourceId(origin as u32) }
    }
}

impl From<Answered> for Success {
    #[inline]
    fn from(Answered { time_ms, began_ago_ms, header_ms, origin }: Answered) -> Success {
        let header_ago_ms = began_ago_ms.wrapping_sub(header_ms) as u32;
        Success { time_ms, header_ago_ms, latency_ms: header_ms as u32, origin }
    }
}

impl From<Success> for Answered {
    fn from(Success { time_ms, header_ago_ms, latency_ms, origin }: Success) -> Answered {
        let header_ms = latency_ms.into();
        Answered { time_ms, began_ago_ms: u64::from(header_ago_ms) + header_ms, header_ms, origin }
    }
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
    /// When the upstream's header came, in milliseconds: the server answered as of then.
    #[inline]
    pub const fn header_ms(&self) -> u64 {
        self.time_ms.saturating_sub(self.header_ago_ms as u64)
    }

    /// When the attempt began, in milliseconds; a little before, where latency is that of the whole response.
    #[inline]
    pub const fn began_ms(&self) -> u64 {
        self.header_ms().saturating_sub(self.latency_ms as u64)
    }
}

#[cfg(test)]
impl Success {
    /// An answer of which only the time matters that it took.
    pub(crate) fn after_ms(latency_ms: u32) -> Success {
        let origin = SourceId::new(0, PoolId::NONE, PeerId::NONE);
        Success { time_ms: 0, header_ago_ms: 0, latency_ms, origin }
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
            let (header_ago_ms, latency_ms) = (7, u32::MAX);
            let answer = Success { time_ms: 1_790_000_000_000, header_ago_ms, latency_ms, origin };
            assert_eq!(Success::from(Answered::from_words(Answered::from(answer).to_words())), answer);
        }
    }
}
