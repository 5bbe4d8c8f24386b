//! The places of a monitor's pools: which pool has which, who makes room for another name, and whose a place was before.

use crate::base::name::NameKey;
use crate::board::monitor::MonitorBoard;
use crate::board::window::Sample;
use crate::model::event::Attempt;
use crate::model::event::Event;
use crate::model::ids::{POOLS_MAX, PoolId, PoolSet};

impl MonitorBoard {
    /// The pool of this name, if the monitor knows it.
    #[inline]
    pub fn find_pool(&self, key: NameKey) -> Option<PoolId> {
        if key == NameKey::EMPTY {
            return None;
        }
        let at = self.pools.iter().skip(1).position(|pool| pool.name.key() == key)?;
        Some(PoolId::new(at as u8 + 1))
    }

    /// The pool of this name, made known if need be. Where there is no room, it takes the place of the one that is longest
    /// unseen among those that the configuration does not name; where it names all of them, it is the unknown pool.
    ///
    /// Two workers that meet a new name at once may give it two places; both find the first one from then on.
    pub fn learn_pool(&self, name: &[u8], now_ms: u64) -> PoolId {
        self.learn_pool_beside(name, self.configured.load(), now_ms)
    }

    /// The same for a pool that the configuration names besides these.
    pub fn learn_pool_beside(&self, name: &[u8], configured: PoolSet, now_ms: u64) -> PoolId {
        let key = NameKey::of(name);
        if key == NameKey::EMPTY {
            return PoolId::NONE;
        }
        if let Some(known) = self.find_pool(key) {
            return known;
        }
        // What is decided about who serves has no time by which it could be told which name it meant.
        let state = self.failover.load();
        let decided = [self.active(), state.serving, state.candidate(), self.stand_in(), self.failed_over_from.load()];
        let told = [&self.serving_settled, &self.active_settled].map(|settled| settled.load().pool);
        let is_free = |pool: &PoolId| !(configured.contains(*pool) || decided.contains(pool) || told.contains(pool));
        let pools = (1..=POOLS_MAX).map(|at| PoolId::new(at as u8));
        let free = pools.filter(is_free).min_by_key(|pool| match self.pool(*pool) {
            pool if pool.name.is_empty() => None,
            pool => Some(pool.asked_ms()),
        });
        let Some(free) = free else { return PoolId::NONE };
        self.give_away(free, now_ms);
        self.pool(free).replace(name, now_ms);
        self.note_change();
        self.find_pool(key).unwrap_or(PoolId::NONE)
    }

    /// Lets go of what belongs to the pool in a place that another is to get, and has no time of its own.
    fn give_away(&self, pool: PoolId, now_ms: u64) {
        let board = self.pool(pool);
        if board.name.is_empty() {
            return;
        }
        self.crowding.pools.make_room(board.asked_ms(), now_ms);
        self.split.forget(pool);
        self.peers.iter().filter(|peer| peer.pool.load() == pool).for_each(|peer| peer.pool.store(PoolId::NONE));
    }

    /// The pool that its place stood for at this time: the unknown one, where the place was another's then.
    #[inline]
    pub fn pool_then(&self, pool: PoolId, time_ms: u64) -> PoolId {
        if time_ms < self.pool(pool).since_ms() { PoolId::NONE } else { pool }
    }

    /// The event without attempts at pools and servers whose places are others' now; `None` where there is none of those.
    pub fn without_gone(&self, event: &Event) -> Option<Event> {
        let time_ms = event.time_ms;
        let now = |attempt: &Attempt| Attempt {
            pool: self.pool_then(attempt.pool, time_ms),
            peer: self.peer_then(attempt.peer, time_ms),
            ..*attempt
        };
        let is_gone = event.attempts().iter().any(|attempt| now(attempt) != *attempt);
        is_gone.then(|| event.with_attempts(now))
    }

    /// A request of the window, without its pool where that one's place is another's now.
    pub fn sample_now(&self, sample: Sample) -> Sample {
        sample.of_pool(self.pool_then(sample.pool(), sample.last_ms()))
    }
}
