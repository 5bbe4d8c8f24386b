//! Alerts between decision and delivery: a fixed ring in the board, with a state for each sink.
//!
//! A place in the ring is written by the worker that decided, then published by its number. When the ring is full the
//! oldest alert makes room, but the last word on an incident that a sink still waits for, or that still fires, does not:
//! after an hour without a sink people want to know how things stand. What makes room undelivered is counted.

use std::sync::atomic::{AtomicU64, Ordering, Ordering::Relaxed};

use crate::base::name::NameKey;
use crate::base::shared::shared;
use crate::board::alert::AlertCell;
use crate::board::sane::Check;
use crate::board::sink::SinkId;
use crate::model::alert::{Alert, Kind, Status};
use crate::sink::SINKS_MAX;

/// Alerts that the board keeps.
pub const ALERTS_MAX: usize = 128;

/// How far one alert is with one sink.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// It is not for this sink.
    None,
    /// It waits.
    Pending,
    /// The sink has it.
    Sent,
    /// The sink refused it for good.
    Failed,
    /// A cooldown or maintenance swallowed it, or a later alert made it obsolete.
    HeldBack,
}

impl Delivery {
    const ALL: [Delivery; 5] =
        [Delivery::None, Delivery::Pending, Delivery::Sent, Delivery::Failed, Delivery::HeldBack];

    /// The name used in JSON; `None` where the alert is not for the sink.
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Delivery::None => None,
            Delivery::Pending => Some("pending"),
            Delivery::Sent => Some("sent"),
            Delivery::Failed => Some("failed"),
            Delivery::HeldBack => Some("held_back"),
        }
    }

    /// Whether the sink knows the alert, or is going to.
    pub fn is_told(self) -> bool {
        matches!(self, Delivery::Pending | Delivery::Sent)
    }
}

/// The states of one alert with all sinks, in one word that also names the alert, so that a late change cannot hit the
/// next alert in the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Deliveries(u64);

const STATE_BITS: u32 = 3;
const ID_SHIFT: u32 = SINKS_MAX as u32 * STATE_BITS;

impl Deliveries {
    fn new(id: u64) -> Deliveries {
        Deliveries(id << ID_SHIFT)
    }

    fn belongs_to(self, id: u64) -> bool {
        self.0 >> ID_SHIFT == (id << ID_SHIFT) >> ID_SHIFT
    }

    fn get(self, sink: SinkId) -> Delivery {
        let state = (self.0 >> (sink.index() as u32 * STATE_BITS)) & 0x7;
        Delivery::ALL.get(state as usize).copied().unwrap_or(Delivery::None)
    }

    fn with(self, sink: SinkId, state: Delivery) -> Deliveries {
        let shift = sink.index() as u32 * STATE_BITS;
        Deliveries((self.0 & !(0x7 << shift)) | ((state as u64) << shift))
    }

    fn any(self, wanted: Delivery) -> bool {
        SinkId::all().any(|sink| self.get(sink) == wanted)
    }

    /// Whether a sink was told this alert, or is going to be, that this other one is for too.
    fn counts_for(self, other: Deliveries) -> bool {
        let counts = |state| matches!(state, Delivery::Pending | Delivery::Sent | Delivery::Failed);
        SinkId::all().any(|sink| counts(self.get(sink)) && counts(other.get(sink)))
    }
}

shared! {
/// The ring of alerts.
#[derive(Debug)]
pub struct Outbox {
    last_id: AtomicU64,
    lost: AtomicU64,
    /// How many of the lost ones are in the error log, and since when.
    lost_told: AtomicU64,
    lost_told_ms: AtomicU64,
    cells: [AlertCell; ALERTS_MAX],
}
}

impl Outbox {
    /// Words in front of the ring, and words of each alert in it.
    pub(super) const HEAD_WORDS: usize = std::mem::offset_of!(Outbox, cells) / size_of::<u64>();
    pub(super) const ALERT_WORDS: usize = size_of::<AlertCell>() / size_of::<u64>();

    /// Puts an alert into the ring, in this state for these sinks, and returns its number. The alert's own number does
    /// not matter. Where it goes on with an incident, it is of the instance at which that began, or a new host name in
    /// between would orphan the incident.
    pub fn publish(&self, alert: &Alert, sinks: &[SinkId], state: Delivery) -> u64 {
        let began_at =
            self.beginning_of(alert).map(|cell| cell.instance.load()).filter(|instance| !instance.is_empty());
        let id = self.next_place();
        let cell = self.cell(id);
        if Deliveries(cell.deliveries.load(Relaxed)).any(Delivery::Pending) {
            self.lost.fetch_add(1, Relaxed);
        }
        cell.id.store(0, Relaxed);
        std::sync::atomic::fence(Ordering::Release);
        cell.write(alert, began_at.as_deref().unwrap_or(&alert.instance));
        let deliveries = sinks.iter().fold(Deliveries::new(id), |all, sink| all.with(*sink, state));
        cell.deliveries.store(deliveries.0, Relaxed);
        #[cfg(test)]
        crate::base::killed::may_be_killed();
        cell.id.store(id, Ordering::Release);
        #[cfg(test)]
        crate::base::killed::may_be_killed();
        id
    }

    /// The last alert of an incident that was not held back: its number, what it says, and when it was decided.
    pub fn last_word(&self, monitor: NameKey, incident: Kind) -> Option<(u64, Status, u64)> {
        let is_told = |deliveries: Deliveries| {
            let goes_out = [Delivery::Pending, Delivery::Sent, Delivery::Failed];
            !deliveries.any(Delivery::HeldBack) || goes_out.into_iter().any(|state| deliveries.any(state))
        };
        let said = self.whole().filter(|(_, cell, deliveries)| {
            cell.incident() == Some(incident) && cell.monitor.key() == monitor && is_told(*deliveries)
        });
        let (id, cell, _) = said.max_by_key(|(id, ..)| *id)?;
        Some((id, cell.status()?, cell.time_ms.load(Relaxed)))
    }

    /// The last word on the incident that this alert goes on with.
    fn beginning_of(&self, alert: &Alert) -> Option<&AlertCell> {
        if alert.status != Status::Resolved && !alert.reminder {
            return None;
        }
        let same = |cell: &AlertCell| {
            cell.incident() == Some(alert.kind.incident())
                && cell.monitor.key() == NameKey::of(alert.monitor.as_bytes())
                && cell.status() == Some(Status::Firing)
        };
        self.whole().filter(|(_, cell, _)| same(cell)).max_by_key(|(id, ..)| *id).map(|(_, cell, _)| cell)
    }

    /// Of these sinks, those that know the incident that this alert ends, or are going to.
    pub fn told(&self, alert: &Alert, sinks: &[SinkId]) -> Vec<SinkId> {
        let Some(cell) = self.beginning_of(alert) else { return Vec::new() };
        let deliveries = Deliveries(cell.deliveries.load(Relaxed));
        sinks.iter().copied().filter(|sink| deliveries.get(*sink).is_told()).collect()
    }

    /// A number whose place can be given away; where all are worth keeping, that of the oldest.
    fn next_place(&self) -> u64 {
        // Zero is no number.
        let next = || match self.last_id.fetch_add(1, Relaxed).wrapping_add(1) {
            0 => self.last_id.fetch_add(1, Relaxed).wrapping_add(1),
            id => id,
        };
        (0..ALERTS_MAX).map(|_| next()).find(|id| !self.is_worth_keeping(self.cell(*id))).unwrap_or_else(next)
    }

    /// Whether an alert is the last word on an incident that a sink waits for, or that a sink knows to be firing.
    fn is_worth_keeping(&self, cell: &AlertCell) -> bool {
        let deliveries = Deliveries(cell.deliveries.load(Relaxed));
        let fires = cell.status() == Some(Status::Firing) && deliveries.any(Delivery::Sent);
        (fires || deliveries.any(Delivery::Pending)) && self.is_last_word(cell)
    }

    /// Whether none of the sinks of this alert has a later one on the same incident.
    fn is_last_word(&self, cell: &AlertCell) -> bool {
        let (id, deliveries) = (cell.id.load(Relaxed), Deliveries(cell.deliveries.load(Relaxed)));
        let is_later = |other: &AlertCell| {
            other.id.load(Relaxed) > id
                && other.incident() == cell.incident()
                && other.monitor.key() == cell.monitor.key()
                && Deliveries(other.deliveries.load(Relaxed)).counts_for(deliveries)
        };
        id != 0 && !self.cells.iter().any(is_later)
    }

    /// The places that hold an alert, with its number and its deliveries: what a stray write left elsewhere could never be
    /// marked as delivered.
    fn whole(&self) -> impl Iterator<Item = (u64, &AlertCell, Deliveries)> {
        self.cells.iter().enumerate().filter_map(|(place, cell)| {
            let id = cell.id.load(Ordering::Acquire);
            let deliveries = Deliveries(cell.deliveries.load(Relaxed));
            let is_here = id != 0 && id % ALERTS_MAX as u64 == place as u64 && deliveries.belongs_to(id);
            (is_here && cell.incident().is_some() && cell.status().is_some()).then_some((id, cell, deliveries))
        })
    }

    /// The alerts in the ring, newest first, without the host.
    pub fn alerts(&self) -> impl Iterator<Item = Alert> + '_ {
        let mut ids: Vec<u64> = self.whole().map(|(id, ..)| id).collect();
        ids.sort_unstable_by(|a, b| b.cmp(a));
        ids.into_iter().filter_map(|id| self.get(id))
    }

    /// The alerts of a monitor that were decided after this time, in milliseconds.
    pub fn alerts_since(&self, monitor: &str, time_ms: u64) -> impl Iterator<Item = Alert> {
        self.alerts().filter(move |alert| alert.monitor == monitor && alert.time_ms > time_ms)
    }

    /// The alert of this number, if it is still there and whole.
    pub fn get(&self, id: u64) -> Option<Alert> {
        let cell = self.cell(id);
        if id == 0 || cell.id.load(Ordering::Acquire) != id {
            return None;
        }
        let alert = cell.read(id);
        std::sync::atomic::fence(Ordering::Acquire);
        // Another alert may have taken the place meanwhile.
        alert.filter(|_| cell.id.load(Relaxed) == id)
    }

    /// The numbers of the alerts that wait for a sink, oldest first.
    pub fn pending(&self, sink: SinkId) -> Vec<u64> {
        self.ids(|_, deliveries| deliveries.get(sink) == Delivery::Pending)
    }

    /// Whether any alert waits for a sink.
    pub fn waits(&self, sink: SinkId) -> bool {
        self.whole().any(|(_, _, deliveries)| deliveries.get(sink) == Delivery::Pending)
    }

    /// The numbers of the alerts that fire as far as a sink knows, oldest first.
    pub fn firing(&self, sink: SinkId) -> Vec<u64> {
        self.ids(|cell, deliveries| {
            deliveries.get(sink) == Delivery::Sent && cell.status() == Some(Status::Firing) && self.is_last_word(cell)
        })
    }

    /// The alerts that fire as far as any of these sinks knows, or is going to, each with those sinks.
    pub fn firing_alerts(&self, sinks: &[SinkId]) -> Vec<(Alert, Vec<SinkId>)> {
        let firing =
            self.whole().filter(|(_, cell, _)| cell.status() == Some(Status::Firing) && self.is_last_word(cell));
        let with_sinks = firing.filter_map(|(id, _, deliveries)| {
            let told: Vec<SinkId> = sinks.iter().copied().filter(|sink| deliveries.get(*sink).is_told()).collect();
            Some((self.get(id).filter(|_| !told.is_empty())?, told))
        });
        with_sinks.collect()
    }

    fn ids(&self, wanted: impl Fn(&AlertCell, Deliveries) -> bool) -> Vec<u64> {
        let found = self.whole().filter(|(_, cell, deliveries)| wanted(cell, *deliveries));
        let mut ids: Vec<u64> = found.map(|(id, ..)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// Forgets whatever was for a sink, since its place is given to another one.
    pub fn forget(&self, sink: SinkId) {
        for cell in &self.cells {
            let forget = |word| Some(Deliveries(word).with(sink, Delivery::None).0);
            // The change is never refused.
            let _ = cell.deliveries.fetch_update(Relaxed, Relaxed, forget);
        }
    }

    /// How far an alert is with a sink.
    pub fn delivery(&self, id: u64, sink: SinkId) -> Delivery {
        let deliveries = Deliveries(self.cell(id).deliveries.load(Relaxed));
        if deliveries.belongs_to(id) { deliveries.get(sink) } else { Delivery::None }
    }

    /// Notes how far an alert is with a sink.
    pub fn mark(&self, id: u64, sink: SinkId, state: Delivery) {
        let change = |word| {
            let deliveries = Deliveries(word);
            deliveries.belongs_to(id).then(|| deliveries.with(sink, state).0)
        };
        // Where another alert has taken the place there is nothing to note.
        let _ = self.cell(id).deliveries.fetch_update(Relaxed, Relaxed, change);
    }

    /// Takes an alert for a sink: `true` for the one caller who changes it from waiting to sent.
    pub fn take(&self, id: u64, sink: SinkId) -> bool {
        let change = |word| {
            let deliveries = Deliveries(word);
            let waits = deliveries.belongs_to(id) && deliveries.get(sink) == Delivery::Pending;
            waits.then(|| deliveries.with(sink, Delivery::Sent).0)
        };
        self.cell(id).deliveries.fetch_update(Relaxed, Relaxed, change).is_ok()
    }

    /// Drops what is no alert, after the ring was filled from a file.
    pub(super) fn make_sane(&self, check: &Check) {
        // Far more than ever will be, and far from the end of the numbers.
        const LAST_ID_MAX: u64 = 1 << 48;
        let last_id = self.last_id.load(Relaxed);
        let known = if last_id <= LAST_ID_MAX { last_id } else { 0 };
        self.last_id.store(known, Relaxed);
        for (place, cell) in self.cells.iter().enumerate() {
            let id = cell.id.load(Relaxed);
            let is_here = (1..=known).contains(&id) && id % ALERTS_MAX as u64 == place as u64;
            let is_whole = Deliveries(cell.deliveries.load(Relaxed)).belongs_to(id) && cell.read(id).is_some();
            if !is_here || !is_whole || !check.alert(cell, id) {
                cell.id.store(0, Relaxed);
                cell.deliveries.store(0, Relaxed);
            }
        }
        check.count(&self.lost);
        self.lost_told.store(self.lost.load(Relaxed), Relaxed);
    }

    /// Alerts that made room before they were delivered.
    pub fn lost(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// How many alerts were lost since somebody last said so; `Some` for one caller, and at most once a minute.
    pub fn newly_lost(&self, now_ms: u64) -> Option<u64> {
        const QUIET_MS: u64 = 60_000;
        let (lost, told, told_ms) = (self.lost(), self.lost_told.load(Relaxed), self.lost_told_ms.load(Relaxed));
        if lost == told || now_ms.abs_diff(told_ms) < QUIET_MS {
            return None;
        }
        let mine = self.lost_told.compare_exchange(told, lost, Ordering::AcqRel, Relaxed).is_ok();
        mine.then(|| {
            self.lost_told_ms.store(now_ms, Relaxed);
            lost.saturating_sub(told)
        })
    }

    fn cell(&self, id: u64) -> &AlertCell {
        &self.cells[(id % ALERTS_MAX as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;
    use crate::board::sink::SinkTable;

    fn outbox() -> (&'static Outbox, Vec<SinkId>) {
        let sinks: &SinkTable = Region::private(size_of::<SinkTable>()).get(0).expect("room");
        let outbox = Region::private(size_of::<Outbox>()).get(0).expect("room");
        (outbox, sinks.assign(&[("slack", 1), ("webhook", 1)], |_| ()).expect("places"))
    }

    #[test]
    fn an_alert_comes_out_as_it_went_in() {
        let (outbox, sinks) = outbox();
        let mut alert = crate::model::alert::tests::failover();
        alert.story = ":rocket: Rollout begun — green takes over‖Rate: 5 %".into();
        alert.pools = vec![crate::model::alert::PoolFigures {
            name: "green".into(),
            requests: 196,
            count: 10,
            latency_ms: 7,
            release: "v42".into(),
            release_since_ms: 1_790_000_000_000,
        }];
        alert.unwatched = true;
        let id = outbox.publish(&alert, &sinks, Delivery::Pending);
        // Those of the configuration are put in when it is read.
        (alert.id, alert.labels, alert.links) = (id, Vec::new(), Default::default());
        assert_eq!(outbox.get(id), Some(alert));
    }

    #[test]
    fn an_incident_is_of_the_instance_at_which_it_began() {
        let (outbox, sinks) = outbox();
        let alert = |instance: &str, status, reminder| {
            let alert = crate::model::alert::tests::failover();
            let alert = Alert { instance: instance.into(), status, reminder, ..alert };
            let id = outbox.publish(&alert, &sinks, Delivery::Sent);
            outbox.get(id).expect("it is there").instance
        };
        assert_eq!(alert("web-1", Status::Resolved, false), "web-1", "nothing is known of its beginning");
        assert_eq!(alert("web-2", Status::Firing, false), "web-2");
        assert_eq!(alert("web-3", Status::Firing, true), "web-2");
        assert_eq!(alert("web-4", Status::Resolved, false), "web-2");
        assert_eq!(alert("web-4", Status::Firing, false), "web-4");
    }

    #[test]
    fn each_sink_has_its_own_state_and_order() {
        let (outbox, sinks) = outbox();
        let alert = crate::model::alert::tests::failover();
        let ids: Vec<u64> = (0..3).map(|_| outbox.publish(&alert, &sinks, Delivery::Pending)).collect();
        outbox.mark(ids[0], sinks[0], Delivery::Sent);
        assert_eq!(outbox.pending(sinks[0]), ids[1..]);
        assert_eq!(outbox.pending(sinks[1]), ids);
        assert_eq!(outbox.delivery(ids[0], sinks[0]), Delivery::Sent);
        assert_eq!(outbox.delivery(ids[0], sinks[1]), Delivery::Pending);
    }

    #[test]
    fn what_a_stray_write_left_is_neither_told_again_and_again_nor_waited_for() {
        let (outbox, sinks) = outbox();
        let alert = crate::model::alert::tests::failover();
        let ids: Vec<u64> = (0..4).map(|_| outbox.publish(&alert, &sinks[..1], Delivery::Pending)).collect();
        // The deliveries of another alert, the number of another place, no kind of alert.
        outbox.cell(ids[0]).deliveries.fetch_xor(1 << ID_SHIFT, Relaxed);
        outbox.cell(ids[1]).id.store(77, Relaxed);
        outbox.cell(ids[2]).what.store(u64::MAX, Relaxed);
        assert_eq!(outbox.pending(sinks[0]), ids[3..]);
        assert_eq!(outbox.alerts().map(|alert| alert.id).collect::<Vec<_>>(), ids[3..]);
        for id in ids.iter().chain([&77]) {
            outbox.mark(*id, sinks[0], Delivery::Sent);
        }
        assert!(outbox.pending(sinks[0]).is_empty());
    }

    #[test]
    fn an_alert_is_taken_once() {
        let (outbox, sinks) = outbox();
        let id = outbox.publish(&crate::model::alert::tests::failover(), &sinks[..1], Delivery::Pending);
        assert!(outbox.take(id, sinks[0]));
        assert!(!outbox.take(id, sinks[0]) && !outbox.take(id, sinks[1]) && !outbox.take(id + 1, sinks[0]));
        assert_eq!(outbox.delivery(id, sinks[0]), Delivery::Sent);
    }

    /// An alert of another monitor for each number.
    fn of_monitor(number: usize) -> Alert {
        Alert { monitor: format!("app{number}"), ..crate::model::alert::tests::failover() }
    }

    #[test]
    fn a_full_ring_loses_what_is_obsolete_and_says_so() {
        let (outbox, sinks) = outbox();
        let alert = crate::model::alert::tests::failover();
        let first = outbox.publish(&alert, &sinks, Delivery::Pending);
        (0..ALERTS_MAX).for_each(|_| {
            outbox.publish(&alert, &sinks, Delivery::Pending);
        });
        assert_eq!((outbox.lost(), outbox.get(first)), (1, None));
        outbox.mark(first, sinks[0], Delivery::Sent);
        assert_eq!(outbox.pending(sinks[0]).len(), ALERTS_MAX, "a late change must not hit the next alert");
        assert_eq!(outbox.newly_lost(1_790_000_000_000), Some(1));
        assert_eq!(outbox.newly_lost(1_790_000_060_000), None);
        outbox.publish(&alert, &sinks, Delivery::Pending);
        assert_eq!(outbox.newly_lost(1_790_000_059_000), None, "at most once a minute");
        assert_eq!(outbox.newly_lost(1_790_000_060_000), Some(1));
    }

    #[test]
    fn the_last_word_on_an_incident_outlives_a_storm() {
        let (outbox, sinks) = outbox();
        let waiting = outbox.publish(&of_monitor(1), &sinks[..1], Delivery::Pending);
        let firing = outbox.publish(&of_monitor(2), &sinks[..1], Delivery::Sent);
        let told_both = of_monitor(3);
        let over = outbox.publish(&told_both, &sinks[..1], Delivery::Sent);
        outbox.publish(&Alert { status: Status::Resolved, ..told_both }, &sinks[..1], Delivery::Sent);
        let held_back = outbox.publish(&of_monitor(2), &sinks[..1], Delivery::HeldBack);
        (0..10 * ALERTS_MAX).for_each(|_| {
            outbox.publish(&of_monitor(0), &sinks[..1], Delivery::Pending);
        });
        assert!(outbox.get(waiting).is_some() && outbox.get(firing).is_some());
        assert!(outbox.get(over).is_none() && outbox.get(held_back).is_none());
        assert_eq!(outbox.firing(sinks[0]), [firing], "what was held back says nothing");
        assert_eq!(outbox.alerts().count(), ALERTS_MAX);
        assert!(outbox.alerts().is_sorted_by(|newer, older| newer.id > older.id));
    }

    #[test]
    fn where_every_alert_is_a_last_word_the_oldest_make_room() {
        let (outbox, sinks) = outbox();
        for number in 0..3 * ALERTS_MAX {
            let id = outbox.publish(&of_monitor(number), &sinks, Delivery::Pending);
            assert_eq!(outbox.get(id).map(|alert| alert.monitor), Some(format!("app{number}")));
        }
        assert_eq!(outbox.lost(), 2 * ALERTS_MAX as u64);
        let oldest = outbox.alerts().last().expect("alerts");
        assert!(oldest.monitor.trim_start_matches("app").parse::<usize>().expect("a number") >= ALERTS_MAX);
    }

    #[test]
    fn a_place_given_to_another_sink_leaves_it_nothing() {
        let (outbox, sinks) = outbox();
        let id = outbox.publish(&crate::model::alert::tests::failover(), &sinks, Delivery::Pending);
        outbox.forget(sinks[0]);
        assert_eq!((outbox.delivery(id, sinks[0]), outbox.pending(sinks[1])), (Delivery::None, vec![id]));
    }
}
