//! Order over workers: what a decision waits for.
//!
//! Each worker judges its own requests, so a decision that is confirmed here can be refuted by a request that lies in the queue of
//! another worker. Which request came first the clock cannot say, since many fall into a millisecond; the queues can: what
//! was in them when the decision was confirmed has to be judged first. A client gets its answer a moment before the log phase
//! puts the request into a queue, so that moment is waited for as well: the event loop of each worker makes a lap, after
//! which nothing is between the two. Where there is no event loop, a moment has to do.

use std::sync::atomic::{Ordering::Acquire, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::board::worker::WorkerBoard;

/// For requests whose answer is out and whose log phase is still to come.
pub(crate) const SETTLE: Duration = Duration::from_micros(300);
/// A look that comes so much later than the one before it says that the processors are busy, and that other workers may
/// also have to wait for one.
const BUSY: Duration = Duration::from_millis(1);
/// How long to wait at most for a worker that does not judge what it has seen: longer than one that runs waits for a
/// processor where there are many for each.
const LIMIT: Duration = Duration::from_millis(250);

/// The wait of one decision.
#[derive(Debug)]
pub(super) struct Barrier {
    ripe: Instant,
    /// Since when nothing has disturbed the settling.
    settling: Instant,
    looked: Instant,
    /// The laps of event loops that are not made yet.
    laps: Option<Vec<Lap>>,
    /// How far the queues were then.
    marks: Option<Vec<Mark>>,
}

/// A lap that the event loop of a worker was asked for.
#[derive(Debug)]
struct Lap {
    worker: &'static WorkerBoard,
    pid: u64,
    number: u64,
}

impl Lap {
    fn is_made(&self) -> bool {
        self.worker.pid.load(Relaxed) != self.pid || self.worker.has_made_lap(self.number)
    }
}

/// How far the queue of a worker was.
#[derive(Debug)]
struct Mark {
    worker: &'static WorkerBoard,
    pid: u64,
    queued: u64,
}

impl Mark {
    fn is_reached(&self) -> bool {
        self.worker.pid.load(Relaxed) != self.pid || self.worker.events.load(Acquire) >= self.queued
    }
}

impl Barrier {
    /// The wait of a decision that is confirmed now.
    pub(super) fn new(now: Instant) -> Barrier {
        Barrier { ripe: now, settling: now, looked: now, laps: None, marks: None }
    }

    /// Whether all is judged that these workers had seen when the decision was confirmed. Asked again and again; it wakes
    /// those that sleep over it.
    pub(super) fn is_passed<W>(&mut self, workers: impl Fn() -> W, now: Instant) -> bool
    where
        W: Iterator<Item = &'static WorkerBoard>,
    {
        if now.duration_since(self.looked) > BUSY {
            self.settling = now;
        }
        self.looked = now;
        if now.duration_since(self.ripe) >= LIMIT {
            return true;
        }
        let lap = |worker: &'static WorkerBoard| {
            Some(Lap { worker, pid: worker.pid.load(Relaxed), number: worker.ask_lap()? })
        };
        let laps = self.laps.get_or_insert_with(|| workers().filter_map(lap).collect());
        laps.retain(|lap| !lap.is_made());
        if (now.duration_since(self.settling) < SETTLE || !laps.is_empty()) && self.marks.is_none() {
            workers().for_each(WorkerBoard::hurry);
            return false;
        }
        let mark = |worker: &'static WorkerBoard| {
            worker.hurry();
            Mark { worker, pid: worker.pid.load(Relaxed), queued: worker.queued.load(Acquire) }
        };
        let marks = self.marks.get_or_insert_with(|| workers().map(mark).collect());
        marks.retain(|mark| !mark.is_reached());
        marks.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::worker::WorkerTable;

    const MS: Duration = Duration::from_millis(1);

    struct Rig {
        table: &'static WorkerTable,
        workers: [&'static WorkerBoard; 2],
        barrier: Barrier,
        begin: Instant,
    }

    impl Rig {
        fn new() -> Rig {
            let table: &WorkerTable = Region::private(size_of::<WorkerTable>()).get(0).expect("room");
            let workers = [10, 11].map(|pid| table.join(pid, 1, 1000).expect("a place"));
            let begin = Instant::now();
            Rig { table, workers, barrier: Barrier::new(begin), begin }
        }

        fn is_passed(&mut self, after: Duration) -> bool {
            self.barrier.is_passed(|| self.table.of_generation(1, 1000), self.begin + after)
        }
    }

    #[test]
    fn it_waits_for_the_log_phases_to_come_and_then_for_what_the_queues_held() {
        let mut rig = Rig::new();
        assert!(!rig.is_passed(SETTLE / 2));
        // The log phase of a request whose client had its answer already.
        rig.workers[1].queue();
        assert!(!rig.is_passed(SETTLE) && !rig.is_passed(2 * SETTLE));
        // What comes later is not waited for.
        rig.workers.iter().for_each(|worker| worker.queue());
        assert!(!rig.is_passed(2 * SETTLE));
        rig.workers[1].judged(1);
        assert!(rig.is_passed(2 * SETTLE));
    }

    #[test]
    fn it_waits_for_a_lap_of_each_event_loop_before_it_looks_at_the_queues() {
        let mut rig = Rig::new();
        rig.workers.iter().for_each(|worker| worker.make_lap());
        assert!(!rig.is_passed(SETTLE / 2) && rig.workers.iter().all(|worker| worker.owes_lap()));
        rig.workers[0].make_lap();
        assert!(!rig.is_passed(2 * SETTLE));
        // The log phase that the other event loop was about to run.
        rig.workers[1].queue();
        rig.workers[1].make_lap();
        assert!(!rig.is_passed(3 * SETTLE));
        rig.workers[1].judged(1);
        assert!(rig.is_passed(3 * SETTLE) && !rig.workers.iter().any(|worker| worker.owes_lap()));
    }

    #[test]
    fn it_settles_anew_where_the_processors_are_busy_and_not_for_ever() {
        let mut rig = Rig::new();
        assert!(!rig.is_passed(3 * MS), "somebody else had the processor meanwhile");
        assert!(!rig.is_passed(3 * MS + SETTLE / 2));
        assert!(rig.is_passed(3 * MS + SETTLE));
        let mut rig = Rig::new();
        assert!((1..10).all(|look| !rig.is_passed(look * 5 * MS)));
        assert!(rig.is_passed(LIMIT));
    }

    #[test]
    fn it_waits_neither_for_a_worker_that_hangs_nor_for_one_whose_place_another_took() {
        let mut rig = Rig::new();
        rig.workers[0].queue();
        assert!(!rig.is_passed(SETTLE));
        rig.workers[0].pid.store(12, Relaxed);
        assert!(rig.is_passed(SETTLE));
        let mut rig = Rig::new();
        rig.workers[0].queue();
        assert!(!(0..98).any(|half| rig.is_passed(half * MS / 2)));
        assert!(rig.is_passed(LIMIT));
    }
}
