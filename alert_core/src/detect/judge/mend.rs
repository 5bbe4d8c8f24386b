//! What a worker left half done that was killed: counts that are wrong, and an alert that was decided and never put into the
//! outbox.

use super::{Judge, Monitor};
use crate::base::name::NameKey;
use crate::board::worker::WorkerBoard;
use crate::model::alert::{Kind, Status};
use crate::rules::throttle::Throttle;

/// What was to be told longer ago may have made room in the outbox since.
const RECENT_MS: u64 = 60_000;

impl Judge {
    /// Sets right what a worker left wrong which was killed in the middle of a change. Called at each tick by a worker that
    /// says that it judges, so that two of them never do this at once.
    pub fn mend(&self, own: &WorkerBoard, now_ms: u64) {
        let workers = self.board.workers();
        let torn: Vec<&WorkerBoard> = workers.torn().collect();
        if torn.is_empty() || self.board.generation() != self.generation {
            return;
        }
        let is_quiet = || workers.is_quiet(own);
        let windows = self.monitors.iter().filter_map(|monitor| self.board.window(monitor.shared));
        if windows.fold(true, |right, window| window.mend(is_quiet) & right) {
            for monitor in &self.monitors {
                Kind::ALL.into_iter().for_each(|kind| self.owe_what_was_not_published(monitor, kind, now_ms, is_quiet));
            }
            torn.into_iter().for_each(WorkerBoard::end_judging);
        }
    }

    /// Where what was told and what the outbox holds differ, the message died with its worker between the two. The next
    /// tick tells it.
    fn owe_what_was_not_published(&self, monitor: &Monitor, kind: Kind, now_ms: u64, is_quiet: impl Fn() -> bool) {
        let cell = &monitor.shared.incident(kind).throttle;
        let throttle = cell.load();
        if throttle == Throttle::default() || now_ms.saturating_sub(throttle.last_told_ms()) > RECENT_MS {
            return;
        }
        let last = self.board.outbox().last_word(NameKey::of(monitor.settings.name.as_bytes()), kind);
        let owed = match (throttle.told, last == Some(Status::Firing)) {
            (true, false) if throttle.raised => throttle.without_beginning(),
            (false, true) => throttle.without_end(),
            _ => return,
        };
        // Whoever lives publishes before it ends a change.
        if is_quiet() {
            cell.replace(throttle, owed);
        }
    }
}
