//! What a worker left half done that was killed: counts that are wrong, and what was decided and is not told.

use std::sync::atomic::Ordering::Relaxed;

use super::{Judge, Judged, Monitor};
use crate::base::name::NameKey;
use crate::board::settled::{Settled, unsettled};
use crate::board::worker::WorkerBoard;
use crate::model::alert::{Alert, Kind, Status};
use crate::rules::throttle::Throttle;

/// What was to be told longer ago may have made room in the outbox since.
const RECENT_MS: u64 = 60_000;

impl Judge {
    /// Sets right what a worker left wrong which was killed in the middle of a change. Called at each tick by a worker that
    /// says that it judges, so that two of them never do this at once.
    pub fn mend(&self, own: &WorkerBoard, now_ms: u64) {
        if self.board.generation() != self.generation {
            return;
        }
        let (workers, own_pid) = (self.board.workers(), own.pid.load(Relaxed));
        let is_quiet = || workers.is_quiet(own_pid);
        let torn: Vec<&WorkerBoard> = workers.torn().collect();
        if !torn.is_empty() && self.mend_what_is_torn(now_ms, is_quiet) {
            torn.into_iter().for_each(WorkerBoard::end_judging);
        }
        for monitor in &self.monitors {
            monitor.shared.note_steady();
            let judged = Judged { judge: self, monitor, now_ms };
            judged.see_move_through(is_quiet);
            judged.see_switch_through(is_quiet);
        }
    }

    /// Returns whether all is right; `false` asks for another try, since somebody was at it meanwhile.
    fn mend_what_is_torn(&self, now_ms: u64, is_quiet: impl Fn() -> bool + Copy) -> bool {
        let windows = self.monitors.iter().filter_map(|monitor| self.board.window(monitor.shared));
        if !windows.fold(true, |right, window| window.mend(is_quiet) & right) {
            return false;
        }
        let own = |kind: &Kind| kind.incident() == *kind;
        let of_monitor = |monitor| Kind::ALL.into_iter().filter(own).map(move |kind| (monitor, kind));
        let throttles = self.monitors.iter().flat_map(of_monitor);
        let seen: Vec<_> = throttles.map(|(at, kind)| (at, kind, at.shared.incident(kind).throttle.load())).collect();
        // Who lives and came to one of these has published by now; who begins after this changes it.
        if !is_quiet() {
            return false;
        }
        seen.into_iter()
            .for_each(|(monitor, kind, throttle)| self.owe_what_was_not_published(monitor, kind, throttle, now_ms));
        true
    }

    /// Where what was told and what the outbox holds differ, the message died with its worker between the two. The next
    /// tick tells it.
    fn owe_what_was_not_published(&self, monitor: &Monitor, kind: Kind, throttle: Throttle, now_ms: u64) {
        let outbox = self.board.outbox();
        let last = outbox.last_word(NameKey::of(monitor.settings.name.as_bytes()), kind);
        let is_recent = now_ms.saturating_sub(throttle.last_told_ms()) <= RECENT_MS;
        let owed = match last {
            // Somebody waits for the end.
            Some((id, Status::Firing, _)) if !throttle.told => {
                if !self.sinks.iter().any(|sink| outbox.delivery(id, *sink).is_told()) {
                    return;
                }
                throttle.without_end()
            }
            _ if !(throttle.told && throttle.raised && is_recent) => return,
            Some((_, Status::Firing, told_ms)) if told_ms == throttle.last_told_ms() => return,
            Some((_, Status::Firing, _)) => throttle.told_never(),
            _ => throttle.without_beginning(),
        };
        monitor.shared.incident(kind).throttle.replace(throttle, owed);
    }
}

impl Judged<'_> {
    /// Sees a change of the active pool through that was ordered of a worker which was killed before all was told.
    fn see_switch_through(&self, is_quiet: impl Fn() -> bool) {
        let shared = self.monitor.shared;
        if self.monitor.rollout.is_some_and(|rollout| !rollout.is_settled()) {
            // Whoever leads looks first what of it is told.
            return;
        }
        let since_ms = shared.active_settled.load().at_ms;
        let settled = || shared.active_settled.load().pool;
        let Some((from, to)) = unsettled(|| shared.active(), settled, is_quiet) else { return };
        let (name, moved_ms) = (shared.pool(to).name.load(), shared.serving_settled.load().at_ms);
        let says_so = |alert: Alert| match alert.kind {
            Kind::Switched => alert.to.name == name,
            // An operator can order a way back without any rollout.
            Kind::Rollback => alert.time_ms == moved_ms,
            _ => false,
        };
        if from.is_known() && to.is_known() && !self.alerts_since(since_ms).any(says_so) {
            self.monitor.rollout.into_iter().for_each(|rollout| rollout.remember_before(from, self.now_ms));
            self.tell_switch(from, to);
        }
        shared.active_settled.store(Settled { pool: to, at_ms: self.now_ms });
    }
}
