//! The harness itself, with an nginx that has no module: a test can only be trusted if it is able to fail.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tests::address;
use tests::client::Client;
use tests::http::{Reply, Request};
use tests::nginx::{Check, Config, Nginx};
use tests::process::{self, Signal};
use tests::server::Answer;
use tests::sink::Sink;
use tests::upstream::Upstream;
use tests::wait;

struct Plain {
    nginx: Nginx,
    upstream: Upstream,
    client: Client,
}

fn plain(workers: usize) -> Plain {
    let (upstream, listen) = (Upstream::start("blue", "v1"), address::free());
    let http = format!(
        "server {{ listen {listen} reuseport; proxy_read_timeout 1s; location / {{ proxy_pass http://{}; }} }}",
        upstream.address()
    );
    let config = Config { workers, with_module: false, listen: Some(listen), ..Config::new(&http) };
    Plain { nginx: Nginx::start(config), upstream, client: Client::new(listen) }
}

#[test]
fn every_kind_of_upstream_failure_is_what_nginx_takes_it_for() {
    let Plain { nginx, upstream, client } = plain(1);
    let reply = client.get("/");
    assert_eq!((reply.status, reply.get("X-App-Pool"), reply.get("X-Release-Id")), (200, Some("blue"), Some("v1")));
    for (answer, status, logged) in [
        (Answer::Reply(Reply::new(503, "busy")), 503, None),
        (Answer::Close, 502, Some("prematurely closed")),
        (Answer::Reset, 502, Some("reset by peer")),
        (Answer::Raw(b"HTTP/1.1 200 OK\r\nbroken\x01header\r\n\r\n"), 502, Some("invalid header")),
        (Answer::Hang, 504, Some("timed out")),
    ] {
        upstream.queue(answer.clone(), 1);
        assert_eq!(client.get("/").status, status, "{answer:?}");
        assert!(logged.is_none_or(|part| nginx.log_lines(part).len() == 1), "{answer:?}: {}", nginx.log());
    }
    upstream.go_away();
    assert_eq!(client.get("/").status, 502);
    assert_eq!(nginx.log_lines("Connection refused").len(), 1);
    upstream.come_back();
    assert_eq!(client.get("/").status, 200);
    assert_eq!(upstream.requests(), 7);
}

#[test]
fn connections_are_spread_over_all_workers_and_kept_alive_on_one() {
    let Plain { client, upstream, nginx } = plain(4);
    assert_eq!(nginx.workers().len(), 4);
    assert!(client.get_concurrently(4, 25, "/").iter().all(|status| *status == 200));
    let mut connection = client.connect().unwrap();
    for _ in 0..3 {
        assert_eq!(connection.send(&Request::new("GET", "/")).unwrap().status, 200);
    }
    assert_eq!(upstream.requests(), 103);
}

#[test]
fn a_reload_replaces_the_workers() {
    let plain = plain(2);
    let before = plain.nginx.workers();
    plain.nginx.reload();
    assert!(plain.nginx.workers().iter().all(|pid| !before.contains(pid)));
    assert_eq!(plain.client.get("/").status, 200);
}

#[test]
fn both_ways_to_stop_leave_no_process() {
    for signal in [Signal::TERM, Signal::QUIT] {
        let mut nginx = plain(2).nginx;
        let workers = nginx.workers();
        nginx.stop(signal);
        assert!(workers.iter().all(|pid| !process::is_alive(*pid)));
    }
}

#[test]
fn an_alarming_error_log_fails_the_test() {
    let Plain { mut nginx, .. } = plain(1);
    let worker = nginx.workers()[0];
    process::signal(worker, Signal::SEGV);
    wait::until("another worker", Duration::from_secs(5), || nginx.workers().first().is_some_and(|pid| *pid != worker));
    let failed = catch_unwind(AssertUnwindSafe(|| drop(nginx)));
    assert!(failed.is_err(), "a worker that crashed went unnoticed");

    nginx = plain(1).nginx;
    nginx.kill_worker(nginx.workers()[0]);
}

#[test]
fn a_sink_remembers_what_it_was_sent() {
    let sink = Sink::start();
    let target = sink.url();
    let (address, path) = target.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let client = Client::new(address.parse().unwrap());
    let post = Request::new("POST", &format!("/{path}")).body(r#"{"text": "first\nsecond"}"#);
    sink.queue(Answer::Reply(Reply::new(500, "no")), 1);
    assert_eq!(client.send(&post).status, 500);
    assert_eq!(client.send(&post).text(), "ok");
    let posts = sink.wait_for(2, Duration::from_secs(1));
    assert_eq!((posts[1].headline(), posts[0].text()), ("first", "first\nsecond"));
    assert!(posts[0].arrived <= posts[1].arrived);
    sink.assert_quiet_for(Duration::from_millis(20));

    assert!(catch_unwind(AssertUnwindSafe(|| sink.wait_for(3, Duration::from_millis(20)))).is_err());
    sink.go_away();
    assert!(client.try_send(&post).is_err());
}

#[test]
fn a_configuration_test_tells_the_place_of_a_mistake() {
    let check = |http: &str| Check::run(&Config { with_module: false, ..Config::new(http) });
    let good = check("server { listen 127.0.0.1:1; }");
    assert!(good.good, "{}", good.output);
    let bad = check("sendfile on;\nclient_max_body_size much;");
    assert!(!bad.good);
    assert!(bad.output.contains(&bad.place_of("much")), "{}", bad.output);
}
