//! Small numbers for pools and peers, so that an event is a plain copy and a set of pools is one word.

use crate::base::word::Word;

/// A pool within its monitor. [`PoolId::NONE`] is "unknown".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(u8);

/// Pools that a monitor can tell apart; what comes after them is unknown.
pub const POOLS_MAX: usize = 31;

impl PoolId {
    /// The unknown pool.
    pub const NONE: PoolId = PoolId(0);

    /// The pool with this number; numbers beyond [`POOLS_MAX`] are unknown.
    #[inline]
    pub const fn new(number: u8) -> PoolId {
        PoolId(if number as usize <= POOLS_MAX { number } else { 0 })
    }

    /// Its number; zero is unknown.
    #[inline]
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Whether the pool is known.
    #[inline]
    pub const fn is_known(self) -> bool {
        self.0 != 0
    }

    /// Its place in tables of known pools.
    #[inline]
    pub const fn index(self) -> Option<usize> {
        (self.0 as usize).checked_sub(1)
    }
}

impl Word for PoolId {
    #[inline]
    fn to_word(self) -> u64 {
        self.0.into()
    }

    #[inline]
    fn from_word(word: u64) -> PoolId {
        PoolId::new(word as u8)
    }
}

/// A set of pools.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolSet(u32);

impl PoolSet {
    /// The set of no pool.
    pub const EMPTY: PoolSet = PoolSet(0);

    /// Adds a pool; the unknown one is left out.
    #[inline]
    pub fn insert(&mut self, pool: PoolId) {
        self.0 |= (1 << pool.0) & !1;
    }

    /// Whether the known pool is in the set.
    #[inline]
    pub const fn contains(self, pool: PoolId) -> bool {
        pool.is_known() && self.0 & (1 << pool.0) != 0
    }
}

impl Word for PoolSet {
    fn to_word(self) -> u64 {
        self.0.into()
    }

    fn from_word(word: u64) -> PoolSet {
        // The unknown pool is in no set.
        PoolSet(word as u32 & !1)
    }
}

/// The server of an attempt, as a place in the monitor's registry of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerId(u8);

impl PeerId {
    /// A server that is in no registry.
    pub const NONE: PeerId = PeerId(u8::MAX);

    /// Its place, whatever it is.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The server at this place.
    pub const fn new(place: u8) -> PeerId {
        PeerId(place)
    }

    /// Its place, for a server that has one.
    pub const fn index(self) -> Option<usize> {
        if self.0 == u8::MAX { None } else { Some(self.0 as usize) }
    }
}

/// Zero is a server that is in no registry.
impl Word for PeerId {
    fn to_word(self) -> u64 {
        self.0.wrapping_add(1).into()
    }

    fn from_word(word: u64) -> PeerId {
        PeerId((word as u8).wrapping_sub(1))
    }
}
