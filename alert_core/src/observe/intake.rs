//! The event loop's end: finished requests go into the ring or into the channel.
//!
//! This runs in every request. It never allocates, locks, waits or fails; a full channel is a counted drop. The only
//! system call is the one that wakes a detector which had gone to sleep.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering, Ordering::Relaxed, fence};
use std::thread::Thread;

use crossbeam_channel::{Sender, TrySendError};

use crate::board::worker::WorkerBoard;
use crate::model::event::Event;
use crate::model::success::Success;
use crate::observe::spsc::Producer;

/// What the detector wants to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Sleep {
    /// Nothing: it looks at the channel again by itself at once.
    Awake,
    /// Events: it looks at the ring again by itself soon.
    Dozing,
    /// Anything.
    Asleep,
}

/// How the detector sleeps, and wants to be woken.
#[derive(Debug)]
pub(crate) struct Doorbell {
    sleep: AtomicU8,
}

impl Default for Doorbell {
    fn default() -> Self {
        Doorbell { sleep: AtomicU8::new(Sleep::Awake as u8) }
    }
}

impl Doorbell {
    /// Says how the detector sleeps from now on. It looks at what waits once more after this.
    pub(crate) fn set(&self, sleep: Sleep) {
        self.sleep.store(sleep as u8, Relaxed);
        // Pairs with the fence in `ring`: either the detector sees the event, or the event loop sees this.
        fence(Ordering::SeqCst);
    }

    /// Wakes the detector for an event.
    #[inline]
    fn ring(&self, detector: &Thread) {
        fence(Ordering::SeqCst);
        if self.sleep.load(Relaxed) != Sleep::Awake as u8 {
            self.wake(detector);
        }
    }

    /// Wakes the detector for an answer. Without the fence it may go unheard in the moment of falling asleep: the
    /// detector's next tick finds the answer then.
    #[inline(always)]
    fn knock(&self, detector: &Thread) {
        if self.sleep.load(Relaxed) == Sleep::Asleep as u8 {
            self.wake(detector);
        }
    }

    #[cold]
    fn wake(&self, detector: &Thread) {
        self.sleep.store(Sleep::Awake as u8, Relaxed);
        detector.unpark();
    }
}

/// The event loop's end of one worker.
#[derive(Debug)]
pub struct Intake {
    events: Sender<Event>,
    doorbell: Arc<Doorbell>,
    detector: Thread,
    worker: Option<&'static WorkerBoard>,
}

impl Intake {
    pub(crate) fn new(
        events: Sender<Event>,
        (doorbell, detector): (Arc<Doorbell>, Thread),
        worker: Option<&'static WorkerBoard>,
    ) -> Intake {
        Intake { events, doorbell, detector, worker }
    }

    /// Hands an answer of the pool that serves to the detector. Nothing else is put from another thread meanwhile.
    #[inline(always)]
    pub fn answered(&self, producer: &mut Producer, answer: Success) {
        if !producer.put(answer.to_words()) {
            return self.push_behind(producer, answer.into());
        }
        if let Some(worker) = self.worker {
            worker.queue_alone(answer.time_ms);
        }
        self.doorbell.knock(&self.detector);
    }

    /// Hands a finished request to the detector, behind what was put into the ring before.
    pub fn push_behind(&self, producer: &Producer, mut event: Event) {
        event.answers_ahead = producer.count() as u32;
        self.push(event);
    }

    /// Hands a finished request to the detector. Several threads may, where nobody uses the ring.
    pub fn push(&self, event: Event) {
        let time_ms = event.time_ms;
        match self.events.try_send(event) {
            Ok(()) => {
                if let Some(worker) = self.worker {
                    worker.queue(time_ms);
                }
                self.doorbell.ring(&self.detector);
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
        let detector = (Arc::new(Doorbell::default()), std::thread::current());
        let intake = Intake::new(events, detector, Some(place));
        (0..5).for_each(|_| intake.push(Event::begin(0, 0)));
        assert_eq!((place.queued.load(Relaxed), place.dropped.load(Relaxed)), (2, 3));
        // The thread at the other end is gone.
        drop(received);
        intake.push(Event::begin(0, 0));
        assert_eq!((place.queued.load(Relaxed), board.workers().dropped()), (2, 4));
    }
}
