//! What nginx calls for requests.

use alert_core::observe::fast_path::Known;
use ngx::core::Status;
use ngx::ffi::{ngx_http_request_t, ngx_http_variable_value_t, ngx_int_t};

use super::Module;
use crate::control;
use crate::engine::{Location, Watched};
use crate::log_phase;
use crate::log_phase::Rest;
use crate::nginx::guarded;
use crate::nginx::headers::Shape;
use crate::nginx::logged_request::{Answer, LoggedRequest};
use crate::nginx::request::Request;
use crate::nginx::variable::Question;
use crate::status;
use crate::variable::Variable;

/// Called by nginx for every finished request.
pub(super) unsafe extern "C" fn log_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: the request is live during the call.
    let request = unsafe { LoggedRequest::new(r) };
    let watched = request.location::<Module>().watch.get().filter(|_| request.is_main());
    let Some(watched) = watched else { return Status::NGX_OK.0 };
    // The usual case indexes nothing and asserts nothing, so there is nothing to catch. What follows is called last, which
    // is a jump.
    match log_phase::hand_over_usual(request, watched) {
        Rest::Nothing => Status::NGX_OK.0,
        // SAFETY: as above.
        Rest::Look => unsafe { look_closer(r) },
        // SAFETY: as above.
        Rest::Headers(known, answer) => unsafe { look_at_names(r, watched, known, answer) },
    }
}

/// Goes on with a request whose names are not in one header alone. As many arguments as fit into registers.
#[inline(never)]
unsafe extern "C" fn look_at_names(
    r: *mut ngx_http_request_t,
    watched: &Watched,
    known: &Known<Shape>,
    answer: Answer<'_>,
) -> ngx_int_t {
    match log_phase::hand_over_by_names(watched, known, answer) {
        true => Status::NGX_OK.0,
        // SAFETY: as above.
        false => unsafe { look_at_headers(r, watched, known, answer) },
    }
}

/// Goes on with a request whose names are not both in headers.
#[inline(never)]
unsafe extern "C" fn look_at_headers(
    r: *mut ngx_http_request_t,
    watched: &Watched,
    known: &Known<Shape>,
    answer: Answer<'_>,
) -> ngx_int_t {
    match log_phase::hand_over_by_headers(watched, known, answer) {
        true => Status::NGX_OK.0,
        // SAFETY: as above.
        false => unsafe { look_closer(r) },
    }
}

#[inline(never)]
unsafe extern "C" fn look_closer(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: the request is live during the call.
    let request = unsafe { LoggedRequest::new(r) };
    let Location { monitor: Some(monitor), watch, .. } = request.location::<Module>() else { return Status::NGX_OK.0 };
    let Some(watched) = watch.get() else { return Status::NGX_OK.0 };
    // nginx does not look at what log handlers return; were it always the same, calling this last would be no jump.
    guarded(request.log(), Status::NGX_ERROR.0, || {
        log_phase::look_closer(request, monitor, watched);
        Status::NGX_OK.0
    })
}

/// Called by nginx for a request to a location with `alert_status`.
pub(super) unsafe extern "C" fn status_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: the request is live during the call, and this is its content handler.
    let request = unsafe { Request::new(r) };
    request.answer(|request| {
        let main = request.main_conf::<Module>();
        status::answer(request, main)
    })
}

/// Called by nginx for a request to a location with `alert_control`.
pub(super) unsafe extern "C" fn control_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: the request is live during the call, and this is its content handler.
    let request = unsafe { Request::new(r) };
    request.answer(|request| {
        let main = request.main_conf::<Module>();
        control::answer(request, main)
    })
}

/// Called by nginx for the value of `$alert_pool`, once a request.
pub(super) unsafe extern "C" fn get_alert_pool(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    // SAFETY: nginx passes a live request.
    let request = unsafe { LoggedRequest::new(r) };
    let assigned = |location: &Location| {
        let monitor = location.monitor.as_ref()?;
        let shared = monitor.shared()?;
        Some((shared, monitor.assign(shared, request)))
    };
    // Before the value is borrowed: the key of the client can be a variable that nginx makes now.
    let pool = assigned(request.location::<Module>());
    // SAFETY: as above; nobody else uses the value meanwhile.
    let question = unsafe { Question::new(r, v) };
    question.answer_kept::<Module>(
        |location| location.monitor.as_ref()?.listed_pool(pool?.1),
        |_| pool.and_then(|(shared, pool)| shared.pool_name(pool)),
    )
}

/// Called by nginx for the value of a variable.
pub(super) unsafe extern "C" fn get_variable<V: Variable>(
    r: *mut ngx_http_request_t,
    v: *mut ngx_http_variable_value_t,
    _: usize,
) -> ngx_int_t {
    // SAFETY: nginx passes a live request, and a value that nobody else uses meanwhile.
    let question = unsafe { Question::new(r, v) };
    question.answer::<Module>(
        |location| location.monitor.as_ref().and_then(|monitor| V::ready(monitor, monitor.shared()?)),
        |location| location.monitor.as_ref().and_then(|monitor| V::make(monitor, monitor.shared()?)),
    )
}
