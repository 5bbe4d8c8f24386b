//! Each kind of sink once through real nginx, by what its service would see; and that no secret shows anywhere.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use tests::client::Client;
use tests::http::Reply;
use tests::process;
use tests::scene::{Scene, Setup};
use tests::server::Answer;
use tests::sink::{Post, SECRET, Sink};
use tests::{address, wait};

const LIMIT: Duration = Duration::from_secs(8);
const NERVOUS: &str = "window 10; cooldown 0s; failover off; retry_rate off;";
const ROUTING_KEY: &str = "0123456789abcdef0123456789abcdef";
const HEADLINE: &str = "High upstream 5xx rate — 100.00% 5xx over last 1 requests (1 error). Threshold: 2%";

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

/// The messages about an incident from its beginning to its end, as a sink of this kind gets them.
fn incident(notify: &str, answer: Reply) -> [Post; 2] {
    let notify = notify.replace("{key}", ROUTING_KEY);
    let scene = Scene::start(&Setup { workers: 2, rules: NERVOUS, notify: &notify, ..Setup::default() });
    scene.sink.set(Answer::Reply(answer));
    break_app(&scene);
    scene.sink.wait_for(1, LIMIT);
    // Its own message, and not a part of the first.
    wait::until("the first is sent", LIMIT, || scene.status()["alerts"][0].to_string().contains("\"sent\""));
    mend_app(&scene);
    let posts = scene.sink.wait_for(2, LIMIT);
    scene.sink.assert_quiet_for(Duration::from_millis(300));
    posts.try_into().expect("two messages")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("no {pointer} in {value:#}"))
}

#[test]
fn slack_gets_text_and_blocks() {
    let [fired, over] = incident("alert_notify slack {sink};", Reply::new(200, "ok"));
    assert_eq!(fired.headline(), format!(":warning: {HEADLINE}"));
    assert!(over.headline().starts_with(":white_check_mark: Upstream 5xx rate is back to normal"));
    assert_eq!(fired.body["blocks"][0]["type"], "header");
    assert_eq!(fired.header("content-type"), Some("application/json"));
}

#[test]
fn a_webhook_gets_the_alert_signed() {
    let [fired, over] = incident("alert_notify webhook {sink} secret=swordfish;", Reply::new(204, ""));
    assert_eq!((text(&fired.body, "/kind"), text(&fired.body, "/status")), ("error_rate", "firing"));
    assert_eq!((text(&over.body, "/status"), text(&fired.body, "/text")), ("resolved", HEADLINE));
    assert_eq!(fired.body["left_out"], 0);
    for post in [fired, over] {
        let signature = post.header("x-alert-signature").and_then(|value| value.strip_prefix("sha256=")).unwrap();
        let bytes: Vec<u8> =
            (0..signature.len()).step_by(2).map(|at| u8::from_str_radix(&signature[at..at + 2], 16).unwrap()).collect();
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"swordfish");
        ring::hmac::verify(&key, &post.raw, &bytes).expect("the signature is that of the body");
    }
}

#[test]
fn alertmanager_gets_labels_that_stay_and_an_end() {
    let [fired, over] = incident("alert_notify alertmanager {sink};", Reply::new(200, ""));
    assert!(fired.target.ends_with("/api/v2/alerts"), "{}", fired.target);
    let (fired, over) = (&fired.body[0], &over.body[0]);
    assert_eq!(fired["labels"], over["labels"]);
    assert_eq!(text(fired, "/labels/alertname"), "NginxUpstreamErrorRate");
    assert_eq!(fired["startsAt"], over["startsAt"]);
    assert!(text(over, "/endsAt") < text(fired, "/endsAt"), "it ended, and does not expire");
}

#[test]
fn pagerduty_gets_a_trigger_and_its_resolve() {
    let [fired, over] = incident("alert_notify pagerduty {key} url={sink};", Reply::new(202, "{}"));
    let of = |post: &Post, pointer: &str| text(&post.body, pointer).to_owned();
    assert_eq!((of(&fired, "/event_action"), of(&over, "/event_action")), ("trigger".into(), "resolve".into()));
    assert_eq!(of(&fired, "/dedup_key"), of(&over, "/dedup_key"));
    assert_eq!(of(&fired, "/routing_key"), ROUTING_KEY);
    assert!(of(&fired, "/payload/summary").starts_with(HEADLINE));
}

#[test]
fn teams_gets_an_adaptive_card() {
    let [fired, _] = incident("alert_notify teams {sink};", Reply::new(202, ""));
    assert_eq!(text(&fired.body, "/attachments/0/contentType"), "application/vnd.microsoft.card.adaptive");
    assert!(fired.body.to_string().contains("High upstream 5xx rate"));
}

#[test]
fn discord_gets_a_message_that_mentions_nobody() {
    let [fired, _] = incident("alert_notify discord {sink};", Reply::new(204, ""));
    assert_eq!(fired.body["allowed_mentions"]["parse"], Value::Array(Vec::new()));
    assert!(fired.body.to_string().contains("High upstream 5xx rate"));
}

#[test]
fn what_was_over_before_it_could_be_told_leaves_nothing_open() {
    for (notify, resolves) in [
        ("alert_notify webhook {sink};", "/status=resolved"),
        ("alert_notify pagerduty {key} url={sink};", "/event_action=resolve"),
        ("alert_notify alertmanager {sink};", ""),
        ("alert_notify teams {sink};", ""),
        ("alert_notify discord {sink};", ""),
    ] {
        let notify = notify.replace("{key}", ROUTING_KEY);
        let scene = Scene::start(&Setup { rules: NERVOUS, notify: &notify, ..Setup::default() });
        scene.sink.go_away();
        break_app(&scene);
        wait::until("the beginning", LIMIT, || scene.status()["alerts"].as_array().is_some_and(|list| list.len() == 1));
        mend_app(&scene);
        wait::until("the end", LIMIT, || scene.status()["alerts"].as_array().is_some_and(|list| list.len() == 2));
        // A try that was under way then knew of the beginning only.
        let tries = || scene.status()["sinks"].as_object().map_or(0, |sinks| sinks.values().map(retried).sum::<u64>());
        let before = tries();
        wait::until("another try", LIMIT, || tries() > before);
        scene.sink.come_back();
        let posts = scene.sink.wait_for(1, LIMIT);
        scene.sink.assert_quiet_for(Duration::from_millis(1500));
        let body = posts[0].body.to_string();
        for part in ["is back to normal", "(was: High upstream 5xx rate"] {
            assert!(body.contains(part), "{notify}: {part:?} is not in {body}");
        }
        if let Some((pointer, expected)) = resolves.split_once('=') {
            assert_eq!(text(&posts[0].body, pointer), expected, "{notify}");
        }
    }
}

fn retried(sink: &Value) -> u64 {
    sink["retried"].as_u64().unwrap_or(0)
}

/// Every text by which nginx and its workers show themselves, except what they were given.
fn shown(scene: &Scene) -> Vec<(String, String)> {
    let mut shown = vec![("error log".to_string(), scene.nginx.log())];
    for path in ["/alert", "/alert/status.json", "/alert/metrics"] {
        shown.push((path.to_string(), Client::get(&scene.client, path).text()));
    }
    for pid in scene.nginx.workers().into_iter().chain([scene.nginx.master()]) {
        shown.push((format!("title of {pid}"), process::title(pid)));
        let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
        for task in tasks.map(|task| task.unwrap().path()) {
            shown.push((task.display().to_string(), fs::read_to_string(task.join("comm")).unwrap_or_default()));
        }
    }
    shown
}

#[test]
fn no_secret_shows_whatever_goes_wrong() {
    let refused = address::free();
    let other = Sink::start();
    let notify = format!(
        "alert_notify slack {{sink}};
         alert_notify slack http://{refused}/{SECRET} name=refused;
         alert_notify slack https://{}/{SECRET} name=no_tls;
         alert_notify slack http://sink.invalid/{SECRET} name=no_host timeout=2s;
         alert_notify discord http://user:{SECRET}@{}/{SECRET}?token={SECRET} name=query;
         alert_notify webhook {{sink}} secret=signed-{SECRET};
         alert_notify teams {{sink}};
         alert_notify alertmanager {{sink}};
         alert_notify pagerduty env:KEY url={{sink}};",
        other.address(),
        other.address(),
    );
    let scene =
        Scene::start_with(&Setup { workers: 2, rules: NERVOUS, notify: &notify, ..Setup::default() }, |config| {
            config.env = vec![("KEY".into(), ROUTING_KEY.into())];
            config.log_level = "debug";
        });
    let echo = format!("no such hook: {SECRET} {ROUTING_KEY}");
    let answers = [
        Reply::new(404, &echo),
        Reply::new(302, &echo).header("Location", &format!("http://elsewhere.invalid/{SECRET}")),
        Reply::new(500, &echo).header("Retry-After", "1"),
        Reply::new(200, &echo),
    ];
    for answer in answers {
        scene.sink.set(Answer::Reply(answer.clone()));
        other.set(Answer::Reply(answer));
        break_app(&scene);
        mend_app(&scene);
        std::thread::sleep(Duration::from_millis(1200));
    }
    scene.sink.set(Answer::Raw(b"\x16\x03nonsense\r\n\r\n"));
    std::thread::sleep(Duration::from_secs(2));
    wait::until("errors of every sink", LIMIT, || {
        let sinks = scene.status()["sinks"].take();
        ["refused", "no_tls", "no_host"].iter().all(|name| sinks[name]["last_error"].is_string())
    });
    for (place, text) in shown(&scene) {
        for secret in [SECRET, ROUTING_KEY] {
            let line = text.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{place} shows a secret");
        }
    }
    assert!(scene.nginx.log().contains("[debug]"), "the log is not at debug level");
}
