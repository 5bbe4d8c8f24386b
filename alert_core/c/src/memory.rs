//! The memory of a board: the caller's, or a mapping of its own that forked processes share.

#![allow(unsafe_code)]

use std::ffi::c_void;
use std::io;
use std::ptr::{self, NonNull};

use alert_core::board::region::Region;

/// Memory of a board.
#[derive(Debug)]
pub enum Memory {
    /// The caller's, who keeps it for as long as the handle lives.
    Borrowed(Region),
    /// A mapping of its own. Dropping it leaves it mapped.
    Mapped {
        /// Where it begins.
        base: NonNull<c_void>,
        /// Its length in bytes.
        bytes: usize,
        /// The same as a region.
        region: Region,
    },
}

// SAFETY: the mapping belongs to the process and to no thread; what is in it is reached as a `Region` only.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Takes the caller's memory. `None` where it is not aligned to eight bytes.
    ///
    /// # Safety
    /// The memory is valid for reads and writes until the last use of the handle, and used by nothing but boards.
    pub unsafe fn borrow(base: NonNull<c_void>, bytes: usize) -> Option<Memory> {
        let base = base.cast::<u8>();
        // SAFETY: aligned by the check, the rest is the caller's promise.
        base.cast::<u64>().is_aligned().then(|| Memory::Borrowed(unsafe { Region::new(base, bytes) }))
    }

    /// Maps memory, all zero, that is shared with processes forked later.
    ///
    /// # Errors
    /// There is none to be had.
    pub fn map(bytes: usize) -> io::Result<Memory> {
        // SAFETY: a new anonymous mapping touches nothing that exists.
        let base = unsafe {
            libc::mmap(
                ptr::null_mut(),
                bytes,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        match NonNull::new(base).filter(|_| base != libc::MAP_FAILED) {
            // SAFETY: mapped with this length, at a page's beginning, and reached by regions only until `release`.
            Some(base) => Ok(Memory::Mapped { base, bytes, region: unsafe { Region::new(base.cast(), bytes) } }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// The memory as a board takes it.
    pub fn region(&self) -> Region {
        match self {
            Memory::Borrowed(region) | Memory::Mapped { region, .. } => *region,
        }
    }

    /// Gives a mapping back; the caller's memory stays as it is.
    ///
    /// # Safety
    /// No reference into the memory is used any more in this process.
    pub unsafe fn release(self) {
        if let Memory::Mapped { base, bytes, .. } = self {
            // SAFETY: mapped by `map` with this length; unused by the caller's promise. It cannot fail for a whole mapping.
            unsafe { libc::munmap(base.as_ptr(), bytes) };
        }
    }
}
