//! Services that fail over, once each: a monitor for each of them, since one that fails over again and again would be
//! flapping.
//!
//! One pair of upstreams, here in this process, plays blue and green for all of them. The module and a log watcher see the
//! same traffic and post to one sink.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tests::client::Client;
use tests::http::Reply;
use tests::server::{Answer, Server, lock};
use tests::sink::{Post, Sink};

use crate::distribution::Distribution;
use crate::pace::Pace;
use crate::rig::{Rig, Variant};
use crate::tied::Tied;
use crate::variants::LOG_FORMAT;

/// Incidents do not overlap for the module, and fall anywhere between two polls of the watcher.
const PAUSE: Duration = Duration::from_millis(33);
/// For the last message of the watcher.
const LIMIT: Duration = Duration::from_secs(10);

/// When each service's blue answered with a failure; a service is there once it is broken.
type Failures = Arc<Mutex<HashMap<String, Vec<Instant>>>>;

/// How long messages took, in milliseconds.
pub struct Delays {
    /// From the second failing answer, which confirms the failover.
    pub module: Distribution,
    /// From the first one.
    pub module_from_first: Distribution,
    /// The watcher needs no confirmation and tells at the first.
    pub watcher: Distribution,
}

/// Everything running. Fields are dropped in this order: who reads nginx's log goes first, and nginx before its upstreams.
pub struct Services {
    watcher: Tied,
    rig: Rig,
    names: Vec<String>,
    failures: Failures,
    sink: Sink,
    _pools: [Server; 2],
}

impl Services {
    /// Starts that many, and lets each be seen once while all is well.
    pub fn start(module: &Path, count: usize, workers: usize) -> Services {
        let failures = Failures::default();
        let pools = [pool("blue", Some(failures.clone())), pool("green", None)];
        let sink = Sink::start();
        let names: Vec<String> = (0..count).map(|at| format!("app{at}")).collect();
        let rig = Rig::start(&variant(module, &names, &pools, &sink), |config| config.workers = workers);
        let log = rig.nginx.directory().join("access.log");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tailer.py");
        let url = format!("http://{}/watcher", sink.address());
        let watcher = Tied::start(&["python3".as_ref(), script.as_ref(), log.as_ref(), url.as_ref()]);
        let services = Services { watcher, rig, names, failures, sink, _pools: pools };
        services.names.iter().for_each(|name| services.ask(name));
        services
    }

    /// Breaks the next ones of them, one after the other, while others send that many requests a second. Returns how many
    /// it really were.
    pub fn break_next(&self, count: usize, background: u32) -> f64 {
        let pace = (background > 0).then(|| Pace::start(self.rig.address, "/", background, 4));
        thread::sleep(PAUSE);
        let broken = lock(&self.failures).len();
        for name in &self.names[broken..broken + count] {
            lock(&self.failures).insert(name.clone(), Vec::new());
            self.ask(name);
            self.ask(name);
            thread::sleep(PAUSE);
        }
        pace.map_or(0.0, |pace| pace.stop().1)
    }

    fn ask(&self, name: &str) {
        assert_eq!(Client::new(self.rig.address).get(&format!("/{name}")).status, 200);
    }

    /// Waits until all that are there were told to be broken.
    pub fn delays(mut self) -> Delays {
        let posts = self.sink.wait_for(2 * self.names.len(), LIMIT);
        assert!(self.watcher.runs(), "the log watcher ended");
        let failures = lock(&self.failures);
        let delays = |target: &str, failure: usize| {
            let posts = posts.iter().filter(|post| post.target == target && post.body["kind"] == "failover");
            let delays: Vec<_> = posts.map(|post| post.arrived - failures[service_of(post)][failure]).collect();
            assert_eq!(delays.len(), self.names.len(), "messages at {target}");
            Distribution::of_durations(delays)
        };
        Delays { module: delays("/module", 1), module_from_first: delays("/module", 0), watcher: delays("/watcher", 0) }
    }
}

fn service_of(post: &Post) -> &str {
    post.body["monitor"].as_str().expect("a message names its monitor")
}

/// A pool of one server. It notes its failures, and answers 500 for services that are broken.
fn pool(name: &'static str, failures: Option<Failures>) -> Server {
    Server::start(move |request| {
        let service = request.target.trim_start_matches('/');
        let mut failures = failures.as_deref().map(lock);
        let broken = failures.as_mut().and_then(|failures| failures.get_mut(service));
        let status = if broken.is_some() { 500 } else { 200 };
        let reply = Reply::new(status, "{}").header("X-App-Pool", name).header("X-Release-Id", "v1");
        if let Some(failures) = broken {
            failures.push(Instant::now());
        }
        Answer::Reply(reply)
    })
}

fn variant(module: &Path, services: &[String], [blue, green]: &[Server; 2], sink: &Sink) -> Variant {
    let (blue, green) = (blue.address(), green.address());
    let monitors: String = services
        .iter()
        .map(|service| format!("alert_monitor {service} {{ pool blue {blue}; pool green {green}; active blue; }}\n"))
        .collect();
    let locations: String = services
        .iter()
        .map(|service| format!("location = /{service} {{ alert {service}; proxy_pass http://services; }}\n"))
        .collect();
    Variant {
        name: "many services",
        modules: vec![module.into()],
        http: format!(
            "alert_zone zone=alert:32m;
             alert_notify webhook http://{}/module;
             alert_monitor other {{ }}
             {monitors}
             upstream services {{ server {blue} max_fails=0; server {green} max_fails=0 backup; }}
             {LOG_FORMAT}",
            sink.address()
        ),
        server: format!("access_log access.log pools; alert other; {locations}"),
        ..Variant::default()
    }
}
