//! A real Prometheus with a configuration, a directory and an address of its own.

use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tempfile::TempDir;

use crate::address;
use crate::client::Client;
use crate::http::{Reply, Request};
use crate::process::{self, Signal, TIED};
use crate::wait;

/// The rules, the dashboard and the configurations that are shipped.
pub const SHIPPED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docker/prometheus");

const START_LIMIT: Duration = Duration::from_secs(20);
const LIMIT: Duration = Duration::from_secs(30);
/// Between two questions: it looks at its hosts once a second at most.
const PAUSE: Duration = Duration::from_millis(100);

/// A running Prometheus.
pub struct Prometheus {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

/// One series of an answer and its value now.
#[derive(Clone, Debug)]
pub struct Sample {
    /// Its labels, by name.
    pub labels: Value,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// The value of a label; empty where it has none.
    pub fn label(&self, name: &str) -> &str {
        self.labels[name].as_str().unwrap_or_default()
    }
}

impl Prometheus {
    /// Starts it with this configuration and waits until it answers.
    pub fn start(configuration: &str) -> Self {
        let directory = tempfile::Builder::new().prefix("nginx-alert-test-").tempdir();
        Self::start_in(directory.expect("a temporary directory can be made"), configuration)
    }

    /// As [`Prometheus::start`], in a directory whose `data` holds what it knows already.
    pub fn start_in(directory: TempDir, configuration: &str) -> Self {
        fs::write(directory.path().join("prometheus.yml"), configuration).expect("the test's directory is writable");
        let log = File::create(directory.path().join("log")).expect("the test's directory is writable");
        let address = address::free();
        let child = Command::new(TIED[0])
            .args(&TIED[1..])
            .arg("prometheus")
            .arg(format!("--config.file={}", directory.path().join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .expect("setpriv is part of every Debian");
        let started = Self { child, address, directory };
        let is_ready = || started.try_get("/-/ready").is_some_and(|reply| reply.status == 200).then_some(());
        if wait::find(START_LIMIT, is_ready).is_none() {
            panic!("Prometheus (Debian's package of that name) does not start:\n{}", started.log());
        }
        started
    }

    /// A configuration that applies rules to these hosts, looks at both every second, and tells nobody.
    pub fn hasty(rules: &Path, hosts: &[SocketAddr]) -> String {
        let hosts: Vec<_> = hosts.iter().map(|host| format!("'{host}'")).collect();
        format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{}']\n\
             scrape_configs:\n- job_name: nginx\n  metrics_path: /alert/metrics\n  static_configs: [{{ targets: [{}] }}]\n",
            rules.display(),
            hosts.join(", ")
        )
    }

    /// Goes on with another configuration.
    #[track_caller]
    pub fn reload_with(&self, configuration: &str) {
        let loaded = "prometheus_config_last_reload_success_timestamp_seconds";
        let time = || -> Option<f64> {
            let metrics = self.try_get("/metrics")?.text();
            metrics.lines().find_map(|line| line.strip_prefix(loaded)?.trim().parse().ok())
        };
        let before = time();
        // The time has a resolution of its own, so it is only sure to change after a while.
        fs::write(self.directory.path().join("prometheus.yml"), configuration).expect("a writable directory");
        process::signal(self.child.id(), Signal::HUP);
        if wait::find(LIMIT, || (time() > before).then_some(())).is_none() {
            panic!("Prometheus does not take the new configuration:\n{}", self.log());
        }
    }

    /// A file in its directory, for a configuration to name.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("the test's directory is writable");
        path
    }

    /// Its base URL without the scheme.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What an expression gives now, or why it is none.
    pub fn ask(&self, expression: &str) -> Result<Vec<Sample>, String> {
        self.ask_at(expression, SystemTime::now())
    }

    /// What an expression gives at a time, or why it is none.
    pub fn ask_at(&self, expression: &str, time: SystemTime) -> Result<Vec<Sample>, String> {
        let encoded: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let time = time.duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64());
        let target = format!("/api/v1/query?query={encoded}&time={time}");
        let reply = self.try_get(&target).ok_or("Prometheus does not answer")?;
        let answer: Value = serde_json::from_slice(&reply.body).map_err(|error| error.to_string())?;
        if answer["status"] != "success" {
            return Err(format!("{}: {expression}", answer["error"].as_str().unwrap_or_default()));
        }
        let number = |value: &Value| value[1].as_str().and_then(|text| text.parse().ok()).unwrap_or(f64::NAN);
        let result = &answer["data"]["result"];
        Ok(match answer["data"]["resultType"].as_str() {
            Some("scalar") => vec![Sample { labels: Value::Null, value: number(result) }],
            _ => {
                let samples = result.as_array().into_iter().flatten();
                samples.map(|one| Sample { labels: one["metric"].clone(), value: number(&one["value"]) }).collect()
            }
        })
    }

    /// Waits until the first series of an expression has this value.
    #[track_caller]
    pub fn wait_for(&self, expression: &str, expected: f64) {
        let mut last = None;
        let found = wait::find(LIMIT, || {
            thread::sleep(PAUSE);
            last = Some(self.ask(expression));
            let samples = last.as_ref()?.as_ref().ok()?;
            (samples.first()?.value == expected).then_some(())
        });
        assert!(found.is_some(), "{expression} does not become {expected}: {last:?}");
    }

    /// The alerts that fire, as its rules see them.
    pub fn firing(&self) -> Vec<Sample> {
        self.ask("ALERTS{alertstate=\"firing\"}").unwrap_or_default()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The groups of its rules, with how their last evaluation went.
    pub fn groups(&self) -> Vec<Value> {
        let reply = self.try_get("/api/v1/rules").map(|reply| reply.body).unwrap_or_default();
        let answer: Value = serde_json::from_slice(&reply).unwrap_or_default();
        answer["data"]["groups"].as_array().cloned().unwrap_or_default()
    }

    /// Its rules, each with how its last evaluation went.
    pub fn rules(&self) -> Vec<Value> {
        self.groups().iter().flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default()).collect()
    }

    /// What it wrote.
    fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn try_get(&self, target: &str) -> Option<Reply> {
        Client::new(self.address).try_send(&Request::new("GET", target)).ok()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        process::signal(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}

/// The expressions of the shipped dashboard, of panels and of annotations, each with the title it belongs to.
pub fn dashboard() -> Vec<(String, String)> {
    let text = fs::read_to_string(format!("{SHIPPED}/grafana-dashboard.json")).expect("the dashboard is there");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let panels = list(&dashboard["panels"]).into_iter().flat_map(|panel| {
        let title = text(&panel["title"]);
        list(&panel["targets"]).into_iter().map(move |target| (title.clone(), text(&target["expr"])))
    });
    let annotations = list(&dashboard["annotations"]["list"]);
    let annotations = annotations.iter().map(|annotation| (text(&annotation["name"]), text(&annotation["expr"])));
    panels.chain(annotations).collect()
}

/// An expression of the dashboard as Grafana asks it: with what was chosen in place of its variables.
pub fn chosen(expression: &str, monitor: &str, instance: &str) -> String {
    expression.replace("$monitor", monitor).replace("$instance", instance).replace("$__rate_interval", "1m")
}
