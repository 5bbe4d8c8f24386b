//! A release that takes over step by step: who is sent where, what is judged, and what comes of it.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tests::debugger::Stopped;
use tests::http::{Reply, Request};
use tests::nginx::{Check, Config};
use tests::process::{self, Signal};
use tests::scene::{ASSIGNED_FIRST, Scene, Setup};
use tests::server::Answer;
use tests::wait;

const LIMIT: Duration = Duration::from_secs(20);
const CLIENTS: u64 = 3000;

const ROUTED: Setup = Setup {
    workers: 4,
    single_process: false,
    reuseport: true,
    http: ASSIGNED_FIRST,
    notify: "alert_notify slack {sink};",
    pools: "pool blue {blue}; pool green {green};",
    rules: "active blue; split_by $http_x_client; probe /healthz interval=200ms;
            rollout 5% 25% 50% every=2s requests=5; retry_rate off; failover off;",
    upstream: "server {blue};",
    server: "location /control/ { alert_control; } add_header X-Assigned $alert_pool always;",
    location: "proxy_pass http://$first;",
};

fn post(scene: &Scene, target: &str) -> (u16, Value) {
    let reply = scene.client.send(&Request::new("POST", target));
    let body = serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error}: {}", reply.text()));
    (reply.status, body)
}

fn ask(scene: &Scene, client: u64) -> Reply {
    scene.client.send(&Request::new("GET", "/").header("X-Client", &format!("client-{client}")))
}

fn assigned(reply: &Reply) -> String {
    reply.get("X-Assigned").unwrap_or_default().to_owned()
}

fn rollout(scene: &Scene) -> Value {
    scene.monitor()["rollout"].take()
}

/// Sends requests of many clients while the body runs. Returns its value, and how many answers had which status.
fn under_load<T>(scene: &Scene, per_second: u64, body: impl FnOnce() -> T) -> (T, HashMap<u16, u64>) {
    let (stop, next) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let load = scope.spawn(|| {
            let mut statuses = HashMap::new();
            while !stop.load(Ordering::Relaxed) {
                // Far apart, so that no clients in a row are alike.
                let client = next.fetch_add(1009, Ordering::Relaxed) % CLIENTS;
                *statuses.entry(ask(scene, client).status).or_insert(0) += 1;
                thread::sleep(Duration::from_micros(1_000_000 / per_second));
            }
            statuses
        });
        let value = body();
        stop.store(true, Ordering::Relaxed);
        (value, load.join().expect("the load"))
    })
}

fn wait_for_outcome(scene: &Scene, outcome: &str) {
    wait::until(outcome, LIMIT, || rollout(scene)["last"]["outcome"] == *outcome);
}

#[test]
fn a_share_is_followed_at_once_by_all_workers_and_each_client_stays_on_its_pool() {
    let scene = Scene::start(&ROUTED);
    let all_blue = (0..200).all(|client| assigned(&ask(&scene, client)) == "blue");
    assert!(all_blue, "without a share, the active pool has all");
    let (status, answer) = post(&scene, "/control/share?monitor=app&pool=green&percent=5");
    assert_eq!((status, answer["share"].as_f64()), (200, Some(5.0)), "{answer}");
    let first: Vec<String> = (0..CLIENTS).map(|client| assigned(&ask(&scene, client))).collect();
    let on_green = first.iter().filter(|pool| *pool == "green").count();
    assert!((110..=190).contains(&on_green), "{on_green} of {CLIENTS} at 5 %");
    assert_eq!(scene.green.requests(), on_green as u64, "who is assigned there is sent there");
    let begun = Instant::now();
    post(&scene, "/control/share?monitor=app&pool=green&percent=50");
    let second: Vec<String> = (0..CLIENTS).map(|client| assigned(&ask(&scene, client))).collect();
    assert!(begun.elapsed() < LIMIT);
    let stayed = first.iter().zip(&second).filter(|(first, _)| *first == "green").all(|(_, second)| second == "green");
    assert!(stayed, "a client that is on the new pool stays there");
    let on_green = second.iter().filter(|pool| *pool == "green").count();
    assert!((1400..=1600).contains(&on_green), "{on_green} of {CLIENTS} at 50 %, no reload between");
    post(&scene, "/control/share?monitor=app&pool=green&percent=0");
    assert!((0..200).all(|client| assigned(&ask(&scene, client)) == "blue"));
}

#[test]
fn a_good_release_takes_over_and_is_told_twice() {
    let scene = Scene::start(&ROUTED);
    let (status, answer) = post(&scene, "/control/rollout?monitor=app&pool=green&release=v2");
    assert_eq!((status, answer["phase"].as_str()), (202, Some("probing")), "{answer}");
    let ((), statuses) = under_load(&scene, 200, || wait_for_outcome(&scene, "done"));
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200]);
    let monitor = scene.monitor();
    assert_eq!(monitor["active_pool"], "green");
    let releases = monitor["releases"].as_array().cloned().unwrap_or_default();
    let green = releases.iter().find(|release| release["pool"] == "green").cloned().unwrap_or_default();
    assert_eq!((green["release"].as_str(), green["outcome"].as_str()), (Some("v2"), Some("done")), "{releases:?}");
    let posts = scene.sink.wait_for(2, LIMIT);
    assert_eq!(
        posts[0].headline(),
        ":rocket: Rollout begun — green (v2) takes over from blue (v1): 5 %, 25 %, 50 %, 100 %"
    );
    let done = posts[1].headline();
    assert!(done.starts_with(":white_check_mark: Rollout done — green (v2) has all traffic after "), "{done}");
    assert!((0..100).all(|client| assigned(&ask(&scene, client)) == "green"));
    let refused = post(&scene, "/control/rollout?monitor=app&pool=green");
    assert_eq!((refused.0, refused.1["error"].as_str()), (409, Some("this pool already has all traffic")));
}

#[test]
fn a_broken_release_is_aborted_in_seconds_and_no_user_sees_it() {
    let scene = Scene::start(&ROUTED);
    scene.green.set_status(500);
    post(&scene, "/control/rollout?monitor=app&pool=green");
    let (took, statuses) = under_load(&scene, 100, || {
        wait::until("the first step", LIMIT, || rollout(&scene)["phase"] == "step");
        let begun = Instant::now();
        wait_for_outcome(&scene, "aborted");
        begun.elapsed()
    });
    assert!((Duration::from_secs(3)..Duration::from_secs(9)).contains(&took), "{took:?}");
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200], "what failed at green was retried at blue");
    assert!(scene.green.requests() <= 60, "{} requests at green", scene.green.requests());
    assert_eq!(scene.monitor()["active_pool"], "blue");
    let posts = scene.sink.wait_for(2, LIMIT);
    let aborted = posts[1].headline();
    assert_eq!(
        aborted,
        ":rotating_light: Rollout aborted — green (v2) fails more than blue (v1): 100.0 % against 0.0 %. Blue has all traffic again"
    );
    assert!((0..100).all(|client| assigned(&ask(&scene, client)) == "blue"));
    let (status, answer) = post(&scene, "/control/rollout?monitor=app&pool=green");
    assert_eq!(status, 409, "{answer}");
}

#[test]
fn a_slow_release_is_aborted_although_it_fails_nothing() {
    let rules = format!("{} compare errors latency warmup=0s;", ROUTED.rules);
    let scene = Scene::start(&Setup { rules: &rules, ..ROUTED });
    // What is usual is known before the new pool gets its first request.
    under_load(&scene, 200, || thread::sleep(Duration::from_secs(1)));
    scene.green.set(Answer::Late(Duration::from_millis(100), Reply::new(200, "slow")));
    post(&scene, "/control/rollout?monitor=app&pool=green");
    let ((), statuses) = under_load(&scene, 200, || wait_for_outcome(&scene, "aborted"));
    assert_eq!(statuses.keys().collect::<Vec<_>>(), [&200]);
    let reason = rollout(&scene)["last"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.starts_with("Rollout aborted — green (v2) is slower than blue (v1): "), "{reason}");
    assert!(reason.contains(" ms against "), "{reason}");
}

#[test]
fn a_share_that_would_move_nobody_is_warned_of() {
    let http = |map: &str| {
        format!(
            "{map} alert_monitor app {{ pool blue 127.0.0.1:1; pool green 127.0.0.1:2; rollout 5%; }}
             upstream app {{ server 127.0.0.1:1; server 127.0.0.1:2; }}
             server {{ listen 127.0.0.1:1; alert app; location / {{ proxy_pass http://app; }} }}"
        )
    };
    let warned = |map| Check::run(&Config::new(&http(map))).output.contains("nothing uses $alert_pool");
    assert!(warned(""));
    assert!(!warned("map $alert_pool $upstream { green green_first; default blue_first; }"));
}

#[test]
fn a_pool_that_does_not_pass_its_probe_gets_no_request() {
    let scene = Scene::start(&ROUTED);
    scene.green.set_health(503);
    post(&scene, "/control/rollout?monitor=app&pool=green");
    under_load(&scene, 100, || thread::sleep(Duration::from_secs(3)));
    assert_eq!(rollout(&scene)["phase"], "probing");
    assert_eq!(scene.green.requests(), 0);
    assert_eq!(scene.monitor()["probes"]["green"][scene.green.address().to_string()]["error"], "answered 503");
    scene.green.set_health(200);
    under_load(&scene, 100, || wait::until("the first step", LIMIT, || rollout(&scene)["phase"] == "step"));
    let (status, _) = post(&scene, "/control/rollout?monitor=app&do=abort");
    assert_eq!((status, rollout(&scene)["last"]["outcome"].as_str()), (200, Some("cancelled")));
}

#[test]
fn a_name_that_is_in_no_map_is_told_as_such() {
    let http = ROUTED.http.replace("green green_first;", "green no_such_upstream;");
    let scene =
        Scene::start(&Setup { http: &http, server: "location /control/ { alert_control; } error_log off;", ..ROUTED });
    post(&scene, "/control/rollout?monitor=app&pool=green");
    under_load(&scene, 150, || wait_for_outcome(&scene, "aborted"));
    let reason = rollout(&scene)["last"]["reason"].as_str().unwrap_or_default().to_owned();
    assert!(reason.contains(" for green arrived there: is \"green\" in the map of $alert_pool?"), "{reason}");
    let told = scene.sink.headlines();
    let errors = told.iter().filter(|told| told.starts_with(":warning: High upstream 5xx rate — ")).count();
    assert_eq!(errors, 1, "what nginx could not ask failed all the same: {told:?}");
}

#[test]
fn a_release_that_breaks_after_it_has_all_traffic_goes_back_by_itself() {
    let rules = ROUTED.rules.replace("failover off;", "rollback on within=10m;");
    // Nothing is retried: users see what green does.
    let http = ROUTED.http.replace("server {blue} backup max_fails=0;", "");
    let scene = Scene::start(&Setup { rules: &rules, http: &http, ..ROUTED });
    post(&scene, "/control/rollout?monitor=app&pool=green");
    under_load(&scene, 200, || wait_for_outcome(&scene, "done"));
    assert_eq!(rollout(&scene)["phase"], "guard");
    scene.green.set_status(500);
    let (took, _) = under_load(&scene, 100, || {
        let begun = Instant::now();
        wait_for_outcome(&scene, "rolled_back");
        begun.elapsed()
    });
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(scene.monitor()["active_pool"], "blue");
    let told = scene.sink.headlines();
    assert!(
        told.iter()
            .any(|told| told.starts_with(":leftwards_arrow_with_hook: Rolled back from green (v2) to blue (v1) — ")),
        "{told:?}"
    );
    under_load(&scene, 100, || thread::sleep(Duration::from_millis(500)));
    assert!((0..100).all(|client| ask(&scene, client).status == 200));
}

#[test]
fn a_rollout_goes_on_when_workers_are_killed_and_over_a_reload() {
    let rules = ROUTED.rules.replace("every=2s", "every=4s");
    let setup = Setup { rules: &rules, ..ROUTED };
    let mut scene = Scene::start(&setup);
    post(&scene, "/control/rollout?monitor=app&pool=green");
    under_load(&scene, 200, || wait::until("the first step", LIMIT, || rollout(&scene)["phase"] == "step"));
    scene.nginx.kill_workers();
    assert_eq!(rollout(&scene)["phase"], "step");
    // Four seconds of a step, five until another worker leads, and some for a machine under load.
    under_load(&scene, 200, || {
        wait::until("the second step", Duration::from_secs(12), || rollout(&scene)["step"] == 2);
    });
    scene.reload_with(&setup);
    assert_eq!(rollout(&scene)["phase"], "step");
    let on_green = (0..CLIENTS).filter(|client| assigned(&ask(&scene, *client)) == "green").count();
    assert!(on_green > 0, "the share counts on");
    under_load(&scene, 200, || wait::until("the end", 2 * LIMIT, || rollout(&scene)["last"]["outcome"] == "done"));
    let told = scene.sink.headlines();
    assert_eq!(told.len(), 2, "each message once: {told:?}");
}

/// The clients, of the first so many, that are assigned to green.
fn on_green(scene: &Scene, clients: u64) -> Vec<u64> {
    (0..clients).filter(|client| assigned(&ask(scene, *client)) == "green").collect()
}

/// A rollout in its first step, which lasts a minute.
fn in_first_step(http: &str) -> Scene {
    let rules = ROUTED.rules.replace("5% 25% 50% every=2s", "25% every=60s");
    let http = format!("{} {http}", ROUTED.http);
    let setup = Setup { workers: 2, rules: &rules, http: &http, ..ROUTED };
    let scene = Scene::start_with(&setup, |config| config.daemon = true);
    post(&scene, "/control/rollout?monitor=app&pool=green");
    wait::until("the first step", LIMIT, || rollout(&scene)["phase"] == "step");
    scene
}

#[test]
fn a_rollout_goes_on_after_a_restart_with_a_state_file_and_is_over_without_one() {
    let mut scene = in_first_step("alert_state own/state;");
    let before = on_green(&scene, 200);
    assert!((25..=75).contains(&before.len()), "{} of 200 at 25 %", before.len());
    scene.nginx.stop(Signal::TERM);
    scene.nginx.start_again();
    assert_eq!((&rollout(&scene)["phase"], &rollout(&scene)["share"]), (&"step".into(), &25.0.into()));
    assert_eq!(on_green(&scene, 200), before, "each client stays on its pool");
    let (status, answer) = post(&scene, "/control/rollout?monitor=app&do=promote");
    assert_eq!((status, answer["active_pool"].as_str()), (200, Some("green")), "{answer}");
    let told = scene.sink.wait_for(2, LIMIT);
    assert!(told[1].headline().starts_with(":white_check_mark: Rollout done — green (v2)"), "{:?}", told[1].headline());

    let mut scene = in_first_step("");
    scene.nginx.stop(Signal::TERM);
    scene.nginx.start_again();
    assert_eq!((&rollout(&scene)["phase"], &rollout(&scene)["share"]), (&"idle".into(), &0.0.into()));
    assert_eq!(on_green(&scene, 200), [0; 0]);
}

#[test]
fn a_rollout_goes_on_over_a_binary_upgrade() {
    let mut scene = in_first_step("alert_state own/state;");
    let before = on_green(&scene, 200);
    scene.wait_saved("own/state");
    let (old, old_workers) = (scene.nginx.master(), scene.nginx.workers());
    scene.nginx.signal(Signal::USR2);
    let mut new = None;
    wait::until("a second master", LIMIT, || {
        new = scene.nginx.pid_in("nginx.pid").filter(|pid| *pid != old);
        new.is_some_and(|pid| process::children(pid).len() == 2)
    });
    scene.nginx.signal(Signal::WINCH);
    process::wait_gone(&old_workers);
    scene.nginx.signal(Signal::QUIT);
    process::wait_gone(&[old]);
    scene.nginx.adopt(new.expect("found above"));
    assert_eq!(rollout(&scene)["phase"], "step");
    assert_eq!(on_green(&scene, 200), before, "each client stays on its pool");
    assert_eq!(scene.sink.headlines().len(), 1, "{:?}", scene.sink.headlines());
}

#[test]
fn all_requests_go_to_the_active_pool_once_nobody_looks_after_a_share() {
    let scene = in_first_step("");
    assert!(!on_green(&scene, 100).is_empty());
    let stopped: Vec<Stopped> =
        scene.nginx.workers().into_iter().map(|worker| Stopped::thread(worker, "alert-detector")).collect();
    let begun = Instant::now();
    thread::sleep(Duration::from_secs(20));
    assert!(!on_green(&scene, 100).is_empty(), "a pause is no end");
    wait::until("all at blue", LIMIT, || on_green(&scene, 100).is_empty());
    let took = begun.elapsed();
    assert!((Duration::from_secs(28)..Duration::from_secs(33)).contains(&took), "{took:?}");
    drop(stopped);
    wait_for_outcome(&scene, "aborted");
    let told = scene.sink.wait_for(2, LIMIT);
    let aborted =
        ":rotating_light: Rollout aborted — no worker looked after it for 30 seconds. Blue has all traffic again";
    assert_eq!(told[1].headline(), aborted);
    assert!(on_green(&scene, 200).is_empty());
}
