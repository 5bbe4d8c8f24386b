//! The process: what kind it is, its signals, and the one engine that it runs.

use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering::Relaxed};

use ngx::ffi::{
    NGX_PROCESS_SINGLE, NGX_PROCESS_WORKER, ngx_cycle, ngx_log_t, ngx_process, ngx_test_config, ngx_uint_t,
};
use ngx::http::HttpModule;

use super::module::Module;
use super::user::CoreConf;
use crate::engine::Engine;

/// Whether this process serves requests: a worker, or the only process of nginx. Cache manager and loader do not.
pub fn serves_requests() -> bool {
    // SAFETY: nginx sets it before it calls any module in a new process.
    let kind = unsafe { ngx_process };
    kind == NGX_PROCESS_WORKER as ngx_uint_t || kind == NGX_PROCESS_SINGLE as ngx_uint_t
}

/// Whether this process is, or is about to be, the only one of nginx: the answer while a configuration is read.
pub fn stays_single(core: CoreConf) -> bool {
    // SAFETY: there is a cycle from the start of nginx's `main` on; before the first configuration it has none of it.
    let (kind, is_first) = unsafe { (ngx_process, (*ngx_cycle).conf_ctx.is_null()) };
    // The first configuration decides. A later one that says otherwise changes nothing.
    kind == NGX_PROCESS_SINGLE as ngx_uint_t && !(is_first && core.has_master())
}

/// Whether the configuration in force has the module. In single-process mode a reload can do without, and tells nobody.
pub fn is_in_force() -> bool {
    // SAFETY: as above; once a configuration is in force, it has a list of modules that ends with null.
    let mut modules = unsafe { (*ngx_cycle).modules };
    // SAFETY: as above.
    while let Some(module) = unsafe { modules.as_ref() }.filter(|module| !module.is_null()) {
        if ptr::eq(*module, Module::module()) {
            return true;
        }
        modules = modules.wrapping_add(1);
    }
    false
}

/// Whether nginx only tests a configuration.
pub fn tests_configuration() -> bool {
    // SAFETY: set once, from the command line.
    unsafe { ngx_test_config != 0 }
}

/// The log of the cycle in force.
pub fn log() -> *mut ngx_log_t {
    // SAFETY: there is a cycle from the start of nginx's `main` on.
    unsafe { (*ngx_cycle).log }
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

/// The engine of this process. Only the event loop's thread reads or changes it.
static ENGINE: AtomicPtr<Engine> = AtomicPtr::new(ptr::null_mut());

/// The engine of this process, if it runs one.
#[inline]
pub fn with_engine<T>(body: impl FnOnce(&Engine) -> T) -> Option<T> {
    // SAFETY: the pointer is null or from `set_engine`, and `take_engine` runs on this same thread, not within `body`.
    unsafe { ENGINE.load(Relaxed).as_ref() }.map(body)
}

/// Makes this the engine of the process.
pub fn set_engine(engine: Engine) {
    let previous = ENGINE.swap(Box::into_raw(Box::new(engine)), Relaxed);
    debug_assert!(previous.is_null());
}

/// Takes the engine out of the process.
pub fn take_engine() -> Option<Engine> {
    let engine = ENGINE.swap(ptr::null_mut(), Relaxed);
    // SAFETY: the pointer is null or from `Box::into_raw`, and nobody has it any more.
    (!engine.is_null()).then(|| *unsafe { Box::from_raw(engine) })
}
