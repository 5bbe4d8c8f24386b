//! The nginx module of nginx-alert. It knows nginx and as little else as possible; everything that can be known without
//! nginx is in `alert_core`.
//!
//! From top to bottom; a layer uses only what stands below it:
//!
//! - `entry` is what nginx calls: its tables and the functions in them.
//! - `log_phase`, `status`, `control`, `variable` do what those functions are for.
//! - `engine` is the life of the engine, from the board to the threads.
//! - `config` is what the operator wrote.
//! - `nginx` wraps what nginx owns. All `unsafe` is there and in `entry`.

#![deny(unsafe_code)]

mod config;
mod control;
mod engine;
mod entry;
mod log_phase;
mod nginx;
mod status;
mod variable;
