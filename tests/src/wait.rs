//! Waiting for a condition and never for time alone.

use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(5);

/// Looks until `look` finds something, at most for `limit`.
pub fn find<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return Some(found);
        }
        if Instant::now() >= end {
            return None;
        }
        thread::sleep(PAUSE);
    }
}

/// Waits until `reached` holds and fails the test with `what` where it does not within `limit`.
#[track_caller]
pub fn until(what: &str, limit: Duration, mut reached: impl FnMut() -> bool) {
    if find(limit, || reached().then_some(())).is_none() {
        panic!("{what}: not within {limit:?}");
    }
}
