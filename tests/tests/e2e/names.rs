//! Names come from upstreams, so they may be anything: they never crash, never grow memory, never break the status.

use std::time::Duration;

use tests::http::{Reply, Request};
use tests::process::Signal;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::wait;

/// Pools that a monitor tells apart.
const POOLS_MAX: usize = 31;

fn learning(workers: usize) -> Scene {
    Scene::start(&Setup { workers, pools: "", ..Setup::default() })
}

#[test]
fn names_that_change_with_every_answer_stay_bounded_and_move_nothing() {
    let scene = learning(4);
    for n in 0..150 {
        scene.blue.set_headers(&[("X-App-Pool", &format!("pool-{n}")), ("X-Release-Id", &format!("release-{n}"))]);
        assert_eq!(scene.client.get("/").status, 200);
    }
    let monitor = scene.wait_filled(150);
    scene.assert_told(&[]);
    let pools = monitor["pools"].as_object().expect("an object of pools");
    assert_eq!(pools.len(), POOLS_MAX);
    assert!(pools.contains_key("pool-0"), "the first names stay: {pools:?}");
}

#[test]
fn a_monitor_full_of_names_learns_the_real_ones_also_after_a_reload_and_a_restart() {
    let setup = Setup { pools: "", rules: "cooldown 0s;", http: "alert_state state;", ..Setup::default() };
    let mut scene = Scene::start(&setup);
    let names = |scene: &Scene| -> Vec<String> {
        scene.monitor()["pools"].as_object().map(|pools| pools.keys().cloned().collect()).unwrap_or_default()
    };
    let warned = |scene: &Scene| scene.nginx.log_lines("has seen more than 31 pools").len();
    let learn = |scene: &Scene, begin: &str| {
        for n in 0..40 {
            scene.blue.set_headers(&[("X-App-Pool", &format!("{begin}-{n}"))]);
            scene.client.get("/");
        }
    };
    learn(&scene, "pool");
    wait::until("a warning", Duration::from_secs(5), || warned(&scene) == 1);
    scene.reload_with(&setup);
    learn(&scene, "other");
    wait::until("a warning for this configuration", Duration::from_secs(5), || warned(&scene) == 2);
    scene.wait_saved("state");
    scene.nginx.stop(Signal::QUIT);
    scene.nginx.start_again();
    for pool in ["blue", "green"] {
        scene.blue.set_headers(&[("X-App-Pool", pool)]);
        scene.client.get_many(25, "/");
        wait::until("its pool to serve", Duration::from_secs(5), || scene.monitor()["serving_pool"] == pool);
    }
    let names = names(&scene);
    assert!(names.len() == POOLS_MAX && ["blue", "green"].iter().all(|name| names.iter().any(|known| known == name)));
    wait::until("a warning for this start", Duration::from_secs(5), || warned(&scene) == 3);
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let scene = learning(1);
    let raw = b"HTTP/1.1 200 OK\r\nX-App-Pool: \xff\xfe\x80 \"<!here>\r\nX-Release-Id: \xc3\r\nContent-Length: 2\r\n\
        Connection: close\r\n\r\nok";
    scene.blue.set(Answer::Raw(raw));
    scene.client.get_many(3, "/");
    // Reading it at all means that it is valid JSON in valid UTF-8.
    let monitor = scene.wait_filled(3);
    let names: Vec<&String> = monitor["pools"].as_object().expect("an object of pools").keys().collect();
    assert_eq!(names, ["\u{fffd}\u{fffd}\u{fffd} \"<!here>"]);
}

#[test]
fn nothing_that_others_say_begins_a_line_of_the_error_log_or_moves_a_cursor() {
    let server = "location /control { alert_control; }";
    let location = "proxy_pass http://app; proxy_hide_header X-App-Pool; proxy_hide_header X-Release-Id;";
    let mut scene = Scene::start(&Setup { pools: "", server, location, ..Setup::default() });
    let long = "x".repeat(48);
    let escapes: &[u8] =
        b"HTTP/1.1 200 OK\r\nX-App-Pool: gr\x1b[2Jeen\xe2\x80\xae\xff\r\nX-Release-Id: \x1b]0;v2\x07\r\n\
        Content-Length: 2\r\nConnection: close\r\n\r\nok";
    scene.blue.set_headers(&[("X-App-Pool", &long)]);
    scene.green.set(Answer::Raw(escapes));
    scene.sink.set(Answer::Reply(Reply::new(400, "no\x1b[2J\r\n2026/01/01 00:00:00 [alert] 1#1: forged")));
    scene.client.get_many(3, "/");
    for target in ["active?monitor=app", "active?monitor=%0aforged", "none%0aforged?x"] {
        let target = format!("/control/{target}&pool={long}%0a2026/01/01%1b[2Jforged");
        let reply = scene.client.send(&Request::new("POST", &target));
        assert!(reply.body.iter().all(|byte| *byte >= b' '), "{:?}", reply.text());
    }
    scene.blue.set_status(500);
    scene.client.get_many(3, "/");
    scene.sink.wait_for(1, Duration::from_secs(5));
    let refused = |log: &str| log.contains("refused an alert");
    wait::until("the answer of the sink in the log", Duration::from_secs(5), || refused(&scene.nginx.log()));
    scene.nginx.stop(Signal::QUIT);
    let log = scene.nginx.log();
    assert!(log.contains("pool changed from") && log.contains("is the active one"), "{log}");
    for line in log.lines() {
        let is_dated = line.get(..5).is_some_and(|begin| begin.starts_with("20") && begin.ends_with('/'));
        // nginx adds the request line, as it came: encoded.
        let (ours, _) = line.split_once(", client: ").unwrap_or((line, ""));
        let is_plain = line.chars().all(|c| !c.is_control() && c != '\u{202e}') && !ours.contains("forged");
        assert!(is_dated && is_plain, "{line:?}");
    }
}

#[test]
fn an_empty_name_is_none() {
    let scene = learning(1);
    scene.blue.set_headers(&[("X-App-Pool", ""), ("X-Release-Id", "")]);
    scene.client.get_many(3, "/");
    let monitor = scene.wait_filled(3);
    assert_eq!(monitor["pools"].as_object().map(|pools| pools.len()), Some(0));
}
