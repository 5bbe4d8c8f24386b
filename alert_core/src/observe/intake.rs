//! How finished requests get to the detector that are more than usual: through a channel.
//!
//! This runs in every request. It never allocates, locks, waits or fails; a full channel is a counted drop. The only
//! system call is the one that wakes a detector which had gone to sleep.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed, Ordering::Release};

use crossbeam_channel::{Sender, TrySendError};

use crate::board::doorbell::Doorbell;
use crate::board::worker::WorkerBoard;
use crate::model::event::Event;

/// The way into the detector of one process: its channel, and what wakes it.
#[derive(Clone, Debug)]
pub struct Intake {
    events: Sender<Event>,
    doorbell: &'static Doorbell,
    worker: Option<&'static WorkerBoard>,
    /// What it was handed so far.
    queued: &'static AtomicU64,
}

impl Intake {
    pub(crate) fn new(
        events: Sender<Event>,
        doorbell: &'static Doorbell,
        worker: Option<&'static WorkerBoard>,
    ) -> Intake {
        // Where the board has no place for this worker, nobody counts by it.
        let queued = worker.map_or_else(|| &*Box::leak(Box::default()), |worker| &worker.queued);
        Intake { events, doorbell, worker, queued }
    }

    /// Counts a success that was put into the ring. Nobody else may count meanwhile.
    #[inline(always)]
    pub(crate) fn queued_alone(&self) {
        self.queued.store(self.queued.load(Relaxed) + 1, Release);
    }

    /// Wakes the detector where it sleeps so deep that it does not look at the ring by itself soon.
    pub(crate) fn rouse(&self) {
        self.doorbell.rouse();
    }

    /// Hands a finished request to the detector. Several threads may, where nobody uses the ring.
    pub fn push(&self, event: Event) {
        match self.events.try_send(event) {
            Ok(()) => {
                self.queued.fetch_add(1, Release);
                self.doorbell.ring();
            }
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                if let Some(worker) = self.worker {
                    worker.dropped.fetch_add(1, Relaxed);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::Board;
    use crate::board::region::Region;

    #[test]
    fn what_does_not_fit_and_what_nobody_takes_is_a_counted_drop() {
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let place = board.workers().join(10, 1, 0).expect("a place");
        let (events, received) = crossbeam_channel::bounded(2);
        let intake = Intake::new(events, &place.doorbell, Some(place));
        (0..5).for_each(|_| intake.push(Event::begin(0, 0)));
        assert_eq!((place.queued.load(Relaxed), place.dropped.load(Relaxed)), (2, 3));
        // The thread at the other end is gone.
        drop(received);
        intake.push(Event::begin(0, 0));
        assert_eq!((place.queued.load(Relaxed), board.workers().dropped()), (2, 4));
    }
}
