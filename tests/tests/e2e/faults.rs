//! Whatever is broken beside a request (a sink, its name, a thread of the module), the request does not notice.

use std::time::{Duration, Instant};

use tests::debugger::Stopped;
use tests::http::Request;
use tests::nginx::STOPPED;
use tests::preload;
use tests::process::{self, Signal};
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::wait;

const LIMIT: Duration = Duration::from_secs(5);
const OUTAGE: &str = ":warning: High upstream 5xx rate — ";
/// Alerts that the board keeps.
const BOARD: u64 = 128;
/// Requests that wait for the detector of a worker at most: in its ring, and as many in its channel.
const ROOM: u64 = 2 * 4096;

/// The value of a metric without labels.
fn metric(scene: &Scene, name: &str) -> Option<u64> {
    let metrics = scene.client.get("/alert/metrics").text();
    metrics.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[test]
fn a_hung_sink_keeps_no_request_waiting() {
    let scene = Scene::start(&Setup { workers: 2, ..Setup::default() });
    scene.sink.set(Answer::Hang);
    scene.fail(6);
    scene.sink.wait_for(1, LIMIT);
    // Workers may count in another order than they answer.
    scene.wait_filled(6);
    scene.blue.set_status(200);
    assert!(scene.client.get_concurrently(4, 50, "/").iter().all(|status| *status == 200));
    wait::until("the last request", LIMIT, || scene.monitor()["window"]["failed"] == 0);
    // Its outage and the end of it.
    wait::until("both alerts to wait", LIMIT, || scene.status()["sinks"]["slack"]["pending"] == 2);
}

/// A name server that is gone: every lookup of a name takes half a minute.
const SLOW_RESOLVER: &str = "#include <netdb.h>\n#include <unistd.h>\n
    int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **found)
    { sleep(30); return EAI_AGAIN; }";

#[test]
fn a_name_server_that_is_gone_delays_no_request_no_other_sink_and_no_stop() {
    let directory = tempfile::tempdir().unwrap();
    let library = preload::library(directory.path(), "slow", SLOW_RESOLVER).display().to_string();
    let notify = "alert_notify slack http://sink.invalid/hook name=lost timeout=1s; alert_notify slack {sink};";
    let mut scene = Scene::start_with(&Setup { workers: 2, notify, ..Setup::default() }, |config| {
        config.env = vec![("LD_PRELOAD".into(), library)];
    });
    scene.fail(6);
    scene.sink.wait_for(1, LIMIT);
    wait::until("the complaint", LIMIT, || scene.nginx.log_lines("looking up sink.invalid").len() == 1);
    scene.blue.set_status(200);
    assert!(scene.client.get_concurrently(4, 50, "/").iter().all(|status| *status == 200));
    scene.wait_filled(200);
    wait::until("the end of it at the other sink", LIMIT, || scene.sink.posts().len() == 2);
    let (old, start) = (scene.nginx.workers(), Instant::now());
    scene.nginx.reload();
    process::wait_gone(&old);
    assert!(start.elapsed() < STOPPED, "took {:?}", start.elapsed());
    wait::until("another try", LIMIT, || scene.status()["sinks"]["lost"]["retried"].as_u64() > Some(1));
    let took = scene.nginx.stop(Signal::TERM);
    assert!(took < STOPPED, "took {took:?}");
}

#[test]
fn a_detector_that_stalls_costs_counted_events_and_no_request() {
    let scene = Scene::start(&Setup { server: "keepalive_requests 100000;", ..Setup::default() });
    scene.client.get_many(10, "/");
    scene.wait_filled(10);
    let stalled = Stopped::thread(scene.nginx.workers()[0], "alert-detector");
    let mut connection = scene.client.connect().unwrap();
    let sent = ROOM + 100;
    for _ in 0..sent {
        assert_eq!(connection.send(&Request::new("GET", "/")).unwrap().status, 200);
    }
    let dropped = || metric(&scene, "nginx_alert_events_dropped_total");
    assert_eq!(dropped(), Some(sent - ROOM));
    drop(stalled);
    scene.wait_answered(10 + ROOM);
    wait::until("the worker in the status", LIMIT, || scene.status()["workers"][0]["dropped"] == sent - ROOM);
    scene.fail(6);
    scene.assert_told_once(OUTAGE);
    assert_eq!(dropped(), Some(sent - ROOM));
}

#[test]
fn the_other_workers_alert_while_the_detector_of_one_stalls_and_it_stops_in_time() {
    let mut scene = Scene::start(&Setup { workers: 2, http: "alert_state own/state;", ..Setup::default() });
    let _stalled = Stopped::thread(scene.nginx.workers()[0], "alert-detector");
    // The kernel spreads connections, so that either worker gets more than enough.
    scene.fail(60);
    scene.assert_told_once(OUTAGE);
    // It waits for the thread as long as it may; nginx kills workers that take three seconds.
    let took = scene.nginx.stop(Signal::TERM);
    assert!(took < Duration::from_millis(2500), "took {took:?}");
}

#[test]
fn a_worker_that_can_start_no_threads_or_too_few_serves_all_the_same() {
    // A user that runs nothing else: the limit counts all of its processes and threads.
    let setup = Setup { http: "alert_state own/state;", ..Setup::default() };
    let mut scene = Scene::start_with(&setup, |config| config.user = "games games");
    scene.nginx.expect_in_log("cannot start its threads, requests go on unwatched");
    // The worker itself is one.
    process::limit_threads(scene.nginx.master(), Some(1));
    let old = scene.nginx.workers();
    scene.nginx.reload();
    process::wait_gone(&old);
    wait::until("the complaint", LIMIT, || scene.nginx.log_lines("requests go on unwatched").len() == 1);
    assert_eq!(scene.client.get_many(20, "/"), [200; 20]);
    assert_eq!(scene.client.get("/alert/status.json").status, 503);
    // With a detector, and nobody whom it could start.
    process::limit_threads(scene.nginx.master(), Some(2));
    scene.nginx.kill_workers();
    scene.fail(6);
    for work in ["save the state", "deliver to slack"] {
        let complaint = format!("cannot start a thread to {work}: ");
        wait::until("the complaint", LIMIT, || scene.nginx.log_lines(&complaint).len() == 1);
    }
    assert_eq!((process::threads(scene.nginx.workers()[0]), scene.sink.posts().len()), (2, 0));
    process::limit_threads(scene.nginx.master(), None);
    scene.nginx.reload();
    scene.assert_told_once(OUTAGE);
    scene.wait_saved("own/state");
}

#[test]
fn more_alerts_than_the_board_keeps_are_counted_and_cost_no_request() {
    // Each monitor tells one that is worth keeping.
    const MONITORS: u64 = BOARD + 12;
    let each = |text: fn(u64) -> String| (0..MONITORS).map(text).collect::<String>();
    let http = each(|at| format!("alert_monitor m{at} {{ window 10; failover off; }} "));
    let server = each(|at| format!("location /m{at} {{ alert m{at}; proxy_pass http://app; }} "));
    let setup = Setup { workers: 2, http: &format!("alert_zone zone=alert:16m; {http}"), ..Setup::default() };
    let scene = Scene::start(&Setup { server: &server, ..setup });
    scene.sink.go_away();
    scene.fail(0);
    for at in 0..MONITORS {
        assert_eq!(scene.client.get(&format!("/m{at}")).status, 500);
    }
    wait::until("the alerts that made room", LIMIT, || metric(&scene, "nginx_alert_alerts_lost_total") == Some(12));
    wait::until("a line about them", LIMIT, || scene.nginx.log_lines("undelivered alerts were dropped").len() == 1);
    assert_eq!(scene.status()["sinks"]["slack"]["pending"], BOARD);
    scene.sink.come_back();
    // Each message takes as many as it has room for, and there is one a second.
    let pending = || scene.status()["sinks"]["slack"]["pending"] == 0;
    wait::until("their delivery", Duration::from_secs(30), pending);
    let told = scene.sink.headlines();
    let alerts =
        |headline: &String| headline.split_once(" alerts").and_then(|(count, _)| count.parse().ok()).unwrap_or(1);
    assert_eq!(told.iter().map(alerts).sum::<u64>(), BOARD, "{told:?}");
}
