//! `alert_core` for C: the engine behind a handle, for C modules and LuaJIT's FFI.
//!
//! A call comes in through [`abi`], which is what `include/alert_core.h` is generated from. It reads the caller's
//! pointers with `raw`, finds the engine of the handle in `handle`, and does everything else in `engine`, which is safe
//! Rust and knows nothing of pointers.

#![deny(unsafe_code)]

pub mod abi;
mod attempts;
mod engine;
mod handle;
mod hostname;
mod memory;
mod raw;
mod request;
mod signals;
