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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::outbox::Delivery;
    use crate::board::region::Region;
    use crate::model::alert::Kind;
    use crate::model::alert::tests::failover;

    #[test]
    fn the_first_message_comes_back_with_what_it_told_until_the_incident_ends() {
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let sink = board.sinks().assign(&[("slack_bot", 1)], |_| ()).expect("a place")[0];
        let settings = Settings::default();
        let threads = BoardThreads { board, sink, settings: &settings };
        let publish = |alert: Alert| {
            let id = board.outbox().publish(&alert, &[sink], Delivery::Pending);
            board.outbox().get(id).expect("it is there")
        };
        let fired = publish(failover());
        let reminder = publish(Alert { reminder: true, ..failover() });
        assert_eq!(threads.first(&fired), None);
        threads.begin(&fired, 77);
        let over = publish(Alert { kind: Kind::Failback, status: Status::Resolved, ..failover() });
        for alert in [&reminder, &over] {
            let thread = threads.first(alert).expect("a thread");
            assert_eq!((thread.message, thread.began.map(|began| began.id)), (77, Some(fired.id)));
        }
        let other = publish(Alert { kind: Kind::ErrorRate, ..failover() });
        assert_eq!(threads.first(&other), None, "another incident");
        threads.end(&over);
        assert_eq!(threads.first(&over), None);
    }
}
