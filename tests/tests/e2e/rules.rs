//! The other rules: retries, latency, flapping, age, maintenance, and windows of every size.

use std::fs;
use std::time::Duration;

use tests::http::Reply;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::wait;

const NO_RETRY: &str = "proxy_pass http://app; proxy_next_upstream off;";

#[test]
fn retries_of_a_primary_that_goes_on_answering_are_told_and_resolve() {
    let scene = Scene::start(&Setup { rules: "window 20; retry_rate 10%;", ..Setup::default() });
    scene.client.get_many(10, "/");
    for _ in 0..3 {
        scene.blue.queue_status(500, 1);
        scene.client.get("/");
        scene.client.get_many(2, "/");
    }
    scene.assert_told(&[
        ":warning: High upstream retry rate — 17.65% retried over last 17 requests (3 retries). Threshold: 10%",
    ]);
    scene.client.get_many(20, "/");
    scene.sink.wait_for(2, Duration::from_secs(5));
    assert!(scene.sink.headlines()[1].starts_with(":white_check_mark: Upstream retry rate is back to normal — "));
}

#[test]
fn slow_answers_are_told_and_resolve() {
    let scene = Scene::start(&Setup { workers: 2, rules: "window 50; latency p95 100ms;", ..Setup::default() });
    scene.client.get_many(47, "/");
    scene.wait_filled(47);
    scene.blue.queue(Answer::Late(Duration::from_millis(200), Reply::new(200, "late")), 3);
    scene.client.get_many(3, "/");
    scene.sink.wait_for(1, Duration::from_secs(5));
    let headline = scene.sink.headlines().remove(0);
    assert!(headline.starts_with(":warning: High upstream latency — p95 2"), "{headline}");
    assert!(headline.ends_with("over last 50 requests. Threshold: p95 100ms"), "{headline}");
    scene.client.get_many(50, "/");
    scene.sink.wait_for(2, Duration::from_secs(5));
    assert!(scene.sink.headlines()[1].starts_with(":white_check_mark: Upstream latency is back to normal — p95 "));
}

#[test]
fn requests_leave_the_window_at_their_age_without_traffic() {
    let scene =
        Scene::start(&Setup { rules: "window 200 max_age=2s; failover off;", location: NO_RETRY, ..Setup::default() });
    scene.blue.set_status(503);
    scene.client.get_many(5, "/");
    scene.sink.wait_for(1, Duration::from_secs(5));
    wait::until("the empty window", Duration::from_secs(10), || scene.monitor()["window"]["filled"] == 0);
    scene.sink.wait_for(2, Duration::from_secs(5));
    let headlines = scene.sink.headlines();
    assert_eq!(headlines.len(), 2, "{headlines:?}");
    assert_eq!(
        headlines[0],
        ":warning: High upstream 5xx rate — 100.00% 5xx over last 5 requests (5 errors). Threshold: 2%"
    );
    // A look may fall between the last two of them.
    assert!(headlines[1].starts_with(":white_check_mark: Upstream 5xx rate is back to normal — "), "{headlines:?}");
}

#[test]
fn windows_of_few_requests_fire_and_resolve_by_their_own_size() {
    for (window, limit, errors) in [(1, "2%", 1), (7, "20%", 2), (25, "2%", 1)] {
        let rules = format!("window {window}; error_rate {limit}; failover off;");
        let scene = Scene::start(&Setup { workers: 4, rules: &rules, location: NO_RETRY, ..Setup::default() });
        scene.blue.set_status(500);
        scene.client.get_many(errors - 1, "/");
        scene.assert_told(&[]);
        scene.client.get("/");
        scene.sink.wait_for(1, Duration::from_secs(5));
        scene.blue.set_status(200);
        scene.client.get_many(window, "/");
        scene.sink.wait_for(2, Duration::from_secs(5));
        assert_eq!(scene.sink.headlines().len(), 2, "window {window}: {:?}", scene.sink.headlines());
    }
}

#[test]
fn a_window_of_100_000_requests_fits_a_zone_of_its_size() {
    let scene = Scene::start(&Setup {
        workers: 4,
        http: "alert_zone zone=alert:2m;",
        rules: "window 100000; error_rate 0.01%; failover off; outage off;",
        location: NO_RETRY,
        ..Setup::default()
    });
    scene.blue.set_status(500);
    scene.client.get_many(10, "/");
    scene.assert_told(&[]);
    scene.client.get("/");
    scene.assert_told(&[
        ":warning: High upstream 5xx rate — 100.00% 5xx over last 11 requests (11 errors). Threshold: 0.01%",
    ]);
}

#[test]
fn what_maintenance_held_back_is_told_when_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("maintenance");
    fs::write(&file, "").unwrap();
    let rules = format!("maintenance file={};", file.display());
    let scene = Scene::start(&Setup { workers: 2, rules: &rules, ..Setup::default() });
    scene.client.get_many(5, "/");
    scene.blue.set_status(503);
    scene.client.get_many(5, "/");
    scene.assert_told(&[]);
    assert_eq!(scene.monitor()["state"], "maintenance");
    fs::remove_file(&file).unwrap();
    scene.assert_told(&[":rotating_light: Failover detected — pool changed from blue → green"]);
}

#[test]
fn three_failovers_within_five_minutes_are_one_flapping_alert_then_silence() {
    let scene = Scene::start(&Setup { rules: "cooldown 0s; retry_rate off;", ..Setup::default() });
    let serves = |pool: &str, pause: Duration| {
        wait::until(pool, Duration::from_secs(15), || {
            scene.client.get("/");
            std::thread::sleep(pause);
            scene.monitor()["serving_pool"] == pool
        });
    };
    for _ in 0..3 {
        scene.blue.set_status(200);
        serves("blue", Duration::from_millis(200));
        scene.blue.set_status(503);
        serves("green", Duration::from_millis(5));
    }
    wait::until("flapping", Duration::from_secs(5), || scene.monitor()["state"] == "flapping");
    let failover = ":rotating_light: Failover detected — pool changed from blue → green";
    let failback = ":white_check_mark: Recovered — pool is back from green → blue";
    scene.sink.wait_for(5, Duration::from_secs(5));
    let told = scene.sink.headlines();
    assert_eq!(told[..4], [failover, failback, failover, failback]);
    assert!(told[4].starts_with(":warning: Flapping — traffic keeps moving between pools blue and green"), "{told:?}");
    assert_eq!(told.len(), 5, "silence after it: {told:?}");
}

#[test]
fn what_a_reload_stops_watching_ends_once_in_words_that_are_true() {
    let gone = "alert_monitor gone { pool blue {blue}; active blue; }";
    let setup = |rules, http, server| Setup { workers: 2, location: NO_RETRY, rules, http, server, ..Setup::default() };
    let mut scene =
        Scene::start(&setup("failover off;", gone, "location /gone { alert gone; proxy_pass http://{blue}; }"));
    scene.blue.set_status(503);
    scene.client.get_many(5, "/");
    scene.sink.wait_for(1, Duration::from_secs(5));
    scene.client.get_many(5, "/gone");
    scene.sink.wait_for(2, Duration::from_secs(5));
    scene.reload_with(&setup("failover off; error_rate off;", "", ""));
    let rate = "Upstream 5xx rate is no longer watched";
    wait::until("both ends", Duration::from_secs(8), || {
        let texts: String = scene.sink.posts().iter().map(|post| post.text().to_owned() + "\n").collect();
        texts.contains(&format!("{rate} — its rule was switched off"))
            && texts.contains(&format!("{rate} — its monitor was removed"))
    });
    scene.sink.assert_quiet_for(Duration::from_millis(300));
    let texts: Vec<String> = scene.sink.posts().iter().map(|post| post.text().to_owned()).collect();
    assert!(!texts.iter().any(|text| text.contains("back to normal")), "{texts:?}");
}

#[test]
fn a_window_that_begins_anew_while_all_fails_ends_nothing_and_holds_nothing_back() {
    let setup = |rules| Setup { workers: 2, rules, location: NO_RETRY, ..Setup::default() };
    let mut scene = Scene::start(&setup("failover off; outage off;"));
    scene.client.get_many(5, "/");
    scene.blue.set_status(503);
    scene.client.get_many(5, "/");
    scene.sink.wait_for(1, Duration::from_secs(5));
    scene.reload_with(&setup("failover off; outage off; window 60;"));
    scene.client.get_many(20, "/");
    assert_eq!(scene.wait_filled(20)["window"]["failed"], 20);
    // Longer than it takes until time alone is looked at.
    std::thread::sleep(Duration::from_millis(2500));
    scene.assert_told_once(":warning: High upstream 5xx rate — 50.00% 5xx over last 10 requests (5 errors)");
    scene.blue.set_status(200);
    scene.client.get_many(60, "/");
    scene.sink.wait_for(2, Duration::from_secs(5));
    let told = scene.sink.headlines();
    assert_eq!(told[1], ":white_check_mark: Upstream 5xx rate is back to normal — 0.00% over last 60 requests");
    assert_eq!(told.len(), 2, "{told:?}");
}

#[test]
fn pools_that_a_reload_renames_while_failed_over_end_that_in_words_that_are_true() {
    let setup = |pools| Setup { workers: 2, pools, ..Setup::default() };
    let mut scene = Scene::start(&setup("pool blue {blue}; pool green {green}; active blue;"));
    scene.blue.set_status(503);
    scene.client.get_many(3, "/");
    scene.sink.wait_for(1, Duration::from_secs(5));
    scene.reload_with(&setup("pool red {blue}; pool yellow {green}; active red;"));
    scene.sink.wait_for(2, Duration::from_secs(5));
    scene.client.get_many(3, "/");
    scene.assert_told(&[
        ":rotating_light: Failover detected — pool changed from blue → green",
        ":white_check_mark: Failover is no longer watched — its rule was switched off, or its pools are no longer those",
        ":rotating_light: Failover detected — pool changed from red → yellow",
    ]);
}
