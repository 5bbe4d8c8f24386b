//! The tables by which nginx knows the module; the functions in them are in the other files of this folder, each of
//! which wraps what nginx passes and hands it to where the work is done.

#![allow(unsafe_code)]

mod configuration;
mod process;
mod request;

use std::ptr::{self, addr_of};

use configuration::{
    alert_control, alert_directive, alert_status, http_directive, merge_location, postconfiguration, preconfiguration,
};
use ngx::ffi::{
    NGX_CONF_BLOCK, NGX_HTTP_LIF_CONF, NGX_HTTP_LOC_CONF, NGX_HTTP_LOC_CONF_OFFSET, NGX_HTTP_MAIN_CONF,
    NGX_HTTP_MAIN_CONF_OFFSET, NGX_HTTP_MODULE, NGX_HTTP_SRV_CONF, ngx_command_t, ngx_http_module_t, ngx_module_t,
    ngx_str_t, ngx_uint_t,
};
use ngx::http::{HttpModule, HttpModuleLocationConf, HttpModuleMainConf};
use ngx::ngx_string;

use crate::engine::{Location, Main};

/// The module.
struct Module;

impl HttpModule for Module {
    #[inline(always)]
    fn module() -> &'static ngx_module_t {
        // SAFETY: nginx writes to the table only while it loads the module, before any of this runs.
        unsafe { &*addr_of!(ngx_http_alert_module) }
    }
}

// SAFETY: `create_main_conf` makes exactly this type.
unsafe impl HttpModuleMainConf for Module {
    type MainConf = Main;
}

// SAFETY: `create_loc_conf` makes exactly this type.
unsafe impl HttpModuleLocationConf for Module {
    type LocationConf = Location;
}

/// A directive of the http level. It takes any number of words: the module counts them itself, to say how it is written.
const fn http(name: ngx_str_t, kind: u32) -> ngx_command_t {
    let type_ = (NGX_HTTP_MAIN_CONF | ngx::ffi::NGX_CONF_ANY | kind) as ngx_uint_t;
    let conf = NGX_HTTP_MAIN_CONF_OFFSET;
    ngx_command_t { name, type_, set: Some(http_directive), conf, offset: 0, post: ptr::null_mut() }
}

/// A directive of locations, and perhaps of more.
const fn location(name: ngx_str_t, context: u32, set: Set) -> ngx_command_t {
    let type_ = (NGX_HTTP_LOC_CONF | ngx::ffi::NGX_CONF_ANY | context) as ngx_uint_t;
    let conf = NGX_HTTP_LOC_CONF_OFFSET;
    ngx_command_t { name, type_, set: Some(set), conf, offset: 0, post: ptr::null_mut() }
}

type Set =
    unsafe extern "C" fn(*mut ngx::ffi::ngx_conf_t, *mut ngx_command_t, *mut std::ffi::c_void) -> *mut std::ffi::c_char;

static mut COMMANDS: [ngx_command_t; 11] = [
    http(ngx_string!("alert_zone"), 0),
    http(ngx_string!("alert_notify"), 0),
    http(ngx_string!("alert_instance"), 0),
    http(ngx_string!("alert_label"), 0),
    http(ngx_string!("alert_link"), 0),
    http(ngx_string!("alert_state"), 0),
    http(ngx_string!("alert_monitor"), NGX_CONF_BLOCK),
    location(ngx_string!("alert"), NGX_HTTP_MAIN_CONF | NGX_HTTP_SRV_CONF | NGX_HTTP_LIF_CONF, alert_directive),
    location(ngx_string!("alert_status"), 0, alert_status),
    location(ngx_string!("alert_control"), 0, alert_control),
    ngx_command_t::empty(),
];

static CONTEXT: ngx_http_module_t = ngx_http_module_t {
    preconfiguration: Some(preconfiguration),
    postconfiguration: Some(postconfiguration),
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
    init_module: Some(process::init_module),
    init_process: Some(process::init_process),
    init_thread: None,
    exit_thread: None,
    exit_process: Some(process::exit_process),
    exit_master: None,
    ..ngx_module_t::default()
};
