//! What `nginx -t` accepts, and what it leaves alone meanwhile. What it refuses is in `mistakes`.

use std::fs;

use tests::address;
use tests::nginx::{Check, Config};
use tests::sink::{SECRET, Sink};

const UPSTREAM: &str = "upstream app { server 127.0.0.1:8081; server 127.0.0.1:8082 backup; }";
const SERVER: &str = "server { listen 127.0.0.1:1; alert app; location / { proxy_pass http://app; } }";

/// A monitor named `app` with these directives, and all that a whole configuration needs.
fn with_monitor(directives: &str) -> String {
    format!("alert_monitor app {{\n{directives}\n}}\n{UPSTREAM}\n{SERVER}")
}

#[track_caller]
fn accepted(config: &Config) {
    let check = Check::run(config);
    assert!(check.good, "{}\n{:?}", check.output, config.http);
    assert!(!check.output.contains(SECRET), "the secret is in {}", check.output);
}

#[test]
fn right_configurations_are_accepted_in_any_order() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("webhook");
    fs::write(&file, format!("https://hooks.slack.com/services/{SECRET}\n")).unwrap();
    let monitor = "cooldown 5m; error_rate 2.5%; failover on confirm=3; active green; window 7;
                   release_from $upstream_http_x_version; pool green 127.0.0.1:8082; pool_from $upstream_http_x_pool;
                   pool blue 127.0.0.1:8081 localhost:8083;";
    for http in [
        String::new(),
        "alert_zone zone=alert:1m;".into(),
        "alert_monitor unused { }".into(),
        "alert_monitor \"mönitor {1}\" { pool 'blü' 127.0.0.1:1; active \"blü\"; } alert 'mönitor {1}';".into(),
        format!("alert_notify webhook https://user:{SECRET}@127.0.0.1:8443/{SECRET} secret={SECRET};"),
        with_monitor(""),
        with_monitor(monitor),
        with_monitor("error_rate off; failover off; cooldown 0s;"),
        with_monitor("window 70000;"),
        format!("{SERVER} {UPSTREAM} alert_monitor app {{ {monitor} }} alert_zone zone=other:2m;"),
        "alert off; alert_monitor a { } alert_monitor b { }
         server { listen 127.0.0.1:1; alert a; location / { alert b; if ($arg_quiet) { alert off; } } }"
            .into(),
        format!("alert_notify slack file:{}; alert_notify slack env:HOOK name=second timeout=5s;", file.display()),
        "alert_notify slack http://no-such-host.invalid/hook; alert_notify slack https://127.0.0.1/hook;".into(),
        with_monitor("notify slack env:HOOK;"),
        "server { listen 127.0.0.1:1; location /alert { alert_status; } location = /exact { alert_status; } }".into(),
        // These say what comes before an answer, or what is not asked for.
        "server { listen 127.0.0.1:1; location /alert/ { alias /tmp/; index a; alert_status; if ($arg_x) { return 404; }
         limit_except GET { deny all; } location /alert/below { return 200; } } }"
            .into(),
    ] {
        let mut config = Config::new(&http);
        config.env.push(("HOOK".into(), format!("https://hooks.slack.com/services/{SECRET}")));
        accepted(&config);
    }
}

#[test]
fn a_configuration_test_has_no_side_effect() {
    let sink = Sink::start();
    let http = format!("server {{ listen {}; alert app; }}", address::free());
    let plain = Check::run(&Config { with_module: false, ..Config::new(&http.replace("alert app;", "")) });
    let check = Check::run(&Config::new(&format!(
        "alert_notify slack {}; alert_monitor app {{ active blue; }} {http}",
        sink.url()
    )));
    assert!(check.good, "{}", check.output);
    assert_eq!(check.files, plain.files);
    assert!(sink.posts().is_empty());
}

#[test]
fn the_module_loads_without_http() {
    accepted(&Config { http: None, ..Config::new("") });
}
