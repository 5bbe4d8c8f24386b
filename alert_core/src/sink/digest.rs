//! Several alerts in one message, for services that people read: the first line of each, whole, and as much of the details as
//! there is room for.
//!
//! A service says how many alerts it can name in one message. What is more waits for the next one, so nothing is left out.

use crate::base::clock::rfc3339;
use crate::model::alert::Alert;

/// Less room than this is not worth any details.
const DETAILS_MIN: usize = 20;
/// A limit of our own: nobody reads more lines.
pub(super) const ALERTS_MAX: usize = 40;

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

/// The first lines of a text with several alerts.
pub(super) fn head(alerts: &[Alert]) -> String {
    [headline(alerts)].into_iter().chain(obsolete(alerts)).collect::<Vec<_>>().join("\n")
}

/// How many of these alerts, from the first on, have room for their first lines, given how long each is.
pub(super) fn fitting(alerts: &[Alert], room: usize, line: impl Fn(&Alert) -> usize) -> usize {
    let mut left = room;
    let fits = |alert: &&Alert| match left.checked_sub(line(alert)) {
        Some(rest) => {
            left = rest;
            true
        }
        None => false,
    };
    alerts.iter().take(ALERTS_MAX).take_while(fits).count()
}

/// The room that first lines leave for details: each alert has the same share of what those before it left.
pub(super) struct Room {
    left: usize,
    sharers: usize,
}

impl Room {
    pub(super) fn new(left: usize, sharers: usize) -> Room {
        Room { left, sharers }
    }

    /// The details of the next alert within its share, by a function that makes a text fit into so much; empty where there
    /// is next to no room.
    pub(super) fn details(
        &mut self,
        alert: &Alert,
        fit: impl Fn(&str, usize) -> String,
        length: fn(&str) -> usize,
    ) -> String {
        let share = self.left / self.sharers.max(1);
        self.sharers = self.sharers.saturating_sub(1);
        if share < DETAILS_MIN {
            return String::new();
        }
        let text = fit(&details(alert), share);
        self.left = self.left.saturating_sub(length(&text));
        text
    }
}

/// How a service that takes nothing but text is written to.
pub(super) struct Style {
    /// The longest text.
    pub(super) max: usize,
    /// What stands around what is bold.
    pub(super) bold: [&'static str; 2],
    /// Makes of any text one that shows as it is, within a limit.
    pub(super) escape: fn(&str, usize) -> String,
    /// The length of a text, as the service counts.
    pub(super) length: fn(&str) -> usize,
}

/// Of one detail in a message about one alert.
const VALUE_MAX: usize = 300;
/// Of the first lines of a text with several alerts.
const HEAD_MAX: usize = 100;

impl Style {
    /// The text for one alert.
    pub(super) fn single(&self, alert: &Alert) -> String {
        let [begin, end] = self.bold;
        // What stands around the headline takes less.
        let headline = (self.escape)(&alert.headline(), self.max - HEAD_MAX);
        let mut text = format!("{} {begin}{headline}{end}", alert.symbol());
        for (label, value) in alert.details() {
            let row = format!("\n{begin}{label}:{end} {}", (self.escape)(&value, VALUE_MAX));
            // Rows are in the order of their weight, so the last ones make room.
            if (self.length)(&text) + (self.length)(&row) <= self.max {
                text.push_str(&row);
            }
        }
        text
    }

    /// The text for several alerts below these first lines.
    pub(super) fn several(&self, head: &str, alerts: &[Alert]) -> String {
        let lines: Vec<String> = alerts.iter().map(|alert| self.line(alert)).collect();
        let taken = lines.iter().map(|line| (self.length)(line)).sum::<usize>() + (self.length)(head);
        // Each of the details begins with a line feed.
        let mut room = Room::new(self.max.saturating_sub(taken + alerts.len()), alerts.len());
        let mut text = head.to_owned();
        for (alert, line) in alerts.iter().zip(&lines) {
            text.push_str(line);
            let details = room.details(alert, self.escape, self.length);
            if !details.is_empty() {
                text.push('\n');
                text.push_str(&details);
            }
        }
        text.trim_start().to_owned()
    }

    /// How many of these alerts, from the first on, one text names.
    pub(super) fn fitting(&self, alerts: &[Alert]) -> usize {
        fitting(alerts, self.max - HEAD_MAX, |alert| (self.length)(&self.line(alert)))
    }

    fn line(&self, alert: &Alert) -> String {
        let [begin, end] = self.bold;
        let [headline, origin] = [alert.headline(), origin(alert)].map(|text| (self.escape)(&text, usize::MAX));
        format!("\n{} {begin}{headline}{end} {origin}", alert.symbol())
    }
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
