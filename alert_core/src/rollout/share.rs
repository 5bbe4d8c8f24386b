//! Which requests belong to which pool: a client stays where its bucket lies, and a raised share only moves the edge.
//!
//! The word that holds the share also holds until when it counts. Whoever leads a rollout renews it every second; once
//! nobody does, it counts no longer, and all requests belong to the active pool again without anybody acting.

use crate::base::word::Word;
use crate::model::ids::PoolId;

/// Into how many parts the clients of a monitor fall.
pub const BUCKETS: u16 = 1 << 14;
/// How long a share counts that nobody renews, in milliseconds.
pub const LASTS_MS: u64 = 30_000;
/// By how much the clocks of two workers can differ, in milliseconds: each caches the time.
const CLOCKS_DIFFER_MS: u64 = 10_000;

/// The part of a monitor's clients that a client belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(u16);

impl Bucket {
    /// The bucket of a client's key. The salt is that of the rollout, see [`salt`].
    #[inline]
    pub fn of(salt: u32, key: &[u8]) -> Bucket {
        Bucket((murmur2(salt, key) % u32::from(BUCKETS)) as u16)
    }

    /// The same of a key in parts, which are not put together. A key of one part is like that part.
    #[inline]
    pub fn of_parts<'a>(salt: u32, parts: impl Iterator<Item = &'a [u8]>) -> Bucket {
        Bucket((parts.fold(salt, murmur2) % u32::from(BUCKETS)) as u16)
    }

    /// The bucket of this number, of which the lowest 14 bits count.
    #[inline]
    pub const fn new(number: u16) -> Bucket {
        Bucket(number % BUCKETS)
    }

    /// Its number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// What makes the buckets of one rollout others than those of the one before, and equal on all hosts.
pub fn salt(monitor: &str, pool: &str, release: &str) -> u32 {
    // A byte that no name holds keeps ("a", "bc") and ("ab", "c") apart.
    [monitor, pool, release].iter().fold(0, |salt, name| murmur2(murmur2(salt, name.as_bytes()), &[0]))
}

/// The share of the clients that belong to another pool than the active one. All-zero is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Share {
    /// The pool that they belong to.
    pub pool: PoolId,
    /// Buckets below this one belong to it.
    pub edge: u16,
    /// From when on it no longer counts, in milliseconds.
    pub until_ms: u64,
}

const TIME_BITS: u32 = 42;

impl Share {
    /// A share of `hundredths` of a percent, which counts from now on.
    pub fn new(pool: PoolId, hundredths: u32, now_ms: u64) -> Share {
        Share { pool, edge: edge(hundredths), until_ms: now_ms + LASTS_MS }
    }

    /// Whether it counts. One from a future that cannot be is left from before the clock was set back.
    #[inline]
    pub const fn counts(self, now_ms: u64) -> bool {
        now_ms < self.until_ms && self.until_ms - now_ms < LASTS_MS + CLOCKS_DIFFER_MS
    }

    /// Whether this bucket belongs to its pool.
    #[inline]
    pub const fn holds(self, bucket: Bucket) -> bool {
        bucket.0 < self.edge
    }
}

impl Word for Share {
    #[inline]
    fn to_word(self) -> u64 {
        (self.until_ms & ((1 << TIME_BITS) - 1))
            | u64::from(self.edge) << TIME_BITS
            | u64::from(self.pool.get()) << (TIME_BITS + 15)
    }

    #[inline]
    fn from_word(word: u64) -> Share {
        Share {
            pool: PoolId::new((word >> (TIME_BITS + 15)) as u8 & 0x1f),
            edge: (word >> TIME_BITS) as u16 & 0x7fff,
            until_ms: word & ((1 << TIME_BITS) - 1),
        }
    }
}

/// How many buckets `hundredths` of a percent are.
pub fn edge(hundredths: u32) -> u16 {
    ((u32::from(BUCKETS) * hundredths.min(10_000) + 5_000) / 10_000) as u16
}

/// MurmurHash2 of 32 bits, as nginx has it for `split_clients`, with a seed.
///
/// Source: <https://github.com/aappleby/smhasher/blob/master/src/MurmurHash2.cpp>.
#[inline]
fn murmur2(seed: u32, data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mix = |word: u32| {
        let word = word.wrapping_mul(M);
        (word ^ (word >> 24)).wrapping_mul(M)
    };
    let mut words = data.chunks_exact(4);
    let hash = words.by_ref().fold(seed ^ data.len() as u32, |hash, word| {
        hash.wrapping_mul(M) ^ mix(u32::from_le_bytes([word[0], word[1], word[2], word[3]]))
    });
    let rest = words.remainder();
    let hash = match rest {
        [] => hash,
        rest => {
            let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
            (hash ^ tail).wrapping_mul(M)
        }
    };
    let hash = (hash ^ (hash >> 13)).wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GREEN: PoolId = PoolId::new(2);

    #[test]
    fn the_hash_is_murmur2() {
        // As the original computes it.
        for (seed, data, hash) in [
            (0, "", 0),
            (0, "a", 0x9268_5f5e),
            (0, "ab", 0x1aa1_4063),
            (0, "abc", 0x1357_7c9b),
            (0, "abcd", 0x2687_3021),
            (1, "", 0x5bd1_5e36),
            (0x9747_b28c, "127.0.0.1", 0x737a_20bc),
            (0x9747_b28c, "10.20.30.40:8080", 0xdd0a_fd34),
        ] {
            assert_eq!(murmur2(seed, data.as_bytes()), hash, "{seed}, {data:?}");
        }
    }

    #[test]
    fn buckets_are_spread_evenly_whatever_the_keys_look_like() {
        let salt = salt("app", "green", "v42");
        for keys in [
            |n: u32| format!("10.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255),
            |n: u32| format!("{n}"),
            |n: u32| format!("session-{n:032x}"),
        ] {
            let mut on_green = 0;
            let mut eighths = [0_u32; 8];
            for n in 0..10_000 {
                let bucket = Bucket::of(salt, keys(n).as_bytes());
                on_green += u32::from(Share::new(GREEN, 500, 0).holds(bucket));
                eighths[bucket.get() as usize * 8 / BUCKETS as usize] += 1;
            }
            assert!((434..=566).contains(&on_green), "{on_green} of 10,000 at 5 %");
            assert!(eighths.iter().all(|count| (1118..=1382).contains(count)), "{eighths:?}");
        }
    }

    #[test]
    fn another_release_pool_or_monitor_has_other_buckets_and_the_same_one_has_the_same() {
        let base = salt("app", "green", "v42");
        assert_eq!(base, salt("app", "green", "v42"));
        for other in [
            salt("app", "green", "v43"),
            salt("app", "blue", "v42"),
            salt("shop", "green", "v42"),
            salt("app", "greenv", "42"),
        ] {
            let keys = (0..1000_u32).map(|n| n.to_le_bytes());
            let both = keys.filter(|key| Bucket::of(base, key).get() < 1638 && Bucket::of(other, key).get() < 1638);
            assert!(both.count() < 40, "two rollouts at 10 % share about 1 % of the clients");
        }
    }

    #[test]
    fn a_share_that_nobody_renews_counts_for_30_seconds() {
        let share = Share::new(GREEN, 500, 1_790_000_000_000);
        assert!(share.counts(1_790_000_000_000) && share.counts(1_790_000_029_999));
        assert!(!share.counts(1_790_000_030_000) && !share.counts(u64::MAX));
        assert!(share.counts(1_789_999_999_000), "another worker's clock is a little behind");
        assert!(!share.counts(1_789_999_000_000), "the clock was set back");
        assert!(!Share::from_word(0).counts(0) && !Share::from_word(0).counts(1_790_000_000_000));
    }

    #[test]
    fn an_edge_is_the_nearest_bucket() {
        let edges =
            [(0, 0), (1, 2), (100, 164), (500, 819), (2500, 4096), (5000, 8192), (9900, 16_220), (10_000, 16_384)];
        for (hundredths, buckets) in edges {
            assert_eq!(edge(hundredths), buckets, "{hundredths}");
        }
    }

    proptest! {
        #[test]
        fn a_share_survives_its_word(pool in 0..=31_u8, edge in 0..=BUCKETS, until_ms in 0..1_u64 << TIME_BITS) {
            let share = Share { pool: PoolId::new(pool), edge, until_ms };
            prop_assert_eq!(Share::from_word(share.to_word()), share);
        }

        #[test]
        fn a_raised_share_keeps_every_client_that_it_had(
            key: Vec<u8>, salt: u32, lower in 0..=10_000_u32, upper in 0..=10_000_u32,
        ) {
            let (lower, upper) = (lower.min(upper), lower.max(upper));
            let bucket = Bucket::of(salt, &key);
            prop_assert!(bucket.get() < BUCKETS);
            prop_assert!(!Share::new(GREEN, lower, 0).holds(bucket) || Share::new(GREEN, upper, 0).holds(bucket));
        }
    }
}
