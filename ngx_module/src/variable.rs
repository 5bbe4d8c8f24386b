//! The variables: how the traffic of the monitor stands that watches this place.

use alert_core::report::view::State;

use crate::engine::{Monitor, Shared};
use crate::nginx::process::monotonic_ms;
use crate::nginx::variable::Value;

/// A variable of the module.
#[derive(Clone, Copy)]
pub enum Variable {
    /// The pool that should serve.
    ActivePool,
    /// The pool that serves.
    ServingPool,
    /// Whether it is as it should be.
    State,
}

impl Variable {
    /// All of them; their places are their numbers.
    pub const ALL: [Variable; 3] = [Variable::ActivePool, Variable::ServingPool, Variable::State];

    /// Its name, without the dollar sign.
    pub const fn name(self) -> &'static str {
        match self {
            Variable::ActivePool => "alert_active_pool",
            Variable::ServingPool => "alert_serving_pool",
            Variable::State => "alert_state",
        }
    }

    /// The value of the variable with this number at a place that this monitor watches.
    #[inline(always)]
    pub fn value(number: usize, monitor: Option<&Monitor>) -> Value<'_> {
        let Some((monitor, Shared { board, clock })) = monitor.and_then(|monitor| Some((monitor, monitor.shared()?)))
        else {
            return Value::None;
        };
        match Variable::ALL.get(number) {
            Some(Variable::ActivePool) => monitor.pool_name(board.active()),
            Some(Variable::ServingPool) => monitor.pool_name(board.serving()),
            Some(Variable::State) => monitor.state_name(State::of_traffic(board, clock.at(monotonic_ms()))),
            None => Value::None,
        }
    }
}
