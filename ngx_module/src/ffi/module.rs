//! The tables by which nginx knows the module, and the functions behind them.

use std::ptr::{self, addr_of};

use ngx::core::Status;
use ngx::ffi::{
    NGX_CONF_BLOCK, NGX_HTTP_LIF_CONF, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF,
    NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_MODULE, NGX_HTTP_SRV_CONF, ngx_array_push, ngx_command_t, ngx_conf_t,
    ngx_cycle_t, ngx_http_handler_pt, ngx_http_module_t, ngx_http_phases_NGX_HTTP_LOG_PHASE, ngx_http_request_t,
    ngx_int_t, ngx_module_t, ngx_str_t, ngx_uint_t,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, HttpModuleMainConf, NgxHttpCoreModule};
use ngx::ngx_string;

use super::conf::{Conf, http_directive, location_directive, merge_location};
use super::process;
use crate::conf::{LocationConf, MainConf};
use crate::log_phase;

/// The module.
pub struct Module;

impl HttpModule for Module {
    fn module() -> &'static ngx_module_t {
        // SAFETY: nginx writes to the table only while it loads the module, before any of this runs.
        unsafe { &*addr_of!(ngx_http_alert_module) }
    }

    unsafe extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        // SAFETY: nginx passes a live configuration.
        let log = unsafe { (*cf).log };
        super::guarded(log, Status::NGX_ERROR.0, || {
            // SAFETY: as above.
            if unsafe { super::variable::add_variables(cf) } { Status::NGX_OK.0 } else { Status::NGX_ERROR.0 }
        })
    }

    unsafe extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
        // SAFETY: nginx passes a live configuration.
        let (log, mut conf) = unsafe { ((*cf).log, Conf::new(cf)) };
        super::guarded(log, Status::NGX_ERROR.0, || {
            // SAFETY: the core module's configuration is live, and its phases are arrays of handlers by now.
            let slot = unsafe {
                let core = NgxHttpCoreModule::main_conf_mut(&*cf).expect("nginx made the configuration");
                ngx_array_push(&mut core.phases[ngx_http_phases_NGX_HTTP_LOG_PHASE as usize].handlers)
                    .cast::<ngx_http_handler_pt>()
                    .as_mut()
            };
            let Some(slot) = slot else { return Status::NGX_ERROR.0 };
            *slot = Some(log_handler);
            match crate::directives::finish(&mut conf) {
                Ok(()) => Status::NGX_OK.0,
                Err(text) => {
                    if !text.is_empty() {
                        conf.error(&text);
                    }
                    Status::NGX_ERROR.0
                }
            }
        })
    }
}

// SAFETY: `create_main_conf` makes exactly this type.
unsafe impl HttpModuleMainConf for Module {
    type MainConf = MainConf;
}

// SAFETY: `create_loc_conf` makes exactly this type.
unsafe impl HttpModuleLocationConf for Module {
    type LocationConf = LocationConf;
}

/// Called by nginx for every finished request.
extern "C" fn log_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: the request is live during the call.
    let request = unsafe { super::request::Finished::new(r) };
    if request.is_of_interest() && !log_phase::hand_over_usual(request) {
        // SAFETY: nginx passes a live request with a live connection.
        let log = unsafe { (*(*r).connection).log };
        super::guarded(log, (), || log_phase::hand_over(request));
    }
    Status::NGX_OK.0
}

/// Called by nginx when a configuration is in force, before workers start with it.
extern "C" fn init_module(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes a live cycle.
    let log = unsafe { (*cycle).log };
    // Whatever happens here must not keep nginx from its configuration.
    super::guarded(log, (), || {
        // SAFETY: the configuration of a live cycle is live; nothing else refers to it during this call.
        let main = unsafe { Module::main_conf_mut(&*cycle) };
        crate::engine::configuration_in_force(main, log);
    });
    Status::NGX_OK.0
}

/// Called by nginx in each new process.
extern "C" fn init_process(cycle: *mut ngx_cycle_t) -> ngx_int_t {
    // SAFETY: nginx passes a live cycle.
    let log = unsafe { (*cycle).log };
    // An error from here would make nginx give the worker up for good.
    super::guarded(log, (), || {
        if process::serves_requests() {
            // SAFETY: the configuration of a live cycle is live.
            if let Some(main) = unsafe { Module::main_conf(&*cycle) } {
                crate::engine::start(main, log);
            }
        }
    });
    Status::NGX_OK.0
}

/// Called by nginx at the end of a process.
extern "C" fn exit_process(cycle: *mut ngx_cycle_t) {
    // SAFETY: nginx passes a live cycle.
    let log = unsafe { (*cycle).log };
    super::guarded(log, false, || crate::engine::stop(log));
}

const fn command(name: ngx_str_t, context: u32, place: Place) -> ngx_command_t {
    let set = match place {
        Place::Http => http_directive,
        Place::Location => location_directive,
    };
    let conf = match place {
        Place::Http => NGX_HTTP_MAIN_CONF_OFFSET,
        Place::Location => NGX_HTTP_LOC_CONF_OFFSET,
    };
    ngx_command_t { name, type_: context as ngx_uint_t, set: Some(set), conf, offset: 0, post: ptr::null_mut() }
}

enum Place {
    Http,
    Location,
}

/// Any number of words: the module counts them itself, to say how the directive is written.
const ANY: u32 = ngx::ffi::NGX_CONF_ANY;
const EVERYWHERE: u32 = NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LOC_CONF | NGX_HTTP_LIF_CONF;

static mut COMMANDS: [ngx_command_t; 11] = [
    command(ngx_string!("alert_zone"), NGX_HTTP_MAIN_CONF | ANY, Place::Http),
    command(ngx_string!("alert_notify"), NGX_HTTP_MAIN_CONF | ANY, Place::Http),
    command(ngx_string!("alert_instance"), NGX_HTTP_MAIN_CONF | ANY, Place::Http),
    command(ngx_string!("alert_label"), NGX_HTTP_MAIN_CONF | ANY, Place::Http),
    command(ngx_string!("alert_link"), NGX_HTTP_MAIN_CONF | ANY, Place::Http),
    command(ngx_string!("alert_state"), NGX_HTTP_MAIN_CONF | ANY, Place::Http),
    command(ngx_string!("alert_monitor"), NGX_HTTP_MAIN_CONF | NGX_CONF_BLOCK | ANY, Place::Http),
    command(ngx_string!("alert"), EVERYWHERE | ANY, Place::Location),
    command(ngx_string!("alert_status"), NGX_HTTP_LOC_CONF | ANY, Place::Location),
    command(ngx_string!("alert_control"), NGX_HTTP_LOC_CONF | ANY, Place::Location),
    ngx_command_t::empty(),
];

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(Module::preconfiguration),
    postconfiguration: Some(Module::postconfiguration),
    create_main_conf: Some(Module::create_main_conf),
    init_main_conf: None,
    create_srv_conf: None,
    merge_srv_conf: None,
    create_loc_conf: Some(Module::create_loc_conf),
    merge_loc_conf: Some(merge_location),
};

// By this an nginx that loads the module finds it. nginx's own build writes it itself, and refers to the module by name.
#[cfg(feature = "export-modules")]
ngx::ngx_modules!(ngx_http_alert_module);

/// The table by which nginx knows the module.
#[used]
// SAFETY: nginx and its modules have no other symbol of this name.
#[cfg_attr(not(feature = "export-modules"), unsafe(no_mangle))]
#[allow(non_upper_case_globals)]
pub static mut ngx_http_alert_module: ngx_module_t = ngx_module_t {
    ctx: addr_of!(CONTEXT).cast_mut().cast(),
    // SAFETY: only the address is taken.
    commands: unsafe { &raw mut COMMANDS[0] },
    type_: NGX_HTTP_MODULE as ngx_uint_t,
    init_master: None,
    init_module: Some(init_module),
    init_process: Some(init_process),
    init_thread: None,
    exit_thread: None,
    exit_process: Some(exit_process),
    exit_master: None,
    ..ngx_module_t::default()
};
