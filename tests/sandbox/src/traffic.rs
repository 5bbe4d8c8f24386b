//! Steady requests through nginx, as users would send them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::client;

/// Pause of each client between two requests.
const PAUSE: Duration = Duration::from_millis(10);

/// What users got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Answers with status 200, by the pool that gave them.
    pub answered: BTreeMap<String, u64>,
    /// Other answers, and requests without one.
    pub failed: u64,
    /// How long the slowest took.
    pub slowest: Duration,
}

impl Totals {
    /// Good answers of a pool.
    pub fn of(&self, pool: &str) -> u64 {
        self.answered.get(pool).copied().unwrap_or_default()
    }

    /// Requests with an outcome.
    pub fn requests(&self) -> u64 {
        self.answered.values().sum::<u64>() + self.failed
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (pool, count) in &self.answered {
            write!(f, "{count} answered by {pool}, ")?;
        }
        write!(f, "{} failed", self.failed)
    }
}

/// Running clients. Dropping it stops them.
#[derive(Debug)]
pub struct Traffic {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    totals: Mutex<Totals>,
}

impl Traffic {
    /// Starts `clients` clients that ask for `url`, each over a new connection for every request.
    pub fn start(url: &str, clients: usize) -> Traffic {
        let shared = Arc::new(Shared::default());
        let clients = (0..clients)
            .map(|_| {
                let (shared, url) = (Arc::clone(&shared), url.to_owned());
                thread::spawn(move || shared.request_until_stopped(&url))
            })
            .collect();
        Traffic { shared, clients }
    }

    /// What users got so far.
    pub fn totals(&self) -> Totals {
        self.shared.totals.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Stops the clients and says what users got, to the last answer.
    pub fn finish(mut self) -> Totals {
        self.stop();
        self.totals()
    }

    fn stop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for client in self.clients.drain(..) {
            let _ = client.join();
        }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn request_until_stopped(&self, url: &str) {
        let agent = client::agent();
        while !self.stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            let answer = agent.get(url).call();
            let took = start.elapsed();
            let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(answer) if answer.status() == 200 => {
                    let pool = answer.headers().get("x-app-pool").and_then(|value| value.to_str().ok());
                    *totals.answered.entry(pool.unwrap_or("nobody").to_owned()).or_default() += 1;
                }
                _ => totals.failed += 1,
            }
            totals.slowest = totals.slowest.max(took);
            drop(totals);
            thread::sleep(PAUSE);
        }
    }
}
