//! The fingerprint of a name: enough to tell that it is the same as before, without a look at every byte.

use crate::base::name::NAME_MAX;

/// The length and both ends of a name, which is all of it up to 16 bytes. What lies between is mixed into the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    len: u64,
    first: u64,
    last: u64,
}

const WORD: usize = size_of::<u64>();

impl Fingerprint {
    /// The fingerprint of a name; `None` where it is longer than what is kept of names.
    #[inline(always)]
    pub(crate) fn of(name: &[u8]) -> Option<Fingerprint> {
        let len = name.len() as u64;
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            let len = if name.len() > 2 * WORD { len ^ between(name)? } else { len };
            return Some(Fingerprint { len, first: u64::from_ne_bytes(*first), last: u64::from_ne_bytes(*last) });
        }
        if let (Some(first), Some(last)) = (name.first_chunk(), name.last_chunk()) {
            let (first, last) = (u32::from_ne_bytes(*first), u32::from_ne_bytes(*last));
            return Some(Fingerprint { len, first: first.into(), last: last.into() });
        }
        let first = name.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        Some(Fingerprint { len, first, last: 0 })
    }

    /// A number below `2^BITS` by which names are spread over places.
    #[inline(always)]
    pub(crate) fn spread<const BITS: u32>(&self) -> usize {
        // Fibonacci hashing: the upper bits of the product depend on all bits of the factor.
        (self.last.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - BITS)) as usize
    }
}

/// A number that stands for the bytes between both ends: one of its own for up to eight of them, which is as long as
/// addresses are, and a checksum for more.
#[inline(always)]
fn between(name: &[u8]) -> Option<u64> {
    match name.get(WORD..).and_then(<[u8]>::first_chunk) {
        Some(word) if name.len() <= 3 * WORD => Some(mix(0, u64::from_ne_bytes(*word))),
        _ => checksum(name),
    }
}

#[inline(never)]
fn checksum(name: &[u8]) -> Option<u64> {
    let between = name.get(WORD..name.len() - WORD).filter(|_| name.len() <= NAME_MAX)?;
    let sum = between.chunks(WORD).fold(0, |sum, chunk| match chunk.first_chunk() {
        Some(whole) => mix(sum, u64::from_ne_bytes(*whole)),
        None => chunk.iter().fold(sum, |sum, byte| mix(sum, u64::from(*byte))),
    });
    // The product moves bits up only.
    Some(sum ^ (sum >> 29))
}

#[inline(always)]
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
            for at in 0..len {
                let mut other = name.to_vec();
                other[at] ^= 1;
                assert_ne!(Fingerprint::of(name), Fingerprint::of(&other), "byte {at} of {len}");
            }
        }
        assert_eq!(Fingerprint::of(&[b'x'; NAME_MAX + 1]), None);
    }
}
