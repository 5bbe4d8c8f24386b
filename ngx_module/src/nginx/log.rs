//! The error log. Whatever is written there is cleaned first: names and answers of anybody may be in it.

use std::marker::PhantomData;
use std::ptr::NonNull;

use alert_core::base::log::one_line;
use ngx::ffi::{NGX_LOG_ALERT, NGX_LOG_EMERG, NGX_LOG_ERR, NGX_LOG_NOTICE, NGX_LOG_WARN, ngx_log_t, ngx_uint_t};

/// How important a line is.
#[derive(Clone, Copy)]
pub enum Severity {
    /// The configuration cannot be used.
    Emergency,
    /// Something is wrong with the module itself.
    Alert,
    /// Something failed for good.
    Error,
    /// Something failed and may recover.
    Warn,
    /// For the record.
    Notice,
}

impl Severity {
    /// nginx's number.
    pub(super) const fn level(self) -> ngx_uint_t {
        (match self {
            Severity::Emergency => NGX_LOG_EMERG,
            Severity::Alert => NGX_LOG_ALERT,
            Severity::Error => NGX_LOG_ERR,
            Severity::Warn => NGX_LOG_WARN,
            Severity::Notice => NGX_LOG_NOTICE,
        }) as ngx_uint_t
    }
}

/// The log of a cycle, of a configuration that is read, or of a connection.
#[derive(Clone, Copy)]
pub struct Log<'a>(Option<NonNull<ngx_log_t>>, PhantomData<&'a ngx_log_t>);

impl Log<'_> {
    /// Wraps what nginx passed; into null, nothing is written.
    ///
    /// # Safety
    /// The log is null or live for the lifetime of the wrapper.
    pub unsafe fn new(raw: *mut ngx_log_t) -> Self {
        Log(NonNull::new(raw), PhantomData)
    }

    /// Writes a line with the product's name in front.
    pub fn write(self, severity: Severity, text: &str) {
        self.write_raw(severity, &format!("alert: {text}"));
    }

    /// Writes a line without anything in front.
    pub fn write_raw(self, severity: Severity, line: &str) {
        let Some(log) = self.0 else { return };
        let (level, line) = (severity.level(), one_line(line));
        // SAFETY: the log is live by the contract of `new`; the line is passed with its length.
        unsafe {
            if level <= (*log.as_ptr()).log_level {
                ngx::log::log_error(level, log.as_ptr(), 0, line.as_bytes());
            }
        }
    }

    /// What nginx keeps in its own structures.
    pub(super) fn raw(self) -> *mut ngx_log_t {
        self.0.map_or(std::ptr::null_mut(), NonNull::as_ptr)
    }
}
