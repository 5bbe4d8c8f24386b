//! How far a decision has been seen through: what has to follow it is done, and it is told.
//!
//! A worker that is killed right after the swap that decides leaves a cell that says one thing, and alerts that say another.
//! So such a cell has a twin that follows it last of all. Where the two differ and nobody is at it any more, whoever finds
//! that sees the rest through.

use crate::base::word::Word;
use crate::model::ids::PoolId;

/// The twin of a cell that holds a pool. All-zero is: nothing was decided yet that anybody is to be told of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// The pool that was decided for last of which all is done and told.
    pub pool: PoolId,
    /// When it was, in milliseconds: alerts of before are about other decisions.
    pub at_ms: u64,
}

const TIME_BITS: u32 = 48;

impl Word for Settled {
    fn to_word(self) -> u64 {
        (self.at_ms & ((1 << TIME_BITS) - 1)) | u64::from(self.pool.get()) << TIME_BITS
    }

    fn from_word(word: u64) -> Settled {
        Settled { pool: PoolId::new((word >> TIME_BITS) as u8), at_ms: word & ((1 << TIME_BITS) - 1) }
    }
}

/// What was settled and what was decided since, where nobody sees to it: whoever decided was killed before all was told.
///
/// `is_quiet` says that no living worker is between a decision and its end at this instant. Who comes to an end before that
/// has settled what it decided, and who begins after it shows in the cell.
pub fn unsettled<T: PartialEq>(
    decided: impl Fn() -> T,
    settled: impl Fn() -> T,
    is_quiet: impl Fn() -> bool,
) -> Option<(T, T)> {
    let now = decided();
    if settled() == now || !is_quiet() {
        return None;
    }
    let before = settled();
    (before != now && decided() == now).then_some((before, now))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_twin_survives_its_word(pool in 0..=31_u8, at_ms in 0..1_u64 << TIME_BITS) {
            let settled = Settled { pool: PoolId::new(pool), at_ms };
            prop_assert_eq!(Settled::from_word(settled.to_word()), settled);
        }

        #[test]
        fn every_word_is_a_twin(word: u64) {
            prop_assert_eq!(Settled::from_word(Settled::from_word(word).to_word()), Settled::from_word(word));
        }
    }
}
