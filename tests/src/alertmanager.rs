//! A real Alertmanager with a configuration, a directory and an address of its own.

use std::fs::{self, File};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::address;
use crate::client::Client;
use crate::wait;

const START_LIMIT: Duration = Duration::from_secs(20);

/// A running Alertmanager. It notifies nobody: the tests ask it what it knows.
pub struct Alertmanager {
    child: Child,
    client: Client,
    url: String,
    directory: TempDir,
}

impl Alertmanager {
    /// Starts it and waits until it takes alerts. Alerts of one name and monitor are one group.
    pub fn start() -> Self {
        let directory = tempfile::Builder::new().prefix("nginx-alert-test-").tempdir();
        let directory = directory.expect("a temporary directory can be made");
        let configuration =
            "route: { receiver: nobody, group_by: [alertname, monitor] }\nreceivers: [{ name: nobody }]\n";
        let path = directory.path().join("alertmanager.yml");
        fs::write(&path, configuration).expect("the test's directory is writable");
        let log = File::create(directory.path().join("log")).expect("the test's directory is writable");
        let address = address::free();
        let child = Command::new("prometheus-alertmanager")
            .arg(format!("--config.file={}", path.display()))
            .arg(format!("--storage.path={}", directory.path().join("data").display()))
            .arg(format!("--web.listen-address={address}"))
            // Without a cluster: it would listen on all addresses.
            .arg("--cluster.listen-address=")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file can be shared"))
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus-alertmanager (Debian's package of that name): {error}"));
        let started = Self { child, client: Client::new(address), url: format!("http://{address}"), directory };
        let is_ready = || {
            let ready = started.client.try_send(&crate::http::Request::new("GET", "/-/ready"));
            ready.is_ok_and(|reply| reply.status == 200).then_some(())
        };
        if wait::find(START_LIMIT, is_ready).is_none() {
            let log = fs::read_to_string(started.directory.path().join("log")).unwrap_or_default();
            panic!("Alertmanager does not start:\n{log}");
        }
        started
    }

    /// Its base URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The alerts that it holds for firing.
    #[track_caller]
    pub fn firing(&self) -> Vec<Value> {
        self.list("/api/v2/alerts?active=true")
    }

    /// Its groups of such alerts.
    #[track_caller]
    pub fn groups(&self) -> Vec<Value> {
        self.list("/api/v2/alerts/groups?active=true")
    }

    #[track_caller]
    fn list(&self, target: &str) -> Vec<Value> {
        let reply = self.client.get(target);
        assert_eq!(reply.status, 200, "{}", reply.text());
        match serde_json::from_slice(&reply.body) {
            Ok(Value::Array(list)) => list,
            other => panic!("{other:?}: {}", reply.text()),
        }
    }
}

impl Drop for Alertmanager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
