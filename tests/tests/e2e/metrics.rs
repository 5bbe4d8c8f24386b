//! The metrics, as the real Prometheus reads them.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use tests::http::Request;
use tests::prometheus::{Prometheus, SHIPPED};
use tests::scene::{Scene, Setup};

#[test]
fn the_text_is_what_promtool_expects() {
    let scene = Scene::start(&Setup {
        rules: "active blue; latency p95 500ms; probe /healthz interval=100ms; rollout 5%; split_by $arg_client;",
        http: "map $alert_pool $first { default app; }",
        server: "location /control { alert_control; }",
        ..Setup::default()
    });
    scene.client.get_many(20, "/");
    scene.wait_filled(20);
    let share = scene.client.send(&Request::new("POST", "/control/share?monitor=app&pool=green&percent=5"));
    assert_eq!(share.status, 200, "{}", share.text());
    let reply = scene.client.get("/alert/metrics");
    assert_eq!(reply.get("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().expect("promtool (`make test` installs the package prometheus)");
    promtool.stdin.take().unwrap().write_all(&reply.body).unwrap();
    let text = reply.text();
    for sample in [
        "first_attempts_total{monitor=\"app\",pool=\"blue\",result=\"answered\"} 20",
        "share{monitor=\"app\",pool=\"green\"} 0.05",
        "evidence{monitor=\"app\",kind=\"errors\"} 1",
        "release_info{monitor=\"app\",pool=\"blue\",release=\"v1\"} 1",
        "alerts_total{monitor=\"app\",kind=\"rollout\",status=\"info\"} 0",
    ] {
        assert!(text.contains(&format!("\nnginx_alert_{sample}\n")), "{sample} is missing in\n{text}");
    }
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn prometheus_scrapes_them() {
    let scene = Scene::start(&Setup { workers: 2, rules: "active blue;", ..Setup::default() });
    scene.client.get_many(50, "/");
    scene.wait_filled(50);
    let prometheus = Prometheus::start(&Prometheus::hasty(&Path::new(SHIPPED).join("rules.yml"), &[scene.address()]));
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
    prometheus.wait_for("nginx_alert_failed_attempts_total{pool=\"blue\",cause=\"status\"}", 10.0);
    prometheus.wait_for("nginx_alert_active_pool{pool=\"blue\"}", 1.0);
    prometheus.wait_for("nginx_alert_limit_ratio{kind=\"error_rate\"}", 0.02);
    prometheus.wait_for("nginx_alert_workers", 2.0);
}
