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
