//! How long requests take while the module is in trouble, beside those of an nginx without it.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use tests::client::Client;
use tests::process::{self, Signal};
use tests::server::Answer;
use tests::sink::Sink;
use tests::wait;

use crate::distribution::Distribution;
use crate::pace::Pace;
use crate::report::{Section, Table, number};
use crate::rig::{Rig, Variant};
use crate::{traffic, variants};

const PER_SECOND: u32 = 1500;
const SPAN: Duration = Duration::from_secs(6);
const LIMIT: Duration = Duration::from_secs(10);
/// More than a channel holds.
const FLOOD: u32 = 6000;

/// Compares in each kind of trouble.
pub fn compare() -> Section {
    let columns = [
        "ms per request",
        "p50 without",
        "p50 with",
        "p99 without",
        "p99 with",
        "p99.9 without",
        "p99.9 with",
        "dropped",
    ];
    let mut table = Table::new(&columns);
    let mut row = |name: &str, rig: &Rig| {
        eprintln!("  {name}");
        let plain = Rig::start(&variants::plain(), |_| ());
        let (without, with) = side_by_side(plain.address, rig.address);
        let figures: Vec<String> = [0.5, 0.99, 0.999]
            .iter()
            .flat_map(|share| [&without, &with].map(|times| format!("{:.2}", times.quantile(*share))))
            .collect();
        let [a, b, c, d, e, f] = &figures[..] else { panic!("two figures for each share") };
        let dropped = metric(rig.address, "nginx_alert_events_dropped_total");
        table.row(&[&name, a, b, c, d, e, f, &number(dropped)]);
        dropped
    };

    row("no trouble", &Rig::start(&variant("{sink}"), |_| ()));

    let hanging = Sink::start();
    hanging.set(Answer::Hang);
    for (name, sink) in
        [("the sink hangs", hanging.url()), ("the sink's name does not resolve", "http://sink.invalid/".into())]
    {
        let rig = Rig::start(&variant(&sink), |_| ());
        alert(rig.address);
        row(name, &rig);
    }
    assert!(!hanging.posts().is_empty(), "the sink had nothing to hang on");

    let rig = Rig::start(&variant("{sink}"), |_| ());
    let held = Held::detector_of(&rig);
    traffic::send(rig.address, FLOOD);
    let dropped = row("the detector stands still, the channel is full", &rig);
    assert!(dropped > 0.0, "the channel was not full");
    drop(held);

    Section {
        title: "Requests while the module is in trouble".into(),
        text: vec![ABOUT.into()],
        tables: vec![table],
        chart: None,
    }
}

const ABOUT: &str = "\
    Two nginx get 1,500 requests a second each at the same time, for 6 seconds; a request's time begins when it is \
    due. Before that the nginx with the module has decided an alert that it cannot deliver. In the last row `strace` \
    holds the detector thread, so nobody empties the channel, and what does not fit is dropped and counted. Each row \
    compares within itself; all of it shares the machine's processors.";

fn variant(sink: &str) -> Variant {
    let defaults = variants::defaults();
    Variant {
        http: defaults.http.replace("{sink}", sink),
        server: "alert app; location /alert { alert_status; } location /dead { proxy_pass http://127.0.0.1:1; }".into(),
        ..defaults
    }
}

/// Makes the module decide an alert.
fn alert(address: SocketAddr) {
    let client = Client::new(address);
    (0..10).for_each(|_| assert_eq!(client.get("/dead").status, 502));
    wait::until("an alert", LIMIT, || metric(address, "nginx_alert_alerts_total") > 0.0);
}

/// The sum of a metric over its labels.
fn metric(address: SocketAddr, name: &str) -> f64 {
    let text = Client::new(address).get("/alert/metrics").text();
    let values =
        text.lines().filter(|line| line.starts_with(name)).filter_map(|line| line.rsplit(' ').next()?.parse().ok());
    values.fold(0.0, |sum, value: f64| sum + value)
}

fn side_by_side(without: SocketAddr, with: SocketAddr) -> (Distribution, Distribution) {
    let paces = [without, with].map(|address| Pace::start(address, "/", PER_SECOND, 4));
    thread::sleep(SPAN);
    let [without, with] = paces.map(|pace| Distribution::of_durations(pace.stop().0));
    (without, with)
}

/// A thread that `strace` holds at its next system call.
struct Held(Child);

impl Held {
    fn detector_of(rig: &Rig) -> Held {
        let worker = *rig.nginx.workers().first().expect("nginx has a worker");
        let tasks = fs::read_dir(format!("/proc/{worker}/task")).expect("the worker runs");
        let tasks = tasks.map(|task| task.expect("the worker runs").path());
        let is_detector =
            |task: &Path| fs::read_to_string(task.join("comm")).is_ok_and(|name| name.trim() == "alert-detector");
        let task = tasks.into_iter().find(|task| is_detector(task)).expect("the worker has a detector");
        let id = task.file_name().expect("a thread has a number").to_owned();
        let mut command = Command::new("strace");
        // A minute, or until strace ends.
        command.args(["-o", "/dev/null", "-e", "inject=clock_nanosleep,futex:delay_enter=60000000", "-p"]).arg(id);
        let child = command.stderr(Stdio::null()).spawn().expect("strace is installed");
        let tracer = format!("TracerPid:\t{}", child.id());
        let held = Held(child);
        wait::until("strace", LIMIT, || {
            let status = fs::read_to_string(task.join("status")).unwrap_or_default();
            status.lines().any(|line| line == tracer)
        });
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        process::signal(self.0.id(), Signal::INT);
        let _ = self.0.wait();
    }
}
