//! Names (pools, releases, monitors, addresses): bounded, compared by a key, and shown as plain text.
//!
//! Names come from upstreams, so they may be of any length, any bytes, and new with every answer.

use crate::base::word::Word;

/// Bytes of a name that are kept; what is longer is cut.
pub const NAME_MAX: usize = NAME_WORDS * 8;
pub(crate) const NAME_WORDS: usize = 6;

/// Identity of a name: equal for names whose first [`NAME_MAX`] bytes are equal. Zero is the empty name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NameKey(pub(crate) u64);

impl Word for NameKey {
    fn to_word(self) -> u64 {
        self.0
    }

    fn from_word(word: u64) -> NameKey {
        NameKey(word)
    }
}

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
            (Some(_), _) => return NameKey::of_long(&name[..name.len().min(NAME_MAX)]),
            _ if name.is_empty() => return NameKey::EMPTY,
            _ => key.mix(short(name)),
        }
        key.finish()
    }

    /// The key of all bytes of a name, for addresses: however long they are, each is another server. It is that of
    /// [`NameKey::of`] for names that are not cut.
    #[inline]
    pub fn of_whole(name: &[u8]) -> NameKey {
        if name.len() <= NAME_MAX { NameKey::of(name) } else { NameKey::of_long(name) }
    }

    #[inline(never)]
    fn of_long(name: &[u8]) -> NameKey {
        let mut key = Mixer::new();
        let mut chunks = name.chunks_exact(8);
        for chunk in &mut chunks {
            // The chunk has 8 bytes by construction; the fallback is unreachable and free of panics.
            key.mix(chunk.try_into().map_or(0, u64::from_le_bytes));
        }
        if !chunks.remainder().is_empty() {
            key.mix(short(chunks.remainder()));
        }
        key.finish()
    }

    pub(crate) fn of_words(words: &[u64]) -> NameKey {
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
pub(crate) fn readable(bytes: &[u8], cut: bool) -> String {
    if !cut && bytes.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        // Nearly every name: it stays as it is.
        return String::from_utf8_lossy(bytes).into_owned();
    }
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
