//! The engine of nginx-alert, without nginx: finished requests go in, messages to people come out.
//!
//! The wings, from top to bottom; a wing uses only what stands below it:
//!
//! - [`engine`] starts and stops everything in a process.
//! - [`operate`] is what an operator can change at run time.
//! - `lead` lets releases take over, by what probes, votes and operators say.
//! - [`detect`] makes alerts of events; [`observe`] makes events of finished requests.
//! - [`deliver`] brings alerts to sinks, [`persist`] keeps the board over a restart, [`report`] shows it.
//! - [`board`] is everything that the workers share; [`settings`] is what the operator wrote.
//! - [`sink`] has one file a service, [`rules`] and [`rollout`] the pure state machines, [`model`] the words of the
//!   product, and [`base`] what knows nothing of alerts.

#![deny(unsafe_code)]

pub mod base;
pub mod board;
pub mod deliver;
pub mod detect;
pub mod engine;
mod lead;
pub mod model;
pub mod observe;
pub mod operate;
pub mod persist;
pub mod report;
pub mod rollout;
pub mod rules;
pub mod settings;
pub mod sink;
