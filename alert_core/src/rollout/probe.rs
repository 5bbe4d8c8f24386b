//! What the probes of an address say: so many in a row passed, or failed. A pure function of their results and the time.

use super::pilot::Health;
use crate::base::word::Word;

/// The results of the probes of one address, packed into one word of the board. All-zero is: not yet probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Streak {
    /// Whether it counts as up; `None` before enough results in a row said either.
    pub up: Option<bool>,
    /// Whether the last probe passed.
    pub passed: bool,
    /// How many in a row ended like the last one; saturates.
    pub length: u8,
    /// When the last one ended, in milliseconds; zero is never.
    pub at_ms: u64,
}

/// How many results in a row decide, and how long they say something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Passes after which an address is up.
    pub passes: u8,
    /// Failures after which it is down.
    pub fails: u8,
    /// For how long the last result says something, in milliseconds.
    pub fresh_ms: u64,
}

const TIME_BITS: u32 = 42;

impl Word for Streak {
    fn to_word(self) -> u64 {
        let up = match self.up {
            None => 0,
            Some(false) => 1,
            Some(true) => 2,
        };
        (self.at_ms & ((1 << TIME_BITS) - 1))
            | u64::from(self.length) << TIME_BITS
            | u64::from(self.passed) << (TIME_BITS + 8)
            | up << (TIME_BITS + 9)
    }

    fn from_word(word: u64) -> Streak {
        let up = match word >> (TIME_BITS + 9) & 3 {
            1 => Some(false),
            2 => Some(true),
            _ => None,
        };
        Streak {
            up,
            passed: word >> (TIME_BITS + 8) & 1 == 1,
            length: (word >> TIME_BITS) as u8,
            at_ms: word & ((1 << TIME_BITS) - 1),
        }
    }
}

impl Streak {
    /// After another probe.
    pub fn after(self, passed: bool, needed: Needed, now_ms: u64) -> Streak {
        let goes_on = self.at_ms != 0 && self.passed == passed && self.is_fresh(needed, now_ms);
        let length = if goes_on { self.length.saturating_add(1) } else { 1 };
        let decides = length >= if passed { needed.passes } else { needed.fails };
        Streak { up: if decides { Some(passed) } else { self.up }, passed, length, at_ms: now_ms }
    }

    /// Whether enough in a row have passed, the last of them just now.
    pub fn has_passed(self, needed: Needed, now_ms: u64) -> bool {
        self.passed && self.length >= needed.passes && self.is_fresh(needed, now_ms)
    }

    /// Whether enough in a row have failed, the last of them just now.
    pub fn has_failed(self, needed: Needed, now_ms: u64) -> bool {
        !self.passed && self.length >= needed.fails && self.is_fresh(needed, now_ms)
    }

    fn is_fresh(self, needed: Needed, now_ms: u64) -> bool {
        self.at_ms != 0 && now_ms.abs_diff(self.at_ms) <= needed.fresh_ms
    }
}

/// What the probes of a pool's addresses say together.
pub fn health(streaks: impl IntoIterator<Item = Streak>, needed: Needed, now_ms: u64) -> Health {
    let (mut all, mut passed, mut failed) = (0, 0, 0);
    for streak in streaks {
        all += 1;
        passed += u32::from(streak.has_passed(needed, now_ms));
        failed += u32::from(streak.has_failed(needed, now_ms));
    }
    match (passed, failed) {
        _ if all == 0 => Health::Unknown,
        (passed, _) if passed == all => Health::Up,
        (_, failed) if failed == all => Health::Down,
        (0, _) => Health::Unknown,
        _ => Health::Partly,
    }
}

/// The time until the next probe, with up to a tenth more or less: `random` is any number.
pub fn pause_ms(interval_ms: u64, random: u64) -> u64 {
    let tenth = interval_ms / 10;
    interval_ms - tenth + random % (2 * tenth + 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NEEDED: Needed = Needed { passes: 3, fails: 3, fresh_ms: 30_000 };

    fn streak(results: &[bool]) -> Streak {
        results.iter().zip(1..).fold(Streak::default(), |streak, (passed, at)| streak.after(*passed, NEEDED, at * 2000))
    }

    #[test]
    fn three_passes_in_a_row_are_up_and_three_failures_down() {
        let now_ms = 8000;
        assert!(!streak(&[true, true]).has_passed(NEEDED, now_ms));
        assert!(streak(&[true, true, true]).has_passed(NEEDED, now_ms));
        assert!(!streak(&[true, true, false, true]).has_passed(NEEDED, now_ms));
        assert_eq!(streak(&[true, true, true, false, false]).up, Some(true), "two failures are no verdict");
        assert_eq!(streak(&[true, true, true, false, false, false]).up, Some(false));
        assert_eq!(streak(&[false, false]).up, None);
    }

    #[test]
    fn passes_of_long_ago_are_none() {
        let passed = streak(&[true, true, true]);
        assert!(passed.has_passed(NEEDED, 36_000) && !passed.has_passed(NEEDED, 36_001));
        assert_eq!(passed.after(true, NEEDED, 60_000).length, 1, "what lies between is not known");
        assert!(!Streak::default().has_passed(NEEDED, 0) && !Streak::default().has_failed(NEEDED, 0));
    }

    #[test]
    fn a_pool_is_up_with_every_address_and_down_without_any() {
        let (up, down, unclear) = (streak(&[true; 3]), streak(&[false; 3]), streak(&[true, false]));
        let health = |streaks: &[Streak]| health(streaks.iter().copied(), NEEDED, 8000);
        assert_eq!(health(&[]), Health::Unknown);
        assert_eq!(health(&[up, up]), Health::Up);
        assert_eq!(health(&[down, down]), Health::Down);
        assert_eq!(health(&[up, down]), Health::Partly);
        assert_eq!(health(&[up, unclear]), Health::Partly);
        assert_eq!(health(&[down, unclear]), Health::Unknown);
    }

    proptest! {
        #[test]
        fn a_streak_says_what_the_whole_list_of_results_says(
            results: Vec<bool>, passes in 1..10_u8, fails in 1..10_u8,
        ) {
            let needed = Needed { passes, fails, fresh_ms: u64::MAX };
            let streak =
                results.iter().zip(1..).fold(Streak::default(), |streak, (passed, at)| streak.after(*passed, needed, at));
            let row = |results: &[bool], passed| results.iter().rev().take_while(|result| **result == passed).count();
            let decided = (1..=results.len()).rev().find_map(|end| {
                let up = row(&results[..end], true) >= passes.into();
                (up || row(&results[..end], false) >= fails.into()).then_some(up)
            });
            prop_assert_eq!(streak.up, decided);
            prop_assert_eq!(streak.has_passed(needed, 1), row(&results, true) >= passes.into());
            prop_assert_eq!(streak.has_failed(needed, 1), row(&results, false) >= fails.into());
            prop_assert_eq!(Streak::from_word(streak.to_word()), streak);
        }

        #[test]
        fn pauses_differ_by_at_most_a_tenth(interval_ms in 1..1_000_000_u64, random: u64) {
            let pause_ms = pause_ms(interval_ms, random);
            prop_assert!(pause_ms.abs_diff(interval_ms) * 10 <= interval_ms);
        }
    }
}
