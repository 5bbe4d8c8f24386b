//! Processes and threads: where they run, how fast they stop, and what a reload or a killed worker leaves behind.

use std::process::Command;
use std::time::{Duration, Instant};

use tests::nginx::{Config, Nginx, STOPPED};
use tests::process::{self, Signal};
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::{nginx, wait};

const OUTAGE: &str = ":warning: High upstream 5xx rate — 100.00% 5xx over last 5 requests (5 errors). Threshold: 2%";

fn outage(setup: &Setup) -> Scene {
    let scene = Scene::start(setup);
    scene.blue.set_status(500);
    scene.green.set_status(500);
    scene
}

#[test]
fn threads_run_in_workers_only() {
    let scene =
        Scene::start(&Setup { workers: 2, http: "proxy_cache_path cache keys_zone=answers:1m;", ..Setup::default() });
    assert_eq!(process::threads(scene.nginx.master()), 1);
    for worker in scene.nginx.workers() {
        assert!(process::threads(worker) > 1, "worker {worker} has no thread of the module");
    }
    let managers = scene.nginx.helpers("cache manager process");
    assert_eq!(managers.len(), 1);
    for helper in managers.into_iter().chain(scene.nginx.helpers("cache loader process")) {
        assert_eq!(process::threads(helper), 1, "{}", process::title(helper));
    }
    scene.nginx.reload();
    assert_eq!(process::threads(scene.nginx.master()), 1);
}

#[test]
fn an_nginx_that_watches_nothing_has_no_threads() {
    for http in [None, Some(String::new())] {
        let nginx = Nginx::start(Config { http, workers: 2, ..Config::new("") });
        for worker in nginx.workers() {
            assert_eq!(process::threads(worker), 1, "{:?}", nginx.log());
        }
        nginx.reload();
    }
}

#[test]
fn workers_stop_within_a_second() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut scene = Scene::start(&Setup { workers: 4, ..Setup::default() });
        scene.client.get_many(10, "/");
        let took = scene.nginx.stop(signal);
        assert!(took < STOPPED, "{signal:?} took {took:?}");
    }
}

#[test]
fn a_hung_sink_does_not_keep_workers_from_stopping() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut scene = outage(&Setup { workers: 2, ..Setup::default() });
        scene.sink.set(Answer::Hang);
        scene.client.get_many(5, "/");
        scene.sink.wait_for(1, Duration::from_secs(5));
        let took = scene.nginx.stop(signal);
        assert!(took < STOPPED, "{signal:?} took {took:?}");
    }
}

#[test]
fn a_hung_sink_does_not_delay_a_reload() {
    let scene = outage(&Setup { workers: 2, ..Setup::default() });
    scene.sink.set(Answer::Hang);
    scene.client.get_many(5, "/");
    scene.sink.wait_for(1, Duration::from_secs(5));
    let old = scene.nginx.workers();
    let start = Instant::now();
    scene.nginx.reload();
    process::wait_gone(&old);
    assert!(start.elapsed() < STOPPED, "took {:?}", start.elapsed());
}

#[test]
fn a_reload_keeps_the_window_and_doubles_no_alert() {
    let scene = outage(&Setup { workers: 2, ..Setup::default() });
    scene.client.get_many(3, "/");
    scene.wait_filled(3);
    scene.nginx.reload();
    let window = scene.wait_filled(3)["window"].take();
    assert_eq!(window["failed"], 3);
    scene.client.get_many(2, "/");
    scene.assert_told(&[OUTAGE]);
    scene.nginx.reload();
    scene.client.get_many(5, "/");
    scene.wait_filled(10);
    scene.assert_told(&[OUTAGE]);
}

#[test]
fn a_changed_window_size_starts_that_window_anew() {
    let mut scene = Scene::start(&Setup { workers: 2, ..Setup::default() });
    scene.client.get_many(30, "/");
    scene.wait_filled(30);
    scene.reload_with(&Setup { workers: 2, rules: "window 50;", ..Setup::default() });
    let window = scene.wait_filled(0)["window"].take();
    assert_eq!(window["size"], 50);
    scene.client.get_many(60, "/");
    scene.wait_filled(50);
    scene.assert_told(&[]);
}

#[test]
fn a_failover_across_a_reload_is_told_once() {
    let scene = Scene::start(&Setup { workers: 2, ..Setup::default() });
    scene.client.get_many(10, "/");
    scene.wait_filled(10);
    scene.blue.set_status(500);
    scene.client.get("/");
    scene.wait_filled(11);
    scene.nginx.reload();
    scene.client.get_many(10, "/");
    scene.wait_filled(21);
    scene.nginx.reload();
    scene.client.get_many(10, "/");
    scene.wait_filled(31);
    scene.assert_told(&[":rotating_light: Failover detected — pool changed from blue → green"]);
}

#[test]
fn a_planned_switch_by_reload_is_no_failover() {
    let (blue, green) = (
        Setup { workers: 2, rules: "active blue;", ..Setup::default() },
        Setup {
            workers: 2,
            rules: "active green;",
            upstream: "server {green} max_fails=0; server {blue} backup max_fails=0;",
            ..Setup::default()
        },
    );
    let mut scene = Scene::start(&blue);
    scene.client.get_many(30, "/");
    scene.wait_filled(30);
    scene.reload_with(&green);
    scene.client.get_many(30, "/");
    let monitor = scene.wait_filled(60);
    assert_eq!((&monitor["active_pool"], &monitor["serving_pool"]), (&"green".into(), &"green".into()));
    let headlines = scene.sink.headlines();
    assert!(!headlines.iter().any(|line| line.contains("Failover") || line.contains("Recovered")), "{headlines:?}");
}

#[test]
fn a_killed_worker_loses_nothing_that_was_counted() {
    let mut scene = outage(&Setup { workers: 2, ..Setup::default() });
    scene.client.get_many(3, "/");
    scene.wait_filled(3);
    let killed = scene.nginx.workers();
    for pid in &killed {
        scene.nginx.kill_worker(*pid);
    }
    assert_eq!(scene.wait_filled(3)["window"]["failed"], 3);
    scene.client.get_many(2, "/");
    scene.assert_told(&[OUTAGE]);
    wait::until("the dead workers out of the status", Duration::from_secs(6), || {
        let status = scene.status();
        let workers = status["workers"].as_array().cloned().unwrap_or_default();
        workers.len() == 2 && !workers.iter().any(|worker| killed.iter().any(|pid| worker["pid"] == *pid))
    });
}

#[test]
fn a_single_process_works_like_a_worker() {
    let mut scene = outage(&Setup { single_process: true, ..Setup::default() });
    scene.client.get_many(5, "/");
    scene.assert_told(&[OUTAGE]);
    let pid = scene.nginx.master();
    assert_eq!(scene.status()["workers"][0]["pid"], pid);
    let took = scene.nginx.stop(Signal::TERM);
    assert!(took < STOPPED, "took {took:?}");
}

#[test]
fn a_single_process_that_was_reloaded_stops_in_time() {
    // nginx itself answers no request any more after a reload without a master; it must stop cleanly all the same.
    let mut scene = outage(&Setup { single_process: true, ..Setup::default() });
    scene.client.get_many(3, "/");
    scene.wait_filled(3);
    process::signal(scene.nginx.master(), Signal::HUP);
    wait::until("the reload", Duration::from_secs(5), || scene.nginx.log_lines("using the \"epoll\"").len() == 2);
    let took = scene.nginx.stop(Signal::TERM);
    assert!(took < STOPPED, "took {took:?}");
}

#[test]
fn the_module_exports_nothing_but_itself_and_stays_loaded() {
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).arg(nginx::module()).output();
        let output = output.unwrap_or_else(|error| panic!("{program} (binutils): {error}"));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let symbols = run("nm", &["--dynamic", "--defined-only", "--format=posix"]);
    let mut names: Vec<_> = symbols.lines().filter_map(|line| line.split(' ').next()).collect();
    names.sort_unstable();
    let known = ["ngx_http_alert_module", "ngx_module_names", "ngx_module_order", "ngx_modules"];
    assert!(names.iter().all(|name| known.contains(name)), "{names:?}");
    assert!(known[1..].iter().all(|name| names.contains(name)), "{names:?}");
    // nginx unloads modules while threads of theirs may still be running.
    assert!(run("readelf", &["--dynamic", "--wide"]).contains("NODELETE"));
}
