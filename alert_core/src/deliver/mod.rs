//! From the outbox to the sinks: undelivered alerts go in, requests to the services come out.

pub mod coalesce;
mod courier;
pub(crate) mod couriers;
pub(crate) mod recipients;
mod threads;
