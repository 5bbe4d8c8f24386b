//! From a finished request to what the detector gets of it.
//!
//! What is counted, the recorder decides; here it is told what nginx knows of the request. Nearly every request is like
//! those before it, and is recognised without asking.

use alert_core::model::event::Event;
use alert_core::model::success::{Answered, SourceId, Success};
use alert_core::observe::fast_path::{FastPath, Known};
use alert_core::observe::recorder::{Attempt, Intent, Record, Request};
use alert_core::settings::LatencyOf;

use crate::config::{Source, Sources};
use crate::engine::{Monitor, Watched};
use crate::nginx::headers::{Headers, Look, Shape};
use crate::nginx::logged_request::{self, Answer, Attempts, LoggedRequest};
use crate::nginx::process::{cached_time, wall_ms};

/// What is left to do about a finished request.
pub enum Rest<'a> {
    /// Nothing.
    Nothing,
    /// To take a closer look: [`look_closer`].
    Look,
    /// To look at its headers: [`hand_over_by_names`], then [`hand_over_by_headers`].
    Headers(&'a Known<Shape>, Answer<'a>),
}

/// Hands a finished request to the detector where it is like nearly every request: an answer at the first try, whole, of a
/// known server whose answers change nothing, with its release in a header where it was before. It calls nothing, so that it
/// has nothing to keep over a call.
#[inline(always)]
pub fn hand_over_usual<'a>(request: LoggedRequest<'a>, watched: &'a Watched) -> Rest<'a> {
    let Some(answer) = request.only_answer() else {
        return if request.is_plain() { Rest::Nothing } else { Rest::Look };
    };
    let attempt = answer.attempt();
    let known = watched.usual.find(attempt.peer_lies_at(), || attempt.address());
    let Some(known) = known else { return Rest::Look };
    match known.headers.look(answer.headers(), |release| known.has_release(release)) {
        Look::Unclear => Rest::Headers(known, answer),
        Look::Same(true) if put(watched, known, answer) => Rest::Nothing,
        Look::Same(_) => Rest::Look,
    }
}

/// The same where both names are in headers. Returns whether it was like them.
#[inline(always)]
pub fn hand_over_by_names(watched: &Watched, known: &Known<Shape>, answer: Answer<'_>) -> bool {
    let (is_release, is_pool) = (|name: &[u8]| known.has_release(name), |name: &[u8]| known.has_pool(name));
    known.headers.look_twice(answer.headers(), is_release, is_pool) && put(watched, known, answer)
}

/// The same for any other headers. Returns whether it was like them.
#[inline(always)]
pub fn hand_over_by_headers(watched: &Watched, known: &Known<Shape>, answer: Answer<'_>) -> bool {
    let (is_release, is_pool) = (|name: &[u8]| known.has_release(name), |name: &[u8]| known.has_pool(name));
    known.headers.holds(answer.headers(), is_release, is_pool, known.is_of_named_pool()) && put(watched, known, answer)
}

/// Puts an answer into the ring, if that is all there is to do.
#[inline(always)]
fn put(watched: &Watched, known: &Known<Shape>, answer: Answer<'_>) -> bool {
    let room = watched.event_loop.room().filter(|_| !watched.is_slow(answer.header_ms()));
    let Some(room) = room else { return false };
    room.put(answered(answer, known.origin()));
    true
}

/// What the detector gets of an answer.
#[inline(always)]
fn answered(answer: Answer<'_>, origin: SourceId) -> Answered {
    Answered { time_ms: wall_ms(), began_ago_ms: answer.began_ago_ms(), header_ms: answer.header_ms(), origin }
}

/// Hands any finished request to the detector that says anything about upstreams.
#[inline]
pub fn look_closer(request: LoggedRequest<'_>, monitor: &Monitor, watched: &Watched) {
    let Watched { usual, sources, recorder, event_loop, .. } = watched;
    if !event_loop.is_open() {
        return;
    }
    let (attempts, ended_ms) = (request.attempts(), event_loop.clock.of_wall(cached_time()));
    let finished = Finished { request, attempts, watched, ended_ms };
    let answer = request.only_answer();
    if let Some((answer, origin)) = answer.and_then(|answer| Some((answer, finished.recognise(&answer, usual)?))) {
        if !watched.is_slow(answer.header_ms()) {
            return event_loop.answered(answered(answer, origin));
        }
    }
    // A request of more attempts than an event holds becomes several: the first has its first attempt.
    let mut assigned = monitor.assigned(request);
    let mut hand_over = |event: &mut Event| {
        event.assigned = assigned.take();
        event_loop.push(event);
    };
    let mut event = recorder.begin(&finished);
    let (success, names) = match recorder.record(&finished, &mut event, &mut hand_over) {
        Record::Nothing => return,
        Record::Event => return hand_over(&mut event),
        Record::Success(success, names) => (success, names),
    };
    if recorder.latency_of() == LatencyOf::Header {
        let lies_at = attempts.last().map_or(0, |last| last.peer_lies_at());
        let address = watched.address(names.address, lies_at);
        let known = usual.remember(address, names.release, names.pool, success.origin);
        if let (Some(known), Some(headers)) = (known, request.headers()) {
            sources.note(&known.headers, headers, names.pool.is_some());
        }
    }
    match assigned.filter(|_| watched.is_slow(success.latency_ms.into())) {
        None => event_loop.answered(Success { time_ms: wall_ms(), ..success }.into()),
        // A slow answer is a vote, for which its client has to be known.
        assigned => event_loop.push(&mut Event::from(success).assigned_to(assigned)),
    }
}

impl Sources {
    /// Notes in which headers of an answer its names are, if nothing else decides.
    fn note(&self, shape: &Shape, headers: Headers<'_>, has_pool: bool) {
        match (&self.release, &self.pool) {
            (Source::Header(release), Source::Header(pool)) if self.failure.is_none() => {
                shape.note(headers, release, has_pool.then_some(pool));
            }
            (Source::Header(release), _) if self.failure.is_none() && !has_pool => shape.note(headers, release, None),
            _ => shape.forget(),
        }
    }
}

/// What nginx knows of a finished request.
struct Finished<'a> {
    request: LoggedRequest<'a>,
    attempts: Attempts<'a>,
    watched: &'a Watched,
    ended_ms: u64,
}

impl Finished<'_> {
    /// Whose an answer is, if it is a usual one, also where its names are variables.
    fn recognise(&self, answer: &Answer<'_>, usual: &FastPath<Shape>) -> Option<SourceId> {
        let known = usual.find_anywhere(answer.attempt().peer()?).filter(|_| self.watched.sources.failure.is_none())?;
        known.has_names(self.release(), || self.pool()).then(|| known.origin())
    }
}

impl Request for Finished<'_> {
    fn last(&self) -> Option<Attempt<'_>> {
        self.attempts.last().map(told)
    }

    fn earlier(&self) -> impl Iterator<Item = Attempt<'_>> {
        self.attempts.earlier().map(told)
    }

    #[inline(always)]
    fn listed_server(&self, attempt: &Attempt<'_>) -> Option<SourceId> {
        self.watched.usual.listed(attempt.lies_at, || attempt.address)
    }

    fn learn_listed(&self, attempt: &Attempt<'_>, source: SourceId) {
        let text = attempt.address.unwrap_or_default();
        self.watched.usual.remember_listed(self.watched.address(text, attempt.lies_at), source);
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
        self.request.began_ago_ms(self.attempts.last()?)
    }

    #[inline(always)]
    fn is_cut(&self) -> bool {
        self.request.is_cut()
    }

    fn has_kept_header(&self) -> bool {
        self.request.has_kept_header()
    }

    fn pool(&self) -> &[u8] {
        value(self.request, &self.watched.sources.pool)
    }

    fn release(&self) -> &[u8] {
        value(self.request, &self.watched.sources.release)
    }

    fn is_failure(&self) -> bool {
        let failure = self.watched.sources.failure.as_ref().map_or(&[][..], |source| value(self.request, source));
        !matches!(failure, b"" | b"0")
    }

    fn line(&self) -> (&[u8], &[u8]) {
        self.request.line()
    }
}

/// What nginx knows of an attempt.
#[inline]
fn told(attempt: &logged_request::Attempt) -> Attempt<'_> {
    Attempt {
        address: attempt.peer(),
        status: attempt.status(),
        connected: attempt.was_connected(),
        header_ms: attempt.header_ms(),
        response_ms: attempt.time_ms(),
        pool: &[],
        lies_at: attempt.peer_lies_at(),
    }
}

/// What an answer says; empty where it says nothing.
#[inline(always)]
fn value<'a>(request: LoggedRequest<'a>, source: &Source) -> &'a [u8] {
    match source {
        Source::Header(name) => request.headers().and_then(|headers| headers.value(name)).unwrap_or_default(),
        Source::Variable(index) => request.variable(*index).unwrap_or_default(),
    }
}
