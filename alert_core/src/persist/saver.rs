//! The saver thread of a worker: saves the board to the state file, so that it outlives a restart.
//!
//! Every worker has one, and one at a time saves, every few seconds if something changed. At its end each worker saves
//! what has changed since, when its other threads have done their last, so that the last worker leaves the final state.

use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use crossbeam_channel::Receiver;

use crate::base::cause::reason;
use crate::base::clock::wall_ms;
use crate::base::log::{Level, Log};
use crate::board::Board;
use crate::persist::state_file::StateFile;

/// Time between two saves.
const SAVE_EVERY: Duration = Duration::from_secs(3);
/// How long the last save waits for the other threads: as long as leaves time for it before the worker must be gone.
const LAST_WAIT: Duration = Duration::from_millis(650);
/// How long it waits for the last save of another worker.
const TURN_WAIT: Duration = Duration::from_millis(150);

/// Everything that the saver works with.
pub(crate) struct Saver {
    pub(crate) board: Board,
    pub(crate) file: StateFile,
    pub(crate) generation: u64,
    pub(crate) pid: u32,
    pub(crate) stop: Arc<AtomicBool>,
    /// Disconnected when the other threads have ended.
    pub(crate) others: Receiver<()>,
    pub(crate) log: Log,
}

impl Saver {
    /// Runs until it is told to stop; then waits for the other threads and saves once more.
    pub(crate) fn run(&self) {
        let mut next_ms = self.board.clock().now_ms() + SAVE_EVERY.as_millis() as u64;
        while !self.stop.load(Relaxed) {
            let wait_ms = next_ms.saturating_sub(self.board.clock().now_ms()).min(SAVE_EVERY.as_millis() as u64);
            if wait_ms > 0 {
                // Others wake all threads of a worker when alerts are decided: that is no reason to save earlier.
                thread::park_timeout(Duration::from_millis(wait_ms));
                continue;
            }
            next_ms = self.board.clock().now_ms() + SAVE_EVERY.as_millis() as u64;
            self.guarded(|| self.look());
        }
        // Disconnected or too late: either way it is time.
        let _ = self.others.recv_timeout(LAST_WAIT);
        self.guarded(|| self.save(TURN_WAIT));
        self.board.saving().lease.release(self.pid);
    }

    fn guarded(&self, body: impl FnOnce()) {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            self.log.write(Level::Error, "the saver panicked; continuing".into());
        }
    }

    fn look(&self) {
        if self.board.saving().lease.take(self.pid, self.board.workers(), self.board.clock().now_ms()) {
            self.save(Duration::ZERO);
        }
    }

    fn save(&self, patience: Duration) {
        let saving = self.board.saving();
        // A worker of an earlier configuration knows the file of that time.
        if self.board.generation() != self.generation || self.board.fingerprint() == saving.saved.load(Relaxed) {
            return;
        }
        let take = || {
            let snapshot = self.board.try_snapshot(self.board.clock().now_ms(), wall_ms());
            let snapshot = snapshot.map_err(|_| io::Error::from(ErrorKind::OutOfMemory))?;
            saving.saved.store(snapshot.fingerprint, Relaxed);
            Ok(snapshot.bytes)
        };
        match self.file.save(patience, take) {
            // The other worker saves what this one would.
            Ok(false) => {}
            Ok(true) => {
                if saving.failed.swap(0, Relaxed) != 0 {
                    self.log.write(Level::Notice, "the state is saved again".into());
                }
            }
            Err(error) => {
                saving.saved.store(0, Relaxed);
                if saving.failed.swap(1, Relaxed) == 0 {
                    let directory = self.file.directory().display();
                    self.log
                        .write(Level::Error, format!("cannot save the state in \"{directory}\": {}", reason(&error)));
                }
            }
        }
    }
}
