//! A wall clock that is stepped: what was decided goes out as before, pauses last as long as they should, and people read the
//! time of now.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::Value;
use tests::clock::Clock;
use tests::http::{Reply, Request};
use tests::process::Signal;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::sink::Sink;
use tests::wait;

const LIMIT: Duration = Duration::from_secs(10);
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Fires at the first error and is over ten good answers later.
const NERVOUS: &str = "window 10; failover off; retry_rate off; outage off; cooldown 0s;";

fn start(clock: &Clock, setup: &Setup) -> Scene {
    Scene::start_with(setup, |config| {
        config.env = clock.environment();
        config.main = Clock::directives();
    })
}

fn break_app(scene: &Scene) {
    [&scene.blue, &scene.green].into_iter().for_each(|pool| pool.set_status(500));
    scene.client.get("/");
}

fn mend_app(scene: &Scene) {
    [&scene.blue, &scene.green].into_iter().for_each(|pool| pool.set_status(200));
    scene.client.get_many(10, "/");
}

/// What a clock that was stepped says now.
fn says(seconds: i64) -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_secs() as i64 + seconds
}

/// The time of the day in seconds, of a time in UTC as people write it.
fn of_day(time: &str) -> i64 {
    let parts: Vec<i64> = time[11..19].split(':').map(|part| part.parse().expect("a number")).collect();
    parts[0] * HOUR + parts[1] * MINUTE + parts[2]
}

#[test]
fn a_step_of_the_clock_holds_up_nothing_and_tells_nothing() {
    let clock = Clock::default();
    let chat = Sink::start();
    let notify = format!("alert_notify webhook {{sink}}; alert_notify slack {};", chat.url());
    let server = "location /control { alert_control; }";
    let scene = start(&clock, &Setup { workers: 2, notify: &notify, rules: NERVOUS, server, ..Setup::default() });
    let mut told = 0;
    for seconds in [0, -10 * MINUTE, -HOUR, HOUR, 0, -DAY, 3 * DAY] {
        clock.set(seconds);
        // The event loop and the threads look at the clock once a second.
        scene.sink.assert_quiet_for(Duration::from_millis(1500));
        // The first try fails, and the second is a second later.
        scene.sink.queue(Answer::Reply(Reply::new(503, "")), 1);
        let began = Instant::now();
        break_app(&scene);
        let posts = scene.sink.wait_for(told + 2, LIMIT);
        assert!(began.elapsed() < Duration::from_secs(5), "{seconds}: {:?}", began.elapsed());
        let alert = &posts[told + 1].body;
        assert_eq!(alert["status"], "firing", "{seconds}: {alert}");
        let off = (of_day(alert["time"].as_str().expect("a time")) - says(seconds).rem_euclid(DAY)).rem_euclid(DAY);
        assert!(off <= 2 || off >= DAY - 10, "{seconds}: {} is {off} s away", alert["time"]);
        mend_app(&scene);
        told = scene.sink.wait_for(told + 3, LIMIT).len();
        let sinks = || scene.status()["sinks"].clone();
        wait::until("every sink to have everything", LIMIT, || {
            ["slack", "webhook"].iter().all(|name| sinks()[name]["pending"] == 0)
        });
        let test = scene.client.send(&Request::new("POST", "/control/test?monitor=app"));
        let answer: Value = serde_json::from_slice(&test.body).expect("JSON");
        let results = ["slack", "webhook"].map(|name| answer["sinks"][name]["result"].clone());
        assert_eq!(results, ["sent", "sent"], "{seconds}: {answer}");
        told += 1;
        scene.sink.wait_for(told, LIMIT);
    }
    assert!(chat.posts().len() >= 7, "{:?}", chat.headlines());
}

#[test]
fn cooldowns_and_maintenance_last_as_long_as_they_should_whichever_way_the_clock_goes() {
    let server = "location /control { alert_control; }";
    for seconds in [-HOUR, HOUR] {
        let clock = Clock::default();
        let rules = NERVOUS.replace("cooldown 0s", "cooldown 4s");
        let scene = start(&clock, &Setup { rules: &rules, server, ..Setup::default() });
        break_app(&scene);
        let posts = scene.sink.wait_for(1, LIMIT);
        clock.set(seconds);
        // The reminder comes with the end of the cooldown: not at once, and not in an hour.
        let reminded = scene.sink.wait_for(2, LIMIT);
        let after = reminded[1].arrived - posts[0].arrived;
        assert!((Duration::from_millis(3500)..Duration::from_secs(8)).contains(&after), "{seconds}: {after:?}");
        clock.set(0);
        let maintain = Request::new("POST", "/control/maintenance?monitor=app&on=1&for=4s");
        let began = Instant::now();
        assert_eq!(scene.client.send(&maintain).status, 200);
        clock.set(seconds);
        scene.sink.assert_quiet_for(Duration::from_secs(3));
        assert_eq!(scene.monitor()["maintenance"], true, "{seconds}");
        wait::until("the end of maintenance", LIMIT, || scene.monitor()["maintenance"] == false);
        assert!(began.elapsed() < Duration::from_secs(8), "{seconds}: {:?}", began.elapsed());
    }
}

#[test]
fn what_waits_is_delivered_after_a_restart_with_another_time() {
    for (before, after) in [(0, -HOUR), (0, HOUR), (-HOUR, 0), (HOUR, -DAY)] {
        let clock = Clock::default();
        let setup = Setup { http: "alert_state state;", rules: NERVOUS, ..Setup::default() };
        let mut scene = start(&clock, &setup);
        clock.set(before);
        scene.sink.set(Answer::Reply(Reply::new(429, "").header("Retry-After", "3000")));
        break_app(&scene);
        scene.sink.wait_for(1, LIMIT);
        scene.wait_saved("state");
        scene.nginx.stop(Signal::QUIT);
        let tried = scene.sink.posts().len();
        clock.set(after);
        scene.sink.set(Answer::Reply(Reply::new(200, "ok")));
        let began = Instant::now();
        scene.nginx.start_again();
        let posts = scene.sink.wait_for(tried + 1, LIMIT);
        assert!(posts[tried].headline().contains("High upstream 5xx rate"), "{}", posts[tried].headline());
        mend_app(&scene);
        let over = scene.sink.wait_for(tried + 2, LIMIT);
        assert!(over[tried + 1].headline().contains("back to normal"), "{}", over[tried + 1].headline());
        assert!(began.elapsed() < LIMIT, "{before} to {after}: {:?}", began.elapsed());
        wait::until("nothing to be pending", LIMIT, || scene.status()["sinks"]["slack"]["pending"] == 0);
    }
}

#[test]
fn alertmanager_hears_again_of_what_fires_after_a_step_back() {
    let clock = Clock::default();
    let notify = "alert_notify alertmanager {sink};";
    let scene = start(&clock, &Setup { notify, rules: NERVOUS, ..Setup::default() });
    break_app(&scene);
    scene.sink.wait_for(1, LIMIT);
    clock.set(-HOUR);
    let posts = scene.sink.wait_for(2, Duration::from_secs(25));
    let ends = posts[1].body[0]["endsAt"].as_str().expect("a time").to_owned();
    let left = (of_day(&ends) - says(-HOUR).rem_euclid(DAY)).rem_euclid(DAY);
    assert!((MINUTE..=6 * MINUTE).contains(&left), "it lasts for {left} s more");
}
