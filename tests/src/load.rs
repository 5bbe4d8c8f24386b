//! Requests that go on in the background while a test does something to nginx.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::client::Client;
use crate::http::Request;

/// Between two requests of one client, so that the processors are left to nginx.
const PAUSE: Duration = Duration::from_millis(2);
/// A load that nobody stops ends by itself.
const REQUESTS_MAX: usize = 100_000;

/// Clients that send one request after the other until they are told to stop.
pub struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
}

/// What became of the requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many got which status.
    pub answered: BTreeMap<u16, u64>,
    /// Why the others got none.
    pub unanswered: Vec<String>,
}

impl Load {
    /// Starts as many clients as there are targets; each sends `GET`s for its own, every one on a new connection.
    pub fn start(client: Client, targets: &[&'static str]) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let run = |target: &'static str| {
            let over = over.clone();
            thread::spawn(move || send_until(client, target, &over))
        };
        let clients = targets.iter().copied().map(run).collect();
        Self { over, clients }
    }

    /// Ends it when every request has its answer; what became of them, target by target.
    pub fn stop(mut self) -> Vec<Tally> {
        self.over.store(true, Ordering::Release);
        self.clients.drain(..).map(|client| client.join().expect("a client does not panic")).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
    }
}

impl Tally {
    /// The number of requests, all of which got this status; anything else fails the test.
    #[track_caller]
    pub fn all(&self, status: u16) -> u64 {
        assert!(self.unanswered.is_empty() && self.answered.keys().all(|got| *got == status), "{self:?}");
        self.answered.values().sum()
    }
}

fn send_until(client: Client, target: &str, over: &AtomicBool) -> Tally {
    let mut tally = Tally::default();
    for _ in 0..REQUESTS_MAX {
        if over.load(Ordering::Acquire) {
            break;
        }
        match client.try_send(&Request::new("GET", target)) {
            Ok(reply) => *tally.answered.entry(reply.status).or_default() += 1,
            Err(error) => tally.unanswered.push(error.to_string()),
        }
        thread::sleep(PAUSE);
    }
    tally
}
