//! The courier threads of a worker, one for each sink: take alerts from the outbox and get them delivered.
//!
//! One thread a sink, so that one which hangs delays no other. Of all workers one at a time delivers for a sink (a lease
//! in the board), in the order of decision. How a delivery stands is kept in the board too, so that any worker can go on
//! where another stopped. Only workers of the configuration in force deliver: those that drain know its sinks as they
//! were.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::base::log::{Level, Log};
use crate::board::Board;
use crate::board::outbox::Delivery;
use crate::board::sink::{SinkBoard, SinkId};
use crate::deliver::coalesce::{Notification, notifications};
use crate::model::alert::Alert;
use crate::sink::{Outcome, Sink, retry};

/// How often a courier looks for alerts that a dead worker left.
const LOOK: Duration = Duration::from_secs(2);
/// How often it looks while another worker delivers.
const LOOK_BUSY: Duration = Duration::from_millis(250);

/// Everything that the courier for one sink works with.
pub(crate) struct Courier {
    pub(crate) board: Board,
    pub(crate) sink: Arc<Sink>,
    pub(crate) id: SinkId,
    /// The monitors whose alerts go to this sink.
    pub(crate) monitors: Vec<String>,
    pub(crate) generation: u64,
    pub(crate) pid: u32,
    pub(crate) host: String,
    pub(crate) stop: Arc<AtomicBool>,
    pub(crate) log: Log,
}

impl Courier {
    /// Runs until it is told to stop; then tries once more to deliver what waits.
    pub(crate) fn run(self) {
        loop {
            let stopping = self.stop.load(Relaxed);
            let pause = catch_unwind(AssertUnwindSafe(|| self.look())).unwrap_or_else(|_| {
                self.log.write(Level::Error, format!("the courier for {} panicked and goes on", self.name()));
                LOOK
            });
            if stopping {
                break;
            }
            if !pause.is_zero() && !self.stop.load(Relaxed) {
                thread::park_timeout(pause);
            }
        }
    }

    /// Delivers what is due and returns how long to wait before the next look.
    fn look(&self) -> Duration {
        if self.board.generation() != self.generation || !self.is_due() {
            return LOOK;
        }
        let shared = self.shared();
        if !shared.lease.take(self.pid, self.board.workers(), self.now_ms()) {
            return LOOK_BUSY;
        }
        // Another worker may have delivered between the look and the lease.
        let pause = if self.is_due() { self.deliver() } else { LOOK };
        shared.lease.release(self.pid);
        pause
    }

    fn is_due(&self) -> bool {
        !self.board.outbox().pending(self.id).is_empty() || self.retelling_is_due()
    }

    /// Whether the sink wants to hear again of what fires, and something does.
    fn retelling_is_due(&self) -> bool {
        // A clock that was set back must not stretch the time.
        let waited_ms = self.now_ms().abs_diff(self.shared().retold_ms.load(Relaxed));
        let is_time = |every: Duration| u128::from(waited_ms) >= every.as_millis();
        self.sink.resend_every().is_some_and(is_time) && !self.firing(&[]).is_empty()
    }

    /// What goes on firing and is told to sinks that want to hear it again, unless these notifications tell it better.
    fn firing(&self, notifications: &[Notification]) -> Vec<Alert> {
        if self.sink.resend_every().is_none() {
            return Vec::new();
        }
        let said = |alert: &Alert| {
            notifications
                .iter()
                .map(|notification| &notification.alert)
                .any(|news| news.monitor == alert.monitor && news.kind.incident() == alert.kind.incident())
        };
        let mut alerts = self.alerts(&self.board.outbox().firing(self.id));
        // What belongs to a monitor that no longer exists, or sends elsewhere, has nobody who would end it.
        alerts.retain(|alert| self.monitors.contains(&alert.monitor) && !said(alert));
        alerts
    }

    fn deliver(&self) -> Duration {
        let (shared, outbox) = (self.shared(), self.board.outbox());
        let early = Duration::from_millis(shared.not_before_ms.load(Relaxed).saturating_sub(self.now_ms()));
        // No sink asks for more than the longest pause: a clock that was set back does.
        if !early.is_zero() && early <= retry::LONGEST {
            return early;
        }
        let mut notifications = notifications(self.alerts(&outbox.pending(self.id)));
        if !self.sink.takes_digest() {
            notifications.truncate(1);
        }
        let mut alerts = self.firing(&notifications);
        alerts.extend(notifications.iter().map(|notification| notification.alert.clone()));
        if alerts.is_empty() {
            // Still being written, or taken meanwhile.
            return LOOK_BUSY;
        }
        let told: Vec<u64> = notifications.iter().flat_map(|notification| notification.told.iter().copied()).collect();
        let left_out: Vec<u64> =
            notifications.iter().flat_map(|notification| notification.left_out.iter().copied()).collect();
        let mark = |ids: &[u64], state| ids.iter().for_each(|id| outbox.mark(*id, self.id, state));
        let settle = |state| {
            mark(&told, state);
            mark(&left_out, Delivery::HeldBack);
            shared.left_out.fetch_add(left_out.len() as u64, Relaxed);
            shared.retold_ms.store(self.now_ms(), Relaxed);
        };
        match self.sink.deliver(&alerts) {
            Outcome::Sent => {
                settle(Delivery::Sent);
                shared.sent.fetch_add(told.len() as u64, Relaxed);
                self.note_success(left_out.len());
                self.wait_for(self.sink.min_interval())
            }
            Outcome::Retry { after, error } => {
                shared.retried.fetch_add(told.len() as u64, Relaxed);
                let failures = shared.failures.fetch_add(1, Relaxed);
                let pause = after
                    .unwrap_or_else(|| retry::backoff(u32::try_from(failures).unwrap_or(u32::MAX)))
                    .min(retry::LONGEST);
                if failures == 0 {
                    let text = format!("cannot deliver to {}: {error}; retrying", self.name());
                    self.log.write(Level::Warn, text);
                }
                shared.last_error.store(error.as_bytes());
                self.wait_for(pause)
            }
            Outcome::Permanent { error } => {
                settle(Delivery::Failed);
                shared.failed.fetch_add(told.len() as u64, Relaxed);
                // What is told again and again is refused again and again.
                if !told.is_empty() {
                    let text = format!("{} refused an alert: {error}; it is not sent again", self.name());
                    self.log.write(Level::Error, text);
                }
                shared.last_error.store(error.as_bytes());
                self.wait_for(self.sink.min_interval())
            }
        }
    }

    fn note_success(&self, left_out: usize) {
        let shared = self.shared();
        if shared.failures.swap(0, Relaxed) > 0 {
            let obsolete =
                if left_out > 0 { format!(", {left_out} obsolete ones were left out") } else { String::new() };
            self.log.write(Level::Notice, format!("{} accepts alerts again{obsolete}", self.name()));
        }
        if !shared.last_error.is_empty() {
            shared.last_error.store(b"");
        }
    }

    fn wait_for(&self, pause: Duration) -> Duration {
        self.shared().not_before_ms.store(self.now_ms() + pause.as_millis() as u64, Relaxed);
        pause
    }

    /// The alerts of these numbers that are still there, with the name of this host.
    fn alerts(&self, ids: &[u64]) -> Vec<Alert> {
        let (outbox, step_ms) = (self.board.outbox(), self.board.clock().step_ms());
        let alerts = ids.iter().filter_map(|id| outbox.get(*id)).map(|alert| alert.in_wall_time(step_ms));
        alerts.map(|alert| Alert { host: self.host.clone(), ..alert }).collect()
    }

    fn now_ms(&self) -> u64 {
        self.board.clock().now_ms()
    }

    fn shared(&self) -> &'static SinkBoard {
        self.board.sinks().get(self.id)
    }

    fn name(&self) -> String {
        self.shared().name.load()
    }
}
