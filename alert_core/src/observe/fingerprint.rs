//! The fingerprint of a name: enough to tell that it is the same as before, without a look at every byte.

use std::cell::Cell;

/// Longer names are rare, and looked up each time.
const LENGTH_MAX: usize = 128;

/// The length and both ends of a name, which are all of it up to 16 bytes, and what lies between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// For a name of which one look does not tell all, with [`LONG`].
    len: u64,
    first: u64,
    last: u64,
    between: u64,
}

const WORD: usize = size_of::<u64>();
/// More than any length.
const LONG: u64 = 1 << 30;

impl Fingerprint {
    /// That of no name.
    pub(crate) const NONE: Fingerprint = Fingerprint { len: u64::MAX, first: 0, last: 0, between: 0 };

    /// That of a name; `None` where it is too long.
    pub(crate) fn of(name: &[u8]) -> Option<Fingerprint> {
        let len = name.len() as u64 | if name.len() > 3 * WORD { LONG } else { 0 };
        let between = if name.len() > 2 * WORD { between(name)? } else { 0 };
        let is_short = name.len() < WORD;
        let first = if is_short { short_first(name) } else { first_word(name) };
        let last = if is_short { short_last(name) } else { last_word(name) };
        Some(Fingerprint { len, first, last, between })
    }
}

/// The fingerprint of a name that changes. Each word for itself, so that comparing reads no more of them than it has to.
#[derive(Debug)]
pub(crate) struct FingerprintCell {
    len: Cell<u64>,
    first: Cell<u64>,
    last: Cell<u64>,
    between: Cell<u64>,
}

impl Default for FingerprintCell {
    fn default() -> FingerprintCell {
        let Fingerprint { len, first, last, between } = Fingerprint::NONE;
        let (len, first, last, between) = (Cell::new(len), Cell::new(first), Cell::new(last), Cell::new(between));
        FingerprintCell { len, first, last, between }
    }
}

impl FingerprintCell {
    pub(crate) fn set(&self, Fingerprint { len, first, last, between }: Fingerprint) {
        self.len.set(len);
        self.first.set(first);
        self.last.set(last);
        self.between.set(between);
    }

    pub(crate) fn get(&self) -> Fingerprint {
        let FingerprintCell { len, first, last, between } = self;
        Fingerprint { len: len.get(), first: first.get(), last: last.get(), between: between.get() }
    }

    /// Whether it is that of this name, where that takes no loop: the shortest way is that of 8 to 16 bytes, which nearly
    /// all names have, and names of more than 24 bytes are not told apart.
    #[inline(always)]
    pub(crate) fn is_at_once_of(&self, name: &[u8]) -> bool {
        if name.len() as u64 != self.len.get() {
            return false;
        }
        if name.len() < WORD {
            return short_first(name) == self.first.get() && short_last(name) == self.last.get();
        }
        (name.len() <= 2 * WORD || word_after(name) == self.between.get())
            && first_word(name) == self.first.get()
            && last_word(name) == self.last.get()
    }
}

// By patterns, since an optional reference would be compared with null.

#[inline(always)]
fn first_word(name: &[u8]) -> u64 {
    let [a, b, c, d, e, f, g, h, ..] = name else { return 0 };
    u64::from_ne_bytes([*a, *b, *c, *d, *e, *f, *g, *h])
}

#[inline(always)]
fn last_word(name: &[u8]) -> u64 {
    name.last_chunk().map_or(0, |word| u64::from_ne_bytes(*word))
}

/// The word after the first.
#[inline(always)]
fn word_after(name: &[u8]) -> u64 {
    let [_, _, _, _, _, _, _, _, a, b, c, d, e, f, g, h, ..] = name else { return 0 };
    u64::from_ne_bytes([*a, *b, *c, *d, *e, *f, *g, *h])
}

/// The first half of less than eight bytes.
#[inline(always)]
fn short_first(name: &[u8]) -> u64 {
    match name {
        [a, b, c, d, ..] => u32::from_ne_bytes([*a, *b, *c, *d]).into(),
        [first, second, _] => u16::from_ne_bytes([*first, *second]).into(),
        [first, ..] => (*first).into(),
        [] => 0,
    }
}

/// The last half of less than eight bytes.
#[inline(always)]
fn short_last(name: &[u8]) -> u64 {
    match name {
        [.., a, b, c, d] => u32::from_ne_bytes([*a, *b, *c, *d]).into(),
        [.., last] => (*last).into(),
        [] => 0,
    }
}

/// A number that stands for the bytes between both ends: up to eight of them themselves, and a checksum of more.
fn between(name: &[u8]) -> Option<u64> {
    let end = Some(name.len() - WORD).filter(|_| name.len() <= LENGTH_MAX)?;
    // The last of them can reach into the end, which is compared anyway.
    (WORD..end).step_by(WORD).map(|at| first_word(&name[at..])).reduce(mix)
}

fn mix(sum: u64, word: u64) -> u64 {
    (sum.rotate_left(23) ^ word).wrapping_mul(0xff51_afd7_ed55_8ccd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_anywhere_look_different() {
        let text = b"release-2026-11-23T05:00:00Z-0123456789abcdef";
        for len in 0..text.len() {
            let name = &text[..len];
            assert_eq!(Fingerprint::of(name), Fingerprint::of(&text.to_vec()[..len]));
            assert_ne!(Fingerprint::of(name), Fingerprint::of(&text[..=len]));
            let cell = FingerprintCell::default();
            cell.set(Fingerprint::of(name).expect("short enough"));
            assert_eq!(Some(cell.get()), Fingerprint::of(name));
            assert_eq!(cell.is_at_once_of(name), len <= 3 * WORD);
            assert!(!cell.is_at_once_of(&text[..=len]));
            assert!(len == 0 || !cell.is_at_once_of(&name[1..]));
            for at in 0..len {
                let mut other = name.to_vec();
                other[at] ^= 1;
                assert_ne!(Fingerprint::of(name), Fingerprint::of(&other), "byte {at} of {len}");
                assert!(!cell.is_at_once_of(&other), "byte {at} of {len}");
            }
        }
        assert_eq!(Fingerprint::of(&[b'x'; LENGTH_MAX + 1]), None);
        assert!(!FingerprintCell::default().is_at_once_of(b""));
    }
}
