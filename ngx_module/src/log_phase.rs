//! From a finished request to an event: which attempts there were, whose they are, and what the client got.

use alert_core::event::Event;
use alert_core::servers::{Server, Servers};

use crate::conf::{Source, Sources, Watch};
use crate::ffi::process;
use crate::ffi::request::{Attempt, Finished};

/// The status that nginx gives a request whose client went away.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// Hands a finished request to the detector, if it is watched and says anything about upstreams.
#[inline]
pub fn observe(request: &Finished<'_>) {
    let Watch::By(monitor) = request.location().monitor else { return };
    process::with_engine(|engine| {
        if let Some(sources) = engine.sources(request.configuration(), monitor) {
            if let Some(event) = event(request, monitor, engine.intake().servers(), sources) {
                engine.intake().push(event);
            }
        }
    });
}

#[inline]
fn event(request: &Finished<'_>, monitor: u16, servers: &Servers, sources: &Sources) -> Option<Event> {
    let status = request.status();
    let mut attempts = request.attempts();
    let last = attempts.len().checked_sub(1)?;
    let mut event = Event::begin(monitor, request.time_ms());
    for _ in 0..last {
        let attempt = attempts.next()?;
        let server = servers.server(monitor, attempt.peer());
        event.attempt(server.pool, server.peer, attempt.status(), attempt.time_ms());
    }
    let attempt = attempts.next()?;
    if status == CLIENT_CLOSED_REQUEST || attempt.status() == 0 {
        // The client went away: that says nothing about the upstream.
        return None;
    }
    let server = answering_server(request, monitor, servers, sources, attempt);
    event.attempt(server.pool, server.peer, attempt.status(), attempt.time_ms());
    Some(event.finish(status))
}

/// The server of the last attempt, with what its answer tells about it.
#[inline]
fn answering_server(
    request: &Finished<'_>,
    monitor: u16,
    servers: &Servers,
    sources: &Sources,
    attempt: Attempt<'_>,
) -> Server {
    let mut server = servers.server(monitor, attempt.peer());
    if !server.listed {
        if let Some(pool) = value(request, &sources.pool) {
            server = servers.learn(monitor, attempt.peer(), server, pool);
        }
    }
    if let Some(release) = value(request, &sources.release) {
        servers.release(monitor, server.pool, release);
    }
    server
}

#[inline]
fn value<'a>(request: &'a Finished<'_>, source: &Source) -> Option<&'a [u8]> {
    match source {
        Source::Header(name) => request.upstream_header(name),
        Source::Variable(index) => request.variable(*index),
    }
    .filter(|value| !value.is_empty())
}
