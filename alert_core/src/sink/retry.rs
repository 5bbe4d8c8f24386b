//! When to try again: the backoff between tries, and what `Retry-After` asks for.

use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime};

/// The longest pause that a service can ask for. A longer one is a mistake, or leaves people in the dark for too long.
pub const LONGEST: Duration = Duration::from_secs(3600);

const FIRST: Duration = Duration::from_secs(1);
const CEILING: Duration = Duration::from_secs(60);

/// How long to wait after this many earlier failures in a row: about 1 s after the first failure (`failures` is 0), then
/// twice as long each time up to a minute, a fifth more or less at random so that many hosts do not come back at once.
pub fn backoff(failures: u32) -> Duration {
    // The seed of each `RandomState` differs, which is all the randomness that is needed here.
    spread(failures, RandomState::new().hash_one(failures))
}

/// How long to wait where the service asked for a pause, after this many earlier failures in a row: never shorter, and
/// longer at random by up to as much again, a minute at most. Many hosts are told the same pause at once, and would
/// otherwise come back at once.
pub fn at_least(asked: Duration, failures: u32) -> Duration {
    stretch(asked, failures, RandomState::new().hash_one(failures))
}

/// [`backoff`] with the random part given.
fn spread(failures: u32, random: u64) -> Duration {
    doubled(failures).mul_f64(0.8 + 0.4 * fraction(random))
}

/// [`at_least`] with the random part given.
fn stretch(asked: Duration, failures: u32, random: u64) -> Duration {
    asked + doubled(failures).max(asked).min(CEILING).mul_f64(fraction(random))
}

fn doubled(failures: u32) -> Duration {
    FIRST.saturating_mul(1 << failures.min(6)).min(CEILING)
}

/// From 0 to 1.
fn fraction(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

/// The pause that the value of a `Retry-After` header asks for: seconds, with or without a fraction, or a date.
/// At most [`LONGEST`]; `None` where it is neither, or asks for no pause.
pub fn after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    let pause = match value.parse::<f64>() {
        // Not a number stays none: `max` and `min` take the other operand.
        Ok(seconds) => Duration::from_secs_f64(seconds.max(0.0).min(LONGEST.as_secs_f64())),
        Err(_) => httpdate::parse_http_date(value).ok()?.duration_since(now).ok()?.min(LONGEST),
    };
    (!pause.is_zero()).then_some(pause)
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_backoff_starts_at_a_second_and_doubles_to_a_minute() {
        let middle = u64::MAX / 2;
        let pauses: Vec<f64> = (0..9).map(|failures| spread(failures, middle).as_secs_f64().round()).collect();
        assert_eq!(pauses, [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]);
        assert_eq!(spread(u32::MAX, middle), spread(7, middle));
    }

    #[test]
    fn the_backoff_differs_from_host_to_host() {
        let pauses: Vec<Duration> = (0..20).map(|_| backoff(3)).collect();
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
        assert!(pauses.iter().all(|pause| (6.4..=9.6).contains(&pause.as_secs_f64())));
    }

    #[test]
    fn a_pause_that_was_asked_for_is_stretched_and_never_shortened() {
        let asked = Duration::from_secs(30);
        assert_eq!(stretch(asked, 0, 0), asked);
        assert_eq!(stretch(asked, 0, u64::MAX).as_secs_f64().round(), 60.0);
        let second = Duration::from_secs(1);
        let longest = [0, 1, 5, 99].map(|failures| stretch(second, failures, u64::MAX).as_secs_f64().round());
        assert_eq!(longest, [2.0, 3.0, 33.0, 61.0], "the more often it failed, the further apart");
        assert_eq!(stretch(LONGEST, 99, u64::MAX).as_secs_f64().round(), 3660.0);
    }

    #[test]
    fn retry_after_comes_in_seconds_or_as_a_date() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(after("30", now), Some(Duration::from_secs(30)));
        assert_eq!(after(" 0.5 ", now), Some(Duration::from_millis(500)));
        assert_eq!(after("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(after("Sunday, 06-Nov-94 08:50:07 GMT", now), Some(Duration::from_secs(30)));
    }

    #[test]
    fn a_pause_is_never_longer_than_an_hour_and_never_none_at_all() {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        for value in ["86400", "inf", "1e300", "Sat, 06 Nov 2094 08:50:07 GMT"] {
            assert_eq!(after(value, now), Some(LONGEST), "{value}");
        }
        for value in ["0", "-5", "nan", "-inf", "", "soon", "Sat, 06 Nov 1993 08:50:07 GMT"] {
            assert_eq!(after(value, now), None, "{value}");
        }
    }

    proptest! {
        #[test]
        fn any_header_gives_a_sane_pause(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let pause = after(&String::from_utf8_lossy(&bytes), UNIX_EPOCH);
            prop_assert!(pause.is_none_or(|pause| !pause.is_zero() && pause <= LONGEST));
        }
    }
}
