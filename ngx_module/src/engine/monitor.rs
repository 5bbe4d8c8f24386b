//! A monitor as locations refer to it: what a request needs of it, one pointer away.

use std::cell::{Cell, OnceCell};
use std::rc::Rc;

use alert_core::base::clock::Clock;
use alert_core::board::monitor::MonitorBoard;
use alert_core::model::ids::{POOLS_MAX, PoolId};
use alert_core::report::view::State;

use super::Slot;
use crate::nginx::variable::Text;

/// A monitor of a configuration. Locations that it watches refer to it from when they are merged.
pub struct Monitor {
    /// Its place among the monitors of the configuration.
    pub number: usize,
    /// The engine of its configuration, while that runs in this process.
    pub engine: Rc<Slot>,
    shared: Cell<Option<Shared>>,
    names: [OnceCell<Text>; POOLS_MAX + 1],
    states: [Text; STATES.len()],
}

/// What `$alert_state` can be.
const STATES: [State; 4] = [State::Ok, State::FailedOver, State::Flapping, State::Maintenance];

/// What all workers share of a monitor.
#[derive(Clone, Copy)]
pub struct Shared {
    /// Its state.
    pub board: &'static MonitorBoard,
    /// The clock of all times in it.
    pub clock: Clock,
}

impl Shared {
    /// The name of a pool; `None` for one that is unknown.
    pub fn pool_name(self, pool: PoolId) -> Option<String> {
        Some(self.board.pool(pool).name.load()).filter(|name| !name.is_empty())
    }
}

impl Monitor {
    /// The monitor with this place.
    pub fn new(number: usize, engine: Rc<Slot>) -> Monitor {
        Monitor {
            number,
            engine,
            shared: Cell::new(None),
            names: Default::default(),
            states: STATES.map(|state| Text::new(state.name())),
        }
    }

    /// What all workers share of it; also where no engine runs. `None` before its configuration is in force.
    #[inline(always)]
    pub fn shared(&self) -> Option<Shared> {
        self.shared.get()
    }

    /// The name of a pool that the configuration lists.
    #[inline(always)]
    pub fn listed_pool(&self, pool: PoolId) -> Option<&Text> {
        self.names.get(pool.get() as usize)?.get()
    }

    /// The name of one of the states that `$alert_state` can be.
    #[inline(always)]
    pub fn state(&self, state: State) -> Option<&Text> {
        self.states.get(STATES.iter().position(|known| *known == state)?)
    }

    /// Takes over where its configuration lies on the board, which is in force now.
    pub(super) fn configure<'a>(
        &self,
        board: Option<&'static MonitorBoard>,
        clock: Clock,
        pools: impl Iterator<Item = (PoolId, &'a str)>,
    ) {
        self.shared.set(board.map(|board| Shared { board, clock }));
        for (pool, name) in pools {
            if let Some(place) = self.names.get(pool.get() as usize) {
                let _ = place.set(Text::new(name));
            }
        }
    }
}
