//! From a finished request to what the detector gets of it: which attempts there were, whose they are, and what the client
//! got.

use alert_core::model::event::{self, Event};
use alert_core::model::outcome::{AttemptEnd, ClientGot};
use alert_core::model::success::{SourceId, Success};
use alert_core::observe::peers::Server;

use crate::config::Source;
use crate::engine::{Engine, LogPhase, Monitor, Watched};
use crate::nginx::logged_request::{Attempt, LoggedRequest};
use crate::nginx::process::monotonic_ms;

/// The status that nginx gives a request whose client went away.
const CLIENT_CLOSED_REQUEST: usize = 499;

/// Hands a finished request to the detector where it is like nearly every request: an answer at the first try, of a known
/// server of the pool that serves. Returns whether that is all there is to do.
#[inline(always)]
pub fn hand_over_usual(request: LoggedRequest<'_>, monitor: &Monitor) -> bool {
    let Some(attempt) = request.only_attempt().filter(|attempt| attempt.answered()) else { return false };
    if request.status() == CLIENT_CLOSED_REQUEST {
        return true;
    }
    let Ok(mut engine) = monitor.engine.try_borrow_mut() else { return false };
    let Some(Engine { log_phase: LogPhase { producer, watched }, worker, board, .. }) = &mut *engine else {
        return true;
    };
    let Some(Watched { usual, sources, .. }) = watched.get(monitor.number) else { return true };
    let release = value(request, &sources.release);
    let Some(origin) = usual.recognise(attempt.peer(), release, || value(request, &sources.pool)) else { return false };
    let answer =
        Success { time_ms: board.clock().at(monotonic_ms()), header_ago_ms: 0, latency_ms: attempt.time_ms(), origin };
    worker.intake().answered(producer, answer);
    true
}

/// Hands any finished request to the detector that is watched and says anything about upstreams.
#[cold]
#[inline(never)]
pub fn hand_over(request: LoggedRequest<'_>, monitor: &Monitor) {
    let Some((last, earlier)) = request.attempts().split_last() else { return };
    if request.status() == CLIENT_CLOSED_REQUEST || last.status() == 0 {
        // The client went away: that says nothing about the upstream.
        return;
    }
    let mut engine = monitor.engine.borrow_mut();
    let Some(Engine { log_phase: LogPhase { producer, watched }, worker, board, .. }) = &mut *engine else { return };
    let Some(Watched { servers, sources, usual }) = watched.get_mut(monitor.number) else { return };
    let time_ms = board.clock().at(monotonic_ms());
    let mut server = servers.server(last.peer());
    let pool = if server.listed { &[] } else { value(request, &sources.pool) };
    if !pool.is_empty() {
        server = servers.learn(last.peer(), server, pool);
    }
    let release = value(request, &sources.release);
    if !release.is_empty() {
        servers.release(server.pool, release);
    }
    if earlier.is_empty() && last.answered() && servers.is_steady(server.pool) {
        let origin = SourceId::new(monitor.number as u16, server.pool, server.peer);
        if server.listed || !pool.is_empty() {
            usual.remember(last.peer(), release, (!server.listed).then_some(pool), origin);
        }
        let answer = Success { time_ms, header_ago_ms: 0, latency_ms: last.time_ms(), origin };
        return worker.intake().answered(producer, answer);
    }
    let mut event = Event::begin(monitor.number as u16, time_ms);
    let mut attempt = |attempt: &Attempt, server: Server| {
        let (pool, peer) = (server.pool, server.peer);
        event.attempt(event::Attempt { pool, peer, end: AttemptEnd::of_status(attempt.status()) });
        event.latency_ms = event.latency_ms.saturating_add(attempt.time_ms());
    };
    earlier.iter().for_each(|earlier| attempt(earlier, servers.server(earlier.peer())));
    attempt(last, server);
    worker.intake().push_behind(producer, event.finish(ClientGot::of_status(request.status() as u16)));
}

/// What an answer says; empty where it says nothing.
#[inline(always)]
fn value<'a>(request: LoggedRequest<'a>, source: &Source) -> &'a [u8] {
    match source {
        Source::Header(name) => request.upstream_header(name),
        Source::Variable(index) => request.variable(*index).unwrap_or_default(),
    }
}
