//! What callers pass as pointers, checked as far as pointers can be.

#![allow(unsafe_code)]

use std::ffi::{CStr, c_char};
use std::slice;

use crate::abi::alert_code;

/// Longer than any text that makes sense here: such a length was never set.
const TEXT_MAX: usize = 1 << 20;
/// More attempts than any request makes.
const ATTEMPTS_MAX: usize = 4096;

/// A text with its length; NULL with length zero is empty.
///
/// # Errors
/// NULL with a length, or a length that cannot be.
///
/// # Safety
/// Where `text` is not NULL it is readable for `len` bytes during `'a`.
pub unsafe fn bytes<'a>(text: *const c_char, len: usize) -> Result<&'a [u8], alert_code> {
    // SAFETY: the caller's promise.
    unsafe { array(text.cast(), len, TEXT_MAX) }
}

/// An array of attempts.
///
/// # Errors
/// As above.
///
/// # Safety
/// Where `items` is not NULL it points to `len` initialized items during `'a`.
pub unsafe fn items<'a, T>(items: *const T, len: usize) -> Result<&'a [T], alert_code> {
    // SAFETY: the caller's promise.
    unsafe { array(items, len, ATTEMPTS_MAX) }
}

/// # Safety
/// Where `first` is not NULL it points to `len` initialized items during `'a`.
unsafe fn array<'a, T>(first: *const T, len: usize, max: usize) -> Result<&'a [T], alert_code> {
    match (first.is_null(), len) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(alert_code::ALERT_EARGUMENT),
        (false, _) if len > max || !first.is_aligned() => Err(alert_code::ALERT_EARGUMENT),
        // SAFETY: not null, aligned, and of a length that an allocation can have; initialized by the caller's promise.
        (false, _) => Ok(unsafe { slice::from_raw_parts(first, len) }),
    }
}

/// A string that ends with NUL; NULL is empty.
///
/// # Errors
/// It is not UTF-8.
///
/// # Safety
/// Where `text` is not NULL it is readable up to a NUL during `'a`.
pub unsafe fn string<'a>(text: *const c_char) -> Result<&'a str, alert_code> {
    if text.is_null() {
        return Ok("");
    }
    // SAFETY: not null, and ends with NUL by the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().map_err(|_| alert_code::ALERT_EARGUMENT)
}

/// A caller's buffer for a text.
pub struct Buffer {
    start: *mut c_char,
    size: usize,
    needed: *mut usize,
}

impl Buffer {
    /// Takes a buffer of this size. `needed`, where it is not NULL, gets the size that a text needs.
    ///
    /// # Errors
    /// NULL with a size.
    ///
    /// # Safety
    /// Where they are not NULL, `start` is writable for `size` bytes and `needed` for a size, as long as this lives.
    pub unsafe fn new(start: *mut c_char, size: usize, needed: *mut usize) -> Result<Buffer, alert_code> {
        let wrong = (start.is_null() && size > 0) || size > isize::MAX as usize || !needed.is_aligned();
        if wrong { Err(alert_code::ALERT_EARGUMENT) } else { Ok(Buffer { start, size, needed }) }
    }

    /// Writes the whole text and a NUL; where that does not fit it writes nothing. Returns whether it fitted, and notes
    /// the size that is needed.
    pub fn put(&self, text: &str) -> bool {
        if !self.needed.is_null() {
            // SAFETY: writable by the promise of `new`, aligned by its check.
            unsafe { self.needed.write(text.len() + 1) };
        }
        let fits = text.len() < self.size;
        if fits {
            self.write(text);
        }
        fits
    }

    /// Writes as much of the text as fits, without cutting a character, and a NUL.
    pub fn put_cut(&self, text: &str) {
        let Some(room) = self.size.checked_sub(1) else { return };
        let end = (0..=room.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        self.write(&text[..end]);
    }

    fn write(&self, text: &str) {
        debug_assert!(text.len() < self.size);
        // SAFETY: both callers have checked that the text and a NUL fit; writable by the promise of `new`. A text of the
        // library does not overlap memory of the caller.
        unsafe {
            self.start.copy_from_nonoverlapping(text.as_ptr().cast(), text.len());
            self.start.add(text.len()).write(0);
        }
    }
}
