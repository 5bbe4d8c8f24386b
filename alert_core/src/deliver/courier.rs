//! A courier: takes what waits for one sink from the outbox and gets it delivered.
//!
//! Each sink has its own, so that one which hangs delays no other. Of all workers one at a time delivers for a sink (a
//! lease in the board), in the order of decision. How a delivery stands is kept in the board too, so that any worker can
//! go on where another stopped. Only workers of the configuration in force deliver: those that drain know its sinks as
//! they were.

use std::sync::Arc;
use std::sync::atomic::{Ordering::Relaxed, Ordering::SeqCst, fence};
use std::thread;
use std::time::Duration;

use crate::base::log::Level;
use crate::base::on_demand::Life;
use crate::board::Board;
use crate::board::outbox::Delivery;
use crate::board::sink::{ReachBoard, SinkBoard, SinkId};
use crate::deliver::coalesce::{Notification, notifications, put_urgent_first};
use crate::deliver::threads::BoardThreads;
use crate::model::alert::Alert;
use crate::settings::Settings;
use crate::sink::{Outcome, SINKS_MAX, Sink, retry};

/// The longest pause that a courier waits for. After a longer one the next look of some worker starts another.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Turns that can be taken at one URL before one that is free.
const QUEUE_MAX: u32 = SINKS_MAX as u32;
/// How long to wait for an alert that is still being written.
const UNFINISHED: Duration = Duration::from_millis(10);

/// Everything that the courier for one sink works with.
pub(super) struct Courier {
    pub(super) board: Board,
    pub(super) sink: Arc<Sink>,
    pub(super) id: SinkId,
    /// The first sink with the same URL, whose turns count for all of them.
    pub(super) pace: SinkId,
    /// The monitors whose alerts go to this sink.
    pub(super) monitors: Vec<String>,
    pub(super) generation: u64,
    pub(super) pid: u32,
    pub(super) settings: Arc<Settings>,
    pub(super) life: Life,
}

impl Courier {
    /// Whether there is something to deliver now, or soon enough to wait for it.
    pub(super) fn is_due(&self) -> bool {
        self.board.generation() == self.generation
            && self.early() <= WAIT_MAX
            && (self.board.outbox().waits(self.id) || self.retelling_is_due())
    }

    /// Takes the right to deliver; `false` while another living worker has it.
    pub(super) fn take_lease(&self) -> bool {
        self.shared().lease.take(self.pid, self.board.workers(), self.now_ms())
    }

    pub(super) fn release_lease(&self) {
        self.shared().lease.release(self.pid);
    }

    /// Delivers until nothing is due, with the lease that was taken before, and gives it back.
    pub(super) fn run(&self) {
        loop {
            let what = format!("the courier for {}", self.name());
            if self.life.log.guard(what, || self.deliver_all()).is_none() {
                self.wait_for(WAIT_MAX);
            }
            self.release_lease();
            // Another worker may have seen the lease taken and left its alert to this one.
            fence(SeqCst);
            if self.life.stop.load(Relaxed) || !self.is_due() || !self.take_lease() {
                break;
            }
        }
    }

    fn deliver_all(&self) {
        let mut turn_ms = None;
        while self.is_due() {
            let stopping = self.life.stop.load(Relaxed);
            let pause = self.step(&mut turn_ms);
            if stopping || pause > WAIT_MAX {
                break;
            }
            if !pause.is_zero() && !self.life.stop.load(Relaxed) {
                thread::park_timeout(pause);
            }
        }
    }

    /// Sends what waits, if it is time, and returns how long to wait before the next step.
    fn step(&self, turn_ms: &mut Option<u64>) -> Duration {
        let now_ms = self.now_ms();
        let early = self.early();
        if !early.is_zero() {
            return early;
        }
        let interval_ms = self.sink.min_interval().as_millis() as u64;
        let turn = *turn_ms.get_or_insert_with(|| self.pace().take_turn(now_ms, interval_ms));
        if turn > now_ms {
            // A turn that was taken is waited for, or it would be lost; but a reload must not wait.
            return Duration::from_millis(turn - now_ms).min(WAIT_MAX);
        }
        *turn_ms = None;
        let pause = self.deliver();
        // A slow service counts from its answer on.
        self.pace().not_before(self.now_ms() + interval_ms);
        pause
    }

    /// How long this sink, or its URL, wants to be left alone.
    fn early(&self) -> Duration {
        let left = |until_ms: u64| Duration::from_millis(until_ms.saturating_sub(self.now_ms()));
        let own = left(self.shared().not_before_ms.load(Relaxed));
        // A queue of turns is no longer than all sinks: what is beyond it was asked for by the service.
        let of_url =
            Some(left(self.pace().next_turn_ms())).filter(|pause| *pause > self.sink.min_interval() * QUEUE_MAX);
        own.max(of_url.unwrap_or_default())
    }

    /// Whether the sink wants to hear again of what fires, and something does.
    fn retelling_is_due(&self) -> bool {
        let waited_ms = self.now_ms().saturating_sub(self.shared().retold_ms.load(Relaxed));
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
        let (shared, reach, outbox) = (self.shared(), &self.shared().reach, self.board.outbox());
        let mut notifications = notifications(self.alerts(&outbox.pending(self.id)));
        put_urgent_first(&mut notifications, self.sink.digests());
        let waiting: Vec<Alert> = notifications.iter().map(|notification| notification.alert.clone()).collect();
        // What has no room waits for the next message.
        notifications.truncate(self.sink.fitting(&waiting));
        let mut alerts = self.firing(&notifications);
        let resends = !alerts.is_empty();
        alerts.extend(notifications.iter().map(|notification| notification.alert.clone()));
        if alerts.is_empty() {
            return UNFINISHED;
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
        let count_resend = |counter: &std::sync::atomic::AtomicU64| {
            counter.fetch_add(u64::from(resends), Relaxed);
        };
        let threads = BoardThreads { board: self.board, sink: self.id, settings: &self.settings };
        match self.sink.deliver_in(&alerts, &threads) {
            Outcome::Sent => {
                settle(Delivery::Sent);
                shared.sent.fetch_add(told.len() as u64, Relaxed);
                count_resend(&reach.resent);
                reach.last_success_ms.store(self.now_ms(), Relaxed);
                self.note_success(left_out.len());
                Duration::ZERO
            }
            Outcome::Retry { after, error } => {
                shared.retried.fetch_add(told.len() as u64, Relaxed);
                count_resend(&reach.resends_failed);
                let failures = shared.failures.fetch_add(1, Relaxed);
                if failures == 0 {
                    let text = format!("cannot deliver to {}: {error}; retrying", self.name());
                    self.life.log.write(Level::Warn, text);
                }
                shared.last_error.store(error.as_bytes());
                self.wait_for(self.pause(after, u32::try_from(failures).unwrap_or(u32::MAX)))
            }
            Outcome::Permanent { error } => {
                settle(Delivery::Failed);
                shared.failed.fetch_add(told.len() as u64, Relaxed);
                count_resend(&reach.resends_failed);
                // What is told again and again is refused again and again.
                if !told.is_empty() {
                    let text = format!("{} refused an alert: {error}; it is not sent again", self.name());
                    self.life.log.write(Level::Error, text);
                }
                shared.last_error.store(error.as_bytes());
                Duration::ZERO
            }
        }
    }

    /// How long to wait after this many earlier failures in a row. What a service asks for is asked of all who send to its
    /// URL.
    fn pause(&self, asked: Option<Duration>, failures: u32) -> Duration {
        match asked {
            Some(asked) => {
                let pause = retry::at_least(asked, failures);
                self.pace().not_before(self.now_ms() + pause.as_millis() as u64);
                pause
            }
            // Who forgets what fires must not be left alone for longer than it is told again anyway.
            None => retry::backoff(failures).min(self.sink.resend_every().unwrap_or(Duration::MAX)),
        }
    }

    fn note_success(&self, left_out: usize) {
        let shared = self.shared();
        if shared.failures.swap(0, Relaxed) > 0 {
            let obsolete =
                if left_out > 0 { format!(", {left_out} obsolete ones were left out") } else { String::new() };
            self.life.log.write(Level::Notice, format!("{} accepts alerts again{obsolete}", self.name()));
        }
        if !shared.last_error.is_empty() {
            shared.last_error.store(b"");
        }
    }

    fn wait_for(&self, pause: Duration) -> Duration {
        self.shared().not_before_ms.store(self.now_ms() + pause.as_millis() as u64, Relaxed);
        pause
    }

    /// The alerts of these numbers that are still there, with what the configuration adds.
    fn alerts(&self, ids: &[u64]) -> Vec<Alert> {
        let (outbox, step_ms) = (self.board.outbox(), self.board.clock().step_ms());
        let alerts = ids.iter().filter_map(|id| outbox.get(*id)).map(|alert| alert.in_wall_time(step_ms));
        alerts.map(|alert| self.settings.complete(alert)).collect()
    }

    fn now_ms(&self) -> u64 {
        self.board.clock().now_ms()
    }

    fn shared(&self) -> &'static SinkBoard {
        self.board.sinks().get(self.id)
    }

    fn pace(&self) -> &'static ReachBoard {
        &self.board.sinks().get(self.pace).reach
    }

    pub(super) fn name(&self) -> String {
        self.shared().name.load()
    }
}
