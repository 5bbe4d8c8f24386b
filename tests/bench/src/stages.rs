//! The stages of the way from a request to a message, each by itself: runs the benchmarks of `alert_core`, and reads
//! what criterion wrote about them.

use std::env;
use std::fs;
use std::process::Command;
use std::time::SystemTime;

use serde_json::Value;

use crate::report::{Section, Table};
use crate::rig::target;

/// Benchmarks by the name of criterion's directory.
const STAGES: [(&str, &str); 16] = [
    ("usual", "recognise a usual answer (event loop)"),
    ("producer", "put it into the ring (event loop)"),
    ("server", "find the server's pool (event loop)"),
    ("event", "make the event (event loop)"),
    ("channel", "put it into the channel (event loop)"),
    ("judge/answered", "judge an answer of the pool that serves"),
    ("judge/retried", "judge a request that was retried"),
    ("window/200", "of that: count it in a window of 200"),
    ("window/10000", "of that: count it in a window of 10,000"),
    ("window/100000", "of that: count it in a window of 100,000"),
    ("failover", "of that: see that nothing changed about who serves"),
    ("rule", "of that: one rule"),
    ("outbox_publish", "put an alert into the outbox"),
    ("outbox_pending", "look for alerts of a sink"),
    ("notification", "choose what is still worth telling"),
    ("rendering", "write the message"),
];

/// Runs all of them.
pub fn measure() -> Section {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["bench", "--quiet", "--package", "alert_core", "--bench", "stages", "--", "--quick", "--quiet"]);
    let began = SystemTime::now();
    let output = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut table = Table::new(&["ns each", "mean"]);
    for (name, about) in STAGES {
        table.row(&[&about, &format!("{:.1}", mean(name, began))]);
    }
    Section { title: "Stages".into(), text: vec![ABOUT.into()], tables: vec![table], chart: None }
}

const ABOUT: &str = "\
    Means by criterion, one stage at a time and everything in the processor's caches, on one thread; only ring \
    and channel have a detector at their other end, which falls behind when nothing pauses. `cargo bench --package \
    alert_core` measures longer and compares with the last time.";

/// In nanoseconds. What an earlier run left under a name that no benchmark has any more is none.
fn mean(name: &str, began: SystemTime) -> f64 {
    let path = target("criterion").join(name).join("new/estimates.json");
    let written = fs::metadata(&path).and_then(|file| file.modified());
    assert!(written.is_ok_and(|time| time >= began), "no benchmark wrote {}", path.display());
    let text = fs::read(&path).expect("it was written just now");
    let estimates: Value = serde_json::from_slice(&text).expect("criterion writes JSON");
    estimates["mean"]["point_estimate"].as_f64().expect("criterion writes a mean")
}
