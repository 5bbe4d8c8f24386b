//! What the module adds to the start of nginx: the time to read and check a configuration, and the memory of its zone.

use std::path::PathBuf;
use std::time::Instant;

use crate::distribution::Distribution;
use crate::report::{Section, Table, number};
use crate::rig::{Rig, Variant};
use crate::{account, variants};

const TIMES: usize = 101;

/// Measures both.
pub fn measure() -> Section {
    let running = [variants::plain(), variants::loaded(), variants::defaults(), large_zone()]
        .map(|variant| (variant.name, Rig::start(&variant, |_| ())));
    let mut times = running.each_ref().map(|_| Vec::new());
    eprintln!("  nginx -t, {TIMES} times each");
    for _ in 0..TIMES {
        for ((_, rig), times) in running.iter().zip(&mut times) {
            let start = Instant::now();
            let (good, said) = rig.nginx.call(&["-t"]);
            times.push(start.elapsed());
            assert!(good, "{said}");
        }
    }
    let times = times.map(Distribution::of_durations);
    let mut table = Table::new(&["`nginx -t`", "ms, median", "p90", "more than alone", "shared memory in use, KiB"]);
    for ((name, rig), took) in running.iter().zip(&times) {
        let master = PathBuf::from(format!("/proc/{}", rig.nginx.master()));
        let shared_kib = account::status(&master, "RssShmem:");
        let more = took.median() - times[0].median();
        let [median, p90, more] = [took.median(), took.quantile(0.9), more].map(|time| format!("{time:.2}"));
        table.row(&[name, &median, &p90, &more, &number(shared_kib as f64)]);
    }
    Section { title: "The start".into(), text: vec![about()], tables: vec![table], chart: None }
}

fn about() -> String {
    format!(
        "From the start of `nginx -t` to its end, {TIMES} times each in turns: the program is loaded, the configuration is \
         read, and zones are made as for a start. The second row has the module without any of its directives, so it is what \
         the system needs to load the object. Memory is what the master of a running nginx has touched of what it shares \
         with its workers (`RssShmem`): of a zone, what is in use and nginx's own table of its pages."
    )
}

/// The module's defaults with a zone that needs to be no larger.
fn large_zone() -> Variant {
    let defaults = variants::defaults();
    let http = format!("alert_zone zone=alert:64m; {}", defaults.http);
    Variant { name: "this module, `alert_zone zone=alert:64m`", http, ..defaults }
}
