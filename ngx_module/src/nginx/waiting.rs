//! A request that is answered later, without blocking the event loop.
//!
//! While it waits, it is looked after whenever a thread has woken the event loop, and by a timer. Whatever ends the request first
//! (the answer, a client that goes away) runs its cleanup, which takes the timer out and frees the wait.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::c_void;
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};

use ngx::core::Status;
use ngx::ffi::{
    NGX_DONE, NGX_HTTP_INTERNAL_SERVER_ERROR, ngx_add_timer, ngx_del_timer, ngx_event_t, ngx_handle_read_event,
    ngx_http_cleanup_add, ngx_http_request_empty_handler, ngx_http_request_t, ngx_http_test_reading, ngx_int_t,
};

use super::cycle::Cycle;
use super::guarded;
use super::log::Severity;
use super::request::{Document, Request};

/// How often it is looked whether there is an answer, in milliseconds.
const LOOK_MS: usize = 25;

/// Says what is answered; `None` while it is worth waiting.
pub type Look = Box<dyn FnMut() -> Option<Document>>;

thread_local! {
    /// The requests that wait in this process.
    static WAITING: RefCell<BTreeSet<*mut Waiting>> = const { RefCell::new(BTreeSet::new()) };
}

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
            let connection = (*r).connection;
            if ngx_handle_read_event((*connection).read, 0) != Status::NGX_OK.0 {
                return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
            }
            let cleanup = ngx_http_cleanup_add(r, 0);
            if cleanup.is_null() {
                return NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t;
            }
            let waiting = Box::into_raw(Box::new(Waiting { event: std::mem::zeroed(), request: r, look }));
            WAITING.with_borrow_mut(|all| all.insert(waiting));
            (*cleanup).handler = Some(stop_waiting);
            (*cleanup).data = waiting.cast();
            let event = &raw mut (*waiting).event;
            (*event).handler = Some(on_timer);
            (*event).log = (*connection).log;
            // nginx's debug log takes it for the connection of the event.
            (*event).data = connection.cast();
            ngx_add_timer(event, LOOK_MS);
            // A body that is still coming has a handler of its own, which notices the end of the connection too.
            if (*r).discard_body() == 0 {
                (*r).read_event_handler = Some(ngx_http_test_reading);
            }
            (*r).write_event_handler = Some(ngx_http_request_empty_handler);
            // The content phase takes one reference when it sees this.
            let main = (*r).main;
            (*main).set_count((*main).count() + 1);
        }
        NGX_DONE as ngx_int_t
    }
}

/// Looks at all requests that wait: a thread has something to say.
pub fn look_at_all() {
    let all: Vec<*mut Waiting> = WAITING.with_borrow(|all| all.iter().copied().collect());
    for waiting in all {
        // What ends one request can end others.
        if WAITING.with_borrow(|all| all.contains(&waiting)) {
            // SAFETY: what is in the list is live: its cleanup takes it out before it frees it.
            unsafe { look(waiting) };
        }
    }
}

/// Called by nginx when it is time to look again.
extern "C" fn on_timer(event: *mut ngx_event_t) {
    let waiting = event.wrapping_byte_sub(offset_of!(Waiting, event)).cast::<Waiting>();
    // SAFETY: the event is that of a live `Waiting`: its cleanup takes the timer out before it goes.
    Cycle::in_force(|cycle| guarded(cycle.log(), (), || unsafe { look(waiting) }));
}

/// Answers, if there is an answer.
///
/// # Safety
/// `waiting` is live, and so is its request. Neither may be afterwards.
unsafe fn look(waiting: *mut Waiting) {
    // SAFETY: live by contract. Nothing refers to it while it looks: that calls nothing of nginx. After the request is
    // ended neither is touched.
    unsafe {
        let r = (*waiting).request;
        let look = &mut (*waiting).look;
        let answer = catch_unwind(AssertUnwindSafe(look));
        if !matches!(answer, Ok(None)) {
            // The request lives on while its answer is sent, and is not answered again.
            stop_looking(waiting);
        }
        match answer {
            Ok(None) if (*waiting).event.timer_set() == 0 => ngx_add_timer(&raw mut (*waiting).event, LOOK_MS),
            Ok(None) => {}
            Ok(Some(document)) => {
                let sent = catch_unwind(AssertUnwindSafe(|| Request::new(r).send(document)));
                Request::end(r, sent.unwrap_or(Status::NGX_ERROR.0));
            }
            Err(_) => {
                Request::new(r).log().write(Severity::Alert, "internal error, the request is answered with 500");
                Request::end(r, NGX_HTTP_INTERNAL_SERVER_ERROR as ngx_int_t);
            }
        }
    }
}

/// Takes a request out of the list and its timer out of nginx's.
///
/// # Safety
/// `waiting` is live.
unsafe fn stop_looking(waiting: *mut Waiting) {
    WAITING.with_borrow_mut(|all| all.remove(&waiting));
    // SAFETY: live by contract.
    unsafe {
        if (*waiting).event.timer_set() != 0 {
            ngx_del_timer(&raw mut (*waiting).event);
        }
    }
}

/// Called by nginx when the request ends, however it does.
extern "C" fn stop_waiting(data: *mut c_void) {
    let waiting = data.cast::<Waiting>();
    Cycle::in_force(|cycle| {
        guarded(cycle.log(), (), || {
            // SAFETY: the pointer is from `Box::into_raw` in `answer_later`, and this is called once.
            unsafe {
                stop_looking(waiting);
                drop(Box::from_raw(waiting));
            }
        });
    });
}
