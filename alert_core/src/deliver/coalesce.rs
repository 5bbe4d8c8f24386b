//! What waits for a sink, as the messages that are worth sending now.
//!
//! A sink that was away wants to know how things stand, not how they stood: of all that waits about one incident of one
//! monitor only the last word goes out. It says with itself that the incident began, where nobody had been told, and how
//! many messages it makes obsolete.

use crate::model::alert::{Alert, Fired, Kind, Missed, Status};

/// One message, and the alerts that are dealt with once it is sent.
#[derive(Debug)]
pub struct Notification {
    /// The message.
    pub alert: Alert,
    /// The numbers of the alerts that it tells.
    pub told: Vec<u64>,
    /// The numbers of those that it makes obsolete.
    pub left_out: Vec<u64>,
}

/// The messages for these alerts, which are in the order of their decision, and so are the messages.
pub fn notifications(alerts: Vec<Alert>) -> Vec<Notification> {
    let mut subjects: Vec<Vec<Alert>> = Vec::new();
    for alert in alerts {
        let same = subjects.iter_mut().find(|subject| subject.iter().all(|older| supersedes(&alert, older)));
        match same {
            Some(subject) => subject.push(alert),
            None => subjects.push(vec![alert]),
        }
    }
    let mut notifications: Vec<Notification> = subjects.into_iter().filter_map(Notification::new).collect();
    notifications.sort_by_key(|notification| notification.alert.id);
    notifications
}

/// Puts what must not wait in front: before people what fires, and tests behind everything else. Else the order stays.
pub fn put_urgent_first(notifications: &mut [Notification], for_people: bool) {
    notifications.sort_by_key(|Notification { alert, .. }| match (alert.kind, alert.status) {
        (Kind::Test, _) => 2,
        (_, Status::Firing) => 0,
        _ if for_people => 1,
        _ => 0,
    });
}

/// Whether the later alert is the newer word on the same matter.
fn supersedes(later: &Alert, older: &Alert) -> bool {
    // Somebody waits for each test to arrive.
    later.kind != Kind::Test && later.kind.incident() == older.kind.incident() && later.monitor == older.monitor
}

impl Notification {
    /// The last word on one subject, oldest alert first.
    fn new(mut subject: Vec<Alert>) -> Option<Notification> {
        let last = subject.pop()?;
        let beginning = subject.iter().rev().take_while(|alert| alert.status == Status::Firing);
        let beginning = beginning.filter(|alert| !alert.reminder).last().filter(|_| last.status == Status::Resolved);
        let told: Vec<u64> = beginning.map(|alert| alert.id).into_iter().chain([last.id]).collect();
        let left_out: Vec<u64> = subject.iter().map(|alert| alert.id).filter(|id| !told.contains(id)).collect();
        let fired = beginning.map(|alert| Fired { time_ms: alert.time_ms, headline: alert.headline() });
        let held_back = subject.iter().fold(last.held_back, |sum, alert| sum.saturating_add(alert.held_back));
        let missed = Missed { fired, left_out: left_out.len() as u32 };
        Some(Notification { alert: Alert { held_back, missed, ..last }, told, left_out })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::alert::tests::failover;

    /// Alerts of the monitor `app` (or another), numbered from 1.
    fn alerts(of: &[(&str, Kind, Status)]) -> Vec<Alert> {
        let alert = |(at, (monitor, kind, status)): (usize, &(&str, Kind, Status))| Alert {
            id: at as u64 + 1,
            time_ms: 1000 * (at as u64 + 1),
            monitor: (*monitor).into(),
            kind: *kind,
            status: *status,
            held_back: 1,
            ..failover()
        };
        of.iter().enumerate().map(alert).collect()
    }

    /// Number of the last word, what is told, what is left out.
    fn outline(notifications: &[Notification]) -> Vec<(u64, &[u64], &[u64])> {
        notifications
            .iter()
            .map(|notification| (notification.alert.id, &*notification.told, &*notification.left_out))
            .collect()
    }

    const FIRED: (&str, Kind, Status) = ("app", Kind::Failover, Status::Firing);
    const OVER: (&str, Kind, Status) = ("app", Kind::Failback, Status::Resolved);

    #[test]
    fn an_incident_that_is_over_is_one_message_that_says_both() {
        let notifications = notifications(alerts(&[FIRED, OVER]));
        assert_eq!(outline(&notifications), [(2, &[1, 2][..], &[][..])]);
        let alert = &notifications[0].alert;
        assert_eq!(
            alert.headline(),
            "Recovered — pool is back from blue → green (was: Failover detected — pool changed from blue → green)"
        );
        assert_eq!(alert.missed.fired.as_ref().map(|fired| fired.time_ms), Some(1000));
        assert_eq!((alert.held_back, alert.missed.left_out), (2, 0));
        assert!(alert.plain_text().contains("over before it could be delivered"), "{}", alert.plain_text());
    }

    #[test]
    fn the_end_of_what_was_told_stands_alone() {
        let notifications = notifications(alerts(&[OVER]));
        assert_eq!(outline(&notifications), [(1, &[1][..], &[][..])]);
        assert_eq!(notifications[0].alert.missed, Missed::default());
    }

    #[test]
    fn only_the_last_word_on_an_incident_is_told() {
        let waiting = alerts(&[FIRED, OVER, FIRED, OVER, FIRED]);
        let notifications = notifications(waiting);
        assert_eq!(outline(&notifications), [(5, &[5][..], &[1, 2, 3, 4][..])]);
        assert_eq!(notifications[0].alert.missed, Missed { fired: None, left_out: 4 });
        assert!(notifications[0].alert.plain_text().contains("Left out: 4 earlier messages, now obsolete"));
    }

    #[test]
    fn an_end_that_waited_is_told_with_the_beginning_after_it() {
        let notifications = notifications(alerts(&[OVER, FIRED, OVER]));
        assert_eq!(outline(&notifications), [(3, &[2, 3][..], &[1][..])]);
    }

    #[test]
    fn a_reminder_is_no_beginning() {
        let mut waiting = alerts(&[FIRED, FIRED, OVER]);
        waiting[1].reminder = true;
        assert_eq!(outline(&notifications(waiting.clone())), [(3, &[1, 3][..], &[2][..])]);
        assert_eq!(outline(&notifications(waiting.split_off(1))), [(3, &[3][..], &[2][..])]);
    }

    #[test]
    fn what_fires_comes_first_and_tests_last() {
        let test = ("app", Kind::Test, Status::Info);
        let waiting =
            [test, ("web", Kind::Failback, Status::Resolved), test, FIRED, ("api", Kind::Outage, Status::Firing)];
        let mut notifications = notifications(alerts(&waiting));
        let ids = |notifications: &[Notification]| notifications.iter().map(|one| one.alert.id).collect::<Vec<u64>>();
        put_urgent_first(&mut notifications, false);
        assert_eq!(
            ids(&notifications),
            [2, 4, 5, 1, 3],
            "machines get what is true in the order in which it became so"
        );
        put_urgent_first(&mut notifications, true);
        assert_eq!(ids(&notifications), [4, 5, 2, 1, 3]);
    }

    #[test]
    fn other_monitors_other_kinds_and_tests_stand_for_themselves_in_order() {
        let test = ("app", Kind::Test, Status::Info);
        let waiting = [FIRED, ("api", Kind::Failover, Status::Firing), ("app", Kind::ErrorRate, Status::Firing)];
        let notifications = notifications(alerts(&[&waiting[..], &[test, test, OVER]].concat()));
        let last: Vec<u64> = notifications.iter().map(|notification| notification.alert.id).collect();
        assert_eq!(last, [2, 3, 4, 5, 6]);
    }
}
