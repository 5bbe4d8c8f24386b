//! What the pilot knows at one moment.

use super::verdict::{Attempts, Measure};
use crate::model::ids::PoolId;

/// What the probes say of a pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// Too little, or nothing.
    #[default]
    Unknown,
    /// Every address has just passed often enough in a row.
    Up,
    /// Some address has, and some has not.
    Partly,
    /// Every address has just failed often enough in a row.
    Down,
}

impl Health {
    /// Whether some address would answer.
    pub fn answers(self) -> bool {
        matches!(self, Health::Up | Health::Partly)
    }
}

/// What is known of one of the two pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Side {
    /// What its probes say.
    pub health: Health,
    /// Whether it answers with another release than when the step, or of the old pool the guard, began.
    pub redeployed: bool,
    /// First attempts there since the votes began.
    pub attempts: Attempts,
}

/// What is known at one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts {
    /// The pool that should serve, as it is set.
    pub active: PoolId,
    /// The pool that is taken over from.
    pub from: Side,
    /// The pool that takes over.
    pub to: Side,
    /// Requests that were assigned to the pool of the share since the votes began.
    pub assigned: u64,
    /// Those of them that were sent to an address of it.
    pub arrived: u64,
    /// The most that the votes say against the new pool.
    pub evidence: f64,
    /// Whether the new pool is worse.
    pub to_is_worse: Option<Measure>,
    /// Whether the old pool is worse.
    pub from_is_worse: Option<Measure>,
    /// Whether all requests have the same key.
    pub one_key: bool,
    /// Whether a rule of the monitor is broken that tells of failing or slow requests.
    pub alarm: bool,
    /// Whether another pool than the active one serves.
    pub failed_over: bool,
    /// Whether traffic moves back and forth.
    pub flapping: bool,
    /// Whether people work on it.
    pub maintenance: bool,
    /// Whether events were dropped since the last look.
    pub dropped: bool,
    /// Whether the last rollback was so recently that the next one is an operator's.
    pub hands_off: bool,
    /// Whether nobody has renewed the share in time.
    pub lapsed: bool,
}
