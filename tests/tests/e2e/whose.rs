//! Whose an attempt was: the table of pools, what answers say, and where they contradict each other.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::thread;
use std::time::Duration;

use tests::address;
use tests::dns::NameServer;
use tests::http::Reply;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::wait;

const LIMIT: Duration = Duration::from_secs(5);

#[test]
fn requests_to_addresses_of_no_pool_are_counted_as_such_and_told_once() {
    let pools = "pool blue 127.0.0.1:1; pool green 127.0.0.1:2;";
    let scene = Scene::start(&Setup {
        pools,
        rules: "pool_from $no_pool;",
        http: "map $host $no_pool { default \"\"; }",
        ..Setup::default()
    });
    assert_eq!(scene.client.get_many(5, "/"), [200; 5]);
    let monitor = scene.wait_filled(5);
    assert_eq!(monitor["unmatched"]["requests"], 5);
    assert_eq!(monitor["unmatched"]["address"], scene.blue.address().to_string());
    let warnings = || scene.nginx.log_lines("which is in no \"pool\" of monitor \"app\"").len();
    wait::until("a warning", LIMIT, || warnings() == 1);
    scene.client.get_many(5, "/");
    scene.wait_filled(10);
    assert_eq!(warnings(), 1);
}

#[test]
fn where_a_header_contradicts_the_table_the_table_counts_and_one_warning_says_so() {
    let scene = Scene::start(&Setup { pools: "pool green {blue}; pool blue {green};", ..Setup::default() });
    assert_eq!(scene.client.get("/").get("X-App-Pool"), Some("blue"));
    scene.client.get_many(4, "/");
    let monitor = scene.wait_filled(5);
    assert_eq!((&monitor["pools"]["green"]["answered"], &monitor["pools"]["blue"]["answered"]), (&5.into(), &0.into()));
    wait::until("a warning", LIMIT, || scene.nginx.log_lines("says that it is pool \"blue\"").len() == 1);
}

#[test]
fn a_name_that_moves_to_another_pool_takes_traffic_there_and_one_that_is_gone_fails_it() {
    let blue = address::free();
    let green = SocketAddr::new(address::free().ip(), blue.port());
    let [IpAddr::V4(blue_ip), IpAddr::V4(green_ip)] = [blue.ip(), green.ip()] else { panic!("addresses of IPv4") };
    let names = NameServer::start(blue_ip);
    // nginx itself answers behind both addresses.
    let server =
        |at, pool| format!("server {{ listen {at}; location / {{ add_header X-App-Pool {pool}; return 200 ok; }} }}\n");
    let scene = Scene::start(&Setup {
        workers: 2,
        pools: &format!("pool blue {blue}; pool green {green}; active blue;"),
        http: &(server(blue, "blue") + &server(green, "green")),
        location: &format!(
            "resolver {} ipv6=off; set $upstream app.test; proxy_pass http://$upstream:{};",
            names.address(),
            blue.port()
        ),
        ..Setup::default()
    });
    assert_eq!(scene.client.get("/").get("X-App-Pool"), Some("blue"));
    names.set(Some(green_ip));
    // Each worker keeps the old address for up to a second.
    thread::sleep(Duration::from_millis(2100));
    assert!((0..20).all(|_| scene.client.get("/").get("X-App-Pool") == Some("green")));
    scene.assert_told_once(":rotating_light: Failover detected — pool changed from blue → green");
    assert!(scene.sink.posts()[0].text().contains("no failure"), "{}", scene.sink.posts()[0].text());
    names.set(None);
    thread::sleep(Duration::from_millis(2100));
    assert_eq!(scene.client.get_many(5, "/"), [502; 5]);
    let told = scene.sink.wait_for(2, LIMIT);
    assert!(told[1].headline().starts_with(":warning: High upstream 5xx rate"), "{}", told[1].headline());
}

/// nginx keeps the address of each in the memory of the request, where that of another one lay before.
#[test]
fn servers_that_requests_name_are_told_apart() {
    let scene = Scene::start(&Setup { location: "proxy_pass http://$arg_to;", ..Setup::default() });
    let servers = [&scene.blue, &scene.green];
    servers.iter().for_each(|server| server.set(Answer::Reply(Reply::new(200, "the same of both"))));
    for _ in 0..25 {
        servers.iter().for_each(|server| _ = scene.client.get(&format!("/?to={}", server.address())));
    }
    let pools = scene.wait_filled(50)["pools"].take();
    assert_eq!((&pools["blue"]["answered"], &pools["green"]["answered"]), (&25.into(), &25.into()));
}

#[test]
fn no_live_upstreams_are_of_no_pool_and_no_address() {
    let scene = Scene::start(&Setup {
        pools: "",
        upstream: "server {blue} max_fails=1 fail_timeout=1h; server {green} max_fails=1 fail_timeout=1h;",
        ..Setup::default()
    });
    scene.client.get_many(4, "/");
    scene.wait_filled(4);
    [&scene.blue, &scene.green].into_iter().for_each(|pool| pool.set_status(503));
    assert_eq!(scene.client.get("/").status, 503);
    assert_eq!(scene.client.get_many(5, "/"), [502; 5]);
    let monitor = scene.wait_filled(10);
    assert_eq!(monitor["window"]["failed"], 6);
    let pools = monitor["pools"].as_object().expect("pools");
    assert_eq!(pools.keys().collect::<Vec<_>>(), ["blue", "green"], "the upstream's name is no pool");
    let failed = |pool: &str| monitor["pools"][pool]["failed_attempts"].as_u64().expect("a number");
    // The last try of a request marks nobody as down, so one of them was asked once more.
    assert_eq!(failed("blue") + failed("green"), 3, "{monitor:#}");
}

/// A server whose header comes at once and whose body after a while. It ends with the tests.
fn slow_body(after: Duration) -> SocketAddr {
    let listener = address::listener();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
                thread::sleep(after);
                let _ = stream.write_all(b"body");
            });
        }
    });
    address
}

#[test]
fn latency_ends_with_the_header_unless_it_is_that_of_the_response() {
    let slow = slow_body(Duration::from_millis(400));
    for (of, is_slow) in [("", false), ("of=response", true)] {
        let scene = Scene::start(&Setup {
            rules: &format!("window 5; latency p50 200ms {of};"),
            location: &format!("proxy_pass http://{slow};"),
            ..Setup::default()
        });
        scene.client.get_many(5, "/");
        let p50 = scene.wait_filled(5)["window"]["p50_ms"].as_u64().expect("a time");
        assert_eq!(p50 >= 400, is_slow, "{of} {p50}");
        if is_slow {
            scene.sink.wait_for(1, LIMIT);
        } else {
            scene.assert_told(&[]);
        }
    }
}

/// Answers at this socket until it is dropped, or all of the tests are over.
fn answer_at(path: &Path) -> UnixListener {
    let listener = UnixListener::bind(path).expect("a socket");
    fs::set_permissions(path, Permissions::from_mode(0o777)).expect("for all users");
    let accepting = listener.try_clone().expect("a second handle");
    thread::spawn(move || {
        while let Ok((mut stream, _)) = accepting.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    listener
}

#[test]
fn addresses_that_differ_only_at_the_end_of_a_long_path_are_told_apart() {
    let directory = tempfile::Builder::new().prefix(&"long-".repeat(9)).tempdir().expect("a directory");
    fs::set_permissions(directory.path(), Permissions::from_mode(0o755)).expect("for all users");
    let [blue, green] = ["blue", "green"].map(|pool| directory.path().join(pool));
    let _listening = [&blue, &green].map(|path| answer_at(path));
    let (blue, green) = (blue.display(), green.display());
    let mut scene = Scene::start(&Setup {
        pools: &format!("pool blue unix:{blue}; pool green unix:{green};"),
        upstream: &format!("server unix:{blue} max_fails=0; server unix:{green} backup max_fails=0;"),
        ..Setup::default()
    });
    assert_eq!(scene.client.get_many(3, "/"), [200; 3]);
    scene.wait_filled(3);
    scene.nginx.expect_in_log("No such file or directory");
    fs::remove_file(directory.path().join("blue")).expect("blue is gone");
    assert_eq!(scene.client.get_many(3, "/"), [200; 3]);
    let monitor = scene.wait_filled(6);
    assert_eq!((&monitor["pools"]["blue"]["answered"], &monitor["pools"]["green"]["answered"]), (&3.into(), &3.into()));
    scene.assert_told_once(":rotating_light: Failover detected — pool changed from blue → green");
}
