//! `kill -9` at any time: of a worker that has a right which others wait for, of all of them, of the master.

use std::time::Duration;

use tests::load::Load;
use tests::process::{self, Signal};
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::wait;

const LIMIT: Duration = Duration::from_secs(5);
/// Couriers look every two seconds; the rest is for a machine under load.
const TAKEN_OVER: Duration = Duration::from_secs(8);
const OUTAGE: &str = ":warning: High upstream 5xx rate — 100.00% 5xx over last 5 requests (5 errors). Threshold: 2%";
const MENDED: &str = ":white_check_mark: Upstream 5xx rate is back to normal — ";

#[test]
fn workers_killed_again_and_again_under_load_leave_exact_counts_and_say_nothing_twice() {
    let http = "alert_state own/state;";
    // One alert, which is delivered before any of them is killed.
    let mut scene = Scene::start(&Setup { workers: 4, http, rules: "outage off;", ..Setup::default() });
    scene.fail(5);
    scene.assert_told(&[OUTAGE]);
    let load = Load::start(scene.client, &["/"; 6]);
    for round in 0..12 {
        match round % 4 {
            0 => scene.nginx.kill_workers(),
            1 => {
                // In the middle of a reload, which it may take part in as an old worker.
                process::signal(scene.nginx.workers()[0], Signal::KILL);
                scene.nginx.reload();
            }
            at => scene.nginx.kill_worker(scene.nginx.workers()[at]),
        }
    }
    scene.assert_told(&[OUTAGE]);
    scene.blue.set_status(200);
    let tallies = load.stop();
    assert!(tallies.iter().all(|tally| !tally.answered.is_empty()), "{tallies:?}");
    // Whatever those that were killed had begun, these displace it.
    assert_eq!(scene.client.get_many(200, "/"), [200; 200]);
    wait::until("exact counts", LIMIT, || {
        let window = scene.monitor()["window"].take();
        window["filled"] == 200 && window["failed"] == 0 && window["retried"] == 0
    });
    scene.sink.wait_for(2, LIMIT);
    scene.sink.assert_quiet_for(Duration::from_millis(1500));
    let told = scene.sink.headlines();
    assert!(told.len() == 2 && told[1].starts_with(MENDED), "{told:?}");

    // Some were killed while they saved.
    scene.nginx.stop(Signal::QUIT);
    scene.nginx.start_again();
    scene.wait_filled(200);
    assert!(scene.nginx.log_lines("set aside").is_empty());
    scene.assert_told(&[OUTAGE, &told[1]]);
}

#[test]
fn an_alert_outlives_every_worker_that_is_killed_while_it_sends_it() {
    let mut scene = Scene::start(&Setup { workers: 2, ..Setup::default() });
    scene.sink.queue(Answer::Hang, 2);
    scene.fail(5);
    for tried in 1..=2 {
        scene.sink.wait_for(tried, TAKEN_OVER);
        scene.nginx.kill_workers();
    }
    let posts = scene.sink.wait_for(3, TAKEN_OVER);
    assert!(posts.iter().all(|post| post.headline() == OUTAGE), "{:?}", scene.sink.headlines());
    scene.sink.assert_quiet_for(Duration::from_millis(300));
    assert_eq!(scene.status()["alerts"][0]["delivery"]["slack"], "sent");
}

#[test]
fn workers_without_a_master_go_on_and_the_next_master_has_their_state() {
    let http = "alert_state own/state;";
    let mut scene = Scene::start(&Setup { workers: 2, http, ..Setup::default() });
    scene.fail(5);
    scene.assert_told(&[OUTAGE]);
    let orphans = scene.nginx.kill_master();
    assert_eq!(orphans.len(), 2, "nginx's own workers go on without a master");
    scene.client.get_many(3, "/");
    scene.wait_filled(8);
    // What an operator does then.
    orphans.iter().for_each(|pid| process::signal(*pid, Signal::TERM));
    process::wait_gone(&orphans);
    scene.nginx.start_again();
    scene.wait_filled(8);
    scene.client.get_many(3, "/");
    assert_eq!(scene.wait_filled(11)["window"]["failed"], 11);
    scene.assert_told(&[OUTAGE]);
}

#[test]
fn a_master_killed_with_all_its_workers_loses_at_most_what_was_not_saved() {
    let http = "alert_state own/state;";
    let mut scene = Scene::start(&Setup { workers: 2, http, ..Setup::default() });
    scene.fail(5);
    scene.assert_told(&[OUTAGE]);
    scene.wait_saved("own/state");
    let all = scene.nginx.kill_master();
    all.iter().for_each(|pid| process::signal(*pid, Signal::KILL));
    process::wait_gone(&all);
    scene.nginx.start_again();
    scene.wait_filled(5);
    scene.client.get_many(5, "/");
    scene.wait_filled(10);
    scene.assert_told(&[OUTAGE]);
}
