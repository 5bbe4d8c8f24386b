//! The state of one sink that all workers share: who delivers, how it goes, when to try again.
//!
//! One worker at a time delivers for a sink, so that messages arrive in order and at the sink's pace.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::lease::Lease;
use crate::board::text::{NameCell, TextCell};
use crate::sink::SINKS_MAX;

/// One sink.
#[repr(C)]
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
}

/// All sinks.
#[repr(C)]
#[derive(Debug)]
pub struct SinkTable {
    sinks: [SinkBoard; SINKS_MAX],
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

    /// Gives each name a place: the one it had, or that of a sink which is not among the names. Changed by the master
    /// only, who forgets what waited for the sink before where `given_away` says so. `None` where there are more names
    /// than places.
    pub fn assign(&self, names: &[&str], given_away: impl Fn(SinkId)) -> Option<Vec<SinkId>> {
        if names.len() > SINKS_MAX {
            return None;
        }
        let held: Vec<String> = self.sinks.iter().map(|sink| sink.name.load()).collect();
        let mut free = (0..SINKS_MAX).filter(|at| !names.contains(&held[*at].as_str()));
        names
            .iter()
            .map(|name| {
                let at = held.iter().position(|held| held == name).or_else(|| free.next())?;
                if held[at] != *name {
                    given_away(SinkId(at as u8));
                    self.sinks[at].reset(name);
                }
                Some(SinkId(at as u8))
            })
            .collect()
    }
}

impl SinkTable {
    /// Makes a new beginning of what came from a file: nobody delivers, and pauses are over. Whoever restarts nginx wants
    /// to see what waits go out.
    pub fn start_anew(&self) {
        for sink in &self.sinks {
            sink.lease.clear();
            sink.not_before_ms.store(0, Relaxed);
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::board::region::Region;

    #[test]
    fn sinks_keep_their_places_across_configurations() {
        let sinks: &SinkTable = Region::private(size_of::<SinkTable>()).get(0).expect("room");
        let given_away = AtomicU64::new(0);
        let assign = |names: &[&str]| {
            let forget = |id: SinkId| given_away.store(id.index() as u64 + 1, Relaxed);
            sinks.assign(names, forget).expect("places")
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
