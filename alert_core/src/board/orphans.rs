//! What a configuration leaves without anybody who watches it: alerts that fire of monitors that are no longer there. They
//! end when it comes into force, in words that are true, for those who were told.

use crate::board::outbox::Delivery;
use crate::board::{Board, Plan};
use crate::settings::Settings;

impl Board {
    /// Ends what fires of monitors that this configuration, which is in force, does not have.
    pub(super) fn end_orphans(&self, plan: &Plan, settings: &Settings) {
        let has = |name: &str| settings.monitors.iter().any(|monitor| monitor.name == name);
        let sinks: Vec<_> = plan.sinks().iter().copied().chain(plan.poll()).collect();
        let now_ms = self.clock().now_ms();
        for (alert, told) in self.outbox().firing_alerts(&sinks).into_iter().filter(|(alert, _)| !has(&alert.monitor)) {
            self.outbox().publish(&alert.no_longer_watched(now_ms), &told, Delivery::Pending);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::tests::settings;
    use crate::model::alert::{Alert, Kind, Status};
    use crate::sink::settings::{SinkSettings, SystemSource};

    fn sink(name: &str) -> SinkSettings {
        let mut sink = SinkSettings::parse(&["slack", "http://127.0.0.1:9/"], &SystemSource).expect("a sink");
        sink.name = name.into();
        sink
    }

    fn configure(board: Board, settings: &Settings) -> Plan {
        board.activate(board.reserve(settings, 0).expect("room"), settings)
    }

    #[test]
    fn what_fires_of_a_monitor_that_is_removed_ends_once_for_those_who_were_told() {
        let board = Board::open(Region::private(1 << 22), 1_790_000_000_000).expect("a board");
        let mut settings = settings(&["pool blue 10.0.0.1:80"]);
        settings.sinks = ["slack", "teams"].map(sink).to_vec();
        let plan = configure(board, &settings);
        let [slack, teams] = [0, 1].map(|at| plan.sinks()[at]);
        let gone = |kind| Alert { monitor: "gone".into(), kind, ..crate::model::alert::tests::failover() };
        let outbox = board.outbox();
        let told = outbox.publish(&gone(Kind::Failover), &[slack], Delivery::Pending);
        outbox.mark(told, slack, Delivery::Sent);
        outbox.publish(&gone(Kind::ErrorRate), &[slack], Delivery::HeldBack);
        let here = Alert { monitor: settings.monitors[0].name.clone(), ..gone(Kind::Outage) };
        outbox.publish(&here, &[slack], Delivery::Sent);

        configure(board, &settings);
        configure(board, &settings);
        assert!(outbox.pending(teams).is_empty(), "it was never told");
        let [end] = outbox.pending(slack)[..] else { panic!("{:?}", outbox.pending(slack)) };
        let end = outbox.get(end).expect("an alert");
        assert_eq!((end.kind, end.status, end.monitor.as_str()), (Kind::Failback, Status::Resolved, "gone"));
        assert_eq!(end.headline(), "Failover is no longer watched — its monitor was removed");
    }
}
