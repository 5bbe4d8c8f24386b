//! The fingerprint of a name: enough to tell that it is the same as before, without a look at every byte.

/// Longer names are rare, and looked up each time.
const LENGTH_MAX: usize = 128;

/// The length and both ends of a name, which is all of it up to 16 bytes. What lies between is mixed into the length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    len: u64,
    first: u64,
    last: u64,
}

const WORD: usize = size_of::<u64>();

impl Fingerprint {
    /// That of no name.
    pub(crate) const NONE: Fingerprint = Fingerprint { len: u64::MAX, first: 0, last: 0 };

    /// The fingerprint of a name; `None` where it is too long.
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
/// addresses are, and a checksum for more. It calls nothing, since nothing is to be kept over a call in the request path.
#[inline(always)]
fn between(name: &[u8]) -> Option<u64> {
    let end = Some(name.len() - WORD).filter(|_| name.len() <= LENGTH_MAX)?;
    let (mut sum, mut at) = (0, WORD);
    while at < end {
        // The last of them can reach into the end, which is compared anyway.
        sum = mix(sum, u64::from_ne_bytes(*name.get(at..)?.first_chunk()?));
        at += WORD;
    }
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
        assert_eq!(Fingerprint::of(&[b'x'; LENGTH_MAX + 1]), None);
    }
}
