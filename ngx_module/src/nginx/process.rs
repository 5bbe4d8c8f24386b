//! The process: what kind it is, and what its threads inherit.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;

use ngx::ffi::{
    NGX_PROCESS_SIGNALLER, NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_cached_time, ngx_current_msec, ngx_cycle,
    ngx_process, ngx_test_config, ngx_uint_t,
};

use super::core_conf::CoreConf;

/// What nginx was started for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To serve requests, or to go on with that by another configuration.
    Serve,
    /// Only to test a configuration (`-t`).
    Test,
    /// Only to send a signal to the nginx that runs (`-s`).
    Signal,
}

/// What this nginx was started for.
pub fn purpose() -> Purpose {
    // SAFETY: both are set once, from the command line, before the configuration is read.
    let (kind, tests) = unsafe { (ngx_process, ngx_test_config != 0) };
    match (kind == NGX_PROCESS_SIGNALLER as ngx_uint_t, tests) {
        (true, _) => Purpose::Signal,
        (_, true) => Purpose::Test,
        _ => Purpose::Serve,
    }
}

/// The time at which the event loop last looked, by the wall clock: seconds since the Unix epoch, and milliseconds. No
/// system call, and exact to the millisecond.
#[inline(always)]
pub fn cached_time() -> (i64, u64) {
    // SAFETY: nginx sets it before it serves requests, and changes it on this thread only.
    let time = unsafe { &*ngx_cached_time };
    (time.sec, time.msec as u64)
}

/// The same in milliseconds.
#[inline(always)]
pub fn wall_ms() -> u64 {
    let (second, millisecond) = cached_time();
    (second as u64).wrapping_mul(1000).wrapping_add(millisecond)
}

/// The same by the monotonic clock in milliseconds, which can be coarse: four of them on some systems.
#[inline(always)]
pub fn monotonic_ms() -> u64 {
    // SAFETY: nginx sets it before it serves requests, and changes it on this thread only.
    unsafe { ngx_current_msec as u64 }
}

/// Whether this process serves requests: a worker, or the only process of nginx. Cache manager and loader do not.
pub fn serves_requests() -> bool {
    // SAFETY: nginx sets it before it calls any module in a new process.
    let kind = unsafe { ngx_process };
    kind == NGX_PROCESS_WORKER as ngx_uint_t || kind == NGX_PROCESS_SINGLE as ngx_uint_t
}

/// Whether this process is, or is about to be, the only one of nginx: the answer while a configuration is read.
pub fn stays_single(core: CoreConf<'_>) -> bool {
    // SAFETY: there is a cycle from the start of nginx's `main` on; before the first configuration it has none of it.
    let is_first = unsafe { (*ngx_cycle).conf_ctx.is_null() };
    // The first configuration decides. A later one that says otherwise changes nothing.
    is_single() && !(is_first && core.has_master())
}

/// Whether this process does everything, once nginx has read its first configuration.
pub fn is_single() -> bool {
    // SAFETY: nginx sets it at its start and in each new process, before it calls any module.
    unsafe { ngx_process == NGX_PROCESS_SINGLE as ngx_uint_t }
}

unsafe extern "C" {
    // Not in the crate libc.
    fn pthread_setcancelstate(state: c_int, before: *mut c_int) -> c_int;
    fn pthread_setcanceltype(kind: c_int, before: *mut c_int) -> c_int;
}

/// Says to libc that nobody cancels this thread, ever.
///
/// With a second thread in the process, glibc lets each system call that could block be a place at which to cancel its
/// thread: two more atomic operations every time, for the whole of nginx. It has nothing to prepare where a thread could
/// be cancelled at any time anyway, and that means nothing where it cannot be cancelled at all.
pub fn refuse_cancellation() {
    const PTHREAD_CANCEL_DISABLE: c_int = 1;
    const PTHREAD_CANCEL_ASYNCHRONOUS: c_int = 1;
    let mut before = 0;
    // SAFETY: the old values are written to a live integer. In this order, there is no instant at which a cancellation
    // would come through.
    unsafe {
        pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &mut before);
        pthread_setcanceltype(PTHREAD_CANCEL_ASYNCHRONOUS, &mut before);
    }
}

/// Runs `body` with all signals blocked, so that threads started in it leave them to nginx.
pub fn with_signals_blocked<T>(body: impl FnOnce() -> T) -> T {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are written before they are read; a mask cannot be refused.
    unsafe {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr());
    }
    let result = body();
    // SAFETY: `before` was written above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    result
}
