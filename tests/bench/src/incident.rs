//! From the answer that proves a failover to the message about it: the module, the version before and a log watcher.

use crate::chart::{Bar, Chart};
use crate::distribution::Distribution;
use crate::report::{Section, Table, number};
use crate::rig::{before, module};
use crate::services::{Delays, Services};

const INCIDENTS: usize = 200;
/// Incidents of one module before it is the turn of the other one.
const BLOCK: usize = 50;
/// Requests a second of other users.
const BACKGROUND: u32 = 3000;
const SHARES: [f64; 4] = [0.5, 0.9, 0.99, 1.0];

/// Measures with few and many workers, in silence and under load.
pub fn compare() -> Section {
    let columns = ["ms from failing answer to message", "median", "p90", "p99", "max"];
    let mut table = Table::new(&columns);
    let mut bars = Vec::new();
    for (workers, background) in [(1, 0), (1, BACKGROUND), (4, 0), (4, BACKGROUND)] {
        eprintln!("  {INCIDENTS} incidents, {workers} workers, {background} other requests/s");
        let (now, before, rate) = side_by_side(workers, background);
        let load = match background {
            0 => "no other traffic".into(),
            _ => format!("{} other requests/s", number(rate)),
        };
        let plural = if workers == 1 { "" } else { "s" };
        let mut row = |what: &str, figure: &dyn Fn(f64) -> f64| {
            let name = format!("{what}, {workers} worker{plural}, {load}");
            let [median, p90, p99, max] = SHARES.map(|share| format!("{:.2}", figure(share)));
            table.row(&[&name, &median, &p90, &p99, &max]);
        };
        row("module, from the 2nd failure", &|share| now.module.quantile(share));
        row("module, from the 1st failure", &|share| now.module_from_first.quantile(share));
        if let Some(before) = before {
            row("version before, from the 2nd failure", &|share| before.module.quantile(share));
            row("version before, from the 1st failure", &|share| before.module_from_first.quantile(share));
            let ratio = |share| now.module.quantile(share) / before.module.quantile(share);
            row("ratio of the two, from the 2nd failure", &ratio);
        }
        row("log watcher, from the 1st failure", &|share| now.watcher.quantile(share));
        if background > 0 && workers == 4 {
            bars = vec![bar("nginx-alert", &now.module_from_first, true), bar("log watcher", &now.watcher, false)];
        }
    }
    let turns = format!(
        "The version before is another build of this module, for the same nginx. It has an nginx of its own, and the \
         two take turns of {BLOCK} incidents in the order now, before, before, now: what changes on the machine meanwhile \
         meets both."
    );
    let mut text = vec![ABOUT.into()];
    text.extend(before().map(|_| turns));
    Section {
        title: "From the failing answer to the message".into(),
        text,
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

/// The delays of this module and of the version before, and how many other requests a second there were.
fn side_by_side(workers: usize, background: u32) -> (Delays, Option<Delays>, f64) {
    let start = |module| Services::start(module, INCIDENTS, workers);
    let sides: Vec<Services> = [Some(module()), before()].iter().flatten().map(|module| start(module)).collect();
    let mut rates = Vec::new();
    for block in 0..INCIDENTS / BLOCK {
        let mut turn = |services: &Services| rates.push(services.break_next(BLOCK, background));
        match block % 2 {
            0 => sides.iter().for_each(&mut turn),
            _ => sides.iter().rev().for_each(&mut turn),
        }
    }
    let mut delays = sides.into_iter().map(Services::delays);
    let now = delays.next().expect("this module is measured");
    (now, delays.next(), rates.iter().sum::<f64>() / rates.len() as f64)
}
