//! What nginx calls when a configuration comes into force, and when a process begins and ends.

use ngx::core::Status;
use ngx::ffi::{ngx_cycle_t, ngx_int_t};

use super::Module;
use crate::engine;
use crate::nginx::cycle::Cycle;
use crate::nginx::{guarded, process, waiting};

/// Called by nginx when a configuration is in force, before workers start with it.
pub(super) extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes a live cycle.
    let cycle = unsafe { Cycle::new(cycle) };
    // Whatever happens here must not keep nginx from its configuration.
    guarded(cycle.log(), (), || engine::configuration_in_force(cycle.main_conf::<Module>(), cycle, on_wake));
    Status::NGX_OK.0
}

/// Called by nginx in each new process.
pub(super) extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes a live cycle.
    let cycle = unsafe { Cycle::new(cycle) };
    // An error from here would make nginx give the worker up for good.
    guarded(cycle.log(), (), || {
        if let Some(main) = cycle.main_conf::<Module>().filter(|_| process::serves_requests()) {
            engine::start(main, cycle, on_wake);
        }
    });
    Status::NGX_OK.0
}

/// Called by nginx at the end of a process.
pub(super) extern "C" fn exit_process(cycle: *mut ngx_cycle_t) {
    // SAFETY: nginx passes a live cycle.
    let log = unsafe { Cycle::new(cycle) }.log();
    guarded(log, false, || engine::stop(log));
}

/// Called by the event loop when a thread of the engine has woken it.
fn on_wake() {
    Cycle::in_force(|cycle| {
        // In a single process a reload can drop the module, and tells nobody.
        if !cycle.has::<Module>() {
            engine::stop(cycle.log());
        }
        engine::look_after(cycle.log());
        waiting::look_at_all();
    });
}
