//! Where servers are kept, so that one look finds each: spread over places by a factor under which few of them share one.
//!
//! Addresses that lie in memory at even distances, as those of one upstream do, would share places by any fixed rule.

use std::cell::Cell;
use std::iter::successors;

/// The factor to begin with, and what leads from each to the next. Odd, so that no bit of a key is lost.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
/// How many factors one search tries.
const TRIES: usize = 64;
/// Searches that there are at most: servers come with a configuration, which brings a spread of its own.
const SEARCHES: u32 = 64;

/// The rule by which keys have places, of which there is a power of two.
#[derive(Debug)]
pub(crate) struct Spread<const PLACES: usize> {
    factor: Cell<u64>,
    searches_left: Cell<u32>,
}

impl<const PLACES: usize> Default for Spread<PLACES> {
    fn default() -> Spread<PLACES> {
        Spread { factor: Cell::new(FACTOR), searches_left: Cell::new(SEARCHES) }
    }
}

impl<const PLACES: usize> Spread<PLACES> {
    const SHIFT: u32 = {
        // As many places as a set of them has bits, at most.
        assert!(PLACES.is_power_of_two() && PLACES > 1 && PLACES <= u64::BITS as usize);
        u64::BITS - PLACES.ilog2()
    };

    /// The place of a key.
    #[inline(always)]
    pub(crate) fn place(&self, key: usize) -> usize {
        Self::place_by(self.factor.get(), key)
    }

    #[inline(always)]
    fn place_by(factor: u64, key: usize) -> usize {
        ((key as u64).wrapping_mul(factor) >> Self::SHIFT) as usize
    }

    /// Looks for a rule by which fewer of these keys share a place. Returns whether the rule is another one now.
    pub(crate) fn improve(&self, keys: impl Iterator<Item = usize> + Clone) -> bool {
        let Some(left) = self.searches_left.get().checked_sub(1) else { return false };
        self.searches_left.set(left);
        let taken = |factor| {
            let places = keys.clone().fold(0_u64, |places, key| places | 1 << Self::place_by(factor, key));
            places.count_ones()
        };
        let before = self.factor.get();
        let next = |factor: &u64| Some(factor.wrapping_mul(FACTOR));
        let others = successors(Some(before), next).take(TRIES).skip(1).map(|factor| (factor, taken(factor)));
        // Of those that are as good the first: it costs nothing to stay.
        let better = |best: (u64, u32), other: (u64, u32)| if other.1 > best.1 { other } else { best };
        let (best, _) = others.fold((before, taken(before)), better);
        self.factor.set(best);
        best != before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many keys have a place of their own after searches.
    fn spread<const PLACES: usize>(keys: &[usize]) -> u32 {
        let spread = Spread::<PLACES>::default();
        while spread.improve(keys.iter().copied()) {}
        assert!(keys.iter().all(|key| spread.place(*key) < PLACES));
        keys.iter().fold(0_u64, |taken, key| taken | 1 << spread.place(*key)).count_ones()
    }

    fn keys(count: usize, distance: usize) -> Vec<usize> {
        (0..count).map(|at| 0x5555_1234_5670 + at * distance).collect()
    }

    #[test]
    fn servers_at_any_even_distance_get_places_of_their_own() {
        for distance in [16, 24, 48, 64, 192, 200, 208, 256, 4096] {
            for servers in [2, 3, 8, 12, 16] {
                assert_eq!(spread::<32>(&keys(servers, distance)), servers as u32, "{servers} every {distance} bytes");
            }
        }
    }

    #[test]
    fn more_servers_than_places_share_as_few_as_can_be_found_and_the_search_ends() {
        assert_eq!(spread::<32>(&keys(64, 200)), 32);
        let spread = Spread::<32>::default();
        let searches = (0..1000).filter(|at| spread.improve([*at, at + 1, at + 2].into_iter())).count();
        assert!(searches <= SEARCHES as usize);
    }
}
