//! What is shipped for many hosts in docker/prometheus, as the real Prometheus and Alertmanager take it.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tests::prometheus::{self, Prometheus, SHIPPED};
use tests::scene::{Scene, Setup};
use tests::wait;

const LIMIT: Duration = Duration::from_secs(30);

/// What a failover of one host leaves at zero, where the dashboard shows nothing.
const OF_ANOTHER_STORY: [&str; 8] = [
    "nginx_alert_alerts_lost_total",
    "nginx_alert_unmatched_requests_total",
    "nginx_alert_held_back_total",
    "nginx_alert_resends_total",
    "nginx_alert_deliveries_pending",
    "nginx_alert_evidence",
    "nginx_alert_rollout{",
    "nginx_alert_rollouts_total",
];

fn shipped(name: &str) -> String {
    fs::read_to_string(Path::new(SHIPPED).join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[track_caller]
fn assert_good(program: &str, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(SHIPPED).output();
    let output = output.unwrap_or_else(|error| panic!("{program} (`make test` installs it): {error}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {said}");
}

#[test]
fn the_rules_do_what_their_tests_say() {
    assert_good("promtool", &["check", "rules", "rules.yml"]);
    assert_good("promtool", &["test", "rules", "rules_test.yml", "rules_days_test.yml"]);
}

#[test]
fn each_alert_of_the_rules_is_explained_and_has_a_test_in_which_it_fires() {
    let tests = [shipped("rules_test.yml"), shipped("rules_days_test.yml")].concat();
    let rules = shipped("rules.yml");
    let alerts: Vec<_> = rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(alerts.len() > 10, "{alerts:?}");
    let explanations = shipped("README.md");
    for alert in alerts {
        assert!(explanations.contains(&format!("`{alert}`")), "{alert} is not explained");
        let cases = tests.split("- alertname: ").skip(1).filter(|case| case.starts_with(&format!("{alert}\n")));
        let (firing, silent): (Vec<_>, Vec<_>) = cases.partition(|case| case.contains("exp_labels"));
        assert!(!firing.is_empty(), "no test in which {alert} fires");
        assert!(!silent.is_empty(), "no test in which {alert} is silent");
    }
}

#[test]
fn prometheus_and_alertmanager_take_the_configurations() {
    assert_good("promtool", &["check", "config", "prometheus.yml"]);
    assert_good("promtool", &["check", "config", "discovery/file.yml"]);
    assert_good("promtool", &["check", "config", "discovery/dns.yml"]);
    assert_good("amtool", &["check-config", "alertmanager.yml"]);
}

#[test]
fn a_notification_leads_to_the_dashboard_says_what_is_over_and_mentions_nobody() {
    let alert = |status: &str, instance: &str, summary: &str, over: &str| {
        json!({
            "status": status,
            "labels": { "monitor": "shop", "instance": instance },
            "annotations": { "summary": summary, "over": over },
        })
    };
    let told = |status: &str, alerts: &[Value]| {
        let data = json!({ "status": status, "commonLabels": { "monitor": "a b" }, "alerts": alerts });
        let file = tempfile::NamedTempFile::new().expect("a temporary file can be made");
        fs::write(file.path(), data.to_string()).expect("the temporary file is writable");
        let part = |name: &str| {
            let mut amtool = Command::new("amtool");
            amtool.current_dir(SHIPPED).args(["template", "render", "--template.glob=alertmanager.tmpl"]);
            amtool.arg(format!("--template.text={{{{ template \"nginx_alert.{name}\" . }}}}"));
            let output = amtool.arg(format!("--template.data={}", file.path().display())).output().expect("amtool");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        [part("title"), part("text"), part("dashboard")]
    };
    let fires = alert("firing", "edge 1", "pool <!channel> & co fails", "");
    let [title, text, dashboard] = told("firing", &[fires]);
    assert_eq!(title, ":rotating_light: pool &lt;!channel&gt; &amp; co fails");
    let link = "<http://127.0.0.1:3000/d/nginx-alert?var-instance=edge+1&var-monitor=shop|edge 1>";
    assert_eq!(text, format!("• {link}: pool &lt;!channel&gt; &amp; co fails\n"));
    assert_eq!(dashboard, "http://127.0.0.1:3000/d/nginx-alert?var-monitor=a+b&");

    let [title, text, _] = told("resolved", &[alert("resolved", "edge-1", "edge-1 is silent", "edge-1 reports again")]);
    assert_eq!(title, ":white_check_mark: Resolved: edge-1 reports again");
    assert!(text.ends_with(": edge-1 reports again\n"), "{text}");

    let many: Vec<_> = (0..50).map(|host| alert("firing", &format!("edge-{host}"), "fails", "")).collect();
    let [title, text, _] = told("firing", &many);
    assert_eq!(title, ":rotating_light: fails (50 alerts)");
    assert!(text.ends_with("and more, 50 in all\n") && text.lines().count() == 21, "{text}");
}

/// Debian's Prometheus has no Kubernetes in it, so the pods are made up here; what becomes of them is as shipped.
#[test]
fn a_pod_is_a_host_by_its_name_and_one_that_has_ended_is_none() {
    let scene = Scene::start(&Setup::default());
    let shipped = shipped("discovery/kubernetes.yml");
    let (_, relabelling) = shipped.split_once("    relabel_configs:\n").expect("relabelling of pods");
    let pod = |name: &str, port: &str, phase: &str| {
        format!(
            "      - targets: ['{}']\n        labels: {{ __meta_kubernetes_pod_name: {name}, __meta_kubernetes_namespace: \
             shop, __meta_kubernetes_pod_container_port_name: {port}, __meta_kubernetes_pod_phase: {phase} }}\n",
            scene.address()
        )
    };
    let pods =
        [pod("nginx-a", "http", "Running"), pod("nginx-b", "http", "Succeeded"), pod("nginx-c", "debug", "Running")];
    let prometheus = Prometheus::start(&format!(
        "global: {{ scrape_interval: 1s }}\nscrape_configs:\n  - job_name: nginx\n    metrics_path: /alert/metrics\n\
         \x20   static_configs:\n{}    relabel_configs:\n{relabelling}",
        pods.concat()
    ));
    prometheus.wait_for("up", 1.0);
    let up = prometheus.ask("up").expect("an answer");
    assert_eq!(up.len(), 1, "{up:?}");
    assert_eq!(
        [up[0].label("instance"), up[0].label("namespace"), up[0].label("autoscaled")],
        ["nginx-a", "shop", "true"]
    );
}

#[test]
fn each_expression_of_rules_and_dashboard_is_answered_during_a_failover() {
    let rules = "active blue; rollout 5%; probe / interval=1s;";
    let scene = Scene::start(&Setup { workers: 2, rules, ..Setup::default() });
    // What is summed up every minute is summed up every second.
    let rules = shipped("rules.yml").replace("interval: 1m", "interval: 1s");
    let prometheus = Prometheus::start("{}");
    let rules = prometheus.file("rules.yml", &rules);
    prometheus.reload_with(&Prometheus::hasty(&rules, &[scene.address()]));
    prometheus.wait_for("up", 1.0);
    scene.client.get_many(20, "/");
    scene.blue.set_status(500);
    scene.client.get_many(20, "/");
    prometheus.wait_for("nginx_alert_firing{kind=\"failover\"}", 1.0);
    prometheus.wait_for("count(monitor:nginx_alert_failed_requests:ratio_rate3d)", 1.0);

    let host = format!("({})", scene.address().to_string().replace('.', "\\\\."));
    let has_answer = |expression: &str, instance: &str| {
        let asked = prometheus::chosen(expression, "app", instance);
        assert!(!asked.contains('$'), "a variable that Grafana knows and this test does not: {asked}");
        !prometheus.ask(&asked).unwrap_or_else(|error| panic!("{error}")).is_empty()
    };
    let dashboard = prometheus::dashboard();
    for (title, expression) in &dashboard {
        wait::until(&format!("{title}: an answer to {expression}"), LIMIT, || {
            let answers = [has_answer(expression, ".*"), has_answer(expression, &host)];
            answers.contains(&true) || OF_ANOTHER_STORY.iter().any(|part| expression.contains(part))
        });
    }
    for (title, _) in &dashboard {
        let targets = || dashboard.iter().filter(|(other, _)| other == title).map(|(_, expression)| expression);
        let is_of_this = !targets().all(|target| OF_ANOTHER_STORY.iter().any(|part| target.contains(part)));
        for instance in [".*", host.as_str()] {
            let is_shown = targets().any(|target| has_answer(target, instance));
            assert!(is_shown || !is_of_this, "{title} shows nothing of {instance}");
        }
    }
    wait::until("the evaluation of all rules", LIMIT, || {
        let rules = prometheus.rules();
        assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:#?}");
        rules.len() > 30 && rules.iter().all(|rule| rule["health"] == "ok")
    });
}
