//! The couriers of a worker: a thread for a sink while there is something to deliver to it, and none otherwise.
//!
//! The detector looks here whenever something was decided, and at each tick. Where alerts wait for a sink and no
//! other worker delivers to it, a courier starts and ends with what waits. So a worker at rest has no thread of this, and
//! what a dead worker left is found at the next look of any other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed, Ordering::SeqCst, fence};
use std::time::Instant;

use super::courier::Courier;
use crate::base::on_demand::{Life, OnDemand};
use crate::base::task::{Look, Task};
use crate::board::sink::SinkId;
use crate::board::{Board, Plan};
use crate::deliver::recipients::sinks_for;
use crate::model::alert::Kind;
use crate::settings::Settings;
use crate::sink::Sink;

/// The couriers of one worker, in the order of its sinks.
pub(crate) struct Couriers {
    posts: Vec<Post>,
    stop: Arc<AtomicBool>,
}

/// The courier for one sink, and its thread while it has one.
struct Post {
    courier: Arc<Courier>,
    thread: OnDemand,
}

impl Couriers {
    /// The couriers for the sinks of this configuration. No thread is started.
    pub(crate) fn new(board: Board, plan: &Plan, settings: &Settings, pid: u32, life: &Life) -> Couriers {
        // They end after the detector, which may decide something to its end.
        let life = Life { stop: Arc::default(), ..life.clone() };
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
                life: life.clone(),
            };
            let thread = OnDemand::new("alert-courier", format!("deliver to {}", courier.name()), &life);
            Post { courier: Arc::new(courier), thread }
        });
        Couriers { posts: posts.collect(), stop: life.stop.clone() }
    }

    /// The sinks, to interrupt what takes too long.
    pub(crate) fn sinks(&self) -> Vec<Arc<Sink>> {
        self.posts.iter().map(|post| post.courier.sink.clone()).collect()
    }

    /// Starts a courier for each sink that something waits for, unless another worker delivers to it.
    fn start_those_with_work(&mut self) {
        // Pairs with the fence of a courier that gives its lease back: either that sees the alert that was published
        // before, or the lease is free here.
        fence(SeqCst);
        self.posts.iter_mut().for_each(Post::look);
    }
}

impl Task for Couriers {
    fn tick(&mut self, _look: Look) {
        // What another worker left, what waits for its time, and what has to be told again.
        self.start_those_with_work();
    }

    fn look(&mut self, _look: Look) {
        self.start_those_with_work();
    }

    /// Lets the couriers try once more to deliver what waits, and waits for them.
    fn finish(&mut self, deadline: Instant) {
        self.stop.store(true, Relaxed);
        self.start_those_with_work();
        self.posts.iter().for_each(|post| post.thread.unpark());
        self.posts.iter_mut().for_each(|post| post.thread.finish(deadline));
    }
}

impl Post {
    fn look(&mut self) {
        if !self.thread.is_free() || !self.courier.is_due() || !self.courier.take_lease() {
            return;
        }
        let courier = self.courier.clone();
        if !self.thread.start(move || courier.run()) {
            self.courier.release_lease();
        }
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
