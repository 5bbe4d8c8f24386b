//! Time as the rest of the crate gets it: injected, so that tests decide what time it is.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, from the system's clock.
///
/// All workers, and the next start after a stop, have to agree on time; only the wall clock offers that. What would
/// suffer from a clock that is set back looks after itself.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// A point in time as RFC 3339 in UTC with milliseconds.
pub fn rfc3339(unix_ms: u64) -> String {
    // The formatter ends with the year 9999; a clock beyond it must not panic here.
    const LAST_MS: u64 = 253_402_300_799_999;
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_ms.min(LAST_MS))).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_at_the_end_of_time_does_not_panic() {
        assert!(rfc3339(u64::MAX).starts_with("9999-12-31"));
    }
}
