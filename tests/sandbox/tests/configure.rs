//! `docker/configure.sh` with the repository's own nginx.conf: what the environment says ends up in the configuration,
//! and a wrong value is an error that names it.
#![forbid(unsafe_code)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

const DOCKER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docker");

fn configure(variables: &[(&str, &str)]) -> Output {
    let docker = Path::new(DOCKER);
    Command::new("sh")
        .arg(docker.join("configure.sh"))
        .arg(docker.join("../nginx.conf"))
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

/// The configuration without comments and indentation, line by line.
fn directives(variables: &[(&str, &str)]) -> Vec<String> {
    let output = configure(variables);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}

#[test]
fn without_variables_the_file_stays_as_it_is() {
    let output = configure(&[("PORT", ""), ("SLACK_WEBHOOK_URL", "")]);
    assert_eq!(output.stdout, fs::read(Path::new(DOCKER).join("../nginx.conf")).unwrap());
}

#[test]
fn every_variable_replaces_its_directive() {
    for (variable, value, directive) in [
        ("ERROR_RATE_THRESHOLD", "0.5", "error_rate 0.5%;"),
        ("ERROR_RATE_THRESHOLD", "100%", "error_rate 100%;"),
        ("WINDOW_SIZE", "50", "window 50;"),
        ("ALERT_COOLDOWN_SEC", "0", "cooldown 0s;"),
        ("ROLLOUT", "1% 10% every=2s requests=20", "rollout 1% 10% every=2s requests=20;"),
        ("MAINTENANCE_MODE", "true", "maintenance on;"),
        ("PORT", "9090", "listen 9090;"),
        ("SINK_ADDRESS", "127.0.0.1:9999", "alert_notify slack http://127.0.0.1:9999/;"),
        ("BLUE_ADDRESS", "blue:80", "pool blue blue:80;"),
        ("WORKER_PROCESSES", "4", "worker_processes 4;"),
        ("ERROR_LOG", "stderr", "error_log stderr notice;"),
        ("ALERT_ALLOW", "10.0.0.0/8", "allow 127.0.0.1; allow 10.0.0.0/8;"),
        ("RUN_DIR", "/tmp/x", "pid /tmp/x/nginx.pid;"),
        ("MODULE", "/x/ngx_http_alert_module.so", "load_module /x/ngx_http_alert_module.so;"),
    ] {
        let lines = directives(&[(variable, value)]);
        assert!(lines.iter().any(|line| line == directive), "{variable}={value}: {lines:#?}");
    }
}

#[test]
fn each_pool_is_first_in_its_upstream_and_backup_in_the_other() {
    // The addresses of nginx.conf, the other way round: neither may be replaced twice.
    let (blue, green) = ("127.0.0.1:8082", "127.0.0.1:8081");
    let lines = directives(&[("ACTIVE_POOL", "green"), ("BLUE_ADDRESS", blue), ("GREEN_ADDRESS", green)]);
    assert!(lines.contains(&"active green;".to_owned()));
    let servers: Vec<_> = lines.iter().filter(|line| line.starts_with("server ") && line.ends_with(';')).collect();
    assert_eq!(servers.len(), 4, "{servers:?}");
    for (at, (address, is_backup)) in
        [(blue, false), (green, true), (green, false), (blue, true)].into_iter().enumerate()
    {
        assert!(servers[at].starts_with(&format!("server {address} ")), "{servers:?}");
        assert_eq!(servers[at].ends_with(" backup;"), is_backup, "{servers:?}");
    }
}

#[test]
fn the_webhook_stays_in_the_environment() {
    let secret = "https://hooks.slack.com/services/T0/B0/secret";
    let lines = directives(&[("SLACK_WEBHOOK_URL", secret)]);
    assert!(lines.contains(&"alert_notify slack env:SLACK_WEBHOOK_URL;".to_owned()), "{lines:#?}");
    assert!(!lines.iter().any(|line| line.contains("secret")));

    let output = configure(&[("SLACK_WEBHOOK_URL", "hooks.slack.com/secret")]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && error.contains("SLACK_WEBHOOK_URL") && !error.contains("secret"), "{error}");
}

#[test]
fn a_wrong_value_is_an_error_that_names_it() {
    for (variable, value) in [
        ("ACTIVE_POOL", "red"),
        ("ERROR_RATE_THRESHOLD", "200%"),
        ("ERROR_RATE_THRESHOLD", "0.005"),
        ("WINDOW_SIZE", "0"),
        ("WINDOW_SIZE", "many"),
        ("ALERT_COOLDOWN_SEC", "5m"),
        ("ROLLOUT", "5"),
        ("ROLLOUT", "5%; include /etc/passwd"),
        ("MAINTENANCE_MODE", "maybe"),
        ("PORT", "65536"),
        ("PORT", "80\n81"),
        ("BLUE_ADDRESS", "x;y:1"),
        ("GREEN_ADDRESS", "8082"),
        ("RUN_DIR", "a|b"),
        ("ERROR_LOG", "a b"),
        ("ALERT_ALLOW", "all"),
    ] {
        let output = configure(&[(variable, value)]);
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success() && output.stdout.is_empty(), "{variable}={value} was taken");
        assert!(error.contains(&format!("{variable}=\"{value}\" is wrong, it must be ")), "{error}");
    }
}
