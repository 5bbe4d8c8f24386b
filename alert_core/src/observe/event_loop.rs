//! The end of an event loop, which is one thread: what it hands to the detector, and the time of that.

use std::cell::Cell;

use crate::model::event::Event;
use crate::model::success::{Answered, Success};
use crate::observe::event_clock::EventClock;
use crate::observe::intake::Intake;
use crate::observe::spsc::{self, Producer};

/// Hands what one event loop finishes to the detector of its process.
pub struct EventLoop {
    producer: Producer,
    intake: Intake,
    /// The time of what it finishes.
    pub clock: EventClock,
    is_open: Cell<bool>,
}

/// Room for one answer.
pub struct Room<'a> {
    room: spsc::Room<'a>,
    intake: &'a Intake,
}

impl Room<'_> {
    /// Hands it over.
    #[inline(always)]
    pub fn put(self, answered: Answered) {
        self.room.put(answered.to_words());
        self.intake.queued_alone();
    }
}

impl EventLoop {
    /// The only end of this kind that an engine has.
    pub(crate) fn new(producer: Producer, intake: Intake, clock: EventClock) -> EventLoop {
        EventLoop { producer, intake, clock, is_open: Cell::new(true) }
    }

    /// Room for an answer that changes nothing about who serves. None where the detector rests, which has to be woken then.
    #[inline(always)]
    pub fn room(&self) -> Option<Room<'_>> {
        self.producer.room().map(|room| Room { room, intake: &self.intake })
    }

    /// Hands over an answer that changes nothing about who serves. Its time is that of the wall clock.
    pub fn answered(&self, answered: Answered) {
        if let Some(room) = self.room() {
            return room.put(answered);
        }
        self.producer.look_for_room();
        match self.room() {
            Some(room) => {
                room.put(answered);
                self.intake.rouse();
            }
            None => {
                let success = Success::from(answered);
                let time_ms = self.clock.of_wall_ms(success.time_ms);
                self.push(&mut Success { time_ms, ..success }.into());
            }
        }
    }

    /// Hands over anything else, behind what was handed over before.
    #[cold]
    pub fn push(&self, event: &mut Event) {
        if self.is_open.get() {
            event.answers_ahead = self.producer.count() as u32;
            self.intake.push(*event);
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
