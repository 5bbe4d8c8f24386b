//! What was decided, as the status says it while it runs, held against what the sinks took.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;

use tests::server::lock;

use crate::fort::{Fort, Kind};
use crate::incidents;
use crate::sinks::Taken;
use crate::table::Table;

const SUBJECT: &str = "Alerts";
/// Alerts of a monitor whose worker may be killed in the microsecond between telling and counting.
const UNCOUNTED_MAX: u64 = 3;

/// What one alert is known by: numbers are given again where a board was lost with what it had not saved.
type Key = (u64, String, String, String);

/// Every alert that the status ever showed: when, as the boards are counted, and how it then stood with the good sink.
#[derive(Debug, Default)]
pub struct Ledger {
    decided: Mutex<BTreeMap<Key, (u64, String)>>,
}

impl Ledger {
    /// Looks at the status.
    pub fn look(&self, fort: &Fort) {
        let epoch = fort.epoch.load(Relaxed);
        let Some(status) = fort.status() else { return };
        if fort.epoch.load(Relaxed) != epoch {
            return;
        }
        let mut decided = lock(&self.decided);
        for alert in status["alerts"].as_array().into_iter().flatten() {
            let text = |key: &str| alert[key].as_str().unwrap_or_default().to_owned();
            let key = (alert["id"].as_u64().unwrap_or_default(), text("monitor"), text("kind"), text("status"));
            let delivery = alert["delivery"]["good"].as_str().unwrap_or("none").to_owned();
            decided.insert(key, (epoch, delivery));
        }
    }

    /// Holds what was decided against what the good sink took.
    pub fn settle(&self, fort: &Fort, table: &Table) {
        let taken = fort.sinks.good.taken();
        let count = |what: &str, count: usize| table.add(SUBJECT, &format!("{}: {what}", fort.name), count as u64);
        let keys: BTreeSet<Key> = taken.iter().map(key_of).collect();
        let last_epoch = fort.epoch.load(Relaxed);
        let (mut decided, mut delivered, mut summed_up, mut held_back, mut unsaved) = (0, 0, 0, 0, 0);
        for (key, (epoch, delivery)) in &*lock(&self.decided) {
            decided += 1;
            // The end of an incident that was over before its beginning could be delivered says both.
            let is_summed_up =
                || taken.iter().any(|taken| taken.monitor == key.1 && taken.id > key.0 && taken.status == "resolved");
            match delivery.as_str() {
                _ if keys.contains(key) => delivered += 1,
                "held_back" => held_back += 1,
                "pending" if *epoch != last_epoch && fort.kind == Kind::Besieged => unsaved += 1,
                "pending" | "sent" if key.3 == "firing" && is_summed_up() => summed_up += 1,
                _ => table
                    .lose("an alert that was decided and not delivered", format!("{}: {key:?} {delivery}", fort.name)),
            }
        }
        count("decided, as the status says", decided);
        count("delivered to the good sink", delivered);
        count("told with their end", summed_up);
        count("held back by a cooldown or maintenance", held_back);
        count("lost with a board that was killed before it was saved", unsaved);

        let again = taken.len() - keys.len();
        count("delivered again by who took over", again);
        if fort.kind == Kind::Steady {
            table.hold(again == 0, "an alert that is told twice though nothing was killed", again);
        }
        count("taken by the moody sink", fort.sinks.moody.taken().len());
        for (sink, taken) in [("good", &taken), ("moody", &fort.sinks.moody.taken())] {
            assert_order(fort, sink, taken, table);
        }
        settle_incidents(fort, &taken, table);
    }
}

fn key_of(taken: &Taken) -> Key {
    (taken.id, taken.monitor.clone(), taken.kind.clone(), taken.status.clone())
}

/// Each sink gets what one board decided in that order; what is told again has been told before.
fn assert_order(fort: &Fort, sink: &str, taken: &[Taken], table: &Table) {
    let mut known = BTreeSet::new();
    let mut last = (0, 0);
    for one in taken.iter().filter(|one| one.epoch % 2 == 0) {
        if !known.insert((one.epoch, one.id)) {
            continue;
        }
        let this = (one.epoch, one.id);
        table.hold(this > last, "an alert out of order", format!("{} {sink}: {this:?} after {last:?}", fort.name));
        last = this;
    }
}

/// Of each incident there is one beginning and one end, and there is no other alert of these monitors; those of the good
/// traffic have none.
fn settle_incidents(fort: &Fort, taken: &[Taken], table: &Table) {
    for monitor in &fort.troubled {
        let mut told: Vec<Key> = Vec::new();
        for key in taken.iter().filter(|taken| taken.monitor == *monitor).map(key_of) {
            if !told.contains(&key) {
                told.push(key);
            }
        }
        let stands = fort.sinks.moody.last_of(monitor).map(|(_, status)| status);
        table.hold(
            told.is_empty() || stands.as_deref() == Some("resolved"),
            "a sink that fails now and then does not know how things stand",
            format!("{} {monitor}: {stands:?}", fort.name),
        );
        table.add(incidents::SUBJECT, &format!("{}: alerts of them", fort.name), told.len() as u64);
        for (at, key) in told.iter().enumerate() {
            let expected = if at % 2 == 0 { "firing" } else { "resolved" };
            table.hold(
                key.3 == expected && key.2 == "error_rate",
                "an incident that is not one beginning and one end",
                format!("{} {at}: {key:?}", fort.name),
            );
        }
        let decided = fort.metric("nginx_alert_alerts_total{", &format!("monitor=\"{monitor}\"")).unwrap_or(0);
        let apart = decided.abs_diff(told.len() as u64);
        table.add(SUBJECT, &format!("{}: of incidents, that the metrics count otherwise", fort.name), apart);
        // A worker that is killed right after it told counts that no more.
        let may_be = if fort.kind == Kind::Steady { 0 } else { UNCOUNTED_MAX };
        table.hold(
            apart <= may_be,
            "alerts of an incident that the metrics count otherwise",
            format!("{} {monitor}: {decided} of {}", fort.name, told.len()),
        );
    }
    let good = taken.iter().find(|taken| ["good", "exact"].contains(&taken.monitor.as_str()));
    table.hold(good.is_none(), "an alert without a reason", format!("{} {good:?}", fort.name));
}
