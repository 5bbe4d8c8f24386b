//! The state of one sink that all workers share: who delivers, how it goes, when to try again.
//!
//! One worker at a time delivers for a sink, so that messages arrive in order and at the sink's pace.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed};

use super::lease::Lease;
use crate::base::name::NameKey;
use crate::base::shared::shared;
use crate::board::text::{NameCell, TextCell};
use crate::sink::SINKS_MAX;

shared! {
/// One sink.
#[derive(Debug)]
pub struct SinkBoard {
    /// Its name, by which a new configuration finds it again.
    pub name: NameCell,
    /// Who delivers.
    pub lease: Lease,
    /// No message before this time, in milliseconds since the Unix epoch.
    pub not_before_ms: AtomicU64,
    /// Failed tries since the last message that went through.
    pub failures: AtomicU64,
    /// Messages delivered.
    pub sent: AtomicU64,
    /// Tries that failed and are made again.
    pub retried: AtomicU64,
    /// Messages given up.
    pub failed: AtomicU64,
    /// Messages that newer ones made obsolete before they could be sent.
    pub left_out: AtomicU64,
    /// When it was last told of everything that fires, in milliseconds since the Unix epoch.
    pub retold_ms: AtomicU64,
    /// What went wrong last; empty after a success.
    pub last_error: TextCell<24>,
    /// Where it is, and how it was reached.
    pub reach: ReachBoard,
}
}

shared! {
/// Where one sink is, and how it was reached.
#[derive(Debug)]
pub struct ReachBoard {
    /// Fingerprint of where it is, to see that a configuration moves it; zero is unknown.
    target: AtomicU64,
    /// When the next message may go to its URL. Of sinks with the same URL, the first one's word counts for all.
    next_turn_ms: AtomicU64,
    /// When a message last arrived; zero is never.
    pub last_success_ms: AtomicU64,
    /// Messages that told again what fires and arrived.
    pub resent: AtomicU64,
    /// Those that did not.
    pub resends_failed: AtomicU64,
    threads: [ThreadBoard; THREADS_MAX],
}
}

shared! {
/// The message that began an incident, in the words of its service: what its later messages refer to.
#[derive(Debug)]
struct ThreadBoard {
    /// Key of the incident; zero is none.
    incident: AtomicU64,
    message: AtomicU64,
}
}

/// Incidents of a sink whose first message is remembered. With more of them at once, the oldest is forgotten.
const THREADS_MAX: usize = 32;

shared! {
/// All sinks.
#[derive(Debug)]
pub struct SinkTable {
    sinks: [SinkBoard; SINKS_MAX],
}
}

/// A sink's place in the board.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SinkId(u8);

impl SinkId {
    /// Every place.
    pub fn all() -> impl Iterator<Item = SinkId> {
        (0..SINKS_MAX as u8).map(SinkId)
    }

    /// Its number.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl SinkTable {
    /// The sink at this place.
    pub fn get(&self, sink: SinkId) -> &SinkBoard {
        &self.sinks[sink.index() % SINKS_MAX]
    }

    /// Gives each name a place: the one it had, or that of a sink which is not among the names. With each name goes a
    /// fingerprint of where the sink is: one that was moved starts afresh there, without the pauses and errors of before.
    /// Changed by the master only, who forgets what waited for the sink before where `given_away` says so. `None` where
    /// there are more names than places.
    pub fn assign(&self, names: &[(&str, u64)], given_away: impl Fn(SinkId)) -> Option<Vec<SinkId>> {
        if names.len() > SINKS_MAX {
            return None;
        }
        let held: Vec<String> = self.sinks.iter().map(|sink| sink.name.load()).collect();
        let mut free = (0..SINKS_MAX).filter(|at| !names.iter().any(|(name, _)| *name == held[*at]));
        names
            .iter()
            .map(|(name, target)| {
                let at = held.iter().position(|held| held == name).or_else(|| free.next())?;
                let sink = &self.sinks[at];
                if held[at] != *name {
                    given_away(SinkId(at as u8));
                    sink.reset(name);
                }
                let known = sink.reach.target.swap(*target, Relaxed);
                // A board of the version before knows no targets.
                if known != 0 && known != *target {
                    sink.start_afresh();
                }
                Some(SinkId(at as u8))
            })
            .collect()
    }
}

impl SinkTable {
    /// Every place.
    pub(super) fn all(&self) -> &[SinkBoard] {
        &self.sinks
    }
}

impl SinkBoard {
    /// Lets go of what was of an nginx that is gone: nobody delivers, and pauses are over.
    pub(super) fn start_anew(&self) {
        self.lease.clear();
        self.not_before_ms.store(0, Relaxed);
        self.reach.next_turn_ms.store(0, Relaxed);
    }
}

impl ReachBoard {
    /// Takes the next turn for a message to this URL, and returns when it is. The turn after it is `interval_ms` later.
    pub fn take_turn(&self, now_ms: u64, interval_ms: u64) -> u64 {
        let next = |word: u64| Some(word.max(now_ms) + interval_ms);
        // The change is never refused.
        let before = self.next_turn_ms.fetch_update(AcqRel, Relaxed, next).unwrap_or(0);
        before.max(now_ms)
    }

    /// When the next message may go to this URL.
    pub fn next_turn_ms(&self) -> u64 {
        self.next_turn_ms.load(Relaxed)
    }

    /// Lets nothing go to this URL before this time.
    pub fn not_before(&self, time_ms: u64) {
        self.next_turn_ms.fetch_max(time_ms, AcqRel);
    }

    /// The message that began this incident.
    pub fn thread(&self, incident: NameKey) -> Option<u64> {
        let thread = self.threads.iter().find(|thread| thread.incident.load(Relaxed) == incident.0)?;
        Some(thread.message.load(Relaxed)).filter(|_| incident != NameKey::EMPTY)
    }

    /// Remembers the message that began this incident. Only the courier that has the sink's lease writes here.
    pub fn begin_thread(&self, incident: NameKey, message: u64) {
        let known = self.threads.iter().find(|thread| thread.incident.load(Relaxed) == incident.0);
        let oldest = || self.threads.iter().min_by_key(|thread| thread.message.load(Relaxed));
        if let Some(thread) = known.or_else(oldest) {
            thread.incident.store(incident.0, Relaxed);
            thread.message.store(message, Relaxed);
        }
    }

    /// Forgets an incident that is over.
    pub fn end_thread(&self, incident: NameKey) {
        for thread in self.threads.iter().filter(|thread| thread.incident.load(Relaxed) == incident.0) {
            thread.incident.store(0, Relaxed);
            thread.message.store(0, Relaxed);
        }
    }

    fn reset(&self) {
        let counters = [&self.target, &self.last_success_ms, &self.resent, &self.resends_failed];
        counters.into_iter().for_each(|counter| counter.store(0, Relaxed));
        self.start_afresh();
    }

    fn start_afresh(&self) {
        self.next_turn_ms.store(0, Relaxed);
        for thread in &self.threads {
            thread.incident.store(0, Relaxed);
            thread.message.store(0, Relaxed);
        }
    }
}

impl SinkBoard {
    fn reset(&self, name: &str) {
        let counters = [
            &self.not_before_ms,
            &self.failures,
            &self.sent,
            &self.retried,
            &self.failed,
            &self.left_out,
            &self.retold_ms,
        ];
        counters.into_iter().for_each(|counter| counter.store(0, Relaxed));
        self.lease.clear();
        self.last_error.store(b"");
        self.name.store(name.as_bytes());
        self.reach.reset();
    }

    fn start_afresh(&self) {
        self.not_before_ms.store(0, Relaxed);
        self.failures.store(0, Relaxed);
        self.last_error.store(b"");
        self.reach.start_afresh();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;

    fn table() -> &'static SinkTable {
        Region::private(size_of::<SinkTable>()).get(0).expect("room")
    }

    #[test]
    fn a_sink_that_is_moved_starts_afresh() {
        let sinks = table();
        let id = sinks.assign(&[("slack", 1)], |_| ()).expect("a place")[0];
        let (sink, reach) = (sinks.get(id), &sinks.get(id).reach);
        sink.not_before_ms.store(u64::MAX, Relaxed);
        sink.failures.store(9, Relaxed);
        sink.sent.store(5, Relaxed);
        sink.last_error.store(b"no");
        reach.not_before(u64::MAX);
        assert_eq!(sinks.assign(&[("slack", 1)], |_| ()).expect("a place")[0], id);
        assert_eq!(sink.not_before_ms.load(Relaxed), u64::MAX);
        assert_eq!(sinks.assign(&[("slack", 2)], |_| panic!("it is the same sink")).expect("a place")[0], id);
        assert_eq!((sink.not_before_ms.load(Relaxed), sink.failures.load(Relaxed), sink.sent.load(Relaxed)), (0, 0, 5));
        assert!(sink.last_error.is_empty() && reach.take_turn(7, 1000) == 7);
    }

    #[test]
    fn turns_lie_apart() {
        let reach = &table().get(SinkId(0)).reach;
        assert_eq!(
            [reach.take_turn(5000, 1000), reach.take_turn(5000, 1000), reach.take_turn(5500, 1000)],
            [5000, 6000, 7000]
        );
        reach.not_before(60_000);
        assert_eq!([reach.take_turn(5500, 1000), reach.take_turn(90_000, 1000)], [60_000, 90_000]);
    }

    #[test]
    fn the_first_message_of_an_incident_is_remembered_until_its_end() {
        let reach = &table().get(SinkId(0)).reach;
        let incident = |number: u64| NameKey(number + 1);
        (0..THREADS_MAX as u64 + 1).for_each(|number| reach.begin_thread(incident(number), 1000 + number));
        assert_eq!((reach.thread(incident(0)), reach.thread(incident(1))), (None, Some(1001)), "the oldest makes room");
        reach.end_thread(incident(1));
        assert_eq!((reach.thread(incident(1)), reach.thread(NameKey::EMPTY)), (None, None));
    }

    #[test]
    fn sinks_keep_their_places_across_configurations() {
        let sinks = table();
        let given_away = AtomicU64::new(0);
        let assign = |names: &[&str]| {
            let forget = |id: SinkId| given_away.store(id.index() as u64 + 1, Relaxed);
            let names: Vec<(&str, u64)> = names.iter().map(|name| (*name, 1)).collect();
            sinks.assign(&names, forget).expect("places")
        };
        let before = assign(&["slack", "pagerduty"]);
        given_away.store(0, Relaxed);
        sinks.get(before[1]).sent.store(5, Relaxed);
        let after = assign(&["pagerduty", "teams"]);
        assert_eq!(after[0], before[1]);
        assert_eq!(sinks.get(after[0]).sent.load(Relaxed), 5);
        assert_ne!(after[1], after[0]);
        assert_eq!(given_away.load(Relaxed), after[1].index() as u64 + 1);
    }
}
