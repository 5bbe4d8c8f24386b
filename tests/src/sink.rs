//! A receiver of alerts that looks like a Slack webhook, remembers what came and answers as the test says.

use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::http::{Header, Reply, Request};
use crate::server::{Answer, Script, Server, lock};

/// The part of every sink's URL that must never be shown.
pub const SECRET: &str = "s3cr3t-t0k3n";

/// One message as it arrived.
#[derive(Clone, Debug)]
pub struct Post {
    /// When its last byte was read.
    pub arrived: Instant,
    /// The request line's target.
    pub target: String,
    /// All headers.
    pub headers: Vec<Header>,
    /// The body as it came.
    pub raw: Vec<u8>,
    /// The body, which is JSON or the test fails.
    pub body: Value,
}

impl Post {
    /// Slack's top-level `text`.
    pub fn text(&self) -> &str {
        self.body["text"].as_str().unwrap_or_default()
    }

    /// The value of the first header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }

    /// The first line of the text.
    pub fn headline(&self) -> &str {
        self.text().lines().next().unwrap_or_default()
    }
}

/// A running sink.
pub struct Sink {
    server: Server,
    state: Arc<State>,
}

struct State {
    script: Mutex<Script>,
    posts: Mutex<Vec<Post>>,
    arrived: Condvar,
}

impl Sink {
    /// Starts a sink that takes every message.
    pub fn start() -> Self {
        let state = Arc::new(State {
            script: Mutex::new(Script::new(Answer::Reply(Reply::new(200, "ok")))),
            posts: Mutex::default(),
            arrived: Condvar::new(),
        });
        let server = Server::start({
            let state = state.clone();
            move |request| state.take(request)
        });
        Self { server, state }
    }

    /// The webhook to configure; its path holds [`SECRET`].
    pub fn url(&self) -> String {
        format!("http://{}/services/T000/B000/{SECRET}", self.server.address())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Answers every message like this from now on.
    pub fn set(&self, answer: Answer) {
        lock(&self.state.script).set(answer);
    }

    /// Answers the next `count` messages like this.
    pub fn queue(&self, answer: Answer, count: usize) {
        lock(&self.state.script).queue(answer, count);
    }

    /// Refuses connections from now on.
    pub fn go_away(&self) {
        self.server.go_away();
    }

    /// Accepts connections again.
    pub fn come_back(&self) {
        self.server.come_back();
    }

    /// All that came so far, also what was not answered with success.
    pub fn posts(&self) -> Vec<Post> {
        lock(&self.state.posts).clone()
    }

    /// The first lines of all that came so far.
    pub fn headlines(&self) -> Vec<String> {
        self.posts().iter().map(|post| post.headline().to_owned()).collect()
    }

    /// Waits until at least `count` messages came since the start.
    #[track_caller]
    pub fn wait_for(&self, count: usize, limit: Duration) -> Vec<Post> {
        let posts = self.at_least(count, limit);
        assert!(posts.len() >= count, "{} of {count} messages within {limit:?}: {:?}", posts.len(), self.headlines());
        posts
    }

    /// Fails the test if a message comes within `duration`.
    #[track_caller]
    pub fn assert_quiet_for(&self, duration: Duration) {
        let before = lock(&self.state.posts).len();
        let posts = self.at_least(before + 1, duration);
        assert!(posts.len() == before, "a message too many: {:?}", &self.headlines()[before..]);
    }

    /// Fails the test if such a message has come, or comes within `duration`.
    #[track_caller]
    pub fn assert_none_for(&self, duration: Duration, is_such: impl Fn(&Post) -> bool) {
        let posts = lock(&self.state.posts);
        let has_come = |posts: &mut Vec<Post>| posts.iter().any(&is_such);
        let waited = self.state.arrived.wait_timeout_while(posts, duration, |posts| !has_come(posts));
        let mut posts = waited.unwrap_or_else(PoisonError::into_inner).0;
        assert!(!has_come(&mut posts), "{posts:#?}");
    }

    fn at_least(&self, count: usize, limit: Duration) -> Vec<Post> {
        let posts = lock(&self.state.posts);
        let waited = self.state.arrived.wait_timeout_while(posts, limit, |posts| posts.len() < count);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

impl State {
    fn take(&self, request: Request) -> Answer {
        let arrived = Instant::now();
        let body = serde_json::from_slice(&request.body)
            .unwrap_or_else(|error| Value::String(format!("not JSON ({error}): {:?}", request.body)));
        let Request { target, headers, body: raw, .. } = request;
        lock(&self.posts).push(Post { arrived, target, headers, raw, body });
        self.arrived.notify_all();
        lock(&self.script).answer()
    }
}
