//! The producer: the short way of the usual answers from the event loop to the detector.
//!
//! Nearly every request is answered at the first try by the pool that serves. That is counted, but nothing is decided by
//! it that somebody waits for, and only one thread finds it out. So it needs neither the room of an event, nor a channel
//! that any thread may put into, nor to wake the detector, which comes by every few milliseconds: a ring of a few
//! words for each, without any read-modify-write, is a tenth of the channel's instructions. Everything else goes through the
//! channel. Order holds across both: an event says how many answers went ahead of it.

use std::array;
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use crate::base::atomic::AtomicU64;
use crate::model::success::WORDS;

/// Answers that wait for the detector at most: a tenth of a second at 40,000 requests a second. What does not fit goes
/// through the channel.
pub(crate) const CAPACITY: usize = 4096;

/// The end of the event loop.
#[derive(Debug)]
pub struct Producer<const N: usize = CAPACITY> {
    ring: Arc<Ring<N>>,
    is_closed: Cell<bool>,
}

/// The end of the detector.
#[derive(Debug)]
pub(crate) struct Consumer<const N: usize = CAPACITY>(Arc<Ring<N>>);

#[derive(Debug)]
#[repr(C)]
struct Ring<const N: usize> {
    /// How many were put since the start, which the producer writes.
    put: Alone<AtomicU64>,
    /// How many were taken, which the consumer writes.
    taken: Alone<AtomicU64>,
    /// Up to how many there is room, as far as the producer looked; zero once the consumer rests.
    limit: Alone<AtomicU64>,
    slots: [[AtomicU64; WORDS]; N],
}

/// What has its cache lines for itself.
#[derive(Debug)]
#[repr(align(128))]
struct Alone<T>(T);

/// A producer for one thread that puts and one that takes. Its room is a power of two.
pub(crate) fn channel<const N: usize>() -> (Producer<N>, Consumer<N>) {
    let word = |value| Alone(AtomicU64::new(value));
    let slots = array::from_fn(|_| array::from_fn(|_| AtomicU64::new(0)));
    let ring = Arc::new(Ring { put: word(0), taken: word(0), limit: word(N as u64), slots });
    (Producer { ring: ring.clone(), is_closed: Cell::new(false) }, Consumer(ring))
}

/// Room for one answer.
pub(crate) struct Room<'a, const N: usize = CAPACITY> {
    ring: &'a Ring<N>,
    count: u64,
}

impl<const N: usize> Room<'_, N> {
    /// Puts an answer there.
    #[inline(always)]
    pub(crate) fn put(self, [a, b, c, d]: [u64; WORDS]) {
        let slot = &self.ring.slots[self.count as usize % N];
        slot[0].store(a, Relaxed);
        slot[1].store(b, Relaxed);
        slot[2].store(c, Relaxed);
        slot[3].store(d, Relaxed);
        self.ring.put.0.store(self.count + 1, Release);
    }
}

impl<const N: usize> Producer<N> {
    /// Whether an answer can be put, and the consumer does not rest, as far as is known without a look.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.room().is_some()
    }

    /// The room for an answer, by the same rule.
    #[inline(always)]
    pub(crate) fn room(&self) -> Option<Room<'_, N>> {
        let count = self.count();
        (count < self.ring.limit.0.load(Relaxed)).then_some(Room { ring: &self.ring, count })
    }

    /// Looks how much room there is. Returns whether there is any.
    pub(crate) fn look_for_room(&self) -> bool {
        if !self.is_closed.get() {
            self.ring.limit.0.store(self.ring.taken.0.load(Acquire) + N as u64, Relaxed);
        }
        self.has_room()
    }

    /// Lets nothing more be put.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.ring.limit.0.store(0, Relaxed);
    }

    /// How many were put since the start.
    #[inline(always)]
    pub(crate) fn count(&self) -> u64 {
        // Nobody else writes it.
        self.ring.put.0.load(Relaxed)
    }
}

impl<const N: usize> Consumer<N> {
    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        (self.0.put.0.load(Acquire) - self.count()) as usize
    }

    /// How many were taken since the start.
    pub(crate) fn count(&self) -> u64 {
        // Nobody else writes it.
        self.0.taken.0.load(Relaxed)
    }

    /// Says that the consumer rests from now on: whoever puts the next answer looks for room first, and finds that out.
    pub(crate) fn rest(&self) {
        self.0.limit.0.store(0, Relaxed);
    }

    /// Takes so many answers, or all where fewer wait, into a list.
    pub(crate) fn take<T>(&mut self, count: usize, list: &mut Vec<T>, from_words: impl Fn([u64; WORDS]) -> T) {
        let (count, taken) = (count.min(self.waiting()), self.count());
        let (begin, first) = self.0.slots.split_at(taken as usize % N);
        let first = &first[..count.min(first.len())];
        let words = |slot: &[AtomicU64; WORDS]| from_words(array::from_fn(|at| slot[at].load(Relaxed)));
        list.extend(first.iter().map(words));
        list.extend(begin[..count - first.len()].iter().map(words));
        self.0.taken.0.store(taken + count as u64, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take<const N: usize>(consumer: &mut Consumer<N>, count: usize) -> Vec<u64> {
        let mut taken = Vec::new();
        consumer.take(count, &mut taken, |[first, second, _, _]| {
            assert_eq!(second, !first);
            first
        });
        taken
    }

    #[test]
    fn what_is_put_comes_out_in_order_and_no_more_than_fits_waits() {
        let (producer, mut consumer) = channel::<8>();
        let mut next = 0;
        for round in 0..100 {
            let count = round % 9;
            (next..next + count).for_each(|n| {
                assert!(producer.has_room() || producer.look_for_room());
                producer.room().expect("there is room").put([n, !n, 0, 0]);
            });
            assert!(count < 8 || !producer.look_for_room(), "more than fits");
            assert_eq!(consumer.waiting() as u64, count);
            assert_eq!(take(&mut consumer, 3), (next..next + count.min(3)).collect::<Vec<_>>());
            assert_eq!(take(&mut consumer, 9).len() as u64, count.saturating_sub(3));
            next += count;
            assert_eq!((producer.count(), consumer.count()), (next, next));
        }
    }

    #[test]
    fn whoever_puts_looks_for_room_once_the_consumer_rests() {
        let (producer, consumer) = channel::<8>();
        assert!(producer.has_room());
        consumer.rest();
        assert!(!producer.has_room() && producer.look_for_room() && producer.has_room());
        producer.close();
        assert!(!producer.look_for_room());
    }

    #[test]
    fn two_threads_lose_nothing() {
        let (producer, mut consumer) = channel::<64>();
        let putting = std::thread::spawn(move || {
            for n in 0..100_000 {
                while !producer.has_room() && !producer.look_for_room() {
                    std::thread::yield_now();
                }
                producer.room().expect("there is room").put([n, !n, 0, 0]);
            }
        });
        let mut next = 0;
        while next < 100_000 {
            let taken = take(&mut consumer, 10);
            assert!(taken.iter().zip(next..).all(|(taken, wanted)| *taken == wanted));
            next += taken.len() as u64;
        }
        putting.join().expect("the other end");
    }
}
