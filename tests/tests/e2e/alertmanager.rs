//! A real Alertmanager behind real nginx: what fires appears there, is one group with the same incident of another
//! nginx, and resolves.

use std::time::Duration;

use serde_json::Value;
use tests::alertmanager::Alertmanager;
use tests::client::Client;
use tests::http::Request;
use tests::scene::{Scene, Setup};
use tests::server::{Answer, Server};
use tests::wait;

const LIMIT: Duration = Duration::from_secs(15);
const NERVOUS: &str = "window 10; cooldown 0s; failover off; retry_rate off;";

fn scene(url: &str) -> Scene {
    let notify = format!("alert_notify alertmanager {url};");
    Scene::start(&Setup { workers: 2, rules: NERVOUS, notify: &notify, ..Setup::default() })
}

fn set_status(scene: &Scene, status: u16, requests: usize) {
    scene.blue.set_status(status);
    scene.green.set_status(status);
    scene.client.get_many(requests, "/");
}

/// A way to Alertmanager on which alerts come from another host, since all of this runs on one.
fn from_another_host(alertmanager: &Alertmanager) -> Server {
    let address = alertmanager.url().trim_start_matches("http://").parse().expect("an address");
    Server::start(move |request| {
        let mut alerts: Value = serde_json::from_slice(&request.body).expect("JSON");
        for alert in alerts.as_array_mut().into_iter().flatten() {
            alert["labels"]["instance"] = "edge-2".into();
        }
        let passed_on = Request::new(&request.method, &request.target).header("Content-Type", "application/json");
        Answer::Reply(Client::new(address).send(&passed_on.body(&alerts.to_string())))
    })
}

#[test]
fn an_alert_appears_is_grouped_with_that_of_another_host_and_resolves() {
    let alertmanager = Alertmanager::start();
    let other_host = from_another_host(&alertmanager);
    let first = scene(alertmanager.url());
    let second = scene(&format!("http://{}", other_host.address()));

    set_status(&first, 500, 1);
    wait::until("the alert", LIMIT, || alertmanager.firing().len() == 1);
    let alert = alertmanager.firing().remove(0);
    assert_eq!(alert["labels"]["alertname"], "NginxUpstreamErrorRate");
    assert_eq!((&alert["labels"]["monitor"], &alert["labels"]["severity"]), (&"app".into(), &"critical".into()));
    let summary = alert["annotations"]["summary"].as_str().unwrap_or_default();
    assert!(summary.starts_with("High upstream 5xx rate"), "{alert:#}");

    set_status(&second, 500, 1);
    wait::until("the other host's", LIMIT, || alertmanager.firing().len() == 2);
    let groups = alertmanager.groups();
    assert_eq!(groups.len(), 1, "{groups:#?}");
    assert_eq!(groups[0]["alerts"].as_array().map(Vec::len), Some(2));
    assert_eq!(groups[0]["labels"]["alertname"], "NginxUpstreamErrorRate");

    set_status(&first, 200, 10);
    wait::until("the end on one host", LIMIT, || alertmanager.firing().len() == 1);
    assert_eq!(alertmanager.firing()[0]["labels"]["instance"], "edge-2", "the other goes on firing");
    set_status(&second, 200, 10);
    wait::until("the end", LIMIT, || alertmanager.firing().is_empty());
}

#[test]
fn a_failover_is_over_there_when_its_failback_comes_or_another_pool_is_made_the_active_one() {
    let alertmanager = Alertmanager::start();
    let notify = format!("alert_notify alertmanager {};", alertmanager.url());
    let with = |rules| Setup { workers: 2, rules, notify: &notify, ..Setup::default() };
    let mut scene = Scene::start(&with("active blue;"));
    scene.client.get_many(10, "/");
    scene.wait_filled(10);
    scene.blue.set_status(500);
    scene.client.get_many(3, "/");
    wait::until("the failover", LIMIT, || alertmanager.firing().len() == 1);
    assert_eq!(alertmanager.firing()[0]["labels"]["alertname"], "NginxFailover");
    scene.reload_with(&with("active green;"));
    wait::until("the end", LIMIT, || alertmanager.firing().is_empty());
}
