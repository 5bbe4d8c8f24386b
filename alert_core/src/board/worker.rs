//! The workers that share the board, and which of them are alive.
//!
//! A worker is alive as long as its detector renews its time. What a worker holds (the delivery for a sink) counts as
//! held only while it is alive, so nothing has to be given back by one that was killed. What it was changing when it
//! was killed can be half done, so each says when it changes windows, decides and tells.

use std::path::Path;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU64, fence};

use crate::base::shared::shared;
use crate::board::doorbell::{Doorbell, Sleep};

/// Workers that can share a board, those of earlier reloads that still drain included.
pub const WORKERS_MAX: usize = 256;
/// How often a worker renews its time, in milliseconds.
pub const HEARTBEAT_MS: u64 = 1000;
/// Without renewal for this long, in milliseconds, a worker counts as dead.
const DEAD_MS: u64 = 4500;

shared! {
/// One worker.
#[derive(Debug)]
pub struct WorkerBoard {
    /// Its process id; zero is a free place.
    pub pid: AtomicU64,
    /// The generation of its configuration.
    pub generation: AtomicU64,
    /// When it was last alive, in milliseconds since the Unix epoch.
    pub seen_ms: AtomicU64,
    /// Requests that its event loop has handed to its detector.
    pub queued: AtomicU64,
    /// Requests that its detector has taken out and counted.
    pub events: AtomicU64,
    /// Requests it could not count, because the channel was full.
    pub dropped: AtomicU64,
    /// Whether its detector may be changing windows, deciding or telling.
    judging: AtomicU64,
    /// How its detector sleeps.
    pub doorbell: Doorbell,
    /// Laps of its event loop that were asked for, and those that are made; see [`WorkerBoard::ask_lap`].
    laps_asked: AtomicU64,
    laps_made: AtomicU64,
    /// Whether it makes laps.
    makes_laps: AtomicU64,
    /// Whether its event loop carries out an order.
    ordering: AtomicU64,
}
}

shared! {
/// All workers.
#[derive(Debug)]
pub struct WorkerTable {
    workers: [WorkerBoard; WORKERS_MAX],
    /// Requests that workers which are gone could not count.
    dropped_before: AtomicU64,
}
}

impl WorkerBoard {
    /// Whether the worker is alive.
    pub fn is_alive(&self, now_ms: u64) -> bool {
        // A time in the future is from before the clock was set back: who lives renews it at once.
        self.pid.load(Relaxed) != 0 && now_ms.abs_diff(self.seen_ms.load(Relaxed)) < DEAD_MS
    }

    /// Requests that wait for its detector.
    pub fn queue_depth(&self) -> u64 {
        self.queued.load(Acquire).saturating_sub(self.events.load(Relaxed))
    }

    /// Counts a request that was handed to the detector.
    #[cfg(test)]
    pub fn queue(&self) {
        self.queued.fetch_add(1, Release);
    }

    /// Counts requests that the detector has judged: who reads the count sees what came of them.
    pub fn judged(&self, requests: u64) {
        self.events.fetch_add(requests, Release);
    }

    /// Lets the detector judge what waits for it, since a decision of another worker waits for that.
    pub fn hurry(&self) {
        if self.queue_depth() > 0 {
            self.doorbell.ring();
        }
    }

    /// Asks for a lap of its event loop: once that is made, all requests are in the queue whose clients had their answer
    /// before. Returns the number of the lap; `None` where the worker makes none.
    pub fn ask_lap(&self) -> Option<u64> {
        if self.makes_laps.load(Relaxed) == 0 {
            return None;
        }
        let lap = self.laps_asked.fetch_add(1, AcqRel).wrapping_add(1);
        self.doorbell.ring();
        Some(lap)
    }

    /// Whether a lap was asked for and is not made yet.
    pub fn owes_lap(&self) -> bool {
        self.laps_asked.load(Acquire) != self.laps_made.load(Relaxed) && self.makes_laps.load(Relaxed) != 0
    }

    /// Says that the event loop, which calls this, has made the laps that were asked for so far, and will make others.
    pub fn make_lap(&self) {
        self.laps_made.store(self.laps_asked.load(Acquire), Release);
        self.makes_laps.store(1, Relaxed);
    }

    /// Whether the lap of this number is made.
    pub fn has_made_lap(&self, lap: u64) -> bool {
        self.laps_made.load(Acquire) >= lap
    }

    /// Says that the worker is alive.
    pub fn renew(&self, now_ms: u64) {
        self.seen_ms.store(now_ms, Relaxed);
    }

    /// Says that its detector may change windows, decide and tell from now on. Once a round, not once a request.
    pub fn begin_judging(&self) {
        self.judging.store(1, Relaxed);
        // Pairs with the fence in `is_quiet`: either that sees the mark, or this worker's changes come after.
        fence(SeqCst);
    }

    /// Says that all changes are done.
    pub fn end_judging(&self) {
        self.judging.store(0, Release);
    }

    /// Says that its event loop carries out an order of an operator, until that is dropped.
    pub fn begin_order(&self) -> AtWork<'_> {
        self.ordering.store(1, Relaxed);
        // As in `begin_judging`.
        fence(SeqCst);
        AtWork(self)
    }

    /// Whether the worker was killed while it judged. One whose heart does not beat could also be stopped, or
    /// the whole machine just come back from a pause.
    fn is_torn(&self) -> bool {
        self.judging.load(Acquire) != 0 && !process_exists(self.pid.load(Relaxed))
    }

    /// Gives the place back.
    pub fn leave(&self) {
        self.seen_ms.store(0, Relaxed);
    }
}

/// The event loop of a worker carries out an order.
#[derive(Debug)]
pub struct AtWork<'a>(&'a WorkerBoard);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.ordering.store(0, Release);
    }
}

impl WorkerTable {
    /// Takes a place for a worker; `None` where all are taken by living ones.
    pub fn join(&self, pid: u32, generation: u64, now_ms: u64) -> Option<&WorkerBoard> {
        self.workers.iter().find(|worker| {
            let holder = worker.pid.load(Relaxed);
            // One that was killed while it judged stays known until what it left is mended.
            let taken = worker.is_alive(now_ms) || worker.judging.load(Relaxed) != 0;
            if taken || worker.pid.compare_exchange(holder, u64::from(pid), AcqRel, Relaxed).is_err() {
                return false;
            }
            worker.renew(now_ms);
            worker.generation.store(generation, Relaxed);
            worker.queued.store(0, Relaxed);
            worker.events.store(0, Relaxed);
            worker.makes_laps.store(0, Relaxed);
            worker.ordering.store(0, Relaxed);
            worker.doorbell.set(Sleep::Awake);
            self.dropped_before.fetch_add(worker.dropped.swap(0, Relaxed), Relaxed);
            true
        })
    }

    /// The living workers.
    pub fn alive(&self, now_ms: u64) -> impl Iterator<Item = &WorkerBoard> {
        self.workers.iter().filter(move |worker| worker.is_alive(now_ms))
    }

    /// The workers that were killed while they judged, until [`WorkerBoard::end_judging`] says for them that
    /// what they left is mended.
    pub fn torn(&self) -> impl Iterator<Item = &WorkerBoard> {
        self.workers.iter().filter(|worker| worker.is_torn())
    }

    /// Whether no living worker changes windows, decides or tells at this instant, but the detector of the process that asks.
    pub fn is_quiet(&self, but_pid: u64) -> bool {
        fence(SeqCst);
        let is_at_it = |worker: &WorkerBoard| {
            let pid = worker.pid.load(Relaxed);
            let judges = worker.judging.load(Acquire) != 0 && pid != but_pid;
            (judges || worker.ordering.load(Acquire) != 0) && process_exists(pid)
        };
        !self.workers.iter().any(is_at_it)
    }

    /// The place of the living worker with this process id.
    pub fn of_process(&self, pid: u32, now_ms: u64) -> Option<&WorkerBoard> {
        self.alive(now_ms).find(|worker| worker.pid.load(Relaxed) == u64::from(pid))
    }

    /// Whether the worker with this process id is alive.
    pub fn is_pid_alive(&self, pid: u64, now_ms: u64) -> bool {
        pid != 0 && self.alive(now_ms).any(|worker| worker.pid.load(Relaxed) == pid)
    }

    /// Whether a worker can still do what it has a right to: its process is there, and its heart beats. Of one that
    /// found no place nothing is known but its process.
    pub fn lives(&self, pid: u64, now_ms: u64) -> bool {
        let mut places = self.workers.iter().filter(|worker| worker.pid.load(Relaxed) == pid).peekable();
        pid != 0 && process_exists(pid) && (places.peek().is_none() || places.any(|worker| worker.is_alive(now_ms)))
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

/// Whether there is such a process. Where that cannot be found out, there may be.
fn process_exists(pid: u64) -> bool {
    let is_there = |process: &str| Path::new("/proc").join(process).exists();
    is_there(&pid.to_string()) || !is_there("self")
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
    fn what_was_queued_and_not_judged_waits() {
        let worker = table().join(10, 1, 1000).expect("a place");
        worker.queued.fetch_add(2, Relaxed);
        assert_eq!(worker.queue_depth(), 2);
        worker.judged(2);
        assert_eq!(worker.queue_depth(), 0);
    }

    #[test]
    fn a_worker_killed_while_it_judged_is_known_until_somebody_mended() {
        // No process has so high a number.
        const KILLED: u32 = u32::MAX;
        let table = table();
        let (killed, other) =
            (table.join(KILLED, 1, 1000).expect("a place"), table.join(11, 1, 1000).expect("a place"));
        assert_eq!(table.torn().count(), 0);
        killed.begin_judging();
        let later = 2000 + DEAD_MS;
        other.renew(later);
        assert!(table.is_quiet(11) && std::ptr::eq(table.torn().next().expect("torn"), killed));
        assert!(!std::ptr::eq(table.join(12, 1, later).expect("a place"), killed));
        killed.end_judging();
        assert_eq!(table.torn().count(), 0);
        assert!(std::ptr::eq(table.join(13, 1, later).expect("a place"), killed));

        let stopped = table.join(std::process::id(), 1, later).expect("a place");
        stopped.begin_judging();
        assert!(!table.is_quiet(11) && table.torn().count() == 0, "a process that exists can go on");
    }

    #[test]
    fn an_order_that_a_living_worker_carries_out_is_waited_for_and_one_of_a_killed_worker_is_not() {
        let (table, own) = (table(), std::process::id());
        let worker = table.join(own, 1, 1000).expect("a place");
        assert!(std::ptr::eq(table.of_process(own, 1000).expect("it lives"), worker));
        worker.begin_judging();
        let order = worker.begin_order();
        assert!(!table.is_quiet(own.into()), "the event loop is another thread");
        drop(order);
        assert!(table.is_quiet(own.into()) && !table.is_quiet(0));
        std::mem::forget(table.join(u32::MAX, 1, 1000).expect("a place").begin_order());
        assert!(table.is_quiet(own.into()));
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
