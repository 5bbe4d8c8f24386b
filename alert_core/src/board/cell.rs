//! A typed word of shared memory: the one place where state machines on the board are read and changed.

use std::fmt;
use std::marker::PhantomData;
use std::sync::atomic::{Ordering::AcqRel, Ordering::Acquire, Ordering::Relaxed, Ordering::Release};

use crate::base::atomic::AtomicU64;
use crate::base::shared::Shared;
use crate::base::word::Word;

/// A value of type `T` in a word that several processes share. All-zero is the value of the word zero.
#[repr(transparent)]
pub struct Packed<T> {
    word: AtomicU64,
    value: PhantomData<fn() -> T>,
}

// SAFETY: an `AtomicU64` by `repr(transparent)`; what a pattern of bits means is up to `Word`, and each means something.
#[allow(unsafe_code)]
unsafe impl<T: Word> Shared for Packed<T> {
    const NO_PADDING: () = ();
}

impl<T: Word> Packed<T> {
    /// The value at present, and everything that was written before it.
    #[inline]
    pub fn load(&self) -> T {
        T::from_word(self.word.load(Acquire))
    }

    /// The word at present: for the request path, which compares it with one that it knows.
    #[inline]
    pub fn word(&self) -> u64 {
        self.word.load(Relaxed)
    }

    /// Puts a value in place of whatever is there.
    pub fn store(&self, value: T) {
        self.word.store(value.to_word(), Release);
        changed();
    }

    /// The same, and returns what was there.
    pub fn swap(&self, value: T) -> T {
        let before = T::from_word(self.word.swap(value.to_word(), AcqRel));
        changed();
        before
    }

    /// Changes the value and returns it as it was and as it is. Of several who do this at once, each sees the value that
    /// the one before it left, and the change is asked again for that; where it changes nothing, nothing is written.
    #[inline]
    pub fn update(&self, mut change: impl FnMut(T) -> T) -> (T, T) {
        let mut word = self.word.load(Acquire);
        loop {
            let old = T::from_word(word);
            let new = change(old);
            if new.to_word() == word {
                return (old, new);
            }
            match self.word.compare_exchange_weak(word, new.to_word(), AcqRel, Acquire) {
                Ok(_) => {
                    changed();
                    return (old, new);
                }
                Err(current) => word = current,
            }
        }
    }

    /// Puts a value in place of exactly this one; `false` where another is there.
    pub fn replace(&self, current: T, value: T) -> bool {
        let is_done = self.word.compare_exchange(current.to_word(), value.to_word(), AcqRel, Relaxed).is_ok();
        changed();
        is_done
    }
}

/// Where a test may kill a worker.
#[inline]
fn changed() {
    #[cfg(test)]
    crate::base::killed::may_be_killed();
}

impl<T: Word> Default for Packed<T> {
    fn default() -> Self {
        Packed { word: AtomicU64::new(0), value: PhantomData }
    }
}

impl<T: Word + fmt::Debug> fmt::Debug for Packed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.load().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    struct Count(u64);

    impl Word for Count {
        fn to_word(self) -> u64 {
            self.0
        }

        fn from_word(word: u64) -> Count {
            Count(word)
        }
    }

    #[test]
    fn a_cell_is_laid_out_as_the_word_it_holds() {
        assert_eq!((size_of::<Packed<bool>>(), align_of::<Packed<bool>>()), (8, 8));
    }

    #[test]
    fn an_update_returns_what_was_and_what_is() {
        let cell = Packed::<Count>::default();
        assert_eq!(cell.update(|Count(count)| Count(count + 7)), (Count(0), Count(7)));
        assert_eq!(cell.update(|count| count), (Count(7), Count(7)));
        assert_eq!(cell.swap(Count(1)), Count(7));
        assert!(!cell.replace(Count(7), Count(2)) && cell.replace(Count(1), Count(2)));
        assert_eq!((cell.load(), cell.word()), (Count(2), 2));
    }

    #[test]
    fn updates_of_several_threads_all_count() {
        let cell = Packed::<Count>::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..5000 {
                        cell.update(|Count(count)| Count(count + 1));
                    }
                });
            }
        });
        assert_eq!(cell.load(), Count(20_000));
    }
}
