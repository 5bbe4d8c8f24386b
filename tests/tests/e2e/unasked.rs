//! Requests that fail before any server is asked: their clients get a 5xx, so they count, and no pool is to blame.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use tests::nginx::Config;
use tests::scene::{Scene, Setup};
use tests::wait;

const LIMIT: Duration = Duration::from_secs(5);

/// Six requests, each of which ends with this status, and an alert that says so.
#[track_caller]
fn every_request_fails(setup: &Setup, status: u16) -> Scene {
    let scene = Scene::start(setup);
    assert_eq!(scene.client.get_many(6, "/"), [status; 6]);
    let monitor = scene.wait_filled(6);
    assert_eq!(monitor["window"]["failed"], 6, "{monitor:#}");
    for pool in ["blue", "green"] {
        assert_eq!(monitor["pools"][pool]["failed_attempts"], 0, "{monitor:#}");
    }
    let told = scene.sink.wait_for(1, LIMIT);
    assert!(told[0].headline().contains("High upstream 5xx rate"), "{}", told[0].headline());
    scene
}

#[test]
fn a_name_that_does_not_resolve_counts() {
    let location =
        "resolver 127.0.0.1:9; resolver_timeout 100ms; set $upstream nowhere.test; proxy_pass http://$upstream;";
    every_request_fails(&Setup { location, ..Setup::default() }, 502);
}

#[test]
fn a_name_of_no_upstream_counts() {
    let http = "map $host $upstream { default gren; }";
    every_request_fails(&Setup { http, location: "proxy_pass http://$upstream;", ..Setup::default() }, 502);
}

#[test]
fn a_url_that_is_none_counts() {
    let location = "set $upstream ftp://app; proxy_pass $upstream;";
    every_request_fails(&Setup { location, ..Setup::default() }, 500);
}

#[test]
fn an_address_that_cannot_be_bound_counts() {
    let location = "proxy_pass http://app; proxy_bind 192.0.2.1;";
    let mut scene = every_request_fails(&Setup { location, ..Setup::default() }, 500);
    scene.nginx.expect_in_log("bind(192.0.2.1) failed");
}

#[test]
fn a_failing_authorization_with_an_error_page_counts() {
    let setup = Setup {
        server: "location = /authorization { internal; proxy_pass http://127.0.0.1:9; }
                 error_page 500 502 503 504 /sorry.html; location = /sorry.html { return 200 sorry; }",
        location: "auth_request /authorization; proxy_pass http://app;",
        ..Setup::default()
    };
    every_request_fails(&setup, 500);
}

#[test]
fn a_client_certificate_that_is_not_there_counts() {
    // Known only when a request comes, so that nginx starts all the same.
    let location =
        "set $key /nowhere.pem; proxy_pass https://{blue}; proxy_ssl_certificate $key; proxy_ssl_certificate_key $key;";
    let scene = Scene::start(&Setup { location, ..Setup::default() });
    assert_eq!(scene.client.get_many(6, "/"), [500; 6]);
    let monitor = scene.wait_filled(6);
    assert_eq!((&monitor["window"]["failed"], &monitor["pools"]["blue"]["causes"]["local"]), (&6.into(), &6.into()));
    scene.assert_told_once(":warning: High upstream 5xx rate");
}

/// Takes up whatever nginx has for each connection, until there is one left for a client and none for an upstream.
#[track_caller]
fn exhaust(scene: &Scene) -> Vec<TcpStream> {
    let mut held = Vec::new();
    while scene.client.get("/").status == 200 {
        let mut stream = TcpStream::connect(scene.address()).expect("nginx accepts connections");
        stream.write_all(b"GET / HTTP/1.1\r\n").expect("nginx reads");
        held.push(stream);
        assert!(held.len() < 500, "nginx has more than it should");
        // It lets go of what it had for the request a moment after the answer.
        thread::sleep(Duration::from_millis(20));
    }
    held
}

/// A request finds nothing left for its upstream, again and again.
#[track_caller]
fn every_request_finds_nothing_left(adjust: impl FnOnce(&mut Config), in_log: &'static str) {
    // A sink would take a descriptor too.
    let mut scene = Scene::start_with(&Setup { notify: "", ..Setup::default() }, adjust);
    scene.nginx.expect_in_log(in_log);
    let held = exhaust(&scene);
    assert_eq!(scene.client.get_many(4, "/"), [500; 4]);
    drop(held);
    let status = wait::find(LIMIT, || Some(scene.status()).filter(|status| !status["alerts"][0].is_null()));
    let status = status.expect("an alert");
    assert_eq!(
        (&status["alerts"][0]["kind"], &status["alerts"][0]["status"]),
        (&"error_rate".into(), &"firing".into())
    );
    let window = &status["monitors"]["app"]["window"];
    assert_eq!(window["failed"], 5, "{window}");
}

#[test]
fn used_up_connection_slots_count() {
    every_request_finds_nothing_left(|config| config.connections = 32, "worker_connections are not enough");
}

#[test]
fn used_up_descriptors_count() {
    every_request_finds_nothing_left(|config| config.main += "worker_rlimit_nofile 48;", "(24: Too many open files)");
}

#[test]
fn a_name_that_does_not_resolve_is_a_retry_where_another_upstream_answers_instead() {
    let scene = Scene::start(&Setup {
        server: "location @green { proxy_pass http://{green}; }",
        location: "resolver 127.0.0.1:9; resolver_timeout 50ms; error_page 502 = @green;
                   set $upstream nowhere.test; proxy_pass http://$upstream;",
        ..Setup::default()
    });
    assert_eq!(scene.client.get_many(6, "/"), [200; 6]);
    let window = scene.wait_filled(6)["window"].take();
    assert_eq!((&window["failed"], &window["retried"]), (&0.into(), &6.into()), "{window}");
}

#[test]
fn what_nginx_answers_by_itself_does_not_count() {
    let scene = Scene::start(&Setup {
        http: "limit_req_zone $uri zone=one:64k rate=1r/m;",
        server: "location /return { return 502; } location /deny { deny all; proxy_pass http://app; }
                 location /limit { limit_req zone=one; limit_req_status 500; proxy_pass http://app; }
                 location /file { root /nowhere; } location /paged { error_page 504 /sorry; return 504; }
                 location = /sorry { return 200 sorry; }
                 location /here { return 502; proxy_pass http://app; }
                 location /tried { try_files /none =500; proxy_pass http://app; }",
        ..Setup::default()
    });
    for (path, status) in
        [("/return", 502), ("/deny", 403), ("/file", 404), ("/paged", 504), ("/here", 502), ("/tried", 500)]
    {
        assert_eq!(scene.client.get(path).status, status, "{path}");
    }
    assert_eq!(scene.client.get_many(3, "/limit"), [200, 500, 500]);
    assert_eq!(scene.wait_filled(1)["window"]["failed"], 0);
    scene.assert_told(&[]);
}

#[test]
fn a_client_that_gives_up_on_a_hanging_authorization_abandoned_its_request() {
    let scene = Scene::start(&Setup {
        server: "location = /authorization { internal; proxy_pass http://{green}; proxy_read_timeout 30s; }",
        location: "auth_request /authorization; proxy_pass http://{blue};",
        ..Setup::default()
    });
    scene.green.set(tests::server::Answer::Hang);
    scene.client.abandon("/", || thread::sleep(Duration::from_millis(1200)));
    assert_eq!(scene.wait_filled(1)["window"]["abandoned"], 1);
}
