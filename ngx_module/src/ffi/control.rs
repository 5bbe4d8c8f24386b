//! Commands as nginx hands them over, and the wait for what the sinks answer to a test alert.
//!
//! While a request waits, a timer looks after it; nothing blocks. Whatever ends the request first (the answer, a client
//! that goes away) runs its cleanup, which takes the timer out and frees the wait.

use std::ffi::c_void;
use std::mem::offset_of;

use alert_core::operate::control::TestAlert;
use ngx::core::Status;
use ngx::ffi::{
    NGX_DONE, NGX_HTTP_INTERNAL_SERVER_ERROR, NGX_HTTP_POST, ngx_add_timer, ngx_del_timer, ngx_event_t,
    ngx_handle_read_event, ngx_http_cleanup_add, ngx_http_discard_request_body, ngx_http_finalize_request,
    ngx_http_request_empty_handler, ngx_http_request_t, ngx_http_run_posted_requests, ngx_http_test_reading, ngx_int_t,
    ngx_uint_t,
};

use super::response::{query, request_header, send};
use super::{Severity, log_line, process};
use crate::control::{Answer, command, only_post, only_same_site, outcome};

/// How often it is looked whether the sinks have answered, in milliseconds.
const LOOK_MS: usize = 25;

/// Called by nginx for a request to a location with `alert_control`.
pub extern "C" fn control_handler(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: nginx passes a live request with a live connection.
    let log = unsafe { (*(*r).connection).log };
    super::guarded(log, NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t, || {
        // SAFETY: the request is live during the call, and this is its content handler.
        unsafe { answer(r) }
    })
}

/// # Safety
/// `r` is live, in its content phase.
unsafe fn answer(r: *mut ngx_http_request_t) -> ngx_int_t {
    // SAFETY: the request is live, and nothing was sent yet.
    unsafe {
        let rc = ngx_http_discard_request_body(r);
        if rc != Status::NGX_OK.0 {
            return rc;
        }
        if (*r).method & NGX_HTTP_POST as ngx_uint_t == 0 {
            return send(r, &only_post());
        }
        if request_header(&*r, b"sec-fetch-site").is_some_and(|site| site == b"cross-site" || site == b"same-site") {
            return send(r, &only_same_site());
        }
        let taken = command(&query(&*r));
        if let Some(text) = &taken.log {
            log_line((*(*r).connection).log, Severity::Notice, text);
        }
        match taken.answer {
            Answer::Now(document) => send(r, &document),
            Answer::Later(test) => wait(r, test),
        }
    }
}

/// A request that waits for the outcome of a test alert. Lives in a box that the cleanup of the request frees.
struct Waiting {
    event: ngx_event_t,
    request: *mut ngx_http_request_t,
    test: TestAlert,
}

/// Lets the request wait.
///
/// # Safety
/// `r` is live, in its content phase, and nothing was sent yet.
unsafe fn wait(r: *mut ngx_http_request_t, test: TestAlert) -> ngx_int_t {
    // SAFETY: the request and its connection are live. The cleanup runs exactly once, before the request is freed; from
    // here on it owns the box. All of the event is valid as zero, which is how nginx makes them.
    unsafe {
        let request = &mut *r;
        let connection = &mut *request.connection;
        if ngx_handle_read_event(connection.read, 0) != Status::NGX_OK.0 {
            return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
        }
        let Some(cleanup) = ngx_http_cleanup_add(r, 0).as_mut() else {
            return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
        };
        let waiting = Box::into_raw(Box::new(Waiting { event: std::mem::zeroed(), request: r, test }));
        cleanup.handler = Some(stop_waiting);
        cleanup.data = waiting.cast();
        let event = &mut (*waiting).event;
        event.handler = Some(look);
        event.log = connection.log;
        // nginx's debug log takes it for the connection of the event.
        event.data = request.connection.cast();
        ngx_add_timer(event, LOOK_MS);
        // A body that is still coming has a handler of its own, which notices the end of the connection too.
        if request.discard_body() == 0 {
            request.read_event_handler = Some(ngx_http_test_reading);
        }
        request.write_event_handler = Some(ngx_http_request_empty_handler);
        // The content phase takes one reference when it sees this.
        (*request.main).set_count((*request.main).count() + 1);
    }
    NGX_DONE as ngx_int_t
}

/// Called by nginx when it is time to look again.
extern "C" fn look(event: *mut ngx_event_t) {
    super::guarded(process::log(), (), || {
        // SAFETY: the event is that of a live `Waiting`: its cleanup takes the timer out before it goes. The request is
        // live as long. After the request is finalized neither is touched.
        unsafe {
            let waiting = event.wrapping_byte_sub(offset_of!(Waiting, event)).cast::<Waiting>();
            match outcome(&(*waiting).test) {
                None => ngx_add_timer(event, LOOK_MS),
                Some(document) => {
                    let r = (*waiting).request;
                    let connection = (*r).connection;
                    let rc = send(r, &document);
                    ngx_http_finalize_request(r, rc);
                    ngx_http_run_posted_requests(connection);
                }
            }
        }
    });
}

/// Called by nginx when the request ends, however it does.
extern "C" fn stop_waiting(data: *mut c_void) {
    super::guarded(process::log(), (), || {
        // SAFETY: the pointer is from `Box::into_raw` in `wait`, and this is called once.
        unsafe {
            let mut waiting = Box::from_raw(data.cast::<Waiting>());
            if waiting.event.timer_set() != 0 {
                ngx_del_timer(&mut waiting.event);
            }
        }
    });
}
