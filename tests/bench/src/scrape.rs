//! What a look at the status costs: the time of the event loop, which requests wait for, and of the thread that makes the document.

use std::path::PathBuf;
use std::time::Duration;

use tests::client::{Client, Connection};
use tests::http::Request;
use tests::process;
use tests::sink::Sink;

use crate::report::{Section, Table, number};
use crate::rig::{Rig, module};
use crate::{account, variants};

const MONITORS: usize = 100;
const TIMES: u32 = 1000;
const LIMIT: Duration = Duration::from_secs(30);

/// Measures each document.
pub fn measure() -> Section {
    let sink = Sink::start();
    let rig = Rig::start(&variants::many(&module(), MONITORS, &sink), |_| ());
    let mut client = Client::new(rig.address).connect().expect("nginx accepts connections");
    for monitor in 0..MONITORS {
        for pool in ["blue", "green"] {
            (0..10).for_each(|_| drop(get(&mut client, &format!("/app{monitor}/{pool}"))));
        }
    }
    sink.wait_for(MONITORS, LIMIT);
    let mut table = Table::new(&["a document", "KiB", "ms of the event loop", "ms of the thread that makes it"]);
    for (name, path) in [("metrics", "/alert/metrics"), ("JSON", "/alert/status.json"), ("page", "/alert")] {
        eprintln!("  {TIMES} times {path}");
        let bytes = get(&mut client, path).len();
        let before = Spent::by_worker(&rig);
        (0..TIMES).for_each(|_| drop(get(&mut client, path)));
        let spent = Spent::by_worker(&rig) - before;
        let [event_loop, others] = [spent.event_loop, spent.all - spent.event_loop]
            .map(|time| format!("{:.3}", time.as_secs_f64() * 1e3 / f64::from(TIMES)));
        table.row(&[&name, &number(bytes as f64 / 1024.0), &event_loop, &others]);
    }
    Section { title: "A look at the status".into(), text: vec![about()], tables: vec![table], chart: None }
}

fn about() -> String {
    format!(
        "Processor time for each of {} documents that one client asks for on one connection, one after the other, of a \
         worker that has nothing else to do. There are {MONITORS} monitors with two pools each, all of which have failed over, \
         so that there is an alert of each to show. The event loop reads the question, is called when \
         the document is made, and sends it.",
        number(TIMES.into())
    )
}

fn get(client: &mut Connection, path: &str) -> Vec<u8> {
    let reply = client.send(&Request::new("GET", path)).expect("an answer");
    assert_eq!(reply.status, 200, "{path}");
    reply.body
}

/// Processor time of a worker.
#[derive(Clone, Copy)]
struct Spent {
    event_loop: Duration,
    all: Duration,
}

impl Spent {
    fn by_worker(rig: &Rig) -> Spent {
        let pid = *rig.nginx.workers().first().expect("nginx has a worker");
        let event_loop = account::cpu_time(&PathBuf::from(format!("/proc/{pid}")));
        Spent { event_loop, all: process::cpu_time(pid) }
    }
}

impl std::ops::Sub for Spent {
    type Output = Spent;

    fn sub(self, before: Spent) -> Spent {
        Spent { event_loop: self.event_loop - before.event_loop, all: self.all - before.all }
    }
}
