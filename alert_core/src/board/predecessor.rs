//! What a board takes over from one that is still live: that of a zone whose size a reload changed, or that of the module's
//! version before.
//!
//! Workers of the old board drain there. They find another configuration in force, so they judge and deliver nothing more.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Relaxed};

use super::extent::{Extent, ExtentTable, Use};
use super::monitor::MonitorBoard;
use super::region::Region;
use super::shape::{Places, Shape, words_of};
use super::snapshot::{Saved, SavedMonitor};
use super::text::NameCell;
use super::{Board, MAGIC, Reservation};
use crate::base::clock::Clock;
use crate::base::word::Word;
use crate::settings::Settings;

/// Where every layout has these, in words.
const MAGIC_AT: usize = 0;
const LAYOUT_AT: usize = 1;
const GENERATION_AT: usize = 2;
/// Where the state of a monitor says where its window is.
const WINDOW_AT: usize = size_of::<NameCell>() / size_of::<u64>();

impl Board {
    /// Takes over what the board in this memory holds, and ends the judging there. This board is new: its configuration is
    /// reserved and not yet in force. `now_wall_ms` is the time by the wall clock. Returns whether there was a board of a
    /// layout that is known. What this board itself lies in was begun anew, and holds nothing.
    pub fn succeed(&self, reservation: &Reservation, settings: &Settings, old: Region, now_wall_ms: u64) -> bool {
        if old.is_in(&self.region) {
            return false;
        }
        let Some((generation, saved)) = read(old, now_wall_ms) else { return false };
        generation.fetch_add(1, AcqRel);
        self.take_over(reservation, settings, &saved, now_wall_ms);
        true
    }
}

/// The generation of the board in this memory, and what it holds.
fn read(old: Region, now_wall_ms: u64) -> Option<(&'static AtomicU64, Saved)> {
    let word = |at: usize| Some(&old.slice(at, 1)?[0]);
    if word(MAGIC_AT)?.load(Relaxed) != MAGIC {
        return None;
    }
    let (shape, places) = Shape::of_layout(word(LAYOUT_AT)?.load(Relaxed))?;
    let Places { extents, sinks, outbox, clock } = places;
    let taken_ms = match clock {
        Some(at) => Clock::from_offset_ms(word(at)?.load(Relaxed)).now_ms(),
        None => now_wall_ms,
    };
    let table: &ExtentTable = old.get(extents)?;
    let monitors = table.live(Use::Monitor).filter_map(|extent| {
        let at = extent.offset as usize;
        let window = Extent::from_word(word(at + WINDOW_AT)?.load(Relaxed));
        let window = Some(window).filter(|window| table.holds(*window, Use::Window));
        Some(SavedMonitor {
            name: old.get::<NameCell>(at)?.load().into_bytes(),
            state: words(old, at, words_of(&shape.monitor))?,
            window: window.and_then(|at| words(old, at.offset as usize, at.len as usize)).unwrap_or_default(),
            rollout: rollout_words(old, table, at, &shape).unwrap_or_default(),
        })
    });
    let saved = Saved {
        taken_ms,
        taken_wall_ms: now_wall_ms,
        sinks: words(old, sinks, words_of(&shape.sinks))?,
        outbox: words(old, outbox, words_of(&shape.outbox))?,
        monitors: monitors.collect(),
        shape,
    };
    Some((word(GENERATION_AT)?, saved))
}

/// What the rollout of the monitor at this place holds; `None` where it has none.
fn rollout_words(old: Region, table: &ExtentTable, monitor: usize, shape: &Shape) -> Option<Vec<u64>> {
    if shape.rollout.is_empty() {
        return None;
    }
    let extent = old.get::<MonitorBoard>(monitor)?.rollout.load();
    let is_one = table.holds(extent, Use::Rollout);
    words(old, extent.offset as usize, words_of(&shape.rollout)).filter(|_| is_one)
}

fn words(region: Region, at: usize, len: usize) -> Option<Vec<u64>> {
    Some(region.slice(at, len)?.iter().map(|word| word.load(Relaxed)).collect())
}

#[cfg(test)]
mod tests {
    use super::super::tests::settings;
    use super::super::{LAYOUT, needed_bytes};
    use super::*;
    use crate::model::ids::PoolId;
    use crate::model::outcome::Outcome;

    #[test]
    fn a_zone_of_another_size_goes_on_with_what_the_old_one_held() {
        let settings = settings(&["pool blue b:1", "window 10"]);
        let old_region = Region::private(needed_bytes(&settings));
        let old = Board::open(old_region, 5_000).expect("a board");
        let old_plan = old.activate(old.reserve(&settings, 0).expect("room"), &settings);
        let monitor = old.monitor(&old_plan, 0).expect("a monitor");
        old.window(monitor).expect("a window").record(0, 7, Outcome::Failed, PoolId::new(1));

        let board = Board::open(Region::private(2 * needed_bytes(&settings)), 900_000).expect("a board");
        let reservation = board.reserve(&settings, 0).expect("room");
        assert!(board.succeed(&reservation, &settings, old_region, 900_000));
        let plan = board.activate(reservation, &settings);
        let window = board.window(board.monitor(&plan, 0).expect("a monitor")).expect("a window");
        assert_eq!((window.counts().filled, window.counts().failed), (1, 1));
        assert_ne!(old.generation(), old_plan.generation, "the workers of the old board judge no more");
        assert!(board.clock().now_ms() < 100_000, "the clock of the old board goes on");
    }

    #[test]
    fn memory_without_a_board_of_a_known_layout_is_left_alone() {
        let settings = settings(&[]);
        let board = Board::open(Region::private(needed_bytes(&settings)), 1).expect("a board");
        let reservation = board.reserve(&settings, 0).expect("room");
        for (magic, layout) in [(0, 0), (MAGIC, 0), (1, LAYOUT), (MAGIC, LAYOUT + (1 << 32))] {
            let foreign = Region::private(1 << 20);
            foreign
                .slice(0, 2)
                .expect("words")
                .iter()
                .zip([magic, layout])
                .for_each(|(cell, word)| cell.store(word, Relaxed));
            assert!(!board.succeed(&reservation, &settings, foreign, 1), "{magic} {layout}");
        }
        let short = Region::private(64);
        short
            .slice(0, 2)
            .expect("words")
            .iter()
            .zip([MAGIC, LAYOUT])
            .for_each(|(cell, word)| cell.store(word, Relaxed));
        assert!(!board.succeed(&reservation, &settings, short, 1), "cut off");
    }

    #[test]
    fn the_board_of_the_version_before_is_known_by_its_layout() {
        let (shape, places) = Shape::of_layout(super::super::shape::LAYOUT_2).expect("known");
        let saved = Region::private(1 << 18);
        let put = |at: usize, word: u64| saved.slice(at, 1).expect("a word")[0].store(word, Relaxed);
        // A monitor behind the header, whose window of one request follows it.
        let (monitor, window) = (12_941, 12_941 + words_of(&shape.monitor));
        let extent = |offset: usize, len: usize| Extent { offset: offset as u32, len: len as u32 }.to_word();
        for (at, word) in [
            (MAGIC_AT, MAGIC),
            (LAYOUT_AT, super::super::shape::LAYOUT_2),
            (GENERATION_AT, 4),
            (places.extents, extent(monitor, words_of(&shape.monitor))),
            (places.extents + 1, 2),
            (places.extents + 2, extent(window, 8)),
            (places.extents + 3, 2 | 8),
            (monitor + WINDOW_AT, extent(window, 8)),
            (window + 7, 42),
        ] {
            put(at, word);
        }
        saved.get::<NameCell>(monitor).expect("a name").store(b"app");
        let (generation, read) = read(saved, 77).expect("a board");
        assert_eq!((generation.load(Relaxed), read.taken_ms), (4, 77));
        let [app] = read.monitors.as_slice() else { panic!("one monitor") };
        assert_eq!(
            (app.name.as_slice(), app.window.as_slice()),
            (b"app".as_slice(), [0, 0, 0, 0, 0, 0, 0, 42].as_slice())
        );
    }
}
