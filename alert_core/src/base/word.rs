//! Values that fit into one word of shared memory, so that several processes change them by compare-and-swap.

/// A value of 64 bits. Every pattern of bits is some value, since a word can come from a file; zero is the value before
/// anything happened.
pub trait Word: Copy {
    /// Packs the value.
    fn to_word(self) -> u64;

    /// The value in a word.
    fn from_word(word: u64) -> Self;
}

impl Word for bool {
    fn to_word(self) -> u64 {
        u64::from(self)
    }

    fn from_word(word: u64) -> bool {
        word != 0
    }
}
