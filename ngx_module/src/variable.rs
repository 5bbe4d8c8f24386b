//! The variables: how the traffic of the monitor stands that watches this place.

use alert_core::report::view::State;

use crate::engine::{Monitor, Shared};
use crate::nginx::process::monotonic_ms;
use crate::nginx::variable::Text;

/// A variable of the module.
pub trait Variable {
    /// Its name, without the dollar sign.
    const NAME: &str;

    /// The value, where it is made already.
    fn ready(monitor: &Monitor, shared: Shared) -> Option<&Text>;

    /// The value, where it is not.
    fn make(_monitor: &Monitor, _shared: Shared) -> Option<String> {
        None
    }
}

/// The pool that should serve.
pub struct ActivePool;

/// The pool that serves.
pub struct ServingPool;

/// Whether traffic goes where it should.
pub struct TrafficState;

impl Variable for ActivePool {
    const NAME: &str = "alert_active_pool";

    #[inline(always)]
    fn ready(monitor: &Monitor, shared: Shared) -> Option<&Text> {
        monitor.listed_pool(shared.board.active())
    }

    fn make(_: &Monitor, shared: Shared) -> Option<String> {
        shared.pool_name(shared.board.active())
    }
}

impl Variable for ServingPool {
    const NAME: &str = "alert_serving_pool";

    #[inline(always)]
    fn ready(monitor: &Monitor, shared: Shared) -> Option<&Text> {
        monitor.listed_pool(shared.board.serving())
    }

    fn make(_: &Monitor, shared: Shared) -> Option<String> {
        shared.pool_name(shared.board.serving())
    }
}

impl Variable for TrafficState {
    const NAME: &str = "alert_state";

    #[inline(always)]
    fn ready(monitor: &Monitor, Shared { board, clock }: Shared) -> Option<&Text> {
        monitor.state(State::of_traffic(board, clock.at(monotonic_ms())))
    }
}
