//! What of a board outlives a restart of nginx, as bytes: windows, state machines, cooldowns, sinks and alerts.
//!
//! It is taken while workers go on counting, so it may hold what a worker killed at that instant would leave behind,
//! which is what every reader of the board copes with anyway. It is words of the board behind a head that says their
//! `Shape`, and in front of a SHA-256, so another version can read it. Whoever can write the file can also compute its
//! checksum: nothing in it is trusted to be in bounds.

use std::collections::TryReserveError;
use std::fmt;
use std::mem::offset_of;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};

use super::extent::{Extent, Use};
use super::history::History;
use super::monitor::MonitorBoard;
use super::rollout::RolloutBoard;
use super::sane::Check;
use super::shape::{LAYOUT_2, Run, Shape, carry, words_of};
use super::{Board, Reservation};
use crate::base::clock::Clock;
use crate::base::word::Word;
use crate::board::outbox::Outbox;
use crate::board::sink::SinkTable;
use crate::rollout::share::Share;
use crate::settings::Settings;

/// "alertsav" in ASCII.
const MAGIC: u64 = u64::from_be_bytes(*b"alertsav");
/// Stands where older snapshots have the layout of their board.
const FORMAT: u64 = 3;
/// The year 2200: the clock of a board that says more is not set, but damaged.
const TIME_MAX_MS: u64 = 7_258_118_400_000;
const WORD: usize = size_of::<u64>();
const MONITOR_WORDS: usize = size_of::<MonitorBoard>() / WORD;
const ROLLOUT_WORDS: usize = size_of::<RolloutBoard>() / WORD;

/// Words of a monitor that are no reason to save: plots go on without any request.
const MONITOR_QUIET: [Range<usize>; 2] =
    [words(offset_of!(MonitorBoard, history), size_of::<History>()), words(offset_of!(MonitorBoard, named_ms), WORD)];
/// Those of a rollout: who does what, and what changes with every request and every probe.
const ROLLOUT_QUIET: [Range<usize>; 3] = [
    words(0, offset_of!(RolloutBoard, state)),
    words(offset_of!(RolloutBoard, share), WORD),
    words(offset_of!(RolloutBoard, keys), size_of::<RolloutBoard>() - offset_of!(RolloutBoard, keys)),
];
/// A share is renewed at each tick; so much later it is a reason to save, or it would not outlive all processes.
const SHARE_MS: u64 = 24_000;

/// The words of so many bytes.
const fn words(at: usize, bytes: usize) -> Range<usize> {
    at / WORD..(at + bytes) / WORD
}

/// A board as bytes.
#[derive(Debug)]
pub struct Snapshot {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Differs from that of another snapshot where what matters does.
    pub fingerprint: u64,
}

/// What came of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// When it was taken, by the wall clock of then.
    pub taken_wall_ms: u64,
    /// Fields that were left out, since they cannot be: times to come, counts beyond all measure.
    pub left_out: usize,
}

/// Why bytes are no snapshot of a board like this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// They are something else.
    Foreign,
    /// They were taken by another version.
    OtherVersion,
    /// They are cut off, or changed since.
    Damaged,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Unusable::Foreign => "it is no state of this module",
            Unusable::OtherVersion => "another version of this module has written it",
            Unusable::Damaged => "it is damaged",
        })
    }
}

impl std::error::Error for Unusable {}

impl Board {
    /// Everything on the board that is worth keeping. The time is that of its clock, and that of the wall clock.
    ///
    /// # Errors
    /// There is no memory for it.
    pub fn try_snapshot(&self, now_ms: u64, now_wall_ms: u64) -> Result<Snapshot, TryReserveError> {
        let shape = Shape::current().to_words();
        let mut measure = Writer::default();
        self.write(&mut measure);
        let mut bytes = Vec::new();
        bytes.try_reserve_exact((4 + shape.len()) * WORD + measure.len + SHA256_OUTPUT_LEN)?;
        let mut out = Writer { bytes: Some(bytes), ..Writer::default() };
        [MAGIC, FORMAT, now_ms, now_wall_ms].into_iter().chain(shape).for_each(|word| out.word(word));
        self.write(&mut out);
        let fingerprint = out.fingerprint();
        let mut bytes = out.bytes.unwrap_or_default();
        bytes.extend_from_slice(digest(&SHA256, &bytes).as_ref());
        Ok(Snapshot { bytes, fingerprint })
    }

    /// The same, where memory is no question.
    ///
    /// # Panics
    /// There is none.
    pub fn snapshot(&self, now_ms: u64, now_wall_ms: u64) -> Snapshot {
        self.try_snapshot(now_ms, now_wall_ms).expect("memory for a snapshot")
    }

    /// The fingerprint that a snapshot would have now: far cheaper than to take it, so that a detector can ask for it.
    pub fn fingerprint(&self) -> u64 {
        let mut out = Writer::default();
        self.write(&mut out);
        out.fingerprint()
    }

    fn write(&self, out: &mut Writer) {
        let cells = |(at, len)| self.region.slice(at, len).unwrap_or_default();
        // What matters of a sink comes with what becomes of an alert.
        out.quietly(cells(self.sink_words()));
        out.words(cells(self.outbox_words()), &[]);
        // Extents do not overlap, so all of them together are no larger than the region: more was never reserved.
        let mut room = self.region.words();
        for extent in self.header.extents.live(Use::Monitor) {
            let Some(monitor) = self.monitor_at(extent) else { continue };
            let words = self.region.slice(extent.offset as usize, MONITOR_WORDS).unwrap_or_default();
            let window = self.window_extent(monitor);
            let window =
                window.and_then(|at| self.region.slice(at.offset as usize, at.len as usize)).unwrap_or_default();
            let rollout = self.rollout_extent(monitor);
            let rollout =
                rollout.and_then(|at| self.region.slice(at.offset as usize, ROLLOUT_WORDS)).unwrap_or_default();
            let Some(left) = room.checked_sub(words.len() + window.len() + rollout.len()) else { break };
            room = left;
            let name = monitor.name.load();
            out.word(name.len() as u64);
            out.raw(name.as_bytes());
            out.words(words, &MONITOR_QUIET);
            out.word(window.len() as u64);
            out.words(window, &[]);
            out.word(rollout.len() as u64);
            out.words(rollout, &ROLLOUT_QUIET);
            if let Some(word) = rollout.get(ROLLOUT_QUIET[1].start) {
                let share = Share::from_word(word.load(Relaxed));
                out.note(Share { until_ms: share.until_ms / SHARE_MS, ..share }.to_word());
            }
        }
    }

    /// Puts a snapshot on the board, which is new: its configuration is reserved and not yet in force. The clock of the
    /// board goes on from where that of the snapshot was. `now_wall_ms` is the time by the wall clock. Monitors that the
    /// configuration does not have are left out, and so is a window of another size, as at a reload.
    ///
    /// # Errors
    /// Bytes that cannot be used; the board is as it was.
    pub fn restore(
        &self,
        reservation: &Reservation,
        settings: &Settings,
        bytes: &[u8],
        now_wall_ms: u64,
    ) -> Result<Restored, Unusable> {
        let saved = Saved::parse(bytes)?;
        let left_out = self.take_over(reservation, settings, &saved, now_wall_ms);
        Ok(Restored { taken_wall_ms: saved.taken_wall_ms, left_out })
    }

    /// Returns how many fields were left out, since they cannot be.
    pub(super) fn take_over(
        &self,
        reservation: &Reservation,
        settings: &Settings,
        saved: &Saved,
        now_wall_ms: u64,
    ) -> usize {
        let now_ms = saved.taken_ms.saturating_add(now_wall_ms.saturating_sub(saved.taken_wall_ms));
        self.set_clock(Clock::that_says(now_ms), now_ms);
        let (from, to) = (&saved.shape, Shape::current());
        let check = Check::new(now_ms);
        self.fill(self.sink_words(), &saved.sinks, &from.sinks, &to.sinks);
        self.sinks().make_sane(&check);
        self.fill(self.outbox_words(), &saved.outbox, &from.outbox, &to.outbox);
        self.outbox().make_sane(&check);
        for (place, settings) in reservation.monitors.iter().zip(&settings.monitors) {
            let Some(saved_monitor) = saved.monitors.iter().find(|monitor| monitor.name == settings.name.as_bytes())
            else {
                continue;
            };
            let cells = (place.state.offset as usize, MONITOR_WORDS);
            self.fill(cells, &saved_monitor.state, &from.monitor, &to.monitor);
            let Some(monitor) = self.monitor_at(place.state) else { continue };
            monitor.name.store(settings.name.as_bytes());
            // Where the window lies is a matter of this board.
            monitor.window.store(place.window);
            monitor.make_sane(saved.taken_ms, &check);
            monitor.rollout.store(place.rollout.unwrap_or(Extent::NONE));
            if let Some(extent) = place.rollout.filter(|_| !saved_monitor.rollout.is_empty()) {
                let at = extent.offset as usize;
                self.fill((at, ROLLOUT_WORDS), &saved_monitor.rollout, &from.rollout, &to.rollout);
                self.region.get(at).into_iter().for_each(|rollout: &RolloutBoard| rollout.make_sane(&check));
            }
            let Some(window) = self.window(monitor) else { continue };
            window.begin_anew();
            let Some((head, ring)) = saved_monitor.window.split_at_checked(from.window_head) else { continue };
            if ring.len() == window.size() as usize {
                window.refill(head.first().copied().unwrap_or(0), check.window(ring));
            }
        }
        check.left_out()
    }

    fn fill(&self, (at, len): (usize, usize), words: &[u64], from: &[Run], to: &[Run]) {
        carry(words, from, self.region.slice(at, len).unwrap_or_default(), to);
    }

    fn sink_words(&self) -> (usize, usize) {
        (offset_of!(super::Header, sinks) / WORD, size_of::<SinkTable>() / WORD)
    }

    fn outbox_words(&self) -> (usize, usize) {
        (offset_of!(super::Header, outbox) / WORD, size_of::<Outbox>() / WORD)
    }
}

#[derive(Default)]
struct Writer {
    /// How much was written, or would have been.
    len: usize,
    /// What was written; `None` where only the fingerprint is wanted.
    bytes: Option<Vec<u8>>,
    hash: u64,
}

impl Writer {
    fn fingerprint(&self) -> u64 {
        // Zero says that nothing was saved yet.
        self.hash.max(1)
    }

    fn raw(&mut self, bytes: &[u8]) {
        self.len += bytes.len();
        if let Some(written) = &mut self.bytes {
            written.extend_from_slice(bytes);
        }
    }

    /// A word that says nothing new.
    fn word(&mut self, word: u64) {
        self.raw(&word.to_le_bytes());
    }

    /// Lets a word count for the fingerprint. Where one word alone differs, so does the fingerprint.
    fn note(&mut self, word: u64) {
        const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.hash = (self.hash ^ word).wrapping_add(1).wrapping_mul(ODD).rotate_left(29);
    }

    /// Words of which those in the quiet ranges, which are in order, do not count for the fingerprint.
    fn words(&mut self, cells: &[AtomicU64], quiet: &[Range<usize>]) {
        let mut at = 0;
        for quiet in quiet.iter().chain([&(usize::MAX..usize::MAX)]) {
            let [start, end] = [quiet.start, quiet.end].map(|end| end.min(cells.len()));
            self.cells(&cells[at..start], Writer::note);
            self.quietly(&cells[start..end]);
            at = end;
        }
    }

    /// Words whose change is no reason to save.
    fn quietly(&mut self, cells: &[AtomicU64]) {
        self.cells(cells, |_, _| ());
    }

    fn cells(&mut self, cells: &[AtomicU64], note: impl Fn(&mut Writer, u64)) {
        if self.bytes.is_none() {
            self.len += size_of_val(cells);
            return cells.iter().for_each(|cell| note(self, cell.load(Relaxed)));
        }
        for cell in cells {
            let word = cell.load(Relaxed);
            note(self, word);
            self.word(word);
        }
    }
}

/// What of a board is taken over by another.
pub(super) struct Saved {
    pub(super) shape: Shape,
    /// When it was taken, by the clock of its board.
    pub(super) taken_ms: u64,
    /// The same by the wall clock of then.
    pub(super) taken_wall_ms: u64,
    pub(super) sinks: Vec<u64>,
    pub(super) outbox: Vec<u64>,
    pub(super) monitors: Vec<SavedMonitor>,
}

pub(super) struct SavedMonitor {
    pub(super) name: Vec<u8>,
    pub(super) state: Vec<u64>,
    pub(super) window: Vec<u64>,
    pub(super) rollout: Vec<u64>,
}

impl Saved {
    fn parse(bytes: &[u8]) -> Result<Saved, Unusable> {
        let mut head = Reader(bytes);
        if head.word() != Some(MAGIC) {
            return Err(Unusable::Foreign);
        }
        let format = head.word();
        if !matches!(format, Some(FORMAT | LAYOUT_2)) {
            return Err(Unusable::OtherVersion);
        }
        let body = bytes.len().checked_sub(SHA256_OUTPUT_LEN).ok_or(Unusable::Damaged)?;
        let (body, checksum) = bytes.split_at(body);
        if digest(&SHA256, body).as_ref() != checksum {
            return Err(Unusable::Damaged);
        }
        let saved = Reader(body).saved(format == Some(FORMAT)).ok_or(Unusable::Damaged)?;
        let is_sane = [saved.taken_ms, saved.taken_wall_ms].iter().all(|time_ms| *time_ms <= TIME_MAX_MS);
        if is_sane { Ok(saved) } else { Err(Unusable::Damaged) }
    }
}

/// The bytes that are left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn saved(&mut self, says_its_shape: bool) -> Option<Saved> {
        let (_magic, _format, taken_ms) = (self.word()?, self.word()?, self.word()?);
        let taken_wall_ms = if says_its_shape { self.word()? } else { taken_ms };
        let shape = match says_its_shape {
            true => Shape::from_words(&mut std::iter::from_fn(|| self.word()))?,
            false => Shape::of_layout_2(),
        };
        let (sinks, outbox) = (self.words(words_of(&shape.sinks))?, self.words(words_of(&shape.outbox))?);
        let mut monitors = Vec::new();
        while !self.0.is_empty() {
            let name_len = usize::try_from(self.word()?).ok()?;
            let name = self.bytes(name_len)?.to_vec();
            let state = self.words(words_of(&shape.monitor))?;
            let window_len = usize::try_from(self.word()?).ok()?;
            let window = self.words(window_len)?;
            // The version before has no rollouts.
            let rollout_len = if shape.rollout.is_empty() { 0 } else { usize::try_from(self.word()?).ok()? };
            monitors.push(SavedMonitor { name, state, window, rollout: self.words(rollout_len)? });
        }
        Some(Saved { shape, taken_ms, taken_wall_ms, sinks, outbox, monitors })
    }

    fn word(&mut self) -> Option<u64> {
        Some(self.words(1)?[0])
    }

    fn words(&mut self, len: usize) -> Option<Vec<u64>> {
        let bytes = self.bytes(len.checked_mul(WORD)?)?;
        // Each chunk has 8 bytes by construction; the fallback is unreachable and free of panics.
        Some(bytes.chunks_exact(WORD).map(|chunk| chunk.try_into().map_or(0, u64::from_le_bytes)).collect())
    }

    fn bytes(&mut self, len: usize) -> Option<&[u8]> {
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Plan;
    use super::super::region::Region;
    use super::super::tests::settings;
    use super::*;
    use crate::board::outbox::Delivery;
    use crate::model::alert::{Alert, Kind};
    use crate::model::ids::PoolId;
    use crate::model::outcome::Outcome;
    use crate::report::view::Source;
    use crate::rollout::share::Bucket;
    use crate::rollout::state::{Phase, State};
    use crate::rules::throttle::{Policy, Signal, Throttle};
    use crate::rules::{failover, flapping};
    use crate::sink::settings::{SinkSettings, SystemSource};

    const T0: u64 = 1_790_000_000_000;
    const PROBING: State = State { phase: Phase::Probing, from: PoolId::new(1), to: PoolId::new(2), at_s: T0 / 1000 };

    fn configuration(lines: &[&str]) -> Settings {
        let mut sink = SinkSettings::parse(&["slack", "http://127.0.0.1:9/"], &SystemSource).expect("a sink");
        sink.name = "slack".into();
        let mut settings = settings(&[&["pool blue b:1", "pool green g:1", "active blue"], lines].concat());
        settings.sinks = vec![sink];
        settings
    }

    /// A new board with this snapshot, or none, and this configuration.
    fn board(settings: &Settings, bytes: Option<&[u8]>, now_ms: u64) -> (Board, Plan, Result<u64, Unusable>) {
        let board = Board::open(Region::private(super::super::needed_bytes(settings)), now_ms).expect("a board");
        let reservation = board.reserve(settings, now_ms).expect("room");
        let restored = bytes.map_or(Ok(0), |bytes| {
            board.restore(&reservation, settings, bytes, now_ms).map(|restored| restored.taken_wall_ms)
        });
        (board, board.activate(reservation, settings), restored)
    }

    /// A board on which something has happened.
    fn busy(settings: &Settings) -> (Board, Plan) {
        let (board, plan, _) = board(settings, None, T0);
        let monitor = board.monitor(&plan, 0).expect("a monitor");
        let window = board.window(monitor).expect("a window");
        for n in 0..window.size() + 3 {
            let outcome = if n % 4 == 0 { Outcome::Failed } else { Outcome::Answered };
            window.record(T0 + u64::from(n) * 100, n, outcome, PoolId::new(1));
        }
        monitor.set_failover(failover::State::serving(PoolId::new(2)));
        let policy = Policy { cooldown_ms: 300_000, muted: false, reminds: true };
        let (throttle, _) = Throttle::default().on(Signal::Raised, T0, &policy);
        monitor.incident(Kind::Failover).throttle.store(throttle);
        board.outbox().publish(&crate::model::alert::tests::failover(), plan.sinks(), Delivery::Pending);
        board.sinks().get(plan.sinks()[0]).sent.store(41, Relaxed);
        (board, plan)
    }

    #[test]
    fn a_rollout_goes_on_after_a_restart_where_its_monitor_still_has_one() {
        let settings = configuration(&["rollout 5%"]);
        let (old, plan) = busy(&settings);
        let rollout = old.rollout(&plan, 0).expect("a rollout");
        rollout.state.store(PROBING);
        rollout.begin_votes(3, 100);
        assert!(rollout.ballots[1].cast(Bucket::new(7), true));
        assert!(rollout.leading.take(std::process::id(), old.workers(), T0));
        let bytes = old.snapshot(T0, T0).bytes;
        let (new, plan, restored) = board(&settings, Some(&bytes), T0 + 1000);
        assert_eq!(restored, Ok(T0));
        let restored = new.rollout(&plan, 0).expect("a rollout");
        assert_eq!((restored.state.load(), restored.ballots[1].tally().cast), (PROBING, 1));
        assert!(restored.leading.take(1, new.workers(), T0), "nobody leads it");
        assert!(restored.is_settled(), "where a state does not say what of it is told, all of it is");
        let (without, plan, restored) = board(&configuration(&[]), Some(&bytes), T0 + 1000);
        assert!(restored.is_ok() && without.rollout(&plan, 0).is_none());
    }

    #[test]
    fn what_goes_on_at_rest_is_no_reason_to_save() {
        let (board, plan) = busy(&configuration(&["rollout 5%"]));
        let rollout = board.rollout(&plan, 0).expect("a rollout");
        let sink = board.sinks().get(plan.sinks()[0]);
        rollout.share.store(Share::new(PoolId::new(2), 500, T0));
        let before = board.fingerprint();
        rollout.assigned.store(9, Relaxed);
        rollout.probes[3].took_ms.store(9, Relaxed);
        for lease in [&rollout.leading, &rollout.probing, &sink.lease] {
            assert!(lease.take(std::process::id(), board.workers(), T0));
        }
        for count in [&sink.retried, &sink.retold_ms, &sink.reach.resent] {
            count.fetch_add(1, Relaxed);
        }
        board.monitor(&plan, 0).expect("a monitor").named_ms.store(T0, Relaxed);
        rollout.share.store(Share::new(PoolId::new(2), 500, T0 + 1000));
        assert_eq!(board.fingerprint(), before);
        rollout.share.store(Share::new(PoolId::new(2), 500, T0 + SHARE_MS));
        let renewed = board.fingerprint();
        assert_ne!(renewed, before, "it is to outlive the processes");
        rollout.state.store(PROBING);
        assert_ne!(board.fingerprint(), renewed);
    }

    #[test]
    fn every_word_that_counts_changes_the_fingerprint() {
        let cells: Vec<AtomicU64> = (0..40).map(|_| AtomicU64::new(0)).collect();
        let fingerprint = |quiet: &[Range<usize>]| {
            let mut out = Writer::default();
            out.words(&cells, quiet);
            assert_eq!(out.len, cells.len() * WORD);
            out.fingerprint()
        };
        let (quiet, mut seen) = ([3..5, 30..64], std::collections::HashSet::from([fingerprint(&[])]));
        let before = fingerprint(&quiet);
        for (at, cell) in cells.iter().enumerate() {
            cell.store(1, Relaxed);
            let is_quiet = quiet.iter().any(|quiet| quiet.contains(&at));
            assert_eq!(fingerprint(&quiet) == before, is_quiet, "{at}");
            assert!(seen.insert(fingerprint(&[])), "{at}");
            cell.store(0, Relaxed);
        }
    }

    #[test]
    fn a_board_comes_back_as_it_was() {
        let settings = configuration(&["window 10"]);
        let (old, old_plan) = busy(&settings);
        let bytes = old.snapshot(T0 + 5, T0 + 5).bytes;
        let (new, plan, restored) = board(&settings, Some(&bytes), T0 + 1000);
        assert_eq!(restored, Ok(T0 + 5));
        let (old_monitor, monitor) =
            (old.monitor(&old_plan, 0).expect("a monitor"), new.monitor(&plan, 0).expect("a monitor"));
        assert_eq!(monitor.serving(), PoolId::new(2));
        assert_eq!(monitor.active(), PoolId::new(1));
        let throttle = |monitor: &MonitorBoard| monitor.incident(Kind::Failover).throttle.load();
        assert_eq!(throttle(monitor), throttle(old_monitor));
        let (old_window, window) = (old.window(old_monitor).expect("a window"), new.window(monitor).expect("a window"));
        assert_eq!(window.counts(), old_window.counts());
        assert!(window.samples().eq(old_window.samples()), "in the same order");
        assert_eq!(new.outbox().pending(plan.sinks()[0]), [1]);
        assert_eq!(new.outbox().get(1), old.outbox().get(1));
        assert_eq!(new.sinks().get(plan.sinks()[0]).sent.load(Relaxed), 41);
    }

    #[test]
    fn the_state_of_the_version_before_is_carried_over() {
        // Written by version 0.1.0: five answers of blue, then ten failures, of which seven raised the error rate.
        let bytes = include_bytes!("../../tests/data/state-layout-2");
        let mut settings = configuration(&["window 20", "error_rate 30%"]);
        settings.sinks[0].name = "webhook".into();
        let (board, plan, restored) = board(&settings, Some(bytes), T0);
        let taken_ms = restored.expect("a state");
        assert_eq!(crate::base::clock::rfc3339(taken_ms).get(..10), Some("2026-11-26"));
        let monitor = board.monitor(&plan, 0).expect("a monitor");
        let counts = board.window(monitor).expect("a window").counts();
        assert_eq!((counts.filled, counts.failed, counts.abandoned), (15, 10, 0));
        let blue = monitor.find_pool(crate::base::name::NameKey::of(b"blue")).expect("a pool");
        assert_eq!((monitor.serving(), monitor.active()), (blue, blue));
        let pool = monitor.pool(blue);
        assert_eq!((pool.answered(), pool.failed_attempts.load(Relaxed), pool.release.load()), (5, 10, "v1".into()));
        assert!(monitor.is_raised(Kind::ErrorRate) && !monitor.is_raised(Kind::Outage));
        let waiting = board.outbox().pending(plan.sinks()[0]);
        let alert = board.outbox().get(waiting[0]).expect("the alert that could not be delivered");
        assert_eq!((alert.kind, alert.window.failed, alert.to.name.as_str()), (Kind::ErrorRate, 7, "blue"));
        assert_eq!(monitor.address_of(blue), "127.0.0.1:31001");
    }

    #[test]
    fn the_clock_goes_on_over_a_restart_whatever_the_wall_clock_was_set_to() {
        let settings = configuration(&[]);
        let (old, _) = busy(&settings);
        for (wall_then, wall_now, now) in
            [(T0, T0 + 5000, T0 + 5000), (T0 - 60_000, T0 - 50_000, T0 + 10_000), (T0 + 60_000, T0, T0)]
        {
            let bytes = old.snapshot(T0, wall_then).bytes;
            let (new, ..) = board(&settings, Some(&bytes), wall_now);
            assert!((now..now + 1000).contains(&new.clock().now_ms()), "{wall_then} {wall_now}");
        }
    }

    #[test]
    fn a_changed_configuration_takes_what_still_fits() {
        let (old, _) = busy(&configuration(&["window 10"]));
        let bytes = old.snapshot(T0, T0).bytes;
        let (new, plan, restored) = board(&configuration(&["window 11"]), Some(&bytes), T0);
        let monitor = new.monitor(&plan, 0).expect("a monitor");
        assert_eq!((restored, new.window(monitor).expect("a window").counts().filled), (Ok(T0), 0));
        assert_eq!(monitor.serving(), PoolId::new(2));

        let mut other = configuration(&["window 10"]);
        other.monitors[0].name = "other".into();
        other.sinks[0].name = "webhook".into();
        let (new, plan, restored) = board(&other, Some(&bytes), T0);
        let monitor = new.monitor(&plan, 0).expect("a monitor");
        assert_eq!((restored, monitor.name.load(), monitor.serving().get()), (Ok(T0), "other".into(), 1));
        assert!(new.outbox().pending(plan.sinks()[0]).is_empty(), "what waited for another sink");
    }

    #[test]
    fn only_what_matters_changes_the_fingerprint() {
        let (board, plan) = busy(&configuration(&[]));
        let monitor = board.monitor(&plan, 0).expect("a monitor");
        let before = board.snapshot(T0, T0).fingerprint;
        assert_eq!(board.fingerprint(), before);
        monitor.history.sample(monitor, T0 + 60_000);
        assert_eq!(board.snapshot(T0 + 60_000, T0 + 60_000).fingerprint, before);
        board.outbox().mark(1, plan.sinks()[0], Delivery::Sent);
        assert_ne!(board.snapshot(T0 + 60_000, T0 + 60_000).fingerprint, before);
    }

    #[test]
    fn what_is_cut_changed_foreign_or_of_another_version_is_refused() {
        let settings = configuration(&["window 10"]);
        let bytes = busy(&settings).0.snapshot(T0, T0).bytes;
        let refused = |bytes: &[u8]| {
            let (new, plan, restored) = board(&settings, Some(bytes), T0);
            assert_eq!(new.outbox().alerts().count(), 0);
            assert_eq!(new.monitor(&plan, 0).expect("a monitor").serving(), PoolId::new(1));
            restored.expect_err("unusable")
        };
        for len in [16, 40, 1000, bytes.len() - 1] {
            assert_eq!(refused(&bytes[..len]), Unusable::Damaged, "{len}");
        }
        assert_eq!(refused(b""), Unusable::Foreign);
        assert_eq!(refused(b"user www-data;\n"), Unusable::Foreign);
        let flipped =
            |at: usize| bytes.iter().enumerate().map(|(n, byte)| byte ^ u8::from(n == at)).collect::<Vec<_>>();
        assert_eq!(refused(&flipped(8)), Unusable::OtherVersion);
        assert_eq!(refused(&flipped(bytes.len() / 2)), Unusable::Damaged);
        assert_eq!(refused(&flipped(bytes.len() - 1)), Unusable::Damaged);
    }

    #[test]
    fn flapping_before_a_long_rest_ends() {
        let settings = configuration(&[]);
        let (old, old_plan) = busy(&settings);
        let mut state = flapping::State::default();
        (0..3).for_each(|_| state = state.moved(true, T0));
        old.monitor(&old_plan, 0).expect("a monitor").flapping.store(state);
        let bytes = old.snapshot(T0, T0).bytes;
        for (days, flaps) in [(0, true), (7, false), (13, false)] {
            let now_ms = T0 + days * 86_400_000;
            let (new, plan, _) = board(&settings, Some(&bytes), now_ms);
            let state = new.monitor(&plan, 0).expect("a monitor").flapping.load();
            assert!(state.flapping, "its end has still to be told");
            assert_eq!(state.tick(now_ms).flapping, flaps, "after {days} days");
        }
    }

    fn board_words<T>() -> usize {
        size_of::<T>() / WORD
    }

    /// Bytes with this middle that pass for a snapshot.
    fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
        bytes.extend_from_slice(digest(&SHA256, &bytes).as_ref());
        bytes
    }

    /// The largest whole number that every reader of JSON has.
    const WHOLE_MAX: u64 = 1 << 53;

    /// Words that no board has: the end of the year 9999, counts beyond whole numbers, and anything.
    fn absurd() -> impl Strategy<Value = u64> {
        prop_oneof![any::<u64>(), Just(u64::MAX), Just(253_402_300_799_000), Just(WHOLE_MAX + 1), Just(1 << 62)]
    }

    /// Nothing in a status is beyond all measure, or of a time to come.
    fn assert_believable(name: &str, status: &serde_json::Value) {
        match status {
            serde_json::Value::Number(number) => {
                // What says how sure a comparison is has no measure.
                assert!(number.as_u64().unwrap_or(0) <= WHOLE_MAX, "{name} {number}");
            }
            serde_json::Value::String(text) if humantime::parse_rfc3339(text).is_ok() => {
                assert!(text.as_str() < "2027-12", "{name} {text}");
            }
            serde_json::Value::Array(values) => values.iter().for_each(|value| assert_believable(name, value)),
            serde_json::Value::Object(values) => {
                values.iter().for_each(|(at, value)| assert_believable(&format!("{name}.{at}"), value));
            }
            _ => {}
        }
    }

    #[test]
    fn figures_that_cannot_be_are_left_out_and_the_rest_is_loaded() {
        const YEAR_9999_MS: u64 = 253_402_300_799_000;
        let settings = configuration(&["window 10", "rollout 5%"]);
        let (old, plan) = busy(&settings);
        let monitor = old.monitor(&plan, 0).expect("a monitor");
        let sane = old.snapshot(T0 + 2000, T0 + 2000).bytes;
        let pool = monitor.pool(PoolId::new(2));
        pool.failed_attempts.store(7, Relaxed);
        pool.passed_on.store((1 << 53) + 1, Relaxed);
        pool.last_seen_ms.store(YEAR_9999_MS, Relaxed);
        let policy = Policy { cooldown_ms: 300_000, muted: false, reminds: true };
        let (told, _) = Throttle::default().on(Signal::Raised, T0 + 86_400_000, &policy);
        monitor.incident(Kind::Failover).throttle.store(told);
        monitor.maintenance.order(crate::board::maintenance::Order::Until(YEAR_9999_MS));
        let alert = |time_ms, filled| {
            let mut alert = crate::model::alert::tests::failover();
            (alert.time_ms, alert.since_ms, alert.window.filled) = (time_ms, 0, filled);
            old.outbox().publish(&alert, plan.sinks(), Delivery::Pending);
        };
        alert(YEAR_9999_MS, 1);
        alert(T0, u32::MAX);
        let absurd = old.snapshot(T0 + 2000, T0 + 2000).bytes;
        let restore = |bytes: &[u8]| {
            let board = Board::open(Region::private(super::super::needed_bytes(&settings)), T0).expect("a board");
            let reservation = board.reserve(&settings, T0).expect("room");
            let restored = board.restore(&reservation, &settings, bytes, T0 + 2000).expect("a state");
            (board, board.activate(reservation, &settings), restored.left_out)
        };
        assert_eq!(restore(&sane).2, 0);
        let (new, plan, left_out) = restore(&absurd);
        assert_eq!(left_out, 6);
        let monitor = new.monitor(&plan, 0).expect("a monitor");
        let pool = monitor.pool(PoolId::new(2));
        let figures = [&pool.failed_attempts, &pool.passed_on, &pool.last_seen_ms].map(|figure| figure.load(Relaxed));
        assert_eq!(figures, [7, 0, 0]);
        let throttle = monitor.incident(Kind::Failover).throttle.load();
        assert!(throttle.raised && throttle.told && !throttle.cooling_down(T0 + 2000, 300_000));
        assert!(!monitor.maintenance.is_on(T0 + 2000));
        assert_eq!(new.outbox().alerts().map(|alert| alert.id).collect::<Vec<_>>(), [1]);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn any_bytes_are_refused_or_harmless(bytes in proptest::collection::vec(any::<u8>(), 0..400), body in any::<bool>()) {
            let settings = configuration(&["window 10"]);
            let head = [MAGIC, FORMAT, T0, T0].iter().flat_map(|word| word.to_le_bytes());
            let bytes = if body { sealed(head.chain(bytes).collect()) } else { bytes };
            prop_assert!(board(&settings, Some(&bytes), T0).2.is_err());
        }

        #[test]
        fn any_words_make_a_board_that_works(
            seed in proptest::collection::vec((any::<prop::sample::Index>(), absurd()), 0..2000),
        ) {
            let settings = configuration(&["window 10", "latency p95 1s", "rollout 5%"]);
            let mut bytes = busy(&settings).0.snapshot(T0, T0).bytes;
            bytes.truncate(bytes.len() - SHA256_OUTPUT_LEN);
            // The lengths stay, so that the words get onto the board.
            let head = 4 + Shape::current().to_words().len();
            let name_at = (head + board_words::<SinkTable>() + board_words::<Outbox>()) * WORD;
            let window_at = name_at + WORD + "app".len() + MONITOR_WORDS * WORD;
            let rollout_at = window_at + WORD + (Shape::current().window_head + 10) * WORD;
            for (at, word) in seed {
                let at = head * WORD + at.index(bytes.len() - (head + 1) * WORD);
                let touches = |from: usize, len: usize| at + WORD > from && at < from + len;
                let is_length =
                    touches(name_at, WORD + "app".len()) || touches(window_at, WORD) || touches(rollout_at, WORD);
                if !is_length {
                    bytes[at..at + WORD].copy_from_slice(&word.to_le_bytes());
                }
            }
            let (board, plan, restored) = board(&settings, Some(&sealed(bytes)), T0);
            prop_assert_eq!(restored, Ok(T0));
            let monitor = board.monitor(&plan, 0).expect("a monitor");
            let window = board.window(monitor).expect("a window");
            prop_assert_eq!(window.counts().filled as usize, window.samples().count());
            let source = Source { board, plan: &plan, settings: &settings, now_ms: T0, step_ms: 0 };
            assert_believable("", &serde_json::from_slice(&crate::report::json::render(&source)).expect("JSON"));
            let metrics = String::from_utf8(crate::report::prometheus::render(&source)).expect("text");
            for line in metrics.lines().filter(|line| !line.starts_with('#')) {
                let count = line.rsplit_once(' ').and_then(|(_, value)| value.parse().ok());
                assert!(count.unwrap_or(0) <= WHOLE_MAX, "{line}");
            }
            monitor.history.points(monitor, T0);
            let alerts: Vec<Alert> = board.outbox().alerts().collect();
            alerts.iter().for_each(|alert| drop((alert.plain_text(), alert.to_json())));
            let (log, _lines) = crate::base::log::queue();
            let mut judge = crate::detect::judge::Judge::new(board, &plan, &settings, log);
            for second in 0..20 {
                let now_ms = T0 + second * 1000;
                judge.tick(now_ms);
                let attempts = [(PoolId::new(2), crate::model::ids::PeerId::NONE, 200)];
                judge.observe(&crate::model::event::Event::of_statuses(0, now_ms, &attempts, 200), now_ms);
            }
            board.outbox().publish(&crate::model::alert::tests::failover(), plan.sinks(), Delivery::Pending);
            let waiting = board.outbox().pending(plan.sinks()[0]);
            crate::deliver::coalesce::notifications(waiting.iter().filter_map(|id| board.outbox().get(*id)).collect());
            board.outbox().newly_lost(T0);
        }
    }
}
