//! A real Alertmanager behind real nginx: what fires appears there, is one group with the same incident of another
//! nginx, and resolves.

use std::slice;
use std::time::Duration;

use tests::alertmanager::Alertmanager;
use tests::scene::{Scene, Setup};
use tests::sink::Sink;
use tests::wait;

const LIMIT: Duration = Duration::from_secs(15);
const NERVOUS: &str = "window 10; cooldown 0s; failover off; retry_rate off;";

/// A host by a name of its own, which tells all of these.
fn host(name: &str, told: &[Alertmanager]) -> Scene {
    let notify: String = told.iter().map(|one| format!("alert_notify alertmanager {};", one.url())).collect();
    let notify = format!("alert_instance {name}; {notify}");
    Scene::start(&Setup { workers: 2, rules: NERVOUS, notify: &notify, ..Setup::default() })
}

fn set_status(scene: &Scene, status: u16, requests: usize) {
    scene.blue.set_status(status);
    scene.green.set_status(status);
    scene.client.get_many(requests, "/");
}

#[test]
fn an_alert_appears_is_grouped_with_that_of_another_host_and_resolves() {
    let alertmanager = Alertmanager::start();
    let [first, second] = ["edge-1", "edge-2"].map(|name| host(name, slice::from_ref(&alertmanager)));

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

/// Alertmanager remembers over a restart whom it notified, and no alert. The first that it hears of is that one host
/// has recovered.
#[test]
fn an_alertmanager_that_was_restarted_does_not_take_the_end_on_one_host_for_the_end_on_all() {
    let told = Sink::start();
    // It has to wait longer than hosts wait until they tell it again.
    let configuration = format!(
        "route: {{ receiver: told, group_by: [monitor], group_wait: 20s, group_interval: 5s }}\n\
         receivers: [{{ name: told, webhook_configs: [{{ url: 'http://{}/' }}] }}]\n",
        told.address()
    );
    let mut pair = Alertmanager::start_pair(&configuration, &[]);
    let hosts = ["edge-1", "edge-2", "edge-3"].map(|name| host(name, &pair));
    let statuses = || told.posts().iter().map(|post| post.body["status"].clone()).collect::<Vec<_>>();
    hosts.iter().for_each(|host| set_status(host, 500, 1));
    let first = &told.wait_for(1, Duration::from_secs(40))[0];
    assert_eq!(first.body["alerts"].as_array().map(Vec::len), Some(3), "{:#}", first.body);

    pair[0].restart();
    set_status(&hosts[0], 200, 10);
    wait::until("both know again what fires", Duration::from_secs(40), || {
        pair.iter().all(|one| one.firing().len() == 2)
    });
    told.assert_none_for(Duration::from_secs(30), |post| post.body["status"] == "resolved");

    hosts[1..].iter().for_each(|host| set_status(host, 200, 10));
    wait::until("the end", Duration::from_secs(40), || statuses().last() == Some(&"resolved".into()));
    assert_eq!(statuses().iter().filter(|status| **status == "resolved").count(), 1, "the pair tells it once");
}
