//! A finished request, as a program tells it: less is known of it than nginx knows.

use std::iter;

use alert_core::model::outcome::is_failure;
use alert_core::observe::recorder::{Attempt, Intent, Request};

/// What ended with the last attempt, and all attempts, which are asked for more than once.
pub struct Put<'a, F> {
    /// Gives the attempts, in order.
    pub attempts: F,
    /// The status that the client got.
    pub status: u16,
    /// The pool that answered, where only the answer tells it.
    pub pool: &'a [u8],
    /// The release that answered.
    pub release: &'a [u8],
    /// When it ended, by the board's clock in milliseconds.
    pub ended_ms: u64,
}

impl<'a, F: Fn() -> I, I: Iterator<Item = Attempt<'a>>> Request for Put<'a, F> {
    fn last(&self) -> Option<Attempt<'_>> {
        (self.attempts)().last()
    }

    fn earlier(&self) -> impl Iterator<Item = Attempt<'_>> {
        let (mut attempts, count) = ((self.attempts)(), (self.attempts)().count());
        iter::from_fn(move || attempts.next()).take(count.saturating_sub(1))
    }

    fn intent(&self) -> Intent {
        Intent::None
    }

    fn client_status(&self) -> u16 {
        // Programs say so where the client went away meanwhile.
        let is_open = self.last().is_some_and(|last| last.status == 0 && last.address.is_some());
        if is_open && !is_failure(self.status) { 0 } else { self.status }
    }

    fn ended_ms(&self) -> u64 {
        self.ended_ms
    }

    fn age_ms(&self) -> u64 {
        0
    }

    fn last_began_ago_ms(&self) -> Option<u64> {
        None
    }

    fn is_cut(&self) -> bool {
        false
    }

    fn has_kept_header(&self) -> bool {
        false
    }

    fn pool(&self) -> &[u8] {
        self.pool
    }

    fn release(&self) -> &[u8] {
        self.release
    }

    fn is_failure(&self) -> bool {
        false
    }

    fn line(&self) -> (&[u8], &[u8]) {
        (&[], &[])
    }
}
