//! Names come from upstreams, so they may be anything: they never crash, never grow memory, never break the status.

use tests::scene::{Scene, Setup};
use tests::server::Answer;

/// Pools that a monitor tells apart.
const POOLS_MAX: usize = 31;

fn learning(workers: usize) -> Scene {
    Scene::start(&Setup { workers, pools: "", ..Setup::default() })
}

#[test]
fn names_that_change_with_every_answer_stay_bounded_and_move_nothing() {
    let scene = learning(4);
    for n in 0..150 {
        scene.blue.set_headers(&[("X-App-Pool", &format!("pool-{n}")), ("X-Release-Id", &format!("release-{n}"))]);
        assert_eq!(scene.client.get("/").status, 200);
    }
    let monitor = scene.wait_filled(150);
    scene.assert_told(&[]);
    let pools = monitor["pools"].as_object().expect("an object of pools");
    assert_eq!(pools.len(), POOLS_MAX);
    assert!(pools.contains_key("pool-0"), "the first names stay: {pools:?}");
}

#[test]
fn bytes_that_are_no_text_are_replaced() {
    let scene = learning(1);
    let raw = b"HTTP/1.1 200 OK\r\nX-App-Pool: \xff\xfe\x80 \"<!here>\r\nX-Release-Id: \xc3\r\nContent-Length: 2\r\n\
        Connection: close\r\n\r\nok";
    scene.blue.set(Answer::Raw(raw));
    scene.client.get_many(3, "/");
    // Reading it at all means that it is valid JSON in valid UTF-8.
    let monitor = scene.wait_filled(3);
    let names: Vec<&String> = monitor["pools"].as_object().expect("an object of pools").keys().collect();
    assert_eq!(names, ["\u{fffd}\u{fffd}\u{fffd} \"<!here>"]);
}

#[test]
fn an_empty_name_is_none() {
    let scene = learning(1);
    scene.blue.set_headers(&[("X-App-Pool", ""), ("X-Release-Id", "")]);
    scene.client.get_many(3, "/");
    let monitor = scene.wait_filled(3);
    assert_eq!(monitor["pools"].as_object().map(|pools| pools.len()), Some(0));
}
