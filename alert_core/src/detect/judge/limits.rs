//! What users get: the outage, and the limits over the window.

use std::sync::atomic::Ordering::Relaxed;

use super::verdict::Judged;
use crate::board::window::Window;
use crate::model::alert::Kind;
use crate::model::event::Event;
use crate::model::outcome::Outcome;
use crate::model::success::Success;
use crate::rules::limit::Standing;
use crate::rules::outage;
use crate::rules::throttle::{Signal, Throttle};

/// What a look at the limits may tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// What a request changed.
    Request,
    /// What time changes as well: reminders, and what was held back.
    Tick,
}

impl Judged<'_> {
    /// Steps the outage by a request.
    pub(super) fn outage(&self, event: &Event, outcome: Outcome) -> bool {
        let Some(confirm) = self.monitor.settings.outage else { return false };
        let shared = self.monitor.shared;
        if outcome.is_answer() {
            return shared.outage.word() != 0 && self.step_outage(true, event.header_ms, confirm);
        }
        // What began before somebody was answered (an old download that breaks off, a hung request among others that are
        // answered) says nothing about everybody.
        event.began_ms >= shared.answered_ms() && self.step_outage(false, event.time_ms, confirm)
    }

    /// Steps the outage by answers. Where everything works, they change nothing.
    #[inline]
    pub(super) fn outage_answers(&self, run: &[Success]) -> bool {
        if self.monitor.shared.outage.word() == 0 {
            return false;
        }
        let Some(confirm) = self.monitor.settings.outage else { return false };
        run.iter().fold(false, |told, answer| self.step_outage(true, answer.header_ms(), confirm) | told)
    }

    fn step_outage(&self, worked: bool, time_ms: u64, confirm: u32) -> bool {
        let (old, new) = self.monitor.shared.outage.update(|state| state.step(worked, time_ms, confirm));
        if !new.confirmed || old.confirmed {
            return false;
        }
        if self.judge.is_alone(self.now_ms) {
            // One worker judges in the order in which requests end.
            return self.commit_outage();
        }
        self.monitor.confirmed.store(true, Relaxed);
        false
    }

    /// Says that nothing works, or that it does again, if that still is confirmed and no other worker was faster.
    pub(super) fn commit_outage(&self) -> bool {
        let (old, new) = self.monitor.shared.outage.update(|state| state.commit().unwrap_or(state));
        match (old.down, new.down) {
            (false, true) => self.signal(Kind::Outage, Signal::Raised, None),
            (true, false) => self.signal(Kind::Outage, Signal::Cleared, None),
            _ => false,
        }
    }

    /// Reminds of an outage that goes on.
    pub(super) fn outage_at_rest(&self) -> bool {
        let shared = self.monitor.shared;
        let watched = self.monitor.settings.outage.is_some();
        // A restart or a reload may have come between the state and what was told of it.
        let signal = match (watched, shared.is_raised(Kind::Outage), shared.outage.load()) {
            (false, ..) => Signal::Unwatched,
            (true, true, outage::State { down: false, .. }) => Signal::Cleared,
            // As may the end of a worker that was about to tell it.
            (true, false, outage::State { down: true, .. }) => Signal::Raised,
            _ => Signal::Unchanged,
        };
        self.signal(Kind::Outage, signal, None)
    }

    /// Holds the window against the limits. A rule that a new configuration has switched off ends what it told.
    #[inline]
    pub(super) fn limits(&self, window: &Window<'_>, look: Look) -> bool {
        let settings = &self.monitor.settings;
        let size = window.size();
        let mut told = match settings.error_rate {
            Some(limit) => self.limit(Kind::ErrorRate, window, look, || limit.judge(window.failed(), size)),
            None => self.switched_off(Kind::ErrorRate, look),
        };
        told |= match settings.retry_rate {
            // While failed over, retries are explained by what was told already: nothing new, and no reminder.
            Some(limit) if self.monitor.shared.is_failed_over() => {
                self.limit(Kind::RetryRate, window, Look::Request, || match limit.judge(window.retried(), size) {
                    Standing::Above => Standing::Hysteresis,
                    standing => standing,
                })
            }
            Some(limit) => self.limit(Kind::RetryRate, window, look, || limit.judge(window.retried(), size)),
            None => self.switched_off(Kind::RetryRate, look),
        };
        told |= match settings.abandon_rate {
            Some(limit) => self.limit(Kind::AbandonRate, window, look, || limit.judge(window.abandoned(), size)),
            None => self.switched_off(Kind::AbandonRate, look),
        };
        told | match settings.latency {
            Some(limit) => self.limit(Kind::Latency, window, look, || limit.judge(&window.counts(), size)),
            None => self.switched_off(Kind::Latency, look),
        }
    }

    #[inline]
    fn switched_off(&self, kind: Kind, look: Look) -> bool {
        look == Look::Tick && self.signal(kind, Signal::Unwatched, None)
    }

    #[inline]
    fn limit(&self, kind: Kind, window: &Window<'_>, look: Look, standing: impl Fn() -> Standing) -> bool {
        // In this order: a count from before another worker told would pass for the end of what it told.
        let throttle = self.monitor.shared.incident(kind).throttle.load();
        let now = standing();
        if throttle == Throttle::default() && now != Standing::Above {
            // Never broken: by far the most frequent case.
            return false;
        }
        let signal = |standing| match (throttle.raised, standing) {
            (false, Standing::Above) => Some(Signal::Raised),
            (true, Standing::Below) if window.may_resolve() => Some(Signal::Cleared),
            _ => (look == Look::Tick).then_some(Signal::Unchanged),
        };
        match signal(now) {
            None => false,
            Some(Signal::Unchanged) => self.signal(kind, Signal::Unchanged, None),
            // What is too old leaves before anything is told.
            Some(_) => {
                self.expire(window);
                signal(standing()).is_some_and(|signal| self.signal(kind, signal, None))
            }
        }
    }

    /// Empties the window of what is too old.
    pub(super) fn expire(&self, window: &Window<'_>) {
        if let Some(max_age_ms) = self.monitor.settings.max_age_ms {
            window.expire(self.now_ms.saturating_sub(max_age_ms));
        }
    }
}
