//! Steady requests through nginx, as users would send them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::client;
use crate::clock::Micros;
use crate::interruption::Interruption;
use crate::runtime::Runtime;
use crate::say;

/// The most that one machine can be asked for, with a connection for each request.
const RATE_MAX: u32 = 1000;
/// Users who send the requests.
const USERS: u32 = 2000;
/// Between two users in a row, so that neighbours are not alike.
const USERS_APART: u32 = 1009;

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

    /// What was added since an earlier moment.
    fn since(&self, before: &Totals) -> Totals {
        let answered = self.answered.iter().map(|(pool, count)| (pool.clone(), count - before.of(pool))).collect();
        Totals { answered, failed: self.failed - before.failed, slowest: self.slowest }
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

/// Sends `rate` requests a second to the stack and says each second what users got, until a signal ends it.
pub fn run(stack: &dyn Runtime, rate: u32) -> Result<()> {
    if !(1..=RATE_MAX).contains(&rate) {
        bail!("RATE={rate} is wrong, it must be a number of requests a second from 1 to {RATE_MAX}");
    }
    let interruption = Interruption::watch()?;
    if !stack.runs("nginx")? {
        bail!("the stack does not run; `make up` starts it");
    }
    let url = stack.url()?;
    say!("{rate} requests a second to {url} until Ctrl-C");
    // Several, so that some that hang do not stop the others.
    let clients = rate.min(4.max(rate / 10));
    let traffic = Traffic::start(&url, clients as usize, Duration::from_secs(1) * clients / rate);
    let mut before = Totals::default();
    while !interruption.within(Duration::from_secs(1)) {
        let now = traffic.totals();
        say!("{}  {}", Micros::now(), now.since(&before));
        before = now;
    }
    say!("in all: {}", traffic.finish());
    Ok(())
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
    next_user: AtomicU32,
    totals: Mutex<Totals>,
}

impl Traffic {
    /// Starts `clients` clients that ask for `url`, each over a new connection for every request, and each once in
    /// `interval` where answers do not take longer.
    pub fn start(url: &str, clients: usize, interval: Duration) -> Traffic {
        let shared = Arc::new(Shared::default());
        let clients = (0..clients)
            .map(|_| {
                let (shared, url) = (Arc::clone(&shared), url.to_owned());
                thread::spawn(move || shared.request_until_stopped(&url, interval))
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
    fn request_until_stopped(&self, url: &str, interval: Duration) {
        let agent = client::agent();
        while !self.stop.load(Ordering::Relaxed) {
            let start = Instant::now();
            // Each request is of one of many users, by which a rollout tells them apart.
            let user = self.next_user.fetch_add(USERS_APART, Ordering::Relaxed) % USERS;
            let answer = agent.get(url).header("X-Client", user.to_string()).call();
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
            thread::sleep(interval.saturating_sub(took));
        }
    }
}
