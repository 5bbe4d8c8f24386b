//! Texts as they lie in shared memory: bounded, and never torn.
//!
//! A [`NameCell`] keeps the first [`NAME_MAX`](crate::base::name::NAME_MAX) bytes of a name next to a key computed from
//! them. A reader recomputes the key: where it does not match, a writer was in the middle (or was killed there), and the
//! cell counts as empty until the next write. So no lock is needed and a killed worker leaves nothing to repair.

use std::sync::atomic::{Ordering, Ordering::Relaxed};

use crate::base::atomic::{AtomicU64, fence};
use crate::base::name::{NAME_WORDS, NameKey, readable};
use crate::base::shared::shared;

/// One name in shared memory. All-zero is the empty name.
pub type NameCell = TextCell<NAME_WORDS>;

shared! {
/// A bounded text of `WORDS` times eight bytes in shared memory. All-zero is the empty text.
#[derive(Debug)]
pub struct TextCell<const WORDS: usize> {
    key: AtomicU64,
    words: [AtomicU64; WORDS],
}
}

impl<const WORDS: usize> Default for TextCell<WORDS> {
    fn default() -> Self {
        TextCell { key: AtomicU64::new(0), words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

impl<const WORDS: usize> TextCell<WORDS> {
    /// The key of the text in this cell, without checking that it is whole. For a [`NameCell`] it is the name's key.
    #[inline]
    pub fn key(&self) -> NameKey {
        NameKey(self.key.load(Relaxed))
    }

    /// Stores a text. Two writers at once leave one of the texts, or a torn cell that reads as empty.
    pub fn store(&self, text: &[u8]) {
        let words = pack::<WORDS>(text);
        self.key.store(0, Relaxed);
        fence(Ordering::Release);
        for (cell, word) in self.words.iter().zip(words) {
            cell.store(word, Relaxed);
        }
        self.key.store(NameKey::of_words(&words).0, Ordering::Release);
    }

    /// Copies the text of another cell.
    pub fn copy_from(&self, other: &TextCell<WORDS>) {
        self.store(other.load().as_bytes());
    }

    /// Whether the cell holds no text.
    pub fn is_empty(&self) -> bool {
        self.key() == NameKey::EMPTY
    }

    /// The text, cut to its bound, with invalid UTF-8 replaced; empty where the cell is empty or torn.
    pub fn load(&self) -> String {
        self.read(|bytes| readable(bytes, bytes.len() == WORDS * 8))
    }

    /// The text as it was stored, cut to its bound; empty where the cell is empty or torn.
    pub fn bytes(&self) -> Vec<u8> {
        self.read(<[u8]>::to_vec)
    }

    fn read<T: Default>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        let key = self.key.load(Ordering::Acquire);
        let words: [u64; WORDS] = std::array::from_fn(|at| self.words[at].load(Relaxed));
        if key == 0 || NameKey::of_words(&words).0 != key {
            return T::default();
        }
        let bytes = words.map(u64::to_le_bytes);
        let bytes = bytes.as_flattened();
        let len = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        read(&bytes[..len])
    }
}

/// Packs the kept part of a text into words. A zero word would end it early, so zero bytes become spaces.
fn pack<const WORDS: usize>(text: &[u8]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    for (word, chunk) in words.iter_mut().zip(text[..text.len().min(WORDS * 8)].chunks(8)) {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(chunk) {
            *to = if *from == 0 { b' ' } else { *from };
        }
        *word = u64::from_le_bytes(bytes);
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::name::{NAME_MAX, plain};

    #[test]
    fn a_name_comes_back_and_its_key_is_that_of_the_bytes() {
        let text = "release-2026-11-23T05:00:00Z-0123456789abcdef";
        for name in (0..text.len()).map(|length| &text[..length]) {
            let cell = NameCell::default();
            cell.store(name.as_bytes());
            assert_eq!(cell.load(), name);
            assert_eq!(cell.key(), NameKey::of(name.as_bytes()));
        }
    }

    #[test]
    fn hostile_names_are_bounded_and_valid() {
        let cell = NameCell::default();
        for name in [
            vec![b'x'; 10_000],
            vec![0xff; 300],
            "ä".repeat(5000).into_bytes(),
            vec![b'\n'; 60],
            vec![0; 9],
            "\u{202e}".repeat(9).into_bytes(),
        ] {
            cell.store(&name);
            let text = cell.load();
            assert!(text.chars().count() <= NAME_MAX + 1 && text.chars().all(|c| plain(c) == c), "{text:?}");
        }
    }

    #[test]
    fn a_torn_cell_reads_as_empty_and_the_next_write_mends_it() {
        let cell = NameCell::default();
        cell.store(b"blue");
        cell.words[0].store(0x1234, Relaxed);
        assert_eq!(cell.load(), "");
        cell.store(b"green");
        assert_eq!(cell.load(), "green");
    }
}
