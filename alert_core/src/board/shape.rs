//! How the structures of a board lie in words, so that what a board of another version held can be carried over.
//!
//! Structures only grow at their ends and arrays only get longer, so what two versions have in common is the beginning of
//! each element. A snapshot says what shape it has. The version before shapes were written down is known by heart.

use std::mem::offset_of;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::history::{History, SNAPSHOTS};
use super::monitor::{IncidentBoard, MonitorBoard, PoolBoard};
use super::outbox::{ALERTS_MAX, Outbox};
use super::peer::{PEERS_MAX, PeerBoard};
use super::releases::{RELEASES_MAX, ReleaseLatency, Releases};
use super::rollout::{FirstAttempts, ProbeBoard, RolloutBoard};
use super::sink::SinkBoard;
use super::window::WindowHead;
use super::{Header, LAYOUT};
use crate::model::alert::Kind;
use crate::model::ids::POOLS_MAX;
use crate::rollout::verdict::Measure;
use crate::rollout::votes::Ballot;
use crate::sink::SINKS_MAX;

const WORD: usize = size_of::<u64>();
/// More than any version has: what claims more is damaged.
const RUNS_MAX: u64 = 64;
/// Words of a structure, or elements of an array, that any version can have.
const LENGTH_MAX: u64 = 1 << 20;

/// An array of structures of the same kind; one structure is an array of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    count: usize,
    /// Words of each element.
    words: usize,
}

const fn one(words: usize) -> Run {
    Run { count: 1, words }
}

const fn array<T>(count: usize) -> Run {
    Run { count, words: size_of::<T>() / WORD }
}

/// The shape of all that a snapshot holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// The sinks.
    pub sinks: Vec<Run>,
    /// The alerts.
    pub outbox: Vec<Run>,
    /// A monitor.
    pub monitor: Vec<Run>,
    /// The rollout of a monitor; empty where the version has none.
    pub rollout: Vec<Run>,
    /// Words in front of the ring of a window, of which the first says where the ring goes on.
    pub window_head: usize,
}

/// Where these parts lie on a board, in words.
#[derive(Clone, Copy, Debug)]
pub struct Places {
    pub(super) extents: usize,
    pub(super) sinks: usize,
    pub(super) outbox: usize,
    /// The clock; older boards have the wall clock.
    pub(super) clock: Option<usize>,
}

/// The layout of boards before snapshots said their shape.
pub(super) const LAYOUT_2: u64 = (2 << 32) | ((12_941 + 4_901) * WORD as u64);

impl Shape {
    /// The shape of this version.
    pub fn current() -> Shape {
        const FAILED: usize = offset_of!(MonitorBoard, failed) / WORD;
        const POOLS: usize = offset_of!(MonitorBoard, pools) / WORD;
        const TAIL: usize = offset_of!(MonitorBoard, history) / WORD + size_of::<History>() / WORD;
        Shape {
            sinks: vec![array::<SinkBoard>(SINKS_MAX)],
            outbox: vec![one(Outbox::HEAD_WORDS), Run { count: ALERTS_MAX, words: Outbox::ALERT_WORDS }],
            monitor: vec![
                one(offset_of!(MonitorBoard, throttles) / WORD),
                array::<IncidentBoard>(Kind::ALL.len()),
                one(POOLS - FAILED),
                array::<PoolBoard>(POOLS_MAX + 1),
                array::<PeerBoard>(PEERS_MAX),
                Run { count: SNAPSHOTS, words: size_of::<History>() / WORD / SNAPSHOTS },
                one(size_of::<MonitorBoard>() / WORD - TAIL),
            ],
            rollout: vec![
                one(offset_of!(RolloutBoard, ballots) / WORD),
                array::<Ballot>(Measure::ALL.len()),
                array::<ProbeBoard>(PEERS_MAX),
                one(size_of::<Releases>() / WORD),
                array::<FirstAttempts>(POOLS_MAX + 1),
                array::<ReleaseLatency>(RELEASES_MAX),
                one(4),
            ],
            window_head: size_of::<WindowHead>() / WORD,
        }
    }

    /// The shape of [`LAYOUT_2`].
    pub(super) fn of_layout_2() -> Shape {
        Shape {
            sinks: vec![Run { count: 16, words: 40 }],
            outbox: vec![one(4), Run { count: 128, words: 70 }],
            monitor: vec![
                one(18),
                Run { count: 8, words: 8 },
                one(2),
                Run { count: 32, words: 33 },
                Run { count: 64, words: 8 },
                Run { count: 361, words: 9 },
            ],
            rollout: Vec::new(),
            window_head: 7,
        }
    }

    /// The shape and the places of a live board with this layout; `None` for an unknown one.
    pub(super) fn of_layout(layout: u64) -> Option<(Shape, Places)> {
        match layout {
            LAYOUT => {
                let places = Places {
                    extents: offset_of!(Header, extents) / WORD,
                    sinks: offset_of!(Header, sinks) / WORD,
                    outbox: offset_of!(Header, outbox) / WORD,
                    clock: Some(offset_of!(Header, clock) / WORD),
                };
                Some((Shape::current(), places))
            }
            LAYOUT_2 => {
                let places = Places { extents: 8, sinks: 3_337, outbox: 3_977, clock: None };
                Some((Shape::of_layout_2(), places))
            }
            _ => None,
        }
    }

    /// The shape as words, for [`Shape::from_words`].
    pub fn to_words(&self) -> Vec<u64> {
        let mut words = vec![self.window_head as u64];
        for runs in [&self.sinks, &self.outbox, &self.monitor, &self.rollout] {
            words.push(runs.len() as u64);
            words.extend(runs.iter().flat_map(|run| [run.count as u64, run.words as u64]));
        }
        words
    }

    /// The shape that these words begin with; `None` where they are none.
    pub fn from_words(words: &mut impl Iterator<Item = u64>) -> Option<Shape> {
        let mut bounded = |max: u64| words.next().filter(|word| *word <= max).map(|word| word as usize);
        let window_head = bounded(LENGTH_MAX)?;
        let mut runs = || {
            let count = bounded(RUNS_MAX)?;
            (0..count)
                .map(|_| Some(Run { count: bounded(LENGTH_MAX)?, words: bounded(LENGTH_MAX)? }))
                .collect::<Option<Vec<Run>>>()
        };
        Some(Shape { sinks: runs()?, outbox: runs()?, monitor: runs()?, rollout: runs()?, window_head })
    }
}

/// Words of all these arrays together.
pub fn words_of(runs: &[Run]) -> usize {
    runs.iter().fold(0_usize, |sum, run| sum.saturating_add(run.count.saturating_mul(run.words)))
}

/// Stores what both shapes have: the beginning of each element. The rest of the cells stays as it is.
pub fn carry(words: &[u64], from: &[Run], cells: &[AtomicU64], to: &[Run]) {
    let (mut read, mut written) = (0, 0);
    for (from, to) in from.iter().zip(to) {
        for element in 0..from.count.min(to.count) {
            let words = words.get(read + element * from.words..).unwrap_or_default();
            let cells = cells.get(written + element * to.words..).unwrap_or_default();
            let common = from.words.min(to.words);
            cells.iter().zip(words).take(common).for_each(|(cell, word)| cell.store(*word, Relaxed));
        }
        read += from.count * from.words;
        written += to.count * to.words;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shape_comes_back_from_its_words_and_covers_every_word() {
        let shape = Shape::current();
        assert_eq!(Shape::from_words(&mut shape.to_words().into_iter()), Some(shape.clone()));
        assert_eq!(words_of(&shape.sinks), size_of::<super::super::sink::SinkTable>() / WORD);
        assert_eq!(words_of(&shape.outbox), size_of::<Outbox>() / WORD);
        assert_eq!(words_of(&shape.monitor), size_of::<MonitorBoard>() / WORD);
        assert_eq!(words_of(&shape.rollout), size_of::<RolloutBoard>() / WORD);
        assert_eq!(Shape::from_words(&mut [7, u64::MAX].into_iter()), None);
        assert_eq!(Shape::from_words(&mut [7, 1, 3].into_iter()), None, "cut off");
    }

    #[test]
    fn elements_that_grew_and_arrays_that_got_longer_take_what_both_have() {
        let cells: Vec<AtomicU64> = (0..12).map(|_| AtomicU64::new(0)).collect();
        let (from, to) = ([Run { count: 2, words: 2 }, one(1)], [Run { count: 3, words: 3 }, one(2), one(1)]);
        carry(&[1, 2, 3, 4, 5], &from, &cells, &to);
        let seen: Vec<u64> = cells.iter().map(|cell| cell.load(Relaxed)).collect();
        assert_eq!(seen, [1, 2, 0, 3, 4, 0, 0, 0, 0, 5, 0, 0]);
    }
}
