//! The event loop's end: finished requests go into the channel.
//!
//! This runs in every request. It never allocates, locks, waits or fails; a full channel is a counted drop. The only
//! system call is the one that wakes a detector which had gone idle.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, Ordering::Relaxed, fence};
use std::thread::Thread;

use crossbeam_channel::{Sender, TrySendError};

use crate::board::worker::WorkerBoard;
use crate::event::Event;
use crate::servers::Servers;

/// Whether the detector has gone idle and wants to be woken.
#[derive(Debug, Default)]
pub(crate) struct Doorbell {
    idle: AtomicBool,
}

impl Doorbell {
    /// Says that the detector is about to sleep. It looks at the channel once more after this.
    pub(crate) fn going_idle(&self) {
        self.idle.store(true, Relaxed);
        // Pairs with the fence in `ring`: either the detector sees the event, or the event loop sees the flag.
        fence(Ordering::SeqCst);
    }

    /// Says that the detector is awake.
    pub(crate) fn awake(&self) {
        self.idle.store(false, Relaxed);
    }

    #[inline]
    fn ring(&self, detector: &Thread) {
        fence(Ordering::SeqCst);
        if self.idle.load(Relaxed) {
            self.idle.store(false, Relaxed);
            detector.unpark();
        }
    }
}

/// The event loop's end of one worker.
#[derive(Debug)]
pub struct Intake {
    servers: Servers,
    events: Sender<Event>,
    doorbell: Arc<Doorbell>,
    detector: Thread,
    worker: Option<&'static WorkerBoard>,
}

impl Intake {
    pub(crate) fn new(
        servers: Servers,
        events: Sender<Event>,
        (doorbell, detector): (Arc<Doorbell>, Thread),
        worker: Option<&'static WorkerBoard>,
    ) -> Intake {
        Intake { servers, events, doorbell, detector, worker }
    }

    /// Where servers belong.
    #[inline]
    pub fn servers(&self) -> &Servers {
        &self.servers
    }

    /// Hands a finished request to the detector.
    #[inline]
    pub fn push(&self, event: Event) {
        match self.events.try_send(event) {
            Ok(()) => {
                if let Some(worker) = self.worker {
                    // A program in C may put from several threads at once.
                    worker.queued.fetch_add(1, Relaxed);
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
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::board::{Board, Plan};

    #[test]
    fn what_does_not_fit_and_what_nobody_takes_is_a_counted_drop() {
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let servers = Servers::new(board, &Plan::default(), &settings(&[]));
        let place = board.workers().join(10, 1, 0).expect("a place");
        let (events, received) = crossbeam_channel::bounded(2);
        let detector = (Arc::new(Doorbell::default()), std::thread::current());
        let intake = Intake::new(servers, events, detector, Some(place));
        (0..5).for_each(|_| intake.push(Event::begin(0, 0)));
        assert_eq!((place.queued.load(Relaxed), place.dropped.load(Relaxed)), (2, 3));
        // The thread at the other end is gone.
        drop(received);
        intake.push(Event::begin(0, 0));
        assert_eq!((place.queued.load(Relaxed), board.workers().dropped()), (2, 4));
    }
}
