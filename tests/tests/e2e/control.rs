//! What an operator changes while nginx runs: for all workers at once, across reloads, and told.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::http::{Reply, Request};
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::wait;

const ROUTED: Setup = Setup {
    workers: 4,
    single_process: false,
    reuseport: true,
    http: "map $alert_active_pool $first { green green_first; default blue_first; }
           upstream blue_first { server {blue} max_fails=0; server {green} backup max_fails=0; }
           upstream green_first { server {green} max_fails=0; server {blue} backup max_fails=0; }",
    notify: "alert_notify slack {sink};",
    pools: "pool blue {blue}; pool green {green};",
    rules: "active blue;",
    upstream: "server {blue};",
    server: "location /control/ { alert_control; }
             add_header X-Alert \"$alert_active_pool/$alert_serving_pool/$alert_state\" always;
             location = /unwatched { alert off; return 204; }",
    location: "proxy_pass http://$first;",
};

const SWITCHED: &str = ":information_source: Switched — active pool changed from blue → green";

fn post(scene: &Scene, target: &str) -> (u16, Value) {
    let reply = scene.client.send(&Request::new("POST", target));
    (reply.status, json_of(&reply))
}

fn json_of(reply: &Reply) -> Value {
    assert_eq!(reply.get("Content-Type"), Some("application/json"), "{}", reply.text());
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()))
}

#[test]
fn a_planned_switch_loses_no_request_and_is_no_failover() {
    let mut scene = Scene::start(&ROUTED);
    // Slow answers, so that many are in flight when the pool changes.
    scene.blue.set(Answer::Late(Duration::from_millis(150), Reply::new(200, "blue")));
    scene.client.get_many(5, "/");
    let stop = AtomicBool::new(false);
    let statuses = thread::scope(|scope| {
        let clients: Vec<_> = (0..40)
            .map(|_| {
                scope.spawn(|| {
                    let mut statuses = Vec::new();
                    while !stop.load(Ordering::Relaxed) {
                        statuses.push(scene.client.get("/").status);
                        thread::sleep(Duration::from_millis(2));
                    }
                    statuses
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(600));
        let (status, answer) = post(&scene, "/control/active?monitor=app&pool=green");
        assert_eq!(status, 200);
        assert_eq!(answer, json!({ "monitor": "app", "active_pool": "green", "previous": "blue", "changed": true }));
        thread::sleep(Duration::from_millis(1500));
        stop.store(true, Ordering::Relaxed);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect::<Vec<u16>>()
    });
    assert!(statuses.len() > 200 && statuses.iter().all(|status| *status == 200), "{} requests", statuses.len());
    let blue_requests = scene.blue.requests();
    scene.client.get_many(20, "/");
    assert_eq!(scene.blue.requests(), blue_requests, "every worker routes to green");
    let monitor = scene.monitor();
    assert_eq!(
        (&monitor["active_pool"], &monitor["serving_pool"], &monitor["state"]),
        (&"green".into(), &"green".into(), &"ok".into())
    );
    scene.assert_told(&[SWITCHED]);
    assert_eq!(scene.nginx.log_lines("active pool changed from blue").len(), 1);

    scene.reload_with(&ROUTED);
    scene.client.get_many(5, "/");
    assert_eq!(scene.monitor()["active_pool"], "green", "a reload keeps it");
    scene.reload_with(&Setup { rules: "", ..ROUTED });
    scene.reload_with(&ROUTED);
    assert_eq!(scene.monitor()["active_pool"], "blue", "a changed setting ends it");
}

#[test]
fn a_switch_to_the_pool_that_took_over_ends_the_failover() {
    let scene = Scene::start(&ROUTED);
    scene.client.get_many(5, "/");
    scene.blue.set_status(500);
    scene.client.get_many(5, "/");
    scene.sink.wait_for(1, Duration::from_secs(5));
    assert_eq!(post(&scene, "/control/active?monitor=app&pool=green").0, 200);
    // The sink may get both in one digest, so the status says what was told.
    let told = || -> Vec<(String, bool)> {
        let alerts = scene.status()["alerts"].as_array().cloned().unwrap_or_default();
        let text = |alert: &Value| alert["text"].as_str().unwrap_or_default().to_owned();
        alerts.iter().rev().map(|alert| (text(alert), alert["delivery"]["slack"] == "sent")).collect()
    };
    let expected = [
        "Failover detected — pool changed from blue → green",
        "Switched — active pool changed from blue → green",
        "Failover is over — pool green is the active one now",
    ];
    wait::until("all three to be sent", Duration::from_secs(10), || {
        told() == expected.map(|text| (text.to_owned(), true))
    });
    assert_eq!(scene.monitor()["rules"]["failover"]["state"], "cooldown");
}

#[test]
fn maintenance_holds_for_all_workers_survives_a_reload_and_ends() {
    let mut scene = Scene::start(&ROUTED);
    scene.client.get_many(5, "/");
    let (status, answer) = post(&scene, "/control/maintenance?monitor=app&on=1&for=30m");
    assert_eq!((status, &answer["maintenance"]), (200, &true.into()));
    scene.reload_with(&ROUTED);
    scene.blue.set_status(500);
    scene.client.get_many(8, "/");
    scene.sink.assert_quiet_for(Duration::from_millis(300));
    let monitor = scene.monitor();
    assert_eq!((&monitor["state"], &monitor["maintenance"]), (&"maintenance".into(), &true.into()));
    assert_eq!(monitor["maintenance_until"], answer["until"]);
    assert_eq!(post(&scene, "/control/maintenance?monitor=app&on=0").0, 200);
    scene.sink.wait_for(1, Duration::from_secs(5));
    assert_eq!(scene.sink.headlines()[0], ":rotating_light: Failover detected — pool changed from blue → green");

    post(&scene, "/control/maintenance?monitor=app&on=1&for=1s");
    assert_eq!(scene.monitor()["maintenance"], true);
    wait::until("the end of maintenance", Duration::from_secs(5), || scene.monitor()["maintenance"] == false);
    wait::until("a line about it", Duration::from_secs(5), || {
        scene.nginx.log_lines("the time of the maintenance of monitor \"app\" is over").len() == 1
    });
}

#[test]
fn a_test_alert_reports_what_each_sink_answered() {
    let notify = "alert_notify slack {sink}; alert_notify slack {sink} name=second;";
    let scene = Scene::start(&Setup { notify, ..ROUTED });
    scene.sink.queue(Answer::Reply(Reply::new(404, "no_service")), 1);
    let (status, answer) = post(&scene, "/control/test?monitor=app");
    assert_eq!(status, 200);
    let results: Vec<&str> =
        ["slack", "second"].iter().filter_map(|name| answer["sinks"][name]["result"].as_str()).collect();
    assert!(results.contains(&"sent") && results.contains(&"failed"), "{answer}");
    let failed = answer["sinks"].as_object().unwrap().values().find(|sink| sink["result"] == "failed").unwrap();
    assert!(failed["error"].as_str().is_some_and(|error| error.contains("404")), "{answer}");
    assert!(!answer.to_string().contains(tests::sink::SECRET));
    assert_eq!(scene.sink.headlines()[0], ":information_source: Test alert — monitor app can reach you");
}

#[test]
fn a_sink_that_hangs_holds_up_neither_the_answer_nor_the_worker() {
    let scene = Scene::start(&Setup { workers: 1, ..ROUTED });
    scene.sink.set(Answer::Hang);
    thread::scope(|scope| {
        // Clients that go away meanwhile leave nothing behind. There is one test alert a second.
        for _ in 0..3 {
            let mut connection = scene.client.connect().unwrap();
            connection.write(&Request::new("POST", "/control/test?monitor=app")).unwrap();
            thread::sleep(Duration::from_millis(1050));
        }
        let started = Instant::now();
        let waiting = scope.spawn(|| post(&scene, "/control/test?monitor=app"));
        while !waiting.is_finished() {
            let (reply, took) = scene.client.time("/");
            assert!(reply.status == 200 && took < Duration::from_secs(1), "the worker stalls: {took:?}");
            thread::sleep(Duration::from_millis(20));
        }
        let (status, answer) = waiting.join().unwrap();
        assert!(started.elapsed() < Duration::from_secs(11), "{:?}", started.elapsed());
        assert_eq!((status, &answer["sinks"]["slack"]["result"]), (200, &"pending".into()));
    });
}

#[test]
fn anything_wrong_is_told_and_changes_nothing() {
    let scene = Scene::start(&ROUTED);
    for (target, status, part) in [
        ("/control/", 404, "the commands are"),
        ("/control/maintenance", 400, "monitor"),
        ("/control/maintenance?monitor=app&on=2", 400, "expected 1 or 0"),
        ("/control/active?monitor=app&pool=red", 404, "blue, green"),
        ("/control/active?monitor=nobody&pool=blue", 404, "the monitors are: app"),
    ] {
        let (found, answer) = post(&scene, target);
        assert_eq!(found, status, "{target}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains(part)), "{target}: {answer}");
    }
    for method in ["GET", "PUT", "DELETE"] {
        let reply = scene.client.send(&Request::new(method, "/control/maintenance?monitor=app&on=1"));
        assert_eq!((reply.status, reply.get("Allow")), (405, Some("OPTIONS, POST")), "{method}");
        assert!(json_of(&reply)["error"].is_string());
    }
    let options = scene.client.send(&Request::new("OPTIONS", "/control/maintenance?monitor=app&on=1"));
    assert_eq!((options.status, options.get("Allow"), options.body.len()), (204, Some("OPTIONS, POST"), 0));
    assert_eq!(scene.monitor()["maintenance"], false);
}

#[test]
fn a_page_of_another_site_changes_nothing() {
    let scene = Scene::start(&ROUTED);
    let send = |headers: &[(&str, &str)]| {
        let request = Request::new("POST", "/control/maintenance?monitor=app&on=1");
        let reply =
            scene.client.send(&headers.iter().fold(request, |request, (name, value)| request.header(name, value)));
        assert_eq!(reply.get("X-Content-Type-Options"), Some("nosniff"), "{headers:?}");
        (reply.status, json_of(&reply))
    };
    for headers in [
        &[("Origin", "http://evil.example")][..],
        &[("oRiGiN", "http://evil.example")],
        &[("Origin", "null")],
        &[("Origin", "http://app.example:8080")],
        &[("Origin", "http://app.example"), ("Origin", "http://evil.example")],
        &[("Host", "app.example:8080"), ("Origin", "http://app.example")],
        &[("Sec-Fetch-Site", "cross-site")],
        &[("sec-fetch-site", "SAME-SITE")],
        &[("Sec-Fetch-Site", "same-origin"), ("Sec-Fetch-Site", "cross-site")],
    ] {
        let (status, answer) = send(headers);
        assert_eq!((status, answer["error"].is_string()), (403, true), "{headers:?}");
    }
    assert_eq!(scene.monitor()["maintenance"], false);
    for headers in [
        &[("Origin", "http://app.example")][..],
        &[("Host", "APP.example:8080"), ("Origin", "http://app.example:8080"), ("Sec-Fetch-Site", "same-origin")],
        &[("Sec-Fetch-Site", "none")],
    ] {
        assert_eq!(send(headers).0, 200, "{headers:?}");
        assert_eq!(scene.monitor()["maintenance"], true, "{headers:?}");
        assert_eq!(post(&scene, "/control/maintenance?monitor=app&on=0").0, 200);
    }
}

#[test]
fn a_path_that_only_begins_as_the_location_does_is_no_command_and_no_document() {
    let scene = Scene::start(&Setup { server: "location /control { alert_control; }", ..ROUTED });
    let (status, answer) = post(&scene, "/controlmaintenance?monitor=app&on=1");
    assert_eq!((status, answer["error"].is_string()), (404, true));
    assert_eq!(scene.monitor()["maintenance"], false);
    assert_eq!(post(&scene, "/control/maintenance?monitor=app&on=1").0, 200);
    assert_eq!([scene.client.get("/alertmetrics").status, scene.client.get("/alert/metrics").status], [404, 200]);
}

#[test]
fn the_variables_say_how_traffic_stands() {
    let scene = Scene::start(&ROUTED);
    let says = |target: &str| scene.client.get(target).get("X-Alert").unwrap_or_default().to_owned();
    assert_eq!(says("/"), "blue/blue/ok");
    scene.blue.set_status(500);
    scene.client.get_many(4, "/");
    wait::until("the failover", Duration::from_secs(5), || says("/") == "blue/green/failed_over");
    post(&scene, "/control/maintenance?monitor=app&on=1");
    assert_eq!(says("/"), "blue/green/maintenance");
    assert_eq!(says("/unwatched"), "//");
}
