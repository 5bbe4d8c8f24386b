//! What the threads have to say to the error log.
//!
//! They may not write there themselves, since nginx's log belongs to the event loop. Lines wait in a bounded queue that
//! the event loop empties when it is called; what does not fit is counted and the count is said instead.
//!
//! Lines name pools, addresses and what services answered, so anybody's bytes may be in them. A [`Line`] is cleaned when it is
//! made, whatever it is made of: there is no other way into the log.

use std::borrow::Cow;
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crossbeam_channel::{Receiver, Sender, bounded};

use super::name::plain;

/// Lines that wait at most.
const WAITING_MAX: usize = 256;
/// Characters of a line that are kept: nginx has room for about 2,000 bytes.
const LINE_MAX: usize = 1500;

/// How important a line is, in nginx's terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Something failed for good.
    Error,
    /// Something failed and may recover.
    Warn,
    /// Something happened that an operator wants to find later.
    Notice,
}

/// One line for the error log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// How important it is.
    pub level: Level,
    /// What happened, without the module's name.
    text: String,
}

impl Line {
    /// A line that says this, cleaned.
    pub fn new(level: Level, text: &str) -> Line {
        Line { level, text: one_line(text).into_owned() }
    }

    /// What happened, without the module's name.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// The text as one line of bounded length that is read from left to right: without control characters, escapes for
/// terminals, and marks of direction.
pub fn one_line(text: &str) -> Cow<'_, str> {
    if text.len() <= LINE_MAX && text.chars().all(|c| plain(c) == c) {
        return Cow::Borrowed(text);
    }
    let mut characters = text.chars().map(plain);
    let mut line: String = characters.by_ref().take(LINE_MAX).collect();
    if characters.next().is_some() {
        line.push('…');
    }
    Cow::Owned(line)
}

/// The writing end; threads share it.
#[derive(Clone)]
pub struct Log {
    lines: Sender<Line>,
    lost: Arc<AtomicU64>,
    /// Calls whoever empties the queue.
    call: Option<Arc<dyn Fn() + Send + Sync>>,
}

/// The reading end.
#[derive(Clone, Debug)]
pub struct Lines {
    lines: Receiver<Line>,
    lost: Arc<AtomicU64>,
}

/// A queue of lines.
pub fn queue() -> (Log, Lines) {
    let (sender, receiver) = bounded(WAITING_MAX);
    let lost = Arc::new(AtomicU64::new(0));
    (Log { lines: sender, lost: lost.clone(), call: None }, Lines { lines: receiver, lost })
}

impl Log {
    /// The same, calling somebody to empty the queue after each line.
    pub(crate) fn calling(self, call: impl Fn() + Send + Sync + 'static) -> Log {
        Log { call: Some(Arc::new(call)), ..self }
    }

    /// Queues a line.
    pub fn write(&self, level: Level, text: String) {
        if self.lines.try_send(Line::new(level, &text)).is_err() {
            self.lost.fetch_add(1, Relaxed);
        }
        self.call();
    }

    /// Does something of which a panic is told and survived; `None` where there was one.
    pub(crate) fn guard<T>(&self, what: impl Display, body: impl FnOnce() -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(body)).inspect_err(|_| self.tell_panic(what)).ok()
    }

    /// Says that something panicked, which was caught.
    pub(crate) fn tell_panic(&self, what: impl Display) {
        self.write(Level::Error, format!("{what} panicked; continuing"));
    }

    /// Calls whoever empties the queue, as if there were something to say.
    pub(crate) fn call(&self) {
        if let Some(call) = &self.call {
            call();
        }
    }
}

impl Lines {
    /// The lines that wait.
    pub fn drain(&self) -> impl Iterator<Item = Line> + '_ {
        let lost = self.lost.swap(0, Relaxed);
        let note = (lost > 0).then(|| Line::new(Level::Warn, &format!("{lost} log lines were lost")));
        self.lines.try_iter().chain(note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_do_not_fit_are_counted() {
        let (log, lines) = queue();
        (0..WAITING_MAX + 3).for_each(|n| log.write(Level::Notice, n.to_string()));
        let drained: Vec<Line> = lines.drain().collect();
        assert_eq!(drained.len(), WAITING_MAX + 1);
        assert_eq!(drained.last().map(Line::text), Some("3 log lines were lost"));
        assert_eq!(lines.drain().count(), 0);
    }

    #[test]
    fn nothing_that_a_line_names_can_begin_another_one_or_move_a_cursor() {
        let (log, lines) = queue();
        let forged = "pool \"x\r\n2026/11/26 [alert] 1#1: forged\x1b[2J\u{9b}31m\u{202e}\u{2028}\0\"";
        log.write(Level::Warn, forged.into());
        log.write(Level::Warn, "ä".repeat(100_000));
        let [first, second] = lines.drain().collect::<Vec<_>>().try_into().expect("two lines");
        assert_eq!(first.text(), "pool \"x  2026/11/26 [alert] 1#1: forged [2J 31m\u{fffd}  \"");
        assert_eq!(second.text().chars().count(), LINE_MAX + 1);
        assert_eq!(one_line("as it is"), "as it is");
    }
}
