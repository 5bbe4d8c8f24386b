//! The right of one worker to do something for all of them: to deliver for a sink, to save the state.
//!
//! It lasts as long as its holder lives, which its heartbeat says. So a worker that is killed has nothing to give back,
//! and another one takes over as soon as the dead one counts as dead.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed};

use super::worker::WorkerTable;

/// A right that one worker at a time has. All-zero is: nobody.
#[repr(C)]
#[derive(Debug)]
pub struct Lease {
    /// Process id of the worker that has it.
    holder: AtomicU64,
}

impl Lease {
    /// Takes or keeps the right; `false` while another living worker has it.
    pub fn take(&self, pid: u32, workers: &WorkerTable, now_ms: u64) -> bool {
        let (pid, holder) = (u64::from(pid), self.holder.load(Relaxed));
        holder == pid
            || (!workers.lives(holder, now_ms) && self.holder.compare_exchange(holder, pid, AcqRel, Relaxed).is_ok())
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
        let (first, second) = (workers.join(10, 1, 1000), workers.join(11, 1, 1000));
        let lease = Lease { holder: AtomicU64::new(0) };
        assert!(lease.take(10, workers, 1000) && lease.take(10, workers, 1000));
        assert!(!lease.take(11, workers, 1000));
        lease.release(11);
        assert!(!lease.take(11, workers, 1000), "a lease is released by its holder only");
        second.expect("joined").renew(9000);
        assert!(lease.take(11, workers, 9000), "the holder is dead");
        lease.release(11);
        first.expect("joined").renew(9000);
        assert!(lease.take(10, workers, 9000));
    }

    #[test]
    fn a_worker_that_found_no_place_keeps_it_until_its_process_ends() {
        // No process has so high a number.
        const KILLED: u32 = u32::MAX;
        let workers: &WorkerTable = Region::private(size_of::<WorkerTable>()).get(0).expect("room");
        workers.join(10, 1, 1000).expect("a place");
        let lease = Lease { holder: AtomicU64::new(0) };
        assert!(lease.take(std::process::id(), workers, 1000) && !lease.take(10, workers, 1000));
        lease.release(std::process::id());
        assert!(lease.take(KILLED, workers, 1000) && lease.take(10, workers, 1000));
    }
}
