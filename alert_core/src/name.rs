//! Names (pools, releases, monitors, addresses) as they lie in shared memory: bounded, and never torn.
//!
//! Names come from upstreams, so they may be of any length, any bytes, and new with every answer. A [`NameCell`] keeps
//! the first [`NAME_MAX`] bytes next to a key computed from them. A reader recomputes the key: where it does not match,
//! a writer was in the middle (or was killed there), and the cell counts as empty until the next write. So no lock is
//! needed and a killed worker leaves nothing to repair.

use std::sync::atomic::{Ordering, Ordering::Relaxed};

use crate::atomic::{AtomicU64, fence};

/// Bytes of a name that are kept; what is longer is cut.
pub const NAME_MAX: usize = NAME_WORDS * 8;
const NAME_WORDS: usize = 6;

/// Identity of a name: equal for names whose first [`NAME_MAX`] bytes are equal. Zero is the empty name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameKey(pub(crate) u64);

impl NameKey {
    /// The key of the empty name.
    pub const EMPTY: NameKey = NameKey(0);

    /// Computes the key of a name. It runs in every request, so the lengths that most names have cost a few instructions.
    #[inline]
    pub fn of(name: &[u8]) -> NameKey {
        let mut key = Mixer::new();
        match (name.first_chunk(), name.last_chunk()) {
            (Some(first), Some(last)) if name.len() <= 16 => {
                key.mix(u64::from_le_bytes(*first));
                if name.len() > 8 {
                    // The last eight bytes hold some of the first word too: they are shifted out.
                    key.mix(u64::from_le_bytes(*last) >> (8 * (16 - name.len())));
                }
            }
            (Some(_), _) => return NameKey::of_long(name),
            _ if name.is_empty() => return NameKey::EMPTY,
            _ => key.mix(short(name)),
        }
        key.finish()
    }

    #[inline(never)]
    fn of_long(name: &[u8]) -> NameKey {
        let mut key = Mixer::new();
        let mut chunks = name[..name.len().min(NAME_MAX)].chunks_exact(8);
        for chunk in &mut chunks {
            // The chunk has 8 bytes by construction; the fallback is unreachable and free of panics.
            key.mix(chunk.try_into().map_or(0, u64::from_le_bytes));
        }
        if !chunks.remainder().is_empty() {
            key.mix(short(chunks.remainder()));
        }
        key.finish()
    }

    fn of_words(words: &[u64]) -> NameKey {
        let mut key = Mixer::new();
        for word in words.iter().take_while(|word| **word != 0) {
            key.mix(*word);
        }
        if words[0] == 0 { NameKey::EMPTY } else { key.finish() }
    }
}

/// Multiply and rotate, as in the hashes of compilers: not against adversaries, which can only confuse their own names.
struct Mixer(u64);

impl Mixer {
    const fn new() -> Self {
        Mixer(0x9e37_79b9_7f4a_7c15)
    }

    #[inline]
    fn mix(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(23) ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd);
    }

    #[inline]
    fn finish(self) -> NameKey {
        // Zero means empty, so it is no valid key.
        NameKey((self.0 ^ (self.0 >> 29)).max(1))
    }
}

/// A name of 1 to 7 bytes as a word, as if zeros followed.
#[inline]
fn short(name: &[u8]) -> u64 {
    match (name.first_chunk(), name.last_chunk()) {
        // Where both overlap they are the same.
        (Some(first), Some(last)) => {
            u64::from(u32::from_le_bytes(*first)) | u64::from(u32::from_le_bytes(*last)) << (8 * (name.len() - 4))
        }
        _ => name.iter().rev().fold(0, |word, byte| (word << 8) | u64::from(*byte)),
    }
}

/// One name in shared memory. All-zero is the empty name.
pub type NameCell = TextCell<NAME_WORDS>;

/// A bounded text of `WORDS` times eight bytes in shared memory. All-zero is the empty text.
#[repr(C)]
#[derive(Debug)]
pub struct TextCell<const WORDS: usize> {
    key: AtomicU64,
    words: [AtomicU64; WORDS],
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
        let key = self.key.load(Ordering::Acquire);
        let words: [u64; WORDS] = std::array::from_fn(|at| self.words[at].load(Relaxed));
        if key == 0 || NameKey::of_words(&words).0 != key {
            return String::new();
        }
        let mut bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        readable(&bytes, bytes.len() == WORDS * 8)
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

/// A character as it may stand in one line that is read from left to right: what would break the line or move a cursor is
/// a space, and marks of direction, which would rearrange the text around a name, are replaced as invalid UTF-8 is.
pub(crate) fn plain(c: char) -> char {
    match c {
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
            char::REPLACEMENT_CHARACTER
        }
        '\u{2028}' | '\u{2029}' => ' ',
        c => {
            if c.is_control() {
                ' '
            } else {
                c
            }
        }
    }
}

/// Text for people from bytes of anybody: invalid UTF-8 replaced, plain characters only, a cut name marked.
fn readable(bytes: &[u8], cut: bool) -> String {
    // A text that fills its cell was probably longer; a multi-byte character may have been cut in the middle.
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if cut && error.error_len().is_none() => &bytes[..error.valid_up_to()],
        _ => bytes,
    };
    let mut text: String = String::from_utf8_lossy(whole).chars().map(plain).collect();
    if cut {
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

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
