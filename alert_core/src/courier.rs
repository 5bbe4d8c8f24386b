//! The courier threads of a worker, one for each sink: take alerts from the outbox and get them delivered.
//!
//! One thread a sink, so that one which hangs delays no other. Of all workers one at a time delivers for a sink (a lease
//! in the board), in the order of decision. How a delivery stands is kept in the board too, so that any worker can go on
//! where another stopped.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crate::alert::Alert;
use crate::board::Board;
use crate::board::sink::{SinkBoard, SinkId};
use crate::clock::now_ms;
use crate::log::{Level, Log};
use crate::outbox::Delivery;
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
        let waiting = self.board.outbox().pending(self.id);
        if waiting.is_empty() {
            return LOOK;
        }
        let shared = self.shared();
        if !shared.try_lease(self.pid, self.board.workers(), now_ms()) {
            return LOOK_BUSY;
        }
        // Another worker may have delivered between the look and the lease.
        let pause = match self.board.outbox().pending(self.id) {
            waiting if waiting.is_empty() => LOOK,
            waiting => self.deliver(&waiting),
        };
        shared.release(self.pid);
        pause
    }

    fn deliver(&self, waiting: &[u64]) -> Duration {
        let (shared, outbox) = (self.shared(), self.board.outbox());
        let early_ms = shared.not_before_ms.load(Relaxed).saturating_sub(now_ms());
        if early_ms > 0 {
            // The clock may have been set back since; no sink asks for more than this.
            return Duration::from_millis(early_ms).min(retry::LONGEST);
        }
        let batch = if self.sink.takes_digest() { waiting } else { &waiting[..1] };
        let alerts: Vec<Alert> =
            batch.iter().filter_map(|id| outbox.get(*id)).map(|alert| self.signed(alert)).collect();
        if alerts.is_empty() {
            return Duration::ZERO;
        }
        let outcome = self.sink.deliver(&alerts);
        let mark = |state| alerts.iter().for_each(|alert| outbox.mark(alert.id, self.id, state));
        match outcome {
            Outcome::Sent => {
                mark(Delivery::Sent);
                shared.sent.fetch_add(alerts.len() as u64, Relaxed);
                self.note_success();
                self.wait_for(self.sink.min_interval())
            }
            Outcome::Retry { after, error } => {
                shared.retried.fetch_add(alerts.len() as u64, Relaxed);
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
                mark(Delivery::Failed);
                shared.failed.fetch_add(alerts.len() as u64, Relaxed);
                let text = format!("{} refused an alert: {error}; it is not sent again", self.name());
                self.log.write(Level::Error, text);
                shared.last_error.store(error.as_bytes());
                self.wait_for(self.sink.min_interval())
            }
        }
    }

    fn note_success(&self) {
        let shared = self.shared();
        if shared.failures.swap(0, Relaxed) > 0 {
            self.log.write(Level::Notice, format!("{} accepts alerts again", self.name()));
        }
        if !shared.last_error.is_empty() {
            shared.last_error.store(b"");
        }
    }

    fn wait_for(&self, pause: Duration) -> Duration {
        self.shared().not_before_ms.store(now_ms() + pause.as_millis() as u64, Relaxed);
        pause
    }

    fn signed(&self, alert: Alert) -> Alert {
        Alert { host: self.host.clone(), ..alert }
    }

    fn shared(&self) -> &'static SinkBoard {
        self.board.sinks().get(self.id)
    }

    fn name(&self) -> String {
        self.shared().name.load()
    }
}
