//! How the detector of a worker sleeps, and how it is woken: by its own event loop, or by another worker whose decision waits
//! for what lies in its queue. The kernel lets it sleep on a word that both share (a futex).

use crate::base::shared::shared;
use std::sync::atomic::{AtomicU32, Ordering, Ordering::Relaxed, fence};
use std::time::Duration;

use rustix::thread::futex::{self, Flags};
use rustix::time::Timespec;

/// What a detector wants to be woken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Sleep {
    /// Nothing: it looks at its queue again by itself at once.
    Awake,
    /// Events, and decisions that wait for it: it looks at the usual answers again by itself soon.
    Dozing,
    /// Anything.
    Asleep,
}

shared! {
/// How one detector sleeps. All-zero is: awake.
#[derive(Debug, Default)]
pub struct Doorbell {
    sleep: AtomicU32,
    /// Fills the word.
    unused: AtomicU32,
}
}

impl Doorbell {
    /// Says how the detector sleeps from now on. It looks at what waits once more after this.
    pub(crate) fn set(&self, sleep: Sleep) {
        self.sleep.store(sleep as u32, Relaxed);
        // Pairs with the fences of those who wake: either the detector sees what they put before, or they see this.
        fence(Ordering::SeqCst);
    }

    /// Sleeps as was said, until somebody wakes it, but not for longer than `limit`.
    pub(crate) fn wait(&self, sleep: Sleep, limit: Duration) {
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        // However it ends (woken, too late, or somebody was faster): whoever sleeps here looks again.
        let _ = futex::wait(&self.sleep, Flags::empty(), sleep as u32, Some(&limit));
    }

    /// Wakes the detector for an event.
    #[inline]
    pub(crate) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.sleep.load(Relaxed) != Sleep::Awake as u32 {
            self.wake();
        }
    }

    /// Wakes the detector for a usual answer, unless it looks for those by itself.
    pub(crate) fn rouse(&self) {
        fence(Ordering::SeqCst);
        if self.sleep.load(Relaxed) == Sleep::Asleep as u32 {
            self.wake();
        }
    }

    /// Wakes the detector if it sleeps.
    #[cold]
    pub(crate) fn wake(&self) {
        if self.sleep.swap(Sleep::Awake as u32, Relaxed) != Sleep::Awake as u32 {
            // It cannot fail on a word that is mapped; nobody may sleep there yet, who then finds that it changed.
            let _ = futex::wake(&self.sleep, Flags::empty(), 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn whoever_sleeps_is_woken_for_what_it_asked_for() {
        for (sleep, wake) in [(Sleep::Dozing, Doorbell::ring as fn(&Doorbell)), (Sleep::Asleep, Doorbell::rouse)] {
            let (bell, waits) = (Doorbell::default(), AtomicBool::new(false));
            let begin = Instant::now();
            std::thread::scope(|scope| {
                let sleeper = scope.spawn(|| {
                    loop {
                        bell.set(sleep);
                        if waits.load(SeqCst) {
                            break;
                        }
                        bell.wait(sleep, LONG);
                    }
                });
                waits.store(true, SeqCst);
                while !sleeper.is_finished() {
                    wake(&bell);
                    std::thread::yield_now();
                }
            });
            assert!(begin.elapsed() < LONG / 2);
        }
    }

    #[test]
    fn who_dozes_is_not_woken_for_a_usual_answer_and_looks_again_by_itself() {
        let bell = Doorbell::default();
        bell.set(Sleep::Dozing);
        bell.rouse();
        assert_eq!(bell.sleep.load(Relaxed), Sleep::Dozing as u32);
        bell.wait(Sleep::Dozing, Duration::from_millis(1));
        bell.ring();
        assert_eq!(bell.sleep.load(Relaxed), Sleep::Awake as u32);
        // Rung between the look and the sleep: it does not sleep at all.
        bell.wait(Sleep::Dozing, LONG);
    }
}
