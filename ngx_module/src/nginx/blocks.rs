//! What a cycle keeps for as long as it lasts.

use std::ops::Range;

use super::cycle::Cycle;

/// The blocks of the memory of a cycle: nothing in them is let go, or becomes another's, before all of it is. What is too large
/// for a block lies elsewhere. Ordered by where they lie.
pub struct Blocks(Vec<Range<usize>>);

impl Blocks {
    /// Those of this cycle, as far as it has them now.
    pub fn of(cycle: Cycle<'_>) -> Blocks {
        // SAFETY: a live cycle has a pool, and each of its blocks leads to the next one, or to none.
        let mut blocks: Vec<_> = unsafe {
            let first = (*cycle.raw()).pool.as_ref();
            let blocks = std::iter::successors(first, |block| block.d.next.as_ref());
            blocks.map(|block| std::ptr::from_ref(block).addr()..block.d.end.addr()).collect()
        };
        blocks.sort_unstable_by_key(|block| block.start);
        Blocks(blocks)
    }

    /// Whether what lies there lasts as long as the cycle.
    pub fn hold(&self, lies_at: usize) -> bool {
        let after = self.0.partition_point(|block| block.start <= lies_at);
        after.checked_sub(1).and_then(|at| self.0.get(at)).is_some_and(|block| block.contains(&lies_at))
    }
}
