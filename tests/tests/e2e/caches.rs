//! nginx's cache in front of the pools: what it answers by itself, what it hides, and the headers that it keeps.

use std::thread;
use std::time::Duration;

use tests::http::{Reply, Request};
use tests::scene::{Scene, Setup};
use tests::server::{Answer, Server};

/// What the cache of a location keeps, and when it gives that out although it is too old.
fn cached(keeps: &str) -> String {
    format!("proxy_pass http://{{blue}}; proxy_cache answers; proxy_next_upstream off; {keeps}")
}

const HTTP: &str = "proxy_cache_path cache keys_zone=answers:1m;";

#[test]
fn answers_of_the_cache_do_not_count_and_failures_do() {
    let location = cached("proxy_cache_valid any 1h;");
    let scene = Scene::start(&Setup { http: HTTP, location: &location, ..Setup::default() });
    assert_eq!(scene.client.get_many(5, "/well"), [200; 5]);
    scene.blue.set_status(503);
    assert_eq!(scene.client.get_many(5, "/broken"), [503; 5]);
    assert_eq!(scene.blue.requests(), 2, "the others are of the cache");
    let monitor = scene.wait_filled(6);
    assert_eq!(monitor["window"]["failed"], 5);
    assert_eq!(monitor["pools"]["blue"]["failed_attempts"], 1);
}

#[test]
fn a_stale_answer_hides_a_failure_and_its_header_is_of_nobody_who_was_asked_now() {
    let location = cached("proxy_cache_valid 200 1s; proxy_cache_use_stale error timeout http_503;");
    let setup = Setup { http: HTTP, location: &location, pools: "", rules: "failover off;", ..Setup::default() };
    let scene = Scene::start(&setup);
    scene.blue.set_headers(&[("X-App-Pool", "blue"), ("X-Release-Id", "v1")]);
    scene.client.get("/");
    thread::sleep(Duration::from_millis(2100));
    scene.blue.set_headers(&[("X-App-Pool", "green"), ("X-Release-Id", "v2")]);
    scene.blue.set_status(503);
    assert_eq!(scene.client.get("/").get("X-App-Pool"), Some("blue"), "the cache keeps the header");
    scene.blue.go_away();
    assert_eq!(scene.client.get("/").status, 200);
    let monitor = scene.wait_filled(3);
    let window = &monitor["window"];
    assert_eq!((&window["failed"], &window["retried"]), (&0.into(), &2.into()), "{window}");
}

#[test]
fn an_answer_that_was_revalidated_is_one() {
    let location = cached("proxy_cache_valid 200 1s; proxy_cache_revalidate on;");
    let scene = Scene::start(&Setup { http: HTTP, location: &location, ..Setup::default() });
    scene.blue.set_headers(&[("ETag", "\"one\"")]);
    scene.client.get("/");
    thread::sleep(Duration::from_millis(2100));
    scene.blue.set(Answer::Raw(b"HTTP/1.1 304 Not Modified\r\nETag: \"one\"\r\n\r\n"));
    assert_eq!(scene.client.get("/").status, 200);
    let monitor = scene.wait_filled(2);
    let window = &monitor["window"];
    assert_eq!((&window["failed"], &window["retried"]), (&0.into(), &0.into()), "{window}");
    assert_eq!(monitor["pools"]["blue"]["answered"], 2);
}

/// A server that has the first half of a document, in slices of four bytes, and fails at the second.
fn half_a_document() -> Server {
    const LENGTH: usize = 16;
    Server::start(|request| {
        let range = request.headers.iter().find(|(name, _)| name == "Range").map(|(_, value)| value.as_str());
        let first = range.and_then(|range| range.strip_prefix("bytes=")?.split('-').next()?.parse().ok()).unwrap_or(0);
        if first >= LENGTH / 2 {
            return Answer::Reply(Reply::new(503, "gone"));
        }
        let range = format!("bytes {first}-{}/{LENGTH}", first + 3);
        Answer::Reply(Reply::new(206, "four").header("Content-Range", &range).header("ETag", "\"one\""))
    })
}

#[test]
fn an_answer_of_which_a_slice_is_missing_is_a_failure_also_where_its_first_slice_is_kept() {
    let server = half_a_document();
    let scene = Scene::start(&Setup {
        http: HTTP,
        pools: &format!("pool blue {};", server.address()),
        location: &format!(
            "slice 4; proxy_cache answers; proxy_cache_key $uri$slice_range; proxy_set_header Range $slice_range;
             proxy_cache_valid 206 1h; proxy_next_upstream off; proxy_http_version 1.1; proxy_pass http://{};",
            server.address()
        ),
        ..Setup::default()
    });
    for _ in 0..3 {
        assert!(scene.client.try_send(&Request::new("GET", "/")).is_err(), "the client notices");
    }
    let monitor = scene.wait_filled(3);
    assert_eq!((&monitor["window"]["failed"], &monitor["pools"]["blue"]["causes"]["cut"]), (&3.into(), &1.into()));
}
