//! From a finished request to the detector: what nginx or a C program knows of a request goes in, events and successes come
//! out on the way to the detector's thread.

pub mod event_clock;
pub mod event_loop;
pub mod fast_path;
mod fingerprint;
pub mod intake;
pub(crate) mod names;
pub mod peers;
pub mod recorder;
mod spread;
pub mod spsc;
