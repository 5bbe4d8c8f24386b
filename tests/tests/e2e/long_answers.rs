//! Answers that end long after their header came: WebSockets, downloads, long polls. They say who served then.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use tests::address;
use tests::scene::{Scene, Setup};
use tests::wait;

/// Longer than it takes to move between pools, with the two seconds that a way back needs.
const LASTS: Duration = Duration::from_secs(3);
/// More answers in a row than any move asks for.
const MANY: usize = 25;

/// A server whose header comes at once, and which ends the answer after a while, and how many headers it has sent. It ends
/// with the tests.
fn slow_to_end(status: &'static str) -> (SocketAddr, Arc<AtomicUsize>) {
    let sent = Arc::new(AtomicUsize::new(0));
    let count = sent.clone();
    let listener = address::listener();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let count = count.clone();
            thread::spawn(move || {
                let _ = stream.read(&mut [0; 4096]);
                let _ = stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes());
                count.fetch_add(1, Relaxed);
                thread::sleep(LASTS);
                let _ = stream.write_all(b"end");
            });
        }
    });
    (address, sent)
}

/// Blue has one more server, for what takes long.
fn scene(slow: SocketAddr) -> Scene {
    Scene::start(&Setup {
        pools: &format!("pool blue {{blue}} {slow}; pool green {{green}};"),
        rules: "active blue;",
        server: &format!(
            "location /slow {{
                 proxy_pass http://{slow};
                 proxy_http_version 1.1;
                 proxy_set_header Upgrade websocket;
                 proxy_set_header Connection upgrade;
                 proxy_read_timeout 30s;
             }}"
        ),
        ..Setup::default()
    })
}

fn those_that_end_after_a_failover_are_no_way_back(status: &'static str) {
    let (slow, under_way) = slow_to_end(status);
    let scene = scene(slow);
    scene.client.get_many(3, "/");
    scene.wait_filled(3);
    thread::scope(|scope| {
        let long: Vec<_> = (0..MANY)
            .map(|_| {
                scope.spawn(|| {
                    let mut stream = TcpStream::connect(scene.address()).expect("nginx");
                    let asked = "GET /slow HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: close\r\n\r\n";
                    stream.write_all(asked.as_bytes()).expect("a request");
                    let _ = stream.read_to_end(&mut Vec::new());
                })
            })
            .collect();
        wait::until("all of them to be under way", LASTS / 2, || under_way.load(Relaxed) == MANY);
        scene.blue.go_away();
        assert_eq!(scene.client.get_many(5, "/"), [200; 5]);
        scene.sink.wait_for(1, LASTS);
        long.into_iter().for_each(|client| client.join().expect("a client"));
    });
    scene.wait_filled(3 + 5 + MANY as u64);
    scene.assert_told_once(":rotating_light: Failover detected — pool changed from blue → green");
    assert_eq!(scene.monitor()["serving_pool"], "green");
}

#[test]
fn websockets_that_end_after_a_failover_are_no_way_back() {
    those_that_end_after_a_failover_are_no_way_back(
        "101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade",
    );
}

#[test]
fn downloads_that_end_after_a_failover_are_no_way_back() {
    those_that_end_after_a_failover_are_no_way_back("200 OK\r\nContent-Length: 3");
}
