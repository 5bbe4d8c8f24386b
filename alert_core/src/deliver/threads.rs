//! The first messages of incidents, as a sink's place on the board keeps them for all workers and over restarts.

use crate::base::name::NameKey;
use crate::board::Board;
use crate::board::sink::SinkId;
use crate::model::alert::{Alert, Status};
use crate::settings::Settings;
use crate::sink::{Thread, Threads};

/// Those of one sink.
pub(super) struct BoardThreads<'a> {
    pub(super) board: Board,
    pub(super) sink: SinkId,
    pub(super) settings: &'a Settings,
}

impl BoardThreads<'_> {
    /// The last alert before this one that told that its incident began.
    fn beginning(&self, alert: &Alert) -> Option<Alert> {
        let same = |other: &Alert| {
            other.id < alert.id
                && other.monitor == alert.monitor
                && other.kind.incident() == alert.kind.incident()
                && other.status == Status::Firing
                && !other.reminder
        };
        let began = self.board.outbox().alerts().find(same)?.in_wall_time(self.board.clock().step_ms());
        Some(self.settings.complete(began))
    }
}

impl Threads for BoardThreads<'_> {
    fn first(&self, alert: &Alert) -> Option<Thread> {
        let message = self.board.sinks().get(self.sink).reach.thread(incident(alert))?;
        Some(Thread { message, began: self.beginning(alert) })
    }

    fn begin(&self, alert: &Alert, message: u64) {
        self.board.sinks().get(self.sink).reach.begin_thread(incident(alert), message);
    }

    fn end(&self, alert: &Alert) {
        self.board.sinks().get(self.sink).reach.end_thread(incident(alert));
    }
}

/// The key of an incident among those of a board. Two that share one by chance would share a thread.
fn incident(alert: &Alert) -> NameKey {
    NameKey((NameKey::of(alert.monitor.as_bytes()).0.rotate_left(8) ^ alert.kind.incident() as u64).max(1))
}
