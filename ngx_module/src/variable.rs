//! The variables: how the traffic of the monitor stands that watches this place.

use alert_core::model::ids::PoolId;
use alert_core::report::view::State;

use crate::conf::Watch;
use crate::ffi::process;

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
    /// All of them.
    pub const ALL: [Variable; 3] = [Variable::ActivePool, Variable::ServingPool, Variable::State];

    /// Its name, without the dollar sign.
    pub const fn name(self) -> &'static str {
        match self {
            Variable::ActivePool => "alert_active_pool",
            Variable::ServingPool => "alert_serving_pool",
            Variable::State => "alert_state",
        }
    }

    /// The value at a place that is watched like this; `None` where there is none.
    pub fn value(self, configuration: *const (), watch: Watch) -> Option<String> {
        let Watch::By(monitor) = watch else { return None };
        let (monitor, clock) =
            process::with_engine(|engine| Some((engine.monitor(configuration, monitor)?, engine.clock()))).flatten()?;
        let name = |pool: PoolId| monitor.pool(pool).name.load();
        let value = match self {
            Variable::ActivePool => name(monitor.active()),
            Variable::ServingPool => name(monitor.serving()),
            Variable::State => State::of_traffic(monitor, clock.now_ms()).name().into(),
        };
        (!value.is_empty()).then_some(value)
    }
}
