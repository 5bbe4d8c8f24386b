//! The producer: the short way of the usual answers from the event loop to the detector.
//!
//! Nearly every request is answered at the first try by the pool that serves. That is counted, but nothing is decided by
//! it that somebody waits for, and only one thread finds it out. So it needs neither the room of an event, nor a channel
//! that any thread may put into, nor to wake the detector, which comes by every few milliseconds: a ring of two words
//! for each, without any read-modify-write, is a tenth of the channel's instructions. Everything else goes through the
//! channel. Order holds across both: an event says how many answers went ahead of it.

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
    ring: Arc<Ring<N>>,
    /// As in the ring.
    put: u64,
    /// How many were taken when it was last looked.
    taken: u64,
}

/// The end of the detector.
#[derive(Debug)]
pub(crate) struct Consumer<const N: usize = CAPACITY> {
    ring: Arc<Ring<N>>,
    /// As in the ring.
    taken: u64,
}

#[derive(Debug)]
struct Ring<const N: usize> {
    slots: Box<[[AtomicU64; 2]; N]>,
    put: Counter,
    taken: Counter,
}

/// Alone on its cache lines: each end writes one of them and reads the other.
#[derive(Debug)]
#[repr(align(128))]
struct Counter(AtomicU64);

/// A producer for one thread that puts and one that takes. Its room is a power of two.
pub(crate) fn channel<const N: usize>() -> (Producer<N>, Consumer<N>) {
    let slots: Vec<_> = (0..N).map(|_| [AtomicU64::new(0), AtomicU64::new(0)]).collect();
    let slots = slots.try_into().expect("as many as were made");
    let counter = || Counter(AtomicU64::new(0));
    let ring = Arc::new(Ring { slots, put: counter(), taken: counter() });
    (Producer { ring: ring.clone(), put: 0, taken: 0 }, Consumer { ring, taken: 0 })
}

impl<const N: usize> Ring<N> {
    #[inline(always)]
    fn slot(&self, count: u64) -> &[AtomicU64; 2] {
        &self.slots[count as usize % N]
    }
}

impl<const N: usize> Producer<N> {
    /// Puts an answer; `false` where there is no room.
    #[inline(always)]
    pub(crate) fn put(&mut self, [first, second]: Words) -> bool {
        if self.put - self.taken == N as u64 && !self.has_room_again() {
            return false;
        }
        let ring = &*self.ring;
        let slot = ring.slot(self.put);
        slot[0].store(first, Relaxed);
        slot[1].store(second, Relaxed);
        self.put += 1;
        ring.put.0.store(self.put, Release);
        true
    }

    #[cold]
    fn has_room_again(&mut self) -> bool {
        self.taken = self.ring.taken.0.load(Acquire);
        self.put - self.taken < N as u64
    }

    /// How many were put since the start.
    pub(crate) fn count(&self) -> u64 {
        self.put
    }
}

impl<const N: usize> Consumer<N> {
    /// How many wait.
    pub(crate) fn waiting(&self) -> usize {
        (self.ring.put.0.load(Acquire) - self.taken) as usize
    }

    /// How many were taken since the start.
    pub(crate) fn count(&self) -> u64 {
        self.taken
    }

    /// Takes so many answers, or all where fewer wait, into a list.
    pub(crate) fn take<T>(&mut self, count: usize, list: &mut Vec<T>, from_words: impl Fn(Words) -> T) {
        let count = count.min(self.waiting());
        let (begin, first) = self.ring.slots.split_at(self.taken as usize % N);
        let first = &first[..count.min(first.len())];
        let words = |slots: &[AtomicU64; 2]| from_words([slots[0].load(Relaxed), slots[1].load(Relaxed)]);
        list.extend(first.iter().map(words));
        list.extend(begin[..count - first.len()].iter().map(words));
        self.taken += count as u64;
        self.ring.taken.0.store(self.taken, Release);
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
        let (mut producer, mut consumer) = channel::<8>();
        let mut next = 0;
        for round in 0..100 {
            let count = round % 9;
            (next..next + count).for_each(|n| assert!(producer.put([n, !n])));
            assert!(count < 8 || !producer.put([0, 0]), "more than fits");
            assert_eq!(consumer.waiting() as u64, count);
            assert_eq!(take(&mut consumer, 3), (next..next + count.min(3)).collect::<Vec<_>>());
            assert_eq!(take(&mut consumer, 9).len() as u64, count.saturating_sub(3));
            next += count;
            assert_eq!((producer.count(), consumer.count()), (next, next));
        }
    }

    #[test]
    fn two_threads_lose_nothing() {
        let (mut producer, mut consumer) = channel::<64>();
        let putting = std::thread::spawn(move || {
            for n in 0..100_000 {
                while !producer.put([n, !n]) {
                    std::thread::yield_now();
                }
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
