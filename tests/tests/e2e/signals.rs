//! nginx's signals and the ways to run it: each works as without the module, and alerts go on.

use std::fs;
use std::time::{Duration, Instant};

use tests::http::{Reply, Request};
use tests::load::Load;
use tests::nginx::STOPPED;
use tests::process::{self, Signal};
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::wait;

const LIMIT: Duration = Duration::from_secs(5);
/// The user without rights, with its group, which Debian names otherwise.
const NOBODY: &str = "nobody nogroup";
const STATE: &str = "alert_state own/state;";
const OUTAGE: &str = ":warning: High upstream 5xx rate — ";

#[test]
fn every_way_to_run_nginx_counts_alerts_and_stops() {
    // Workers (0: master_process off), daemon, user, reuseport.
    for (workers, daemon, user, reuseport) in [
        (0, false, "root", false),
        (0, true, NOBODY, false),
        (1, false, NOBODY, true),
        (2, true, "root", false),
        (3, true, NOBODY, true),
        (16, false, NOBODY, true),
        (16, true, "root", false),
    ] {
        let setup = Setup {
            workers: workers.max(1),
            single_process: workers == 0,
            reuseport,
            http: "alert_state own/state; proxy_cache_path cache keys_zone=answers:1m;",
            ..Setup::default()
        };
        let mut scene = Scene::start_with(&setup, |config| {
            config.daemon = daemon;
            config.user = user;
        });
        let run = (workers, daemon, user, reuseport);
        scene.client.get_concurrently(4, 5, "/");
        scene.wait_filled(20);
        scene.fail(6);
        assert_eq!(scene.wait_filled(26)["window"]["failed"], 6, "{run:?}");
        scene.assert_told_once(OUTAGE);
        for signal in [Signal::QUIT, Signal::TERM] {
            let took = scene.nginx.stop(signal);
            assert!(took < STOPPED, "{run:?}: {signal:?} took {took:?}");
            scene.nginx.start_again();
            scene.wait_filled(26);
        }
        scene.assert_told_once(OUTAGE);
    }
}

#[test]
fn a_binary_upgrade_loses_no_request_and_goes_on_with_the_state() {
    let setup = Setup { workers: 2, http: STATE, ..Setup::default() };
    let mut scene = Scene::start_with(&setup, |config| config.daemon = true);
    scene.client.get_many(10, "/");
    scene.wait_filled(10);
    scene.fail(6);
    scene.assert_told_once(OUTAGE);
    scene.wait_saved("own/state");

    let load = Load::start(scene.client, &["/alert/status.json", "/alert/status.json"]);
    let (old, old_workers) = (scene.nginx.master(), scene.nginx.workers());
    let new = scene.nginx.upgrade();
    scene.nginx.signal(Signal::WINCH);
    process::wait_gone(&old_workers);
    assert!(process::is_alive(old), "the old master waits for what becomes of the new one");
    scene.nginx.signal(Signal::QUIT);
    process::wait_gone(&[old]);
    scene.nginx.adopt(new);
    load.stop().iter().for_each(|tally| assert!(tally.all(200) > 0));

    assert_eq!(scene.wait_filled(16)["window"]["failed"], 6);
    scene.client.get_many(4, "/");
    scene.wait_filled(20);
    scene.nginx.reload();
    scene.assert_told_once(OUTAGE);
}

#[test]
fn an_upgrade_that_is_called_off_leaves_the_old_nginx_alerting() {
    let setup = Setup { workers: 2, http: STATE, ..Setup::default() };
    let scene = Scene::start_with(&setup, |config| config.daemon = true);
    scene.client.get_many(10, "/");
    scene.wait_filled(10);
    let new = scene.nginx.upgrade();
    let old_workers = scene.nginx.workers();
    scene.nginx.signal(Signal::WINCH);
    process::wait_gone(&old_workers);
    // Its workers come back, then the new one goes.
    scene.nginx.signal(Signal::HUP);
    wait::until("the old master's workers", LIMIT, || scene.nginx.workers().len() == 2);
    process::signal(new, Signal::QUIT);
    process::wait_gone(&[new]);
    scene.wait_filled(10);
    scene.fail(6);
    scene.wait_filled(16);
    scene.assert_told_once(OUTAGE);
}

#[test]
fn logs_are_rotated() {
    for user in ["root", NOBODY] {
        let scene = Scene::start_with(&Setup { workers: 2, ..Setup::default() }, |config| config.user = user);
        let log = scene.nginx.directory().join("error.log");
        let rotated = log.with_extension("log.1");
        fs::rename(&log, &rotated).unwrap();
        scene.nginx.signal(Signal::USR1);
        wait::until("a new log", LIMIT, || log.exists());
        // Each worker opens it by itself.
        let open = |pid: &u32| process::holds(*pid, &log);
        wait::until("the new log in every worker", LIMIT, || scene.nginx.workers().iter().all(open));
        scene.fail(6);
        scene.sink.wait_for(1, LIMIT);
        wait::until("the alert in the new log", LIMIT, || {
            fs::read_to_string(&log).is_ok_and(|log| log.contains("High upstream 5xx rate"))
        });
        assert!(!fs::read_to_string(&rotated).unwrap().contains("High upstream 5xx rate"));
    }
}

#[test]
fn a_graceful_stop_answers_and_counts_what_is_in_flight() {
    let mut scene = Scene::start(&Setup { workers: 2, http: STATE, ..Setup::default() });
    scene.blue.set(Answer::Late(Duration::from_millis(300), Reply::new(200, "late")));
    let mut connections: Vec<_> = (0..8).map(|_| scene.client.connect().unwrap()).collect();
    connections.iter_mut().for_each(|connection| connection.write(&Request::new("GET", "/")).unwrap());
    wait::until("the requests at the upstream", LIMIT, || scene.blue.requests() == 8);
    scene.nginx.stop(Signal::QUIT);
    for connection in &mut connections {
        assert_eq!(connection.read("GET").unwrap().status, 200);
    }
    scene.nginx.start_again();
    scene.wait_filled(8);
}

#[test]
fn a_shutdown_timeout_ends_workers_that_wait_for_an_upstream() {
    let setup = Setup { workers: 2, location: "proxy_pass http://app; proxy_read_timeout 1m;", ..Setup::default() };
    let scene = Scene::start_with(&setup, |config| config.main = "worker_shutdown_timeout 300ms;\n".into());
    scene.blue.set(Answer::Hang);
    let mut connection = scene.client.connect().unwrap();
    connection.write(&Request::new("GET", "/")).unwrap();
    wait::until("the request at the upstream", LIMIT, || scene.blue.requests() == 1);
    let (old, start) = (scene.nginx.workers(), Instant::now());
    scene.nginx.reload();
    process::wait_gone(&old);
    assert!(start.elapsed() < Duration::from_millis(300) + STOPPED, "took {:?}", start.elapsed());
    scene.fail(6);
    scene.assert_told_once(OUTAGE);
}
