//! Several alerts in one message, for services that people read: a line each, and the details where there is room.
//!
//! A service says how many alerts it can tell in one message so that each has its share of the room. What is more waits
//! for the next message, so nothing is left out.

use crate::base::clock::rfc3339;
use crate::model::alert::Alert;

/// The first line of a digest.
pub(super) fn headline(alerts: &[Alert]) -> String {
    format!("{} alerts", alerts.len())
}

/// What stands behind the headline of an alert in a digest: its monitor and when it was decided.
pub(super) fn origin(alert: &Alert) -> String {
    // Whole seconds: the milliseconds are of use to machines only.
    let time = rfc3339(alert.time_ms);
    format!("({}, {}Z)", alert.monitor, time.split('.').next().unwrap_or_default())
}

/// The details of an alert in a digest: those that its origin and the end of the digest do not say.
pub(super) fn details(alert: &Alert) -> String {
    let rows = alert.details().into_iter().filter(|(label, _)| !["Monitor", "Instance", "Time"].contains(label));
    rows.map(|(label, value)| format!("{label}: {value}")).collect::<Vec<_>>().join("\n")
}

/// How many messages the alerts of a digest make obsolete, where they do.
pub(super) fn obsolete(alerts: &[Alert]) -> Option<String> {
    let count: u64 = alerts.iter().map(|alert| u64::from(alert.missed.left_out)).sum();
    (count > 0).then(|| format!("{count} earlier messages are obsolete and left out"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::Missed;
    use crate::model::alert::tests::failover;

    #[test]
    fn what_is_obsolete_is_counted() {
        let missed = Missed { left_out: 3, ..Missed::default() };
        let alerts = [failover(), Alert { missed, ..failover() }];
        assert_eq!(obsolete(&alerts).as_deref(), Some("3 earlier messages are obsolete and left out"));
        assert_eq!(obsolete(&alerts[..1]), None);
    }

    #[test]
    fn the_origin_names_monitor_and_second() {
        assert_eq!(origin(&failover()), "(app, 2026-09-21T14:13:20Z)");
        assert!(!details(&failover()).contains("Monitor:"));
    }
}
