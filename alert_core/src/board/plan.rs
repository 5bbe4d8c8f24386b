//! Where a configuration lies on the board: first as room that is kept for it, then in force.

use super::extent::Extent;
use super::sink::SinkId;
use crate::model::ids::PoolId;

/// Room for a configuration that is not in force yet. nginx can still refuse it.
#[derive(Debug)]
pub struct Reservation {
    pub(super) monitors: Vec<MonitorPlan>,
    pub(super) polled: bool,
}

/// Where a configuration lies that is or was in force. Made by the master, inherited by its workers.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The number of the configuration, from 1.
    pub generation: u64,
    pub(super) monitors: Vec<MonitorPlan>,
    pub(super) sinks: Vec<SinkId>,
    pub(super) poll: Option<SinkId>,
}

/// Where a monitor lies.
#[derive(Clone, Debug)]
pub(super) struct MonitorPlan {
    pub(super) state: Extent,
    pub(super) window: Extent,
    pub(super) rollout: Option<Extent>,
    /// The pools that are listed, once the configuration is in force.
    pub(super) pools: Vec<PoolId>,
}

impl MonitorPlan {
    pub(super) fn extents(&self) -> impl Iterator<Item = Extent> {
        [self.state, self.window].into_iter().chain(self.rollout)
    }
}

impl Reservation {
    pub(super) fn new(monitors: Vec<MonitorPlan>) -> Reservation {
        Reservation { monitors, polled: false }
    }

    /// Lets alerts also wait for a caller who fetches them, see [`Plan::poll`].
    pub fn let_poll(&mut self) {
        self.polled = true;
    }
}

impl Plan {
    /// The places of the sinks, in the order of [`Settings::sinks`](crate::settings::Settings::sinks).
    pub fn sinks(&self) -> &[SinkId] {
        &self.sinks
    }

    /// Where alerts wait for a caller who fetches them: a place like that of a sink.
    pub fn poll(&self) -> Option<SinkId> {
        self.poll
    }

    /// The pools that the configuration lists for a monitor, in its order.
    pub fn pools(&self, monitor: usize) -> &[PoolId] {
        &self.monitors[monitor].pools
    }
}
