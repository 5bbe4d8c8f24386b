//! The couriers of a worker: a thread for a sink while there is something to deliver to it, and none otherwise.
//!
//! The detector looks here whenever it has decided something, and once a second. Where alerts wait for a sink and no
//! other worker delivers to it, a courier starts and ends with what waits. So a worker at rest has no thread of this, and
//! what a dead worker left is found at the next look of any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::thread::{self, JoinHandle};

use super::courier::Courier;
use crate::base::log::{Level, Log};
use crate::board::sink::SinkId;
use crate::board::{Board, Plan};
use crate::deliver::recipients::sinks_for;
use crate::model::alert::Kind;
use crate::settings::Settings;
use crate::sink::Sink;

/// Enough for TLS and JSON; the default of the system would reserve far more address space.
const STACK: usize = 512 * 1024;

/// The couriers of one worker, in the order of its sinks.
pub(crate) struct Couriers {
    posts: Vec<Post>,
    wanted: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    log: Log,
}

/// The courier for one sink, and its thread while it has one.
struct Post {
    courier: Arc<Courier>,
    thread: Option<JoinHandle<()>>,
    /// The last try to start a thread failed.
    failed: bool,
    /// A thread died, which was told.
    died: bool,
}

impl Couriers {
    /// The couriers for the sinks of this configuration. No thread is started.
    pub(crate) fn new(board: Board, plan: &Plan, settings: &Settings, pid: u32, log: &Log) -> Couriers {
        let stop = Arc::new(AtomicBool::new(false));
        let settings = Arc::new(settings.clone());
        let places: Vec<(u64, SinkId)> = {
            let fingerprints = settings.sinks.iter().map(|sink| sink.fingerprint());
            fingerprints.zip(plan.sinks().iter().copied()).collect()
        };
        let posts = settings.sinks.iter().zip(&places).map(|(sink, (fingerprint, id))| {
            let first = places.iter().find(|(other, _)| other == fingerprint).map_or(*id, |(_, first)| *first);
            let courier = Courier {
                board,
                sink: Arc::new(Sink::new(sink)),
                id: *id,
                pace: first,
                monitors: monitors_of(*id, plan, &settings),
                generation: plan.generation,
                pid,
                settings: settings.clone(),
                stop: stop.clone(),
                log: log.clone(),
            };
            Post { courier: Arc::new(courier), thread: None, failed: false, died: false }
        });
        Couriers { posts: posts.collect(), wanted: Arc::default(), stop: stop.clone(), log: log.clone() }
    }

    /// The sinks, to interrupt what takes too long.
    pub(crate) fn sinks(&self) -> Vec<Arc<Sink>> {
        self.posts.iter().map(|post| post.courier.sink.clone()).collect()
    }

    /// Set by whoever else put an alert into the outbox, before it wakes the detector.
    pub(crate) fn wanted(&self) -> Arc<AtomicBool> {
        self.wanted.clone()
    }

    /// Whether somebody else than the detector put an alert into the outbox since the last look.
    pub(crate) fn are_wanted(&self) -> bool {
        self.wanted.load(Relaxed)
    }

    /// Starts a courier for each sink that something waits for, unless another worker delivers to it.
    pub(crate) fn look(&mut self) {
        self.wanted.store(false, Relaxed);
        // Pairs with the fence of a courier that gives its lease back: either that sees the alert that was published
        // before, or the lease is free here.
        fence(SeqCst);
        for post in &mut self.posts {
            post.look(&self.log);
        }
    }

    /// Lets the couriers try once more to deliver what waits, and waits for them.
    pub(crate) fn finish(&mut self) {
        self.stop.store(true, Relaxed);
        self.look();
        for thread in self.posts.iter_mut().filter_map(|post| post.thread.take()) {
            thread.thread().unpark();
            // A panic was caught and told inside the thread, or there is no time left to do anything about it.
            let _ = thread.join();
        }
    }
}

impl Post {
    fn look(&mut self, log: &Log) {
        if self.thread.as_ref().is_some_and(|thread| !thread.is_finished()) {
            return;
        }
        if self.thread.take().is_some_and(|ended| ended.join().is_err()) && !self.died {
            self.died = true;
            let name = self.courier.name();
            log.write(Level::Error, format!("the thread that delivers to {name} died; it is started again"));
        }
        if !self.courier.is_due() || !self.courier.take_lease() {
            return;
        }
        let courier = self.courier.clone();
        let started =
            thread::Builder::new().name("alert-courier".into()).stack_size(STACK).spawn(move || courier.run());
        match started {
            Ok(thread) => self.thread = Some(thread),
            Err(error) => {
                self.courier.release_lease();
                if !self.failed {
                    let name = self.courier.name();
                    log.write(
                        Level::Error,
                        format!("cannot start a thread to deliver to {name}: {error}; trying again"),
                    );
                }
            }
        }
        self.failed = self.thread.is_none();
    }
}

/// The monitors whose alerts go to a sink.
fn monitors_of(sink: SinkId, plan: &Plan, settings: &Settings) -> Vec<String> {
    let monitors = settings.monitors.iter().enumerate();
    monitors
        .filter(|(at, _)| sinks_for(plan, settings, *at, Kind::Test).contains(&sink))
        .map(|(_, monitor)| monitor.name.clone())
        .collect()
}
