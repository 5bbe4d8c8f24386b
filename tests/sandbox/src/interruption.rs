//! SIGINT, SIGTERM and SIGHUP (a terminal that was closed) as something that can be waited for and asked about.

use std::io;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

/// Remembers that the process was asked to stop. Clones share the memory.
#[derive(Clone, Debug, Default)]
pub struct Interruption {
    shared: Arc<(Mutex<bool>, Condvar)>,
}

impl Interruption {
    /// Takes over SIGINT, SIGTERM and SIGHUP: from now on they only set this.
    pub fn watch() -> io::Result<Interruption> {
        let interruption = Interruption::default();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (mut interrupt, mut terminate, mut hangup) = {
            let _inside = runtime.enter();
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?, signal(SignalKind::hangup())?)
        };
        let watched = interruption.clone();
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
            });
            watched.set();
        })?;
        Ok(interruption)
    }

    fn set(&self) {
        let (happened, changed) = &*self.shared;
        *happened.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    /// Waits for a signal, without an end.
    pub fn wait(&self) {
        while !self.within(Duration::from_secs(3600)) {}
    }

    /// Sleeps for `time`, or shorter when a signal comes or has come; says whether one has.
    pub fn within(&self, time: Duration) -> bool {
        let (happened, changed) = &*self.shared;
        let guard = happened.lock().unwrap_or_else(PoisonError::into_inner);
        let (guard, _) =
            changed.wait_timeout_while(guard, time, |happened| !*happened).unwrap_or_else(PoisonError::into_inner);
        *guard
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_ends_every_wait() {
        let interruption = Interruption::default();
        assert!(!interruption.within(Duration::ZERO));
        interruption.clone().set();
        interruption.wait();
        assert!(interruption.within(Duration::from_secs(60)));
    }
}
