//! Memory that several processes share, as a zone of nginx is shared by its workers.

#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;
use std::ptr::{self, NonNull};

use alert_core::board::region::Region;
use rustix::mm::{MapFlags, ProtFlags, mmap};

/// A file as memory, for as long as this process lives.
pub fn open(path: &Path) -> Region {
    let file = File::options().read(true).write(true).open(path).expect("the file of the board can be opened");
    let bytes = usize::try_from(file.metadata().expect("a file has a length").len()).expect("it fits into memory");
    let access = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice touches nothing that exists.
    let base = unsafe { mmap(ptr::null_mut(), bytes, access, MapFlags::SHARED, &file, 0) };
    let base = base.expect("the file of the board can be mapped");
    // SAFETY: mapped with this length at a page's beginning, never unmapped, and used by nothing but boards.
    unsafe { Region::new(NonNull::new(base.cast()).expect("a mapping is not at zero"), bytes) }
}
