//! From a finished request to what the detector gets of it: which attempts there were, whose they are, and what the client
//! got.

use alert_core::model::event::{self, Event};
use alert_core::model::outcome::{AttemptEnd, ClientGot};
use alert_core::model::success::{SourceId, Success};
use alert_core::observe::peers::Server;

use crate::conf::{Source, Watch};
use crate::engine::{LogPhase, Watched};
use crate::ffi::process;
use crate::ffi::request::{Attempt, Finished};

/// The status that nginx gives a request whose client went away.
const CLIENT_CLOSED_REQUEST: usize = 499;

/// Hands a finished request to the detector where it is like nearly every request: an answer at the first try, of a known
/// server of the pool that serves. Returns whether that is all there is to do.
#[inline(always)]
pub fn hand_over_usual(request: Finished<'_>) -> bool {
    let Watch::By(monitor) = request.location().monitor else { return true };
    let Some(attempt) = request.only_attempt().filter(|attempt| attempt.answered()) else { return false };
    if request.status() == CLIENT_CLOSED_REQUEST {
        return true;
    }
    let handed_over = process::with_engine(|engine| {
        // First of all: in another configuration, numbers of monitors and variables mean something else.
        let is_ours = engine.works_by(request.configuration());
        let LogPhase { producer, watched } = &mut *engine.log_phase.try_borrow_mut().ok().filter(|_| is_ours)?;
        let Watched { usual, sources, .. } = watched.get(monitor as usize)?;
        let release = value(request, &sources.release);
        let origin = usual.recognise(attempt.peer(), release, || value(request, &sources.pool))?;
        let answer = Success {
            time_ms: engine.clock().at(request.monotonic_ms()),
            header_ago_ms: 0,
            latency_ms: attempt.time_ms(),
            origin,
        };
        engine.intake().answered(producer, answer);
        Some(())
    });
    handed_over.flatten().is_some()
}

/// Hands any finished request to the detector that is watched and says anything about upstreams.
#[cold]
#[inline(never)]
pub fn hand_over(request: Finished<'_>) {
    let Watch::By(monitor) = request.location().monitor else { return };
    let Some((last, earlier)) = request.attempts().split_last() else { return };
    if request.status() == CLIENT_CLOSED_REQUEST || last.status() == 0 {
        // The client went away: that says nothing about the upstream.
        return;
    }
    process::with_engine(|engine| {
        if !engine.works_by(request.configuration()) {
            return;
        }
        let LogPhase { producer, watched } = &mut *engine.log_phase.borrow_mut();
        let Some(Watched { servers, sources, usual }) = watched.get_mut(monitor as usize) else { return };
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
            let origin = SourceId::new(monitor, server.pool, server.peer);
            if server.listed || !pool.is_empty() {
                usual.remember(last.peer(), release, (!server.listed).then_some(pool), origin);
            }
            let answer = Success {
                time_ms: engine.clock().at(request.monotonic_ms()),
                header_ago_ms: 0,
                latency_ms: last.time_ms(),
                origin,
            };
            return engine.intake().answered(producer, answer);
        }
        let mut event = Event::begin(monitor, engine.clock().at(request.monotonic_ms()));
        let mut attempt = |attempt: &Attempt, server: Server| {
            let (pool, peer) = (server.pool, server.peer);
            event.attempt(event::Attempt { pool, peer, end: AttemptEnd::of_status(attempt.status()) });
            event.latency_ms = event.latency_ms.saturating_add(attempt.time_ms());
        };
        earlier.iter().for_each(|earlier| attempt(earlier, servers.server(earlier.peer())));
        attempt(last, server);
        engine.intake().push_behind(producer, event.finish(ClientGot::of_status(request.status() as u16)));
    });
}

/// What an answer says; empty where it says nothing.
#[inline(always)]
fn value<'a>(request: Finished<'a>, source: &Source) -> &'a [u8] {
    match source {
        Source::Header(name) => request.upstream_header(name),
        Source::Variable(index) => request.variable(*index).unwrap_or_default(),
    }
}
