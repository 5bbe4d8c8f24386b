//! The status location: what it serves, to which methods, and that its figures are those of all workers.

use serde_json::Value;
use tests::http::Request;
use tests::scene::{Scene, Setup};

#[track_caller]
fn assert_keys(value: &Value, keys: &[&str]) {
    for key in keys {
        assert!(value.get(key).is_some(), "{key:?} is missing in {value:#}");
    }
}

#[test]
fn the_json_has_the_keys_of_the_contract() {
    let scene = Scene::start(&Setup { workers: 2, ..Setup::default() });
    scene.client.get_many(10, "/");
    let monitor = scene.wait_filled(10);
    let status = scene.status();
    assert_keys(
        &status,
        &["version", "nginx", "instance", "labels", "uptime_seconds", "workers", "monitors", "alerts", "sinks"],
    );
    assert!(status["uptime_seconds"].as_u64() < Some(60), "{}", status["uptime_seconds"]);
    let mut pids: Vec<_> = scene.nginx.workers();
    pids.sort_unstable();
    let workers = status["workers"].as_array().expect("a list of workers");
    let mut told: Vec<_> = workers.iter().filter_map(|worker| worker["pid"].as_u64()).map(|pid| pid as u32).collect();
    told.sort_unstable();
    assert_eq!(told, pids);
    for worker in workers {
        assert_keys(worker, &["pid", "events", "dropped", "queue_depth"]);
        assert_eq!(worker["dropped"], 0);
    }
    assert_eq!(workers.iter().filter_map(|worker| worker["events"].as_u64()).sum::<u64>(), 10);

    assert_keys(
        &monitor,
        &["state", "active_pool", "serving_pool", "maintenance", "window", "pools", "rules", "unmatched"],
    );
    assert_eq!((&monitor["state"], &monitor["maintenance"]), (&"ok".into(), &false.into()));
    assert_eq!((&monitor["active_pool"], &monitor["serving_pool"]), (&"blue".into(), &"blue".into()));
    let window = &monitor["window"];
    assert_keys(window, &["size", "filled", "failed", "retried", "abandoned", "error_rate", "retry_rate"]);
    assert_eq!((&window["size"], &window["failed"]), (&200.into(), &0.into()));
    let blue = &monitor["pools"]["blue"];
    assert_keys(blue, &["answered", "failed_requests", "failed_attempts", "causes", "release", "last_seen"]);
    assert_eq!((&blue["answered"], &blue["release"]), (&10.into(), &"v1".into()));
    let seen = blue["last_seen"].as_str().unwrap_or_default();
    assert!(seen.len() == "2026-01-01T00:00:00.000Z".len() && seen.ends_with('Z'), "{seen}");
}

#[test]
fn the_figures_are_the_same_whatever_the_number_of_workers() {
    let figures = |workers| {
        // Retries while failed over would not count.
        let scene = Scene::start(&Setup { workers, rules: "window 40; failover off;", ..Setup::default() });
        scene.client.get_many(20, "/");
        scene.blue.queue_status(500, 6);
        scene.client.get_many(12, "/");
        for _ in 0..4 {
            scene.blue.queue_status(500, 1);
            scene.green.queue_status(502, 1);
            scene.client.get_many(2, "/");
        }
        let monitor = scene.wait_filled(40);
        let window = monitor["window"].clone();
        assert_eq!((&window["failed"], &window["retried"]), (&4.into(), &6.into()), "{window}");
        assert_eq!((&window["error_rate"], &window["retry_rate"]), (&0.1.into(), &0.15.into()), "{window}");
        let pools = &monitor["pools"];
        let count = |pool: &str, key: &str| pools[pool][key].as_u64();
        assert_eq!((count("blue", "answered"), count("blue", "failed_attempts")), (Some(30), Some(10)), "{pools:#}");
        assert_eq!((count("green", "answered"), count("green", "failed_attempts")), (Some(6), Some(4)), "{pools:#}");
        assert_eq!(
            (count("blue", "failed_requests"), count("green", "failed_requests")),
            (Some(0), Some(4)),
            "{pools:#}"
        );
        assert_eq!(pools["blue"]["causes"]["status"], 10, "{pools:#}");
        window
    };
    let (one, four) = (figures(1), figures(4));
    for key in ["size", "filled", "failed", "retried", "error_rate", "retry_rate"] {
        assert_eq!(one[key], four[key], "{key}");
    }
}

#[test]
fn the_location_serves_what_the_client_can_read() {
    let scene = Scene::start(&Setup { workers: 2, ..Setup::default() });
    for request in [
        Request::new("GET", "/alert/status.json"),
        Request::new("GET", "/alert").header("Accept", "application/json"),
        Request::new("GET", "/alert/").header("Accept", "application/json"),
    ] {
        let reply = scene.client.send(&request);
        assert_eq!(reply.status, 200, "{request:?}");
        let content_type = reply.get("Content-Type").unwrap_or_default();
        assert!(content_type.starts_with("application/json"), "{request:?}: {content_type}");
        serde_json::from_slice::<Value>(&reply.body).unwrap_or_else(|error| panic!("{request:?}: {error}"));
    }
}

#[test]
fn head_is_answered_without_a_body_and_other_methods_are_not_allowed() {
    let scene = Scene::start(&Setup::default());
    let mut connection = scene.client.connect().unwrap();
    let mut send = |method: &str| connection.send(&Request::new(method, "/alert/status.json")).unwrap();
    let head = send("HEAD");
    assert_eq!((head.status, head.body.len()), (200, 0));
    // A body after the HEAD would be taken for the start of the next answer.
    assert_eq!(send("GET").status, 200);
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        assert_eq!(scene.client.send(&Request::new(method, "/alert/status.json")).status, 405, "{method}");
    }
}

#[test]
fn other_paths_below_the_location_are_not_found() {
    let scene = Scene::start(&Setup::default());
    for path in ["/alert/nothing", "/alert/status.jso", "/alert/status.json/", "/alert/status.json2"] {
        assert_eq!(scene.client.get(path).status, 404, "{path}");
    }
    assert_eq!(scene.client.get("/alert/status.json?pretty").status, 200);
}

#[test]
fn looking_at_the_status_counts_nothing() {
    let scene = Scene::start(&Setup::default());
    for _ in 0..5 {
        scene.status();
    }
    scene.client.get("/");
    scene.wait_filled(1);
    assert_eq!(scene.status()["workers"][0]["events"], 1);
}

#[test]
fn the_secret_of_a_sink_is_not_shown() {
    let scene = Scene::start(&Setup::default());
    scene.sink.go_away();
    scene.blue.set_status(500);
    scene.green.set_status(500);
    scene.client.get_many(6, "/");
    scene.wait_filled(6);
    let status = scene.status().to_string();
    assert!(!status.contains(tests::sink::SECRET), "{status}");
    scene.sink.come_back();
    scene.sink.wait_for(1, std::time::Duration::from_secs(6));
    assert!(!scene.nginx.log().contains(tests::sink::SECRET), "{}", scene.nginx.log());
}

#[test]
fn documents_compress_with_the_gzip_of_nginx() {
    let gzip = "gzip on; gzip_proxied any; gzip_types text/plain application/json;";
    let scene = Scene::start(&Setup { http: gzip, ..Setup::default() });
    for path in ["/alert/", "/alert/metrics", "/alert/status.json"] {
        let request = Request::new("GET", path).header("Accept-Encoding", "gzip").header("Accept", "text/html");
        let reply = scene.client.send(&request);
        assert_eq!((reply.status, reply.get("Content-Encoding")), (200, Some("gzip")), "{path}");
    }
}

#[test]
fn the_state_says_that_a_rule_is_broken() {
    let scene = Scene::start(&Setup { rules: "window 20; failover off;", ..Setup::default() });
    scene.client.get_many(10, "/");
    assert_eq!(scene.wait_filled(10)["state"], "ok");
    scene.blue.set_status(500);
    scene.green.queue_status(500, 1);
    scene.client.get_many(1, "/");
    assert_eq!(scene.wait_filled(11)["rules"]["error_rate"]["state"], "firing", "one of twenty is more than 2 %");
    assert_eq!(scene.monitor()["state"], "firing");
}
