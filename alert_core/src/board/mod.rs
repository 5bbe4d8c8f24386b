//! The board: everything that the workers share, in one piece of memory without pointers and without locks.
//!
//! It begins with a [`Header`] at a fixed place; the monitors and their windows follow, each in an extent of its own.
//! All-zero is an empty board. What a worker leaves half done that is killed, another one mends.
//!
//! A new configuration takes two steps, because nginx can still refuse it after the first: [`Board::reserve`] finds room
//! and changes nothing that anybody sees, [`Board::activate`] puts the configuration into force and cannot fail.

pub mod alert;
pub mod cell;
mod configured;
pub mod crowding;
pub mod doorbell;
pub(crate) mod epoch;
pub mod examples;
pub mod extent;
pub mod facts;
pub mod history;
pub mod lease;
pub mod maintenance;
pub mod monitor;
mod orphans;
pub mod outbox;
pub mod peer;
mod plan;
mod pool;
mod predecessor;
pub mod region;
pub mod releases;
pub mod rollout;
mod sane;
pub mod settled;
mod shape;
pub mod sink;
pub mod snapshot;
pub mod split;
mod tally;
pub mod text;
pub mod window;
pub mod worker;

use std::fmt;
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering, Ordering::Relaxed};

use extent::{Extent, ExtentTable, Use};
use lease::Lease;
use monitor::MonitorBoard;
use plan::MonitorPlan;
pub use plan::{Plan, Reservation};
use region::Region;
use rollout::RolloutBoard;
use sink::SinkTable;
use worker::WorkerTable;

use crate::base::clock::Clock;
use crate::base::shared::shared;
use crate::board::outbox::Outbox;
use crate::board::window::{Window, WindowHead};
use crate::settings::{MonitorSettings, Settings};
use crate::sink::SINKS_MAX;

/// "alertbrd" in ASCII.
const MAGIC: u64 = u64::from_be_bytes(*b"alertbrd");
/// Changes whenever the meaning of the board does; its size is part of it, to catch a forgotten change.
const LAYOUT: u64 = (4 << 32) | (size_of::<Header>() + size_of::<MonitorBoard>() + size_of::<RolloutBoard>()) as u64;

/// Bytes at the start of the memory of a board that must be zero where it is new.
pub const HEADER_BYTES: usize = size_of::<Header>();
/// The first word behind the header.
const FIRST: usize = size_of::<Header>() / 8;
/// Monitors of one configuration: each takes an extent for its state, one for its window, and one for its rollout if it
/// can have one.
pub const MONITORS_MAX: usize = extent::EXTENTS_MAX / 2;

/// The place of a caller who fetches alerts, under a name that no sink can have.
const POLL: &str = "(poll)";

shared! {
/// The fixed part of the board.
#[derive(Debug)]
pub struct Header {
    magic: AtomicU64,
    layout: AtomicU64,
    /// Number of the configuration in force; workers of older ones count and do not judge.
    generation: AtomicU64,
    created_ms: AtomicU64,
    /// Key of the configuration in force where processes may join it, else zero.
    joined_by: AtomicU64,
    saving: Saving,
    extents: ExtentTable,
    workers: WorkerTable,
    sinks: SinkTable,
    outbox: Outbox,
    /// [`Clock::offset_ms`].
    clock: AtomicU64,
    /// [`Board::ahead_of_wall_ms`].
    ahead_of_wall_ms: AtomicU64,
    /// The number before that of the first configuration.
    began_at: AtomicU64,
}
}

shared! {
/// How the board is saved to a file.
#[derive(Debug)]
pub struct Saving {
    /// Who does it.
    pub lease: Lease,
    /// Fingerprint of what was saved last.
    pub saved: AtomicU64,
    /// Whether the last try failed.
    pub failed: AtomicU64,
}
}

/// The board of all workers.
#[derive(Clone, Copy, Debug)]
pub struct Board {
    region: Region,
    header: &'static Header,
}

/// Why there is no board, or no room on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The memory is too small; it has to be at least this large, in bytes.
    TooSmall {
        /// Bytes that are needed.
        needed: usize,
    },
    /// The memory holds something else, or a board of another version.
    Foreign,
    /// There is room for this configuration alone, and not beside what is in use.
    Full {
        /// Bytes that are needed for both.
        needed: usize,
    },
    /// More sinks than a board can hold.
    TooManySinks,
    /// More monitors than a board can hold, those counted whose workers still drain.
    TooManyMonitors,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooSmall { needed } => write!(f, "is too small, it needs at least {}k", needed.div_ceil(1024)),
            Error::Full { needed } => write!(
                f,
                "has no room for these monitors and their windows beside those in use, it would need {}k; \
                 make it larger or restart nginx",
                needed.div_ceil(1024)
            ),
            Error::Foreign => f.write_str("holds the state of another version, give it another name or restart nginx"),
            Error::TooManySinks => write!(f, "has room for at most {} sinks", SINKS_MAX),
            Error::TooManyMonitors => {
                write!(
                    f,
                    "has room for at most {MONITORS_MAX} monitors, two thirds as many with rollouts, half as many to reload"
                )
            }
        }
    }
}

impl std::error::Error for Error {}

impl Board {
    /// Takes memory as a board: a new one, whose clock says `now_ms`, where it is all zero; else
    /// the one that is there.
    ///
    /// # Errors
    /// Memory that is too small, or that holds something else.
    pub fn open(region: Region, now_ms: u64) -> Result<Board, Error> {
        let header: &Header = region.get(0).ok_or(Error::TooSmall { needed: size_of::<Header>() })?;
        match (header.magic.load(Ordering::Acquire), header.layout.load(Relaxed)) {
            (0, 0) if region.slice(0, FIRST).is_some_and(is_zero) => {
                header.created_ms.store(now_ms, Relaxed);
                header.clock.store(Clock::that_says(now_ms).offset_ms(), Relaxed);
                header.layout.store(LAYOUT, Relaxed);
                header.magic.store(MAGIC, Ordering::Release);
            }
            (MAGIC, LAYOUT) if header.extents.is_within(FIRST, region.words()) => (),
            _ => return Err(Error::Foreign),
        }
        Ok(Board { region, header })
    }

    /// Takes memory as a new board, whatever it holds. Workers that have it for another one find a configuration in force that
    /// is not theirs, so they judge and deliver nothing more.
    ///
    /// # Errors
    /// Memory that is too small.
    pub fn begin_anew(region: Region, now_ms: u64) -> Result<Board, Error> {
        region.slice(0, FIRST).unwrap_or_default().iter().for_each(|word| word.store(0, Relaxed));
        let board = Board::open(region, now_ms)?;
        // No board has had so many configurations.
        [&board.header.began_at, &board.header.generation].iter().for_each(|number| number.store(now_ms, Relaxed));
        Ok(board)
    }

    /// Its size.
    pub fn bytes(&self) -> usize {
        self.region.words() * 8
    }

    /// Number of the configuration in force.
    #[inline]
    pub fn generation(&self) -> u64 {
        self.header.generation.load(Relaxed)
    }

    /// Whether no configuration was ever in force here.
    pub fn is_new(&self) -> bool {
        self.generation() == self.header.began_at.load(Relaxed)
    }

    /// The clock that all its times are of.
    #[inline]
    pub fn clock(&self) -> Clock {
        Clock::from_offset_ms(self.header.clock.load(Relaxed))
    }

    /// How far the clock of the board is ahead of the wall clock, in milliseconds (wraps), as all workers have it, given what
    /// one of them measured. Clocks that are cut to milliseconds, and a worker that loses the processor between two looks,
    /// leave a doubt of some of them; were each worker to keep its own measure, an event of one could seem to come before an
    /// earlier one of another. Only a step of the wall clock is another measure.
    pub fn ahead_of_wall_ms(&self, measured: u64) -> u64 {
        const STEP_MIN_MS: u64 = 100;
        // Zero is: not agreed yet. A board made just now is ahead by nothing, or by a millisecond, which is within the doubt.
        let measured = if measured == 0 { u64::MAX } else { measured };
        let cell = &self.header.ahead_of_wall_ms;
        let is_near = |agreed: u64| agreed != 0 && (measured.wrapping_sub(agreed) as i64).unsigned_abs() < STEP_MIN_MS;
        let agreed = cell.load(Relaxed);
        if is_near(agreed) {
            return agreed;
        }
        match cell.compare_exchange(agreed, measured, Relaxed, Relaxed) {
            // Another worker was faster.
            Err(agreed) if is_near(agreed) => agreed,
            _ => measured,
        }
    }

    fn set_clock(&self, clock: Clock, now_ms: u64) {
        self.header.clock.store(clock.offset_ms(), Relaxed);
        self.header.created_ms.store(now_ms, Relaxed);
    }

    /// When the board was made, by its clock.
    pub fn created_ms(&self) -> u64 {
        self.header.created_ms.load(Relaxed)
    }

    /// The workers.
    pub fn workers(&self) -> &'static WorkerTable {
        &self.header.workers
    }

    /// The sinks.
    pub fn sinks(&self) -> &'static SinkTable {
        &self.header.sinks
    }

    /// The alerts.
    pub fn outbox(&self) -> &'static Outbox {
        &self.header.outbox
    }

    /// How it is saved.
    pub fn saving(&self) -> &'static Saving {
        &self.header.saving
    }

    /// A monitor of the plan.
    pub fn monitor(&self, plan: &Plan, monitor: usize) -> Option<&'static MonitorBoard> {
        self.monitor_at(plan.monitors.get(monitor)?.state)
    }

    /// The window of a monitor as it is now.
    #[inline]
    pub fn window(&self, monitor: &MonitorBoard) -> Option<Window<'static>> {
        let extent = self.window_extent(monitor)?;
        let (offset, head_len) = (extent.offset as usize, size_of::<WindowHead>() / 8);
        let head = self.region.get(offset)?;
        let ring = self.region.slice(offset + head_len, (extent.len as usize).checked_sub(head_len)?)?;
        (!ring.is_empty()).then(|| Window::new(head, ring))
    }

    /// The rollout of a monitor of the plan; `None` where its directives ask for none.
    pub fn rollout(&self, plan: &Plan, monitor: usize) -> Option<&'static RolloutBoard> {
        self.region.get(plan.monitors.get(monitor)?.rollout?.offset as usize)
    }

    /// Where the rollout of a monitor lies.
    fn rollout_extent(&self, monitor: &MonitorBoard) -> Option<Extent> {
        let extent = monitor.rollout.load();
        let is_whole = extent.len as usize == size_of::<RolloutBoard>() / 8;
        (is_whole && self.header.extents.holds(extent, Use::Rollout)).then_some(extent)
    }

    /// Where the window of a monitor lies. A word that names no extent of the table was not written by a board.
    fn window_extent(&self, monitor: &MonitorBoard) -> Option<Extent> {
        let extent = monitor.window.load();
        (extent.offset as usize >= FIRST && self.header.extents.holds(extent, Use::Window)).then_some(extent)
    }

    /// Finds room for a configuration. Nothing that is in force changes.
    ///
    /// # Errors
    /// No room; the error says how much is needed.
    pub fn reserve(&self, settings: &Settings, now_ms: u64) -> Result<Reservation, Error> {
        let table = &self.header.extents;
        table.sweep(self.workers().oldest_generation(now_ms).min(self.generation()));
        if settings.sinks.len() > SINKS_MAX {
            return Err(Error::TooManySinks);
        }
        let reserve =
            |words, kind| table.reserve(&self.region, FIRST, words, kind).ok_or_else(|| self.no_room_for(settings));
        let mut monitors = Vec::with_capacity(settings.monitors.len());
        for monitor in &settings.monitors {
            let known = self.find_monitor(&monitor.name);
            let state = match known {
                Some(extent) => extent,
                None => reserve(size_of::<MonitorBoard>() / 8, Use::Monitor)?,
            };
            let words = window_words(monitor);
            let current = known
                .and_then(|extent| self.window_extent(self.monitor_at(extent)?))
                .filter(|window| window.len as usize == words);
            let window = match current {
                Some(extent) => extent,
                None => reserve(words, Use::Window)?,
            };
            let rollout = match known.and_then(|extent| self.rollout_extent(self.monitor_at(extent)?)) {
                _ if !monitor.rollout.is_written => None,
                Some(extent) => Some(extent),
                None => Some(reserve(size_of::<RolloutBoard>() / 8, Use::Rollout)?),
            };
            monitors.push(MonitorPlan { state, window, rollout, pools: Vec::new() });
        }
        Ok(Reservation::new(monitors))
    }

    /// Puts a reserved configuration into force.
    pub fn activate(&self, reservation: Reservation, settings: &Settings) -> Plan {
        let wanted: Vec<Extent> = reservation.monitors.iter().flat_map(MonitorPlan::extents).collect();
        let mut plan = self.lay_out(reservation, settings);
        self.header.extents.commit(&wanted, self.generation());
        self.header.joined_by.store(0, Relaxed);
        plan.generation = self.header.generation.fetch_add(1, Ordering::AcqRel).wrapping_add(1);
        self.end_orphans(&plan, settings);
        plan
    }

    /// Puts a reserved configuration into force, or joins it where the one in force has the same key.
    ///
    /// For processes that have no master to do this once for all of them: the key says whose configurations are equal.
    pub fn activate_or_join(&self, reservation: Reservation, settings: &Settings, key: NonZeroU64) -> Plan {
        if self.header.joined_by.load(Ordering::Acquire) == key.get() {
            return self.lay_out(reservation, settings);
        }
        let plan = self.activate(reservation, settings);
        self.header.joined_by.store(key.get(), Ordering::Release);
        plan
    }

    /// Brings everything shared in line with a configuration, of the generation that is in force.
    fn lay_out(&self, Reservation { mut monitors, polled }: Reservation, settings: &Settings) -> Plan {
        for (place, monitor) in monitors.iter_mut().zip(&settings.monitors) {
            let Some(board) = self.monitor_at(place.state) else { continue };
            let before = board.window.swap(place.window);
            board.configure(place, monitor, self.clock().now_ms());
            if let Some(window) = self.window(board) {
                if before != place.window && before != Extent::NONE {
                    window.begin_anew();
                }
                window.set_slow_ms(monitor.latency.map_or(u32::MAX, |latency| latency.limit_ms));
            }
        }
        let sinks = settings.sinks.iter().map(|sink| (sink.name.as_str(), sink.fingerprint()));
        let names = sinks.chain(polled.then_some((POLL, 0)));
        let forget = |sink| self.outbox().forget(sink);
        let mut sinks = self.sinks().assign(&names.collect::<Vec<_>>(), forget).unwrap_or_default();
        let poll = if polled { sinks.pop() } else { None };
        Plan { generation: self.generation(), monitors, sinks, poll }
    }

    fn no_room_for(&self, settings: &Settings) -> Error {
        let (table, needed) = (&self.header.extents, needed_bytes(settings));
        if needed > self.region.words() * 8 {
            Error::TooSmall { needed }
        } else if table.is_full() {
            Error::TooManyMonitors
        } else {
            Error::Full { needed: needed + table.words_in_use() * 8 }
        }
    }

    fn monitor_at(&self, extent: Extent) -> Option<&'static MonitorBoard> {
        let offset = extent.offset as usize;
        if offset < FIRST { None } else { self.region.get(offset) }
    }

    fn find_monitor(&self, name: &str) -> Option<Extent> {
        self.header
            .extents
            .live(Use::Monitor)
            .find(|extent| self.monitor_at(*extent).is_some_and(|monitor| monitor.name.load() == name))
    }
}

fn is_zero(words: &[AtomicU64]) -> bool {
    words.iter().all(|word| word.load(Relaxed) == 0)
}

fn window_words(settings: &MonitorSettings) -> usize {
    size_of::<WindowHead>() / 8 + settings.window as usize
}

/// Bytes that a board with this configuration alone needs.
pub fn needed_bytes(settings: &Settings) -> usize {
    let bytes = |monitor| size_of::<MonitorBoard>() + window_words(monitor) * 8 + rollout_bytes(monitor);
    size_of::<Header>() + settings.monitors.iter().map(bytes).sum::<usize>()
}

/// Bytes that a board needs on which this configuration follows the one `before`, whose workers still drain.
pub fn needed_bytes_beside(settings: &Settings, before: &Settings) -> usize {
    let added = |monitor: &MonitorSettings| {
        let window = window_words(monitor) * 8;
        match before.monitors.iter().find(|known| known.name == monitor.name) {
            None => size_of::<MonitorBoard>() + window + rollout_bytes(monitor),
            Some(known) => {
                let window = if known.window == monitor.window { 0 } else { window };
                window + rollout_bytes(monitor).saturating_sub(rollout_bytes(known))
            }
        }
    };
    needed_bytes(before) + settings.monitors.iter().map(added).sum::<usize>()
}

fn rollout_bytes(settings: &MonitorSettings) -> usize {
    if settings.rollout.is_written { size_of::<RolloutBoard>() } else { 0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::mem::offset_of;

    use super::*;
    use crate::model::ids::PoolId;
    use crate::model::outcome::Outcome;
    use crate::rules::failover;
    use crate::settings::MonitorReader;

    /// Settings with one monitor `app` of these directives.
    pub(crate) fn settings(lines: &[&str]) -> Settings {
        let mut reader = MonitorReader::new("app").expect("a name");
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            reader.directive(&words, &mut |address| Ok(vec![address.to_string()])).expect("a directive");
        }
        Settings { monitors: vec![reader.finish().expect("settings")], ..Settings::default() }
    }

    fn apply(board: &Board, settings: &Settings) -> (Plan, &'static MonitorBoard) {
        let plan = board.activate(board.reserve(settings, 0).expect("room"), settings);
        let monitor = board.monitor(&plan, 0).expect("a monitor");
        (plan, monitor)
    }

    #[test]
    fn all_workers_agree_on_how_far_the_clock_is_ahead_also_where_that_is_nothing() {
        for first in [0, 1, u64::MAX, 5000] {
            let board = Board::open(Region::private(1 << 20), 0).expect("a board");
            let agreed = board.ahead_of_wall_ms(first);
            assert!(agreed.wrapping_sub(first).wrapping_add(1) <= 1, "{agreed} for {first}");
            for measured in [first, first.wrapping_add(1), first.wrapping_sub(1), first.wrapping_add(20)] {
                assert_eq!(board.ahead_of_wall_ms(measured), agreed, "{measured} after {first}");
            }
        }
    }

    #[test]
    fn a_reload_keeps_the_window_and_a_changed_size_starts_it_anew() {
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let (_, monitor) = apply(&board, &settings(&["window 10"]));
        board.window(monitor).expect("a window").record(0, 0, Outcome::Failed, PoolId::NONE);
        let (plan, monitor) = apply(&board, &settings(&["window 10", "error_rate 5%"]));
        assert_eq!((plan.generation, board.window(monitor).expect("a window").counts().filled), (2, 1));
        let (_, monitor) = apply(&board, &settings(&["window 11"]));
        assert_eq!(board.window(monitor).expect("a window").counts().filled, 0);
    }

    #[test]
    fn a_reload_keeps_the_rollout_and_a_monitor_without_its_directives_has_none() {
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let (plan, _) = apply(&board, &settings(&["window 10"]));
        assert!(board.rollout(&plan, 0).is_none());
        let (plan, _) = apply(&board, &settings(&["window 10", "rollout 5%"]));
        board.rollout(&plan, 0).expect("a rollout").salt.store(7, Relaxed);
        let (plan, _) = apply(&board, &settings(&["window 11", "rollout 10%"]));
        assert_eq!(board.rollout(&plan, 0).expect("a rollout").salt.load(Relaxed), 7);
        let (plan, _) = apply(&board, &settings(&["window 11"]));
        assert!(board.rollout(&plan, 0).is_none());
    }

    #[test]
    fn many_reloads_with_changed_windows_do_not_fill_the_board() {
        let first = settings(&["window 1000"]);
        let board = Board::open(Region::private(needed_bytes(&first) + 3 * 9000), 0).expect("a board");
        for round in 0..100 {
            apply(&board, &settings(&[if round % 2 == 0 { "window 1000" } else { "window 1001" }]));
        }
    }

    #[test]
    fn a_refused_configuration_leaves_the_one_in_force() {
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let (_, monitor) = apply(&board, &settings(&["window 10"]));
        for _ in 0..1000 {
            board.reserve(&settings(&["window 5000"]), 0).expect("room");
        }
        assert_eq!((board.generation(), board.window(monitor).expect("a window").size()), (1, 10));
    }

    #[test]
    fn processes_with_equal_settings_join_and_with_others_take_over() {
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let enter = |lines: &[&str], key| {
            let settings = settings(lines);
            let mut reservation = board.reserve(&settings, 0).expect("room");
            reservation.let_poll();
            board.activate_or_join(reservation, &settings, NonZeroU64::new(key).expect("a key"))
        };
        let (first, second) = (enter(&["window 10"], 1), enter(&["window 10"], 1));
        assert_eq!((first.generation, second.generation, first.poll()), (1, 1, second.poll()));
        assert_eq!(first.monitors[0].window, second.monitors[0].window);
        assert_eq!((enter(&["window 20"], 2).generation, enter(&["window 10"], 1).generation), (2, 3));
    }

    #[test]
    fn too_little_memory_says_how_much_is_needed() {
        let settings = settings(&["window 100000"]);
        let board = Board::open(Region::private(1 << 19), 0).expect("a board");
        let Err(Error::TooSmall { needed }) = board.reserve(&settings, 0) else { panic!("it cannot fit") };
        let board = Board::open(Region::private(needed), 0).expect("a board");
        assert!(board.reserve(&settings, 0).is_ok());
    }

    #[test]
    fn what_is_needed_beside_a_configuration_is_enough_for_the_one_that_follows_it() {
        let before = settings(&["window 100"]);
        for (follows, added) in [
            (settings(&["window 100"]), 0),
            (settings(&["window 300"]), window_words(&settings(&["window 300"]).monitors[0]) * 8),
            (settings(&["window 100", "split_by $remote_addr"]), size_of::<RolloutBoard>()),
        ] {
            let needed = needed_bytes_beside(&follows, &before);
            assert_eq!(needed, needed_bytes(&before) + added);
            let board = Board::open(Region::private(needed), 0).expect("a board");
            apply(&board, &before);
            assert!(board.reserve(&follows, 0).is_ok());
        }
    }

    #[test]
    fn a_configuration_that_fits_alone_and_not_beside_the_one_in_force_says_how_much_both_need() {
        let (first, second) = (settings(&["window 70000"]), settings(&["window 70001"]));
        let small = Board::open(Region::private(needed_bytes(&first) + (1 << 18)), 0).expect("a board");
        apply(&small, &first);
        let Err(Error::Full { needed }) = small.reserve(&second, 0) else { panic!("it cannot fit") };
        let large = Board::open(Region::private(needed), 0).expect("a board");
        apply(&large, &first);
        assert!(large.reserve(&second, 0).is_ok());
    }

    #[test]
    fn foreign_memory_is_refused() {
        // Something else, and what only begins like new memory.
        for at in [0, 7, FIRST - 1] {
            let region = Region::private(1 << 20);
            region.slice(at, 1).expect("a word")[0].store(42, Relaxed);
            assert_eq!(Board::open(region, 0).err(), Some(Error::Foreign));
        }
    }

    #[test]
    fn a_board_whose_head_was_overwritten_is_begun_anew_and_its_workers_judge_no_more() {
        let settings = settings(&["window 10"]);
        for damage in [0, 1, offset_of!(Header, extents) / 8] {
            let region = Region::private(1 << 20);
            let before = apply(&Board::open(region, 0).expect("a board"), &settings).0;
            region.slice(damage, 1).expect("a word")[0].store(u64::MAX, Relaxed);
            assert_eq!(Board::open(region, 0).err(), Some(Error::Foreign), "{damage}");
            let board = Board::begin_anew(region, 7_000).expect("a board");
            assert!(board.is_new(), "{damage}");
            let (after, monitor) = apply(&board, &settings);
            assert!(!board.is_new() && board.generation() == after.generation && after.generation != before.generation);
            assert_eq!(board.window(monitor).expect("a window").counts().filled, 0);
            assert_eq!(apply(&Board::open(region, 0).expect("a board"), &settings).0.generation, after.generation + 1);
        }
    }

    #[test]
    fn a_window_that_lies_where_none_was_reserved_is_not_used() {
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let settings = settings(&["window 10"]);
        let (plan, monitor) = apply(&board, &settings);
        let right = monitor.window.load();
        let state = plan.monitors[0].state;
        for stray in [Extent { offset: 2, ..right }, state, Extent { len: right.len + 1, ..right }] {
            monitor.window.store(stray);
            assert!(board.window(monitor).is_none(), "{stray:?}");
            let (_, monitor) = apply(&board, &settings);
            assert_eq!(board.window(monitor).map(|window| window.size()), Some(10), "a reload mends it");
        }
    }

    #[test]
    fn a_changed_active_pool_is_expected_to_serve() {
        let board = Board::open(Region::private(1 << 20), 0).expect("a board");
        let pools = ["pool blue a", "pool green b", "active blue"];
        let (plan, monitor) = apply(&board, &settings(&pools));
        assert_eq!(monitor.serving(), plan.pools(0)[0]);
        monitor.set_failover(failover::State::serving(plan.pools(0)[1]));
        let (_, monitor) = apply(&board, &settings(&pools));
        assert_eq!(monitor.serving(), plan.pools(0)[1], "an unchanged setting changes nothing");
        let (plan, monitor) = apply(&board, &settings(&["pool blue a", "pool green b", "active green"]));
        assert_eq!((monitor.serving(), monitor.active()), (plan.pools(0)[1], plan.pools(0)[1]));
    }
}
