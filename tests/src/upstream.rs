//! A server behind nginx that belongs to a pool and does as the test says.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::http::Reply;
use crate::server::{Answer, Script, Server, lock};

/// An upstream server. Every HTTP answer carries the `X-App-Pool` and `X-Release-Id` it was started with.
pub struct Upstream {
    server: Server,
    state: Arc<State>,
}

struct State {
    script: Mutex<Script>,
    headers: Mutex<Vec<(String, String)>>,
    requests: AtomicU64,
    health: AtomicU16,
    probes: AtomicU64,
}

/// The path that probes ask for.
pub const HEALTH: &str = "/healthz";

impl Upstream {
    /// Starts a server of this pool that answers 200.
    pub fn start(pool: &str, release: &str) -> Self {
        let state = Arc::new(State {
            script: Mutex::new(Script::new(Answer::Reply(Reply::new(200, pool)))),
            headers: Mutex::new(vec![("X-App-Pool".into(), pool.into()), ("X-Release-Id".into(), release.into())]),
            requests: AtomicU64::new(0),
            health: AtomicU16::new(200),
            probes: AtomicU64::new(0),
        });
        let server = Server::start({
            let state = state.clone();
            move |request| if request.target == HEALTH { state.answer_probe() } else { state.answer() }
        });
        Self { server, state }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Answers probes with this status from now on; they are no requests, and follow no script.
    pub fn set_health(&self, status: u16) {
        self.state.health.store(status, Ordering::Release);
    }

    /// Probes that reached it.
    pub fn probes(&self) -> u64 {
        self.state.probes.load(Ordering::Acquire)
    }

    /// Requests that reached it.
    pub fn requests(&self) -> u64 {
        self.state.requests.load(Ordering::Acquire)
    }

    /// Does this with every request from now on.
    pub fn set(&self, answer: Answer) {
        lock(&self.state.script).set(answer);
    }

    /// Answers with this status from now on.
    pub fn set_status(&self, status: u16) {
        self.set(Answer::Reply(Reply::new(status, "scripted")));
    }

    /// Does this with the next `count` requests.
    pub fn queue(&self, answer: Answer, count: usize) {
        lock(&self.state.script).queue(answer, count);
    }

    /// Answers the next `count` requests with this status.
    pub fn queue_status(&self, status: u16, count: usize) {
        self.queue(Answer::Reply(Reply::new(status, "scripted")), count);
    }

    /// Changes the headers of every answer; none at all is possible.
    pub fn set_headers(&self, headers: &[(&str, &str)]) {
        *lock(&self.state.headers) = headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    }

    /// Refuses connections from now on.
    pub fn go_away(&self) {
        self.server.go_away();
    }

    /// Accepts connections again.
    pub fn come_back(&self) {
        self.server.come_back();
    }
}

impl State {
    fn answer_probe(&self) -> Answer {
        self.probes.fetch_add(1, Ordering::AcqRel);
        let mut reply = Reply::new(self.health.load(Ordering::Acquire), "health");
        reply.headers.extend(lock(&self.headers).iter().cloned());
        Answer::Reply(reply)
    }

    fn answer(&self) -> Answer {
        self.requests.fetch_add(1, Ordering::AcqRel);
        let mut answer = lock(&self.script).answer();
        if let Answer::Reply(reply) | Answer::Late(_, reply) = &mut answer {
            reply.headers.extend(lock(&self.headers).iter().cloned());
        }
        answer
    }
}
