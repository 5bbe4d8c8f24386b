//! Wall-clock time in the unit in which the app, the sink and the demo compare their moments.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// Microseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Micros(pub u64);

impl Micros {
    /// This moment. A clock before 1970 counts as 1970.
    pub fn now() -> Micros {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Micros(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    /// Milliseconds from an earlier moment to this one; negative when it is later after all.
    pub fn millis_since(self, earlier: Micros) -> f64 {
        (self.0 as f64 - earlier.0 as f64) / 1e3
    }
}

impl fmt::Display for Micros {
    /// The time of day in UTC, which is what a log line in a terminal needs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, millis) = (self.0 / 1_000_000 % 86_400, self.0 / 1_000 % 1_000);
        write!(f, "{:02}:{:02}:{:02}.{millis:03}", seconds / 3600, seconds / 60 % 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_shown_as_time_of_day() {
        assert_eq!(Micros(1_700_000_000_123_456).to_string(), "22:13:20.123");
    }

    #[test]
    fn the_distance_of_two_moments_is_in_milliseconds() {
        assert_eq!(Micros(3_500).millis_since(Micros(1_000)), 2.5);
        assert_eq!(Micros(1_000).millis_since(Micros(2_000)), -1.0);
    }
}
