//! The producer: the short way of the usual answers from the event loop to the detector.
//!
//! Nearly every request is answered at the first try by the pool that serves. That is counted, but nothing is decided by
//! it that somebody waits for, and only one thread finds it out. So it needs neither the room of an event, nor a channel
//! that any thread may put into, nor to wake the detector, which comes by every few milliseconds: a ring of two words
//! for each, without any read-modify-write, is a tenth of the channel's instructions. Everything else goes through the
//! channel. Order holds across both: an event says how many answers went ahead of it.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use crate::base::atomic::AtomicU64;

/// Answers that wait for the detector at most: a tenth of a second at 40,000 requests a second. What does not fit goes
/// through the channel.
pub(crate) const CAPACITY: usize = 4096;

/// An answer on the producer.
type Words = [u64; 2];

/// The end of the event loop.
#[derive(Debug)]
pub struct Producer<const N: usize = CAPACITY> {
    slots: Arc<Slots<N>>,
    put: Arc<Counter>,
    taken: Arc<Counter>,
    /// Up to how many there is room, as far as it was looked.
    limit: Cell<u64>,
    is_closed: Cell<bool>,
}

/// The end of the detector.
#[derive(Debug)]
pub(crate) struct Consumer<const N: usize = CAPACITY> {
    slots: Arc<Slots<N>>,
    put: Arc<Counter>,
    taken: Arc<Counter>,
}

type Slots<const N: usize> = [[AtomicU64; 2]; N];

/// How many were put, or taken, since the start. Alone on its cache lines: each end writes one of them and reads the other.
#[derive(Debug)]
#[repr(align(128))]
struct Counter(AtomicU64);

/// A producer for one thread that puts and one that takes. Its room is a power of two.
pub(crate) fn channel<const N: usize>() -> (Producer<N>, Consumer<N>) {
    let slots: Arc<[_]> = (0..N).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]).collect();
    let slots: Arc<Slots<N>> = slots.try_into().expect("as many as were made");
    let counter = || Arc::new(Counter(AtomicU64::new(0)));
    let (put, taken) = (counter(), counter());
    let consumer = Consumer { slots: slots.clone(), put: put.clone(), taken: taken.clone() };
    (Producer { slots, put, taken, limit: Cell::new(N as u64), is_closed: Cell::new(false) }, consumer)
}

impl<const N: usize> Producer<N> {
    /// Whether an answer can be put.
    #[inline(always)]
    pub(crate) fn has_room(&self) -> bool {
        self.count() != self.limit.get()
    }

    /// Looks how much room there is. Returns whether there is any.
    pub(crate) fn look_for_room(&self) -> bool {
        if !self.is_closed.get() {
            self.limit.set(self.taken.0.load(Acquire) + N as u64);
        }
        self.has_room()
    }

    /// Puts an answer; there is room.
    #[inline(always)]
    pub(crate) fn put(&self, [first, second]: Words) {
        let put = self.count();
        let slot = &self.slots[put as usize % N];
        slot[0].store(first, Relaxed);
        slot[1].store(second, Relaxed);
        self.put.0.store(put + 1, Release);
    }

    /// Lets nothing more be put.
    pub(crate) fn close(&self) {
        self.is_closed.set(true);
        self.limit.set(self.count());
    }

    /// How many were put since the start.
    #[inline(always)]
    pub(crate) fn count(&self) -> u64 {
        // Nobody else writes it.
        self.put.0.load(Relaxed)
    }
}

impl<const N: usize> Consumer<N> {
    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        (self.put.0.load(Acquire) - self.count()) as usize
    }

    /// How many were taken since the start.
    pub(crate) fn count(&self) -> u64 {
        // Nobody else writes it.
        self.taken.0.load(Relaxed)
    }

    /// Takes so many answers, or all where fewer wait, into a list.
    pub(crate) fn take<T>(&mut self, count: usize, list: &mut Vec<T>, from_words: impl Fn(Words) -> T) {
        let (count, taken) = (count.min(self.waiting()), self.count());
        let (begin, first) = self.slots.split_at(taken as usize % N);
        let first = &first[..count.min(first.len())];
        let words = |slots: &[AtomicU64; 2]| from_words([slots[0].load(Relaxed), slots[1].load(Relaxed)]);
        list.extend(first.iter().map(words));
        list.extend(begin[..count - first.len()].iter().map(words));
        self.taken.0.store(taken + count as u64, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take<const N: usize>(consumer: &mut Consumer<N>, count: usize) -> Vec<u64> {
        let mut taken = Vec::new();
        consumer.take(count, &mut taken, |[first, second]| {
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
                producer.put([n, !n]);
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
    fn two_threads_lose_nothing() {
        let (producer, mut consumer) = channel::<64>();
        let putting = std::thread::spawn(move || {
            for n in 0..100_000 {
                while !producer.has_room() && !producer.look_for_room() {
                    std::thread::yield_now();
                }
                producer.put([n, !n]);
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
