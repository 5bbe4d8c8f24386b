//! The mapping of the board onto shared memory: the one place in this crate where bytes become references.

#![allow(unsafe_code)]

use std::mem::{align_of, size_of};
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use crate::base::shared::Shared;

/// Memory shared by the workers.
#[derive(Clone, Copy, Debug)]
pub struct Region {
    base: NonNull<AtomicU64>,
    words: usize,
}

// SAFETY: the region hands out references to atomics only.
unsafe impl Send for Region {}
// SAFETY: as above.
unsafe impl Sync for Region {}

impl Region {
    /// Takes memory into use.
    ///
    /// # Safety
    /// `base` is aligned to eight bytes and valid for reads and writes of `bytes` bytes for as long as this region,
    /// any copy of it, or any reference from it is in use; nothing else but regions accesses it in that time.
    pub unsafe fn new(base: NonNull<u8>, bytes: usize) -> Region {
        Region { base: base.cast(), words: bytes / size_of::<AtomicU64>() }
    }

    /// Memory of this process alone, which lives as long as the process.
    pub fn private(bytes: usize) -> Region {
        let words: &'static mut [AtomicU64] =
            (0..bytes.div_ceil(8)).map(|_| AtomicU64::new(0)).collect::<Vec<_>>().leak();
        Region { base: NonNull::from(&mut *words).cast(), words: words.len() }
    }

    /// Whether it begins where the other one does, or within that.
    pub fn is_in(&self, other: &Region) -> bool {
        let begin = other.base.as_ptr().addr();
        (begin..begin + other.words * size_of::<AtomicU64>()).contains(&self.base.as_ptr().addr())
    }

    /// Its length in words of eight bytes.
    pub fn words(&self) -> usize {
        self.words
    }

    /// The structure at this offset (in words); `None` where it does not fit.
    pub fn get<T: Shared>(&self, offset: usize) -> Option<&'static T> {
        const {
            let () = T::NO_PADDING;
            assert!(align_of::<T>() == 8 && size_of::<T>() % 8 == 0)
        };
        let end = offset.checked_add(size_of::<T>() / 8)?;
        // SAFETY: in bounds by the check, aligned as everything here is, valid for every pattern of bits by `Shared`,
        // and alive for as long as it is used by the contract of `new`.
        (end <= self.words).then(|| unsafe { self.base.add(offset).cast::<T>().as_ref() })
    }

    /// The words from this offset (in words); `None` where they do not fit.
    pub fn slice(&self, offset: usize, len: usize) -> Option<&'static [AtomicU64]> {
        let end = offset.checked_add(len)?;
        // SAFETY: as in `get`.
        (end <= self.words).then(|| unsafe { std::slice::from_raw_parts(self.base.add(offset).as_ptr(), len) })
    }
}
