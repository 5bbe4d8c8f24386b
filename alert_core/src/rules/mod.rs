//! The rules as pure state machines of one word each: what was seen goes in, what is to be told comes out.

pub mod chance;
pub mod failover;
pub mod flapping;
pub mod limit;
pub mod outage;
pub mod throttle;
