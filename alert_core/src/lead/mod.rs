//! Rollouts as they really happen: probes ask the pools, and one worker at a time lets the pilot decide for all of them.

mod probe;
pub(crate) mod prober;
