//! From the answer that proves a failover to the message about it: the module and a log watcher on the same traffic.
//!
//! Each incident has a monitor of its own, since a monitor that fails over again and again would be flapping. One pair
//! of upstreams, here in this process, plays blue and green for all of them; both post to one sink.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use tests::client::Client;
use tests::http::Reply;
use tests::server::{Answer, Server, lock};
use tests::sink::{Post, Sink};

use crate::chart::{Bar, Chart};
use crate::distribution::Distribution;
use crate::pace::Pace;
use crate::report::{Section, Table, number};
use crate::rig::{Rig, Variant, module};
use crate::tied::Tied;
use crate::variants::LOG_FORMAT;

const INCIDENTS: usize = 200;
/// Requests a second of other users.
const BACKGROUND: u32 = 3000;
/// Incidents do not overlap for the module, and fall anywhere between two polls of the watcher.
const PAUSE: Duration = Duration::from_millis(33);
/// For the last message of the watcher.
const LIMIT: Duration = Duration::from_secs(10);

/// When each service's blue answered with a failure; a service is there once it is broken.
type Failures = Arc<Mutex<HashMap<String, Vec<Instant>>>>;

/// How long messages took, in milliseconds.
struct Delays {
    /// From the second failing answer, which confirms the failover.
    module: Distribution,
    /// From the first one.
    module_from_first: Distribution,
    /// The watcher needs no confirmation and tells at the first.
    watcher: Distribution,
    background: f64,
}

/// Measures with few and many workers, in silence and under load.
pub fn compare() -> Section {
    let columns = ["ms from failing answer to message", "median", "p90", "p99", "max"];
    let mut table = Table::new(&columns);
    let mut bars = Vec::new();
    for (workers, background) in [(1, 0), (1, BACKGROUND), (4, 0), (4, BACKGROUND)] {
        eprintln!("  {INCIDENTS} incidents, {workers} workers, {background} other requests/s");
        let delays = run(workers, background);
        let load = match background {
            0 => "no other traffic".into(),
            _ => format!("{} other requests/s", number(delays.background)),
        };
        let plural = if workers == 1 { "" } else { "s" };
        let mut row = |who: &str, delays: &Distribution| {
            let name = format!("{who}, {workers} worker{plural}, {load}");
            let figures = [0.5, 0.9, 0.99, 1.0].map(|share| format!("{:.2}", delays.quantile(share)));
            table.row(&[&name, &figures[0], &figures[1], &figures[2], &figures[3]]);
        };
        row("module, from the 2nd failure", &delays.module);
        row("module, from the 1st failure", &delays.module_from_first);
        row("log watcher, from the 1st failure", &delays.watcher);
        if background > 0 && workers == 4 {
            bars =
                vec![bar("nginx-alert", &delays.module_from_first, true), bar("log watcher", &delays.watcher, false)];
        }
    }
    Section {
        title: "From the failing answer to the message".into(),
        text: vec![ABOUT.into()],
        tables: vec![table],
        chart: Some(Chart {
            title: format!(
                "Milliseconds from the first failing answer to the message at the sink, median of {INCIDENTS}"
            ),
            bars,
        }),
    }
}

const ABOUT: &str = "\
    The time begins when blue hands its answer 500 to the kernel and ends when the sink has read the last byte of the \
    message; all of it on loopback. nginx retries on green, and the module asks for two such requests (`confirm=2`), \
    which the client sends one right after the other on connections of their own. The sink is a `webhook`, as \
    Slack's limit of one message a second would be all that this shows. The log watcher is tailer.py: it looks at the \
    access log twice a second, takes each line apart by a regular expression and posts at the first line of another \
    pool. Upstream, client, sink, nginx and watcher share this machine's processors.";

fn bar(label: &str, delays: &Distribution, ours: bool) -> Bar {
    let value = delays.median();
    let text = format!("{} ms", if value < 10.0 { format!("{value:.1}") } else { number(value) });
    Bar { label: label.into(), value, text, ours }
}

fn run(workers: usize, background: u32) -> Delays {
    let failures = Failures::default();
    let (blue, green) = (pool("blue", Some(failures.clone())), pool("green", None));
    let sink = Sink::start();
    let services: Vec<String> = (0..INCIDENTS).map(|at| format!("app{at}")).collect();
    let rig = Rig::start(&variant(&services, &blue, &green, &sink), |config| config.workers = workers);
    let log = rig.nginx.directory().join("access.log");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tailer.py");
    let url = format!("http://{}/watcher", sink.address());
    let mut watcher = Tied::start(&["python3".as_ref(), script.as_ref(), log.as_ref(), url.as_ref()]);

    let client = Client::new(rig.address);
    let ask = |service: &str| assert_eq!(client.get(&format!("/{service}")).status, 200);
    services.iter().for_each(|service| ask(service));
    let pace = (background > 0).then(|| Pace::start(rig.address, "/", background, 4));
    for service in &services {
        lock(&failures).insert(service.clone(), Vec::new());
        ask(service);
        ask(service);
        thread::sleep(PAUSE);
    }
    let background = pace.map_or(0.0, |pace| pace.stop().1);
    let posts = sink.wait_for(2 * INCIDENTS, LIMIT);
    assert!(watcher.runs(), "the log watcher ended");

    let failures = lock(&failures);
    let delays = |target: &str, failure: usize| {
        let posts = posts.iter().filter(|post| post.target == target && post.body["kind"] == "failover");
        let delays: Vec<_> = posts.map(|post| post.arrived - failures[service_of(post)][failure]).collect();
        assert_eq!(delays.len(), INCIDENTS, "messages at {target}");
        Distribution::of_durations(delays)
    };
    Delays {
        module: delays("/module", 1),
        module_from_first: delays("/module", 0),
        watcher: delays("/watcher", 0),
        background,
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

fn variant(services: &[String], blue: &Server, green: &Server, sink: &Sink) -> Variant {
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
        modules: vec![module()],
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
