//! The workers that share the board, and which of them are alive.
//!
//! A worker is alive as long as its detector renews its time. What a worker holds (the delivery for a sink) counts as
//! held only while it is alive, so nothing has to be given back by one that was killed.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed};

/// Workers that can share a board, those of earlier reloads that still drain included.
pub const WORKERS_MAX: usize = 256;
/// How often a worker renews its time, in milliseconds.
pub const HEARTBEAT_MS: u64 = 1000;
/// Without renewal for this long, in milliseconds, a worker counts as dead.
const DEAD_MS: u64 = 4500;

/// One worker.
#[repr(C)]
#[derive(Debug)]
pub struct WorkerBoard {
    /// Its process id; zero is a free place.
    pub pid: AtomicU64,
    /// The generation of its configuration.
    pub generation: AtomicU64,
    /// When it was last alive, in milliseconds since the Unix epoch.
    pub seen_ms: AtomicU64,
    /// Requests that its event loop has put into its channel.
    pub queued: AtomicU64,
    /// Requests that its detector has taken out and counted.
    pub events: AtomicU64,
    /// Requests it could not count, because the channel was full.
    pub dropped: AtomicU64,
}

/// All workers.
#[repr(C)]
#[derive(Debug)]
pub struct WorkerTable {
    workers: [WorkerBoard; WORKERS_MAX],
    /// Requests that workers which are gone could not count.
    dropped_before: AtomicU64,
}

impl WorkerBoard {
    /// Whether the worker is alive.
    pub fn is_alive(&self, now_ms: u64) -> bool {
        // A time in the future is from before the clock was set back: who lives renews it at once.
        self.pid.load(Relaxed) != 0 && now_ms.abs_diff(self.seen_ms.load(Relaxed)) < DEAD_MS
    }

    /// Requests that wait in its channel.
    pub fn queue_depth(&self) -> u64 {
        self.queued.load(Relaxed).saturating_sub(self.events.load(Relaxed))
    }

    /// Says that the worker is alive.
    pub fn renew(&self, now_ms: u64) {
        self.seen_ms.store(now_ms, Relaxed);
    }

    /// Gives the place back.
    pub fn leave(&self) {
        self.seen_ms.store(0, Relaxed);
    }
}

impl WorkerTable {
    /// Takes a place for a worker; `None` where all are taken by living ones.
    pub fn join(&self, pid: u32, generation: u64, now_ms: u64) -> Option<&WorkerBoard> {
        self.workers.iter().find(|worker| {
            let holder = worker.pid.load(Relaxed);
            if worker.is_alive(now_ms) || worker.pid.compare_exchange(holder, u64::from(pid), AcqRel, Relaxed).is_err()
            {
                return false;
            }
            worker.renew(now_ms);
            worker.generation.store(generation, Relaxed);
            worker.queued.store(0, Relaxed);
            worker.events.store(0, Relaxed);
            self.dropped_before.fetch_add(worker.dropped.swap(0, Relaxed), Relaxed);
            true
        })
    }

    /// The living workers.
    pub fn alive(&self, now_ms: u64) -> impl Iterator<Item = &WorkerBoard> {
        self.workers.iter().filter(move |worker| worker.is_alive(now_ms))
    }

    /// Whether the worker with this process id is alive.
    pub fn is_pid_alive(&self, pid: u64, now_ms: u64) -> bool {
        pid != 0 && self.alive(now_ms).any(|worker| worker.pid.load(Relaxed) == pid)
    }

    /// The living workers of one configuration.
    pub fn of_generation(&self, generation: u64, now_ms: u64) -> impl Iterator<Item = &WorkerBoard> {
        self.alive(now_ms).filter(move |worker| worker.generation.load(Relaxed) == generation)
    }

    /// Requests that could not be counted, ever.
    pub fn dropped(&self) -> u64 {
        let dropped = self.workers.iter().map(|worker| &worker.dropped).chain([&self.dropped_before]);
        dropped.map(|count| count.load(Relaxed)).fold(0, u64::saturating_add)
    }

    /// The oldest generation that a living worker works by; `u64::MAX` where there is none.
    pub fn oldest_generation(&self, now_ms: u64) -> u64 {
        self.alive(now_ms).map(|worker| worker.generation.load(Relaxed)).min().unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;

    fn table() -> &'static WorkerTable {
        Region::private(size_of::<WorkerTable>()).get(0).expect("room for the table")
    }

    #[test]
    fn a_dead_worker_leaves_and_its_place_is_taken_over() {
        let table = table();
        let first = table.join(10, 1, 1000).expect("a place");
        first.dropped.store(3, Relaxed);
        assert!(table.is_pid_alive(10, 5000));
        assert!(!table.is_pid_alive(10, 1000 + DEAD_MS));
        first.renew(3_600_000);
        assert!(!table.is_pid_alive(10, 1000), "it died before the clock was set back");
        first.renew(1000);
        let second = table.join(11, 2, 1000 + DEAD_MS).expect("a place");
        assert!(std::ptr::eq(first, second));
        assert_eq!((second.dropped.load(Relaxed), table.dropped()), (0, 3));
        assert_eq!(table.oldest_generation(1000 + DEAD_MS), 2);
    }

    #[test]
    fn a_full_table_refuses() {
        let table = table();
        for pid in 1..=WORKERS_MAX as u32 {
            assert!(table.join(pid, 1, 1000).is_some());
        }
        assert!(table.join(9999, 1, 1000).is_none());
    }
}
