//! Instructions per request, counted by callgrind: of the thread that serves requests, and of the threads beside it.
//!
//! nginx runs as one process under valgrind. The counters are set to zero once it is warm and read while it still runs,
//! so neither its start nor its end is in the figures.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::callgrind::Profile;
use crate::chart::{Bar, Chart};
use crate::report::{Section, Table, number};

use crate::rig::{Rig, Variant};
use crate::{traffic, variants};

const WARM_UP: u32 = 500;
const REQUESTS: u32 = 4000;

/// Instructions per request of one nginx.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// Of the event loop, which is what requests wait for; without glibc's search for memory.
    pub event_loop: f64,
    /// Those of the event loop inside the module.
    pub inside: f64,
    /// Of all other threads. They look for work by the clock, and under valgrind a request takes many times longer, so
    /// this is more than it is outside.
    pub threads: f64,
}

impl Cost {
    /// Runs an nginx and counts.
    pub fn of(variant: &Variant) -> Cost {
        eprintln!("  callgrind: {}", variant.name);
        let out = tempfile::tempdir().expect("a temporary directory can be made");
        let file = out.path().join("part");
        let rig = Rig::start(variant, |config| {
            config.single_process = true;
            let valgrind = ["valgrind", "--quiet", "--tool=callgrind", "--separate-threads=yes"];
            config.wrapper.extend(valgrind.map(String::from));
            config.wrapper.push(format!("--callgrind-out-file={}", file.display()));
        });
        traffic::send(rig.address, WARM_UP);
        control(&rig, "--zero");
        traffic::send(rig.address, REQUESTS);
        control(&rig, "--dump");
        Cost::read(out.path())
    }

    /// Reads the first dump: a file for each thread, `part.1-01` being that of the event loop.
    fn read(directory: &Path) -> Cost {
        let profile = |thread: u32| {
            let text = fs::read_to_string(directory.join(format!("part.1-{thread:02}"))).ok()?;
            Some(Profile::read(&text, "ngx_http_alert_module.so"))
        };
        let per_request = |count: u64| count as f64 / f64::from(REQUESTS);
        let event_loop = profile(1).expect("callgrind wrote what it counted");
        assert!(event_loop.allocator > 0, "valgrind does not see the functions of glibc (Debian's libc6-dbg)");
        Cost {
            event_loop: per_request(event_loop.total - event_loop.allocator),
            inside: per_request(event_loop.inside),
            threads: (2..).map_while(profile).map(|thread| per_request(thread.total)).sum(),
        }
    }

    /// The instructions of all threads.
    pub fn total(self) -> f64 {
        self.event_loop + self.threads
    }

    /// What one nginx costs more than another.
    pub fn above(self, base: Cost) -> Cost {
        Cost {
            event_loop: self.event_loop - base.event_loop,
            inside: self.inside - base.inside,
            threads: self.threads - base.threads,
        }
    }
}

fn control(rig: &Rig, command: &str) {
    let pid = rig.nginx.master().to_string();
    let output = Command::new("callgrind_control").args([command, &pid]).output().expect("valgrind is installed");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("OK."), "callgrind_control {command}: {text}");
}

/// Compares what watches a blue and a green pool.
pub fn compare() -> Section {
    let base = Cost::of(&variants::plain());
    let columns = ["instructions per request", "event loop", "above nginx alone", "inside the module", "other threads"];
    let mut table = Table::new(&columns);
    table.row(&[&variants::plain().name, &number(base.event_loop), &"", &"", &""]);
    let mut bars = Vec::new();
    let mut measure = |variant: Variant, label: &str| {
        let cost = Cost::of(&variant);
        let above = cost.above(base);
        let [event_loop, extra, threads] = [cost.event_loop, above.event_loop, cost.threads].map(number);
        let inside = if cost.inside > 0.0 { number(cost.inside) } else { String::new() };
        table.row(&[&variant.name, &event_loop, &extra, &inside, &threads]);
        let value = above.total();
        if !label.is_empty() {
            bars.push(Bar { label: label.into(), value, text: number(value), ours: cost.inside > 0.0 });
        }
        above
    };
    let threads_alone = measure(variants::unwatched(), "");
    let ours = measure(variants::defaults(), "nginx-alert");
    measure(variants::everything(), "nginx-alert, everything on");
    let vts = variants::vts().map(|vts| measure(vts, "nginx-module-vts"));
    let log = measure(variants::access_log(), "access_log, before anybody reads it");
    measure(variants::buffered_access_log(), "the same with a buffer");
    measure(variants::lua(), "log_by_lua_block that counts");
    assert!(log.event_loop > 1000.0, "nginx did not write the access log");
    let findings = format!(
        "Having threads at all costs {} of the {} that the event loop pays with the defaults: glibc then locks \
         its heap and marks every system call as a place to cancel a thread at. What is inside the module is \
         exact, the other differences repeat to about ±10. Writing the line of the access log costs {:.1} times \
         as much as the module in all, threads included.",
        number(threads_alone.event_loop - threads_alone.inside),
        number(ours.event_loop),
        log.total() / ours.total(),
    );
    let vts = match vts {
        Some(vts) => format!(
            "nginx-module-vts (github.com/vozlt/nginx-module-vts) is built from its source for this nginx, and counts \
             into shared memory for somebody to look at. It costs {:.1} times as much as the module.",
            vts.total() / ours.total(),
        ),
        None => {
            "nginx-module-vts is left out, as its source was not given: `make bench VTS_SOURCE_DIR=`, with a copy of \
                 github.com/vozlt/nginx-module-vts."
                .into()
        }
    };
    Section {
        title: "Instructions per request".into(),
        text: vec![ABOUT.into(), findings, vts, NJS.into()],
        tables: vec![table],
        chart: Some(Chart { title: "Instructions per request above nginx alone, all threads".into(), bars }),
    }
}

const ABOUT: &str = "\
    A proxied request on connections that are kept alive to the client (`ab -k -c 4`) and to the upstream, \
    counted by callgrind over 4,000 requests in a warm nginx that goes on running: its start and its end are not \
    in it. nginx runs as one process (`master_process off`); the upstream is another nginx. glibc's search for \
    free memory (some 1,500 instructions) is left out everywhere, since it moves by hundreds in either direction \
    with how the heap happens to lie. The other threads look for work by the clock, and a request takes many \
    times longer under valgrind, so their share is larger here than outside.";

const NJS: &str = "\
    njs is not in this table: it has no handler for the log phase, and up to 0.7 nothing that is shared by \
    requests to count in.";
