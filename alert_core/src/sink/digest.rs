//! Several alerts in one message, for services that people read: one line each.

use crate::base::clock::rfc3339;
use crate::model::alert::Alert;
use crate::sink::text::length;

/// Lines in one digest at most. After a long outage the newest tell the most, so older ones make room.
const LINES_MAX: usize = 40;

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

/// The lines of the newest alerts, oldest first, that fit into a limit together with a line feed each.
/// Where some do not, or are obsolete, the first line says how many.
pub(super) fn lines(alerts: &[Alert], limit: usize, line: impl Fn(&Alert) -> String) -> Vec<String> {
    const NOTE_ROOM: usize = 40;
    let mut room = limit.saturating_sub(NOTE_ROOM);
    let mut lines: Vec<String> = alerts
        .iter()
        .rev()
        .take(LINES_MAX)
        .map(line)
        .take_while(|line| {
            let needed = length(line) + 1;
            let fits = needed <= room;
            room = room.saturating_sub(needed);
            fits
        })
        .collect();
    let obsolete: usize = alerts.iter().map(|alert| alert.missed.left_out as usize).sum();
    let left_out = alerts.len() - lines.len() + obsolete;
    if left_out > 0 {
        lines.push(format!("{left_out} earlier ones are left out"));
    }
    lines.reverse();
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::Missed;
    use crate::model::alert::tests::failover;

    #[test]
    fn the_newest_stay_where_not_all_fit() {
        let alerts: Vec<Alert> = (1..=100).map(|id| Alert { id, ..failover() }).collect();
        let lines = lines(&alerts, 100, |alert| format!("number {}", alert.id));
        assert_eq!(lines.last().map(String::as_str), Some("number 100"));
        assert_eq!(lines[0], "95 earlier ones are left out");
        assert!(lines.iter().map(|line| length(line) + 1).sum::<usize>() <= 100);
    }

    #[test]
    fn what_is_obsolete_is_counted() {
        let missed = Missed { left_out: 3, ..Missed::default() };
        let alerts = [failover(), Alert { missed, ..failover() }];
        assert_eq!(lines(&alerts, 1000, |_| "line".into()), ["3 earlier ones are left out", "line", "line"]);
    }

    #[test]
    fn the_origin_names_monitor_and_second() {
        assert_eq!(origin(&failover()), "(app, 2026-09-21T14:13:20Z)");
    }
}
