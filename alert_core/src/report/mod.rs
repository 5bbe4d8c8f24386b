//! What people and programs read: the board goes in, JSON, metrics and the status page come out.

pub mod json;
pub mod page;
pub mod prometheus;
pub mod renderer;
pub mod rollout;
pub mod view;

#[cfg(test)]
mod rig;
