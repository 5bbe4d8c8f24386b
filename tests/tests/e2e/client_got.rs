//! What the client got decides: through error pages, answers that were cut off, and patience that ended.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use tests::http::{Reply, Request};
use tests::scene::{Scene, Setup};
use tests::server::Answer;

/// Nothing is retried.
const ALONE: &str = "proxy_pass http://{blue}; proxy_http_version 1.1; proxy_set_header Connection \"\";";

#[test]
fn an_error_page_from_another_service_hides_no_failure() {
    let scene = Scene::start(&Setup {
        server: "error_page 500 502 503 504 @sorry; proxy_intercept_errors on;
                 location @sorry { rewrite ^ /sorry.html break; proxy_pass http://{green}; }",
        location: "proxy_pass http://{blue};",
        pools: "pool blue {blue};",
        ..Setup::default()
    });
    scene.blue.set_status(503);
    assert_eq!(scene.client.get_many(3, "/"), [503; 3]);
    scene.blue.go_away();
    assert_eq!(scene.client.get_many(3, "/"), [502; 3]);
    let monitor = scene.wait_filled(6);
    assert_eq!(monitor["window"]["failed"], 6);
    let causes = &monitor["pools"]["blue"]["causes"];
    assert_eq!((&causes["status"], &causes["connect"]), (&3.into(), &3.into()), "{causes}");
    assert_eq!(monitor["pools"]["blue"]["failed_requests"], 6);
}

#[test]
fn an_error_page_that_is_an_answer_hides_a_failure() {
    let scene = Scene::start(&Setup {
        server: "location = /sorry.html { return 200 sorry; }",
        location: "proxy_pass http://{blue}; proxy_intercept_errors on; error_page 503 =200 /sorry.html;",
        ..Setup::default()
    });
    scene.blue.set_status(503);
    assert_eq!(scene.client.get_many(3, "/"), [200; 3]);
    let window = scene.wait_filled(3)["window"].take();
    assert_eq!((&window["failed"], &window["retried"]), (&0.into(), &3.into()), "{window}");
}

#[test]
fn an_answer_that_the_upstream_broke_off_is_a_failure() {
    const HALF: &[u8] = b"HTTP/1.1 200 OK\r\nX-App-Pool: blue\r\nContent-Length: 1000\r\n\r\nhalf of it";
    const CHUNK: &[u8] = b"HTTP/1.1 200 OK\r\nX-App-Pool: blue\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    for buffering in ["on", "off"] {
        let scene =
            Scene::start(&Setup { location: &format!("{ALONE} proxy_buffering {buffering};"), ..Setup::default() });
        for answer in [HALF, CHUNK] {
            scene.blue.queue(Answer::Raw(answer), 1);
            assert!(scene.client.try_send(&Request::new("GET", "/")).is_err(), "the client notices");
        }
        assert_eq!(scene.client.get("/").status, 200);
        let monitor = scene.wait_filled(3);
        assert_eq!(monitor["window"]["failed"], 2, "proxy_buffering {buffering}: {monitor:#}");
        assert_eq!(monitor["pools"]["blue"]["causes"]["cut"], 2);
    }
}

#[test]
fn an_answer_that_is_not_valid_is_a_failure_although_nginx_passes_on_what_came() {
    const NO_HEADER: &[u8] = b"nothing that HTTP knows\r\n\r\n";
    const NO_CHUNK: &[u8] =
        b"HTTP/1.1 200 OK\r\nX-App-Pool: blue\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n";
    for buffering in ["on", "off"] {
        let scene =
            Scene::start(&Setup { location: &format!("{ALONE} proxy_buffering {buffering};"), ..Setup::default() });
        for answer in [NO_HEADER, NO_CHUNK] {
            scene.blue.queue(Answer::Raw(answer), 1);
            // A client that stays to the end, whatever comes: one that goes away sooner says nothing.
            let mut client = TcpStream::connect(scene.address()).expect("nginx accepts connections");
            client
                .write_all(b"GET / HTTP/1.1\r\nHost: app.example\r\nConnection: close\r\n\r\n")
                .expect("nginx reads the request");
            let read = client.read_to_end(&mut Vec::new());
            assert!(read.is_ok(), "nginx closes the connection: {read:?}");
        }
        let monitor = scene.wait_filled(2);
        assert_eq!(monitor["window"]["failed"], 2, "proxy_buffering {buffering}: {monitor:#}");
        assert_eq!(monitor["pools"]["blue"]["causes"]["cut"], 2);
    }
}

#[test]
fn an_answer_that_begins_like_all_those_before_it_is_looked_at_to_its_end() {
    macro_rules! answer {
        ($header:literal, $body:literal) => {
            concat!("HTTP/1.1 200 OK\r\nX-App-Pool: blue\r\n", $header, "\r\n\r\n", $body).as_bytes()
        };
    }
    const WHOLE: &[u8] = answer!("Content-Length: 9", "all of it");
    const HALF: &[u8] = answer!("Content-Length: 9", "half");
    const CHUNKS: &[u8] = answer!("Transfer-Encoding: chunked", "4\r\nhalf\r\n0\r\n\r\n");
    const CHUNK: &[u8] = answer!("Transfer-Encoding: chunked", "4\r\nhalf\r\n");
    const NO_CHUNK: &[u8] = answer!("Transfer-Encoding: chunked", "4\r\nhalf\r\nzz\r\n");
    for buffering in ["on", "off"] {
        for proxy in ["proxy_pass http://{blue};", ALONE] {
            let location = format!("{proxy} proxy_buffering {buffering};");
            let scene = Scene::start(&Setup { location: &location, ..Setup::default() });
            let ends = [(WHOLE, HALF), (CHUNKS, CHUNK), (CHUNKS, NO_CHUNK)];
            for (at, (good, bad)) in (1..).zip(ends) {
                scene.blue.queue(Answer::Raw(good), 3);
                assert_eq!(scene.client.get_many(3, "/"), [200; 3]);
                scene.blue.queue(Answer::Raw(bad), 1);
                assert!(scene.client.try_send(&Request::new("GET", "/")).is_err(), "the client notices");
                assert_eq!(scene.wait_filled(4 * at)["window"]["failed"], at, "{location} {}", bad.escape_ascii());
            }
        }
    }
}

#[test]
fn complete_answers_of_every_kind_are_no_failures() {
    const UNTIL_CLOSE: &[u8] = b"HTTP/1.0 200 OK\r\nX-App-Pool: blue\r\n\r\nall of it";
    const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nall\r\n0\r\n\r\n";
    const EMPTY: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
    for buffering in ["on", "off"] {
        let scene =
            Scene::start(&Setup { location: &format!("{ALONE} proxy_buffering {buffering};"), ..Setup::default() });
        for answer in [UNTIL_CLOSE, CHUNKED, EMPTY] {
            scene.blue.queue(Answer::Raw(answer), 1);
            scene.client.get("/");
        }
        assert_eq!(scene.client.send(&Request::new("HEAD", "/")).status, 200);
        scene.blue.queue(Answer::Reply(Reply::new(200, &"x".repeat(500_000))), 1);
        scene.client.get("/");
        let monitor = scene.wait_filled(5);
        assert_eq!(monitor["window"]["failed"], 0, "proxy_buffering {buffering}: {monitor:#}");
    }
}

#[test]
fn a_client_that_goes_away_in_the_middle_of_an_answer_cuts_nothing() {
    for buffering in ["on", "off"] {
        let scene = Scene::start(&Setup {
            location: &format!("{ALONE} proxy_buffering {buffering}; proxy_max_temp_file_size 0;"),
            ..Setup::default()
        });
        scene.blue.set(Answer::Reply(Reply::new(200, &"x".repeat(20_000_000))));
        let mut client = TcpStream::connect(scene.address()).expect("nginx accepts connections");
        client.write_all(b"GET / HTTP/1.1\r\nHost: app.example\r\n\r\n").expect("nginx reads the request");
        assert!(client.read(&mut [0; 1000]).is_ok_and(|read| read > 0), "the answer has begun");
        drop(client);
        let monitor = scene.wait_filled(1);
        assert_eq!(monitor["window"]["failed"], 0, "proxy_buffering {buffering}: {monitor:#}");
    }
}

#[test]
fn clients_that_give_up_on_a_hung_pool_abandoned_their_requests() {
    let scene =
        Scene::start(&Setup { location: "proxy_pass http://{blue}; proxy_read_timeout 30s;", ..Setup::default() });
    scene.blue.set(Answer::Hang);
    scene.client.abandon("/", || thread::sleep(Duration::from_millis(100)));
    thread::scope(|scope| {
        (0..3)
            .for_each(|_| _ = scope.spawn(|| scene.client.abandon("/", || thread::sleep(Duration::from_millis(1200)))));
    });
    let monitor = scene.wait_filled(3);
    let window = &monitor["window"];
    assert_eq!((&window["abandoned"], &window["failed"]), (&3.into(), &0.into()), "{window}");
    assert_eq!(monitor["pools"]["blue"]["failed_attempts"], 0);
}

#[test]
fn a_status_of_600_and_above_is_no_failure() {
    let scene = Scene::start(&Setup { location: ALONE, ..Setup::default() });
    scene.blue.set(Answer::Raw(b"HTTP/1.1 700 Odd\r\nX-App-Pool: blue\r\nContent-Length: 0\r\n\r\n"));
    assert_eq!(scene.client.get_many(6, "/"), [700; 6]);
    assert_eq!(scene.wait_filled(6)["window"]["failed"], 0);
}

#[test]
fn an_answer_that_failure_if_names_is_a_failure() {
    let scene = Scene::start(&Setup {
        http: "map $upstream_http_grpc_status $failed { default 0; 14 1; }",
        rules: "failure_if $failed;",
        location: ALONE,
        ..Setup::default()
    });
    scene.client.get("/");
    scene.blue.set_headers(&[("grpc-status", "14")]);
    assert_eq!(scene.client.get_many(2, "/"), [200; 2]);
    let monitor = scene.wait_filled(3);
    assert_eq!((&monitor["window"]["failed"], &monitor["pools"]["blue"]["causes"]["status"]), (&2.into(), &2.into()));
}
