//! The nginx module of nginx-alert.
//!
//! It knows nginx and as little else as possible: what the operator wrote (`directives`), what became of a request
//! (`log_phase`), the shared zone, the life of a worker (`engine`), the locations
//! (`status`, `control`) and the variables (`variable`). Everything
//! that can be known without nginx is in `alert_core`. All `unsafe` is in `ffi`.

#![deny(unsafe_code)]

mod conf;
mod control;
mod directives;
mod engine;
mod ffi;
mod log_phase;
mod status;
mod variable;
