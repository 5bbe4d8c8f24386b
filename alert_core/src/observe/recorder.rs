//! What is counted: from a finished request, as nginx or a program tells it, to what the detector gets of it.
//!
//! The measure is what the client got. This runs in every request that is no usual one, and decides for all of them which
//! attempts there were, how each ended, whose they were, and what became of the request. It never allocates, locks, waits
//! or fails.

use std::net::SocketAddr;

use crate::board::examples::FailedRequest;
use crate::board::{Board, Plan};
use crate::model::event::{self, Event};
use crate::model::outcome::{AttemptEnd, Cause, ClientGot, is_failure};
use crate::model::success::{SourceId, Success};
use crate::observe::peers::{PeerMap, Server};
use crate::rules::failover::TICK_MS;
use crate::settings::{LatencyOf, Settings};

/// The status that nginx gives a request whose client went away.
const CLIENT_CLOSED_REQUEST: u16 = 499;
/// A client that waited for so long without a header gave up; one that went away sooner says nothing. In milliseconds.
const PATIENCE_MS: u64 = 1000;

/// One upstream attempt, as whoever serves the request knows it.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Where it went: an address, or the upstream's name where no server was live. `None` for an attempt that could not
    /// begin.
    pub address: Option<&'a [u8]>,
    /// The status of the answer, 502 or 504 where there was none, 0 where nothing is known.
    pub status: u16,
    /// Whether there was a connection.
    pub connected: bool,
    /// When its header came, in milliseconds after its begin; `None` where none came.
    pub header_ms: Option<u32>,
    /// How long it took, in milliseconds.
    pub response_ms: u32,
    /// The name of its pool, where that is known of this very attempt.
    pub pool: &'a [u8],
    /// Where whoever serves the request keeps the address in memory.
    pub lies_at: usize,
}

/// What a request without attempts was meant to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Intent {
    /// To be answered without an upstream.
    None,
    /// To be passed to an upstream by its location, which something before that kept it from: what decides about access.
    Location,
    /// Not known any more: it ended in an error page, which has a location of its own.
    Forgotten,
    /// To be passed to an upstream: the request was being prepared for that, or its body read.
    Prepared,
    /// To be passed to an upstream, and the choice of a server had begun.
    Upstream,
    /// Answered from the cache of an upstream's answers.
    Cache,
}

/// A finished request, as whoever serves it knows it.
pub trait Request {
    /// The last upstream attempt.
    fn last(&self) -> Option<Attempt<'_>>;
    /// All before it, in order, whatever redirects lie between them.
    fn earlier(&self) -> impl Iterator<Item = Attempt<'_>>;
    /// What it was meant to be, where there was no attempt.
    fn intent(&self) -> Intent;
    /// The status that the client got; 0 where there was none.
    fn client_status(&self) -> u16;
    /// When it ended, by the board's clock in milliseconds.
    fn ended_ms(&self) -> u64;
    /// How long it took, in milliseconds.
    fn age_ms(&self) -> u64;
    /// How long before the end its last attempt began, in milliseconds, where that is known.
    fn last_began_ago_ms(&self) -> Option<u64>;
    /// Whether the upstream broke off the last answer.
    fn is_cut(&self) -> bool;
    /// Whether the header at hand is one that a cache kept, and not that of the last attempt.
    fn has_kept_header(&self) -> bool;
    /// The name of its pool in the header at hand; empty where it says nothing.
    fn pool(&self) -> &[u8];
    /// The release in the header at hand; empty where it says nothing.
    fn release(&self) -> &[u8];
    /// Whether `failure_if` says that the last attempt failed.
    fn is_failure(&self) -> bool;
    /// Method and path, to show of a request that failed.
    fn line(&self) -> (&[u8], &[u8]);

    /// The server of an attempt, where it was learned that the configuration lists it, and nothing has changed since.
    fn listed_server(&self, _: &Attempt<'_>) -> Option<SourceId> {
        None
    }

    /// Learns that the configuration lists it.
    fn learn_listed(&self, _: &Attempt<'_>, _: SourceId) {}
}

/// What comes of a request.
#[derive(Debug)]
pub enum Record<'a> {
    /// Nothing: it says nothing of upstreams.
    Nothing,
    /// One server answered, and nothing about it changes who serves; with what its like are recognised by.
    Success(Success, Names<'a>),
    /// The event that was filled in.
    Event,
}

/// What an answer said of itself.
#[derive(Clone, Copy, Debug)]
pub struct Names<'a> {
    /// The address of the server.
    pub address: &'a [u8],
    /// The release; empty where there was none.
    pub release: &'a [u8],
    /// The name of its pool, where that decides; empty where there was none.
    pub pool: Option<&'a [u8]>,
}

/// Records the requests of one monitor.
#[derive(Debug)]
pub struct Recorder {
    monitor: u16,
    peers: PeerMap,
    latency_of: LatencyOf,
}

/// What the header of the last attempt says, where that attempt got one.
#[derive(Clone, Copy, Default)]
struct Header<'a> {
    pool: &'a [u8],
    release: &'a [u8],
    is_failure: bool,
}

impl Recorder {
    /// A recorder for the monitor of this number, whose servers these are.
    pub fn new(monitor: u16, peers: PeerMap, latency_of: LatencyOf) -> Recorder {
        Recorder { monitor, peers, latency_of }
    }

    /// The recorders of all monitors of this configuration, in its order.
    pub fn of_monitors(board: Board, plan: &Plan, settings: &Settings) -> Vec<Recorder> {
        let peers = PeerMap::of_monitors(board, plan, settings).into_iter().zip(&settings.monitors).enumerate();
        peers.map(|(at, (peers, monitor))| Recorder::new(at as u16, peers, monitor.latency_of)).collect()
    }

    /// Which upstream time is counted.
    pub fn latency_of(&self) -> LatencyOf {
        self.latency_of
    }

    /// Where the servers belong.
    pub fn peers(&self) -> &PeerMap {
        &self.peers
    }

    /// Hands over what comes of a request, all of it as events.
    pub fn each_event(&self, request: &impl Request, mut hand_over: impl FnMut(Event)) {
        let mut event = self.begin(request);
        match self.record(request, &mut event, |part| hand_over(*part)) {
            Record::Nothing => {}
            Record::Success(success, _) => hand_over(success.into()),
            Record::Event => hand_over(event),
        }
    }

    /// An event to be filled in.
    #[inline]
    pub fn begin(&self, request: &impl Request) -> Event {
        Event::begin(self.monitor, request.ended_ms())
    }

    /// Finds out what comes of a request, and fills in the event that was begun for it. Where it had more attempts than an
    /// event has room for, the first of them go ahead as parts.
    #[inline]
    pub fn record<'a>(
        &self,
        request: &'a impl Request,
        event: &mut Event,
        mut hand_over_part: impl FnMut(&mut Event),
    ) -> Record<'a> {
        let Some(last) = request.last() else { return self.record_unasked(request, event) };
        let listed = request.listed_server(&last);
        // Whether its answers name the pool that the configuration has, those at the first try tell.
        let is_known = listed.is_some() && request.earlier().next().is_some();
        let header = own_header(request, &last, is_known);
        let is_cut = last.header_ms.is_some() && request.is_cut();
        let client = match is_cut {
            true => ClientGot::Failure,
            false => match client_got(request, &last, header.is_failure) {
                Some(client) => client,
                None => return Record::Nothing,
            },
        };
        let end = match end_of(&last, client) {
            AttemptEnd::Answered if is_cut => AttemptEnd::Failed(Cause::Cut),
            AttemptEnd::Answered if header.is_failure => AttemptEnd::Failed(Cause::Status),
            end => end,
        };
        self.set_times(event, request, &last);
        let server = self.server(request, &last, listed, header.pool, event.time_ms);
        if !header.release.is_empty() {
            self.peers.release(server.pool, header.release);
        }
        let mut add = |event: &mut Event, Server { pool, peer, .. }, end| {
            let counted = event::Attempt { pool, peer, end };
            if !event.attempt(counted) {
                hand_over_part(event);
                event.go_on();
                event.attempt(counted);
            }
        };
        for attempt in request.earlier() {
            let listed = request.listed_server(&attempt);
            let server = self.server(request, &attempt, listed, attempt.pool, event.time_ms);
            event.latency_ms = event.latency_ms.saturating_add(attempt.response_ms);
            add(event, server, end_of_earlier(&attempt));
        }
        add(event, server, end);
        event.complete(client);
        if client != ClientGot::Answer {
            let failed = |attempt: &Attempt<'_>| matches!(end_of_earlier(attempt), AttemptEnd::Failed(_));
            let last_failed = matches!(end, AttemptEnd::Failed(_)).then_some(last);
            let failed = last_failed.or_else(|| request.earlier().filter(failed).last());
            self.remember(request, event, failed.map_or(last.address, |attempt| attempt.address));
        } else if let Some(success) = self.success(event) {
            let pool = (!server.listed).then_some(header.pool);
            let address = last.address.unwrap_or_default();
            return Record::Success(success, Names { address, release: header.release, pool });
        }
        Record::Event
    }

    /// What comes of a request without any attempt.
    #[inline(never)]
    fn record_unasked<'a>(&self, request: &impl Request, event: &mut Event) -> Record<'a> {
        let (status, intent) = (request.client_status(), request.intent());
        let gave_up = matches!(status, 0 | CLIENT_CLOSED_REQUEST) && request.age_ms() >= PATIENCE_MS;
        let (cause, client) = match intent {
            Intent::Cache if is_failure(status) => (Some(Cause::Status), ClientGot::Failure),
            // One of its other parts was not kept, and could not be got.
            Intent::Cache if request.is_cut() => (Some(Cause::Cut), ClientGot::Failure),
            Intent::Prepared | Intent::Upstream if is_failure(status) => (Some(Cause::Local), ClientGot::Failure),
            // Other statuses are what nginx answers by itself: a limit is 503, an unknown client 401.
            Intent::Location if matches!(status, 500 | 502 | 504) => (Some(Cause::Local), ClientGot::Failure),
            // An authorisation service that is down is a 500; the others are a `return`.
            Intent::Forgotten if status == 500 => (Some(Cause::Local), ClientGot::Failure),
            Intent::Upstream | Intent::Location if gave_up => (None, ClientGot::Nothing),
            _ => return Record::Nothing,
        };
        if let Some(cause) = cause {
            event.failed_unasked(cause);
        }
        event.complete(client);
        self.remember(request, event, None);
        Record::Event
    }

    /// Sets the times of an event to those of the last attempt.
    #[inline]
    fn set_times(&self, event: &mut Event, request: &impl Request, last: &Attempt<'_>) {
        let ended_ms = event.time_ms;
        let began_ago_ms = request.last_began_ago_ms().unwrap_or(last.response_ms.into());
        event.began_ms = ended_ms.saturating_sub(began_ago_ms);
        if let Some(header_ms) = last.header_ms {
            let header_ms = event.began_ms + u64::from(header_ms);
            // Less than the ticks of nginx's time can tell is at the end, or an answer would seem to come before an earlier
            // one of another worker.
            event.header_ms = if header_ms + TICK_MS >= ended_ms { ended_ms } else { header_ms };
        }
        event.latency_ms = last.latency_ms(self.latency_of);
    }

    /// The event as a success that changes nothing, where it is one.
    fn success(&self, event: &Event) -> Option<Success> {
        event.success().filter(|success| self.peers.is_steady(success.origin.pool()))
    }

    /// Whose an attempt was, whose answer named this pool, where nothing is known or it is this server.
    #[inline]
    fn server(
        &self,
        request: &impl Request,
        attempt: &Attempt<'_>,
        listed: Option<SourceId>,
        pool: &[u8],
        ended_ms: u64,
    ) -> Server {
        match listed {
            Some(listed) => {
                self.peers.compare(listed.pool(), attempt.address.unwrap_or_default(), pool);
                Server { pool: listed.pool(), peer: listed.peer(), listed: true }
            }
            None => self.look_up(request, *attempt, pool, ended_ms),
        }
    }

    #[cold]
    fn look_up(&self, request: &impl Request, attempt: Attempt<'_>, pool: &[u8], ended_ms: u64) -> Server {
        match attempt.address {
            Some([]) if !pool.is_empty() => self.peers.nameless(pool, ended_ms),
            Some(address) if !address.is_empty() && !attempt.went_nowhere() => {
                let server = self.peers.server(address, pool, ended_ms);
                if server.listed {
                    request.learn_listed(&attempt, SourceId::new(self.monitor, server.pool, server.peer));
                }
                server
            }
            _ => Server::UNKNOWN,
        }
    }

    /// Keeps a request that failed, to show it.
    #[inline(never)]
    fn remember(&self, request: &impl Request, event: &Event, address: Option<&[u8]>) {
        let (method, path) = request.line();
        let (status, pool, address) = (request.client_status(), event.pool(), address.unwrap_or_default());
        self.peers.board().examples.put(&FailedRequest { time_ms: event.time_ms, status, pool, method, path, address });
    }
}

impl Attempt<'_> {
    /// What it took of what a monitor counts, in milliseconds.
    fn latency_ms(&self, of: LatencyOf) -> u32 {
        match of {
            LatencyOf::Header => self.header_ms.unwrap_or(self.response_ms),
            LatencyOf::Response => self.response_ms,
        }
    }

    /// Whether no server was live: then nginx writes the upstream's name in place of an address.
    fn went_nowhere(&self) -> bool {
        let is_address = |text: &[u8]| {
            text.starts_with(b"unix:") || std::str::from_utf8(text).is_ok_and(|text| text.parse::<SocketAddr>().is_ok())
        };
        self.status == 502 && !self.connected && !self.address.is_some_and(is_address)
    }
}

/// What the header of the last attempt says, as far as it got one: neither what an earlier attempt left behind nor what a
/// cache kept. The pool is only asked for where its server is not known.
fn own_header<'a>(request: &'a impl Request, last: &Attempt<'a>, is_known: bool) -> Header<'a> {
    if last.header_ms.is_none() || request.has_kept_header() {
        return Header { pool: last.pool, ..Header::default() };
    }
    let pool = if is_known || !last.pool.is_empty() { last.pool } else { request.pool() };
    Header { pool, release: request.release(), is_failure: request.is_failure() }
}

/// What the client got; `None` where that says nothing of upstreams.
fn client_got(request: &impl Request, last: &Attempt<'_>, last_failed: bool) -> Option<ClientGot> {
    let status = request.client_status();
    if (1..400).contains(&status) {
        return Some(if last_failed { ClientGot::Failure } else { ClientGot::Answer });
    }
    // What nginx refuses of a request whose body it was passing on (400, 408, 413) is the client's doing.
    let is_refused = last.status == 0 && last.address.is_some() && matches!(status, 400..=499);
    // An upstream can answer with the same status.
    let is_gone = status == 0 || status == CLIENT_CLOSED_REQUEST && last.status != status;
    if is_gone || is_refused {
        let waited = |attempt: Attempt<'_>| u64::from(attempt.response_ms);
        let waited_ms = request.earlier().map(waited).sum::<u64>() + u64::from(last.latency_ms(LatencyOf::Header));
        let gave_up = is_gone && waited_ms >= PATIENCE_MS;
        return gave_up.then_some(ClientGot::Nothing);
    }
    Some(if last_failed { ClientGot::Failure } else { ClientGot::of_status(status) })
}

/// How an attempt before the last ended.
fn end_of_earlier(attempt: &Attempt<'_>) -> AttemptEnd {
    end_of(attempt, ClientGot::Failure)
}

/// How an attempt ended, as far as nginx's record of it tells. `client` is what the client got, if this is the last one.
fn end_of(attempt: &Attempt<'_>, client: ClientGot) -> AttemptEnd {
    match attempt.status {
        _ if attempt.address.is_none() => AttemptEnd::Failed(Cause::Local),
        _ if client == ClientGot::Nothing && attempt.header_ms.is_none() => AttemptEnd::Abandoned,
        0 => AttemptEnd::Failed(Cause::Local),
        500..=599 if attempt.header_ms.is_some() => AttemptEnd::Failed(Cause::Status),
        504 => AttemptEnd::Failed(Cause::Timeout),
        500..=599 if !attempt.connected => AttemptEnd::Failed(Cause::Connect),
        500..=599 => AttemptEnd::Failed(Cause::Cut),
        // It began to answer, and no header came of it.
        _ if client == ClientGot::Failure && attempt.header_ms.is_none() => AttemptEnd::Failed(Cause::Cut),
        _ => AttemptEnd::Answered,
    }
}

#[cfg(test)]
mod tests;
