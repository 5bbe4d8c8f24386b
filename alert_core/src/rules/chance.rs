//! How many answers in a row of one pool are no chance where two pools serve side by side.

/// The chance of a row that is taken for more than chance: once in a million.
const CHANCE: f64 = 1e-6;
/// The length of a row that no pool is asked for: so large a share of the traffic goes to it that a row says nothing.
pub const NEVER: u16 = 2047;

/// The length from which on a row of answers is no chance, given that `first` of the last `all` requests were sent to
/// that pool first. A pool to which none was sent (a backup) needs no row: zero.
///
/// Each of a row of n goes there with a chance of s, so all of them with sⁿ: n is at least ln 10⁻⁶ / ln s.
pub fn row(first: u64, all: u64) -> u16 {
    if first == 0 {
        return 0;
    }
    if first >= all {
        return NEVER;
    }
    let share = first as f64 / all as f64;
    // The quotient of equal logarithms may lie a hair above the whole number that it is.
    let length = (CHANCE.ln() / share.ln() - 1e-9).ceil();
    if length < f64::from(NEVER) { length as u16 } else { NEVER }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_as_long_as_chance_makes_once_in_a_million() {
        for (first, all, expected) in [
            (0, 0, 0),
            (0, 200, 0),
            (1, 100, 3),
            (1, 10, 6),
            (1, 4, 10),
            (1, 2, 20),
            (3, 4, 49),
            (9, 10, 132),
            (99, 100, 1375),
        ] {
            assert_eq!(row(first, all), expected, "{first} of {all}");
        }
    }

    #[test]
    fn a_pool_that_gets_everything_shows_nothing_by_answering() {
        for (first, all) in [(1, 1), (999, 1000), (5, 4), (u64::MAX, 1)] {
            assert_eq!(row(first, all), NEVER);
        }
    }
}
