//! Upstreams that do not speak HTTP/1: nginx records their attempts in the same way, and clients with HTTP/2.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::thread;

use tests::address;
use tests::http::Request;
use tests::scene::{Scene, Setup};

const FAILOVER: &str = ":rotating_light: Failover detected — pool changed from blue → green";

/// Starts a server that reads a request of whatever protocol and answers with these bytes. It ends with the tests.
fn responder(answer: Vec<u8>) -> SocketAddr {
    responder_in_turn(vec![answer])
}

/// The same with an answer for each request, and the last one for all others.
fn responder_in_turn(answers: Vec<Vec<u8>>) -> SocketAddr {
    let listener: TcpListener = address::listener();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        let mut at = 0;
        while let Ok((mut stream, _)) = listener.accept() {
            let _ = stream.read(&mut [0; 4096]);
            let _ = stream.write_all(&answers[at]);
            at = (at + 1).min(answers.len() - 1);
        }
    });
    address
}

/// Blue fails and green answers: told at the second request, with the releases that the answers named.
#[track_caller]
fn a_failover_is_told(blue: SocketAddr, green: SocketAddr, http: &str, location: &str) {
    let scene = Scene::start(&Setup {
        workers: 4,
        pools: &format!("pool blue {blue}; pool green {green}; active blue;"),
        upstream: &format!("server {blue} max_fails=0; server {green} backup max_fails=0;"),
        http,
        location,
        ..Setup::default()
    });
    let reply = scene.client.get("/");
    assert_eq!((reply.status, reply.get("X-App-Pool")), (200, Some("green")), "{}", reply.text());
    scene.client.get("/");
    scene.assert_told(&[FAILOVER]);
    let monitor = scene.wait_filled(2);
    assert_eq!(monitor["pools"]["blue"]["failed_attempts"], 2);
    assert_eq!(monitor["pools"]["green"]["release"], "v2");
}

/// A response as CGI writes it, which FastCGI and SCGI carry.
fn cgi(status: &str, pool: &str, release: &str) -> String {
    format!("Status: {status}\r\nX-App-Pool: {pool}\r\nX-Release-Id: {release}\r\n\r\n{pool}")
}

/// A FastCGI answer: the response in a record of type STDOUT, then the end of the request.
fn fastcgi(response: &str) -> Vec<u8> {
    const VERSION: u8 = 1;
    const END_REQUEST: u8 = 3;
    const STDOUT: u8 = 6;
    let record = |kind: u8, content: &[u8]| {
        let length = u16::try_from(content.len()).unwrap().to_be_bytes();
        [&[VERSION, kind, 0, 1, length[0], length[1], 0, 0], content].concat()
    };
    [record(STDOUT, response.as_bytes()), record(STDOUT, b""), record(END_REQUEST, &[0; 8])].concat()
}

#[test]
fn a_failover_of_fastcgi_upstreams_is_told() {
    let blue = responder(fastcgi(&cgi("503 Unavailable", "blue", "v1")));
    let green = responder(fastcgi(&cgi("200 OK", "green", "v2")));
    a_failover_is_told(blue, green, "", "fastcgi_pass app; fastcgi_next_upstream error timeout http_503;");
}

#[test]
fn a_fastcgi_answer_that_is_shorter_than_it_promised_is_a_failure() {
    let whole = fastcgi("Status: 200 OK\r\nContent-Length: 4\r\n\r\nfour");
    let short = fastcgi("Status: 200 OK\r\nContent-Length: 400\r\n\r\nfour");
    // A process that died: its connection ends without the end of the request.
    let dead = short[..short.len() - 24].to_vec();
    for (buffering, keep) in [("on", "off"), ("off", "off"), ("on", "on"), ("off", "on")] {
        for (name, answer, failed) in [("whole", &whole, 0), ("short", &short, 1), ("dead", &dead, 1)] {
            // At first, and from a server that is known for answers that are whole.
            for known in [0, 3] {
                let blue = responder_in_turn([vec![whole.clone(); known], vec![answer.clone()]].concat());
                let scene = Scene::start(&Setup {
                    pools: &format!("pool blue {blue};"),
                    upstream: &format!("server {blue}; keepalive 4;"),
                    location: &format!("fastcgi_pass app; fastcgi_buffering {buffering}; fastcgi_keep_conn {keep};"),
                    ..Setup::default()
                });
                scene.client.get_many(known, "/");
                let what = format!("{name} after {known}, fastcgi_buffering {buffering}, fastcgi_keep_conn {keep}");
                assert_eq!(scene.client.try_send(&Request::new("GET", "/")).is_err(), failed == 1, "{what}");
                assert_eq!(scene.wait_filled(known as u64 + 1)["window"]["failed"], failed, "{what}");
            }
        }
    }
}

#[test]
fn a_failover_of_scgi_upstreams_is_told() {
    let blue = responder(cgi("503 Unavailable", "blue", "v1").into_bytes());
    let green = responder(cgi("200 OK", "green", "v2").into_bytes());
    a_failover_is_told(blue, green, "", "scgi_pass app; scgi_next_upstream error timeout http_503;");
}

#[test]
fn a_failover_of_uwsgi_upstreams_is_told() {
    let answer = |status: &str, pool, release| {
        format!("HTTP/1.1 {status}\r\nX-App-Pool: {pool}\r\nX-Release-Id: {release}\r\n\r\n{pool}").into_bytes()
    };
    let blue = responder(answer("503 Unavailable", "blue", "v1"));
    let green = responder(answer("200 OK", "green", "v2"));
    a_failover_is_told(blue, green, "", "uwsgi_pass app; uwsgi_next_upstream error timeout http_503;");
}

#[test]
fn a_failover_of_grpc_upstreams_is_told() {
    // nginx itself is the server that speaks HTTP/2 without TLS.
    let (blue, green) = (address::free(), address::free());
    let server = |address, status, pool, release| {
        format!(
            "server {{ listen {address} http2; location / {{
                add_header X-App-Pool {pool} always; add_header X-Release-Id {release} always;
                return {status} {pool}; }} }}\n"
        )
    };
    let http = server(blue, 503, "blue", "v1") + &server(green, 200, "green", "v2");
    a_failover_is_told(blue, green, &http, "grpc_pass grpc://app; grpc_next_upstream error timeout http_503;");
}

#[test]
fn requests_of_clients_with_http2_count_each() {
    let listen = address::free();
    let scene = Scene::start(&Setup {
        http: &format!("server {{ listen {listen} http2; alert app; location / {{ proxy_pass http://app; }} }}"),
        ..Setup::default()
    });
    let url = format!("http://{listen}/");
    // At once and each on its own connection: curl 7.88 stumbles over a connection that it uses again.
    let curl = Command::new("curl")
        .args(["--no-progress-meter", "--parallel", "--parallel-immediate", "--http2-prior-knowledge"])
        .args(["--write-out", "%{http_version} "])
        .args([&url, &url, &url])
        .output()
        .expect("curl runs: `make test` installs it");
    let printed = String::from_utf8_lossy(&curl.stdout);
    assert!(curl.status.success(), "{}", String::from_utf8_lossy(&curl.stderr));
    assert_eq!(printed.matches("2 ").count(), 3, "{printed}");
    let monitor = scene.wait_filled(3);
    assert_eq!(monitor["pools"]["blue"]["answered"], 3);
}

#[test]
fn clients_with_http2_that_give_up_on_a_hung_pool_abandoned_their_requests_and_others_moved_nothing() {
    let listen = address::free();
    let scene = Scene::start(&Setup {
        http: &format!(
            "server {{ listen {listen} http2; alert app; location / {{ proxy_pass http://app; proxy_read_timeout 30s; }} }}"
        ),
        ..Setup::default()
    });
    scene.blue.set(tests::server::Answer::Hang);
    let patience = ["1.3", "1.3", "0.2"].map(|seconds| {
        let url = format!("http://{listen}/");
        Command::new("curl").args(["--silent", "--http2-prior-knowledge", "--max-time", seconds, &url]).spawn()
    });
    patience.into_iter().for_each(|curl| _ = curl.expect("curl runs").wait());
    let monitor = scene.wait_filled(2);
    let window = &monitor["window"];
    assert_eq!((&window["abandoned"], &window["failed"]), (&2.into(), &0.into()), "{window}");
}
