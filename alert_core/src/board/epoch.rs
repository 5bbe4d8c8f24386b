//! The epoch of a monitor: one word by which the fast path sees that nothing has changed of what it knows.

use std::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, fence};

use crate::base::word::Word as _;
use crate::board::monitor::MonitorBoard;
use crate::model::ids::PoolId;
use crate::rules::failover::State;

/// One change, in the epoch. Below it is the pool that is steady.
const CHANGE: u64 = 1 << u8::BITS;

/// The part of an epoch that is about all else than which pool is steady. As an epoch it is one in which none is.
#[inline]
pub fn of_changes(epoch: u64) -> u64 {
    epoch | (CHANGE - 1)
}

impl MonitorBoard {
    /// Changes who serves, as `Packed::update` does.
    pub fn change_failover(&self, change: impl FnMut(State) -> State) -> (State, State) {
        let (old, new) = self.failover.update(change);
        if new != old {
            self.note_steady();
        }
        (old, new)
    }

    /// Takes this for who serves.
    pub fn set_failover(&self, state: State) {
        self.failover.store(state);
        self.note_steady();
    }

    /// Notes that something has changed by which answers are recognised.
    pub fn note_change(&self) {
        self.epoch.fetch_add(CHANGE, Relaxed);
    }

    /// Notes in the epoch which pool is steady, see [`MonitorBoard::is_steady`].
    pub fn note_steady(&self) {
        loop {
            let state = self.failover.load();
            let pool = if State::is_steady(state.to_word(), state.serving) { state.serving } else { PoolId::NONE };
            let noted = |epoch: u64| epoch & !(CHANGE - 1) | u64::from(pool.get());
            // Where it is noted already, nothing is written.
            let _ = self.epoch.fetch_update(SeqCst, SeqCst, |epoch| Some(noted(epoch)).filter(|noted| *noted != epoch));
            // Of several who do this at once the last one has to be right.
            fence(SeqCst);
            if self.failover.word() == state.to_word() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;

    #[test]
    fn the_epoch_is_as_before_once_the_same_pool_serves_again_and_nothing_else_has_changed() {
        let shared: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        let epoch = || shared.epoch.load(Relaxed);
        shared.set_failover(State::serving(PoolId::new(1)));
        let before = epoch();
        shared.change_failover(|mut state| {
            state.failure_seen = true;
            state
        });
        assert_ne!(epoch(), before);
        shared.set_failover(State::serving(PoolId::new(2)));
        assert_ne!(epoch(), before);
        shared.set_failover(State::serving(PoolId::new(1)));
        assert_eq!(epoch(), before);
        shared.note_change();
        assert_ne!(epoch(), before);
    }

    #[test]
    fn of_several_who_change_who_serves_the_last_one_is_noted() {
        let shared: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        std::thread::scope(|scope| {
            for pool in [1, 2, 3] {
                scope.spawn(move || (0..10_000).for_each(|_| shared.set_failover(State::serving(PoolId::new(pool)))));
            }
        });
        assert_eq!(shared.epoch.load(Relaxed) & (CHANGE - 1), u64::from(shared.serving().get()));
    }
}
