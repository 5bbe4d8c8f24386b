//! How messages reach a sink that is not always well, and that nobody else waits for it.

use std::time::{Duration, Instant};

use tests::http::Reply;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::sink::{Post, SECRET, Sink};

const LIMIT: Duration = Duration::from_secs(6);

/// Longer than the first retry takes, jitter included.
const NO_RETRY: Duration = Duration::from_millis(2500);

fn outage(setup: &Setup) -> Scene {
    let scene = Scene::start(setup);
    scene.blue.set_status(500);
    scene.green.set_status(500);
    scene
}

fn gap(posts: &[Post]) -> Duration {
    posts[1].arrived - posts[0].arrived
}

#[track_caller]
fn retried_once(first: Answer) -> Duration {
    let scene = outage(&Setup { workers: 4, ..Setup::default() });
    scene.sink.queue(first, 1);
    scene.client.get_many(5, "/");
    let posts = scene.sink.wait_for(2, LIMIT);
    assert_eq!(posts[0].body, posts[1].body);
    scene.sink.assert_quiet_for(Duration::from_millis(300));
    gap(&posts)
}

#[test]
fn an_alert_arrives_within_milliseconds_and_once() {
    let scene = outage(&Setup { workers: 4, ..Setup::default() });
    scene.client.get_many(4, "/");
    scene.wait_filled(4);
    let failed = Instant::now();
    scene.client.get("/");
    let posts = scene.sink.wait_for(1, LIMIT);
    let took = posts[0].arrived - failed;
    assert!(took < Duration::from_millis(250), "{took:?}");
    assert!(posts[0].target.ends_with(SECRET));
    assert!(posts[0].body["blocks"].is_array(), "{:#}", posts[0].body);
    scene.sink.assert_quiet_for(Duration::from_millis(1500));
}

#[test]
fn a_failed_delivery_is_retried_after_about_a_second() {
    let gap = retried_once(Answer::Reply(Reply::new(500, "no")));
    assert!((Duration::from_millis(400)..Duration::from_secs(3)).contains(&gap), "{gap:?}");
}

#[test]
fn a_connection_that_breaks_is_retried() {
    retried_once(Answer::Close);
    retried_once(Answer::Reset);
}

#[test]
fn a_success_whose_body_says_failure_is_retried() {
    retried_once(Answer::Reply(Reply::new(200, "{\"ok\":false,\"error\":\"no_service\"}")));
}

#[test]
fn retry_after_is_honoured() {
    let gap = retried_once(Answer::Reply(Reply::new(429, "slow down").header("Retry-After", "3")));
    assert!(gap >= Duration::from_millis(2900), "{gap:?}");
}

#[test]
fn a_permanent_error_is_logged_once_and_not_retried() {
    for answer in [Reply::new(404, "no_service"), Reply::new(410, "channel_is_archived"), Reply::new(403, "no")] {
        let status = answer.status;
        let mut scene = outage(&Setup { workers: 2, ..Setup::default() });
        scene.sink.set(Answer::Reply(answer));
        scene.client.get_many(5, "/");
        scene.sink.wait_for(1, LIMIT);
        scene.sink.assert_quiet_for(NO_RETRY);
        scene.nginx.stop(tests::process::Signal::QUIT);
        let lines = scene.nginx.log_lines(&status.to_string());
        let lines: Vec<_> = lines.iter().filter(|line| line.contains("slack")).collect();
        assert_eq!(lines.len(), 1, "{}", scene.nginx.log());
        assert!(lines[0].contains("[error]"), "{}", lines[0]);
        assert!(!scene.nginx.log().contains(SECRET), "{}", scene.nginx.log());
    }
}

#[test]
fn no_spelling_of_a_secret_that_a_sink_repeats_is_shown() {
    for (said, shown) in [
        (SECRET, ""),
        ("S3CR3T-T0K3N", ""),
        ("half of it is s3cr3t", ""),
        ("czNjcjN0LXQwazNu", ""),
        ("733363723374 2d74306b336e", ""),
        ("internal_error", " (internal_error)"),
    ] {
        let scene = outage(&Setup::default());
        scene.sink.set(Answer::Reply(Reply::new(500, said)));
        scene.client.get_many(5, "/");
        scene.sink.wait_for(1, LIMIT);
        let told = || scene.status()["sinks"]["slack"]["last_error"].as_str().map(str::to_owned);
        let error = tests::wait::find(LIMIT, told).expect("the error is in the status");
        assert_eq!(error, format!("{} answered 500{shown}", scene.sink.address()), "{said}");
        assert_eq!(scene.nginx.log_lines(&format!("{error}; retrying")).len(), 1, "{}", scene.nginx.log());
    }
}

#[test]
fn a_redirect_is_permanent_and_never_followed() {
    let elsewhere = Sink::start();
    let scene = outage(&Setup::default());
    scene.sink.set(Answer::Reply(Reply::new(302, "").header("Location", &elsewhere.url())));
    scene.client.get_many(5, "/");
    scene.sink.wait_for(1, LIMIT);
    scene.sink.assert_quiet_for(NO_RETRY);
    assert!(elsewhere.posts().is_empty());
}

#[test]
fn a_sink_that_comes_back_gets_its_alert() {
    let scene = outage(&Setup { workers: 2, ..Setup::default() });
    scene.sink.go_away();
    scene.client.get_many(5, "/");
    scene.wait_filled(5);
    scene.sink.assert_quiet_for(Duration::from_millis(300));
    scene.sink.come_back();
    scene.sink.wait_for(1, LIMIT);
    scene.sink.assert_quiet_for(Duration::from_millis(300));
}

#[test]
fn a_sink_that_hangs_is_tried_again_after_its_timeout() {
    let scene = outage(&Setup { notify: "alert_notify slack {sink} timeout=1s;", ..Setup::default() });
    scene.sink.queue(Answer::Hang, 1);
    scene.client.get_many(5, "/");
    let posts = scene.sink.wait_for(2, LIMIT);
    assert!(gap(&posts) >= Duration::from_millis(1300), "{:?}", gap(&posts));
}

#[test]
fn a_sink_that_hangs_delays_no_request_and_no_detection() {
    let scene = Scene::start(&Setup { workers: 2, ..Setup::default() });
    scene.sink.set(Answer::Hang);
    scene.client.get_many(5, "/");
    scene.blue.set_status(500);
    scene.green.set_status(500);
    scene.client.get_many(10, "/");
    scene.sink.wait_for(1, LIMIT);
    for _ in 0..100 {
        let (reply, took) = scene.client.time("/");
        assert_eq!(reply.status, 500);
        assert!(took < Duration::from_millis(500), "{took:?}");
    }
    assert_eq!(scene.wait_filled(115)["window"]["failed"], 110);
}

#[test]
fn a_sink_that_hangs_delays_no_other_sink() {
    let other = Sink::start();
    let notify = format!("alert_notify slack {{sink}}; alert_notify slack {} name=other;", other.url());
    let scene = outage(&Setup { notify: &notify, ..Setup::default() });
    scene.sink.set(Answer::Hang);
    scene.client.get_many(5, "/");
    scene.sink.wait_for(1, LIMIT);
    other.wait_for(1, Duration::from_secs(2));
}

#[test]
fn a_burst_becomes_one_digest() {
    let scene = outage(&Setup {
        http: "alert_monitor one { } alert_monitor two { }",
        server: "location /one { alert one; proxy_pass http://app; } location /two { alert two; proxy_pass http://app; }",
        ..Setup::default()
    });
    for path in ["/", "/one", "/two"] {
        scene.client.get_many(5, path);
    }
    let posts = scene.sink.wait_for(2, LIMIT);
    scene.sink.assert_quiet_for(Duration::from_millis(1300));
    assert!(gap(&posts) >= Duration::from_millis(950), "{:?}", gap(&posts));
    let lines: Vec<_> = posts[1].text().lines().collect();
    assert_eq!(lines[0], "2 alerts");
    assert_eq!(lines.len(), 3, "{lines:?}");
    for (line, monitor) in lines[1..].iter().zip(["one", "two"]) {
        assert!(line.contains("High upstream 5xx rate") && line.contains(monitor), "{line}");
    }
}

#[test]
fn a_target_is_read_from_a_file() {
    let sink = Sink::start();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("webhook");
    std::fs::write(&file, format!("{}\n", sink.url())).unwrap();
    let notify = format!("alert_notify slack file:{};", file.display());
    let scene = outage(&Setup { notify: &notify, ..Setup::default() });
    scene.client.get_many(5, "/");
    sink.wait_for(1, LIMIT);
    assert!(scene.sink.posts().is_empty());
}

#[test]
fn without_a_sink_requests_are_watched_all_the_same() {
    let scene = outage(&Setup { notify: "", ..Setup::default() });
    assert_eq!(scene.client.get_many(6, "/"), [500; 6]);
    assert_eq!(scene.wait_filled(6)["window"]["failed"], 6);
}

#[test]
fn names_of_an_upstream_cannot_break_a_message_or_mention_a_channel() {
    let scene = Scene::start(&Setup { pools: "", ..Setup::default() });
    let long = "x".repeat(3000);
    scene.blue.set_headers(&[("X-App-Pool", "<!channel> \"b\" & \\ blue"), ("X-Release-Id", &long)]);
    scene.green.set_headers(&[("X-App-Pool", "<@U123|gr\u{fc}n>"), ("X-Release-Id", "")]);
    scene.client.get_many(5, "/");
    scene.blue.set_status(500);
    scene.client.get_many(3, "/");
    let posts = scene.sink.wait_for(1, LIMIT);
    let body = posts[0].body.to_string();
    assert!(posts[0].headline().contains("Failover"), "{body}");
    assert!(!body.contains("<!channel") && !body.contains("<@U123"), "{body}");
    assert!(body.len() < 20_000, "{} bytes", body.len());
    assert_eq!(scene.status()["workers"][0]["dropped"], 0);
}
