//! What the rules cost with many hosts: the metrics of a real nginx, multiplied, and the processor time that
//! Prometheus takes to evaluate them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, thread};

use serde_json::Value;
use tests::client::Client;
use tests::process;
use tests::prometheus::{Prometheus, SHIPPED};

use crate::host::Host;

/// Of the hosts; one service of several, as in the field.
const MONITORS: usize = 5;
const SCRAPES_EVERY: u64 = 15;
/// As far back as the rules look into what hosts report.
const SCRAPES: u64 = 5 * 60 / SCRAPES_EVERY + 1;
/// The quickest of these counts: garbage of the others is collected in between.
const TIMES: usize = 3;
/// More of a processor than this is too much for watching.
const SHARE_MAX: f64 = 0.25;

/// Measures with so many hosts; whether Prometheus keeps up with the rules.
pub fn measure(hosts: usize) -> bool {
    let host = Host::start("edge", "http://127.0.0.1:9", Duration::from_millis(5));
    thread::sleep(Duration::from_secs(1));
    let metrics = Client::new(host.address).get("/alert/metrics").text();
    drop(host);
    let directory = tempfile::Builder::new().prefix("nginx-alert-test-").tempdir();
    let directory = directory.expect("a temporary directory can be made");
    let now = SystemTime::now();
    let series = import(&metrics, hosts, now, directory.path()).expect("the temporary directory has room for it");

    let prometheus = Prometheus::start_in(directory, &Prometheus::hasty(&Path::new(SHIPPED).join("rules.yml"), &[]));
    let groups = prometheus.groups();
    // From here on nobody but this asks it.
    prometheus.reload_with("{}");

    println!("{hosts} hosts with {MONITORS} monitors each, {series} series\n");
    println!("{:<24} {:>6} {:>22}", "rules", "count", "processor time");
    let mut share = 0.0;
    for group in &groups {
        let rules = group["rules"].as_array().map_or(&[][..], Vec::as_slice);
        let takes = (0..TIMES).map(|_| evaluate(&prometheus, rules, now)).min().unwrap_or_default().as_secs_f64();
        let every = group["interval"].as_f64().expect("a group has an interval");
        // What is evaluated with every scrape is shipped for scrapes every 15 s.
        let every = if every < 2.0 { SCRAPES_EVERY as f64 } else { every };
        share += takes / every;
        let name = group["name"].as_str().unwrap_or_default();
        println!("{name:<24} {:>6} {:>22}", rules.len(), format!("{takes:.2} s every {every} s"));
    }
    println!("\n{:.1} % of one processor", 100.0 * share);
    share < SHARE_MAX
}

/// The processor time that Prometheus takes for these rules, which other programs of the machine do not change.
fn evaluate(prometheus: &Prometheus, rules: &[Value], now: SystemTime) -> Duration {
    let before = process::cpu_time(prometheus.pid());
    for rule in rules {
        let query = rule["query"].as_str().expect("a rule has an expression");
        prometheus.ask_at(query, now).unwrap_or_else(|error| panic!("{error}"));
    }
    process::cpu_time(prometheus.pid()).saturating_sub(before)
}

/// Writes what Prometheus would have scraped of so many hosts in the last minutes; how many series that are.
fn import(metrics: &str, hosts: usize, now: SystemTime, directory: &Path) -> io::Result<usize> {
    let text = directory.join("metrics.txt");
    let mut file = BufWriter::new(File::create(&text)?);
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    let mut series = 0;
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let (labelled, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = labelled.split_once('{').unwrap_or((labelled, "}"));
        let comma = if labels == "}" { "" } else { "," };
        let is_counter = ["_total", "_bucket", "_count", "_sum"].iter().any(|end| name.ends_with(end));
        let value: f64 = value.parse().expect("a number");
        let monitors = if labels.contains("monitor=\"shop\"") { MONITORS } else { 1 };
        for host in 0..hosts {
            for monitor in 0..monitors {
                let labels = labels
                    .replace("\"shop\"", &format!("\"shop-{monitor}\""))
                    .replace("instance=", "exported_instance=");
                series += 1;
                for scrape in 0..SCRAPES {
                    let value = if is_counter { value + scrape as f64 } else { value };
                    let time = now - (SCRAPES - 1 - scrape) * SCRAPES_EVERY;
                    writeln!(file, "{name}{{job=\"nginx\",instance=\"edge-{host:04}\"{comma}{labels} {value} {time}")?;
                }
            }
        }
    }
    for host in 0..hosts {
        writeln!(file, "up{{job=\"nginx\",instance=\"edge-{host:04}\"}} 1 {now}")?;
    }
    writeln!(file, "# EOF")?;
    file.flush()?;
    let mut promtool = Command::new("promtool");
    promtool.args(["tsdb", "create-blocks-from", "openmetrics"]).args([&text, &directory.join("data")]);
    let imported = promtool.stdout(Stdio::null()).status()?;
    assert!(imported.success(), "promtool takes the metrics");
    fs::remove_file(&text)?;
    Ok(series + hosts)
}
