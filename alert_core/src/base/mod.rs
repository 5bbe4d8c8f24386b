//! What every wing may use and what knows nothing of alerts: plain values in, plain values out.

pub mod address;
pub(crate) mod atomic;
pub mod cause;
pub mod clock;
pub mod file;
pub(crate) mod json;
#[cfg(test)]
pub(crate) mod killed;
pub mod log;
pub(crate) mod memory;
pub mod name;
pub(crate) mod on_demand;
pub mod shared;
pub(crate) mod task;
pub mod units;
pub mod word;
