//! Rollouts as they really happen: probes ask the pools, and one worker at a time lets the pilot decide for all of them.
//!
//! [`prober`] asks by [`probe`]; [`leader`] looks once a second and [`steer`] does what the pilot decides, in these
//! [`words`].

pub(crate) mod leader;
mod probe;
pub(crate) mod prober;
pub(crate) mod steer;
mod words;

#[cfg(test)]
mod tests;
