//! Every interleaving of a few threads on the structures that workers share, under the model checker loom.
//!
//! The sources are taken in a second time here, with loom's atomics in place of the standard ones. The target has no
//! test harness, so that their own unit tests stay out.

#![allow(dead_code, unused_imports)]

#[path = "../src/base"]
mod base {
    /// What the sources know as `crate::base::atomic`.
    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::{AtomicI64, AtomicU64, fence};
    }
    /// Nobody dies by chance here.
    pub(crate) mod killed {
        pub(crate) fn may_be_killed() {}
    }
    pub mod name;
    pub mod shared;
    pub mod word;
}
#[path = "../src/model"]
mod model {
    pub mod ids;
    pub mod outcome;
    pub mod success;
}
#[path = "../src/rules"]
mod rules {
    pub mod limit;
}
#[path = "../src/board"]
mod board {
    pub mod cell;
    pub mod settled;
    pub mod text;
    pub mod window;
}
#[path = "../src/observe"]
mod observe {
    pub mod spsc;
}

use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};

use base::atomic::{AtomicU64, fence};
use base::word::Word;
use board::cell::Packed;
use board::settled::unsettled;
use board::text::TextCell;
use board::window::{Window, WindowHead};
use model::ids::PoolId;
use model::outcome::Outcome;

const NOW: u64 = 1_790_000_000_000;

struct Shared {
    head: WindowHead,
    ring: Vec<AtomicU64>,
}

impl Shared {
    fn new(size: usize) -> Arc<Shared> {
        Arc::new(Shared { head: WindowHead::default(), ring: (0..size).map(|_| AtomicU64::new(0)).collect() })
    }

    fn window(&self) -> Window<'_> {
        Window::new(&self.head, &self.ring)
    }

    fn record(&self, latency_ms: u32, outcome: Outcome) {
        self.window().record(NOW, latency_ms, outcome, PoolId::NONE);
    }

    /// The running counts are those of the words in the ring.
    fn assert_exact(&self) {
        let (window, counts) = (self.window(), self.window().counts());
        let count = |wanted| window.samples().filter(|sample| sample.outcome() == Some(wanted)).count();
        assert_eq!(counts.filled as usize, window.samples().count());
        assert_eq!(counts.failed as usize, count(Outcome::Failed));
        assert_eq!(counts.retried as usize, count(Outcome::Retried));
    }
}

fn writers_of_a_full_window_leave_exact_counts() {
    loom::model(|| {
        let shared = Shared::new(1);
        let other = shared.clone();
        let writer = loom::thread::spawn(move || {
            other.record(0, Outcome::Failed);
            other.record(0, Outcome::Answered);
        });
        shared.record(0, Outcome::Retried);
        writer.join().expect("the writer");
        shared.assert_exact();
    });
}

fn counts_are_never_out_of_range_while_writers_write() {
    loom::model(|| {
        let shared = Shared::new(1);
        let other = shared.clone();
        let writer = loom::thread::spawn(move || {
            other.record(0, Outcome::Failed);
            other.record(0, Outcome::Failed);
        });
        assert!(shared.window().counts().failed <= 1 && shared.window().counts().filled <= 1);
        writer.join().expect("the writer");
        shared.assert_exact();
    });
}

fn a_request_that_expires_while_it_is_displaced_leaves_once() {
    loom::model(|| {
        let shared = Shared::new(1);
        shared.record(0, Outcome::Failed);
        let other = shared.clone();
        let writer = loom::thread::spawn(move || other.window().record(NOW + 9000, 0, Outcome::Retried, PoolId::NONE));
        shared.window().expire(NOW + 1000);
        writer.join().expect("the writer");
        shared.assert_exact();
        assert_eq!(shared.window().counts().filled, 1);
    });
}

fn a_changed_latency_limit_and_a_writer_leave_exact_counts() {
    loom::model(|| {
        let shared = Shared::new(2);
        shared.record(700, Outcome::Answered);
        let other = shared.clone();
        let writer = loom::thread::spawn(move || other.record(900, Outcome::Answered));
        shared.window().set_slow_ms(500);
        writer.join().expect("the writer");
        // A writer that had read the old limit marks by it; the next change or lap sets that right.
        assert!((1..=2).contains(&shared.window().counts().slow));
        shared.window().set_slow_ms(u32::MAX);
        assert_eq!(shared.window().counts().slow, 0);
    });
}

/// What a worker says of itself: that it changes windows.
#[derive(Default)]
struct Mark(AtomicU64);

impl Mark {
    fn around(&self, change: impl FnOnce()) {
        self.0.store(1, Relaxed);
        fence(SeqCst);
        change();
        self.0.store(0, Release);
    }

    fn is_quiet(&self) -> bool {
        fence(SeqCst);
        self.0.load(Acquire) == 0
    }
}

/// A window of one place in which a writer was killed after its swap.
fn torn() -> Arc<Shared> {
    let (shared, killed) = (Shared::new(1), Shared::new(1));
    shared.record(0, Outcome::Failed);
    killed.record(0, Outcome::Retried);
    shared.ring[0].store(killed.ring[0].load(Relaxed), Relaxed);
    shared
}

/// Mends beside a change of another worker, and again after it where that was in the way.
fn assert_mended_beside(change: fn(&Window<'_>)) {
    loom::model(move || {
        let (shared, mark) = (torn(), Arc::new(Mark::default()));
        let (other, others_mark) = (shared.clone(), mark.clone());
        let writer = loom::thread::spawn(move || others_mark.around(|| change(&other.window())));
        let mended = shared.window().mend(|| mark.is_quiet());
        writer.join().expect("the writer");
        assert!(mended || shared.window().mend(|| mark.is_quiet()), "nobody is in the way any more");
        shared.assert_exact();
        // A count below zero reads as zero; it shows here.
        shared.record(0, Outcome::Retried);
        shared.assert_exact();
    });
}

fn what_a_killed_writer_left_is_mended_beside_writers() {
    assert_mended_beside(|window| window.record(NOW, 0, Outcome::Failed, PoolId::NONE));
    assert_mended_beside(|window| {
        // Every count is back at what it was, and yet there were other words in between.
        window.record(NOW, 0, Outcome::Answered, PoolId::NONE);
        window.record(NOW, 0, Outcome::Retried, PoolId::NONE);
    });
    assert_mended_beside(|window| window.expire(NOW + 1000));
}

/// A room of one makes the ends wait for each other all the time.
fn the_lane_hands_over_every_answer_whole_and_in_order() {
    loom::model(|| {
        let (producer, mut consumer) = observe::spsc::channel::<1>();
        let put = move |n: &u64| {
            let has_room = producer.has_room() || producer.look_for_room();
            if let Some(room) = producer.room() {
                room.put([*n, !*n, *n, !*n]);
            }
            has_room
        };
        let putting = loom::thread::spawn(move || (1..=3).filter(put).collect::<Vec<u64>>());
        let mut taken = Vec::new();
        let mut take = || consumer.take(1, &mut taken, |[a, b, c, d]| if [b, c, d] == [!a, a, !a] { a } else { 0 });
        take();
        take();
        let put = putting.join().expect("the other end");
        take();
        assert_eq!(taken, put);
    });
}

/// A state machine that goes round in three steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step(u64);

impl Word for Step {
    fn to_word(self) -> u64 {
        self.0
    }

    fn from_word(word: u64) -> Step {
        Step(word)
    }
}

fn each_update_of_a_cell_sees_what_the_one_before_it_left() {
    loom::model(|| {
        let cell = Arc::new(Packed::<Step>::default());
        let advance = |cell: &Packed<Step>| cell.update(|Step(step)| Step((step + 1) % 3)).0;
        let other = cell.clone();
        let writer = loom::thread::spawn(move || [advance(&other), advance(&other)]);
        let own = advance(&cell);
        let mut seen: Vec<u64> =
            writer.join().expect("the writer").iter().chain([&own]).map(|Step(step)| *step).collect();
        seen.sort_unstable();
        assert_eq!((seen.as_slice(), cell.load()), (&[0, 1, 2][..], Step(0)), "each step was left exactly once");
    });
}

fn what_was_written_before_an_update_is_seen_with_it() {
    loom::model(|| {
        let shared = Arc::new((AtomicU64::new(0), Packed::<Step>::default()));
        let other = shared.clone();
        let writer = loom::thread::spawn(move || {
            other.0.store(7, Relaxed);
            other.1.update(|_| Step(1));
        });
        if shared.1.load() == Step(1) {
            assert_eq!(shared.0.load(Relaxed), 7);
        }
        writer.join().expect("the writer");
    });
}

/// A cell, its twin, who is at it, and how often what was decided is told.
#[derive(Default)]
struct Decided {
    cell: Packed<Step>,
    settled: Packed<Step>,
    mark: Mark,
    told: [AtomicU64; 3],
}

impl Decided {
    /// A worker decides and tells; one that is killed does the first few things of that, and is at it no more.
    fn decide(&self, things: usize) {
        let decide = || {
            // Not by a look and a swap: behind its own look, loom does not try what others might have looked at before.
            if self.cell.replace(Step(0), Step(1)) {
                return Step(1);
            }
            assert!(self.cell.replace(Step(1), Step(2)));
            Step(2)
        };
        self.mark.around(|| {
            let mut decided = Step(0);
            for thing in 0..things {
                match thing {
                    0 => decided = decide(),
                    1 => self.tell(decided),
                    _ => self.settled.store(decided),
                }
            }
        });
    }

    fn tell(&self, Step(step): Step) {
        self.told[step as usize].fetch_add(1, Relaxed);
    }

    /// Returns whether something was left to be told.
    fn mend(&self) -> bool {
        let found = unsettled(|| self.cell.load(), || self.settled.load(), || self.mark.is_quiet());
        let Some((Step(before), Step(step))) = found else { return false };
        assert_eq!(before + 1, step);
        if self.told[step as usize].load(Relaxed) == 0 {
            self.tell(Step(step));
        }
        self.settled.store(Step(step));
        true
    }
}

fn what_a_killed_worker_decided_is_told_once_beside_one_that_decides() {
    const ALL: usize = 3;
    for [killed, other] in [[0, 1], [0, 2], [0, ALL], [1, ALL], [2, ALL]] {
        loom::model(move || {
            let decided = Arc::new(Decided::default());
            decided.decide(killed);
            let shared = decided.clone();
            let worker = loom::thread::spawn(move || shared.decide(other));
            let mended = decided.mend();
            worker.join().expect("a worker");
            let mended = decided.mend() | mended;
            assert!(!mended || [killed, other] != [0, ALL], "nobody was killed");
            let told = decided.told.each_ref().map(|told| told.load(Relaxed));
            let Step(last) = decided.cell.load();
            // What was decided before it may have been superseded before anybody could tell it.
            assert!(told[last as usize] == 1 && told.iter().all(|told| *told <= 1), "{killed} {other}: {told:?}");
        });
    }
}

/// A cell of two words shows the same as one of six, in a time that can be waited for.
type Cell = TextCell<2>;
const NAMES: [&str; 3] = ["", "blue", "a-green-release"];

fn a_name_is_read_whole_or_not_at_all() {
    loom::model(|| {
        let cell = Arc::new(Cell::default());
        cell.store(b"blue");
        let other = cell.clone();
        let writer = loom::thread::spawn(move || other.store(b"a-green-release"));
        assert!(NAMES.contains(&cell.load().as_str()));
        writer.join().expect("the writer");
        assert_eq!(cell.load(), "a-green-release");
    });
}

fn two_writers_of_a_name_leave_one_of_them_or_none() {
    loom::model(|| {
        let cell = Arc::new(Cell::default());
        let other = cell.clone();
        let writer = loom::thread::spawn(move || other.store(b"blue"));
        cell.store(b"a-green-release");
        writer.join().expect("the writer");
        assert!(NAMES.contains(&cell.load().as_str()));
        cell.store(b"red");
        assert_eq!(cell.load(), "red");
    });
}

fn main() {
    let models: [(&str, fn()); 11] = [
        ("the_lane_hands_over_every_answer_whole_and_in_order", the_lane_hands_over_every_answer_whole_and_in_order),
        ("writers_of_a_full_window_leave_exact_counts", writers_of_a_full_window_leave_exact_counts),
        ("counts_are_never_out_of_range_while_writers_write", counts_are_never_out_of_range_while_writers_write),
        (
            "a_request_that_expires_while_it_is_displaced_leaves_once",
            a_request_that_expires_while_it_is_displaced_leaves_once,
        ),
        (
            "a_changed_latency_limit_and_a_writer_leave_exact_counts",
            a_changed_latency_limit_and_a_writer_leave_exact_counts,
        ),
        ("what_a_killed_writer_left_is_mended_beside_writers", what_a_killed_writer_left_is_mended_beside_writers),
        (
            "each_update_of_a_cell_sees_what_the_one_before_it_left",
            each_update_of_a_cell_sees_what_the_one_before_it_left,
        ),
        ("what_was_written_before_an_update_is_seen_with_it", what_was_written_before_an_update_is_seen_with_it),
        (
            "what_a_killed_worker_decided_is_told_once_beside_one_that_decides",
            what_a_killed_worker_decided_is_told_once_beside_one_that_decides,
        ),
        ("a_name_is_read_whole_or_not_at_all", a_name_is_read_whole_or_not_at_all),
        ("two_writers_of_a_name_leave_one_of_them_or_none", two_writers_of_a_name_leave_one_of_them_or_none),
    ];
    for (name, model) in models {
        model();
        println!("test {name} ... ok");
    }
    println!("{} passed, 0 failed", models.len());
}
