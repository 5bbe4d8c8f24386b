//! The state of one sink that all workers share: who delivers, how it goes, when to try again.
//!
//! One worker at a time delivers for a sink, so that messages arrive in order and at the sink's pace. The right to do so
//! is a lease that lasts as long as its holder lives.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed};

use super::worker::WorkerTable;
use crate::name::{NameCell, TextCell};

/// Sinks that a board can hold.
pub const SINKS_MAX: usize = 16;

/// One sink.
#[repr(C)]
#[derive(Debug)]
pub struct SinkBoard {
    /// Its name, by which a new configuration finds it again.
    pub name: NameCell,
    /// Process id of the worker that delivers; zero is none.
    lease: AtomicU64,
    /// No message before this time, in milliseconds since the Unix epoch.
    pub not_before_ms: AtomicU64,
    /// Failed tries since the last message that went through.
    pub failures: AtomicU64,
    /// Messages delivered.
    pub sent: AtomicU64,
    /// Tries that failed and are made again.
    pub retried: AtomicU64,
    /// Messages given up.
    pub failed: AtomicU64,
    /// What went wrong last; empty after a success.
    pub last_error: TextCell<24>,
}

/// All sinks.
#[repr(C)]
#[derive(Debug)]
pub struct SinkTable {
    sinks: [SinkBoard; SINKS_MAX],
}

/// A sink's place in the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkId(u8);

impl SinkId {
    /// Its number.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl SinkBoard {
    /// Takes or keeps the right to deliver; `false` while another living worker has it.
    pub fn try_lease(&self, pid: u32, workers: &WorkerTable, now_ms: u64) -> bool {
        let (pid, holder) = (u64::from(pid), self.lease.load(Relaxed));
        holder == pid
            || (!workers.is_pid_alive(holder, now_ms)
                && self.lease.compare_exchange(holder, pid, AcqRel, Relaxed).is_ok())
    }

    /// Gives the right back, if this worker has it.
    pub fn release(&self, pid: u32) {
        // Somebody else's lease is none of this worker's business.
        let _ = self.lease.compare_exchange(u64::from(pid), 0, AcqRel, Relaxed);
    }
}

impl SinkTable {
    /// The sink at this place.
    pub fn get(&self, sink: SinkId) -> &SinkBoard {
        &self.sinks[sink.index() % SINKS_MAX]
    }

    /// Gives each name a place: the one it had, or that of a sink which is not among the names. Changed by the master
    /// only. `None` where there are more names than places.
    pub fn assign(&self, names: &[&str]) -> Option<Vec<SinkId>> {
        if names.len() > SINKS_MAX {
            return None;
        }
        let held: Vec<String> = self.sinks.iter().map(|sink| sink.name.load()).collect();
        let mut free = (0..SINKS_MAX).filter(|at| !names.contains(&held[*at].as_str()));
        names
            .iter()
            .map(|name| {
                let at = held.iter().position(|held| held == name).or_else(|| free.next())?;
                if held[at] != *name {
                    self.sinks[at].reset(name);
                }
                Some(SinkId(at as u8))
            })
            .collect()
    }
}

impl SinkBoard {
    fn reset(&self, name: &str) {
        for counter in [&self.lease, &self.not_before_ms, &self.failures, &self.sent, &self.retried, &self.failed] {
            counter.store(0, Relaxed);
        }
        self.last_error.store(b"");
        self.name.store(name.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;

    #[test]
    fn one_living_worker_at_a_time_delivers() {
        let region = Region::private(size_of::<WorkerTable>() + size_of::<SinkTable>());
        let workers: &WorkerTable = region.get(0).expect("room");
        let sinks: &SinkTable = region.get(size_of::<WorkerTable>() / 8).expect("room");
        let (first, second) = (workers.join(10, 1, 1000), workers.join(11, 1, 1000));
        let sink = sinks.get(sinks.assign(&["slack"]).expect("a place")[0]);
        assert!(sink.try_lease(10, workers, 1000) && sink.try_lease(10, workers, 1000));
        assert!(!sink.try_lease(11, workers, 1000));
        sink.release(11);
        assert!(!sink.try_lease(11, workers, 1000), "a lease is released by its holder only");
        second.expect("joined").renew(9000);
        assert!(sink.try_lease(11, workers, 9000), "the holder is dead");
        sink.release(11);
        first.expect("joined").renew(9000);
        assert!(sink.try_lease(10, workers, 9000));
    }

    #[test]
    fn sinks_keep_their_places_across_configurations() {
        let sinks: &SinkTable = Region::private(size_of::<SinkTable>()).get(0).expect("room");
        let before = sinks.assign(&["slack", "pagerduty"]).expect("places");
        sinks.get(before[1]).sent.store(5, Relaxed);
        let after = sinks.assign(&["pagerduty", "teams"]).expect("places");
        assert_eq!(after[0], before[1]);
        assert_eq!(sinks.get(after[0]).sent.load(Relaxed), 5);
        assert_ne!(after[1], after[0]);
    }
}
