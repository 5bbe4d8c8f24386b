//! The name of this host, as alerts show it.

#![allow(unsafe_code)]

use std::ffi::CStr;

/// Longer than any name that the system allows.
const SIZE: usize = 256;

/// The name; empty where the system has none.
pub fn hostname() -> String {
    let mut name = [0u8; SIZE];
    // SAFETY: the buffer is writable for the length passed, which leaves its last byte zero.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), SIZE - 1) } != 0;
    match CStr::from_bytes_until_nul(&name) {
        Ok(name) if !failed => name.to_string_lossy().into_owned(),
        _ => String::new(),
    }
}
