//! The end of an event loop, which is one thread: what it hands to the detector, and the time of that.

use std::cell::Cell;

use crate::model::event::Event;
use crate::model::success::Success;
use crate::observe::event_clock::EventClock;
use crate::observe::intake::Intake;
use crate::observe::spsc::Producer;

/// Hands what one event loop finishes to the detector of its process.
pub struct EventLoop {
    producer: Producer,
    intake: Intake,
    /// The time of what it finishes.
    pub clock: EventClock,
    is_open: Cell<bool>,
}

impl EventLoop {
    /// The only end of this kind that an engine has.
    pub(crate) fn new(producer: Producer, intake: Intake, clock: EventClock) -> EventLoop {
        EventLoop { producer, intake, clock, is_open: Cell::new(true) }
    }

    /// Whether [`EventLoop::put`] may be called.
    #[inline(always)]
    pub fn has_room(&self) -> bool {
        self.producer.has_room()
    }

    /// Hands over an answer that changes nothing about who serves, for which there is room. Returns whether the detector
    /// sleeps and has to be woken by [`EventLoop::wake`].
    #[inline(always)]
    pub fn put(&self, success: Success) -> bool {
        self.producer.put(success.to_words());
        self.intake.queued_alone()
    }

    /// Hands over an answer that changes nothing about who serves.
    pub fn answered(&self, success: Success) {
        if self.producer.has_room() || self.producer.look_for_room() {
            if self.put(success) {
                self.wake();
            }
        } else {
            self.push(success.into());
        }
    }

    /// Wakes the detector.
    #[cold]
    pub fn wake(&self) {
        self.intake.wake();
    }

    /// Hands over anything else, behind what was handed over before.
    #[cold]
    pub fn push(&self, mut event: Event) {
        if self.is_open.get() {
            event.answers_ahead = self.producer.count() as u32;
            self.intake.push(event);
        }
    }

    /// Whether the engine runs.
    pub fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// From now on nothing is handed over: the engine stops.
    pub fn close(&self) {
        self.is_open.set(false);
        self.producer.close();
    }
}
