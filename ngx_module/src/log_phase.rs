//! From a finished request to what the detector gets of it.
//!
//! What is counted, the recorder decides; here it is told what nginx knows of the request. Nearly every request is like
//! those before it, and is recognised without asking.

use alert_core::model::event::Event;
use alert_core::model::success::Success;
use alert_core::observe::recorder::{Attempt, Intent, Record, Request};

use crate::config::{Source, Sources};
use crate::engine::{Engine, LogPhase, Monitor, Watched};
use crate::nginx::logged_request::LoggedRequest;
use crate::nginx::process::cached_time;

/// Hands a finished request to the detector where it is like nearly every request: an answer at the first try, of a known
/// server of the pool that serves. Returns whether that is all there is to do.
#[inline(always)]
pub fn hand_over_usual(request: LoggedRequest<'_>, monitor: &Monitor) -> bool {
    let Some(attempt) = request.only_attempt().filter(|attempt| attempt.answered()) else { return false };
    let (Some(address), Some(header_ms), true) = (attempt.peer(), attempt.header_ms(), request.status() < 499) else {
        return false;
    };
    if attempt.time_ms() > header_ms || request.has_kept_header() || request.is_cut() || monitor.is_slow(header_ms) {
        return false;
    }
    let Ok(engine) = monitor.engine.try_borrow() else { return false };
    let Some(Engine { log_phase: LogPhase { producer, watched, clock }, worker, .. }) = &*engine else {
        return true;
    };
    let Some(Watched { usual, sources, .. }) = watched.get(monitor.number) else { return true };
    if sources.failure.is_some() {
        return false;
    }
    let release = value(request, &sources.release);
    let Some(origin) = usual.borrow().recognise(address, release, || value(request, &sources.pool)) else {
        return false;
    };
    let (second, millisecond) = cached_time();
    let time_ms = clock.at(second, millisecond);
    worker
        .intake()
        .answered(&mut producer.borrow_mut(), Success { time_ms, header_ago_ms: 0, latency_ms: header_ms, origin });
    true
}

/// Hands any finished request to the detector that says anything about upstreams.
#[cold]
#[inline(never)]
pub fn hand_over(request: LoggedRequest<'_>, monitor: &Monitor) {
    let engine = monitor.engine.borrow();
    let Some(Engine { log_phase: LogPhase { producer, watched, clock }, worker, .. }) = &*engine else { return };
    let Some(Watched { recorder, sources, usual }) = watched.get(monitor.number) else { return };
    let (second, millisecond) = cached_time();
    let finished = Finished { request, sources, ended_ms: clock.at(second, millisecond) };
    let mut producer = producer.borrow_mut();
    // A request of more attempts than an event holds becomes several: the first has its first attempt.
    let mut assigned = monitor.assigned(request);
    recorder.record(&finished, |record| match record {
        Record::Success(success, names) => {
            usual.borrow_mut().remember(names.address, names.release, names.pool, success.origin);
            match assigned.take().filter(|_| monitor.is_slow(success.latency_ms)) {
                None => worker.intake().answered(&mut producer, success),
                // A slow answer is a vote, for which its client has to be known.
                assigned => worker.intake().push_behind(&producer, Event::from(success).assigned_to(assigned)),
            }
        }
        Record::Event(event) => {
            worker.intake().push_behind(&producer, event.assigned_to(assigned.take()));
        }
    });
}

/// What nginx knows of a finished request.
struct Finished<'a> {
    request: LoggedRequest<'a>,
    sources: &'a Sources,
    ended_ms: u64,
}

impl Request for Finished<'_> {
    fn attempts(&self) -> impl Iterator<Item = Attempt<'_>> {
        self.request.attempts().map(|attempt| Attempt {
            address: attempt.peer(),
            status: attempt.status(),
            connected: attempt.was_connected(),
            header_ms: attempt.header_ms(),
            response_ms: attempt.time_ms(),
            pool: &[],
        })
    }

    fn intent(&self) -> Intent {
        match self.request.intent() {
            // Its client gave up while it waited for its turn, if it did.
            Intent::Location if self.request.was_delayed() => Intent::None,
            intent => intent,
        }
    }

    fn client_status(&self) -> u16 {
        self.request.status()
    }

    fn ended_ms(&self) -> u64 {
        self.ended_ms
    }

    fn age_ms(&self) -> u64 {
        self.request.age_ms()
    }

    fn last_began_ago_ms(&self) -> Option<u64> {
        self.request.last_began_ago_ms()
    }

    fn is_cut(&self) -> bool {
        self.request.is_cut()
    }

    fn has_kept_header(&self) -> bool {
        self.request.has_kept_header()
    }

    fn pool(&self) -> &[u8] {
        value(self.request, &self.sources.pool)
    }

    fn release(&self) -> &[u8] {
        value(self.request, &self.sources.release)
    }

    fn is_failure(&self) -> bool {
        let failure = self.sources.failure.as_ref().map_or(&[][..], |source| value(self.request, source));
        !matches!(failure, b"" | b"0")
    }

    fn line(&self) -> (&[u8], &[u8]) {
        self.request.line()
    }
}

/// What an answer says; empty where it says nothing.
#[inline(always)]
fn value<'a>(request: LoggedRequest<'a>, source: &Source) -> &'a [u8] {
    match source {
        Source::Header(name) => request.upstream_header(name),
        Source::Variable(index) => request.variable(*index).unwrap_or_default(),
    }
}
