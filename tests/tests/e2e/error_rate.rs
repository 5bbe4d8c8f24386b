//! When too many answers are errors: exactly at the limit, once for all workers, and resolved at half of it.

use std::time::Duration;

use tests::http::Request;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::upstream::Upstream;
use tests::wait;

/// Errors reach the users here: nothing is retried.
const NO_RETRY: &str = "proxy_pass http://app; proxy_next_upstream off;";

fn scene(workers: usize, rules: &str) -> Scene {
    Scene::start(&Setup { workers, rules, location: NO_RETRY, ..Setup::default() })
}

/// Sends 200 requests of which `failures`, spread evenly, fail; the last one does.
///
/// The detectors of several workers run side by side, so before the last request all others must be counted for the
/// figures in the message to be those of a full window.
fn send_200(scene: &Scene, failures: usize) {
    let each = 200 / failures;
    for failure in 1..=failures {
        let good = scene.client.get_many(each - 1, "/");
        assert!(good.iter().all(|status| *status == 200), "{good:?}");
        scene.wait_filled((failure * each - 1) as u64);
        scene.blue.queue_status(503, 1);
        assert_eq!(scene.client.get("/").status, 503);
    }
    scene.wait_filled(200);
}

fn five_of_200_fail(workers: usize) {
    let scene = scene(workers, "");
    send_200(&scene, 5);
    scene.assert_told(&[
        ":warning: High upstream 5xx rate — 2.50% 5xx over last 200 requests (5 errors). Threshold: 2%",
    ]);
    scene.assert_all_workers_took_part();
}

fn four_of_200_fail(workers: usize) {
    let scene = scene(workers, "");
    send_200(&scene, 4);
    scene.assert_told(&[]);
    assert_eq!(scene.monitor()["window"]["failed"], 4);
    scene.assert_all_workers_took_part();
}

#[test]
fn five_errors_among_200_requests_are_one_alert_with_one_worker() {
    five_of_200_fail(1);
}

#[test]
fn five_errors_among_200_requests_are_one_alert_with_4_workers() {
    five_of_200_fail(4);
}

#[test]
fn five_errors_among_200_requests_are_one_alert_with_16_workers() {
    five_of_200_fail(16);
}

#[test]
fn exactly_the_limit_is_silent_with_one_worker() {
    four_of_200_fail(1);
}

#[test]
fn exactly_the_limit_is_silent_with_4_workers() {
    four_of_200_fail(4);
}

#[test]
fn five_errors_at_once_in_4_workers_are_one_alert() {
    let scene = scene(4, "");
    scene.blue.queue_status(500, 40);
    let failed = scene.client.get_concurrently(8, 25, "/").into_iter().filter(|status| *status == 500).count();
    assert_eq!(failed, 40);
    scene.wait_filled(200);
    scene.sink.wait_for(1, Duration::from_secs(5));
    scene.sink.assert_quiet_for(Duration::from_millis(300));
    assert_eq!(scene.sink.posts().len(), 1, "{:?}", scene.sink.headlines());
}

#[test]
fn a_total_outage_is_told_at_the_fifth_request() {
    let scene = scene(4, "");
    scene.blue.go_away();
    assert_eq!(scene.client.get_many(4, "/"), [502; 4]);
    scene.wait_filled(4);
    scene.assert_told(&[]);
    assert_eq!(scene.client.get("/").status, 502);
    scene.assert_told(&[
        ":warning: High upstream 5xx rate — 100.00% 5xx over last 5 requests (5 errors). Threshold: 2%",
    ]);
    assert!(scene.sink.posts()[0].text().contains("5 of 5 requests"), "{}", scene.sink.posts()[0].text());
}

#[test]
fn both_pools_down_are_told_at_the_fifth_request() {
    let scene = Scene::start(&Setup { workers: 4, ..Setup::default() });
    scene.blue.go_away();
    scene.green.set_status(500);
    scene.client.get_many(4, "/");
    scene.wait_filled(4);
    scene.assert_told(&[]);
    assert_eq!(scene.client.get("/").status, 500);
    scene.assert_told(&[
        ":warning: High upstream 5xx rate — 100.00% 5xx over last 5 requests (5 errors). Threshold: 2%",
    ]);
}

#[test]
fn no_live_upstreams_are_errors_of_no_pool() {
    let scene = Scene::start(&Setup {
        upstream: "server {blue} max_fails=1 fail_timeout=60s; server {green} backup max_fails=1 fail_timeout=60s;",
        ..Setup::default()
    });
    scene.blue.go_away();
    scene.green.go_away();
    assert_eq!(scene.client.get_many(5, "/"), [502; 5]);
    assert!(!scene.nginx.log_lines("no live upstreams").is_empty());
    scene.assert_told(&[
        ":warning: High upstream 5xx rate — 100.00% 5xx over last 5 requests (5 errors). Threshold: 2%",
    ]);
    let monitor = scene.monitor();
    let pools: Vec<_> = monitor["pools"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    assert!(pools.iter().all(|name| ["blue", "green"].contains(name)), "{pools:?}");
}

#[test]
fn the_rate_resolves_at_half_of_the_limit() {
    let scene = scene(1, "window 20; error_rate 20%;");
    scene.blue.queue_status(500, 5);
    scene.client.get_many(5, "/");
    // The window fills up, and then each success pushes one error out: two are left after the 18th.
    scene.client.get_many(17, "/");
    scene.wait_answered(17);
    let fired = ":warning: High upstream 5xx rate — 100.00% 5xx over last 5 requests (5 errors). Threshold: 20%";
    scene.assert_told(&[fired]);
    assert_eq!(scene.monitor()["window"]["failed"], 3);
    scene.client.get("/");
    scene
        .assert_told(&[fired, ":white_check_mark: Upstream 5xx rate is back to normal — 10.00% over last 20 requests"]);
}

#[test]
fn a_second_incident_within_the_cooldown_is_held_back_and_so_is_its_resolve() {
    let scene = scene(2, "window 10; error_rate 20%;");
    let incident = || {
        scene.blue.queue_status(500, 3);
        // More than the window holds: the detectors of two workers may see the last error after the first successes.
        scene.client.get_many(3 + 15, "/");
    };
    incident();
    scene.sink.wait_for(2, Duration::from_secs(5));
    incident();
    scene.wait_answered(30);
    wait::until("a window without errors", Duration::from_secs(5), || scene.monitor()["window"]["failed"] == 0);
    scene.sink.assert_quiet_for(Duration::from_millis(1500));
    assert_eq!(scene.sink.posts().len(), 2, "{:?}", scene.sink.headlines());
    let rule = scene.monitor()["rules"]["error_rate"].take();
    assert!(rule.is_null() || rule["held_back"].as_u64() > Some(0), "{rule}");
}

#[test]
fn without_a_cooldown_every_incident_is_told() {
    let scene = scene(1, "window 10; error_rate 20%; cooldown 0s;");
    for incident in [0, 2] {
        scene.blue.queue_status(500, 3);
        scene.client.get_many(3, "/");
        scene.sink.wait_for(incident + 1, Duration::from_secs(5));
        scene.client.get_many(10, "/");
        scene.sink.wait_for(incident + 2, Duration::from_secs(5));
    }
    let headlines = scene.sink.headlines();
    assert!(headlines.iter().step_by(2).all(|line| line.starts_with(":warning: High upstream 5xx")), "{headlines:?}");
    assert!(headlines.iter().skip(1).step_by(2).all(|line| line.contains("back to normal")), "{headlines:?}");
}

#[test]
fn requests_that_nginx_does_not_retry_are_errors() {
    let scene = Scene::start(&Setup::default());
    scene.blue.set_status(500);
    for _ in 0..5 {
        assert_eq!(scene.client.send(&Request::new("POST", "/").body("order")).status, 500);
    }
    assert_eq!(scene.green.requests(), 0);
    scene.assert_told(&[
        ":warning: High upstream 5xx rate — 100.00% 5xx over last 5 requests (5 errors). Threshold: 2%",
    ]);
}

#[test]
fn clients_that_go_away_move_nothing() {
    let scene = Scene::start(&Setup::default());
    let abandon = |upstream: &Upstream| {
        for request in 1..=6 {
            scene.client.abandon("/", || {
                wait::until("the request at the upstream", Duration::from_secs(5), || upstream.requests() == request);
            });
        }
    };
    scene.blue.set(Answer::Hang);
    abandon(&scene.blue);
    // Here the first attempt fails and the client leaves during the second.
    scene.blue.set_status(500);
    scene.green.set(Answer::Hang);
    abandon(&scene.green);
    scene.blue.set_status(200);
    scene.client.get("/");
    scene.wait_answered(1);
    scene.assert_told(&[]);
    let window = scene.monitor()["window"].take();
    assert_eq!((&window["failed"], &window["retried"]), (&0.into(), &0.into()), "{window}");
}

#[test]
fn an_upstream_error_that_an_error_page_hides_is_a_retry() {
    let scene = Scene::start(&Setup {
        location: "proxy_pass http://app; proxy_next_upstream off; proxy_intercept_errors on;
                   error_page 500 502 = @other;",
        server: "location @other { proxy_pass http://{green}; }",
        ..Setup::default()
    });
    scene.blue.set_status(500);
    for _ in 0..6 {
        let reply = scene.client.get("/");
        assert_eq!((reply.status, reply.get("X-App-Pool")), (200, Some("green")));
    }
    let monitor = scene.wait_filled(6);
    let window = &monitor["window"];
    assert_eq!((&window["failed"], &window["retried"]), (&0.into(), &6.into()), "{window}");
    assert_eq!(monitor["pools"]["green"]["answered"], 6);
    assert_eq!(monitor["pools"]["blue"]["failed_attempts"], 6);
}

#[test]
fn an_error_that_x_accel_redirect_turns_into_a_local_answer_is_none() {
    let scene =
        Scene::start(&Setup { location: NO_RETRY, server: "location /local { return 200 here; }", ..Setup::default() });
    scene.blue.set_headers(&[("X-App-Pool", "blue"), ("X-Accel-Redirect", "/local")]);
    scene.blue.set_status(500);
    for _ in 0..6 {
        let reply = scene.client.get("/");
        assert_eq!((reply.status, reply.text().as_str()), (200, "here"));
    }
    scene.blue.set_headers(&[]);
    scene.blue.set_status(200);
    scene.client.get("/");
    scene.assert_told(&[]);
    assert_eq!(scene.monitor()["window"]["failed"], 0);
}

#[test]
fn x_accel_redirect_to_another_upstream_counts_what_that_one_did() {
    let scene = Scene::start(&Setup {
        location: NO_RETRY,
        server: "location /other { proxy_pass http://{green}; }",
        ..Setup::default()
    });
    scene.blue.set_headers(&[("X-App-Pool", "blue"), ("X-Accel-Redirect", "/other")]);
    scene.green.set_status(503);
    for _ in 0..5 {
        assert_eq!(scene.client.get("/").status, 503);
    }
    let monitor = scene.wait_filled(5);
    assert_eq!(monitor["window"]["failed"], 5);
    assert_eq!(monitor["pools"]["blue"]["failed_attempts"].as_u64().unwrap_or(0), 0);
    scene.assert_told(&[
        ":warning: High upstream 5xx rate — 100.00% 5xx over last 5 requests (5 errors). Threshold: 2%",
    ]);
}

#[test]
fn answers_without_an_upstream_attempt_are_not_counted() {
    let scene = Scene::start(&Setup {
        http: "proxy_cache_path cache keys_zone=answers:1m;",
        location: "proxy_pass http://app; proxy_cache answers; proxy_cache_valid 200 1h;",
        server: "location /return { return 500; } location /off { alert off; proxy_pass http://app; }",
        ..Setup::default()
    });
    assert_eq!(scene.client.get_many(5, "/"), [200; 5]);
    assert_eq!(scene.client.get_many(6, "/return"), [500; 6]);
    scene.blue.queue_status(500, 6);
    scene.green.queue_status(500, 6);
    assert_eq!(scene.client.get_many(6, "/off"), [500; 6]);
    assert_eq!(scene.client.get_many(2, "/?not-cached"), [200; 2]);
    assert_eq!(scene.blue.requests(), 8);
    let monitor = scene.wait_filled(2);
    assert_eq!(monitor["window"]["failed"], 0);
    scene.assert_told(&[]);
}
