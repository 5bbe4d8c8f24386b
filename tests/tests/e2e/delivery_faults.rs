//! What a sink gets that was away, and what happens to an alert whose way is broken in the middle.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tests::http::Reply;
use tests::nginx::{Config, Nginx};
use tests::process::Signal;
use tests::scene::{Scene, Setup};
use tests::server::{Answer, Server, lock};
use tests::sink::{Post, Sink};
use tests::{address, wait};

const LIMIT: Duration = Duration::from_secs(8);
/// Fires at the first error and is over ten good answers later; no cooldown hides a change.
const NERVOUS: &str = "window 10; cooldown 0s; failover off; retry_rate off;";

fn break_app(scene: &Scene) {
    scene.blue.set_status(500);
    scene.green.set_status(500);
    scene.client.get("/");
}

fn mend_app(scene: &Scene) {
    scene.blue.set_status(200);
    scene.green.set_status(200);
    scene.client.get_many(10, "/");
}

/// Waits until this many alerts were decided.
fn wait_decided(scene: &Scene, count: usize) {
    wait::until("the decision", LIMIT, || scene.status()["alerts"].as_array().is_some_and(|list| list.len() >= count));
}

fn logged(scene: &Scene, part: &str) -> usize {
    scene.nginx.log_lines(part).len()
}

#[test]
fn an_incident_that_was_over_before_it_could_be_told_is_one_message() {
    let scene = Scene::start(&Setup { workers: 2, rules: NERVOUS, ..Setup::default() });
    scene.sink.go_away();
    break_app(&scene);
    wait_decided(&scene, 1);
    mend_app(&scene);
    wait_decided(&scene, 2);
    scene.sink.come_back();
    let posts = scene.sink.wait_for(1, LIMIT);
    assert_eq!(
        posts[0].headline(),
        ":white_check_mark: Upstream 5xx rate is back to normal — 0.00% over last 10 requests \
         (was: High upstream 5xx rate — 100.00% 5xx over last 1 requests (1 error). Threshold: 2%)"
    );
    assert!(posts[0].text().contains("over before it could be delivered"), "{}", posts[0].text());
    scene.sink.assert_quiet_for(Duration::from_millis(1500));
    let status = scene.status();
    assert_eq!((&status["sinks"]["slack"]["sent"], &status["sinks"]["slack"]["pending"]), (&2.into(), &0.into()));
    assert!(status["alerts"].as_array().unwrap().iter().all(|alert| alert["delivery"]["slack"] == "sent"));
}

#[test]
fn a_sink_that_was_away_gets_the_state_now_and_its_health_is_told_once() {
    let scene = Scene::start(&Setup { workers: 4, rules: NERVOUS, ..Setup::default() });
    scene.sink.go_away();
    for round in 0..6 {
        break_app(&scene);
        wait_decided(&scene, 2 * round + 1);
        mend_app(&scene);
        wait_decided(&scene, 2 * round + 2);
    }
    break_app(&scene);
    wait_decided(&scene, 13);
    wait::until("a second try", LIMIT, || scene.status()["sinks"]["slack"]["retried"].as_u64() > Some(1));
    scene.sink.come_back();
    let posts = scene.sink.wait_for(1, Duration::from_secs(40));
    scene.sink.assert_quiet_for(Duration::from_millis(1500));
    assert!(posts[0].headline().starts_with(":warning: High upstream 5xx rate"), "{}", posts[0].headline());
    assert!(posts[0].text().contains("Left out: 12 earlier messages, now obsolete"), "{}", posts[0].text());
    let obsolete = scene.status()["alerts"]
        .as_array()
        .unwrap()
        .iter()
        .skip(1)
        .map(|alert| alert["delivery"].clone())
        .collect::<Vec<_>>();
    assert!(obsolete.iter().all(|delivery| delivery["slack"] == "held_back"), "{obsolete:?}");
    wait::until("the lines", LIMIT, || logged(&scene, "slack accepts alerts again") == 1);
    assert_eq!(logged(&scene, "cannot deliver to slack"), 1, "{}", scene.nginx.log());
    assert_eq!(
        logged(&scene, "slack accepts alerts again, 12 obsolete ones were left out"),
        1,
        "{}",
        scene.nginx.log()
    );
    assert_eq!(logged(&scene, "[warn]") - 1, 7, "each decided alert is told: {}", scene.nginx.log());
}

#[test]
fn messages_come_in_the_order_of_decision_whatever_fails() {
    let monitors = ["one", "two", "three", "four"];
    let http: String = monitors.map(|name| format!("alert_monitor {name} {{ {NERVOUS} }} ")).concat();
    let server: String =
        monitors.map(|name| format!("location /{name} {{ alert {name}; proxy_pass http://app; }} ")).concat();
    let scene = Scene::start(&Setup {
        workers: 4,
        http: &http,
        server: &server,
        notify: "alert_notify webhook {sink};",
        ..Setup::default()
    });
    for answer in [Answer::Reply(Reply::new(503, "")), Answer::Reset, Answer::Reply(Reply::new(429, ""))] {
        scene.sink.queue(answer, 1);
    }
    scene.blue.set_status(500);
    scene.green.set_status(500);
    for (at, name) in monitors.iter().enumerate() {
        scene.client.get(&format!("/{name}"));
        wait_decided(&scene, at + 1);
    }
    let posts = scene.sink.wait_for(3 + monitors.len(), Duration::from_secs(20));
    let told: Vec<&str> = posts.iter().map(|post| post.body["monitor"].as_str().unwrap_or_default()).collect();
    assert_eq!(told, ["one", "one", "one", "one", "two", "three", "four"]);
    scene.sink.assert_quiet_for(Duration::from_millis(300));
}

#[test]
fn a_worker_killed_while_it_sends_is_replaced_within_fifteen_seconds() {
    let mut scene = Scene::start(&Setup { workers: 2, rules: NERVOUS, ..Setup::default() });
    scene.sink.queue(Answer::Hang, 1);
    break_app(&scene);
    scene.sink.wait_for(1, LIMIT);
    let killed = Instant::now();
    for pid in scene.nginx.workers() {
        scene.nginx.kill_worker(pid);
    }
    let posts = scene.sink.wait_for(2, Duration::from_secs(15));
    println!("taken over after {:?}", posts[1].arrived - killed);
    assert_eq!(posts[0].body, posts[1].body);
    scene.sink.assert_quiet_for(Duration::from_secs(2));
    assert_eq!(scene.status()["alerts"][0]["delivery"]["slack"], "sent");
}

#[test]
fn a_sink_that_another_takes_the_place_of_leaves_it_nothing() {
    let other = Sink::start();
    let mut scene = Scene::start(&Setup { rules: NERVOUS, ..Setup::default() });
    scene.sink.go_away();
    break_app(&scene);
    wait_decided(&scene, 1);
    let notify = format!("alert_notify slack {} name=other;", other.url());
    scene.reload_with(&Setup { rules: NERVOUS, notify: &notify, ..Setup::default() });
    mend_app(&scene);
    let posts = other.wait_for(1, LIMIT);
    other.assert_quiet_for(Duration::from_millis(1500));
    assert!(posts[0].headline().ends_with("back to normal — 0.00% over last 10 requests"), "{}", posts[0].headline());
}

/// An nginx that speaks TLS for a sink, with a certificate that nobody has signed; the URL, and the certificate.
fn tls_in_front_of(sink: &Sink, directory: &Path) -> (Nginx, String, PathBuf) {
    let listen = address::free();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate =
        rcgen::CertificateParams::new([listen.ip().to_string()]).and_then(|params| params.self_signed(&key)).unwrap();
    let (certificate_path, key_path) = (directory.join("sink.pem"), directory.join("sink.key"));
    fs::write(&certificate_path, certificate.pem()).unwrap();
    fs::write(&key_path, key.serialize_pem()).unwrap();
    let http = format!(
        "server {{ listen {listen} ssl; ssl_certificate {}; ssl_certificate_key {};
           location / {{ proxy_pass http://{}; }} }}",
        certificate_path.display(),
        key_path.display(),
        sink.address()
    );
    let nginx = Nginx::start(Config { with_module: false, listen: Some(listen), ..Config::new(&http) });
    (nginx, format!("https://{listen}/hook"), certificate_path)
}

#[test]
fn a_certificate_that_nobody_signed_is_refused_and_ca_makes_it_good() {
    let target = Sink::start();
    let directory = tempfile::tempdir().unwrap();
    let (_front, url, certificate) = tls_in_front_of(&target, directory.path());
    let notify = format!("alert_notify slack {url};");
    let mut scene = Scene::start(&Setup { rules: NERVOUS, notify: &notify, ..Setup::default() });
    break_app(&scene);
    wait::until("the refusal", LIMIT, || logged(&scene, "cannot deliver to slack") == 1);
    let line = scene.nginx.log_lines("cannot deliver to slack").remove(0);
    assert!(line.contains("certificate"), "{line}");
    assert!(target.posts().is_empty());
    let notify = format!("alert_notify slack {url} ca={};", certificate.display());
    scene.reload_with(&Setup { rules: NERVOUS, notify: &notify, ..Setup::default() });
    target.wait_for(1, LIMIT);
}

/// A proxy that remembers what it was asked for and lets nothing through.
fn proxy() -> (Server, Arc<Mutex<Vec<String>>>) {
    let asked = Arc::new(Mutex::new(Vec::new()));
    let server = Server::start({
        let asked = asked.clone();
        move |request| {
            lock(&asked).push(format!("{} {}", request.method, request.target));
            Answer::Reply(Reply::new(502, "no way through"))
        }
    });
    (server, asked)
}

#[test]
fn proxies_of_the_environment_are_used_and_no_proxy_is_heeded() {
    let (server, asked) = proxy();
    let url = format!("http://{}", server.address());
    let asked = || lock(&asked).clone();
    let environment = |no_proxy: &str| {
        let variables = [("HTTPS_PROXY", &*url), ("HTTP_PROXY", &*url), ("NO_PROXY", no_proxy)];
        variables.map(|(name, value)| (name.to_string(), value.to_string())).to_vec()
    };
    let notify = "alert_notify slack https://sink.invalid/hook name=tunnel; alert_notify slack {sink} name=direct;";
    let setup = Setup { rules: NERVOUS, notify, ..Setup::default() };

    let scene = Scene::start_with(&setup, |config| config.env = environment("127.0.0.0/8"));
    break_app(&scene);
    scene.sink.wait_for(1, LIMIT);
    wait::until("the proxy", LIMIT, || !asked().is_empty());
    assert!(asked().iter().all(|request| request == "CONNECT sink.invalid:443"), "{:?}", asked());
    drop(scene);

    let scene = Scene::start_with(&setup, |config| config.env = environment("sink.invalid"));
    break_app(&scene);
    let sink = format!("POST {}", scene.sink.url());
    wait::until("the proxy", LIMIT, || asked().contains(&sink));
    assert!(scene.sink.posts().is_empty());
}

#[test]
fn what_is_told_to_alertmanager_is_told_again_every_15_seconds_also_after_a_reload_and_a_restart() {
    let mut scene = Scene::start(&Setup {
        workers: 2,
        http: "alert_state own/state;",
        notify: "alert_notify alertmanager {sink};",
        rules: NERVOUS,
        ..Setup::default()
    });
    break_app(&scene);
    let posts = scene.sink.wait_for(1, LIMIT);
    scene.nginx.reload();
    scene.nginx.stop(Signal::QUIT);
    scene.nginx.start_again();
    scene.sink.assert_quiet_for(Duration::from_secs(5));
    let again = scene.sink.wait_for(2, Duration::from_secs(20));
    let gap = again[1].arrived - posts[0].arrived;
    println!("told again after {gap:?}");
    assert!((Duration::from_secs(14)..Duration::from_secs(18)).contains(&gap), "{gap:?}");
    let part = |post: &Post, key: &str| post.body[0][key].clone();
    assert_eq!(
        (part(&again[0], "labels"), part(&again[0], "startsAt")),
        (part(&again[1], "labels"), part(&again[1], "startsAt"))
    );
    assert!(part(&again[1], "endsAt").as_str() > part(&again[0], "endsAt").as_str());
    mend_app(&scene);
    let all = scene.sink.wait_for(3, LIMIT);
    assert_eq!(part(&all[2], "labels"), part(&all[0], "labels"));
    assert!(part(&all[2], "annotations")["summary"].as_str().unwrap().contains("back to normal"), "{:#}", all[2].body);
    assert!(all.iter().all(|post| post.target.ends_with("/api/v2/alerts")), "{:?}", all[0].target);
}
