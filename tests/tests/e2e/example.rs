//! The nginx.conf that is shipped, as docker/configure.sh fills it in: what it promises to users behind it.

use std::path::Path;
use std::process::Command;

use tests::address;
use tests::client::Client;
use tests::http::Reply;
use tests::nginx::{Config, Nginx};
use tests::server::{Answer, Server};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// A backend whose `/poison` fails and whose `/moved` points to another path of the upstream.
fn backend() -> Server {
    Server::start(|request| {
        Answer::Reply(match request.target.as_str() {
            "/poison" => Reply::new(500, "poison"),
            "/moved" => Reply::new(302, "").header("Location", "http://blue_first/next"),
            _ => Reply::new(200, "fine"),
        })
    })
}

/// The shipped configuration with these backends, in front of the client. Nobody listens where alerts would go.
fn example(active: &str, blue: &Server, green: &Server) -> (Nginx, Client) {
    let output = Command::new("sh")
        .arg(Path::new(ROOT).join("docker/configure.sh"))
        .arg(Path::new(ROOT).join("nginx.conf"))
        .env("ACTIVE_POOL", active)
        .env("BLUE_ADDRESS", blue.address().to_string())
        .env("GREEN_ADDRESS", green.address().to_string())
        .env("MAINTENANCE_MODE", "on")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    // What stands in `http { … }`, without what the tests' own configuration says.
    let (_, http) = text.split_once("http {\n").unwrap();
    let (http, _) = http.rsplit_once('}').unwrap();
    let kept = |line: &&str| !line.contains("_temp_path ") && !line.contains("access_log ");
    let listen = address::free();
    let http: Vec<&str> = http.lines().filter(kept).collect();
    let http = http.join("\n").replace("listen 8080;", &format!("listen {listen};"));
    let nginx = Nginx::start(Config { workers: 2, listen: Some(listen), ..Config::new(&http) });
    (nginx, Client::new(listen))
}

#[test]
fn a_url_that_fails_everywhere_takes_nothing_else_down() {
    for active in ["blue", "green"] {
        let (blue, green) = (backend(), backend());
        let (_nginx, client) = example(active, &blue, &green);
        for _ in 0..30 {
            // 502 where blue rests and green, asked alone, fails.
            assert!([500, 502].contains(&client.get("/poison").status));
            assert_eq!(client.get_many(5, "/"), [200; 5], "{active}");
        }
    }
}

#[test]
fn the_other_pool_answers_while_the_active_one_is_away() {
    let (blue, green) = (backend(), backend());
    let (_nginx, client) = example("blue", &blue, &green);
    blue.go_away();
    assert_eq!(client.get_many(20, "/"), [200; 20]);
    blue.come_back();
    green.go_away();
    // Until it rested long enough.
    tests::wait::until("blue's return", std::time::Duration::from_secs(5), || client.get("/").status == 200);
    assert_eq!(client.get_many(20, "/"), [200; 20]);
}

#[test]
fn a_redirect_to_the_upstream_leads_to_nginx() {
    let (blue, green) = (backend(), backend());
    let (_nginx, client) = example("blue", &blue, &green);
    let reply = client.get("/moved");
    let location = reply.get("Location").unwrap_or_default();
    assert!(location.ends_with("/next") && !location.contains("blue_first"), "{location:?}");
}
