//! Saves the board to the state file, so that it outlives a restart.
//!
//! One worker at a time saves, every few seconds if something changed, in a thread that is there while it does. At its end each
//! worker saves what has changed since, when its couriers have done their last, so that the last worker leaves the final
//! state.

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::base::cause::reason;
use crate::base::clock::wall_ms;
use crate::base::log::{Level, Log};
use crate::base::on_demand::{Life, OnDemand};
use crate::base::task::{Look, Task};
use crate::board::Board;
use crate::persist::state_file::StateFile;

/// Time between two saves, in milliseconds.
const SAVE_EVERY_MS: u64 = 3000;
/// How long the last save waits for that of another worker.
const TURN_WAIT: Duration = Duration::from_millis(150);

/// Sees to it that the board is saved.
pub(crate) struct Saver {
    saving: Arc<Saving>,
    pid: u32,
    thread: OnDemand,
    /// When the next save may begin, in milliseconds.
    next_ms: u64,
}

/// Everything that saving works with.
struct Saving {
    board: Board,
    file: StateFile,
    generation: u64,
    log: Log,
}

impl Saver {
    /// A saver of this board for the configuration of this generation.
    pub(crate) fn new(board: Board, file: StateFile, generation: u64, pid: u32, life: &Life) -> Saver {
        let thread = OnDemand::new("alert-saver", "save the state".into(), life);
        let next_ms = board.clock().now_ms() + SAVE_EVERY_MS;
        Saver { saving: Arc::new(Saving { board, file, generation, log: life.log.clone() }), pid, thread, next_ms }
    }
}

impl Task for Saver {
    fn tick(&mut self, look: Look) {
        let (board, lease) = (self.saving.board, &self.saving.board.saving().lease);
        if !self.saving.is_wanted() {
            // Those of the configuration in force know the file of now.
            lease.release(self.pid);
            return;
        }
        let is_turn = look.is_time(self.next_ms) && self.thread.is_free();
        if !is_turn || !lease.take(self.pid, board.workers(), look.now_ms) || !self.saving.has_news() {
            return;
        }
        self.next_ms = look.now_ms + SAVE_EVERY_MS;
        let saving = self.saving.clone();
        self.thread.start(move || saving.save(Duration::ZERO));
    }

    fn finish(&mut self, deadline: Instant) {
        self.thread.finish(deadline);
        let lease = &self.saving.board.saving().lease;
        // Counters and times that are no reason to save are saved at the end all the same, by one worker.
        if self.saving.is_wanted() && (lease.is_held_by(self.pid) || self.saving.has_news()) {
            self.saving.save(TURN_WAIT);
        }
        lease.release(self.pid);
    }
}

impl Saving {
    /// Whether the file is that of the configuration in force.
    fn is_wanted(&self) -> bool {
        self.board.generation() == self.generation
    }

    /// Whether something has changed since the last save.
    fn has_news(&self) -> bool {
        self.board.fingerprint() != self.board.saving().saved.load(Relaxed)
    }

    fn save(&self, patience: Duration) {
        let saving = self.board.saving();
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
