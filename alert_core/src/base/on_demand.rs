//! A thread that is there while there is something to do, and not otherwise.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::log::{Level, Log};

/// Enough for TLS and JSON; the default of the system would reserve far more address space.
pub(crate) const STACK: usize = 512 * 1024;

/// What all threads of an engine share.
#[derive(Clone)]
pub(crate) struct Life {
    /// Set once they are to end.
    pub(crate) stop: Arc<AtomicBool>,
    /// For each to hold as long as it runs: the engine waits until nobody does.
    pub(crate) alive: Sender<()>,
    /// Where they say what happens.
    pub(crate) log: Log,
}

/// One thread at a time, for one purpose.
pub(crate) struct OnDemand {
    name: &'static str,
    /// What it is there to do.
    purpose: String,
    life: Life,
    running: Option<Running>,
    /// The last try to start one failed, which was told.
    failed: bool,
    /// One died, which was told.
    died: bool,
}

struct Running {
    thread: JoinHandle<()>,
    /// Disconnected when it has ended.
    ended: Receiver<()>,
}

impl OnDemand {
    /// No thread is started. Lines of the log say what it is to do, as in "to deliver to slack".
    pub(crate) fn new(name: &'static str, purpose: String, life: &Life) -> OnDemand {
        OnDemand { name, purpose, life: life.clone(), running: None, failed: false, died: false }
    }

    /// Whether none is running.
    pub(crate) fn is_free(&mut self) -> bool {
        if self.running.as_ref().is_some_and(|running| !running.thread.is_finished()) {
            return false;
        }
        if self.running.take().is_some_and(|ended| ended.thread.join().is_err()) && !self.died {
            self.died = true;
            let text = format!("the thread to {} died; it is started again", self.purpose);
            self.life.log.write(Level::Error, text);
        }
        true
    }

    /// Starts one, where none is running. Returns whether that worked; that it did not is told, once in a row.
    pub(crate) fn start(&mut self, body: impl FnOnce() + Send + 'static) -> bool {
        let (running, ended) = bounded(0);
        let alive = self.life.alive.clone();
        let body = move || {
            body();
            drop((running, alive));
        };
        let started = thread::Builder::new().name(self.name.into()).stack_size(STACK).spawn(body);
        if let (Err(error), false) = (&started, self.failed) {
            let text = format!("cannot start a thread to {}: {error}; trying again", self.purpose);
            self.life.log.write(Level::Error, text);
        }
        self.failed = started.is_err();
        self.running = started.ok().map(|thread| Running { thread, ended });
        !self.failed
    }

    /// Lets it look at once whether it is to end.
    pub(crate) fn unpark(&self) {
        self.running.iter().for_each(|running| running.thread.thread().unpark());
    }

    /// Waits for its end, but not beyond the deadline.
    pub(crate) fn finish(&mut self, deadline: Instant) {
        self.unpark();
        let Some(Running { thread, ended }) = self.running.take() else { return };
        if ended.recv_deadline(deadline).is_err_and(|error| error.is_disconnected()) {
            // There is nobody left to tell what it died of.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::base::log::{self, Lines};

    const LONG: Duration = Duration::from_secs(5);

    fn thread_of(life: &Life) -> OnDemand {
        OnDemand::new("alert-test", "test this".into(), life)
    }

    fn life() -> (Life, Receiver<()>, Lines) {
        let (log, lines) = log::queue();
        let (alive, ended) = bounded(0);
        (Life { stop: Arc::default(), alive, log }, ended, lines)
    }

    fn wait_until_free(thread: &mut OnDemand) {
        let end = Instant::now() + LONG;
        while !thread.is_free() {
            assert!(Instant::now() < end, "it does not end");
            thread::yield_now();
        }
    }

    #[test]
    fn it_is_there_while_it_works_and_can_be_started_again() {
        let (life, ended, lines) = life();
        let mut thread = thread_of(&life);
        for _ in 0..3 {
            let (go_on, waits) = bounded::<()>(0);
            assert!(thread.is_free() && thread.start(move || assert!(waits.recv().is_err())) && !thread.is_free());
            drop(go_on);
            wait_until_free(&mut thread);
        }
        drop((thread, life));
        assert!(ended.recv_timeout(LONG).is_err_and(|error| error.is_disconnected()), "something is left");
        assert_eq!(lines.drain().count(), 0);
    }

    #[test]
    fn one_that_dies_is_told_once() {
        let (life, _ended, lines) = life();
        let mut thread = thread_of(&life);
        for _ in 0..2 {
            assert!(thread.start(|| panic!("it dies")));
            wait_until_free(&mut thread);
        }
        let told: Vec<_> = lines.drain().map(|line| line.text().to_owned()).collect();
        assert_eq!(told, ["the thread to test this died; it is started again"]);
    }

    #[test]
    fn its_end_is_waited_for_until_the_deadline() {
        let (life, ended, _lines) = life();
        let mut thread = thread_of(&life);
        let (go_on, waits) = bounded::<()>(0);
        assert!(thread.start(move || assert!(waits.recv().is_err())));
        let begin = Instant::now();
        thread.finish(begin + Duration::from_millis(50));
        assert!(begin.elapsed() >= Duration::from_millis(50) && begin.elapsed() < LONG);
        drop((thread, life));
        assert!(ended.try_recv().is_err_and(|error| error.is_empty()), "it still runs, which the engine is to know");
        drop(go_on);
        assert!(ended.recv_timeout(LONG).is_err_and(|error| error.is_disconnected()));

        let (life, _ended, _lines) = self::life();
        let mut thread = thread_of(&life);
        assert!(thread.start(|| thread::park_timeout(LONG)));
        let begin = Instant::now();
        thread.finish(begin + LONG);
        assert!(begin.elapsed() < LONG && thread.is_free(), "it is woken");
    }
}
