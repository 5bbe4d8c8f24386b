//! Subrequests are parts of an answer and no answers: what they ask upstreams for moves nothing.

use tests::scene::{Scene, Setup};

/// Ten requests, in whose subrequests green fails each time.
#[track_caller]
fn nothing_is_told(setup: &Setup) -> Scene {
    let scene = Scene::start(setup);
    scene.green.set_status(503);
    scene.client.get_many(10, "/");
    scene
}

#[test]
fn mirrored_requests_are_not_counted() {
    let scene = nothing_is_told(&Setup {
        workers: 4,
        server: "location = /copy { internal; proxy_pass http://{green}; }",
        location: "mirror /copy; proxy_pass http://{blue};",
        ..Setup::default()
    });
    let monitor = scene.wait_filled(10);
    assert!(scene.green.requests() > 0, "the requests are mirrored");
    scene.assert_told(&[]);
    assert_eq!(monitor["pools"]["green"]["failed_attempts"], 0);
    assert_eq!(monitor["pools"]["blue"]["answered"], 10);
}

#[test]
fn a_failing_authorization_fails_the_request_and_is_no_failure_of_the_pool_that_would_answer() {
    let scene = nothing_is_told(&Setup {
        server: "location = /authorization { internal; proxy_pass http://{green}; }",
        location: "auth_request /authorization; proxy_pass http://{blue};",
        ..Setup::default()
    });
    assert_eq!(scene.client.get("/").status, 500, "nginx's answer to a failing authorization");
    let monitor = scene.wait_filled(11);
    assert_eq!(monitor["window"]["failed"], 11);
    assert_eq!(
        (&monitor["pools"]["blue"]["failed_attempts"], &monitor["pools"]["green"]["failed_attempts"]),
        (&0.into(), &0.into())
    );
    assert_eq!(scene.sink.wait_for(1, std::time::Duration::from_secs(5)).len(), 1);
}

#[test]
fn an_included_part_that_fails_is_no_failure_of_the_page() {
    let page = tests::http::Reply::new(200, "<!--#include virtual=\"/part\" -->").header("Content-Type", "text/html");
    let scene = Scene::start(&Setup {
        server: "location = /part { proxy_pass http://{green}; }",
        location: "ssi on; proxy_pass http://{blue};",
        ..Setup::default()
    });
    scene.green.set_status(503);
    scene.blue.set(tests::server::Answer::Reply(page));
    scene.client.get_many(10, "/");
    assert!(scene.green.requests() > 0, "the part is asked for");
    let monitor = scene.wait_filled(10);
    scene.assert_told(&[]);
    assert_eq!(monitor["window"]["failed"], 0);
}
