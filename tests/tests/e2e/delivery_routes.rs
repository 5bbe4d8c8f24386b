//! What a message says and to whom it goes: causes, names, links, routes, turns at a URL, and threads only while they work.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tests::http::Reply;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::sink::Sink;
use tests::wait;

const LIMIT: Duration = Duration::from_secs(8);
const NERVOUS: &str = "window 10; cooldown 0s; failover off; retry_rate off; outage off;";

fn break_app(scene: &Scene, path: &str) {
    scene.blue.set_status(503);
    scene.green.set_status(503);
    scene.client.get(path);
}

#[test]
fn a_message_says_why_where_and_what_to_do() {
    let scene = Scene::start(&Setup {
        http: "alert_instance edge-7; alert_label env prod; alert_link https://ops.example/alert;",
        notify: "alert_notify slack {sink}; alert_notify webhook {sink} name=object;",
        rules: "window 10; cooldown 0s; failover off; retry_rate off; outage off; runbook https://wiki.example/app;",
        ..Setup::default()
    });
    scene.client.get_many(3, "/");
    break_app(&scene, "/cart?card=4111111111111111");
    let posts = scene.sink.wait_for(2, LIMIT);
    let slack = posts.iter().find(|post| post.body["blocks"].is_array()).expect("a message of Slack's");
    for part in [
        "Cause: blue: answered with an error, once. green: answered 503, once",
        "GET /cart → 503 (",
        "Instance: edge-7",
        "Labels: env=prod",
        "Status page: https://ops.example/alert",
        "Runbook: https://wiki.example/app",
    ] {
        assert!(slack.text().contains(part), "{part:?} is not in {}", slack.text());
    }
    assert!(slack.body.to_string().contains("<https://wiki.example/app|Runbook>"), "{:#}", slack.body);
    let object = &posts.iter().find(|post| post.body["kind"].is_string()).expect("an alert object").body;
    assert_eq!(object["instance"], "edge-7");
    assert_eq!(object["labels"]["env"], "prod");
    assert_eq!(object["links"]["runbook"], "https://wiki.example/app");
    let example = &object["examples"][0];
    assert_eq!((&example["path"], &example["status"]), (&Value::from("/cart"), &Value::from(503)));
    assert!(posts.iter().all(|post| !post.body.to_string().contains("4111")), "a query is nobody's business");
}

#[test]
fn a_refused_connection_is_named_as_the_cause() {
    let scene = Scene::start(&Setup { rules: NERVOUS, ..Setup::default() });
    scene.client.get_many(3, "/");
    scene.blue.go_away();
    scene.green.go_away();
    scene.client.get("/");
    let posts = scene.sink.wait_for(1, LIMIT);
    assert!(posts[0].text().contains("blue: connection refused, once"), "{}", posts[0].text());
}

#[test]
fn a_sink_gets_the_kinds_and_severities_that_it_is_for() {
    let others = [Sink::start(), Sink::start()];
    let notify = format!(
        "alert_notify webhook {{sink}}; alert_notify webhook {} name=moves kinds=failover;
         alert_notify webhook {} name=worst severity=critical;",
        others[0].url(),
        others[1].url()
    );
    let setup = Setup { notify: &notify, rules: "retry_rate 0%; cooldown 0s; window 20;", ..Setup::default() };
    let scene = Scene::start(&setup);
    scene.client.get_many(5, "/");
    // Green answers what blue fails: retries, and a failover.
    scene.blue.set_status(503);
    scene.client.get_many(3, "/");
    let kinds = |sink: &Sink| -> Vec<String> {
        sink.posts().iter().map(|post| post.body["kind"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let has = |sink: &Sink, kind: &str| kinds(sink).iter().any(|told| told == kind);
    wait::until("both alerts", LIMIT, || has(&scene.sink, "failover") && has(&scene.sink, "retry_rate"));
    wait::until("the failover elsewhere", LIMIT, || others.iter().all(|sink| has(sink, "failover")));
    others.iter().for_each(|sink| sink.assert_quiet_for(Duration::from_millis(500)));
    for sink in &others {
        assert_eq!(kinds(sink), ["failover"]);
    }
    let alerts = scene.status()["alerts"].take();
    let retries = alerts.as_array().expect("alerts").iter().find(|alert| alert["kind"] == "retry_rate");
    assert_eq!(retries.expect("it is there")["delivery"].as_object().map(|sinks| sinks.len()), Some(1));
}

#[test]
fn a_url_gets_a_message_a_second_whatever_its_names_are() {
    let monitor = |name: &str| {
        format!(
            "alert_monitor {name} {{ {NERVOUS} notify slack {{sink}} name={name}; notify slack {{sink}} name=more_{name}; }} "
        )
    };
    let scene = Scene::start(&Setup {
        workers: 2,
        http: &["one", "two"].map(monitor).concat(),
        server: "location /one { alert one; proxy_pass http://app; } location /two { alert two; proxy_pass http://app; }",
        rules: NERVOUS,
        ..Setup::default()
    });
    break_app(&scene, "/one");
    scene.client.get("/two");
    let posts = scene.sink.wait_for(4, LIMIT);
    for pair in posts.windows(2) {
        let gap = pair[1].arrived - pair[0].arrived;
        assert!(gap >= Duration::from_millis(950), "{gap:?}");
    }
}

#[test]
fn a_sink_that_is_moved_starts_afresh() {
    let other = Sink::start();
    let mut scene = Scene::start(&Setup { rules: NERVOUS, ..Setup::default() });
    scene.sink.set(Answer::Reply(Reply::new(429, "").header("Retry-After", "600")));
    break_app(&scene, "/");
    scene.sink.wait_for(1, LIMIT);
    wait::until("the pause", LIMIT, || scene.status()["sinks"]["slack"]["last_error"].is_string());
    let notify = format!("alert_notify slack {};", other.url());
    scene.reload_with(&Setup { rules: NERVOUS, notify: &notify, ..Setup::default() });
    other.wait_for(1, LIMIT);
    assert_eq!(scene.status()["sinks"]["slack"]["last_error"], Value::Null);
}

#[test]
fn a_worker_has_threads_for_sinks_only_while_they_deliver() {
    let scene = Scene::start(&Setup { workers: 2, rules: NERVOUS, ..Setup::default() });
    let couriers = || {
        let tasks = |pid: u32| fs::read_dir(format!("/proc/{pid}/task")).expect("a worker").flatten();
        let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        let workers = scene.nginx.workers();
        workers
            .into_iter()
            .flat_map(tasks)
            .filter(|task| task.path().exists())
            .map(name)
            .filter(|name| name.contains("courier"))
            .count()
    };
    assert_eq!(couriers(), 0, "nothing waits");
    scene.sink.queue(Answer::Hang, 1);
    break_app(&scene, "/");
    scene.sink.wait_for(1, LIMIT);
    assert_eq!(couriers(), 1, "one worker delivers");
    scene.sink.wait_for(2, Duration::from_secs(20));
    wait::until("the end of the courier", LIMIT, || couriers() == 0);
}

#[test]
fn nothing_is_lost_in_a_digest() {
    const MONITORS: usize = 60;
    let names: Vec<String> = (0..MONITORS).map(|at| format!("shop-{at:02}")).collect();
    let http: String = names.iter().map(|name| format!("alert_monitor {name} {{ {NERVOUS} }} ")).collect();
    let location = |name: &String| format!("location /{name} {{ alert {name}; proxy_pass http://app; }} ");
    let server: String = names.iter().map(location).collect();
    let zone = format!("alert_zone zone=many:8m; {http}");
    let scene = Scene::start(&Setup { http: &zone, server: &server, ..Setup::default() });
    scene.blue.set_status(503);
    scene.green.set_status(503);
    names.iter().for_each(|name| {
        scene.client.get(&format!("/{name}"));
    });
    let told = |name: &String| {
        let posts = scene.sink.posts();
        posts
            .iter()
            .map(|post| post.text().lines().filter(|line| line.contains(&format!("({name},"))).count())
            .sum::<usize>()
            + posts.iter().filter(|post| post.text().contains(&format!("Monitor: {name}\n"))).count()
    };
    wait::until("every monitor", Duration::from_secs(15), || names.iter().all(|name| told(name) > 0));
    scene.sink.assert_quiet_for(Duration::from_millis(1500));
    names.iter().for_each(|name| assert_eq!(told(name), 1, "{name}"));
    let digests: Vec<String> = scene.sink.headlines().into_iter().filter(|line| line.ends_with(" alerts")).collect();
    assert!(digests.contains(&"40 alerts".to_owned()), "{digests:?}: the rest is in the next message");
    assert_eq!(scene.status()["sinks"]["slack"]["sent"], MONITORS);
}
