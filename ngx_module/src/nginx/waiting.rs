//! A request that is answered later, without blocking the event loop.
//!
//! While it waits, a timer looks after it. Whatever ends the request first (the answer, a client that goes away) runs its
//! cleanup, which takes the timer out and frees the wait.

use std::ffi::c_void;
use std::mem::offset_of;

use ngx::core::Status;
use ngx::ffi::{
    NGX_DONE, NGX_HTTP_INTERNAL_SERVER_ERROR, ngx_add_timer, ngx_del_timer, ngx_event_t, ngx_handle_read_event,
    ngx_http_cleanup_add, ngx_http_finalize_request, ngx_http_request_empty_handler, ngx_http_request_t,
    ngx_http_run_posted_requests, ngx_http_test_reading, ngx_int_t,
};

use super::cycle::Cycle;
use super::guarded;
use super::request::{Document, Request};

/// How often it is looked whether there is an answer, in milliseconds.
const LOOK_MS: usize = 25;

/// Says what is answered; `None` while it is worth waiting.
pub type Look = Box<dyn FnMut() -> Option<Document>>;

/// A request that waits. Lives in a box that the cleanup of the request frees.
struct Waiting {
    event: ngx_event_t,
    request: *mut ngx_http_request_t,
    look: Look,
}

impl Request<'_> {
    /// Answers as soon as `look` knows what.
    pub fn answer_later(self, look: Look) -> ngx_int_t {
        let r = self.raw();
        // SAFETY: the request and its connection are live, and it is answered once, since this takes it. The cleanup
        // runs exactly once, before the request is freed; from its registration on it owns the box. All of the event is
        // valid as zero, which is how nginx makes them.
        unsafe {
            let request = &mut *r;
            let connection = &mut *request.connection;
            if ngx_handle_read_event(connection.read, 0) != Status::NGX_OK.0 {
                return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
            }
            let Some(cleanup) = ngx_http_cleanup_add(r, 0).as_mut() else {
                return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
            };
            let waiting = Box::into_raw(Box::new(Waiting { event: std::mem::zeroed(), request: r, look }));
            cleanup.handler = Some(stop_waiting);
            cleanup.data = waiting.cast();
            let event = &raw mut (*waiting).event;
            (*event).handler = Some(look_again);
            (*event).log = connection.log;
            // nginx's debug log takes it for the connection of the event.
            (*event).data = request.connection.cast();
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
}

/// Called by nginx when it is time to look again.
extern "C" fn look_again(event: *mut ngx_event_t) {
    Cycle::in_force(|cycle| {
        guarded(cycle.log(), (), || {
            // SAFETY: the event is that of a live `Waiting`: its cleanup takes the timer out before it goes. The request
            // is live as long. After the request is finalized neither is touched.
            unsafe {
                let waiting = event.wrapping_byte_sub(offset_of!(Waiting, event)).cast::<Waiting>();
                match ((*waiting).look)() {
                    None => ngx_add_timer(event, LOOK_MS),
                    Some(document) => {
                        let r = (*waiting).request;
                        let connection = (*r).connection;
                        let rc = Request::new(r).send(document);
                        ngx_http_finalize_request(r, rc);
                        ngx_http_run_posted_requests(connection);
                    }
                }
            }
        });
    });
}

/// Called by nginx when the request ends, however it does.
extern "C" fn stop_waiting(data: *mut c_void) {
    Cycle::in_force(|cycle| {
        guarded(cycle.log(), (), || {
            // SAFETY: the pointer is from `Box::into_raw` in `answer_later`, and this is called once.
            unsafe {
                let mut waiting = Box::from_raw(data.cast::<Waiting>());
                if waiting.event.timer_set() != 0 {
                    ngx_del_timer(&mut waiting.event);
                }
            }
        });
    });
}
