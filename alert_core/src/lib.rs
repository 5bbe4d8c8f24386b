//! The engine of nginx-alert, without nginx: events of finished requests go in, messages to people come out.
//!
//! The way of an alert through this crate, one module a stage:
//!
//! [`intake`] (event loop) → bounded channel, [`lane`] → `detector` thread → [`judge`] → [`board`] (shared by all workers:
//! [`window`], [`failover`], [`rule`], [`notice`]) → [`outbox`] → `courier` threads ([`letter`]) → [`sink`].
//!
//! A `keeper` thread saves the board to a [`state_file`], so that all of this outlives a restart.

#![deny(unsafe_code)]

pub mod address;
pub mod alert;
pub mod answer;
mod atomic;
pub mod board;
pub mod clock;
pub mod config_text;
pub mod control;
mod courier;
mod detector;
pub mod event;
pub mod failover;
pub mod flapping;
mod glance;
pub mod history;
pub mod intake;
pub mod judge;
mod keeper;
pub mod lane;
pub mod letter;
pub mod log;
pub mod metrics;
pub mod name;
pub mod notice;
pub mod outbox;
pub mod page;
pub mod pool;
pub mod rule;
pub mod servers;
pub mod settings;
pub mod sink;
pub mod state_file;
pub mod status;
pub mod usual;
pub mod window;
pub mod worker;
