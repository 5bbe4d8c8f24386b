//! The engine of nginx-alert, without nginx: events of finished requests go in, messages to people come out.
//!
//! The way of an alert through this crate, one module a stage:
//!
//! [`event`] → bounded channel → [`detector`] thread → [`board`] (shared by all workers: [`window`], [`failover`],
//! [`rule`], [`notice`]) → [`outbox`] → [`courier`] threads → [`sink`].
pub mod alert;
