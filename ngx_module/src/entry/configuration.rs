//! What nginx calls while it reads a configuration.

use std::ffi::{c_char, c_void};

use ngx::core::Status;
use ngx::ffi::{ngx_command_t, ngx_conf_t, ngx_int_t, ngx_shm_zone_t};

use super::Module;
use super::request::{control_handler, get_alert_pool, get_variable, log_handler, status_handler};
use crate::config::{Answerer, Draft, LocationConf, directives};
use crate::nginx::conf::{Conf, Mistake};
use crate::nginx::cycle::Cycle;
use crate::nginx::zone::Zone;
use crate::variable::{ActivePool, ServingPool, TrafficState, Variable};

const STATUS: Answerer = Answerer { directive: "alert_status", handler: status_handler };
const CONTROL: Answerer = Answerer { directive: "alert_control", handler: control_handler };

/// Called by nginx before it reads the http level.
pub(super) extern "C" fn preconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    // SAFETY: nginx passes a live configuration.
    let conf = unsafe { Conf::new(cf) };
    status(conf.read(|cf| {
        add::<ActivePool>(cf)?;
        add::<ServingPool>(cf)?;
        add::<TrafficState>(cf)?;
        cf.add_kept_variable(directives::ALERT_POOL, Some(get_alert_pool))
    }))
}

fn add<V: Variable>(cf: &mut Conf<'_>) -> Result<(), Mistake> {
    cf.add_variable(V::NAME, Some(get_variable::<V>))
}

/// Called by nginx once it has read the http level.
pub(super) extern "C" fn postconfiguration(cf: *mut ngx_conf_t) -> ngx_int_t {
    // SAFETY: nginx passes a live configuration.
    let conf = unsafe { Conf::new(cf) };
    status(conf.read(|cf| {
        cf.add_log_handler(log_handler)?;
        let main = cf.main_conf::<Module>();
        let configuration = Cycle::in_force(|cycle| {
            let before = cycle.main_conf::<Module>().and_then(|before| before.configuration.get());
            directives::finish(cf, &mut main.draft.borrow_mut(), before)
        })?;
        let configuration = main.configuration.get_or_init(|| configuration);
        configuration.zone.iter().try_for_each(|zone| {
            let added = cf.add_zone::<Module>(&zone.name, zone.size, init_zone);
            added.map_err(|_| zone.taken())
        })
    }))
}

const fn status(is_good: bool) -> ngx_int_t {
    if is_good { Status::NGX_OK.0 } else { Status::NGX_ERROR.0 }
}

/// Called by nginx for a directive of the http level.
pub(super) extern "C" fn http_directive(cf: *mut ngx_conf_t, _: *mut ngx_command_t, _: *mut c_void) -> *mut c_char {
    // SAFETY: nginx passes a live configuration.
    let conf = unsafe { Conf::new(cf) };
    conf.read_directive(|cf| {
        let main = cf.main_conf::<Module>();
        directives::http_level(cf, &mut main.draft.borrow_mut())
    })
}

/// Called by nginx for `alert`.
pub(super) extern "C" fn alert_directive(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: nginx passes a live configuration, and that of the location.
    unsafe {
        location_directive(cf, conf, |cf, location| {
            let main = cf.main_conf::<Module>();
            directives::watch(cf, &mut main.draft.borrow_mut(), location)
        })
    }
}

/// Called by nginx for `alert_status`.
pub(super) extern "C" fn alert_status(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: as above.
    unsafe { answer_directive(cf, conf, STATUS, directives::answer) }
}

/// Called by nginx for `alert_control`.
pub(super) extern "C" fn alert_control(cf: *mut ngx_conf_t, _: *mut ngx_command_t, conf: *mut c_void) -> *mut c_char {
    // SAFETY: as above.
    unsafe { answer_directive(cf, conf, CONTROL, directives::control) }
}

/// # Safety
/// nginx passes a live configuration, and that of the location.
unsafe fn answer_directive(
    cf: *mut ngx_conf_t,
    conf: *mut c_void,
    answerer: Answerer,
    read: fn(&mut Conf<'_>, &mut Draft, &mut LocationConf, Answerer) -> Result<(), Mistake>,
) -> *mut c_char {
    // SAFETY: as above.
    unsafe {
        location_directive(cf, conf, |cf, location| {
            let main = cf.main_conf::<Module>();
            read(cf, &mut main.draft.borrow_mut(), location, answerer)
        })
    }
}

/// # Safety
/// nginx passes a live configuration, and that of the location.
unsafe fn location_directive(
    cf: *mut ngx_conf_t,
    conf: *mut c_void,
    body: impl FnOnce(&mut Conf<'_>, &mut LocationConf) -> Result<(), Mistake>,
) -> *mut c_char {
    // SAFETY: by contract; nothing else refers to the location during this call.
    let (cf, location) = unsafe { (Conf::new(cf), Conf::location_conf::<Module>(conf)) };
    cf.read_directive(|cf| body(cf, &mut location.conf))
}

/// Called by nginx for each location and level above, once all of the http level is read.
pub(super) extern "C" fn merge_location(cf: *mut ngx_conf_t, above: *mut c_void, conf: *mut c_void) -> *mut c_char {
    // SAFETY: nginx passes a live configuration, and those of two locations that are not the same.
    let (cf, above, location) =
        unsafe { (Conf::new(cf), Conf::location_conf::<Module>(above), Conf::location_conf::<Module>(conf)) };
    cf.read_directive(|cf| {
        directives::merge(cf, &above.conf, &mut location.conf)?;
        let main = cf.main_conf::<Module>();
        if let Some(number) = location.conf.monitor() {
            location.watched_by(main.monitor(number));
        }
        Ok(())
    })
}

/// Called by nginx when the zone is mapped: a new one, or that of the configuration before.
extern "C" fn init_zone(zone: *mut ngx_shm_zone_t, _previous: *mut c_void) -> ngx_int_t {
    // SAFETY: nginx passes the mapped zone that was added with this function, for this module.
    unsafe { Zone::init::<Module>(zone, |zone, main| main.reserve(zone)) }
}
