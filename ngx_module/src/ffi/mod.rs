//! The border to nginx: the module's tables, the functions that nginx calls, and safe views of what nginx owns.
//!
//! Rules of this border: no panic crosses it ([`guarded`]); a reference to memory of nginx lives no longer than the call
//! that brought it; only the event loop's thread comes here.

#![allow(unsafe_code)]

pub mod bell;
pub mod conf;
mod control;
pub mod module;
pub mod process;
pub mod request;
pub mod response;
pub mod user;
mod variable;
pub mod zone;

use std::panic::{AssertUnwindSafe, catch_unwind};

use ngx::ffi::{NGX_LOG_ALERT, NGX_LOG_ERR, NGX_LOG_NOTICE, NGX_LOG_WARN, ngx_log_t, ngx_uint_t};

/// Runs what a function that nginx calls does. A panic is logged and costs the answer `otherwise`.
pub fn guarded<T>(log: *mut ngx_log_t, otherwise: T, body: impl FnOnce() -> T) -> T {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|_| {
        log_line(log, Severity::Alert, "internal error, the call is skipped");
        otherwise
    })
}

/// How important a log line is.
#[derive(Clone, Copy)]
pub enum Severity {
    /// Something is wrong with the module itself.
    Alert,
    /// Something failed for good.
    Error,
    /// Something failed and may recover.
    Warn,
    /// For the record.
    Notice,
}

/// Writes a line to a log of nginx, with the module's name in front.
pub fn log_line(log: *mut ngx_log_t, severity: Severity, text: &str) {
    let level = match severity {
        Severity::Alert => NGX_LOG_ALERT,
        Severity::Error => NGX_LOG_ERR,
        Severity::Warn => NGX_LOG_WARN,
        Severity::Notice => NGX_LOG_NOTICE,
    } as ngx_uint_t;
    // SAFETY: every caller passes the log of a live cycle, configuration or connection, or null.
    let wanted = unsafe { log.as_ref() }.is_some_and(|log| level <= log.log_level);
    if wanted {
        let line = format!("alert: {text}");
        // SAFETY: the log is live, as above; the line is passed with its length.
        unsafe { ngx::log::log_error(level, log, 0, line.as_bytes()) };
    }
}
