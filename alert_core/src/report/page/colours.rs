//! The colours of the pools: blue and green as they are called, the others by their order.

use crate::model::ids::PoolId;
use crate::report::view::Pool;

/// The classes of the style sheet, in the order in which they are given away.
const CLASSES: [&str; 7] = ["blue", "green", "c3", "c4", "c5", "c6", "c7"];
/// The class of what is of no known pool.
pub const UNKNOWN: &str = "c0";

/// The class of each pool of a monitor.
pub struct Colours(Vec<(PoolId, &'static str)>);

impl Colours {
    /// Gives each pool a class; more pools than classes share them.
    pub fn of_pools(pools: &[Pool]) -> Colours {
        let named = |pool: &Pool| CLASSES[..2].iter().copied().find(|class| *class == pool.name);
        let is_taken = |class: &&str| pools.iter().any(|pool| named(pool) == Some(*class));
        let free: Vec<&'static str> = CLASSES.into_iter().filter(|class| !is_taken(class)).collect();
        let mut next = free.iter().cycle().copied();
        let class = |pool: &Pool| named(pool).or_else(|| next.next()).unwrap_or(UNKNOWN);
        let classes: Vec<&'static str> = pools.iter().map(class).collect();
        Colours(pools.iter().map(|pool| pool.id).zip(classes).collect())
    }

    /// The class of a pool.
    pub fn of(&self, pool: PoolId) -> &'static str {
        self.0.iter().find(|(id, _)| *id == pool).map_or(UNKNOWN, |(_, class)| class)
    }
}
