//! Probes: who is asked, how often, and what is told where no request says it.

use std::time::{Duration, Instant};

use tests::address;
use tests::scene::{Scene, Setup};
use tests::wait;

const LIMIT: Duration = Duration::from_secs(10);
const PROBE: &str = "active blue; probe /healthz interval=100ms timeout=1s;";

fn probes(scene: &Scene) -> (u64, u64) {
    (scene.blue.probes(), scene.green.probes())
}

#[test]
fn a_standby_that_could_not_take_over_is_told_before_anybody_needs_it() {
    let pools = format!("pool blue {{blue}}; pool green {};", address::free());
    let scene = Scene::start(&Setup { workers: 2, rules: PROBE, pools: &pools, ..Setup::default() });
    scene.assert_told_once(
        ":warning: Standby is down — green does not pass its probe (connection refused); nothing is left to fail over to",
    );
    assert!(scene.blue.probes() > 0);
    assert_eq!(
        (scene.blue.requests(), scene.monitor()["window"]["filled"].as_u64()),
        (0, Some(0)),
        "probes are no requests"
    );
}

#[test]
fn a_pool_that_dies_while_nobody_asks_is_told() {
    let rules = "active blue; probe /healthz interval=100ms status=204;";
    let scene = Scene::start(&Setup { rules, pools: "pool blue {blue};", ..Setup::default() });
    scene.assert_told_once(":warning: Blue does not pass its probe — answered 200");
}

#[test]
fn pools_that_pass_are_silent() {
    let scene = Scene::start(&Setup { workers: 2, rules: PROBE, ..Setup::default() });
    wait::until("three probes of both pools", LIMIT, || probes(&scene).0 >= 3 && probes(&scene).1 >= 3);
    scene.assert_told(&[]);
}

#[test]
fn one_worker_asks_for_all_and_a_known_pool_is_asked_every_ten_seconds() {
    let scene = Scene::start(&Setup { workers: 4, rules: PROBE, ..Setup::default() });
    wait::until("three probes of both pools", LIMIT, || probes(&scene).0 >= 3 && probes(&scene).1 >= 3);
    let (before, start) = (probes(&scene), Instant::now());
    wait::until("the next probe", Duration::from_secs(15), || probes(&scene).0 > before.0);
    assert!(start.elapsed() > Duration::from_secs(7), "a probe after {:?}", start.elapsed());
    assert!(before.0 <= 4 && before.1 <= 4, "four workers would have asked twelve times: {before:?}");
}

#[test]
fn others_ask_on_when_the_worker_that_did_is_killed_and_a_reload_changes_who_is_asked() {
    let mut scene = Scene::start(&Setup { workers: 2, rules: PROBE, ..Setup::default() });
    wait::until("three probes of both pools", LIMIT, || probes(&scene).0 >= 3 && probes(&scene).1 >= 3);
    scene.nginx.kill_workers();
    let before = probes(&scene);
    wait::until("probes after the kill", 2 * LIMIT, || probes(&scene).0 > before.0 && probes(&scene).1 > before.1);
    let rules = "probe /healthz interval=100ms timeout=1s;";
    scene.reload_with(&Setup { workers: 2, rules, pools: "pool green {green};", ..Setup::default() });
    let before = probes(&scene);
    wait::until("probes after the reload", 2 * LIMIT, || probes(&scene).1 > before.1);
    assert!(probes(&scene).0 <= before.0 + 1, "one was perhaps under way when the pool left");
}
