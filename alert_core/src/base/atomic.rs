//! The atomics that shared structures are made of. Named here once, so that the tests of interleavings can put the
//! model checker's in their place.

pub(crate) use std::sync::atomic::{AtomicI64, AtomicU64, fence};
