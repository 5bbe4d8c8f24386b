//! Workers that are killed, or overtaken by others, in a test: right behind one of their changes of the board.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

thread_local! {
    /// Changes until it happens.
    static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    /// What happens then; nothing is death.
    static THEN: RefCell<Option<Box<dyn FnOnce()>>> = const { RefCell::new(None) };
}

/// Nothing goes on from here.
struct Killed;

/// Behind each change of a cell, and before and behind the one that publishes an alert.
pub(crate) fn may_be_killed() {
    let left = LEFT.get();
    LEFT.set(left.and_then(|left| left.checked_sub(1)));
    if left == Some(0) {
        match THEN.take() {
            Some(then) => then(),
            None => resume_unwind(Box::new(Killed)),
        }
    }
}

/// The life of a worker until it has changed the board so often.
pub(crate) struct Life {
    changes: usize,
    /// Whether that came.
    pub(crate) is_over: bool,
}

impl Life {
    pub(crate) fn of(changes: usize) -> Life {
        Life { changes, is_over: false }
    }

    /// Does this as long as it lives. Returns whether it was killed at it.
    pub(crate) fn ends_in(&mut self, act: impl FnOnce()) -> bool {
        LEFT.set((!self.is_over).then_some(self.changes));
        let ended = catch_unwind(AssertUnwindSafe(act));
        self.changes = LEFT.take().unwrap_or(0);
        match ended {
            Ok(()) => false,
            Err(cause) if cause.is::<Killed>() => {
                self.is_over = true;
                true
            }
            Err(cause) => resume_unwind(cause),
        }
    }

    /// Does this, and at that moment something else before it goes on.
    pub(crate) fn is_interrupted_in(&mut self, act: impl FnOnce(), other: impl FnOnce() + 'static) {
        LEFT.set((!self.is_over).then_some(self.changes));
        THEN.set(Some(Box::new(other)));
        act();
        self.changes = LEFT.take().unwrap_or(0);
        self.is_over |= THEN.take().is_none();
    }
}
