//! Handles: numbers that look like pointers.
//!
//! What a caller holds is never followed as a pointer. It is looked up in a table, so that a handle which was freed, or
//! never was one, is an error and no crash, and a call that races with the freeing of its handle is safe.

use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::abi::alert_code;
use crate::engine::{Engine, Refusal};

/// Handles that a process can have at a time.
pub const HANDLES_MAX: usize = 64;
/// Between two looks at whether the last call on a handle has returned.
const PAUSE: Duration = Duration::from_millis(1);

/// One place of the table. Its serial number tells its present handle from earlier ones.
struct Slot {
    serial: usize,
    engine: Option<Arc<Engine>>,
}

static SLOTS: [RwLock<Slot>; HANDLES_MAX] = [const { RwLock::new(Slot { serial: 0, engine: None }) }; HANDLES_MAX];

/// Makes an engine and gives it a handle.
///
/// # Errors
/// All places are taken, or the engine cannot be made.
pub fn insert(make: impl FnOnce() -> Result<Engine, Refusal>) -> Result<usize, Refusal> {
    for (at, slot) in SLOTS.iter().enumerate() {
        let mut slot = slot.write().unwrap_or_else(PoisonError::into_inner);
        if slot.engine.is_none() {
            slot.engine = Some(Arc::new(make()?));
            slot.serial += 1;
            return Ok(slot.serial * HANDLES_MAX + at);
        }
    }
    Err((alert_code::ALERT_EHANDLES, format!("this process has {HANDLES_MAX} handles already")))
}

/// The engine of a handle; `None` where there is no such handle.
pub fn get(handle: usize) -> Option<Arc<Engine>> {
    let slot = SLOTS[handle % HANDLES_MAX].read().unwrap_or_else(PoisonError::into_inner);
    slot.engine.as_ref().filter(|_| slot.serial == handle / HANDLES_MAX).cloned()
}

/// Takes a handle out of the table, and waits for the calls that are under way.
///
/// # Errors
/// There is no such handle, or a call has not returned in time and still uses the engine.
pub fn remove(handle: usize, deadline: Instant) -> Result<Engine, alert_code> {
    let taken = {
        let mut slot = SLOTS[handle % HANDLES_MAX].write().unwrap_or_else(PoisonError::into_inner);
        let found = slot.serial == handle / HANDLES_MAX;
        if found { slot.engine.take() } else { None }
    };
    let mut engine = taken.ok_or(alert_code::ALERT_EHANDLE)?;
    loop {
        match Arc::try_unwrap(engine) {
            Ok(engine) => return Ok(engine),
            Err(shared) if Instant::now() >= deadline => {
                // The call that still uses it may have threads in its hands that must not be waited for there.
                std::mem::forget(shared);
                return Err(alert_code::ALERT_ETIMEOUT);
            }
            Err(shared) => engine = shared,
        }
        thread::sleep(PAUSE);
    }
}
