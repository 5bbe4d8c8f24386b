//! Time as the rest of the crate gets it: injected, so that tests decide what time it is.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, from the system's clock.
///
/// All workers, and the next start after a stop, have to agree on time; only the wall clock offers that. What would
/// suffer from a clock that is set back looks after itself.
pub fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
