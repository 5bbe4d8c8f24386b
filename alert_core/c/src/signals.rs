//! Signals: the program's business and not that of the library's threads.

#![allow(unsafe_code)]

use std::mem::MaybeUninit;
use std::ptr;

/// Runs something with all signals blocked in this thread, which threads started within inherit.
pub fn blocked<R>(body: impl FnOnce() -> R) -> R {
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    let mut all = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigfillset` initializes `all`; `pthread_sigmask` reads it and initializes `before` where it returns 0.
    let changed = unsafe {
        libc::sigfillset(all.as_mut_ptr());
        libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) == 0
    };
    let result = body();
    if changed {
        // SAFETY: `before` was initialized, since the call above succeeded.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, before.as_ptr(), ptr::null_mut()) };
    }
    result
}
