//! All that an nginx goes through, in one story: for tools that watch its memory while it does.

use std::thread;
use std::time::Duration;

use serde_json::Value;
use tests::http::{Reply, Request};
use tests::process::Signal;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::wait;

/// Under such a tool all goes many times slower.
const LIMIT: Duration = Duration::from_secs(60);

/// Every kind of sink, every rule, and something in every place where directives can stand. What is the module's stands
/// in lines of its own, so that [`without_module`] can take it away.
pub fn setup() -> Setup<'static> {
    Setup {
        http: "alert_state own/state; alert_zone zone=story:2m;
            alert_monitor other { pool_from $http_x_pool; maintenance file=/nonexistent; notify webhook {sink}; }",
        notify: "alert_notify webhook {sink} secret=signed;
            alert_notify slack {sink};
            alert_notify alertmanager {sink}/alertmanager;
            alert_notify pagerduty 0123456789abcdef0123456789abcdef url={sink};
            alert_notify teams {sink}/teams;
            alert_notify discord {sink}/discord;",
        rules: "window 20; cooldown 0s; latency p50 30s; active blue;",
        server: "location /control { alert_control; }
            location /other {
                alert other;
                proxy_pass http://app;
                mirror /mirrored;
            }
            location /mirrored { internal; proxy_pass http://app; }
            location /redirected { error_page 502 503 = /other; proxy_intercept_errors on; proxy_pass http://app; }",
        location: "proxy_pass http://app;
            add_header X-Alert $alert_active_pool/$alert_serving_pool/$alert_state always;
            ",
        ..Setup::default()
    }
}

/// The same configuration for an nginx that has no module.
pub fn without_module(http: &str) -> String {
    http.lines().filter(|line| !line.contains("alert")).map(|line| format!("{line}\n")).collect()
}

/// Lets it all happen, to the end of nginx. One without the module gets the same requests.
pub fn tell(scene: &mut Scene, with_module: bool) {
    a_failover_and_the_way_back(scene, with_module);
    an_outage(scene, with_module);
    every_way_to_fail(scene);
    people_look(scene);
    people_command(scene, with_module);
    scene.nginx.reload();
    an_outage(scene, with_module);
    people_look(scene);
    scene.nginx.stop(Signal::QUIT);
}

/// Waits, with requests, until the status has this value at this place, and all is delivered.
fn wait_until(scene: &Scene, with_module: bool, place: &str, value: &str) {
    let waits = |sink: &Value| sink["pending"] != 0;
    if with_module {
        wait::until(&format!("{place} to be {value}"), LIMIT, || {
            scene.client.get("/");
            let status = scene.status();
            let sinks = status["sinks"].as_object().expect("the status knows its sinks");
            status.pointer(place).is_some_and(|found| found == value) && !sinks.values().any(waits)
        });
    }
}

fn a_failover_and_the_way_back(scene: &Scene, with_module: bool) {
    scene.client.get_many(10, "/");
    scene.blue.set_status(503);
    scene.client.get_many(5, "/");
    wait_until(scene, with_module, "/monitors/app/state", "failed_over");
    scene.blue.set_status(200);
    scene.client.get_many(10, "/");
    wait_until(scene, with_module, "/monitors/app/state", "ok");
}

fn an_outage(scene: &Scene, with_module: bool) {
    // What a sink refuses is delivered again.
    scene.sink.queue(Answer::Reply(Reply::new(503, "busy")), 1);
    scene.blue.set_status(500);
    scene.green.set_status(500);
    scene.client.get_many(5, "/");
    wait_until(scene, with_module, "/monitors/app/rules/error_rate/state", "firing");
    scene.blue.set_status(200);
    scene.green.set_status(200);
    scene.client.get_many(20, "/");
    wait_until(scene, with_module, "/monitors/app/rules/error_rate/state", "ok");
}

fn every_way_to_fail(scene: &Scene) {
    for answer in [
        Answer::Close,
        Answer::Reset,
        Answer::Raw(b"HTTP/1.1 200 OK\r\nbroken\x01header\r\n\r\n"),
        Answer::Raw(b"HTTP/1.1 200 OK\r\nX-App-Pool:\r\nX-Release-Id: \xff\xfe\r\nContent-Length: 0\r\n\r\n"),
        Answer::Hang,
    ] {
        scene.blue.queue(answer, 1);
        scene.client.get("/");
    }
    scene.blue.go_away();
    scene.client.get("/");
    scene.client.get("/redirected");
    scene.blue.come_back();
    scene.blue.queue_status(502, 1);
    scene.green.queue_status(503, 1);
    scene.client.get("/redirected");
    scene.client.send(&Request::new("GET", "/other").header("X-Pool", "named"));
    let asked = scene.blue.requests();
    scene.blue.queue(Answer::Hang, 1);
    scene.client.abandon("/", || wait::until("the request at blue", LIMIT, || scene.blue.requests() > asked));
}

fn people_look(scene: &Scene) {
    for target in ["/alert", "/alert/", "/alert?monitor=other", "/alert/status.json", "/alert/metrics", "/alert/none"] {
        for method in ["GET", "HEAD", "POST"] {
            scene.client.send(&Request::new(method, target).header("Accept", "application/json"));
            scene.client.send(&Request::new(method, target));
        }
    }
}

fn people_command(scene: &Scene, with_module: bool) {
    for target in [
        "/control/maintenance?monitor=app&on=1&for=1m",
        "/control/maintenance?monitor=app&on=0",
        "/control/active?monitor=app&pool=green",
        "/control/active?monitor=app&pool=blue",
        "/control/active?monitor=nobody&pool=blue",
        "/control/test?monitor=app",
        "/control/",
    ] {
        scene.client.send(&Request::new("POST", target));
        scene.client.send(&Request::new("GET", target));
    }
    // A monitor sends one a second.
    thread::sleep(Duration::from_secs(1));
    // Somebody goes away before the sinks have answered a test alert.
    scene.sink.queue(Answer::Late(Duration::from_millis(500), Reply::new(200, "ok")), 6);
    let mut connection = scene.client.connect().expect("nginx accepts connections");
    connection.write(&Request::new("POST", "/control/test?monitor=app")).expect("nginx reads the request");
    if with_module {
        let asked = || scene.nginx.log_lines("a test alert of monitor").len();
        wait::until("the second test alert", LIMIT, || asked() == 2);
    }
    drop(connection);
    wait_until(scene, with_module, "/monitors/app/state", "ok");
}

#[test]
fn the_story_ends_well() {
    tell(&mut Scene::start(&Setup { workers: 2, ..setup() }), true);
}
