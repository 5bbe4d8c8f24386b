//! Safe views of what nginx owns. They know nothing of this module: what is asked of its configuration takes the module
//! as a type.
//!
//! Rules of this border: a reference to memory of nginx lives no longer than the call that brought it; only the thread of
//! the event loop comes here, unless a type is `Send`; a function that nginx calls lets no panic out ([`guarded`]).

#![allow(unsafe_code)]

pub mod blocks;
pub mod conf;
pub mod core_conf;
pub mod cycle;
pub mod headers;
pub mod log;
pub mod logged_request;
pub mod process;
pub mod request;
mod upstreams;
pub mod variable;
pub mod waiting;
pub mod waker;
pub mod zone;

use std::panic::{AssertUnwindSafe, catch_unwind};

use log::{Log, Severity};
use ngx::ffi::ngx_str_t;

/// Runs what a function that nginx calls does. A panic is logged and costs the answer `otherwise`.
pub fn guarded<T>(log: Log<'_>, otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        log.write(Severity::Alert, "internal error, the call is skipped");
        otherwise
    })
}

/// The bytes of a string of nginx.
///
/// # Safety
/// The string is live for the lifetime of the reference.
unsafe fn bytes_of(text: &ngx_str_t) -> &[u8] {
    if text.len == 0 {
        return nothing();
    }
    // SAFETY: a string with a length points to that many bytes.
    unsafe { std::slice::from_raw_parts(text.data, text.len) }
}

/// Rare, which the compiler should know: the request path reads many strings.
#[cold]
const fn nothing() -> &'static [u8] {
    &[]
}
