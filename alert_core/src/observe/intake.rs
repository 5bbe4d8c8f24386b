//! The event loop's end: finished requests go into the ring or into the channel.
//!
//! This runs in every request. It never allocates, locks, waits or fails; a full channel is a counted drop. The only
//! system call is the one that wakes a detector which had gone to sleep.

use std::sync::atomic::Ordering::Relaxed;

use crossbeam_channel::{Sender, TrySendError};

use crate::board::doorbell::Doorbell;
use crate::board::worker::WorkerBoard;
use crate::model::event::Event;
use crate::model::success::Success;
use crate::observe::spsc::Producer;

/// The event loop's end of one worker.
#[derive(Debug)]
pub struct Intake {
    events: Sender<Event>,
    doorbell: &'static Doorbell,
    worker: Option<&'static WorkerBoard>,
}

impl Intake {
    pub(crate) fn new(
        events: Sender<Event>,
        doorbell: &'static Doorbell,
        worker: Option<&'static WorkerBoard>,
    ) -> Intake {
        Intake { events, doorbell, worker }
    }

    /// Hands an answer of the pool that serves to the detector. Nothing else is put from another thread meanwhile.
    #[inline(always)]
    pub fn answered(&self, producer: &mut Producer, answer: Success) {
        if !producer.put(answer.to_words()) {
            return self.push_behind(producer, answer.into());
        }
        if let Some(worker) = self.worker {
            worker.queue_alone();
        }
        self.doorbell.knock();
    }

    /// Hands a finished request to the detector, behind what was put into the ring before.
    pub fn push_behind(&self, producer: &Producer, mut event: Event) {
        event.answers_ahead = producer.count() as u32;
        self.push(event);
    }

    /// Hands a finished request to the detector. Several threads may, where nobody uses the ring.
    pub fn push(&self, event: Event) {
        match self.events.try_send(event) {
            Ok(()) => {
                if let Some(worker) = self.worker {
                    worker.queue();
                }
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
