//! The right of one worker to do something for all of them: to deliver for a sink, to save the state.
//!
//! It lasts as long as its holder lives, which its process and its heartbeat say. So a worker that is killed has
//! nothing to give back, and another one takes over at its next look.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed};

use super::worker::WorkerTable;
use crate::base::shared::shared;

shared! {
/// A right that one worker at a time has. All-zero is: nobody.
#[derive(Debug)]
pub struct Lease {
    /// Process id of the worker that has it.
    holder: AtomicU64,
}
}

impl Lease {
    /// Takes or keeps the right; `false` while another living worker has it.
    pub fn take(&self, pid: u32, workers: &WorkerTable, now_ms: u64) -> bool {
        let (pid, holder) = (u64::from(pid), self.holder.load(Relaxed));
        holder == pid
            || (!workers.lives(holder, now_ms) && self.holder.compare_exchange(holder, pid, AcqRel, Relaxed).is_ok())
    }

    /// Whether this worker has the right.
    pub fn is_held_by(&self, pid: u32) -> bool {
        self.holder.load(Relaxed) == u64::from(pid)
    }

    /// Gives the right back, if this worker has it.
    pub fn release(&self, pid: u32) {
        // Somebody else's right is none of this worker's business.
        let _ = self.holder.compare_exchange(u64::from(pid), 0, AcqRel, Relaxed);
    }

    /// Takes the right from whoever has it: for the master, when there are no workers yet.
    pub fn clear(&self) {
        self.holder.store(0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;

    #[test]
    fn one_living_worker_at_a_time_has_it() {
        let workers: &WorkerTable = Region::private(size_of::<WorkerTable>()).get(0).expect("room");
        // Processes that exist.
        let (a, b) = (std::process::id(), std::os::unix::process::parent_id());
        let (first, second) = (workers.join(a, 1, 1000), workers.join(b, 1, 1000));
        let lease = Lease { holder: AtomicU64::new(0) };
        assert!(lease.take(a, workers, 1000) && lease.take(a, workers, 1000));
        assert!(!lease.take(b, workers, 1000));
        assert!(lease.is_held_by(a) && !lease.is_held_by(b));
        lease.release(b);
        assert!(!lease.take(b, workers, 1000), "a lease is released by its holder only");
        second.expect("joined").renew(9000);
        assert!(lease.take(b, workers, 9000), "the heart of the holder does not beat");
        lease.release(b);
        first.expect("joined").renew(9000);
        assert!(lease.take(a, workers, 9000));
    }

    #[test]
    fn a_worker_that_is_killed_loses_it_at_once_and_one_without_a_place_keeps_it() {
        // No process has so high a number.
        const KILLED: u32 = u32::MAX;
        let workers: &WorkerTable = Region::private(size_of::<WorkerTable>()).get(0).expect("room");
        let (a, b) = (std::process::id(), std::os::unix::process::parent_id());
        workers.join(KILLED, 1, 1000).expect("a place");
        workers.join(b, 1, 1000).expect("a place");
        let lease = Lease { holder: AtomicU64::new(0) };
        assert!(lease.take(KILLED, workers, 1000) && lease.take(b, workers, 1000));
        lease.release(b);
        assert!(
            lease.take(a, workers, 1000) && !lease.take(b, workers, 1000),
            "its process is all that is known of it"
        );
    }
}
