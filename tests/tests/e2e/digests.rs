//! Many alerts at once: every one is named, what fires before what can wait, and nobody is flooded.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::Value;
use tests::http::Request;
use tests::scene::{Scene, Setup};
use tests::sink::SECRET;
use tests::wait;

const LIMIT: Duration = Duration::from_secs(60);

/// So many monitors beside the usual one, each with a location of its own.
fn many(monitors: usize, rules: &str) -> (String, String) {
    let (mut http, mut server) = (String::new(), String::from("location /control { alert_control; }"));
    for name in (0..monitors).map(name) {
        let _ = write!(http, "alert_monitor {name} {{ pool blue {{blue}}; pool green {{green}}; {rules} }} ");
        let _ = write!(server, "location /{name} {{ alert {name}; proxy_pass http://app; }} ");
    }
    (http, server)
}

fn name(at: usize) -> String {
    format!("shop-{at:03}")
}

/// The messages that came to this service.
fn messages(scene: &Scene, service: &str) -> Vec<String> {
    // What stands last in the URL of ntfy is the topic, and goes into the body.
    let path = if service == "ntfy" { format!("/{SECRET}") } else { format!("/{SECRET}/{service}") };
    let begins = ["?", "/bot", "/chat."].map(|rest| format!("{path}{rest}"));
    let is_own = |target: &str| target.ends_with(&path) || begins.iter().any(|begin| target.contains(begin));
    let posts = scene.sink.posts().into_iter().filter(|post| is_own(&post.target));
    posts.map(|post| String::from_utf8_lossy(&post.raw).into_owned()).collect()
}

#[test]
fn every_one_of_a_hundred_and_twenty_failovers_is_named_once_by_every_service() {
    const MONITORS: usize = 120;
    let (http, server) = many(MONITORS, "active blue; retry_rate off;");
    let services = ["slack", "discord", "teams", "googlechat", "ntfy"];
    let mut notify: String = services.map(|service| format!("alert_notify {service} {{sink}}/{service}; ")).concat();
    notify += "alert_notify telegram 1:a chat=-1 url={sink}/telegram;
               alert_notify slack_bot xoxb-1 channel=C1 url={sink}/slack_bot;";
    let scene = Scene::start(&Setup { workers: 2, http: &http, server: &server, notify: &notify, ..Setup::default() });
    scene.blue.set_status(500);
    for at in 0..MONITORS {
        scene.client.get_many(2, &format!("/{}", name(at)));
    }
    let sinks = || scene.status()["sinks"].as_object().cloned().unwrap_or_default();
    let is_done = |sink: &Value| sink["pending"] == 0 && sink["sent"] == MONITORS;
    wait::until("every sink to have everything", LIMIT, || sinks().values().all(is_done));
    assert_eq!(sinks().len(), services.len() + 2);
    for service in sinks().keys() {
        let all = messages(&scene, service);
        // The first goes out at once, with whatever is decided by then.
        assert!((2..=16).contains(&all.len()), "{service}: {} messages", all.len());
        for name in (0..MONITORS).map(name) {
            let named = all.iter().filter(|text| text.contains(&name)).count();
            assert_eq!(named, 1, "{service} names {name} in {named} messages");
        }
    }
    assert_eq!(scene.nginx.log_lines("were dropped").len(), 0, "{}", scene.nginx.log());
}

#[test]
fn sixty_test_alerts_do_not_hide_a_failover() {
    const MONITORS: usize = 60;
    let (http, server) = many(MONITORS, "");
    let scene = Scene::start(&Setup { http: &http, server: &server, rules: "active blue;", ..Setup::default() });
    scene.client.get_many(3, "/");
    // Nobody waits for what the sinks say.
    let connections: Vec<_> = (0..MONITORS)
        .map(|at| {
            let mut connection = scene.client.connect().expect("nginx accepts connections");
            let test = Request::new("POST", &format!("/control/test?monitor={}", name(at)));
            connection.write(&test).expect("nginx reads the request");
            connection
        })
        .collect();
    wait::until("all test alerts", LIMIT, || scene.nginx.log_lines("a test alert of monitor").len() == MONITORS);
    scene.blue.set_status(500);
    scene.client.get_many(3, "/");
    wait::until("all of them to be sent", LIMIT, || scene.status()["sinks"]["slack"]["sent"] == MONITORS + 1);
    drop(connections);
    let posts = scene.sink.posts();
    let at = posts.iter().position(|post| post.text().contains("Failover detected")).expect("the failover is told");
    // One goes out at once, and one may be on its way when traffic moves.
    assert!(at <= 2, "it is in message {}: {:#?}", at + 1, scene.sink.headlines());
    let line = posts[at].text().lines().position(|line| line.contains("Failover detected"));
    assert!(line <= Some(1), "in front of the tests: {}", posts[at].text());
}

#[test]
fn a_second_test_alert_within_a_second_is_refused_with_when_it_can_be_sent() {
    let server = "location /control { alert_control; }";
    let scene = Scene::start(&Setup { server, ..Setup::default() });
    let test = Request::new("POST", "/control/test?monitor=app");
    // Two at once, since a machine under load may need a second for anything else.
    let mut asked = [0; 2].map(|_| scene.client.connect().expect("nginx accepts connections"));
    asked.iter_mut().for_each(|connection| connection.write(&test).expect("nginx reads the request"));
    let answers = asked.map(|mut connection| connection.read("POST").expect("an answer"));
    let refused = answers.iter().find(|answer| answer.status == 429).expect("one is refused");
    assert!(answers.iter().any(|answer| answer.status == 200), "and one is sent");
    assert_eq!(refused.get("Retry-After"), Some("1"));
    let error: Value = serde_json::from_slice(&refused.body).expect("JSON");
    assert!(error["error"].as_str().is_some_and(|text| text.contains("another can be sent in ")), "{error}");
    wait::until("another one", LIMIT, || scene.client.send(&test).status == 200);
    assert_eq!(scene.sink.posts().len(), 2);
}
