//! The metrics, as the real Prometheus reads them.

use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tests::address;
use tests::client::Client;
use tests::process::{self, Signal};
use tests::scene::{Scene, Setup};
use tests::wait;

const RULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docker/prometheus");

#[test]
fn the_text_is_what_promtool_expects() {
    let scene = Scene::start(&Setup { rules: "latency p95 500ms;", ..Setup::default() });
    scene.client.get_many(20, "/");
    scene.wait_filled(20);
    let reply = scene.client.get("/alert/metrics");
    assert_eq!(reply.get("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut promtool = promtool(&["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    promtool.stdin.take().unwrap().write_all(&reply.body).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn the_shipped_rules_do_what_their_tests_say() {
    let output = promtool(&["test", "rules", "rules_test.yml"]).current_dir(RULES).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&[output.stdout, output.stderr].concat()));
}

#[test]
fn the_dashboard_asks_for_what_there_is() {
    let scene = Scene::start(&Setup::default());
    scene.client.get_many(5, "/");
    scene.wait_filled(5);
    let metrics = scene.client.get("/alert/metrics").text();
    let rules = fs::read_to_string(format!("{RULES}/rules.yml")).unwrap();
    let dashboard = fs::read_to_string(format!("{RULES}/grafana-dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == ':';
    let mut asked = 0;
    for target in dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap())
    {
        let expression = target["expr"].as_str().unwrap();
        for name in expression.split(|char| !is_name(char)).filter(|name| name.contains("nginx_alert_")) {
            let is_there =
                if name.contains(':') { rules.contains(&format!("record: {name}\n")) } else { metrics.contains(name) };
            assert!(is_there, "{name} of {expression} is no metric");
            asked += 1;
        }
    }
    assert!(asked > 10);
}

#[test]
fn prometheus_scrapes_them() {
    let scene = Scene::start(&Setup { workers: 2, rules: "active blue;", ..Setup::default() });
    scene.client.get_many(50, "/");
    scene.wait_filled(50);
    let prometheus = Prometheus::start(scene.address());
    prometheus.wait_for("up", 1.0);
    prometheus.wait_for("sum(nginx_alert_requests_total{pool=\"blue\"})", 50.0);
    scene.blue.set_status(500);
    scene.client.get_many(10, "/");
    prometheus.wait_for("nginx_alert_serving_pool{pool=\"green\"}", 1.0);
    prometheus.wait_for("nginx_alert_serving_pool{pool=\"blue\"}", 0.0);
    prometheus.wait_for("nginx_alert_attempts_total{pool=\"blue\",result=\"failed\"}", 10.0);
    prometheus.wait_for("nginx_alert_alerts_total{kind=\"failover\",status=\"firing\"}", 1.0);
    prometheus.wait_for("nginx_alert_firing{kind=\"failover\"}", 1.0);
    prometheus.wait_for("nginx_alert_deliveries_total{result=\"sent\"}", 1.0);
    prometheus.wait_for("nginx_alert_response_seconds_count{pool=\"green\"}", 10.0);
    prometheus.wait_for("count(nginx_alert_build_info)", 1.0);
}

fn promtool(arguments: &[&str]) -> Command {
    let found = Command::new("promtool").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(found.is_ok(), "promtool is not installed: `make test` installs the package prometheus");
    let mut command = Command::new("promtool");
    command.args(arguments);
    command
}

/// A Prometheus that scrapes one nginx every second.
struct Prometheus {
    child: Child,
    client: Client,
    _directory: tempfile::TempDir,
}

impl Prometheus {
    fn start(nginx: SocketAddr) -> Prometheus {
        let directory = tempfile::tempdir().unwrap();
        let listen = address::free();
        let config = directory.path().join("prometheus.yml");
        let text = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\nrule_files: ['{RULES}/rules.yml']\n\
             scrape_configs:\n- job_name: nginx\n  metrics_path: /alert/metrics\n  static_configs: [{{ targets: ['{nginx}'] }}]\n"
        );
        fs::write(&config, text).unwrap();
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", config.display()))
            .arg(format!("--storage.tsdb.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={listen}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is not installed: `make test` installs it");
        Prometheus { child, client: Client::new(listen), _directory: directory }
    }

    #[track_caller]
    fn wait_for(&self, query: &str, expected: f64) {
        let encoded: String = query.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let mut last = String::new();
        let found = wait::find(Duration::from_secs(30), || {
            std::thread::sleep(Duration::from_millis(100));
            let request = tests::http::Request::new("GET", &format!("/api/v1/query?query={encoded}"));
            last = self.client.try_send(&request).ok()?.text();
            let answer: Value = serde_json::from_str(&last).ok()?;
            let value = answer["data"]["result"][0]["value"][1].as_str()?.parse::<f64>().ok()?;
            (value == expected).then_some(())
        });
        assert!(found.is_some(), "{query} does not become {expected}: {last}");
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        process::signal(self.child.id(), Signal::TERM);
        let _ = self.child.wait();
    }
}
