//! What `nginx -t` accepts and what it says where it does not.

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

/// Checks a configuration that is wrong at `wrong`, and wants these parts in the message.
#[track_caller]
fn refused(http: &str, wrong: &str, parts: &[&str]) {
    let check = Check::run(&Config::new(http));
    assert!(!check.good, "{wrong:?} is accepted");
    let message = check.output.lines().find(|line| line.contains("[emerg]"));
    let message = message.unwrap_or_else(|| panic!("{wrong:?}: no [emerg] in {}", check.output));
    for part in parts.iter().copied().chain([check.place_of(wrong).as_str()]) {
        assert!(message.contains(part), "{wrong:?}: {part:?} is missing in {message}");
    }
    assert!(!check.output.contains(SECRET), "the secret is in {}", check.output);
}

#[track_caller]
fn accepted(config: &Config) {
    let check = Check::run(config);
    assert!(check.good, "{}\n{:?}", check.output, config.http);
    assert!(!check.output.contains(SECRET), "the secret is in {}", check.output);
}

#[test]
fn a_wrong_value_is_named_with_what_would_be_right() {
    for (directive, parts) in [
        ("error_rate 200%;", ["error_rate", "200%", "100%"].as_slice()),
        ("error_rate abc;", &["error_rate", "abc", "%"]),
        ("error_rate -1%;", &["error_rate", "-1%"]),
        ("window 0;", &["window", "\"0\"", "1"]),
        ("window abc;", &["window", "abc"]),
        ("window -5;", &["window", "-5"]),
        ("window 99999999999999999999;", &["window", "99999999999999999999"]),
        ("window 200 max_size=5;", &["window", "max_size=5"]),
        ("cooldown soon;", &["cooldown", "soon", "300s"]),
        ("cooldown -1s;", &["cooldown", "-1s"]),
        ("failover maybe;", &["failover", "maybe", "on", "off"]),
        ("failover on confirm=0;", &["failover", "\"0\"", "confirm="]),
        ("failover on confirm=x;", &["failover", "\"x\"", "confirm="]),
        ("pool_from x_app_pool;", &["pool_from", "x_app_pool", "$"]),
        ("release_from x_release_id;", &["release_from", "x_release_id", "$"]),
        ("pool blue not:an:address;", &["pool", "not:an:address"]),
        ("colour blue;", &["unknown directive", "colour"]),
        ("listen 80;", &["listen"]),
    ] {
        refused(&with_monitor(directive), directive, parts);
    }
}

#[test]
fn a_missing_or_superfluous_argument_is_an_error() {
    for directive in [
        "error_rate;",
        "error_rate 1% 2%;",
        "window;",
        "pool;",
        "pool blue;",
        "pool_from;",
        "release_from;",
        "active;",
        "active blue green;",
        "cooldown;",
        "failover;",
    ] {
        let name = directive.split([' ', ';']).next().unwrap_or_default();
        refused(&with_monitor(directive), directive, &[name]);
    }
    for (directive, name) in [
        ("alert_zone;", "alert_zone"),
        ("alert_notify;", "alert_notify"),
        ("alert_notify slack;", "alert_notify"),
        ("alert_monitor { }", "alert_monitor"),
        ("alert_monitor app two { }", "alert_monitor"),
        ("alert;", "alert"),
    ] {
        refused(directive, directive, &[name]);
    }
}

#[test]
fn a_directive_given_twice_is_an_error() {
    for (directive, again) in [("window 10;", "window 20;"), ("error_rate 1%;", "error_rate 3%;")] {
        refused(&with_monitor(&format!("{directive}\n{again}")), again, &["duplicate"]);
    }
}

#[test]
fn pools_that_contradict_each_other_are_an_error() {
    let twice = "pool blue 127.0.0.1:8081;\npool blue 127.0.0.1:8082;";
    refused(&with_monitor(twice), "blue 127.0.0.1:8082", &["pool", "blue"]);
    let shared = "pool blue 127.0.0.1:8081;\npool green 127.0.0.1:8081;";
    refused(&with_monitor(shared), "green 127.0.0.1:8081", &["127.0.0.1:8081", "blue"]);
    let unknown = "pool blue 127.0.0.1:8081;\npool green 127.0.0.1:8082;\nactive purple;";
    refused(&with_monitor(unknown), "purple", &["active", "purple", "blue", "green"]);
}

#[test]
fn a_monitor_that_does_not_exist_is_an_error_where_it_is_used() {
    let http = "alert_monitor web { }\nserver {\nlisten 127.0.0.1:1;\nalert webb;\n}";
    refused(http, "alert webb;", &["\"webb\"", "\"alert\"", "web"]);
}

#[test]
fn two_monitors_of_one_name_are_an_error() {
    let http = "alert_monitor app { }\nalert_monitor app { window 10; }";
    refused(http, "app { window 10; }", &["app"]);
}

#[test]
fn a_sink_that_does_not_exist_is_an_error_that_names_those_that_do() {
    let http = format!("alert_notify pigeon https://example.com/{SECRET};");
    refused(&http, "pigeon", &["pigeon", "slack"]);
}

#[test]
fn two_sinks_of_one_name_are_an_error() {
    let http = "alert_notify slack http://127.0.0.1:1/a name=ops;\nalert_notify slack http://127.0.0.1:1/b name=ops;";
    refused(http, "127.0.0.1:1/b", &["ops"]);
}

#[test]
fn a_target_that_cannot_be_read_is_an_error() {
    refused("alert_notify slack env:NGINX_ALERT_UNSET;", "env:NGINX_ALERT_UNSET", &["NGINX_ALERT_UNSET", "set"]);
    refused("alert_notify slack file:/does/not/exist;", "file:/does", &["/does/not/exist", "No such file"]);
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty");
    fs::write(&empty, "\n").unwrap();
    let http = format!("alert_notify slack file:{};", empty.display());
    refused(&http, "file:", &["empty"]);
}

#[test]
fn a_wrong_target_is_refused_without_being_shown() {
    for target in [
        SECRET.to_owned(),
        format!("hooks.slack.com/services/{SECRET}"),
        format!("ftp://hooks.slack.com/{SECRET}"),
        format!("https:///{SECRET}"),
        format!("\"https://hooks.slack.com/a b/{SECRET}\""),
    ] {
        refused(&format!("alert_notify slack {target};"), "alert_notify slack", &["alert_notify", "http"]);
    }
    let mut config = Config::new("alert_notify slack env:HOOK;");
    config.env.push(("HOOK".into(), format!("no-url-{SECRET}")));
    let check = Check::run(&config);
    assert!(!check.good && check.output.contains("[emerg]"), "{}", check.output);
    assert!(check.output.contains("alert_notify") && !check.output.contains(SECRET), "{}", check.output);
    for option in ["timeout=never", "timeout=0", "colour=red", "name="] {
        let http = format!("alert_notify slack https://hooks.slack.com/services/{SECRET} {option};");
        let name = option.split('=').next().unwrap_or_default();
        refused(&http, "alert_notify slack", &["alert_notify", name]);
    }
}

#[test]
fn a_zone_that_is_wrong_or_too_small_is_an_error_that_says_what_is_needed() {
    for (directive, parts) in [
        ("alert_zone alert:1m;", ["alert:1m", "zone="].as_slice()),
        ("alert_zone zone=alert;", &["zone=alert"]),
        ("alert_zone zone=alert:much;", &["alert:much"]),
        ("alert_zone zone=:1m;", &["zone=:1m"]),
    ] {
        refused(directive, directive, parts);
    }
    // One word of 8 bytes for each request: 100,000 requests need at least 800 kB.
    let http = format!("alert_zone zone=alert:64k;\n{}", with_monitor("window 100000;"));
    let check = Check::run(&Config::new(&http));
    assert!(!check.good, "a window of 100000 requests does not fit into 64k");
    let message = check.output.lines().find(|line| line.contains("[emerg]")).unwrap_or_default();
    assert!(message.contains("nginx.conf:"), "{message}");
    let needed = message.split(|c: char| !c.is_ascii_alphanumeric()).find_map(bytes_needed);
    let needed = needed.unwrap_or_else(|| panic!("the size needed is missing in {message}"));
    let http = format!("alert_zone zone=alert:{needed};\n{}", with_monitor("window 100000;"));
    accepted(&Config::new(&http));
}

/// A size of 800 kB or more, as nginx writes it.
fn bytes_needed(word: &str) -> Option<&str> {
    let digits = word.trim_end_matches(['k', 'K', 'm', 'M']);
    let unit = match &word[digits.len()..] {
        "" => 1,
        "k" | "K" => 1024,
        "m" | "M" => 1024 * 1024,
        _ => return None,
    };
    let size = digits.parse::<u64>().ok()? * unit;
    (800_000..100_000_000).contains(&size).then_some(word)
}

#[test]
fn directives_stand_only_where_they_belong() {
    for wrong in ["alert_monitor app { }", "alert_zone zone=alert:1m;", "alert_notify slack http://127.0.0.1:1/;"] {
        refused(&format!("server {{\nlisten 127.0.0.1:1;\n{wrong}\n}}"), wrong, &["not allowed here"]);
    }
    refused("alert_status;", "alert_status", &["not allowed here"]);
    refused("window 10;", "window 10", &["unknown directive"]);
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
        with_monitor(""),
        with_monitor(monitor),
        with_monitor("error_rate off; failover off; cooldown 0s;"),
        with_monitor("window 100000;"),
        format!("{SERVER} {UPSTREAM} alert_monitor app {{ {monitor} }} alert_zone zone=other:2m;"),
        "alert off; alert_monitor a { } alert_monitor b { }
         server { listen 127.0.0.1:1; alert a; location / { alert b; if ($arg_quiet) { alert off; } } }"
            .into(),
        format!("alert_notify slack file:{}; alert_notify slack env:HOOK name=second timeout=5s;", file.display()),
        "alert_notify slack http://no-such-host.invalid/hook; alert_notify slack https://127.0.0.1/hook;".into(),
        with_monitor("notify slack env:HOOK;"),
        "server { listen 127.0.0.1:1; location /alert { alert_status; } location = /exact { alert_status; } }".into(),
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
