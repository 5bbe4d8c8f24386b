//! Failovers that never were: blue answers a request and fails the next one, which green answers, and so on.

use std::collections::HashSet;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tests::client::{Client, Connection};
use tests::http::Request;
use tests::sink::Sink;
use tests::wait;

use crate::report::{Section, Table};
use crate::rig::{Rig, before, module};
use crate::variants;

const RUNS: usize = 9;
const MONITORS: usize = 100;
/// An answer of blue and an answer of green.
const PAIRS: usize = 120;
const WORKERS: usize = 4;
/// Monitors whose requests come at the same time.
const CLIENTS: usize = 4;
/// Of each client: odd, so that each of them carries answers of both pools.
const CONNECTIONS: usize = 7;
/// The monitor that really fails over.
const LAST: usize = MONITORS;
/// Longer than any decision waits for the other workers, and than any of them needs to see an answer.
const SETTLING: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(10);

/// Counts them run by run.
pub fn measure() -> Section {
    let mut modules = vec![("this module", module(), Vec::new())];
    modules.extend(before().map(|module| ("version before", module, Vec::new())));
    for run in 1..=RUNS {
        eprintln!("  run {run} of {RUNS}");
        modules.iter_mut().for_each(|(_, module, told)| told.push(false_failovers(module)));
    }
    let columns = [&format!("monitors of {MONITORS} that told a false failover"), "run by run", "most"];
    let mut table = Table::new(&columns);
    for (name, _, told) in &modules {
        let each: Vec<_> = told.iter().map(usize::to_string).collect();
        table.row(&[name, &each.join(", "), &told.iter().max().expect("there are runs")]);
    }
    Section { title: "False failovers".into(), text: vec![about()], tables: vec![table], chart: None }
}

fn about() -> String {
    format!(
        "Blue answers a request and fails the next one, which nginx retries on green, {PAIRS} times for each monitor. So \
         there are never two answers of green in a row (`confirm=2`), and whoever tells a failover is wrong. A request is \
         sent as soon as the one before is answered, on another connection, so that mostly another one of the {WORKERS} \
         workers gets it while the log phase of the one before is still to come; {CLIENTS} monitors at a time. In the end \
         one more monitor gets two answers of green in a row, and a run counts only if that is told."
    )
}

/// How many monitors told one in a run.
fn false_failovers(module: &Path) -> usize {
    let sink = Sink::start();
    let rig = Rig::start(&variants::many(module, LAST + 1, &sink), |config| config.workers = WORKERS);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|at| {
            let mut client = Alternating::connect(&rig);
            thread::spawn(move || (at..MONITORS).step_by(CLIENTS).for_each(|monitor| client.alternate(monitor)))
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("every request is answered by its pool"));
    let mut client = Alternating::connect(&rig);
    client.ask(LAST, "blue");
    thread::sleep(SETTLING);
    (0..2).for_each(|_| client.ask(LAST, "green"));
    let told = || {
        let posts = sink.posts().into_iter().filter(|post| post.body["kind"] == "failover");
        posts.map(|post| post.body["monitor"].to_string()).collect::<HashSet<_>>()
    };
    // A sink gets its messages in the order in which they were decided, so this one comes after all others.
    let last = format!("\"app{LAST}\"");
    wait::until("the failover that is one", LIMIT, || told().contains(&last));
    told().len() - 1
}

/// A client that sends one request after the other, each on another connection.
struct Alternating {
    connections: Vec<Connection>,
    sent: usize,
}

impl Alternating {
    fn connect(rig: &Rig) -> Alternating {
        let connect = |_| Client::new(rig.address).connect().expect("nginx accepts connections");
        Alternating { connections: (0..CONNECTIONS).map(connect).collect(), sent: 0 }
    }

    fn alternate(&mut self, monitor: usize) {
        for _ in 0..PAIRS {
            self.ask(monitor, "blue");
            self.ask(monitor, "green");
        }
    }

    fn ask(&mut self, monitor: usize, pool: &str) {
        let connection = &mut self.connections[self.sent % CONNECTIONS];
        let reply = connection.send(&Request::new("GET", &format!("/app{monitor}/{pool}"))).expect("an answer");
        assert_eq!((reply.status, reply.get("X-App-Pool")), (200, Some(pool)));
        self.sent += 1;
    }
}
