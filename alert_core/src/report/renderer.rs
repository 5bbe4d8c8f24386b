//! Renders documents off the event loop, which gives a document to send when it is done.
//!
//! A thread does so while somebody waits for a document, and there is none otherwise. Who asks for one that is asked for
//! already, and not yet begun, gets the same: a document is never older than the question. Between two documents the thread
//! rests for longer than the last one took, so that a crowd of readers takes no more than a part of one processor.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::view::Source;
use super::{json, page, prometheus};
use crate::base::memory::has_room;
use crate::base::on_demand::{Life, STACK};
use crate::board::{Board, Plan};
use crate::settings::Settings;

/// Documents that are asked for at once: pages of different monitors. Who asks for one more is sent away.
const WAITING_MAX: usize = 64;
/// What a rest is of the time that the last document took, and its bound.
const REST: u32 = 3;
const REST_MAX: Duration = Duration::from_millis(250);

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// The status as JSON.
    Json,
    /// The metrics.
    Metrics,
    /// The page.
    Page {
        /// The path by which it was asked for.
        path: String,
        /// The query string.
        query: String,
        /// The path of the commands of the same server.
        control: Option<String>,
    },
}

/// Why there is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// There is no memory for it, or for a thread.
    NoMemory,
    /// Too many different ones are asked for.
    TooMany,
    /// It could not be made.
    Internal,
}

impl Failure {
    /// What is wrong.
    pub fn text(self) -> &'static str {
        match self {
            Failure::NoMemory => "this worker has no memory for the document",
            Failure::TooMany => "too many different documents are asked for at once",
            Failure::Internal => "internal error, see the error log",
        }
    }
}

/// The bytes of a document, or why there are none.
pub type Rendered = Result<Arc<Vec<u8>>, Failure>;

/// A document that is being made.
#[derive(Clone, Debug, Default)]
pub struct Ticket(Arc<OnceLock<Rendered>>);

impl Ticket {
    /// The document, once it is made.
    pub fn document(&self) -> Option<Rendered> {
        // Where nobody else has the ticket any more, nobody makes its document.
        let nobody = Arc::strong_count(&self.0) == 1;
        self.0.get().cloned().or_else(|| nobody.then_some(Err(Failure::Internal)))
    }
}

/// What makes the documents of a worker.
pub struct Renderer {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    board: Board,
    plan: Plan,
    settings: Settings,
    queue: Mutex<Queue>,
    life: Life,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<(Question, Ticket)>,
    /// Whether a thread looks here again before it ends.
    is_served: bool,
    /// When the next document may be begun.
    rests_until: Option<Instant>,
}

impl Renderer {
    /// Makes documents of this configuration. No thread is started. The event loop is called by the log when one is done.
    pub(crate) fn new(board: Board, plan: &Plan, settings: &Settings, life: &Life) -> Renderer {
        let (plan, settings, life) = (plan.clone(), settings.clone(), life.clone());
        let shared = Shared { board, plan, settings, queue: Mutex::default(), life };
        Renderer { shared: Arc::new(shared), thread: Mutex::default() }
    }

    /// Asks for a document. The caller has all signals blocked, as the thread is to have.
    ///
    /// # Errors
    /// None can be made now.
    pub fn ask(&self, question: Question) -> Result<Ticket, Failure> {
        let mut queue = self.shared.queue();
        if let Some((_, ticket)) = queue.waiting.iter().find(|(waiting, _)| *waiting == question) {
            return Ok(ticket.clone());
        }
        if queue.waiting.len() >= WAITING_MAX {
            return Err(Failure::TooMany);
        }
        if !queue.is_served {
            let shared = self.shared.clone();
            let thread = thread::Builder::new().name("alert-report".into()).stack_size(STACK);
            let started = thread.spawn(move || shared.serve());
            let started = started.map_err(|_| Failure::NoMemory)?;
            queue.is_served = true;
            let before = self.thread.lock().unwrap_or_else(PoisonError::into_inner).replace(started);
            if let Some(before) = before {
                // It has looked here for the last time, so it is at its end. What it panicked with was caught and told.
                let _ = before.join();
            }
        }
        let ticket = Ticket::default();
        queue.waiting.push((question, ticket.clone()));
        Ok(ticket)
    }

    /// The thread, if one was started. It ends soon once the engine is to stop.
    pub(crate) fn into_thread(self) -> Option<JoinHandle<()>> {
        self.thread.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in it can be half done.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes what is asked for, until nothing is.
    fn serve(&self) {
        while let Some((question, ticket)) = self.next() {
            let began = Instant::now();
            let document =
                self.life.log.guard("a document", || self.render(&question)).unwrap_or(Err(Failure::Internal));
            let _ = ticket.0.set(document);
            drop(ticket);
            self.life.log.call();
            let now = Instant::now();
            self.queue().rests_until = Some(now + ((now - began) * REST).min(REST_MAX));
        }
    }

    /// What is asked for next, after a rest; `None` where this thread is to end.
    fn next(&self) -> Option<(Question, Ticket)> {
        loop {
            let mut queue = self.queue();
            if queue.waiting.is_empty() || self.life.stop.load(Relaxed) {
                queue.is_served = false;
                return None;
            }
            let rest = queue.rests_until.map(|until| until.saturating_duration_since(Instant::now()));
            match rest.filter(|rest| !rest.is_zero()) {
                None => return Some(queue.waiting.remove(0)),
                Some(rest) => {
                    drop(queue);
                    thread::park_timeout(rest);
                }
            }
        }
    }

    fn render(&self, question: &Question) -> Rendered {
        if !has_room(needed_bytes(&self.settings)) {
            return Err(Failure::NoMemory);
        }
        let source = Source::now(self.board, &self.plan, &self.settings);
        Ok(Arc::new(match question {
            Question::Json => json::render(&source),
            Question::Metrics => prometheus::render(&source),
            Question::Page { path, query, control } => {
                let asked = page::Asked { path, query, control: control.as_deref() };
                page::render(&source, &asked).into_bytes()
            }
        }))
    }
}

/// The most memory that making a document of this configuration takes, in bytes.
pub fn needed_bytes(settings: &Settings) -> usize {
    // Alerts, addresses and sinks; then each monitor, and each of the pools that it can know.
    const OF_ALL: usize = 2 << 20;
    const OF_MONITOR: usize = 576 << 10;
    OF_ALL + OF_MONITOR * settings.monitors.len()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use crossbeam_channel::bounded;

    use super::*;
    use crate::base::log;
    use crate::report::rig::Rig;

    fn renderer(rig: &Rig) -> (Renderer, Arc<AtomicBool>) {
        let life = Life { stop: Arc::default(), alive: bounded(0).0, log: log::queue().0 };
        (Renderer::new(rig.board, &rig.plan, &rig.settings, &life), life.stop)
    }

    fn wait(ticket: &Ticket) -> Rendered {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            if let Some(document) = ticket.document() {
                return document;
            }
            assert!(Instant::now() < end, "nobody makes it");
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn page(query: &str) -> Question {
        Question::Page { path: "/alert".into(), query: query.into(), control: None }
    }

    #[test]
    fn each_question_gets_its_document_and_the_thread_ends() {
        let rig = Rig::named(&["app", "api"], &[]);
        let (renderer, _) = renderer(&rig);
        for _ in 0..3 {
            let tickets =
                [Question::Json, Question::Metrics, page("monitor=api")].map(|question| renderer.ask(question));
            let [json, metrics, page] = tickets.map(|ticket| wait(&ticket.expect("a thread")).expect("a document"));
            assert!(json.starts_with(b"{\"version\""));
            assert!(metrics.starts_with(b"# "));
            assert!(page.starts_with(b"<!doctype html>"));
        }
        let thread = renderer.into_thread().expect("there was a thread");
        thread.join().expect("it ends by itself");
    }

    #[test]
    fn who_asks_before_a_document_is_begun_gets_the_same_and_who_asks_later_a_newer_one() {
        let rig = Rig::new(&[]);
        let (renderer, _) = renderer(&rig);
        renderer.shared.queue().rests_until = Some(Instant::now() + Duration::from_millis(200));
        let [first, second] = [0, 1].map(|_| renderer.ask(Question::Json).expect("a thread"));
        let [first, second] = [&first, &second].map(|ticket| wait(ticket).expect("a document"));
        assert!(Arc::ptr_eq(&first, &second));
        let third = wait(&renderer.ask(Question::Json).expect("a thread")).expect("a document");
        assert!(!Arc::ptr_eq(&first, &third));
    }

    #[test]
    fn a_crowd_is_bounded_and_the_end_of_the_engine_ends_it() {
        let rig = Rig::new(&[]);
        let (renderer, stop) = renderer(&rig);
        renderer.shared.queue().rests_until = Some(Instant::now() + Duration::from_secs(3600));
        let tickets: Vec<_> = (0..WAITING_MAX).map(|at| renderer.ask(page(&at.to_string())).expect("room")).collect();
        assert_eq!(renderer.ask(Question::Json).err(), Some(Failure::TooMany));
        stop.store(true, Relaxed);
        let thread = renderer.into_thread().expect("a thread");
        thread.thread().unpark();
        thread.join().expect("it ends");
        assert!(tickets.iter().all(|ticket| ticket.document() == Some(Err(Failure::Internal))));
    }
}
