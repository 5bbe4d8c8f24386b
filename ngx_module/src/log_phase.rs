//! From a finished request to what the detector gets of it.
//!
//! What is counted, the recorder decides; here it is told what nginx knows of the request. Nearly every request is like
//! those before it, and is recognised without asking.

use alert_core::model::event::Event;
use alert_core::model::success::{SourceId, Success};
use alert_core::observe::fast_path::FastPath;
use alert_core::observe::recorder::{Attempt, Intent, Record, Request};
use alert_core::settings::LatencyOf;

use crate::config::{Source, Sources};
use crate::engine::{Monitor, Watched};
use crate::nginx::logged_request::{Answer, Layout, LoggedRequest};
use crate::nginx::process::cached_time;

/// What is left to do about a finished request.
pub enum Rest {
    /// Nothing.
    Nothing,
    /// The detector sleeps: [`wake`] it.
    Wake,
    /// To take a closer look: [`look_closer`].
    Look,
}

/// Hands a finished request to the detector where it is like nearly every request: an answer at the first try, whole, of a
/// known server whose answers change nothing. It calls nothing, so that it has nothing to keep over a call.
#[inline(always)]
pub fn hand_over_usual(request: LoggedRequest<'_>, monitor: &Monitor) -> Rest {
    let Some(answer) = request.only_answer() else {
        return if request.is_plain() { Rest::Nothing } else { Rest::Look };
    };
    let Some(Watched { usual, release, pool, event_loop, .. }) = monitor.watched() else { return Rest::Nothing };
    let mut seen = Layout::default();
    let (second, millisecond) = cached_time();
    let Some(known) = usual.find(answer.address) else { return Rest::Look };
    let Some(release) = request.known_header(release, &mut seen) else { return Rest::Look };
    if !known.has_release(release) {
        return Rest::Look;
    }
    if known.is_of_named_pool() && !request.known_header(pool, &mut seen).is_some_and(|pool| known.has_pool(pool)) {
        return Rest::Look;
    }
    let Some(time_ms) = event_loop.clock.at_once(second, millisecond) else { return Rest::Look };
    if !event_loop.has_room() || monitor.is_slow(answer.header_ms) {
        return Rest::Look;
    }
    let origin = known.origin();
    let (header_ago_ms, latency_ms) = (answer.header_ago_ms, answer.header_ms);
    match event_loop.put(Success { time_ms, header_ago_ms, latency_ms, origin }) {
        false => Rest::Nothing,
        true => Rest::Wake,
    }
}

/// Wakes the detector of this monitor.
#[cold]
pub fn wake(monitor: &Monitor) {
    if let Some(watched) = monitor.watched() {
        watched.event_loop.wake();
    }
}

/// Hands any finished request to the detector that says anything about upstreams.
#[cold]
pub fn look_closer(request: LoggedRequest<'_>, monitor: &Monitor) {
    let Some(Watched { usual, sources, recorder, event_loop, .. }) = monitor.watched() else { return };
    if !event_loop.is_open() {
        return;
    }
    let (second, millisecond) = cached_time();
    let finished = Finished { request, sources, ended_ms: event_loop.clock.at(second, millisecond) };
    if let Some((answer, origin)) =
        request.only_answer().and_then(|answer| Some((answer, finished.recognise(&answer, usual)?)))
    {
        if !monitor.is_slow(answer.header_ms) {
            let (time_ms, header_ago_ms, latency_ms) = (finished.ended_ms, answer.header_ago_ms, answer.header_ms);
            return event_loop.answered(Success { time_ms, header_ago_ms, latency_ms, origin });
        }
    }
    // A request of more attempts than an event holds becomes several: the first has its first attempt.
    let mut assigned = monitor.assigned(request);
    recorder.record(&finished, |record| match record {
        Record::Success(success, names) => {
            if recorder.latency_of() == LatencyOf::Header {
                usual.remember(names.address, names.release, names.pool, success.origin);
            }
            match assigned.take().filter(|_| monitor.is_slow(success.latency_ms)) {
                None => event_loop.answered(success),
                // A slow answer is a vote, for which its client has to be known.
                assigned => event_loop.push(Event::from(success).assigned_to(assigned)),
            }
        }
        Record::Event(event) => event_loop.push(event.assigned_to(assigned.take())),
    });
}

/// What nginx knows of a finished request.
struct Finished<'a> {
    request: LoggedRequest<'a>,
    sources: &'a Sources,
    ended_ms: u64,
}

impl Finished<'_> {
    /// Whose an answer is, if it is a usual one, also where its names are variables.
    fn recognise(&self, answer: &Answer<'_>, usual: &FastPath) -> Option<SourceId> {
        let known = usual.find(answer.address).filter(|_| self.sources.failure.is_none())?;
        let is_usual = known.has_release(self.release()) && (!known.is_of_named_pool() || known.has_pool(self.pool()));
        is_usual.then(|| known.origin())
    }
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
        self.request.intent()
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
