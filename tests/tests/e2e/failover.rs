//! When another pool takes over and when the active one is back: once, at the second request, and never for noise.

use std::thread;
use std::time::{Duration, Instant};

use tests::http::{Reply, Request};
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::upstream::Upstream;

const FAILOVER: &str = ":rotating_light: Failover detected — pool changed from blue → green";
const FAILBACK: &str = ":white_check_mark: Recovered — pool is back from green → blue";

/// Keeps requests coming until so many messages are there, and returns how long that took.
#[track_caller]
fn traffic_until_told(scene: &Scene, messages: usize, limit: Duration) -> Duration {
    let start = Instant::now();
    while scene.sink.posts().len() < messages {
        assert!(start.elapsed() < limit, "{messages} messages not within {limit:?}: {:?}", scene.sink.headlines());
        assert_eq!(scene.client.get("/").status, 200);
        thread::sleep(Duration::from_millis(50));
    }
    start.elapsed()
}

/// Keeps requests coming for a while.
fn traffic_for(scene: &Scene, duration: Duration) {
    let start = Instant::now();
    while start.elapsed() < duration {
        assert_eq!(scene.client.get("/").status, 200);
        thread::sleep(Duration::from_millis(50));
    }
}

fn whole_story(setup: &Setup, break_blue: impl Fn(&Scene), mend_blue: impl Fn(&Scene)) {
    let scene = Scene::start(setup);
    scene.client.get_many(20, "/");
    scene.wait_filled(20);

    break_blue(&scene);
    let reply = scene.client.get("/");
    assert_eq!((reply.status, reply.get("X-App-Pool")), (200, Some("green")));
    scene.wait_filled(21);
    scene.assert_told(&[]);
    scene.client.get("/");
    scene.assert_told(&[FAILOVER]);
    scene.client.get_many(20, "/");
    scene.wait_filled(42);
    scene.assert_told(&[FAILOVER]);
    let failover = scene.sink.posts()[0].text().to_owned();
    for part in ["app", "blue", "green", "v1", "v2", "2 retries absorbed, 0 errors reached users"] {
        assert!(failover.contains(part), "{part:?} is missing in {failover}");
    }

    mend_blue(&scene);
    let took = traffic_until_told(&scene, 2, Duration::from_secs(8));
    assert!(took >= Duration::from_millis(1900), "ten successes over less than 2 s ({took:?}) are not steady");
    scene.assert_told(&[FAILOVER, FAILBACK]);
    scene.client.get_many(20, "/");
    scene.assert_told(&[FAILOVER, FAILBACK]);
}

#[test]
fn a_failover_and_its_failback_are_told_once_each_with_one_worker() {
    whole_story(&Setup::default(), |scene| scene.blue.set_status(500), |scene| scene.blue.set_status(200));
}

#[test]
fn a_failover_and_its_failback_are_told_once_each_with_4_workers() {
    let setup = Setup { workers: 4, ..Setup::default() };
    whole_story(&setup, |scene| scene.blue.go_away(), |scene| scene.blue.come_back());
}

#[test]
fn pools_that_only_a_header_names_fail_over_too() {
    // A refused connection has no header: what earlier answers taught about the address must do.
    let setup = Setup { pools: "", workers: 4, ..Setup::default() };
    whole_story(&setup, |scene| scene.blue.go_away(), |scene| scene.blue.come_back());
}

#[test]
fn a_dead_primary_is_noticed_whatever_way_it_dies() {
    for answer in
        [Answer::Close, Answer::Reset, Answer::Raw(b"HTTP/1.1 200 OK\r\nbroken\x01header\r\n\r\n"), Answer::Hang]
    {
        let scene =
            Scene::start(&Setup { location: "proxy_pass http://app; proxy_read_timeout 200ms;", ..Setup::default() });
        scene.client.get_many(3, "/");
        scene.blue.set(answer.clone());
        assert_eq!(scene.client.get_many(2, "/"), [200; 2], "{answer:?}");
        scene.assert_told(&[FAILOVER]);
    }
}

#[test]
fn a_single_hiccup_is_no_failover() {
    let scene = Scene::start(&Setup { workers: 4, ..Setup::default() });
    scene.client.get_many(10, "/");
    for _ in 0..5 {
        scene.blue.queue_status(502, 1);
        assert_eq!(scene.client.get("/").get("X-App-Pool"), Some("green"));
        assert_eq!(scene.client.get("/").get("X-App-Pool"), Some("blue"));
        scene.client.get_many(8, "/");
    }
    let monitor = scene.wait_filled(60);
    scene.assert_told(&[]);
    assert_eq!(monitor["window"]["retried"], 5);
    assert_eq!(monitor["window"]["failed"], 0);
}

#[test]
fn hiccups_between_answers_of_the_primary_are_no_failover_whichever_worker_sees_them() {
    let scene = Scene::start(&Setup { workers: 4, rules: "retry_rate off;", ..Setup::default() });
    scene.client.get_many(20, "/");
    for _ in 0..80 {
        scene.blue.queue_status(500, 1);
        assert_eq!(scene.client.get("/").get("X-App-Pool"), Some("green"));
        assert_eq!(scene.client.get("/").get("X-App-Pool"), Some("blue"));
    }
    scene.wait_filled(180);
    scene.assert_told(&[]);
}

#[test]
fn hiccups_of_a_primary_that_shares_its_traffic_with_a_canary_are_no_failover() {
    let upstream = "zone app 64k; server {blue} weight=3 max_fails=0; server {green} max_fails=0;";
    let scene = Scene::start(&Setup { workers: 2, upstream, rules: "retry_rate off;", ..Setup::default() });
    scene.client.get_many(100, "/");
    for _ in 0..40 {
        scene.blue.queue_status(500, 1);
        scene.client.get_many(5, "/");
    }
    scene.wait_filled(200);
    scene.assert_told(&[]);
    scene.blue.set_status(500);
    scene.client.get_many(40, "/");
    scene.assert_told(&[FAILOVER]);
}

#[test]
fn clients_that_send_much_at_once_to_the_pool_of_their_key_are_no_failover() {
    let upstream = "hash $uri; server {blue} max_fails=0; server {green} max_fails=0;";
    let scene = Scene::start(&Setup { workers: 2, upstream, rules: "retry_rate off;", ..Setup::default() });
    let keys: Vec<String> = (0..60).map(|key| format!("/{key}")).collect();
    keys.iter().for_each(|key| _ = scene.client.get(key));
    for key in &keys[..8] {
        assert_eq!(scene.client.get_many(40, key), [200; 40]);
    }
    scene.wait_answered(60 + 8 * 40);
    scene.assert_told(&[]);
    scene.blue.set_status(500);
    keys.iter().chain(&keys).chain(&keys).chain(&keys).for_each(|key| _ = scene.client.get(key));
    scene.assert_told(&[FAILOVER]);
}

#[test]
fn a_failover_of_pools_that_send_their_clients_on_to_a_storage_is_told() {
    let storage = Upstream::start("storage", "v1");
    storage.set_headers(&[]);
    let server = format!("location = /stored {{ internal; proxy_pass http://{}; }}", storage.address());
    let scene = Scene::start(&Setup { workers: 2, server: &server, rules: "active blue;", ..Setup::default() });
    for pool in [&scene.blue, &scene.green] {
        pool.set(Answer::Reply(Reply::new(200, "").header("X-Accel-Redirect", "/stored")));
    }
    assert_eq!(scene.client.get_many(30, "/"), [200; 30]);
    scene.wait_filled(30);
    scene.assert_told(&[]);
    scene.blue.go_away();
    assert_eq!(scene.client.get_many(2, "/"), [200; 2]);
    scene.assert_told(&[FAILOVER]);
}

#[test]
fn workers_that_disagree_are_one_failover() {
    // Without a zone each worker finds out for itself that blue is dead, and tries it again once a second.
    let scene = Scene::start(&Setup {
        workers: 4,
        upstream: "server {blue} max_fails=1 fail_timeout=1s; server {green} backup;",
        ..Setup::default()
    });
    scene.client.get_many(20, "/");
    scene.wait_filled(20);
    scene.blue.set_status(503);
    traffic_for(&scene, Duration::from_millis(2500));
    scene.assert_told(&[FAILOVER]);
    scene.blue.set_status(200);
    traffic_until_told(&scene, 2, Duration::from_secs(10));
    scene.client.get_many(20, "/");
    scene.assert_told(&[FAILOVER, FAILBACK]);
}

#[test]
fn a_primary_that_answers_now_and_then_is_no_failback() {
    let scene = Scene::start(&Setup::default());
    scene.client.get_many(5, "/");
    scene.blue.set_status(500);
    scene.client.get_many(3, "/");
    scene.assert_told(&[FAILOVER]);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(3) {
        scene.blue.queue_status(200, 3);
        scene.client.get_many(5, "/");
        thread::sleep(Duration::from_millis(100));
    }
    scene.assert_told(&[FAILOVER]);
}

#[test]
fn posts_that_fail_beside_gets_that_are_retried_are_one_failover() {
    let scene = Scene::start(&Setup { workers: 2, rules: "error_rate off;", ..Setup::default() });
    scene.client.get_many(10, "/");
    scene.blue.set_status(500);
    for _ in 0..10 {
        assert_eq!(scene.client.get("/").status, 200);
        assert_eq!(scene.client.send(&Request::new("POST", "/").body("order")).status, 500);
    }
    scene.wait_filled(30);
    scene.assert_told(&[FAILOVER]);
    assert_eq!(scene.monitor()["window"]["failed"], 10);
}

#[test]
fn a_start_on_the_wrong_pool_is_told_at_the_20th_answer() {
    let scene =
        Scene::start(&Setup { workers: 4, rules: "active blue;", upstream: "server {green};", ..Setup::default() });
    scene.client.get_many(19, "/");
    scene.wait_filled(19);
    scene.assert_told(&[]);
    scene.client.get("/");
    scene.assert_told(&[FAILOVER]);
    let text = scene.sink.posts()[0].text().to_owned();
    assert!(text.contains("no failure"), "{text}");
}

#[test]
fn without_a_setting_the_first_pool_seen_is_the_active_one() {
    let scene = Scene::start(&Setup { upstream: "server {green};", ..Setup::default() });
    scene.client.get_many(30, "/");
    let monitor = scene.wait_filled(30);
    scene.assert_told(&[]);
    assert_eq!(monitor["serving_pool"], "green");
}

#[test]
fn a_client_cannot_name_a_pool() {
    let scene = Scene::start(&Setup { pools: "", ..Setup::default() });
    scene.blue.set_headers(&[]);
    for _ in 0..30 {
        let reply = scene.client.send(&Request::new("GET", "/").header("X-App-Pool", "evil"));
        assert_eq!(reply.status, 200);
    }
    let monitor = scene.wait_filled(30);
    assert!(!monitor.to_string().contains("evil"), "{monitor:#}");
    scene.assert_told(&[]);
}

#[test]
fn an_unknown_pool_is_no_failover() {
    let scene = Scene::start(&Setup { pools: "pool blue {blue};", ..Setup::default() });
    scene.green.set_headers(&[]);
    scene.client.get_many(5, "/");
    scene.blue.set_status(500);
    scene.client.get_many(30, "/");
    scene.wait_filled(35);
    assert!(!scene.sink.headlines().iter().any(|line| line.contains("Failover")), "{:?}", scene.sink.headlines());
}

#[test]
fn a_second_round_trip_within_the_cooldown_is_held_back_whole() {
    let scene = Scene::start(&Setup::default());
    scene.client.get_many(5, "/");
    scene.blue.set_status(500);
    scene.client.get_many(2, "/");
    scene.assert_told(&[FAILOVER]);
    scene.blue.set_status(200);
    traffic_until_told(&scene, 2, Duration::from_secs(8));

    scene.blue.set_status(500);
    scene.client.get_many(5, "/");
    scene.blue.set_status(200);
    traffic_for(&scene, Duration::from_secs(3));
    scene.assert_told(&[FAILOVER, FAILBACK]);
    assert_eq!(scene.monitor()["serving_pool"], "blue");
}

#[test]
fn a_cooldown_of_one_kind_hides_no_other_kind() {
    let scene = Scene::start(&Setup::default());
    scene.client.get_many(5, "/");
    scene.blue.set_status(500);
    scene.client.get_many(2, "/");
    scene.assert_told(&[FAILOVER]);
    scene.green.set_status(500);
    scene.client.get_many(5, "/");
    scene.sink.wait_for(2, Duration::from_secs(5));
    assert!(scene.sink.headlines()[1].starts_with(":warning: High upstream 5xx rate"), "{:?}", scene.sink.headlines());
}
