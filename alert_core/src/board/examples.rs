//! Some of the requests that failed, to show people what they look like: the latest few of each monitor.
//!
//! The event loop writes them, each as one text that reads as empty while it is torn. Nothing is in them that could be a
//! secret: no query, no header, no body.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::base::name::readable;
use crate::base::shared::shared;
use crate::board::text::TextCell;
use crate::model::alert::Example;
use crate::model::ids::PoolId;

/// Requests that are kept.
const EXAMPLES_MAX: usize = 8;
/// Words of a request's text.
const WORDS: usize = 40;
/// Bytes that are kept of a method, a path and an address.
const METHOD_MAX: usize = 16;
const PATH_MAX: usize = 120;
const ADDRESS_MAX: usize = 120;
/// Between the parts of the text; no part holds it.
const SEPARATOR: u8 = 0x1f;

/// A request that failed, as the event loop has it.
#[derive(Clone, Copy, Debug)]
pub struct FailedRequest<'a> {
    /// When it ended, by the board's clock in milliseconds.
    pub time_ms: u64,
    /// The status that the client got.
    pub status: u16,
    /// The pool that failed it.
    pub pool: PoolId,
    /// Its method; empty where it is not known.
    pub method: &'a [u8],
    /// Its path, without the query; empty where it is not known.
    pub path: &'a [u8],
    /// The address that failed it; empty where none was asked.
    pub address: &'a [u8],
}

/// The same as it was kept: bounded, and plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// When it ended, by the board's clock in milliseconds.
    pub time_ms: u64,
    /// The pool that failed it.
    pub pool: PoolId,
    /// What is shown of it.
    pub example: Example,
}

shared! {
/// The latest requests of a monitor that failed.
#[derive(Debug)]
pub struct Examples {
    next: AtomicU64,
    texts: [TextCell<WORDS>; EXAMPLES_MAX],
}
}

impl Examples {
    /// Forgets what cannot have happened by this time, after it was filled from a file.
    pub(super) fn make_sane(&self, now_ms: u64) {
        for text in &self.texts {
            if parse(&text.bytes()).is_some_and(|kept| kept.time_ms > now_ms) {
                text.store(b"");
            }
        }
    }

    /// Puts a request in the place of the oldest.
    pub fn put(&self, request: &FailedRequest<'_>) {
        let mut text = [0; WORDS * 8];
        let mut rest = &mut text[..];
        let FailedRequest { time_ms, status, pool, .. } = request;
        // The bounds of the parts leave room for all of them.
        let _ = write!(rest, "{time_ms} {status} {}", pool.get());
        for (part, max) in [(request.method, METHOD_MAX), (request.address, ADDRESS_MAX), (request.path, PATH_MAX)] {
            let _ = rest.write_all(&[SEPARATOR]);
            for byte in &part[..part.len().min(max)] {
                let _ = rest.write_all(&[if matches!(*byte, 0 | SEPARATOR) { b' ' } else { *byte }]);
            }
        }
        let len = WORDS * 8 - rest.len();
        let at = self.next.fetch_add(1, Relaxed) as usize % EXAMPLES_MAX;
        self.texts[at].store(&text[..len]);
    }

    /// The requests, newest first.
    pub fn recent(&self) -> Vec<Kept> {
        self.newest_first().collect()
    }

    /// When the newest of them ended.
    pub fn newest_ms(&self) -> Option<u64> {
        self.newest_first().next().map(|kept| kept.time_ms)
    }

    fn newest_first(&self) -> impl Iterator<Item = Kept> {
        let next = self.next.load(Relaxed) as usize;
        let places = (1..=EXAMPLES_MAX).map(move |back| next.wrapping_sub(back) % EXAMPLES_MAX);
        places.filter_map(|at| parse(&self.texts[at].bytes()))
    }
}

fn parse(text: &[u8]) -> Option<Kept> {
    let mut parts = text.split(|byte| *byte == SEPARATOR);
    let mut numbers = std::str::from_utf8(parts.next()?).ok()?.split(' ');
    let (time_ms, status) = (numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?);
    let pool = PoolId::new(numbers.next()?.parse().ok()?);
    let mut part = |max| parts.next().map(|part| readable(part, part.len() == max));
    let (method, address, path) = (part(METHOD_MAX)?, part(ADDRESS_MAX)?, part(PATH_MAX)?);
    Some(Kept { time_ms, pool, example: Example { method, path, status, address } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::monitor::MonitorBoard;
    use crate::board::region::Region;

    fn examples() -> &'static Examples {
        let monitor: &MonitorBoard = Region::private(size_of::<MonitorBoard>()).get(0).expect("room");
        &monitor.examples
    }

    fn request(time_ms: u64) -> FailedRequest<'static> {
        let (method, path, address) = (b"GET", b"/cart items", b"10.0.0.1:80");
        FailedRequest { time_ms, status: 502, pool: PoolId::new(1), method, path, address }
    }

    #[test]
    fn the_latest_are_kept_newest_first() {
        let examples = examples();
        assert_eq!(examples.recent(), []);
        (0..EXAMPLES_MAX as u64 + 3).for_each(|time_ms| examples.put(&request(time_ms)));
        let recent = examples.recent();
        assert_eq!(recent.iter().map(|kept| kept.time_ms).collect::<Vec<_>>(), (3..11).rev().collect::<Vec<_>>());
        assert_eq!(recent[0].pool, PoolId::new(1));
        let [method, path, address] = ["GET", "/cart items", "10.0.0.1:80"].map(String::from);
        assert_eq!(recent[0].example, Example { method, path, status: 502, address });
    }

    #[test]
    fn hostile_requests_are_bounded_and_plain() {
        let examples = examples();
        let long = vec![b'x'; 10_000];
        for part in [&b"\x1f\x1f 7\n\x00\xff"[..], &long, b""] {
            let (method, path, address) = (part, part, part);
            examples.put(&FailedRequest { method, path, address, status: u16::MAX, ..request(u64::MAX) });
        }
        let recent = examples.recent();
        assert_eq!((recent.len(), recent[0].time_ms), (3, u64::MAX));
        assert_eq!(recent[0].example, Example { status: u16::MAX, ..Example::default() });
        assert_eq!(recent[1].example.path.chars().count(), PATH_MAX + 1, "cut, which is marked");
        assert_eq!(recent[2].example.method, "   7  \u{fffd}");
    }
}
