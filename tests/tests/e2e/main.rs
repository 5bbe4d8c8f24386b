//! End-to-end tests: what a user of the module relies on, seen from outside of nginx.
#![forbid(unsafe_code)]

mod alertmanager;
mod caches;
mod client_got;
mod control;
mod delivery;
mod delivery_faults;
mod error_rate;
mod example;
mod failover;
mod faults;
mod fleet;
mod harness;
mod kills;
mod life_cycle;
mod memcheck;
mod metrics;
mod mistakes;
mod monitors;
mod names;
mod probes;
mod protocols;
mod reload;
mod rules;
mod settings;
mod signals;
mod sinks;
mod starting;
mod state;
mod status;
mod status_page;
mod story;
mod subrequests;
mod transparent;
mod unasked;
mod whose;
