//! End-to-end tests: what a user of the module relies on, seen from outside of nginx.
#![forbid(unsafe_code)]

mod harness;
